"""Is every seam needed? Takes each out in turn and sees that a test of the promises goes red.

    python tests/helpers/without_each_seam.py [WORD...]

tries the rows that are applied in the installed SDK, or those of them whose place has one of the
words in it, and prints what noticed the absence of each. What is listed last is either not tested
or not needed. First all the tests run once, to see which functions of the SDK each of them passes
through; a row is then tried with the tests of its functions alone, one of each kind before the
rest, and with those that call the SDK in processes of their own. Ten minutes for the one, half an
hour for the other, on two cores that have nothing else to do.

It is the plugin of the pytest that it starts, too: in a copy of the checkout, whose table lacks the
row in every process.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
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
#: These, and the surfaces of the command line, are driven where nobody sees what they pass through.
ELSEWHERE = ("test_p05_one_voice_regional.py", "test_p05_one_voice_command_line.py")
#: Ends the table of the copy.
WITHOUT = """
import os

SEAMS = tuple(s for s in SEAMS if f"{s.module}:{s.attributes}" != os.environ.get("WITHOUT_SEAM"))
"""

# The plugin


_place = os.environ.get("WITHOUT_SEAM", "")
_passed: dict[str, set[str]] = {}
_now: set[str] = set()


def _surface(item: Any) -> Any:
    return item.callspec.params.get("surface") if hasattr(item, "callspec") else None


def _subject(item: Any) -> str:
    """What drives the SDK: a surface, whose tests look at the same recordings, or the test."""
    surface = _surface(item)
    return item.nodeid if surface is None else surface.name


def _is_elsewhere(item: Any) -> bool:
    surface = _surface(item)
    return item.path.name in ELSEWHERE or (surface and surface.group == "command line")


def _look(frame: Any, event: str, arg: object) -> None:
    module = frame.f_globals.get("__name__") or ""
    if event == "call" and module.startswith("dashscope."):
        _now.add(f"{module}:{frame.f_code.co_name}")


def pytest_runtest_protocol(item: Any) -> None:
    global _now
    if not _place:
        _now = _passed.setdefault(_subject(item), set())
        sys.setprofile(_look)
        threading.setprofile(_look)


def pytest_sessionfinish() -> None:
    if not _place:
        sys.setprofile(None)
        threading.setprofile(None)
        found = {subject: sorted(names) for subject, names in _passed.items()}
        Path(os.environ["PASSED"]).write_text(json.dumps(found))


def pytest_collection_modifyitems(items: list[Any]) -> None:
    if not _place:
        return
    passed = json.loads(Path(os.environ["PASSED"]).read_text())
    module, _, attributes = _place.partition(":")
    package = module.removesuffix(".*")
    # A private name is known by its class.
    names = {
        re.sub("^_[A-Z][A-Za-z]+(?=__)", "", path.rpartition(".")[2]) for path in attributes.split()
    }

    def concerns(function: str) -> bool:
        owner, _, name = function.partition(":")
        here = owner.rpartition(".")[0] == package if package != module else owner == module
        # What is no method may be a library, by whatever function it is used.
        return here and ("." not in attributes or "*" in names or name in names)

    chosen = [item for item in items if any(map(concerns, passed.get(_subject(item), ())))]
    first = {item.nodeid.partition("[")[0]: item for item in reversed(chosen)}
    last = filter(_is_elsewhere, items)
    items[:] = dict.fromkeys([*reversed(first.values()), *chosen, *last])


# The program


def run(copy: Path, place: str = "") -> subprocess.CompletedProcess[str]:
    """Run the tests without the row of ``place``, or all of them to see what they pass through."""
    tests = copy / "tests"
    files = [str(file) for pattern in FILES for file in sorted(tests.rglob(pattern))]
    plugins = ["-p", "no:cacheprovider", "-p", "without_each_seam"]
    more = ["-x"] if place else []
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-n", "0", "-q", *plugins, *more, *files],
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(map(str, (copy, tests / "helpers"))),
            "WITHOUT_SEAM": place,
            "PASSED": str(copy / "passed.json"),
            "ONE_VOICE_CELLS": "100",
            "ONE_VOICE_SEED": "1",
        },
        cwd=copy,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def noticed(copy: Path, place: str) -> str:
    """The first test that fails without the row of ``place``; "" if none does."""
    done = run(copy, place)
    marks = ("FAILED tests", "ERROR tests")
    failed = [line for line in done.stdout.splitlines() if line.startswith(marks)]
    return failed[0].split(" - ")[0] if failed else "" if done.returncode == 0 else done.stdout


def applied() -> Iterator[str]:
    """The places at which the installed SDK is patched."""
    from dashscope_ws_patch.selftest.doctor import seam_states

    for row in seam_states():
        if row["state"] == "applied":
            yield f"{row['module']}:{row['attribute']}"


def main() -> int:
    sys.path.insert(0, str(ROOT))
    words = sys.argv[1:] or [""]
    places = [p for p in dict.fromkeys(applied()) if any(word in p for word in words)]
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, "copy")
        kept = shutil.ignore_patterns(".*", "__pycache__", "*.egg-info")
        shutil.copytree(ROOT, copy, ignore=kept)
        with open(copy / "dashscope_ws_patch" / "_seams.py", "a") as table:
            table.write(WITHOUT)
        if "passed" not in run(copy).stdout:
            print("no test passes with the whole table")
            return 2
        unnoticed = []
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            found = pool.map(lambda place: noticed(copy, place), places)
            for place, test in zip(places, found):
                print(f"{place}: {test or 'NOTHING NOTICES'}", flush=True)
                if not test:
                    unnoticed.append(place)
    print(f"{len(places)} rows, {len(unnoticed)} that nothing notices", *unnoticed, sep="\n  ")
    return 1 if unnoticed else 0


if __name__ == "__main__":
    sys.exit(main())
