"""P8: concurrent threads and tasks never see each other's scope."""

from __future__ import annotations

import asyncio
import threading
from typing import Any
from unittest import mock

import pytest
from sdk_calls import AIO_GENERATION, GENERATION, need

from dashscope_ws_patch import use_workspace
from dashscope_ws_patch.selftest.loopback import Loopback, redirect
from dashscope_ws_patch.selftest.surfaces import Drive, find


@pytest.fixture
def service(loopback: Loopback) -> Any:
    """Plain HTTP, for the handshakes of a thousand connections take a minute."""
    import dashscope

    with Loopback() as plain, redirect(plain.port):
        base = plain.address("dashscope.aliyuncs.com", "/api/v1")
        with mock.patch.object(dashscope, "base_http_api_url", base):
            yield plain


def _arguments(number: int) -> dict[str, Any]:
    return {"model": "m", "prompt": f"ws_{number}"}


def _asked(service: Loopback) -> list[tuple[str, str]]:
    found = []
    for request in service.drain():
        content = request.json()["input"]
        prompt = content.get("prompt") or content["messages"][-1]["content"]
        found.append((prompt, ",".join(request.workspaces)))
    return sorted(found)


def test_p8_a_thousand_tasks(service: Loopback, drive: Drive) -> None:
    need(AIO_GENERATION)
    count = 1000

    async def task(number: int, gate: asyncio.Semaphore) -> None:
        with use_workspace(f"ws_{number}"):
            await asyncio.sleep(0)
            async with gate:
                await find(AIO_GENERATION).call(**_arguments(number))

    async def main() -> None:
        gate = asyncio.Semaphore(50)
        await asyncio.gather(*(task(number, gate) for number in range(count)))

    drive.run(main())
    names = [f"ws_{number}" for number in range(count)]
    assert _asked(service) == sorted(zip(names, names))


def test_p8_coroutines_awaited_by_other_tasks(service: Loopback, drive: Drive) -> None:
    need(AIO_GENERATION)
    count = 200

    async def main() -> None:
        coroutines = []
        for number in range(count):
            with use_workspace(f"ws_{number}"):
                coroutines.append(find(AIO_GENERATION).call(**_arguments(number)))
        with use_workspace("ws_other"):
            for begin in range(0, count, 50):
                await asyncio.gather(*coroutines[begin : begin + 50])

    drive.run(main())
    names = [f"ws_{number}" for number in range(count)]
    assert _asked(service) == sorted(zip(names, names))


def test_p8_two_hundred_threads(service: Loopback) -> None:
    count, times = 200, 3
    barrier, failed = threading.Barrier(count), []

    def work(number: int) -> None:
        try:
            barrier.wait()
            for _ in range(times):
                with use_workspace(f"ws_{number}"):
                    find(GENERATION).call(**_arguments(number))
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    names = [f"ws_{number}" for number in range(count)] * times
    assert failed == [] and _asked(service) == sorted(zip(names, names))


def test_p8_streams_interleaved_in_one_thread(service: Loopback) -> None:
    count = 20
    streams = []
    for number in range(count):
        with use_workspace(f"ws_{number}"):
            streams.append(find(GENERATION).call(stream=True, **_arguments(number)))
    with use_workspace("ws_other"):
        while streams:
            streams = [stream for stream in streams if next(stream, None) is not None]
    names = [f"ws_{number}" for number in range(count)]
    assert _asked(service) == sorted(zip(names, names))
