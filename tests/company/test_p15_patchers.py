"""P15 beside others that patch the same libraries, below us and on top.

Those that are not installed are left out; the tox environment ``clients-newest`` has them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import aiohttp
import httpx
import pytest
import requests
from library_calls import FOREIGN, URL, seen, trust

import dashscope_ws_patch
from dashscope_ws_patch import use_workspace
from dashscope_ws_patch.selftest.loopback import Loopback


async def with_aiohttp(url: str) -> None:
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        await answer.read()


def send_all() -> None:
    """One request of each library to the service, then one elsewhere."""
    with use_workspace("ws_a"):
        for url in (URL, FOREIGN):
            requests.get(url, timeout=300)
            httpx.get(url, verify=trust())
            asyncio.run(with_aiohttp(url))


RIGHT = [["ws_a"]] * 3 + [[]] * 3


@pytest.fixture
def switched_off(loopback: Loopback) -> Iterator[Loopback]:
    dashscope_ws_patch.patch(clients=False)
    yield loopback
    dashscope_ws_patch.patch(clients=False)


@pytest.mark.parametrize("first", ["ours", "theirs"])
def test_p15_beside_opentelemetry(switched_off: Loopback, first: str) -> None:
    name = "opentelemetry.instrumentation"
    instrumentors: list[Any] = [
        pytest.importorskip(f"{name}.requests").RequestsInstrumentor(),
        pytest.importorskip(f"{name}.httpx").HTTPXClientInstrumentor(),
        pytest.importorskip(f"{name}.aiohttp_client").AioHttpClientInstrumentor(),
        pytest.importorskip(f"{name}.urllib3").URLLib3Instrumentor(),
    ]
    if first == "ours":
        dashscope_ws_patch.patch(clients=True)
    for instrumentor in instrumentors:
        instrumentor.instrument()
    try:
        dashscope_ws_patch.patch(clients=True)
        send_all()
        assert seen(switched_off) == RIGHT
    finally:
        if first == "theirs":
            dashscope_ws_patch.patch(clients=False)
        for instrumentor in instrumentors:
            instrumentor.uninstrument()
    dashscope_ws_patch.patch(clients=True)
    send_all()
    assert seen(switched_off) == RIGHT


def test_p15_beside_sentry(switched_off: Loopback) -> None:
    sentry = pytest.importorskip("sentry_sdk")
    sentry.init(dsn=None, traces_sample_rate=1.0)
    dashscope_ws_patch.patch(clients=True)
    send_all()
    assert seen(switched_off) == RIGHT


@pytest.mark.parametrize("first", ["ours", "theirs"])
def test_p15_what_responses_is_asked(switched_off: Loopback, first: str) -> None:
    responses = pytest.importorskip("responses")
    if first == "ours":
        dashscope_ws_patch.patch(clients=True)
    with responses.RequestsMock() as mocked, use_workspace("ws_a"):
        dashscope_ws_patch.patch(clients=True)
        mocked.get(URL, json={})
        mocked.get(FOREIGN, json={})
        requests.get(URL, timeout=300)
        requests.get(FOREIGN, timeout=300)
        asked = [call.request.headers.get("X-DashScope-WorkSpace") for call in mocked.calls]
    assert asked == [None, None]  # what the program asked; the rest is added where it is written
    send_all()
    assert seen(switched_off) == RIGHT


def test_p15_what_respx_is_asked(switched_off: Loopback) -> None:
    respx = pytest.importorskip("respx")
    dashscope_ws_patch.patch(clients=True)
    with respx.mock, use_workspace("ws_a"):
        route = respx.get(URL).respond(json={})
        httpx.get(URL)
        assert "x-dashscope-workspace" not in route.calls[0].request.headers
    send_all()
    assert seen(switched_off) == RIGHT


def test_p15_beside_vcr(switched_off: Loopback, tmp_path: Any) -> None:
    vcr = pytest.importorskip("vcr")
    dashscope_ws_patch.patch(clients=True)
    for _ in range(2):  # recorded, then played
        with vcr.use_cassette(str(tmp_path / "cassette.yaml")), use_workspace("ws_a"):
            assert requests.get(URL, timeout=300).json()
    assert seen(switched_off) == [["ws_a"]]
    send_all()
    assert seen(switched_off) == RIGHT


def test_p15_beside_aioresponses(switched_off: Loopback) -> None:
    mocking = pytest.importorskip("aioresponses").aioresponses
    dashscope_ws_patch.patch(clients=True)
    with mocking() as mocked, use_workspace("ws_a"):
        mocked.get(URL, payload={})
        asyncio.run(with_aiohttp(URL))
    assert seen(switched_off) == []
    send_all()
    assert seen(switched_off) == RIGHT
