"""The cost of ``import dashscope``, with the shim and without, in interpreters of their own."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from typing import Any, Callable

from environments import ROOT

TIMED = """
import time
begin = time.perf_counter()
import wrapt
wrapt_imported = time.perf_counter()
{first}
ready = time.perf_counter()
import dashscope
print(wrapt_imported - begin, ready - wrapt_imported, time.perf_counter() - ready)
"""


def seconds(first: str) -> list[float]:
    """How long ``import wrapt``, ``first`` and ``import dashscope`` take, one after the other."""
    done = subprocess.run(
        [sys.executable, "-c", TIMED.format(first=first)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=True,
        capture_output=True,
        text=True,
    )
    return [float(value) for value in done.stdout.split()]


def test_import(benchmark: Any, report: Callable[[str], None]) -> None:
    """``import dashscope``; wrapt is imported before, and reported apart."""
    natives, shimmeds = [], []
    benchmark.pedantic(
        lambda: shimmeds.append(seconds("import dashscope_ws_patch")),
        setup=lambda: natives.append(seconds("")),
        rounds=25,
    )
    for name, of in (("fastest", min), ("median", statistics.median)):
        wrapt, _, native = map(of, zip(*natives))
        _, shim, shimmed = map(of, zip(*shimmeds))
        report(
            f"import dashscope, {name}: native {native * 1e3:.1f} ms, with the shim "
            f"{shimmed * 1e3:.1f} ms: {shimmed / native:.3f} ×; before it import "
            f"dashscope_ws_patch {shim * 1e3:.1f} ms, import wrapt {wrapt * 1e3:.1f} ms"
        )
