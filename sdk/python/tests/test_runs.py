"""Experiments: a verdict, whatever it is, and nothing left behind."""

import json
import os
import tempfile
import threading
import unittest
from typing import Any, Dict

import chaosctl
from chaosctl.runs import _topology_ref, run_request

from .stage import Served

SHORT: Dict[str, Any] = {
    "apiVersion": "chaosctl.dev/v1alpha1",
    "kind": "Experiment",
    "metadata": {"name": "short"},
    "spec": {
        "topologyRef": "shop",
        "traffic": [{"name": "all", "service": "api-service", "http": {"path": "/"}, "rate": "50/s", "timeout": "5s"}],
        "gates": [{"name": "there", "of": "all", "success": ">= 50%"}],
        "steady": {"for": "500ms"},
        "steps": [{"name": "slow", "for": "500ms", "faults": [{"kind": "net.latency", "target": {"service": "api-service"}, "params": {"delay": "1ms"}}]}],
        "recovery": {"within": "10s", "hold": "500ms"},
    },
}


class TestRuns(Served):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.file = self.write("short.json", SHORT)

    def write(self, name: str, document: Any) -> str:
        path = os.path.join(self.folder, name)
        with open(path, "w") as f:
            f.write(document if isinstance(document, str) else json.dumps(document))
        return path

    def test_pass(self) -> None:
        record = self.chaos.run(self.file, timeout=120).check()
        self.assertEqual((record.outcome, record.exit, record.over), ("pass", 0, True))
        self.assertTrue(record.reasons)
        self.assertEqual(record.raw["injections"][0]["state"], "lifted")
        self.assertIn(record.id, [r.id for r in self.chaos.runs()])
        self.assertIn(b"<testsuite", self.chaos.report(record.id, "junit"))
        entries = self.chaos.ledger(record.id)
        self.assertEqual([e["no"] for e in entries], sorted(e["no"] for e in entries))
        self.assertEqual(self.chaos.ledger(record.id, limit=2), entries[:2])
        self.assertLess(len(self.chaos.ledger(record.id, hurt=True)), len(entries))
        with self.assertRaises(chaosctl.ChaosError):
            self.chaos.ledger(record.id, no="many")

    def test_fail_is_an_assertion(self) -> None:
        ill = json.loads(json.dumps(SHORT))
        ill["spec"]["steps"][0]["faults"] = [{"kind": "http.status", "target": {"service": "api-service"}, "params": {"code": 503}}]
        record = self.chaos.run(self.write("ill.json", ill))
        self.assertEqual((record.outcome, record.exit), ("fail", 3))
        with self.assertRaisesRegex(AssertionError, "short: fail") as caught:
            record.check()
        self.assertIsInstance(caught.exception, chaosctl.ChaosError)

    def test_kept_alive_past_the_servers_patience(self) -> None:
        """The server aborts a run whose client is silent for 15 s; the heartbeats
        are counted instead of waiting for that."""
        run = self.chaos.start_run(self.file, set_=["spec.steps[0].for=5m"])
        beats, asked = threading.Semaphore(0), run._wire.ask

        def count(method: str, path: str, *args: Any, **more: Any) -> Any:
            answer = asked(method, path, *args, **more)
            if path.endswith("/keepalive"):
                beats.release()
            return answer

        run._wire.ask = count  # type: ignore[method-assign]
        try:
            self.assertTrue(beats.acquire(timeout=30) and beats.acquire(timeout=30), "no heartbeat")
        finally:
            run._wire.ask = asked  # type: ignore[method-assign]
            run.abort("enough")
        self.assertEqual(run.wait().outcome, "aborted")

    def test_left_early_is_aborted(self) -> None:
        with self.assertRaises(KeyboardInterrupt):
            with self.chaos.start_run(self.file, set_=["spec.steps[0].for=5m"]) as run:
                raise KeyboardInterrupt
        self.assertEqual(run.wait(60).outcome, "aborted")
        self.assertIn("KeyboardInterrupt", run.record().raw["aborted"])

    def test_waits_no_longer_than_asked(self) -> None:
        with self.assertRaises(TimeoutError):
            self.chaos.run(self.file, set_=["spec.steps[0].for=5m"], timeout=0.2)
        self.assertEqual(self.chaos.runs()[-1].experiment, "short")

    def test_halt_ends_a_run(self) -> None:
        with self.chaos.start_run(self.file, set_=["spec.steps[0].for=5m"]) as run:
            self.assertEqual(self.chaos.halt().aborted, (run.id,))
            self.assertEqual(run.wait(60).outcome, "aborted")

    def test_one_at_a_time(self) -> None:
        with self.chaos.start_run(self.file, set_=["spec.steps[0].for=5m"]):
            with self.assertRaises(chaosctl.Conflict):
                self.chaos.run(self.file)

    def test_topology_beside_it(self) -> None:
        self.write("topology.json", self.chaos.topology())
        other = json.loads(json.dumps(SHORT))
        other["spec"]["topologyRef"] = "topology.json"
        self.assertEqual(self.chaos.plan(self.write("other.json", other))["topology"], "shop")
        with self.assertRaises(chaosctl.BadInput):
            self.chaos.plan(self.file, topology=self.write("bad.json", "{}"))

    def test_mistakes(self) -> None:
        with self.assertRaisesRegex(chaosctl.BadInput, "cannot be read"):
            self.chaos.run(os.path.join(self.folder, "nothing.yaml"))
        with self.assertRaises(chaosctl.BadInput) as caught:
            self.chaos.run(self.file, set_=["spec.steady.for=soon"])
        self.assertIn("steady", str(caught.exception))


class TestTopologyRef(unittest.TestCase):
    def test_found_in_documents_as_people_write_them(self) -> None:
        for document, want in {
            "kind: Experiment\nspec:\n  topologyRef: a.yaml\n": "a.yaml",
            "spec:\n  topologyRef: a.yaml   # beside this one\n": "a.yaml",
            'spec:\n    topologyRef: "a b.yaml"\n': "a b.yaml",
            "spec:\n  'topologyRef': '../t.yaml'\r\n": "../t.yaml",
            '{"spec": {"topologyRef": "t.json"}}': "t.json",
            "spec:\n  topology: {}\n": "",
            "# topologyRef: no.yaml\nspec: {}\n": "",
            "[]": "",
            "{}": "",
        }.items():
            with self.subTest(document):
                self.assertEqual(_topology_ref(document), want)

    def test_a_name_that_is_no_file_is_left_to_the_server(self) -> None:
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as f:
            f.write("spec:\n  topologyRef: shop\n")
            f.flush()
            self.assertNotIn("topology", run_request(f.name))
