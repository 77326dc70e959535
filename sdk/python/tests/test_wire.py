"""Manners towards servers that have none."""

import contextlib
import http.server
import threading
import unittest
from typing import Iterator

from chaosctl import BadInput, Chaos, Unavailable

from toxiproxy import Toxiproxy

from .stage import backend, nowhere


class TestAddresses(unittest.TestCase):
    def test_good(self) -> None:
        for said, want in {
            "127.0.0.1:8475": "http://127.0.0.1:8475",
            "localhost:1": "http://localhost:1",
            "[::1]:8475": "http://[::1]:8475",
            "http://host:8475/": "http://host:8475",
            "https://chaos.example.com": "https://chaos.example.com:443",
        }.items():
            self.assertEqual(Chaos(said).server, want)

    def test_bad(self) -> None:
        for said in ("host", "http://host", "unix:///run/x", "http://u:secret-secret@host:1", "http://host:1/path", "http://host:1?x", "::1:8475", "http://", "a b:1", "host:99999"):
            with self.subTest(said), self.assertRaises(BadInput) as caught:
                Chaos(said)
            self.assertNotIn("secret-secret", str(caught.exception))

    def test_token_that_breaks_out_of_its_header(self) -> None:
        with self.assertRaises(BadInput) as caught:
            Chaos("127.0.0.1:1", token="a token\n")
        self.assertNotIn("a token\n", str(caught.exception))


class _Elsewhere(http.server.BaseHTTPRequestHandler):
    followed = 0

    def do_GET(self) -> None:
        if self.path == "/elsewhere":
            type(self).followed += 1
        self.send_response(302)
        self.send_header("Location", "/elsewhere")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args: object) -> None:
        pass


class _Nonsense(_Elsewhere):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "5")
        self.end_headers()
        self.wfile.write(b"<html")


@contextlib.contextmanager
def foreign(handler: type) -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield "127.0.0.1:%d" % server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class TestForeignServers(unittest.TestCase):
    def test_nobody(self) -> None:
        with nowhere() as address, self.assertRaises(Unavailable) as caught:
            Chaos(address).status()
        self.assertIn(address, caught.exception.message)
        self.assertIn("chaosctl serve", caught.exception.hint)

    def test_another_program(self) -> None:
        with backend() as address, self.assertRaisesRegex(Unavailable, "cannot be read|does not"):
            Chaos(address).halt()
        with foreign(_Nonsense) as address, self.assertRaisesRegex(Unavailable, "cannot be read"):
            Chaos(address).status()

    def test_answers_that_are_no_objects(self) -> None:
        for said in (b"[]", b"null", b'"x"', b"5", b"", b'{"injections": ["x"], "faults": 5, "kinds": [5], "connections": [{}], "lifted": 5, "runs": 5}'):

            class Says(_Elsewhere):
                text = said

                def do_GET(self) -> None:
                    self.send_response(200)
                    self.send_header("Content-Length", str(len(self.text)))
                    self.end_headers()
                    self.wfile.write(self.text)

                do_POST = do_DELETE = do_GET

            with foreign(Says) as address:
                chaos, toxics = Chaos(address), Toxiproxy("http://" + address)
                asked = [chaos.status, chaos.faults, chaos.kinds, chaos.connections, chaos.halt, chaos.runs, lambda: chaos.close_connection(1)]
                asked += [toxics.version, lambda: toxics.get("p"), lambda: toxics.create("p", "127.0.0.1:1")]
                if not said.startswith(b"{"):  # what holds no field that is wrong can be read
                    asked += [chaos.topology, toxics.proxies, lambda: chaos.lift("i-1"), lambda: chaos.latency("a", "1s"), lambda: toxics.populate([])]
                for ask in asked:
                    with self.subTest(said=said, ask=ask), self.assertRaisesRegex(Unavailable, "cannot be read") as caught:
                        ask()
                    self.assertIn("this version", caught.exception.hint)

    def test_no_redirect_is_followed(self) -> None:
        with foreign(_Elsewhere) as address, self.assertRaisesRegex(Unavailable, "302"):
            Chaos(address, token="0123456789abcdef").status()
        self.assertEqual(_Elsewhere.followed, 0)
