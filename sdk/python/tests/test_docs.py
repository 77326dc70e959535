"""What is documented runs, what is public is documented, what the API has is here."""

import ast
import contextlib
import importlib
import inspect
import io
import json
import os
import pkgutil
import re
import sys
import tempfile
import types
import unittest
from typing import Any, Callable, Dict, Iterator, List, Tuple
from unittest import mock

import chaosctl
import toxiproxy

from .stage import backend, topology
from .test_runs import SHORT

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

# Operations of the API, and who calls them here.
CALLED = {
    "health": "Chaos.health", "status": "Chaos.status", "topology": "Chaos.topology", "kinds": "Chaos.kinds",
    "faults": "Chaos.faults", "inject": "Chaos.inject", "fault": "Injection.refresh", "lift": "Chaos.lift",
    "halt": "Chaos.halt", "plan": "Chaos.plan", "runs": "Chaos.runs", "startRun": "Chaos.start_run", "run": "Run.record",
    "abortRun": "Run.abort", "keepAlive": "Run.wait", "report": "Chaos.report", "ledger": "Chaos.ledger",
    "connections": "Chaos.connections", "closeConnection": "Chaos.close_connection",
}  # fmt: skip
LEFT_OUT = {"events", "metrics", "openAPI", "openAPIYAML"}


def python_blocks() -> List[str]:
    with open(os.path.join(ROOT, "README.md"), encoding="utf-8") as f:
        return re.findall(r"^```python\n(.*?)^```", f.read(), re.MULTILINE | re.DOTALL)


class TestReadme(unittest.TestCase):
    def test_every_block_runs(self) -> None:
        """In their order, in one namespace, in a folder with the files they name."""
        blocks = python_blocks()
        self.assertEqual(len(blocks), 6)
        with contextlib.ExitStack() as stack:
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            shop = topology(stack.enter_context(backend()))
            for name, document in (("topology.yaml", shop), ("slow-auth.yaml", SHORT)):  # JSON is YAML
                with open(os.path.join(folder, name), "w") as f:
                    json.dump(document, f)
            server = stack.enter_context(chaosctl.serve(shop))
            stack.callback(os.chdir, os.getcwd())
            os.chdir(folder)
            stack.enter_context(mock.patch.dict(os.environ, {"CHAOSCTL_SERVER": server.url}))
            stack.enter_context(mock.patch.dict(sys.modules, {"pytest": pytest_standin()}))
            stack.enter_context(contextlib.redirect_stdout(io.StringIO()))
            names: Dict[str, Any] = {}
            for number, block in enumerate(blocks[:-1]):
                exec(compile(block, f"README.md block {number + 1}", "exec"), names)
                if number == 1:  # conftest.py and the test are complete
                    self.assertEqual(run_tests(names), ["test_checkout_while_auth_is_slow"])
            self.assertTrue(os.path.getsize("report.html"))

    def test_the_last_block_is_the_missions_example(self) -> None:
        """It runs in test_toxiproxy."""
        with open(os.path.join(ROOT, "tests", "mission_example.py")) as f:
            self.assertTrue(f.read().startswith(python_blocks()[-1]))


def pytest_standin() -> types.ModuleType:
    """As much of pytest as the README uses, which may not be installed: a decorator
    that marks generators as fixtures."""
    module = types.ModuleType("pytest")

    def fixture(function: Any = None, scope: str = "function") -> Any:
        def mark(f: Callable[..., Iterator[Any]]) -> Callable[..., Iterator[Any]]:
            setattr(f, "is_fixture", True)
            return f

        return mark if function is None else mark(function)

    setattr(module, "fixture", fixture)
    return module


def run_tests(names: Dict[str, Any]) -> List[str]:
    """Run the functions test_*, each argument being the fixture of its name."""
    ran = []
    fixtures = {n: contextlib.contextmanager(f) for n, f in names.items() if getattr(f, "is_fixture", False)}
    for name, function in list(names.items()):
        if not name.startswith("test_"):
            continue
        with contextlib.ExitStack() as stack:
            made: Dict[str, Any] = {}

            def make(n: str) -> Any:
                if n not in made:
                    made[n] = stack.enter_context(fixtures[n](*(make(a) for a in inspect.signature(fixtures[n]).parameters)))
                return made[n]

            function(*(make(a) for a in inspect.signature(function).parameters))
        ran.append(name)
    return ran


