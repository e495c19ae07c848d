"""Is every seam needed? Takes each out in turn and sees that a test of the promises goes red.

    python tests/without_each_seam.py [WORD...]

tries the rows that are applied in the installed SDK, or those of them whose place has one of the
words in it, and prints what noticed the absence of each. What is listed last is either not tested
or not needed. First all the tests run once, to see which module of the SDK each of them passes
through; a row is then tried with tests of its module alone, of each function some of its cases
(MOST=12; 0 means all). A quarter of an hour for the one, as much again for the other.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

TESTS = Path(__file__).parent
#: Those whose calls are made in their own process: in others the table is whole.
FILES = (
    "test_p0[1-8]*",
    "test_p09_older_clients.py",
    "test_p1[0124]*",
    "test_p15_switch.py",
    "test_p17_hint.py",
    "test_p19*",
    "test_precedence.py",
    "test_workspace.py",
)
ELSEWHERE = ("test_p05_one_voice_regional.py", "test_p05_one_voice_command_line.py")

#: The modules of the SDK that each test passes through, by its id.
Passed = dict[str, list[str]]


class Tracing:
    """A plugin that keeps which modules of the SDK the code that a test runs is in."""

    def __init__(self) -> None:
        self.passed: Passed = {}

    def pytest_runtest_protocol(self, item: Any) -> None:
        self._seen: set[str] = set()
        for module in (sys, threading):
            module.setprofile(self._look)

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.when == "call" and report.passed:  # what fails with the whole table says nothing
            seen = sorted(name for name in self._seen if name.startswith("dashscope."))
            self.passed[report.nodeid] = seen

    def pytest_runtest_logfinish(self) -> None:
        for module in (sys, threading):
            module.setprofile(None)

    def _look(self, frame: Any, event: str, arg: object) -> None:
        if event == "call":
            self._seen.add(frame.f_globals.get("__name__") or "")


class Choosing:
    """A plugin that runs tests that pass through a module, one of each function first."""

    def __init__(self, passed: Passed, module: str) -> None:
        package, star, _ = module.rpartition(".*")
        cases: dict[str, list[str]] = {}
        for test, modules in passed.items():
            if any(m.rpartition(".")[0] == package if star else m == module for m in modules):
                cases.setdefault(test.partition("[")[0], []).append(test)
        most = int(os.environ.get("MOST", "12"))
        self.chosen = {
            test
            for tests in cases.values()
            for test in (tests[:: -(-len(tests) // most)] if most else tests)
        }

    def pytest_collection_modifyitems(self, config: Any, items: list[Any]) -> None:
        chosen = [item for item in items if item.nodeid in self.chosen]
        first = {item.nodeid.partition("[")[0]: item for item in reversed(chosen)}
        rest = [item for item in chosen if item not in first.values()]
        items[:] = [*reversed(first.values()), *rest]


def child(place: str) -> int:
    """Run the tests without the row of ``place``, or all of them to see what they pass through."""
    import pytest

    import dashscope_ws_patch._seams as table

    table.SEAMS = tuple(s for s in table.SEAMS if f"{s.module}:{s.attributes}" != place)
    del os.environ["DASHSCOPE_WS_PATCH"]
    import dashscope_ws_patch

    dashscope_ws_patch.patch()
    arguments = ["-n", "0", "-q", "-p", "no:cacheprovider"]
    passed = Path(os.environ["PASSED"])
    if place:
        choosing = Choosing(json.loads(passed.read_text()), place.partition(":")[0])
        files = sorted({test.partition("::")[0] for test in choosing.chosen})
        return pytest.main([*arguments, "-x", *files], plugins=[choosing]) if files else 0
    files = [str(file) for pattern in FILES for file in sorted(TESTS.glob(pattern))]
    tracing = Tracing()
    pytest.main([*arguments, *(f for f in files if not f.endswith(ELSEWHERE))], plugins=[tracing])
    passed.write_text(json.dumps(tracing.passed))
    return 0


def run(place: str, passed: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, __file__, "--without", place],
        env={**os.environ, "DASHSCOPE_WS_PATCH": "0", "PASSED": passed},
        cwd=TESTS.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    return done.returncode, done.stdout


def noticed(place: str, passed: str) -> str:
    """The first test that fails without the row of ``place``; "" if none does."""
    status, output = run(place, passed)
    if status == 0:
        return ""
    marks = ("FAILED tests", "ERROR tests")
    failed = [line for line in output.splitlines() if line.startswith(marks)]
    return failed[0].split(" - ")[0] if failed else output


def applied() -> Iterator[str]:
    """The places at which the installed SDK is patched."""
    from dashscope_ws_patch.selftest.doctor import _seams

    for row in _seams():
        if row["state"] == "applied":
            yield f"{row['module']}:{row['attribute']}"


def main() -> int:
    import tempfile

    words = sys.argv[1:] or [""]
    places = [p for p in dict.fromkeys(applied()) if any(word in p for word in words)]
    with tempfile.TemporaryDirectory() as folder:
        passed = os.path.join(folder, "passed.json")
        run("", passed)
        unnoticed = []
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            found = pool.map(lambda place: noticed(place, passed), places)
            for place, test in zip(places, found):
                print(f"{place}: {test or 'NOTHING NOTICES'}", flush=True)
                if not test:
                    unnoticed.append(place)
    print(f"{len(places)} rows, {len(unnoticed)} that nothing notices", *unnoticed, sep="\n  ")
    return 1 if unnoticed else 0


if __name__ == "__main__":
    sys.path.insert(0, str(TESTS.parent))
    sys.exit(child(sys.argv[2]) if sys.argv[1:2] == ["--without"] else main())
