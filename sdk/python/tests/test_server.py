"""A server of one's own: ready when it is there, gone when it is not needed."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import unittest

import chaosctl
from chaosctl import Chaos, find_binary, serve

from .stage import AUTH, backend, topology

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


class TestServe(unittest.TestCase):
    def test_ready_and_gone(self) -> None:
        with backend() as auth:
            with serve(topology(auth)) as server:
                server.chaos.health()
                self.assertEqual(sorted(server.relays), sorted(e.name for e in server.chaos.status().edges))
                server.chaos.refuse(AUTH)  # lifted by the server's end
                self.assertIn(server.url, repr(server))
            server.close()
            self.assertIn("lifting everything", server.log)
            with self.assertRaises(chaosctl.Unavailable):
                server.chaos.health()

    def test_state_and_arguments(self) -> None:
        with backend() as auth, tempfile.TemporaryDirectory() as folder:
            with serve(topology(auth), state_dir=folder, args=["--drain", "1s"]) as server:
                Chaos(server.url, actor="ann é").reset(AUTH).lift()
            with open(os.path.join(folder, "audit.log")) as f:
                self.assertIn("ann ?", f.read())

    def test_refused_topology(self) -> None:
        with self.assertRaises(chaosctl.BadInput) as caught:
            serve({"apiVersion": "chaosctl.dev/v1alpha1", "kind": "Topology", "metadata": {"name": "x"}, "spec": {"services": {}, "edgs": []}})
        self.assertIn("edgs", str(caught.exception))
        with self.assertRaises(chaosctl.BadInput):
            serve("/there/is/no/such/topology.yaml")

    def test_no_program(self) -> None:
        with self.assertRaises(chaosctl.BadInput) as caught:
            find_binary("there-is-no-such-program")
        self.assertIn("CHAOSCTL", caught.exception.hint)
        with tempfile.NamedTemporaryFile() as f:
            with self.assertRaises(chaosctl.BadInput):
                serve({}, binary=f.name)

    @unittest.skipUnless(os.name == "posix", "a shell stands in for the program")
    def test_not_ready_in_time(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            silent = os.path.join(folder, "silent")
            with open(os.open(silent, os.O_WRONLY | os.O_CREAT, 0o700), "w") as f:
                f.write("#!/bin/sh\nexec sleep 600\n")
            with self.assertRaisesRegex(chaosctl.Unavailable, "not ready after 0.2 s"):
                serve({}, binary=silent, timeout=0.2)

    @unittest.skipUnless(os.name == "posix", "signals are POSIX's")
    def test_died_by_itself(self) -> None:
        with backend() as auth:
            server = serve(topology(auth))
            os.killpg(server.pid, signal.SIGKILL)  # the keeper and its program, which have a session of their own
            with self.assertRaises(chaosctl.ChaosError):
                server.close()
            with self.assertRaises(chaosctl.Unavailable):
                server.chaos.health()

    @unittest.skipUnless(os.name == "posix", "signals are POSIX's")
    def test_ends_with_a_test_process_that_is_killed(self) -> None:
        """SIGKILL runs no finally and no atexit; the server goes nevertheless."""
        script = "import sys, chaosctl; s = chaosctl.serve(sys.argv[1]); print(s.url, flush=True); sys.stdin.read()"
        with backend() as auth, tempfile.TemporaryDirectory() as folder:
            file = os.path.join(folder, "topology.json")
            with open(file, "w") as f:
                json.dump(topology(auth), f)
            with subprocess.Popen([sys.executable, "-c", script, file], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ, "TMPDIR": folder}) as tests:
                assert tests.stdout is not None
                chaos = Chaos(tests.stdout.readline().decode().strip())
                chaos.health()
                tests.kill()
            limit = time.monotonic() + 30
            with self.assertRaises(chaosctl.Unavailable):
                while time.monotonic() < limit:
                    chaos.health()
            while os.listdir(folder) != ["topology.json"]:
                self.assertLess(time.monotonic(), limit, "files are left behind")