def modules() -> List[types.ModuleType]:
    found = [chaosctl, toxiproxy]
    for package in (chaosctl, toxiproxy):
        found += [importlib.import_module(f"{package.__name__}.{m.name}") for m in pkgutil.iter_modules(package.__path__)]
    return found


def functions() -> Iterator[Tuple[str, Any]]:
    """Every function and method that stands in our modules, by its name."""
    for module in modules():
        for name, value in vars(module).items():
            if getattr(value, "__module__", "") != module.__name__:
                continue
            if inspect.isfunction(value):
                yield f"{module.__name__}.{name}", value
            elif inspect.isclass(value):
                yield f"{module.__name__}.{name}", value
                for part, member in vars(value).items():
                    function = member.fget if isinstance(member, property) else getattr(member, "__func__", member)
                    if inspect.isfunction(function) and function.__module__ == module.__name__:
                        yield f"{module.__name__}.{name}.{part}", function


class TestHabits(unittest.TestCase):
    def test_documented_and_annotated(self) -> None:
        seen = 0
        for name, value in functions():
            seen += 1
            public = not any(p.startswith("_") and not p.startswith("__") for p in name.split("."))
            if inspect.isclass(value):
                self.assertTrue(value.__doc__ or not public, f"{name} has no docstring")
                continue
            if inspect.unwrap(value).__code__.co_filename.startswith("<"):
                continue  # a dataclass has written it
            self.assertTrue(value.__doc__ or not public, f"{name} has no docstring")
            signature = inspect.signature(value)
            self.assertIsNot(signature.return_annotation, signature.empty, f"{name} does not say what it returns")
            for p in list(signature.parameters.values()):
                if p.name not in ("self", "cls"):
                    self.assertIsNot(p.annotation, p.empty, f"{name} does not say what {p.name} is")
        self.assertGreater(seen, 100)
        for module in modules():
            self.assertTrue(module.__doc__, f"{module.__name__} has no docstring")

    def test_what_is_exported_is_there(self) -> None:
        for module in modules():
            for name in getattr(module, "__all__", ()):
                self.assertTrue(hasattr(module, name), f"{module.__name__}.{name}")
        for package in ("chaosctl", "toxiproxy"):
            self.assertTrue(os.path.exists(os.path.join(ROOT, package, "py.typed")))

    def test_python_3_9_reads_it(self) -> None:
        """And nothing but the standard library is imported."""
        ours = {"chaosctl", "toxiproxy"}
        for folder, _, files in os.walk(ROOT):
            for file in files:
                if not file.endswith(".py"):
                    continue
                with open(os.path.join(folder, file), encoding="utf-8") as f:
                    tree = ast.parse(f.read(), file, feature_version=(3, 9))
                for node in ast.walk(tree):
                    names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
                    if isinstance(node, ast.ImportFrom) and node.level == 0:
                        names.append(node.module or "")
                    for name in names:
                        top = name.split(".")[0]
                        known = getattr(sys, "stdlib_module_names", None)  # since 3.10
                        self.assertTrue(top in ours or known is None or top in known, f"{file} imports {name}")

    def test_the_whole_api_is_here(self) -> None:
        file = os.path.join(ROOT, "..", "..", "docs", "openapi.json")
        if not os.path.exists(file):
            self.skipTest("not in a checkout of chaosctl")
        with open(file) as f:
            paths = json.load(f)["paths"]
        operations = {o["operationId"] for methods in paths.values() for o in methods.values()}
        missing = operations - set(CALLED) - LEFT_OUT
        self.assertFalse(missing, "operations that Chaos lacks; add a method, or name them in LEFT_OUT")
        for name in CALLED.values():
            kind, method = name.split(".")
            self.assertTrue(hasattr(getattr(chaosctl, kind), method), name)
