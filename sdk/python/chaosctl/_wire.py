"""HTTP to one server: no redirects, no proxies, so a token goes nowhere else."""

from __future__ import annotations

import http.client
import json
import os
import socket
import stat
import warnings
from typing import Any, Callable, Mapping, Optional, Tuple, TypeVar
from urllib.parse import urlsplit

from .errors import BadInput, ChaosError, Unavailable, error_of

CONNECT_TIMEOUT = 5.0
MAX_ANSWER = 64 << 20
MAX_TOKEN_FILE = 64 << 10

T = TypeVar("T")


def base_of(server: str, hint: str) -> Tuple[str, str, int]:
    """Take host:port or a URL without a path apart into scheme, host and port."""
    text = server if "://" in server else "http://" + server

    def bad(why: str) -> BadInput:
        return BadInput(f"the server {server!r} {why}", hint=hint)

    try:
        url = urlsplit(text)
        host, port = url.hostname, url.port
    except ValueError:
        raise bad("is not host:port or a URL") from None
    if url.username is not None or url.password is not None:
        raise BadInput("the server's URL holds a user or password", hint="give a token with token_file")
    if url.scheme not in ("http", "https"):
        raise bad("must be http or https")
    if not host or any(c.isspace() for c in text):
        raise bad("is not host:port or a URL")
    if url.path not in ("", "/") or url.query or url.fragment:
        raise bad("must not have a path, query or fragment")
    if port is None and url.scheme == "http":
        raise bad("has no port")
    return url.scheme, host, port or 443


def read_token(path: str) -> str:
    """Read the one token that a file holds."""
    try:
        info = os.stat(path)
        if not stat.S_ISREG(info.st_mode) or info.st_size > MAX_TOKEN_FILE:
            raise BadInput(f"token_file: {path} must be a plain file that holds one token")
        with open(path, encoding="utf-8") as f:
            token = f.read().strip()
    except (OSError, UnicodeDecodeError) as e:
        raise BadInput(f"token_file: {path} cannot be read: {e}") from e
    if os.name == "posix" and info.st_mode & 0o077:
        warnings.warn(f"the token file {path} can be read by others; make it yours alone: chmod 600 {path}", stacklevel=4)
    if not token or len(token.split()) != 1:
        raise BadInput(f"token_file: {path} must hold one token on one line")
    return token


def printable(text: str) -> str:
    """Put ? for what a header cannot carry."""
    return "".join(c if " " <= c <= "~" else "?" for c in text)


class Wire:
    """Sends requests to one server, each over a connection of its own. Safe for
    concurrent use."""

    def __init__(self, server: str, *, token: str = "", headers: Optional[Mapping[str, str]] = None, timeout: float = 120.0, start: str = "") -> None:
        """start is the hint for when no server answers."""
        self._scheme, self._host, self._port = base_of(server, "for example 127.0.0.1:8475")
        if any(not "!" <= c <= "~" for c in token):
            raise BadInput("the token holds characters that a header cannot carry")
        self._headers = dict(headers or {})
        if token:
            self._headers["Authorization"] = "Bearer " + token
        self._timeout = timeout
        self._start = start
        name = f"[{self._host}]" if ":" in self._host else self._host
        self.url = f"{self._scheme}://{name}:{self._port}"

    def ask(self, method: str, path: str, body: Any = None, timeout: Optional[float] = None) -> Any:
        """Send a request and return its decoded answer; None for an empty one."""
        _, data = self.fetch(method, path, body, timeout)
        if not data:
            return None
        try:
            return json.loads(data)
        except ValueError as e:
            raise self._unreadable(e) from e

    def read(self, of: Callable[[Any], T], method: str, path: str, body: Any = None, shape: type = dict) -> T:
        """Send a request and make something of its answer: Unavailable if that is no
        object, or whatever shape says, or not what `of` understands."""
        answer = self.ask(method, path, body)
        try:
            if not isinstance(answer, shape):
                raise TypeError("it is empty" if answer is None else f"it is a {type(answer).__name__}, not a {shape.__name__}")
            return of(answer)
        except (AttributeError, LookupError, TypeError, ValueError) as e:
            raise self._unreadable(e) from e

    def _unreadable(self, why: Exception) -> Unavailable:
        return Unavailable(f"the answer of {self.url} cannot be read: {why}", hint="is it a chaosctl server of this version?")

    def fetch(self, method: str, path: str, body: Any = None, timeout: Optional[float] = None) -> Tuple[str, bytes]:
        """Send a request and return the media type and the bytes of its answer;
        raise what the server refuses."""
        headers = dict(self._headers)
        content: Optional[bytes] = None
        if body is not None:
            content = json.dumps(body).encode("utf-8")
            headers["Content-Type"] = "application/json"
        elif method == "POST":
            headers["Content-Length"] = "0"
        connection = self._connection()
        try:
            connection.connect()
            connection.sock.settimeout(self._timeout if timeout is None else timeout)
            connection.request(method, path, body=content, headers=headers)
            answer = connection.getresponse()
            data = answer.read(MAX_ANSWER + 1)
        except (OSError, http.client.HTTPException) as e:
            why = str(e) or type(e).__name__
            raise Unavailable(f"no answer from {self.url}: {why}", hint="" if isinstance(e, socket.timeout) else self._start) from e
        finally:
            connection.close()
        if len(data) > MAX_ANSWER:
            raise Unavailable(f"the answer of {self.url} is larger than {MAX_ANSWER} bytes")
        media = answer.getheader("Content-Type", "").partition(";")[0].strip()
        if 200 <= answer.status < 300:
            return media, data
        raise self.refusal(answer.status, answer.reason, media, data)

    def _connection(self) -> http.client.HTTPConnection:
        if self._scheme == "https":
            return http.client.HTTPSConnection(self._host, self._port, timeout=CONNECT_TIMEOUT)
        return http.client.HTTPConnection(self._host, self._port, timeout=CONNECT_TIMEOUT)

    def refusal(self, status: int, reason: str, media: str, data: bytes) -> ChaosError:
        """Make an error of an answer that is not a success."""
        if media == "application/problem+json":
            try:
                body = json.loads(data)
                if isinstance(body, dict) and body.get("code"):
                    return error_of(body)
            except ValueError:
                pass
        return Unavailable(f"{self.url} answered {status} {reason}, which chaosctl does not", hint="is another program listening there?")
