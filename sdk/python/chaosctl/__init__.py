"""chaosctl: inject faults from a test, and always take them out again.

    from chaosctl import Chaos

    chaos = Chaos("127.0.0.1:8475")
    with chaos.latency("auth-service", "500ms"):
        ...                     # every edge to auth-service is slow
                                # and here it is not any more

serve() starts a server of one's own for a test; Chaos.run() runs an experiment to
its verdict. Every refusal of the server is a ChaosError with a hint.
"""

from .client import Chaos
from .errors import (
    BadInput,
    ChaosError,
    Conflict,
    Guarded,
    NotFound,
    Problem,
    Stuck,
    Unauthorised,
    Unavailable,
    Unsupported,
    VerdictError,
)
from .injection import Injection
from .runs import Run
from .server import Server, find_binary, serve
from .words import Armed, Connection, Edge, Fault, Halted, InForce, Match, Receipt, RunRecord, Status

__all__ = [
    "Armed",
    "BadInput",
    "Chaos",
    "ChaosError",
    "Conflict",
    "Connection",
    "Edge",
    "Fault",
    "Guarded",
    "Halted",
    "InForce",
    "Injection",
    "Match",
    "NotFound",
    "Problem",
    "Receipt",
    "Run",
    "RunRecord",
    "Server",
    "Status",
    "Stuck",
    "Unauthorised",
    "Unavailable",
    "Unsupported",
    "VerdictError",
    "find_binary",
    "serve",
]
