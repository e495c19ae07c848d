"""P15: what names a workspace later than the call wins: the header is added last, and exactly one.

Each place at which a program can put a header into a request, set, set if it is not there, or
added; and what it may do there instead: enter a scope.
"""

from __future__ import annotations

import asyncio
import urllib.request
from collections.abc import Iterator
from typing import Any, Callable

import aiohttp
import httpx
import pytest
import requests
import urllib3
from hosts import ca_file
from library_calls import FOREIGN, URL, trust
from record import environment

import dashscope_ws_patch
from dashscope_ws_patch import WorkspaceError, use_workspace
from dashscope_ws_patch._decision import HEADER
from dashscope_ws_patch.selftest.loopback import Loopback

#: What a place does with the headers of the request; returns nothing.
Naming = Callable[[Any], None]
#: Sends to a URL while a place is given the headers; None where it has none to give.
Place = Callable[[str, Naming], None]


def set_(headers: Any) -> None:
    headers[HEADER] = "ws_mine"


def set_if_absent(headers: Any) -> None:
    if HEADER not in headers:
        headers[HEADER] = "ws_mine"


def add(headers: Any) -> None:
    if hasattr(headers, "add"):  # of aiohttp and urllib3
        headers.add(HEADER, "ws_mine")
    else:
        headers.setdefault(HEADER, "ws_mine")


# requests


def requests_auth(url: str, name: Naming) -> None:
    def auth(request: Any) -> Any:
        name(request.headers)
        return request

    requests.get(url, auth=auth, timeout=300)


def requests_adapter_headers(url: str, name: Naming) -> None:
    class Adapter(requests.adapters.HTTPAdapter):
        def add_headers(self, request: Any, **kwargs: Any) -> None:
            name(request.headers)

    with requests.Session() as session:
        session.mount("https://", Adapter())
        answer = session.get(url, verify=ca_file())
        assert answer.request.headers.get(HEADER, "ws_mine") == "ws_mine"


def requests_adapter_send(url: str, name: Naming) -> None:
    class Adapter(requests.adapters.HTTPAdapter):
        def send(self, request: Any, *args: Any, **kwargs: Any) -> Any:
            name(request.headers)
            return super().send(request, *args, **kwargs)

    with requests.Session() as session:
        session.mount("https://", Adapter())
        session.get(url, verify=ca_file())


def requests_session_class(url: str, name: Naming) -> None:
    class Session(requests.Session):
        def send(self, request: Any, **kwargs: Any) -> Any:
            name(request.headers)
            return super().send(request, **kwargs)

    with Session() as session:
        session.get(url, verify=ca_file())


class SlottedRequest(requests.PreparedRequest):
    __slots__ = ("mine",)


def requests_subclass_with_slots(url: str, name: Naming) -> None:
    request = SlottedRequest()
    request.prepare("GET", url)
    name(request.headers)
    with requests.Session() as session:
        answer = session.send(request, verify=ca_file())
        assert answer.request is request


# httpx


def httpx_hook(url: str, name: Naming) -> None:
    hooks: Any = {"request": [lambda request: name(request.headers)]}
    with httpx.Client(event_hooks=hooks, verify=trust()) as client:
        client.get(url)


def httpx_auth(url: str, name: Naming) -> None:
    def auth(request: httpx.Request) -> httpx.Request:
        name(request.headers)
        return request

    with httpx.Client(auth=auth, verify=trust()) as client:
        client.get(url)


def httpx_transport(url: str, name: Naming) -> None:
    class Transport(httpx.HTTPTransport):
        def handle_request(self, request: httpx.Request) -> httpx.Response:
            name(request.headers)
            return super().handle_request(request)

    with httpx.Client(transport=Transport(verify=trust())) as client:
        request = client.build_request("GET", url)
        assert client.send(request).request is request


