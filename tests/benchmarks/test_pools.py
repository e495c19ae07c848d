"""P14: a round trip through a pool where no scope holds, natively and followed, by turns.

asyncio looks up each name this way.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Callable

import pytest

from dashscope_ws_patch import use_workspace

Compare = Callable[..., None]


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    with contextlib.closing(asyncio.new_event_loop()) as loop, ThreadPoolExecutor(1) as pool:
        loop.set_default_executor(pool)
        yield loop


def test_run_in_executor_in_no_scope(loop: Any, compare: Compare) -> None:
    async def trips() -> None:
        for _ in range(20):
            await loop.run_in_executor(None, int)

    def work() -> None:
        loop.run_until_complete(trips())

    def followed() -> None:
        if not hasattr(ThreadPoolExecutor.submit, "__wrapped__"):
            with use_workspace("ws_x"):  # pools are followed from the first scope on
                pass
        work()

    compare(work, followed, "none", rounds=50, number=10)
