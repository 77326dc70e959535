"""An injection that this program has put in force, and takes out again."""

from __future__ import annotations

import threading
import warnings
from types import TracebackType
from typing import Callable, Optional, Tuple, Type

from .errors import NotFound
from .words import Armed, InForce, Receipt

__all__ = ["Injection"]


class Injection:
    """Faults in force from the moment it exists: lifted by lift(), at the end of
    a `with` block, by Chaos.close(), or by their lease, whichever comes first.

        with chaos.latency("auth-service", "500ms") as slow:
            ...
        assert slow.receipt.injected > 0
    """

    def __init__(self, info: InForce, lift: Callable[[str], InForce], look: Callable[[str], InForce]) -> None:
        """Made by Chaos; lift and look ask the server."""
        self._info = info
        self._lift = lift
        self._look = look
        self._over = False
        self._lock = threading.Lock()

    @property
    def id(self) -> str:
        """Its id, as `chaosctl status` shows it."""
        return self._info.id

    @property
    def state(self) -> str:
        """What was last heard: in-force, lifted, expired or stuck."""
        return self._info.state

    @property
    def armed(self) -> Tuple[Armed, ...]:
        """Each fault at each place, as was last heard."""
        return self._info.armed

    @property
    def receipt(self) -> Receipt:
        """What it did, as was last heard: after the lift that is all it ever did."""
        return self._info.receipt

    @property
    def info(self) -> InForce:
        """All that was last heard of it."""
        return self._info

    @property
    def over(self) -> bool:
        """Whether it is known to be out."""
        return self._over

    def refresh(self) -> Injection:
        """Ask for fresh receipts; once it is over, they stay as they are."""
        if not self._over:
            try:
                self._info = self._look(self.id)
            except NotFound:  # its lease has ended, or somebody has halted everything
                self.lift()
        return self

    def lift(self) -> InForce:
        """Take it out, and return once it is gone. Doing so again is no mistake,
        nor is an injection that ended by itself or that a restarted server has
        forgotten. What could not be taken out is raised as Stuck and may be
        lifted again."""
        with self._lock:
            if not self._over:
                try:
                    self._info = self._lift(self.id)
                except NotFound:
                    pass  # the server that held it is gone, and the fault with it
                self._over = True
            return self._info

    def __enter__(self) -> Injection:
        """It is in force already."""
        return self

    def __exit__(self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]) -> None:
        """Lift it, whatever happened in the block."""
        self.lift()
        if self._info.state == "expired" and error is None:
            warnings.warn(f"the lease of {self.id} ended before its block did; give it longer with for_", RuntimeWarning, stacklevel=2)

    def __repr__(self) -> str:
        """Id, state and places."""
        return f"<Injection {self.id} {self.state}: {', '.join(a.kind + ' on ' + a.where for a in self.armed)}>"
