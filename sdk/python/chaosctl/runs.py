"""Experiments: sending them, and keeping a run alive until its verdict."""

from __future__ import annotations

import json
import os
import re
import threading
import time
from types import TracebackType
from typing import Any, Dict, Optional, Sequence, Type, Union
from urllib.parse import quote

from ._wire import Wire
from .errors import BadInput, ChaosError, NotFound, Stuck, Unavailable
from .words import RunRecord

__all__ = ["Run", "run_request"]

BEAT = 3.0  # seconds; the server waits for 15
LOOK = 0.25
GIVE_UP = 15.0
PATIENCE = 60.0  # for an aborted run to lift everything

_REF = re.compile(r"""^[ \t]+["']?topologyRef["']?[ \t]*:[ \t]*(?:"([^"]+)"|'([^']+)'|([^\s#'"][^#\n]*?))[ \t\r]*(?:#.*)?$""", re.MULTILINE)

Path = Union[str, "os.PathLike[str]"]


def run_request(file: Path, *, topology: Optional[Path] = None, set_: Sequence[str] = ()) -> Dict[str, Any]:
    """Read an experiment and the topology file that it refers to: the server
    opens no path that a document names."""
    name = os.fspath(file)
    document = _read(name)
    request: Dict[str, Any] = {"file": name, "document": document}
    if set_:
        request["set"] = list(set_)
    if topology is None:
        ref = _topology_ref(document)
        beside = os.path.join(os.path.dirname(name), ref)
        if ref and os.path.isfile(beside):
            topology = beside
    if topology is not None:
        request["topology"] = _read(os.fspath(topology))
    return request


def _topology_ref(document: str) -> str:
    """The file or name that stands behind topologyRef, empty without. The server
    reads the document; this only looks for the one line, or the JSON member."""
    try:
        spec = json.loads(document)["spec"]
        return str(spec.get("topologyRef", ""))
    except (ValueError, TypeError, KeyError, AttributeError):
        pass
    found = _REF.search(document)
    return next((g for g in found.groups() if g), "").strip() if found else ""


def _read(name: str) -> str:
    try:
        with open(name, encoding="utf-8") as f:
            return f.read()
    except (OSError, UnicodeDecodeError) as e:
        raise BadInput(f"{name} cannot be read: {e}") from e


class Run:
    """A run under way. It is kept alive until wait() returns; a `with` block that
    is left before that aborts it.

        with chaos.start_run("slow-auth.yaml") as run:
            ...
            run.wait().check()
    """

    def __init__(self, wire: Wire, record: RunRecord) -> None:
        """Made by Chaos.start_run, at once after the run was started."""
        self._wire = wire
        self._record = record
        self._path = "/v1/runs/" + quote(record.id, safe="")
        self._enough = threading.Event()
        self._keeper = threading.Thread(target=self._keep_alive, name="chaosctl run " + record.id, daemon=True)
        self._keeper.start()

    @property
    def id(self) -> str:
        """Its id, as `chaosctl report` takes it."""
        return self._record.id

    def record(self) -> RunRecord:
        """The record as it is now, also while the run goes on."""
        if not self._record.over:
            self._record = self._wire.read(RunRecord.of, "GET", self._path)
        return self._record

    def wait(self, timeout: Optional[float] = None) -> RunRecord:
        """Return the record once the verdict is there. After timeout seconds, if
        given, the run is aborted and TimeoutError raised. A server that is gone for
        15 s is Unavailable."""
        if not self._ends(timeout):
            self.abort(f"the client waited for {timeout:g} s")
            raise TimeoutError(f"run {self.id} was not over after {timeout:g} s; it is aborted")
        self.close()
        return self.record()

    def _ends(self, timeout: Optional[float]) -> bool:
        """Look until it is over; False if that takes longer than timeout."""
        heard = began = time.monotonic()
        pause = threading.Event()  # never set: its wait ends with Ctrl-C, too
        while True:
            try:
                if self._summary().over:
                    return True
                heard = time.monotonic()
            except Unavailable:
                if time.monotonic() - heard > GIVE_UP:
                    self.close()
                    raise
            if timeout is not None and time.monotonic() - began > timeout:
                return False
            pause.wait(LOOK)

    def _summary(self) -> RunRecord:
        """The run's line in the list, which is short however long the run."""
        for summary in self._wire.read(lambda raw: [RunRecord.of(r) for r in raw.get("runs") or ()], "GET", "/v1/runs"):
            if summary.id == self.id:
                return summary
        raise NotFound(f"the server does not know run {self.id} any more")

    def abort(self, why: str = "") -> None:
        """Abort it, and return once everything is lifted; the verdict is `aborted`. One
        that is over is left as it is. Stuck if it does not end."""
        try:
            self._wire.ask("DELETE", self._path + ("?why=" + quote(why[:500], safe="") if why else ""))
            if not self._ends(PATIENCE):
                raise Stuck(f"run {self.id} was aborted and is not over after {PATIENCE:g} s", hint="`chaosctl status` shows what is in force")
        finally:
            self.close()

    def close(self) -> None:
        """Stop keeping it alive; unless it is over or detached, the server then
        aborts it after 15 s."""
        self._enough.set()
        if self._keeper is not threading.current_thread():
            self._keeper.join()

    def _keep_alive(self) -> None:
        while True:
            try:
                self._wire.ask("POST", self._path + "/keepalive", timeout=GIVE_UP)
            except Unavailable:
                pass  # tried again; wait() sees whether the server is gone
            except ChaosError:
                return  # it is over, or forgotten
            if self._enough.wait(BEAT):
                return

    def __enter__(self) -> Run:
        """It is under way already."""
        return self

    def __exit__(self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]) -> None:
        """Abort it unless its verdict is there."""
        if self._record.over:
            self.close()
            return
        self.abort("its client left" if error is None else f"its client left with {type(error).__name__}")

    def __repr__(self) -> str:
        """Id and stage."""
        return f"<Run {self.id} {self._record.stage} {self._record.outcome}>"
