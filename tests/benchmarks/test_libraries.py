"""What a request of a library costs more under the switch: foreign at most 1, service at most 3 µs.

Each adapter over a function that does nothing but return an answer that was read, against that
function alone. Rounds of both alternate, and the least of each counts: other programs only add.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator
from typing import Any, Callable
from unittest import mock

import aiohttp
import httpx
import pytest
import requests
import urllib3
from yarl import URL

import dashscope_ws_patch
from dashscope_ws_patch import _libraries

HOSTS = {
    "foreign": "https://api.example.com/v1/models",
    "service": "https://dashscope.aliyuncs.com/v1",
}
HEADERS = {"authorization": "Bearer x", "user-agent": "x", "content-type": "application/json"}


ANSWER = requests.Response()
ANSWER.status_code, ANSWER._content = 200, b"{}" * 2048  # type: ignore[attr-defined]


def nothing(self: Any, *args: Any, **kwargs: Any) -> Any:
    # aiohttp's adapter fills the request itself: each time anew.
    if isinstance(self, aiohttp.ClientRequest):
        self.headers.pop("X-DashScope-WorkSpace", None)
    return ANSWER


def of_requests(url: str) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    session = requests.Session()
    return _libraries.requests, (session, session.prepare_request(requests.Request("GET", url)))


def of_httpx(url: str) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    client = httpx.Client()
    return _libraries.httpx("httpx"), (client, client.build_request("GET", url, headers=HEADERS))


def of_urllib3(url: str) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    pool = urllib3.HTTPSConnectionPool(URL(url).host or "")
    return _libraries.urllib3, (pool, "GET", "/v1", None, dict(HEADERS))


def of_aiohttp(url: str) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    loop = asyncio.new_event_loop()
    session = mock.Mock(spec=aiohttp.ClientSession)
    request = aiohttp.ClientRequest(
        "GET", URL(url), headers=HEADERS, loop=loop, session=session, response_class=None
    )
    loop.close()
    return _libraries.aiohttp, (request,)


@pytest.fixture(autouse=True)
def switched_on() -> Iterator[None]:
    dashscope_ws_patch.patch(clients=True)
    with mock.patch.dict(os.environ, DASHSCOPE_WORKSPACE="ws_a"):
        yield
    dashscope_ws_patch.patch(clients=False)


@pytest.mark.parametrize("make", [of_requests, of_httpx, of_urllib3, of_aiohttp])
@pytest.mark.parametrize("host", HOSTS)
def test_what_a_request_costs_more(make: Any, host: str, capsys: Any) -> None:
    adapter, arguments = make(HOSTS[host])
    adapted, times = adapter(nothing), {}
    for function in (nothing, adapted) * 50:
        start = time.perf_counter()
        for _ in range(500):
            function(*arguments)
        times.setdefault(function, []).append((time.perf_counter() - start) / 500 * 1e6)
    more = min(times[adapted]) - min(times[nothing])
    with capsys.disabled():
        print(f"\n{make.__name__} {host}: {more:.2f} µs more")
