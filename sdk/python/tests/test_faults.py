"""Faults: felt while they are in force, and not before or after."""

import os
import socket
import tempfile
import time
import unittest
import warnings
from datetime import timedelta

import chaosctl
from chaosctl import Chaos, Fault, Match

from .stage import API, AUTH, DB, Served, backend, get, topology


class TestFaults(Served):
    def test_latency_in_its_block_only(self) -> None:
        with self.chaos.latency("auth-service", "300ms", jitter="10ms") as slow:
            self.assertEqual(slow.state, "in-force")
            self.assertEqual(self.chaos.edge(AUTH).faults, (slow.id,))
            self.assertGreaterEqual(get(self.server.relays[AUTH])[1], 0.28)
            self.assertEqual(slow.refresh().receipt, chaosctl.Receipt("exchange", 1, 1, 0))
        self.assertEqual(slow.state, "lifted")
        self.assertEqual(self.ask(AUTH), 200)
        self.assertEqual(slow.refresh().receipt.injected, 1, "it was felt after its end")

    def test_status_and_match(self) -> None:
        self.assertEqual(self.ask(AUTH, "/login"), 200)
        with self.chaos.http_status("auth-service", 503, match=Match(path="/login*", method=("GET",))) as ill:
            self.assertEqual(self.ask(AUTH, "/login"), 503)
            self.assertEqual(self.ask(AUTH, "/other"), 200)
        self.assertEqual(self.ask(AUTH, "/login"), 200)
        self.assertEqual(ill.receipt.injected, 1)

    def test_share_is_a_share(self) -> None:
        with self.chaos.inject("http.status", AUTH, params={"code": 500}, share="50%", seed=7) as some:
            got = [self.ask(AUTH) for _ in range(40)]
        self.assertEqual(sorted(set(got)), [200, 500])
        self.assertEqual((some.receipt.matched, some.receipt.injected), (40, got.count(500)))
        self.assertEqual(some.receipt.skipped, got.count(200))

    def test_from_narrows(self) -> None:
        with self.chaos.http_status("api-service", 503, from_="users"):
            self.assertEqual(self.ask(API), 503)
        with self.assertRaises(chaosctl.NotFound):
            self.chaos.http_status("auth-service", 503, from_="users")

    def test_partition_and_refuse(self) -> None:
        with self.chaos.partition("api-service", "db-service", mode="reject") as cut:
            self.assertEqual([a.where for a in cut.armed], [DB])
            with self.assertRaises(OSError):
                self.ask(DB)
            self.assertEqual(self.ask(AUTH), 200)
        self.assertEqual(self.ask(DB), 200)
        with self.chaos.refuse(DB):
            with self.assertRaises(ConnectionRefusedError):
                self.ask(DB)
        self.assertEqual(self.ask(DB), 200)

    def test_shape(self) -> None:
        with self.chaos.partition(shape="halves", among=["api-service", "auth-service"]) as cut:
            self.assertEqual([a.where for a in cut.armed], [AUTH])

    def test_reset_blackhole_bandwidth(self) -> None:
        with self.chaos.reset(AUTH):
            with self.assertRaises(ConnectionError):
                self.ask(AUTH)
        with self.chaos.blackhole(AUTH):
            with self.assertRaises(OSError):
                get(self.server.relays[AUTH], timeout=0.3)
        with self.chaos.bandwidth(AUTH, "1MB/s") as narrow:
            self.assertEqual(self.ask(AUTH), 200)
        self.assertEqual(narrow.receipt.injected, 1)

    def test_lifted_when_the_block_breaks(self) -> None:
        with self.assertRaises(ZeroDivisionError):
            with self.chaos.http_status(AUTH, 503) as ill:
                raise ZeroDivisionError
        self.assertEqual(ill.state, "lifted")
        self.assertEqual(self.ask(AUTH), 200)

    def test_all_or_none(self) -> None:
        good, bad = Fault("http.status", AUTH, {"code": 503}), Fault("net.latency", "ghost", {"delay": timedelta(seconds=1)})
        with self.assertRaises(chaosctl.NotFound):
            self.chaos.inject_all([good, bad])
        self.assertEqual(self.ask(AUTH), 200)
        with self.chaos.inject_all([good, Fault("net.latency", DB, {"delay": timedelta(microseconds=1500)})], for_=timedelta(minutes=1)) as both:
            self.assertEqual(sorted(a.kind for a in both.armed), ["http.status", "net.latency"])
            self.assertEqual(both.armed[1].raw["fault"]["params"]["delay"], "1.5ms")

    def test_lift_and_halt(self) -> None:
        one, two = self.chaos.reset(AUTH), self.chaos.refuse(DB)
        self.assertEqual(one.lift().state, "lifted")
        self.assertEqual(one.lift().state, "lifted")
        self.assertEqual(self.chaos.halt("enough").lifted, (two.id,))
        self.assertEqual(two.lift().state, "lifted")
        three = self.chaos.reset(AUTH)
        self.assertEqual(self.chaos.lift(three.id).id, three.id)

    def test_close_lifts_what_it_injected_and_no_more(self) -> None:
        with Chaos(self.server.url) as other:
            left, right = other.reset(AUTH), self.chaos.refuse(DB)
        self.assertEqual((left.state, [f.id for f in self.chaos.faults()]), ("lifted", [right.id]))
        self.chaos.close()
        self.chaos.close()

    def test_a_lease_that_ends_early_is_said(self) -> None:
        with self.assertWarnsRegex(RuntimeWarning, "ended before its block"):
            with self.chaos.http_status(AUTH, 503, for_="150ms") as brief:
                limit = time.monotonic() + 30
                while self.chaos.faults() and time.monotonic() < limit:
                    pass
        self.assertEqual(brief.state, "expired")

    def test_empty_values_widen_nothing(self) -> None:
        for lease in ("0s", "0", timedelta(0)):
            with self.subTest(lease), self.assertRaises(chaosctl.BadInput) as caught:
                self.chaos.latency(AUTH, "5ms", for_=lease)
            self.assertRegex(str(caught.exception), "for: must be more than 0")
        for client in ("", (), []):
            for match in (Match(client=client), Match(path="/login", client=client), {"client": client}):
                with self.subTest(match), self.assertRaises(chaosctl.BadInput) as caught:
                    self.chaos.http_status(AUTH, 503, match=match)
                self.assertRegex(str(caught.exception), r"match\.client")
        with self.assertRaisesRegex(chaosctl.BadInput, "target.from"):
            self.chaos.http_status("auth-service", 503, from_=[])
        for some in (Match(client="127.0.0.1"), Match(client=("127.0.0.0/8",))):
            with self.chaos.http_status(AUTH, 503, match=some):
                self.assertEqual(self.ask(AUTH), 503)

    def test_status_kinds_topology(self) -> None:
        status = self.chaos.status()
        self.assertEqual((status.topology, status.debts, status.runs), ("shop", (), ()))
        self.assertEqual(sorted(e.name for e in status.edges), sorted([API, AUTH, DB]))
        self.assertEqual(self.server.relays[DB], self.chaos.edge("api-service->db-service").listen)
        with self.assertRaisesRegex(chaosctl.NotFound, "there are: .*users -> api-service"):
            status.edge("a -> b")
        self.assertIn("net.latency", [k["name"] for k in self.chaos.kinds()])
        self.assertEqual(self.chaos.topology()["metadata"]["name"], "shop")
        self.chaos.health()


