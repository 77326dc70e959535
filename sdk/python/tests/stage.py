"""What the tests stand on: services, a topology, a server."""

from __future__ import annotations

import contextlib
import http.client
import http.server
import socket
import sys
import threading
import time
import unittest
from typing import Any, Dict, Iterator, Tuple

import chaosctl


class _Answers(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *args: Any) -> None:
        pass


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exc_info()[1], ConnectionError):  # callers are hurt here
            super().handle_error(request, client_address)


@contextlib.contextmanager
def backend(address: Tuple[str, int] = ("127.0.0.1", 0)) -> Iterator[str]:
    """An HTTP service that answers 200 to everything; yields host:port."""
    server = _Server(address, _Answers)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield "127.0.0.1:%d" % server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextlib.contextmanager
def nowhere() -> Iterator[str]:
    """An address that refuses, held so that nobody else gets it."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield "127.0.0.1:%d" % held.getsockname()[1]


def get(address: str, path: str = "/", timeout: float = 30.0) -> Tuple[int, float]:
    """The status of a GET and how long it took, over a connection of its own."""
    connection = http.client.HTTPConnection(address, timeout=timeout)
    began = time.monotonic()
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        answer.read()
        return answer.status, time.monotonic() - began
    finally:
        connection.close()


def topology(auth: str) -> Dict[str, Any]:
    """Users call api-service, api-service calls auth-service and db-service (TCP)."""
    return {
        "apiVersion": "chaosctl.dev/v1alpha1",
        "kind": "Topology",
        "metadata": {"name": "shop"},
        "spec": {
            "services": {
                "api-service": {"address": auth, "protocol": "http"},
                "auth-service": {"address": auth, "protocol": "http"},
                "db-service": {"address": auth, "protocol": "tcp"},
            },
            "edges": [
                {"from": "users", "to": "api-service", "listen": "127.0.0.1:0"},
                {"from": "api-service", "to": "auth-service", "listen": "127.0.0.1:0"},
                {"from": "api-service", "to": "db-service", "listen": "127.0.0.1:0"},
            ],
        },
    }


API, AUTH, DB = "users -> api-service", "api-service -> auth-service", "api-service -> db-service"


class Served(unittest.TestCase):
    """A test case with a backend and a server; each test begins and ends with
    nothing in force."""

    server: chaosctl.Server
    chaos: chaosctl.Chaos

    @classmethod
    def setUpClass(cls) -> None:
        cls._stack = contextlib.ExitStack()
        with contextlib.ExitStack() as stack:
            cls.backend = stack.enter_context(backend())
            cls.server = stack.enter_context(chaosctl.serve(topology(cls.backend)))
            cls.chaos = cls.server.chaos
            cls._stack = stack.pop_all()

    @classmethod
    def tearDownClass(cls) -> None:
        cls._stack.close()

    def tearDown(self) -> None:
        self.assertEqual(self.chaos.faults(), [], "something is left in force")

    def ask(self, edge: str, path: str = "/") -> int:
        return get(self.server.relays[edge], path)[0]
