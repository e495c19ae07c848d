"""How programs send without the SDK: each library, in each of the ways in which it is used.

A way sends one GET, or opens one websocket, and reads the answer; it follows redirects. ``headers``
are those of the request, ``of_client`` those of its client or session, where there is one.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import functools
import inspect
import ssl
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Callable, Optional
from urllib.parse import urlsplit

from hosts import ca_file

from dashscope_ws_patch.selftest.loopback import Loopback

Headers = Optional[dict[str, str]]

#: The service, and what is none of it.
URL = "https://dashscope.aliyuncs.com/compatible-mode/v1/models"
FOREIGN = "https://results.oss-cn-beijing.aliyuncs.com/a.png"


def seen(service: Loopback) -> list[list[str]]:
    """The workspaces of each request since the last time."""
    return [request.workspaces for request in service.drain()]


@dataclasses.dataclass(frozen=True)
class Way:
    """One way of one library."""

    name: str
    library: str
    call: Callable[..., Any]
    #: Whether it has a client or session with headers of its own.
    client: bool = False
    websocket: bool = False

    def send(self, url: str, headers: Headers = None, of_client: Headers = None) -> None:
        """Send to ``url``, given as an http or https address."""
        url = url.replace("http", "ws", 1) if self.websocket else url
        more = {"of_client": of_client} if self.client else {}
        result = self.call(import_module(self.library), url, headers, **more)
        if asyncio.iscoroutine(result):
            asyncio.run(result)


WAYS: list[Way] = []


def way(library: str, **options: Any) -> Callable[[Any], Any]:
    def add(function: Any) -> Any:
        if find_spec(library.partition(".")[0]) and _importable(library):
            name = function.__name__.lstrip("_") + ("2" if library == "httpx2" else "")
            WAYS.append(Way(name, library, function, **options))
        return function

    return add


def _importable(library: str) -> bool:
    try:
        return find_spec(library) is not None
    except ModuleNotFoundError:
        return False


@functools.cache
def trust() -> ssl.SSLContext:
    return ssl.create_default_context(cafile=ca_file())


# requests


@way("requests")
def requests_get(requests: Any, url: str, headers: Headers) -> None:
    assert requests.get(url, headers=headers).json()


@way("requests", client=True)
def requests_session(requests: Any, url: str, headers: Headers, of_client: Headers) -> None:
    with requests.Session() as session:
        session.headers.update(of_client or {})
        assert session.post(url, json={"a": 1}, headers=headers).json()


@way("requests", client=True)
def requests_prepared(requests: Any, url: str, headers: Headers, of_client: Headers) -> None:
    class Own(requests.Session):  # type: ignore[misc, name-defined]
        def send(self, request: Any, **kwargs: Any) -> Any:
            return super().send(request, **kwargs)

    with Own() as session:
        session.headers.update(of_client or {})
        prepared = session.prepare_request(requests.Request("GET", url, headers=headers))
        before = dict(prepared.headers)
        assert session.send(prepared, verify=ca_file()).json()
        assert dict(prepared.headers) == before


@way("requests")
def requests_stream_adapter(requests: Any, url: str, headers: Headers) -> None:
    class Own(requests.adapters.HTTPAdapter):  # type: ignore[misc, name-defined]
        def send(self, request: Any, *args: Any, **kwargs: Any) -> Any:
            return super().send(request.copy(), *args, **kwargs)

    with requests.Session() as session:
        session.mount("https://", Own())
        with session.get(url, headers=headers, stream=True) as response:
            assert b"".join(response.iter_content(7))


# httpx


def httpx_get(httpx: Any, url: str, headers: Headers) -> None:
    answer = httpx.get(url, headers=headers, verify=trust(), follow_redirects=True)
    assert answer.json()


def httpx_client(httpx: Any, url: str, headers: Headers, of_client: Headers) -> None:
    with httpx.Client(headers=of_client, verify=trust(), follow_redirects=True) as client:
        assert client.post(url, json={"a": 1}, headers=headers).json()


def httpx_built(httpx: Any, url: str, headers: Headers, of_client: Headers) -> None:
    class Own(httpx.BaseTransport):  # type: ignore[misc, name-defined]
        inner = httpx.HTTPTransport(verify=trust())

        def handle_request(self, request: Any) -> Any:
            return self.inner.handle_request(request)

    class Client(httpx.Client):  # type: ignore[misc, name-defined]
        def send(self, request: Any, **kwargs: Any) -> Any:
            return super().send(request, **kwargs)

    with Client(headers=of_client, transport=Own(), follow_redirects=True) as client:
        request = client.build_request("GET", url, headers=headers)
        before = list(request.headers.raw)
        answer = client.send(request, stream=True)
        assert list(answer.iter_bytes())
        assert list(request.headers.raw) == before
        answer.close()


async def httpx_async(httpx: Any, url: str, headers: Headers, of_client: Headers) -> None:
    kwargs = {"headers": of_client, "verify": trust(), "follow_redirects": True}
    async with httpx.AsyncClient(**kwargs) as client:
        assert (await client.get(url, headers=headers)).json()


async def httpx_async_stream(httpx: Any, url: str, headers: Headers) -> None:
    async with httpx.AsyncClient(verify=trust(), follow_redirects=True) as client:
        async with client.stream("POST", url, headers=headers, json={"stream": True}) as answer:
            assert [line async for line in answer.aiter_lines()]


for _library in ("httpx", "httpx2"):
    way(_library)(httpx_get)
    way(_library, client=True)(httpx_client)
    way(_library, client=True)(httpx_built)
    way(_library, client=True)(httpx_async)
    way(_library)(httpx_async_stream)


# aiohttp


@way("aiohttp")
async def aiohttp_request(aiohttp: Any, url: str, headers: Headers) -> None:
    async with aiohttp.request("GET", url, headers=headers) as answer:
        assert await answer.json()


@way("aiohttp", client=True)
async def aiohttp_session(aiohttp: Any, url: str, headers: Headers, of_client: Headers) -> None:
    class Own(aiohttp.ClientRequest):  # type: ignore[misc, name-defined]
        pass

    async with aiohttp.ClientSession(headers=of_client, request_class=Own) as session:
        async with session.post(url, json={"a": 1}, headers=headers) as answer:
            assert [part async for part in answer.content.iter_any()]


@way("aiohttp", client=True, websocket=True)
async def aiohttp_websocket(aiohttp: Any, url: str, headers: Headers, of_client: Headers) -> None:
    async with aiohttp.ClientSession(headers=of_client) as session:
        async with session.ws_connect(url, headers=headers) as socket:
            assert await socket.receive()


# urllib3, urllib.request


@way("urllib3", client=True)
def urllib3_manager(urllib3: Any, url: str, headers: Headers, of_client: Headers) -> None:
    with urllib3.PoolManager(headers=of_client, ssl_context=trust()) as manager:
        assert manager.request("GET", url, headers=headers).data


@way("urllib3")
def urllib3_stream(urllib3: Any, url: str, headers: Headers) -> None:
    given = urllib3.HTTPHeaderDict(headers or {})
    given.add("x-twice", "1")
    given.add("x-twice", "2")
    with urllib3.PoolManager(ssl_context=trust()) as manager:
        answer = manager.urlopen("GET", url, headers=given, preload_content=False)
        assert list(answer.stream(7))
        answer.release_conn()


@way("urllib.request")
def urllib_urlopen(urllib: Any, url: str, headers: Headers) -> None:
    request = urllib.Request(url, headers=headers or {})
    before = dict(request.header_items())
    with urllib.urlopen(request, context=trust()) as answer:
        assert answer.read()
    assert {name: request.headers.get(name) for name in before} == before


@way("urllib.request", client=True)
def urllib_opener(urllib: Any, url: str, headers: Headers, of_client: Headers) -> None:
    opener = urllib.build_opener(urllib.HTTPSHandler(context=trust()))
    opener.addheaders = [*opener.addheaders, *(of_client or {}).items()]
    request = urllib.Request(url, headers=headers or {}) if headers else url
    with opener.open(request) as answer:
        assert answer.read()


# Websockets


@way("websocket", websocket=True)
def websocket_create(websocket: Any, url: str, headers: Headers) -> None:
    with contextlib.closing(
        websocket.create_connection(url, header=headers, sslopt={"context": trust()})
    ) as socket:
        assert socket.connected


@way("websocket", websocket=True)
def websocket_app(websocket: Any, url: str, headers: Headers) -> None:
    lines = [f"{name}: {value}" for name, value in (headers or {}).items()]
    errors: list[object] = []
    app = websocket.WebSocketApp(
        url,
        header=lines or None,
        on_message=lambda app, message: app.close(),
        on_error=lambda app, error: errors.append(error),
    )
    app.run_forever(sslopt={"context": trust()})
    for error in errors:
        if isinstance(error, Exception):
            raise error


def _tls(url: str) -> ssl.SSLContext | None:
    return trust() if urlsplit(url).scheme == "wss" else None


async def websockets_asyncio(websockets: Any, url: str, headers: Headers) -> None:
    kwargs: dict[str, Any] = {"proxy": None} if _knows_proxy(websockets.connect) else {}
    async with websockets.connect(url, additional_headers=headers, ssl=_tls(url), **kwargs) as ws:
        assert ws.protocol


def _knows_proxy(connect: Any) -> bool:
    return "proxy" in connect.__init__.__code__.co_varnames


def websockets_sync(websockets: Any, url: str, headers: Headers) -> None:
    parameters = inspect.signature(websockets.connect).parameters
    tls = {"ssl" if "ssl" in parameters else "ssl_context": _tls(url)}  # before websockets 13
    with websockets.connect(url, additional_headers=headers, **tls) as socket:
        assert socket.protocol


async def websockets_legacy(websockets: Any, url: str, headers: Headers) -> None:
    async with websockets.connect(url, extra_headers=headers, ssl=_tls(url)) as socket:
        assert socket.open


way("websockets.asyncio.client", websocket=True)(websockets_asyncio)
way("websockets.sync.client", websocket=True)(websockets_sync)
way("websockets.legacy.client", websocket=True)(websockets_legacy)

NAMES = [each.name for each in WAYS]
