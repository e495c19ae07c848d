"""Memory over a million requests that are built, and over objects that come and go."""

from __future__ import annotations

import gc
import sys
from pathlib import Path
from typing import Any, Callable

import dashscope
import pytest
from dashscope.audio.asr import Recognition, RecognitionCallback

from dashscope_ws_patch import use_workspace

STATM = Path("/proc/self/statm")


def in_use() -> tuple[int, float]:
    """Blocks that the interpreter has allocated, and MiB of resident memory (0 if unknown)."""
    gc.collect()
    pages = int(STATM.read_text().split()[1]) if STATM.exists() else 0
    return sys.getallocatedblocks(), pages * 4096 / 2**20


def flat(work: Callable[[], Any], number: int, report: Callable[[str], None]) -> None:
    """Assert that ``number`` times ``work`` leave nothing behind; print what is in use."""
    for _ in range(number // 100):
        work()
    before = in_use()
    for tenth in range(1, 11):
        for _ in range(number // 10):
            work()
        blocks, resident = in_use()
        report(f"after {number // 10 * tenth:9,}: {blocks:9,} blocks, {resident:6.1f} MiB")
    assert blocks - before[0] < 100
    assert resident - before[1] < 1


@pytest.fixture(autouse=True)
def _ambient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DASHSCOPE_WORKSPACE", "ws_x")
    monkeypatch.setattr(dashscope, "api_key", "sk-benchmark")


def test_a_million_requests(report: Callable[[str], None]) -> None:
    flat(lambda: dashscope.Generation.call("m", prompt="p", stream=True), 1_000_000, report)


def test_requests_in_scopes_of_their_own(report: Callable[[str], None]) -> None:
    def work() -> None:
        with use_workspace("ws_scope"):
            dashscope.Generation.call("m", prompt="p", stream=True)
            dashscope.Generation.call("m", prompt="p", stream=True, workspace="ws_named")

    flat(work, 100_000, report)


def test_objects_that_remember_their_scope(report: Callable[[str], None]) -> None:
    callback = RecognitionCallback()

    def work() -> None:
        with use_workspace("ws_scope"):
            Recognition("m", callback, "pcm", 16000)

    flat(work, 100_000, report)