def httpx_async_transport(url: str, name: Naming) -> None:
    class Transport(httpx.AsyncHTTPTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            name(request.headers)
            return await super().handle_async_request(request)

    async def main() -> None:
        async with httpx.AsyncClient(transport=Transport(verify=trust())) as client:
            await client.get(url)

    asyncio.run(main())


# aiohttp


def aiohttp_get(url: str, **options: Any) -> None:
    async def main() -> None:
        async with aiohttp.ClientSession(**options) as session:
            async with session.get(url) as answer:
                await answer.read()

    asyncio.run(main())


def aiohttp_middleware(url: str, name: Naming) -> None:
    async def middleware(request: Any, handler: Any) -> Any:
        name(request.headers)
        return await handler(request)

    aiohttp_get(url, middlewares=(middleware,))


def aiohttp_request_class(url: str, name: Naming) -> None:
    class Request(aiohttp.ClientRequest):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            name(self.headers)

    aiohttp_get(url, request_class=Request)


def aiohttp_request_send(url: str, name: Naming) -> None:
    class Request(aiohttp.ClientRequest):
        async def send(self, conn: Any) -> Any:
            name(self.headers)
            return await super().send(conn)

    aiohttp_get(url, request_class=Request)


# urllib3, urllib.request


def urllib3_pool_class(url: str, name: Naming) -> None:
    class Pool(urllib3.HTTPSConnectionPool):
        def urlopen(
            self, method: str, url: str, body: Any = None, headers: Any = None, **kw: Any
        ) -> Any:  # type: ignore[override]
            headers = urllib3.HTTPHeaderDict(headers or {})
            name(headers)
            return super().urlopen(method, url, body, headers, **kw)

    with urllib3.PoolManager(ssl_context=trust()) as manager:
        manager.pool_classes_by_scheme = {"https": Pool}
        manager.request("GET", url)


def urllib_handler(url: str, name: Naming) -> None:
    class Handler(urllib.request.BaseHandler):
        def https_request(self, request: urllib.request.Request) -> urllib.request.Request:
            name(request.headers)
            return request

    opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=trust()), Handler())
    opener.open(url).read()


PLACES: list[Place] = [
    requests_auth, requests_adapter_headers, requests_adapter_send, requests_session_class,
    requests_subclass_with_slots, httpx_hook, httpx_auth, httpx_transport, httpx_async_transport,
    *([aiohttp_middleware] if hasattr(aiohttp, "ClientHandlerType") else []),
    aiohttp_request_class, aiohttp_request_send, urllib3_pool_class, urllib_handler,
]  # fmt: skip

every_place = pytest.mark.parametrize("place", PLACES)


def sent(service: Loopback) -> list[list[str]]:
    return [request.workspaces for request in service.drain()]


@pytest.fixture(autouse=True)
def _quietly() -> Iterator[None]:
    yield
    dashscope_ws_patch.patch(clients=False)


@every_place
@pytest.mark.parametrize("naming", [set_, set_if_absent, add])
@pytest.mark.parametrize("around", ["nothing", "environment", "ws_mine", "ws_other", None])
def test_p15_exactly_one_header_the_programs_own(
    place: Place, naming: Naming, around: str | None, with_clients: Loopback
) -> None:
    variables = {"DASHSCOPE_WORKSPACE": "ws_env"} if around == "environment" else {}
    with environment(**variables):
        if around in ("nothing", "environment"):
            place(URL, naming)
        else:
            with use_workspace(around):
                place(URL, naming)
    assert sent(with_clients) == [["ws_mine"]]


@every_place
def test_p15_what_names_none_is_filled(place: Place, with_clients: Loopback) -> None:
    with use_workspace("ws_a"):
        place(URL, lambda headers: None)
        place(FOREIGN, lambda headers: None)
    assert sent(with_clients) == [["ws_a"], []]


@every_place
def test_p19_only_what_names_none_at_the_end_is_refused(
    place: Place, with_clients: Loopback
) -> None:
    with environment(DASHSCOPE_WS_PATCH_REQUIRE_SCOPE="1"):
        place(URL, set_)
        with pytest.raises(WorkspaceError, match="is made in no scope"):
            place(URL, lambda headers: None)
        place(FOREIGN, lambda headers: None)
    assert sent(with_clients) == [["ws_mine"], []]


def test_p15_a_middleware_may_enter_a_scope(with_clients: Loopback) -> None:
    async def middleware(request: Any, handler: Any) -> Any:
        with use_workspace("ws_b"):
            return await handler(request)

    async def main() -> None:
        async with aiohttp.ClientSession(middlewares=(middleware,)) as session:
            async with session.get(URL) as answer:
                await answer.read()
                assert HEADER not in answer.request_info.headers

    with use_workspace("ws_a"):
        asyncio.run(main())
    assert sent(with_clients) == [["ws_b"]]


def test_p15_an_adapter_may_enter_a_scope(with_clients: Loopback) -> None:
    class Adapter(requests.adapters.HTTPAdapter):
        def send(self, *args: Any, **kwargs: Any) -> Any:
            with use_workspace("ws_b"):
                return super().send(*args, **kwargs)

    with requests.Session() as session, use_workspace("ws_a"):
        session.mount("https://", Adapter())
        session.get(URL, verify=ca_file())
    assert sent(with_clients) == [["ws_b"]]
