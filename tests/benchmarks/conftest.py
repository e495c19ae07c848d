"""What the benchmarks share: the native SDK and the patched one, timed by turns in one process."""

from __future__ import annotations

import contextlib
import gc
import statistics
import time
from typing import Any, Callable

import pytest

import dashscope_ws_patch as shim

Work = Callable[[], Any]
Compare = Callable[..., None]


def timed(work: Work, number: int) -> float:
    """Seconds per call of ``work``, over ``number`` calls after a few to warm up."""
    for _ in range(20):  # the interpreter specialises code anew after each patch
        work()
    gc.disable()
    begin = time.perf_counter()
    for _ in range(number):
        work()
    seconds = time.perf_counter() - begin
    gc.enable()
    return seconds / number


@pytest.fixture
def report(capsys: pytest.CaptureFixture[str]) -> Callable[[str], None]:
    """Print a line past pytest's capture."""

    def line(text: str) -> None:
        with capsys.disabled():
            print(f"\n  {text}", end="", flush=True)

    return line


@pytest.fixture
def compare(
    benchmark: Any, report: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> Compare:
    """Benchmark ``native`` unpatched and ``shimmed`` patched, by turns.

    ``state`` says where the ambient workspace of the latter is from. The ratio of the fastest
    rounds is printed beside that of the medians: it is the one that other programs on the machine
    disturb least.
    """

    def by_turns(
        native: Work,
        shimmed: Work,
        state: str = "environment",
        rounds: int = 100,
        number: int = 100,
    ) -> None:
        natives, shimmeds = [], []

        def unpatched() -> None:
            gc.collect(0)
            shim.unpatch()
            monkeypatch.delenv("DASHSCOPE_WORKSPACE", raising=False)
            natives.append(timed(native, number))
            if state == "environment":
                monkeypatch.setenv("DASHSCOPE_WORKSPACE", "ws_x")
            shim.patch()

        def patched() -> None:
            with shim.use_workspace("ws_x") if state == "scope" else contextlib.nullcontext():
                shimmeds.append(timed(shimmed, number))

        benchmark.pedantic(patched, setup=unpatched, rounds=rounds)
        for name, of in (("fastest", min), ("median", statistics.median)):
            before, after = of(natives), of(shimmeds)
            benchmark.extra_info[name] = {"native": before, "shimmed": after}
            report(
                f"{benchmark.name}, {name}: native {before * 1e6:.2f} µs, with the shim "
                f"{after * 1e6:.2f} µs: {after / before:.3f} ×, {(after - before) * 1e6:+.2f} µs"
            )

    return by_turns
