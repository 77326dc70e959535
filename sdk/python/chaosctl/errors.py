"""What a server refuses, as exceptions: one class per code of the API."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Mapping, Optional, Sequence

__all__ = [
    "BadInput",
    "ChaosError",
    "Conflict",
    "Guarded",
    "NotFound",
    "Problem",
    "Stuck",
    "Unauthorised",
    "Unavailable",
    "Unsupported",
    "VerdictError",
    "error_of",
]


@dataclass(frozen=True)
class Problem:
    """One mistake of a request or document, with its place as far as it has one."""

    message: str
    file: str = ""
    line: int = 0
    column: int = 0
    path: str = ""

    def __str__(self) -> str:
        """The mistake in one line, place first."""
        place = ":".join(str(p) for p in (self.file, self.line, self.column) if p)
        return ": ".join(p for p in (place, self.path) if p) + (": " if place or self.path else "") + self.message


class ChaosError(Exception):
    """A refusal with what would help. Every error of this package is one, but for
    TypeError and ValueError where a call itself is wrong."""

    #: The code that the API gives for this class; subclasses have their own.
    code = "error"

    def __init__(self, message: str, *, hint: str = "", problems: Sequence[Problem] = (), code: Optional[str] = None) -> None:
        """message says what is wrong, hint what to do next, problems every single mistake."""
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.problems = tuple(problems)
        if code is not None:
            self.code = code

    def __str__(self) -> str:
        """Message, problems and hint, a line each."""
        lines = [self.message] + ["  " + str(p) for p in self.problems]
        if self.hint:
            lines.append("hint: " + self.hint)
        return "\n".join(lines)


class BadInput(ChaosError):
    """The request or document is wrong; nothing was started."""

    code = "bad-input"


class NotFound(ChaosError):
    """There is no such injection, run, service, edge or connection."""

    code = "not-found"


class Guarded(ChaosError):
    """The environment, a protected route or the blast radius forbid it."""

    code = "guarded"


class Conflict(ChaosError):
    """Something is in the way, such as a run that is under way."""

    code = "conflict"


class Unsupported(ChaosError):
    """This ground or machine cannot do it."""

    code = "unsupported"


class Stuck(ChaosError):
    """Something could not be rolled back. The loudest error there is."""

    code = "stuck"


class Unavailable(ChaosError):
    """No server answers, it shuts down, or what answers is not chaosctl."""

    code = "unavailable"


class Unauthorised(ChaosError):
    """The server demands a token, or another one."""

    code = "unauthorised"


class VerdictError(ChaosError, AssertionError):
    """The verdict of a run is not a pass; an AssertionError, so that a test
    that lets it through fails instead of breaking."""

    code = "verdict"


_CLASSES = {c.code: c for c in (BadInput, NotFound, Guarded, Conflict, Unsupported, Stuck, Unavailable, Unauthorised)}


def error_of(body: Mapping[str, Any]) -> ChaosError:
    """Make the error that an application/problem+json of the server describes, or
    a line of `chaosctl -o json` on stderr."""
    problems = []
    for p in body.get("problems") or ():
        problems.append(
            Problem(
                message=str(p.get("message", "")),
                file=str(p.get("file", "")),
                line=int(p.get("line", 0)),
                column=int(p.get("column", 0)),
                path=str(p.get("path", "")),
            )
        )
    code = str(body.get("code", ""))
    message = str(body.get("detail") or body.get("message") or ("there is a mistake" if len(problems) == 1 else f"there are {len(problems)} mistakes"))
    return _CLASSES.get(code, ChaosError)(message, hint=str(body.get("hint", "")), problems=problems, code=code)
