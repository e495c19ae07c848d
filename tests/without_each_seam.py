"""Is every seam needed? Takes each out in turn and runs the tests of the promises.

    python tests/without_each_seam.py [WORD...]

tries the rows that are applied in the installed SDK, or those of them whose place has one of the
words in it, and prints what noticed the absence of each. What is listed last is either not tested
or not needed. The whole table takes an hour or two: a row that nothing notices costs a run of all
the tests.
"""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

TESTS = Path(__file__).parent
# In the order in which they are likely to notice.
FILES = ("test_p02_*", "test_p01_*", "test_p0[3-7]*", "test_precedence.py", "test_p17_hint.py")

CHILD = """
import os, sys
import dashscope_ws_patch._seams as table
place, *files = sys.argv[1:]
table.SEAMS = tuple(s for s in table.SEAMS if f"{s.module}:{s.attributes}" != place)
del os.environ["DASHSCOPE_WS_PATCH"]
import dashscope_ws_patch, pytest
dashscope_ws_patch.patch()
sys.exit(pytest.main(["-n", "0", "-x", "-q", "-p", "no:cacheprovider", *files]))
"""


def noticed(place: str) -> str:
    """The first test that fails without the row of ``place``; "" if none does."""
    files = [str(file) for pattern in FILES for file in sorted(TESTS.glob(pattern))]
    done = subprocess.run(
        [sys.executable, "-c", CHILD, place, *files],
        env={**os.environ, "DASHSCOPE_WS_PATCH": "0"},
        cwd=TESTS.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    marks = ("FAILED tests", "ERROR tests")
    failed = [line for line in done.stdout.splitlines() if line.startswith(marks)]
    return failed[0].split(" - ")[0] if failed else "" if done.returncode == 0 else done.stdout


def applied() -> list[str]:
    """The places at which the installed SDK is patched."""
    from dashscope_ws_patch.selftest.doctor import _seams

    return list(
        dict.fromkeys(
            f"{row['module']}:{row['attribute']}" for row in _seams() if row["state"] == "applied"
        )
    )


def main() -> int:
    words = sys.argv[1:] or [""]
    places = [place for place in applied() if any(word in place for word in words)]
    unnoticed = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for place, test in zip(places, pool.map(noticed, places)):
            print(f"{place}: {test or 'NOTHING NOTICES'}", flush=True)
            if not test:
                unnoticed.append(place)
    print(f"{len(places)} rows, {len(unnoticed)} that nothing notices", *unnoticed, sep="\n  ")
    return 1 if unnoticed else 0


if __name__ == "__main__":
    sys.path.insert(0, str(TESTS.parent))
    sys.exit(main())
