"""The mission's example, and what package toxiproxy adds to it."""

import json
import os
import subprocess
import sys
import unittest
from typing import Any, Dict

import chaosctl
from toxiproxy import Toxic, ToxicDirection, Toxiproxy

from . import private_network
from .stage import backend, get

HERE = os.path.dirname(os.path.abspath(__file__))
EXAMPLE = os.path.join(HERE, "mission_example.py")


class TestMission(unittest.TestCase):
    @unittest.skipUnless(sys.platform == "linux", "networks of one's own are Linux's")
    def test_as_it_is_written(self) -> None:
        """Not a character is changed: ports 8474 and 8666 and the host api.service are
        those of a network namespace."""
        done = subprocess.run([sys.executable, "-m", "tests.private_network", EXAMPLE], cwd=os.path.dirname(HERE), capture_output=True, text=True, timeout=180)
        if done.returncode == private_network.NO_NETWORK:
            self.skipTest(done.stdout.strip())
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        seen = json.loads(done.stdout)
        self.assertEqual(seen["hurt"][0], 200)
        self.assertGreaterEqual(seen["hurt"][1], 1.9, "the latency of 2 s is not felt")
        self.assertEqual(seen["healed"][0], 200)
        self.assertLess(seen["healed"][1], seen["hurt"][1], "the latency of 2 s is still felt after the reset")
        self.assertEqual(seen["edges"], ["toxiproxy -> api_downstream"])
        self.assertEqual(seen["owners"], ["toxiproxy"])


class TestToxiproxy(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        cls.backend = cls.enter(backend())
        server = cls.enter(chaosctl.serve(private_network.NOTHING, args=["--toxiproxy", "127.0.0.1:0", "--api", "127.0.0.1:0"]))
        cls.url = toxiproxy_url(server)

    @classmethod
    def enter(cls, manager: Any) -> Any:
        value = manager.__enter__()
        cls.addClassCleanup(manager.__exit__, None, None, None)
        return value

    def test_example_on_free_ports(self) -> None:
        """The example with other addresses, for where it cannot have its own."""
        with open(EXAMPLE) as f:
            text = f.read()
        for was, now in (("http://localhost:8474", self.url), ("localhost:8666", "localhost:0"), ("api.service:8080", self.backend)):
            self.assertEqual(text.count(was), 1)
            text = text.replace(was, now)
        names: Dict[str, Any] = {}
        exec(compile(text, EXAMPLE, "exec"), names)
        made = names["proxy"].get("api_downstream")
        self.addCleanup(made.delete)
        self.assertGreaterEqual(get(made.listen)[1], 1.9)
        names["proxy"].reset()
        self.assertEqual((get(made.listen)[0], len(made.toxics)), (200, 0))

    def test_toxics(self) -> None:
        server = Toxiproxy(self.url)
        with self.assertRaisesRegex(chaosctl.BadInput, "no proxy was created"):
            server.toxics
        with server.create("service", self.backend) as proxy:
            self.assertEqual(server.toxics, proxy.toxics)
            slow = proxy.toxics.add(Toxic("latency", attributes={"latency": 1}))
            self.assertEqual((slow.name, slow.stream, slow.toxicity), ("latency_downstream", ToxicDirection.DOWNSTREAM, 1.0))
            slow.attributes["latency"], slow.toxicity = 300, 0.5
            self.assertEqual(proxy.toxics.update(slow).attributes["latency"], 300)
            self.assertEqual(proxy.toxics.get(slow.name).toxicity, 0.5)
            with self.assertRaises(chaosctl.Conflict):
                proxy.toxics.add(Toxic("noop", name=slow.name))
            with self.assertRaises(chaosctl.BadInput):
                proxy.toxics.add(Toxic("nonsense"))
            up = proxy.toxics.add(Toxic("noop", stream=ToxicDirection.UPSTREAM))
            self.assertEqual(sorted(t.name for t in proxy.toxics), ["latency_downstream", up.name])
            proxy.toxics.remove(slow.name)
            with self.assertRaises(chaosctl.NotFound):
                proxy.toxics.get(slow.name)
            self.assertEqual(len(proxy.toxics), 1)
        self.assertEqual(server.proxies(), {})

    def test_proxies(self) -> None:
        server = Toxiproxy(self.url)
        one, two = server.populate([{"name": "one", "upstream": self.backend, "listen": "127.0.0.1:0"}, {"name": "a b", "upstream": self.backend}])
        self.assertEqual(sorted(server.proxies()), ["a b", "one"])
        self.assertEqual(get(one.listen)[0], 200)
        self.assertFalse(one.disable().enabled)
        with self.assertRaises(OSError):
            get(one.listen)
        one.enable()
        self.assertEqual(get(one.listen)[0], 200)
        with self.assertRaises(chaosctl.Conflict):
            server.create("one", self.backend)
        two.delete()
        one.delete()
        with self.assertRaises(chaosctl.NotFound):
            server.get("one")
        self.assertRegex(server.version(), r"^\d+\.\d+")


def toxiproxy_url(server: chaosctl.Server) -> str:
    """Where Toxiproxy's API listens, from the ready line."""
    return str(server.ready["toxiproxy"])
