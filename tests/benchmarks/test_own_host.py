"""What it costs that a request goes to the workspace's own host: ``settle``, side by side.

P20's bound is 2 µs a request more than where nothing moves.
"""

from __future__ import annotations

import itertools
import statistics
from typing import Any, Callable

import pytest
from conftest import timed

from dashscope_ws_patch import use_workspace
from dashscope_ws_patch._decision import HEADER, settle

URL = "https://dashscope.aliyuncs.com/api/v1/services/aigc/text-generation/generation"
HEADERS = {"Authorization": "Bearer sk-x", "Accept": "application/json", "user-agent": "x" * 100}
OWN_HOST = "DASHSCOPE_WS_PATCH_OWN_HOST"

_tasks = itertools.count()


def ambient() -> Any:
    return settle(URL, HEADERS)


def named() -> Any:
    return settle(URL, {**HEADERS, HEADER: "ws_named"})


def polling() -> Any:
    """Paths are ever new ones."""
    return settle(f"https://dashscope.aliyuncs.com/api/v1/tasks/{next(_tasks)}", HEADERS)


@pytest.mark.parametrize("value", ["1", "eu-central-1"])
@pytest.mark.parametrize("work", [ambient, named, polling])
def test_moving(
    work: Callable[[], Any],
    value: str,
    benchmark: Any,
    report: Callable[[str], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    staying, moving = [], []

    def stays() -> None:
        monkeypatch.delenv(OWN_HOST, raising=False)
        with use_workspace("ws_x"):
            assert ".maas." not in work()[0]
            staying.append(timed(work, 2000))
        monkeypatch.setenv(OWN_HOST, value)

    def moves() -> None:
        with use_workspace("ws_x"):
            assert ".maas." in work()[0]
            moving.append(timed(work, 2000))

    benchmark.pedantic(moves, setup=stays, rounds=30)
    for name, of in (("fastest", min), ("median", statistics.median)):
        before, after = of(staying) * 1e6, of(moving) * 1e6
        benchmark.extra_info[name] = {"staying": before, "moving": after}
        report(
            f"{benchmark.name}, {name}: staying {before:.2f} µs, moving {after:.2f} µs: "
            f"{after - before:+.2f} µs"
        )