class TestConnections(Served):
    def test_listed_and_closed(self) -> None:
        host, port = self.server.relays[DB].split(":")
        with socket.create_connection((host, int(port)), 30) as one, socket.create_connection((host, int(port)), 30) as two:
            for c in (one, two):
                c.sendall(b"GET / HTTP/1.1\r\nHost: db\r\n\r\n")
                self.assertTrue(c.recv(1))
            self.assertEqual([c.edge for c in self.chaos.connections()], [DB, DB])
            ids = {c.client: c.id for c in self.chaos.connections(DB)}
            mine = ["%s:%d" % c.getsockname() for c in (one, two)]
            self.assertEqual(self.chaos.close_connection(ids[mine[0]]).client, mine[0])
            while one.recv(4096):
                pass
            self.chaos.close_connection(ids[mine[1]], reset=True)
            with self.assertRaises(ConnectionResetError):
                while two.recv(4096):
                    pass
        with self.assertRaisesRegex(chaosctl.NotFound, "is open"):
            self.chaos.close_connection(1 << 63)
        with self.assertRaises(chaosctl.NotFound) as caught:
            self.chaos.connections("api-service -> ghost")
        self.assertIn(DB, caught.exception.hint)


class TestRefusals(Served):
    def test_mistakes_with_their_places(self) -> None:
        with self.assertRaises(chaosctl.BadInput) as caught:
            self.chaos.inject("net.latency", AUTH, params={"delay": "soon", "colour": 1})
        self.assertEqual(sorted(p.path for p in caught.exception.problems), ["faults[0].params.colour", "faults[0].params.delay"])
        self.assertIn("soon", str(caught.exception))

    def test_hints(self) -> None:
        with self.assertRaises(chaosctl.NotFound) as caught:
            self.chaos.lift("f-nothing")
        self.assertEqual((caught.exception.code, caught.exception.hint), ("not-found", "nothing is in force"))
        self.assertIn("hint: nothing is in force", str(caught.exception))

    def test_plain_numbers_have_no_unit(self) -> None:
        with self.assertRaisesRegex(TypeError, "500ms"):
            self.chaos.inject("net.reset", AUTH, for_=500)  # type: ignore[arg-type]


class TestToken(unittest.TestCase):
    def test_token_file(self) -> None:
        with tempfile.TemporaryDirectory() as folder, backend() as auth:
            file, other = os.path.join(folder, "token"), os.path.join(folder, "other")
            for name, text in ((file, "0123456789abcdef0123456789abcdef\n"), (other, "another-token-of-enough-length\n")):
                with open(os.open(name, os.O_WRONLY | os.O_CREAT, 0o600), "w") as f:
                    f.write(text)
            with chaosctl.serve(topology(auth), token_file=file) as server:
                server.chaos.reset(AUTH).lift()
                for chaos in (Chaos(server.url), Chaos(server.url, token_file=other), Chaos(server.url, token="x")):
                    chaos.health()
                    with self.assertRaises(chaosctl.Unauthorised):
                        chaos.status()
            with open(file, "a") as f:
                f.write("second line\n")
            with self.assertRaisesRegex(chaosctl.BadInput, "one token on one line"):
                Chaos(token_file=file)
            with self.assertRaisesRegex(chaosctl.BadInput, "plain file"):
                Chaos(token_file=folder)
            with self.assertRaisesRegex(chaosctl.BadInput, "cannot be read"):
                Chaos(token_file=os.path.join(folder, "nothing"))

    @unittest.skipUnless(os.name == "posix", "permissions are POSIX's")
    def test_warns_of_open_token_files(self) -> None:
        with tempfile.NamedTemporaryFile("w") as f:
            f.write("0123456789abcdef")
            f.flush()
            os.chmod(f.name, 0o644)
            with self.assertWarnsRegex(UserWarning, "chmod 600"):
                Chaos(token_file=f.name)
            os.chmod(f.name, 0o600)
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                Chaos(token_file=f.name)
