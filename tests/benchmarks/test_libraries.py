"""What a request of a library costs more under the switch: foreign at most 1, service at most 3 µs.

Each adapter over a function that does nothing but return an answer that was read, against that
function alone. Rounds of both alternate, and the least of each counts: other programs only add.
"""

from __future__ import annotations

import contextlib
import os
import time
import urllib.request
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, Callable
from unittest import mock

import httpcore
import pytest
import requests
import urllib3
from multidict import CIMultiDict
from yarl import URL

import dashscope_ws_patch
from dashscope_ws_patch import _http_libraries

HOSTS = {
    "foreign": "https://api.example.com/v1/models",
    "service": "https://dashscope.aliyuncs.com/v1",
}
HEADERS = {
    "authorization": "Bearer x",
    "user-agent": "x",
    "content-type": "application/json",
    "accept": "*/*",
    "accept-encoding": "gzip, deflate",
    "connection": "keep-alive",
}


class Answer:
    """What has been read: nothing in it is a refusal."""

    _content = b"{}" * 2048
    raw = None


ANSWER = Answer()


def of_requests(url: str) -> tuple[Any, ...]:
    session = requests.Session()
    request = session.prepare_request(requests.Request("GET", url))

    def send(self: Any, request: Any) -> Any:
        return ANSWER

    return _http_libraries.requests, send, session, request


def of_httpcore(url: str) -> tuple[Any, ...]:
    pairs = [(name.encode(), value.encode()) for name, value in HEADERS.items()]

    def handle_request(self: Any, request: Any) -> Any:
        return ANSWER

    request = httpcore.Request("GET", url, headers=pairs)
    return _http_libraries.httpcore, handle_request, None, request


def of_urllib3(url: str) -> tuple[Any, ...]:
    pool = urllib3.HTTPSConnectionPool(URL(url).host or "")

    def urlopen(
        self: Any, method: Any, url: Any, body: Any = None, headers: Any = None
    ) -> Any:
        return ANSWER

    return _http_libraries.urllib3, urlopen, pool, "GET", "/v1", None, dict(HEADERS)


def of_urllib3_below_requests(url: str) -> tuple[Any, ...]:
    given = requests.structures.CaseInsensitiveDict(HEADERS)
    return (*of_urllib3(url)[:-1], given)


def of_aiohttp(url: str) -> tuple[Any, ...]:
    request = SimpleNamespace(method="GET", url=URL(url), headers=CIMultiDict(HEADERS))

    async def send(self: Any, conn: Any) -> Any:
        return ANSWER

    return _http_libraries.aiohttp, send, request, None


def of_urllib_request(url: str) -> tuple[Any, ...]:
    def do_open(self: Any, http_class: Any, req: Any) -> Any:
        return ANSWER

    request = urllib.request.Request(url, headers=HEADERS)
    return _http_libraries.urllib_request, do_open, None, None, request


@pytest.fixture(autouse=True)
def switched_on() -> Iterator[None]:
    dashscope_ws_patch.patch(clients=True)
    with mock.patch.dict(os.environ, DASHSCOPE_WORKSPACE="ws_a"):
        yield
    dashscope_ws_patch.patch(clients=False)


MAKE = [
    of_requests,
    of_httpcore,
    of_urllib3,
    of_urllib3_below_requests,
    of_aiohttp,
    of_urllib_request,
]


def drive(result: Any) -> None:
    if hasattr(result, "send"):  # a coroutine that waits for nothing
        with contextlib.suppress(StopIteration):
            result.send(None)


@pytest.mark.parametrize("make", MAKE)
@pytest.mark.parametrize("host", HOSTS)
def test_what_a_request_costs_more(
    make: Callable[[str], tuple[Any, ...]], host: str, capsys: Any
) -> None:
    adapter, original, *arguments = make(HOSTS[host])
    adapted, times = adapter(original), {}
    for function in (original, adapted) * 50:
        start = time.perf_counter()
        for _ in range(500):
            drive(function(*arguments))
        times.setdefault(function, []).append((time.perf_counter() - start) / 500 * 1e6)
    more = min(times[adapted]) - min(times[original])
    with capsys.disabled():
        print(f"\n{make.__name__} {host}: {more:.2f} µs more")
