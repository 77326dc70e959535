"""The client of a chaosctl server."""

from __future__ import annotations

import json
import os
import threading
from types import TracebackType
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple, Type, Union
from urllib.parse import quote, urlencode

from . import _wire
from .errors import ChaosError
from .injection import Injection
from .runs import Path, Run, run_request
from .words import Connection, Duration, Edge, Fault, Halted, InForce, Match, RunRecord, Share, Status, duration

__all__ = ["Chaos"]

DEFAULT_SERVER = "http://127.0.0.1:8475"
_START = "start one with `chaosctl serve --topology FILE`, or name another with server= or CHAOSCTL_SERVER"

Names = Union[str, Sequence[str], None]
Matching = Union[Match, Mapping[str, Any], None]


class Chaos:
    """Speaks to one server. Faults are in force when a method returns and are
    lifted at the end of a `with` block, by lift() or by close():

        chaos = Chaos("127.0.0.1:8475")
        with chaos.latency("auth-service", "500ms"):
            ...

    As a context manager itself it lifts all it has injected. A fault's target is
    a service, which is hurt on every edge to it, or one edge "caller -> callee".
    Safe for concurrent use.
    """

    def __init__(
        self,
        server: Optional[str] = None,
        *,
        token: Optional[str] = None,
        token_file: Optional[Path] = None,
        actor: Optional[str] = None,
        timeout: float = 120.0,
    ) -> None:
        """server is host:port or a URL; else $CHAOSCTL_SERVER, else http://127.0.0.1:8475.
        token_file holds the token that the server may demand; else $CHAOSCTL_TOKEN_FILE.
        actor stands in the audit log; the user's name by default. timeout, in seconds,
        bounds each request. Nothing is sent yet."""
        if token is None:
            file = os.fspath(token_file) if token_file is not None else os.environ.get("CHAOSCTL_TOKEN_FILE", "")
            token = _wire.read_token(file) if file else ""
        if actor is None:
            actor = next((os.environ[n] for n in ("USER", "LOGNAME", "USERNAME") if os.environ.get(n)), "python")
        headers = {"User-Agent": "chaosctl-python", "Chaosctl-Actor": _wire.printable(actor)}
        self._wire = _wire.Wire(server or os.environ.get("CHAOSCTL_SERVER") or DEFAULT_SERVER, token=token, headers=headers, timeout=timeout, start=_START)
        self._mine: List[Injection] = []
        self._lock = threading.Lock()

    @property
    def server(self) -> str:
        """The URL of the server."""
        return self._wire.url

    # What is there.

    def health(self) -> None:
        """Ask whether the server is there; Unavailable if not. Needs no token."""
        self._wire.ask("GET", "/v1/health")

    def status(self) -> Status:
        """Everything in force, and the edges."""
        return self._wire.read(Status.of, "GET", "/v1/status")

    def edge(self, name: str) -> Edge:
        """One edge, "caller -> callee"; its `listen` is what the caller should call."""
        return self.status().edge(name)

    def faults(self) -> List[InForce]:
        """The injections in force, whoever owns them."""
        return self._wire.read(lambda raw: [InForce.of(i) for i in raw.get("faults") or ()], "GET", "/v1/faults")

    def kinds(self) -> List[Dict[str, Any]]:
        """The server's catalogue: every kind of fault with its params."""
        return self._wire.read(lambda raw: [dict(k) for k in raw.get("kinds") or ()], "GET", "/v1/kinds")

    def topology(self) -> Dict[str, Any]:
        """The topology that is served, as JSON."""
        return self._wire.read(dict, "GET", "/v1/topology")

    def connections(self, edge: str = "") -> List[Connection]:
        """The live connections of an edge, or of all of them, the oldest first."""
        query = "?" + urlencode({"edge": edge}) if edge else ""
        return self._wire.read(lambda raw: [Connection.of(c) for c in raw.get("connections") or ()], "GET", "/v1/connections" + query)

    # What hurts.

    def inject(
        self,
        kind: str,
        target: Optional[str] = None,
        *,
        params: Optional[Mapping[str, Any]] = None,
        from_: Names = None,
        to: Names = None,
        share: Optional[Share] = None,
        match: Matching = None,
        max_active: Optional[int] = None,
        for_: Optional[Duration] = None,
        seed: Optional[int] = None,
        allow_production: bool = False,
        allow_irreversible: bool = False,
    ) -> Injection:
        """Put a fault of any kind in force and return once it is. `chaosctl explain
        KIND` lists the params; from_ narrows a service to some callers; share hurts a
        part of what is matched; for_ is the lease, ten minutes by default."""
        fault = Fault(kind, target, params or {}, _names(from_), _names(to), share, match, max_active)
        return self.inject_all([fault], for_=for_, seed=seed, allow_production=allow_production, allow_irreversible=allow_irreversible)

    def inject_all(
        self,
        faults: Sequence[Fault],
        *,
        for_: Optional[Duration] = None,
        seed: Optional[int] = None,
        allow_production: bool = False,
        allow_irreversible: bool = False,
    ) -> Injection:
        """Put several faults in force under one id and one lease: all of them or none."""
        request: Dict[str, Any] = {"faults": [f.to_json() for f in faults]}
        if for_ is not None:
            request["for"] = duration(for_)
        if seed is not None:
            request["seed"] = seed
        if allow_production:
            request["allowProduction"] = True
        if allow_irreversible:
            request["allowIrreversible"] = True
        injection = Injection(self._wire.read(InForce.of, "POST", "/v1/faults", request), self._lift, self._fault)
        with self._lock:
            self._mine = [i for i in self._mine if not i.over] + [injection]
        return injection

    def latency(
        self, target: str, delay: Duration, *, jitter: Optional[Duration] = None, direction: Optional[str] = None,
        from_: Names = None, share: Optional[Share] = None, match: Matching = None, for_: Optional[Duration] = None,
    ) -> Injection:
        """net.latency: delay answers, or with direction "request" or "both" what is asked, too."""
        params = {"delay": delay, "jitter": jitter, "direction": direction}
        return self.inject("net.latency", target, params=params, from_=from_, share=share, match=match, for_=for_)

    def bandwidth(
        self, target: str, rate: str, *, direction: Optional[str] = None,
        from_: Names = None, share: Optional[Share] = None, match: Matching = None, for_: Optional[Duration] = None,
    ) -> Injection:
        """net.bandwidth: limit answers to a rate such as "64KiB/s"."""
        return self.inject("net.bandwidth", target, params={"rate": rate, "direction": direction}, from_=from_, share=share, match=match, for_=for_)

    def http_status(
        self, target: str, code: int, *, body: Optional[str] = None, headers: Optional[Mapping[str, str]] = None,
        from_: Names = None, share: Optional[Share] = None, match: Matching = None, for_: Optional[Duration] = None,
    ) -> Injection:
        """http.status: answer with a status such as 503; the callee never sees the request."""
        params = {"code": code, "body": body, "headers": headers}
        return self.inject("http.status", target, params=params, from_=from_, share=share, match=match, for_=for_)

    def reset(
        self, target: str, *, from_: Names = None, share: Optional[Share] = None, match: Matching = None, for_: Optional[Duration] = None
    ) -> Injection:
        """net.reset: reset the caller's connection in the middle of its work."""
        return self.inject("net.reset", target, from_=from_, share=share, match=match, for_=for_)

    def blackhole(
        self, target: str, *, from_: Names = None, share: Optional[Share] = None, match: Matching = None, for_: Optional[Duration] = None
    ) -> Injection:
        """net.blackhole: take what comes and never answer."""
        return self.inject("net.blackhole", target, from_=from_, share=share, match=match, for_=for_)

    def refuse(self, target: str, *, from_: Names = None, for_: Optional[Duration] = None) -> Injection:
        """net.refuse: refuse connections, as if nobody listened; open ones are reset."""
        return self.inject("net.refuse", target, from_=from_, for_=for_)

    def partition(
        self,
        from_: Names = None,
        to: Names = None,
        *,
        direction: Optional[str] = None,
        mode: Optional[str] = None,
        shape: Optional[str] = None,
        among: Optional[Sequence[str]] = None,
        for_: Optional[Duration] = None,
        seed: Optional[int] = None,
    ) -> Injection:
        """net.partition: cut every edge between two sets of services, whoever calls;
        or, with shape, between the sides it chooses among the members."""
        params = {"direction": direction, "mode": mode, "shape": shape, "among": list(among) if among is not None else None}
        return self.inject("net.partition", params=params, from_=from_, to=to, for_=for_, seed=seed)

    # What heals.

    def lift(self, id: str) -> InForce:
        """Take an injection out, whoever owns it; NotFound if it is not in force."""
        return self._lift(id)

    def halt(self, why: str = "") -> Halted:
        """Abort all runs and lift everything, whoever owns it."""
        return self._wire.read(Halted.of, "POST", "/v1/halt" + ("?why=" + quote(why[:500], safe="") if why else ""))

    def close_connection(self, id: int, *, reset: bool = False) -> Connection:
        """End a live connection by a FIN, or a RST with reset; NotFound if it is gone."""
        return self._wire.read(Connection.of, "DELETE", f"/v1/connections/{int(id)}" + ("?reset=true" if reset else ""))

    def close(self) -> None:
        """Lift all that this object has injected and that is still in force, the
        latest first. Every one is tried; the first error is raised."""
        with self._lock:
            mine, self._mine = self._mine, []
        failed: List[Tuple[Injection, ChaosError]] = []
        for injection in reversed(mine):
            try:
                injection.lift()
            except ChaosError as e:
                failed.append((injection, e))
        if failed:
            with self._lock:
                self._mine = [i for i, _ in reversed(failed)] + self._mine
            raise failed[0][1]

    # Experiments.

    def plan(self, file: Path, *, topology: Optional[Path] = None, set_: Sequence[str] = ()) -> Dict[str, Any]:
        """Say what an experiment would do; nothing is done."""
        return self._wire.read(dict, "POST", "/v1/plan", run_request(file, topology=topology, set_=set_))

    def start_run(
        self,
        file: Path,
        *,
        topology: Optional[Path] = None,
        set_: Sequence[str] = (),
        allow_production: bool = False,
        allow_irreversible: bool = False,
    ) -> Run:
        """Start an experiment and keep its run alive until Run.wait or Run.close.
        topology is the file of the topology it refers to, found by itself where the
        experiment names a file beside it; set_ changes values: "spec.seed=7"."""
        request = run_request(file, topology=topology, set_=set_)
        request.update({"allowProduction": allow_production, "allowIrreversible": allow_irreversible})
        return Run(self._wire, self._wire.read(RunRecord.of, "POST", "/v1/runs", request))

    def run(
        self,
        file: Path,
        *,
        topology: Optional[Path] = None,
        set_: Sequence[str] = (),
        allow_production: bool = False,
        allow_irreversible: bool = False,
        timeout: Optional[float] = None,
    ) -> RunRecord:
        """Run an experiment to its verdict: chaos.run("slow-auth.yaml").check() fails a
        test unless every gate held. Left early, by Ctrl-C or timeout, it is aborted."""
        with self.start_run(file, topology=topology, set_=set_, allow_production=allow_production, allow_irreversible=allow_irreversible) as run:
            return run.wait(timeout)

    def runs(self) -> List[RunRecord]:
        """The runs that the server remembers, the oldest first, without their details."""
        return self._wire.read(lambda raw: [RunRecord.of(r) for r in raw.get("runs") or ()], "GET", "/v1/runs")

    def report(self, run: str, format: str = "html") -> bytes:
        """Render a run as html, junit, markdown, json or text."""
        return self._wire.fetch("GET", f"/v1/runs/{quote(run, safe='')}/report?" + urlencode({"format": format}))[1]

    def ledger(self, run: str, **only: Union[str, int, bool]) -> List[Dict[str, Any]]:
        """What passed the edges in a run, an entry for each exchange: all of them, or
        only those that fit, as in ledger(run, edge="api -> auth", failed=True, limit=20).
        The names are those of `chaosctl ledger`; with calls=True an entry is a call."""
        query = {name: str(value).lower() if isinstance(value, bool) else value for name, value in only.items()}
        lines = self._wire.fetch("GET", f"/v1/runs/{quote(run, safe='')}/ledger?" + urlencode(query))[1]
        return [json.loads(line) for line in lines.splitlines() if line]

    def _lift(self, id: str) -> InForce:
        return self._wire.read(InForce.of, "DELETE", "/v1/faults/" + quote(id, safe=""))

    def _fault(self, id: str) -> InForce:
        return self._wire.read(InForce.of, "GET", "/v1/faults/" + quote(id, safe=""))

    def __enter__(self) -> Chaos:
        """Nothing is sent yet."""
        return self

    def __exit__(self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]) -> None:
        """Lift all that was injected, whatever happened in the block."""
        self.close()

    def __repr__(self) -> str:
        """The server."""
        return f"<Chaos {self.server}>"


def _names(names: Names) -> Union[str, Tuple[str, ...], None]:
    return names if names is None or isinstance(names, str) else tuple(names)
