"""A `chaosctl serve` of one's own, for the length of a test."""

from __future__ import annotations

import atexit
import json
import os
import queue
import shutil
import subprocess
import sys
import tempfile
import threading
from types import TracebackType
from typing import IO, Any, Dict, List, Mapping, Optional, Sequence, Type, Union

from .client import Chaos
from .errors import BadInput, ChaosError, Stuck, Unavailable, error_of
from .runs import Path

__all__ = ["Server", "find_binary", "serve"]

STUCK = 5  # the exit code of a chaosctl that could not roll something back
PATIENCE = 45.0  # seconds; the keeper kills after 30


def find_binary(binary: Optional[Path] = None) -> str:
    """The chaosctl program: binary, else $CHAOSCTL, else the one in PATH."""
    said = os.fspath(binary) if binary is not None else os.environ.get("CHAOSCTL") or "chaosctl"
    found = shutil.which(said)
    if found is None:
        raise BadInput(f"there is no program {said!r}", hint="put chaosctl into PATH, or name it with CHAOSCTL=/path/to/chaosctl")
    return os.path.abspath(found)


class Server:
    """A running `chaosctl serve`: relays and API are ready when it exists. It ends
    with close(), with its `with` block, with this process, even if that is killed.
    Whatever is in force is lifted then."""

    def __init__(self, process: subprocess.Popen[bytes], ready: Mapping[str, Any], chaos: Chaos, log: str, folder: tempfile.TemporaryDirectory[str]) -> None:
        """Made by serve()."""
        self._process = process
        self._log_file = log
        self._log_text = ""
        self._folder = folder
        self._lock = threading.Lock()
        self._closed = False
        #: The client of this server.
        self.chaos = chaos
        #: The URL of the API.
        self.url = str(ready["api"])
        #: What the ready line said, whole.
        self.ready: Mapping[str, Any] = ready
        #: Where the relays listen: "caller -> callee" to host:port.
        self.relays: Dict[str, str] = {str(r["name"]): str(r.get("listen", "")) for r in ready.get("relays") or ()}

    @property
    def pid(self) -> int:
        """The process that keeps the server; they end together."""
        return self._process.pid

    @property
    def log(self) -> str:
        """What the server has written to its stderr so far."""
        return self._log_text if self._closed else _text(self._log_file)

    def close(self) -> None:
        """End the server and return when it is gone. Stuck if it could not take
        out what was in force, ChaosError if it had died before. Doing so again is
        no mistake."""
        with self._lock:
            if self._closed:
                return
            died = self._process.poll() is not None
            code = _end(self._process)
            self._log_text = _text(self._log_file)
            self._closed = True
            atexit.unregister(self.close)
            self._folder.cleanup()
        if code == STUCK:
            raise Stuck("chaosctl could not roll back:\n" + self.log, hint="mend the cause, then run `chaosctl sweep`")
        if died or (code != 0 and os.name == "posix"):  # elsewhere, to be ended is to be killed
            raise ChaosError(f"chaosctl ended {'by itself ' if died else ''}with exit code {code}:\n{self.log}")

    def __enter__(self) -> Server:
        """It is running already."""
        return self

    def __exit__(self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]) -> None:
        """End it, whatever happened in the block."""
        self.close()

    def __repr__(self) -> str:
        """Where it listens."""
        return f"<Server {self.url}>"


def serve(
    topology: Union[Path, Mapping[str, Any]],
    *,
    binary: Optional[Path] = None,
    token_file: Optional[Path] = None,
    state_dir: Optional[Path] = None,
    args: Sequence[str] = (),
    timeout: float = 60.0,
) -> Server:
    """Start `chaosctl serve` with an API on a free port of the loopback interface
    and return once relays and API are ready.

    topology is a file, or the document itself as a mapping. Its state is kept in a
    temporary folder unless state_dir names one. args are added to the command line;
    timeout, in seconds, is for becoming ready. A server that refuses its topology is
    BadInput with all it said."""
    folder = tempfile.TemporaryDirectory(prefix="chaosctl-")
    try:
        if isinstance(topology, Mapping):
            file = os.path.join(folder.name, "topology.json")
            with open(file, "w", encoding="utf-8") as f:
                json.dump(topology, f)
        else:
            file = os.fspath(topology)
        state = os.fspath(state_dir) if state_dir is not None else os.path.join(folder.name, "state")
        command = [find_binary(binary), "serve", "--topology", file, "--api", "127.0.0.1:0", "--state-dir", state, "-o", "json", *args]
        if token_file is not None:
            command += ["--token-file", os.fspath(token_file)]
        return _start(command, folder, timeout, token_file)
    except BaseException:
        folder.cleanup()
        raise


def _start(command: List[str], folder: tempfile.TemporaryDirectory[str], timeout: float, token_file: Optional[Path]) -> Server:
    log = os.path.join(folder.name, "log")
    keeper = os.path.join(os.path.dirname(os.path.abspath(__file__)), "_keeper.py")
    with open(log, "wb") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-S", "-E", keeper, folder.name, *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            start_new_session=True,  # Ctrl-C is for the tests; they end the server
        )
    try:
        line = _first_line(process, timeout)
        if not line:
            raise _refusal(_end(process), _text(log).strip())
        ready = json.loads(line)
        server = Server(process, ready, Chaos(str(ready["api"]), token_file=token_file), log, folder)
    except BaseException:
        _end(process)
        raise
    atexit.register(server.close)
    return server


def _refusal(code: int, said: str) -> ChaosError:
    """The error of a chaosctl that ended before it was ready: with -o json it
    says it as one line."""
    try:
        return error_of(json.loads(said.splitlines()[-1]))
    except (ValueError, LookupError, AttributeError):
        return Unavailable(f"chaosctl serve did not start (exit code {code}):\n{said}")


def _first_line(process: subprocess.Popen[bytes], timeout: float) -> bytes:
    """The first line of the output, empty if it ends without. The rest is read and
    dropped, so that the server never waits for us."""
    first: queue.Queue[bytes] = queue.Queue()

    def read(out: IO[bytes]) -> None:
        with out:
            first.put(out.readline())
            for _ in out:
                pass

    threading.Thread(target=read, args=(process.stdout,), name="chaosctl output", daemon=True).start()
    try:
        return first.get(timeout=timeout)
    except queue.Empty:
        raise Unavailable(f"chaosctl serve was not ready after {timeout:g} s") from None


def _end(process: subprocess.Popen[bytes]) -> int:
    """Tell the keeper that nobody needs its program any more, and wait for both."""
    if process.stdin is not None and not process.stdin.closed:
        try:
            os.write(process.stdin.fileno(), b"\n")
        except OSError:
            pass  # it has ended
        process.stdin.close()
    try:
        return process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


def _text(file: str) -> str:
    with open(file, "rb") as f:
        return f.read().decode("utf-8", "replace")
