"""What the server says, as data. Each object keeps all that was said in `raw`."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Dict, List, Mapping, Optional, Tuple, Union

from .errors import NotFound, VerdictError

__all__ = ["Armed", "Connection", "Duration", "Edge", "Fault", "Halted", "InForce", "Match", "Receipt", "RunRecord", "Share", "Status", "duration"]

#: A length of time: "500ms", "1m30s" as the documents have it, or a timedelta.
Duration = Union[str, timedelta]
#: A part of the whole: 0.2 or "20%".
Share = Union[float, str]


def duration(value: Duration) -> str:
    """Write a length of time as the server reads it. Plain numbers are refused:
    they do not say their unit."""
    if isinstance(value, timedelta):
        micros = value // timedelta(microseconds=1)
        if micros < 0:
            raise ValueError(f"a length of time must not be negative: {value}")
        return f"{micros}us"
    if isinstance(value, str):
        return value
    raise TypeError(f"a length of time is a text such as '500ms' or a timedelta, not {value!r}")


@dataclass(frozen=True)
class Match:
    """Narrows a fault; all that is given must hold."""

    #: Methods in capitals; any by default. HTTP edges.
    method: Tuple[str, ...] = ()
    #: Glob over the path: * stops at a slash, ** does not. HTTP edges.
    path: str = ""
    #: Header fields that must be there, each with a glob over its value. HTTP edges.
    header: Mapping[str, str] = field(default_factory=dict)
    #: Query parameters that must be there, each with a glob over its value. HTTP edges.
    query: Mapping[str, str] = field(default_factory=dict)
    #: Addresses or CIDR blocks of callers, any by default; an empty one is refused. TCP edges, too.
    client: Union[str, Tuple[str, ...], List[str], None] = None

    def to_json(self) -> Dict[str, Any]:
        """The match as the API takes it."""
        out: Dict[str, Any] = {}
        if self.method:
            out["method"] = [self.method] if isinstance(self.method, str) else list(self.method)
        if self.path:
            out["path"] = self.path
        if self.header:
            out["header"] = dict(self.header)
        if self.query:
            out["query"] = dict(self.query)
        if self.client is not None:
            out["client"] = [self.client] if isinstance(self.client, str) else list(self.client)
        return out


@dataclass(frozen=True)
class Fault:
    """One fault: a kind, where it acts, and how. See `chaosctl explain KIND`."""

    #: The kind, for example "net.latency".
    kind: str
    #: A service, hurt on every edge to it or in its processes; or one edge, "caller -> callee".
    target: Optional[str] = None
    #: The settings of the kind.
    params: Mapping[str, Any] = field(default_factory=dict)
    #: The callers that a service is narrowed to, or one side of a cut.
    from_: Union[str, Tuple[str, ...], List[str], None] = None
    #: The other side of a cut.
    to: Union[str, Tuple[str, ...], List[str], None] = None
    #: Hurt this part of what is matched, 0.2 or "20%"; all by default.
    share: Optional[Share] = None
    #: Hurt only what fits.
    match: Union[Match, Mapping[str, Any], None] = None
    #: Hurt at most this many at the same time.
    max_active: Optional[int] = None
    #: Tells faults apart; the kind by default.
    name: Optional[str] = None

    def to_json(self) -> Dict[str, Any]:
        """The fault as the API takes it."""
        target: Dict[str, Any] = {}
        if self.target is not None:
            target["edge" if "->" in self.target else "service"] = self.target
        for word, names in (("from", self.from_), ("to", self.to)):
            if names is not None:
                target[word] = [names] if isinstance(names, str) else list(names)
        out: Dict[str, Any] = {"kind": self.kind}
        params = {k: duration(v) if isinstance(v, timedelta) else v for k, v in self.params.items() if v is not None}
        match = self.match.to_json() if isinstance(self.match, Match) else dict(self.match or {})
        optional = {"target": target, "params": params, "match": match, "share": self.share, "maxActive": self.max_active, "name": self.name}
        out.update({k: v for k, v in optional.items() if v is not None and v != {}})
        return out


@dataclass(frozen=True)
class Receipt:
    """What a fault really did, in units: exchange, connection or process."""

    unit: str = ""
    #: Seen while the fault was in force, and fitting its match.
    matched: int = 0
    #: Hurt.
    injected: int = 0
    #: Matched and spared, by share or max_active.
    skipped: int = 0

    @classmethod
    def of(cls, raw: Mapping[str, Any]) -> Receipt:
        """Read it from what the API says."""
        return cls(str(raw.get("unit", "")), int(raw.get("matched", 0)), int(raw.get("injected", 0)), int(raw.get("skipped", 0)))

    def __add__(self, other: Receipt) -> Receipt:
        """Sum what two faults did."""
        unit = self.unit or other.unit
        if other.unit and other.unit != unit:
            unit = "unit"
        return Receipt(unit, self.matched + other.matched, self.injected + other.injected, self.skipped + other.skipped)


@dataclass(frozen=True)
class Armed:
    """One fault at one place."""

    kind: str
    #: The edge or process.
    where: str
    #: What is hurt, in words.
    touches: str
    receipt: Receipt
    raw: Mapping[str, Any] = field(repr=False)

    @classmethod
    def of(cls, raw: Mapping[str, Any]) -> Armed:
        """Read it from what the API says."""
        return cls(str((raw.get("fault") or {}).get("kind", "")), str(raw.get("where", "")), str(raw.get("touches", "")), Receipt.of(raw.get("receipt") or {}), raw)


@dataclass(frozen=True)
class InForce:
    """An injection as the server sees it: faults under one id and one lease."""

    id: str
    owner: str
    actor: str
    #: When it was put in force and when its lease ends; RFC 3339.
    since: str
    until: str
    #: in-force, lifted, expired or stuck.
    state: str
    #: Why it is stuck.
    problem: str
    armed: Tuple[Armed, ...]
    raw: Mapping[str, Any] = field(repr=False)

    @classmethod
    def of(cls, raw: Mapping[str, Any]) -> InForce:
        """Read it from what the API says."""
        id, owner, actor, since, until, state, problem = (str(raw.get(k, "")) for k in ("id", "owner", "actor", "since", "until", "state", "problem"))
        return cls(id, owner, actor, since, until, state, problem, tuple(Armed.of(a) for a in raw.get("faults") or ()), raw)

    @property
    def receipt(self) -> Receipt:
        """What all its faults did."""
        return sum((a.receipt for a in self.armed), Receipt())


@dataclass(frozen=True)
class Edge:
    """An edge as it is served."""

    #: "caller -> callee".
    name: str
    from_: str
    to: str
    protocol: str
    #: The address that the caller should call; empty without a relay.
    listen: str
    upstream: str
    #: Connections open now.
    open: int
    #: Ids of the injections in force on it.
    faults: Tuple[str, ...]
    raw: Mapping[str, Any] = field(repr=False)

    @classmethod
    def of(cls, raw: Mapping[str, Any]) -> Edge:
        """Read it from what the API says."""
        name, from_, to, protocol, listen, upstream = (str(raw.get(k, "")) for k in ("name", "from", "to", "protocol", "listen", "upstream"))
        return cls(name, from_, to, protocol, listen, upstream, int(raw.get("open", 0)), tuple(raw.get("faults") or ()), raw)


@dataclass(frozen=True)
class Connection:
    """A live connection of an edge."""

    id: int
    edge: str
    #: The caller's address, and the callee's once it is connected.
    client: str
    upstream: str
    #: How long it has been open, in seconds.
    age: float
    bytes_in: int
    bytes_out: int
    state: str
    #: Ids of the injections it was drawn for.
    faults: Tuple[str, ...]
    raw: Mapping[str, Any] = field(repr=False)

    @classmethod
    def of(cls, raw: Mapping[str, Any]) -> Connection:
        """Read it from what the API says."""
        return cls(
            int(raw["id"]), str(raw.get("edge", "")), str(raw.get("client", "")), str(raw.get("upstream", "")),
            float(raw.get("ageSeconds", 0)), int(raw.get("bytesIn", 0)), int(raw.get("bytesOut", 0)), str(raw.get("state", "")),
            tuple(raw.get("faults") or ()), raw,
        )


@dataclass(frozen=True)
class Status:
    """Everything in force, and the edges."""

    topology: str
    environment: str
    version: str
    edges: Tuple[Edge, ...]
    injections: Tuple[InForce, ...]
    #: Ids of the runs that are under way.
    runs: Tuple[str, ...]
    #: What nobody owns any more and could not be taken out.
    debts: Tuple[str, ...]
    raw: Mapping[str, Any] = field(repr=False)

    @classmethod
    def of(cls, raw: Mapping[str, Any]) -> Status:
        """Read it from what the API says."""
        return cls(
            str(raw.get("topology", "")), str(raw.get("environment", "")), str(raw.get("version", "")),
            tuple(Edge.of(e) for e in raw.get("edges") or ()), tuple(InForce.of(i) for i in raw.get("injections") or ()),
            tuple(str(r["id"]) for r in raw.get("runs") or ()), tuple(raw.get("debts") or ()), raw,
        )

    def edge(self, name: str) -> Edge:
        """The edge "caller -> callee"; NotFound names those that there are."""
        spaced = " -> ".join(part.strip() for part in name.split("->"))
        for want in (name, spaced):
            for e in self.edges:
                if e.name == want:
                    return e
        raise NotFound(f"no edge {name!r}; there are: {', '.join(e.name for e in self.edges)}")


@dataclass(frozen=True)
class Halted:
    """What halt did: the ids of the injections lifted and the runs aborted."""

    lifted: Tuple[str, ...]
    aborted: Tuple[str, ...]

    @classmethod
    def of(cls, raw: Mapping[str, Any]) -> Halted:
        """Read it from what the API says."""
        return cls(tuple(raw.get("lifted") or ()), tuple(raw.get("aborted") or ()))


@dataclass(frozen=True)
class RunRecord:
    """A run of an experiment, with its verdict."""

    id: str
    experiment: str
    stage: str
    #: pass, fail, inconclusive or aborted; empty while it goes on.
    outcome: str
    #: The exit code that `chaosctl run` ends with.
    exit: int
    #: Sentences, the most important first.
    reasons: Tuple[str, ...]
    raw: Mapping[str, Any] = field(repr=False)

    @classmethod
    def of(cls, raw: Mapping[str, Any]) -> RunRecord:
        """Read it from what the API says."""
        verdict = raw.get("verdict") or {}
        return cls(
            str(raw.get("id", "")), str(raw.get("experiment", "")), str(raw.get("stage", "")), str(verdict.get("outcome", "")),
            int(verdict.get("exit", 0)), tuple(verdict.get("reasons") or ()), raw,
        )

    @property
    def over(self) -> bool:
        """Whether nothing will be added to it any more."""
        return self.stage == "done" and self.outcome != ""

    @property
    def passed(self) -> bool:
        """Whether every gate held; no data is not a pass."""
        return self.outcome == "pass"

    def check(self) -> RunRecord:
        """Return it if it passed; else raise VerdictError with the reasons."""
        if self.passed:
            return self
        raise VerdictError(f"{self.experiment}: {self.outcome or 'not over yet'}" + "".join("\n  " + r for r in self.reasons))
