"""A module that a coming release of the SDK might have: it sends in every way that there is."""

from __future__ import annotations

import asyncio
import functools
import threading
from typing import Any, Callable, Optional

import aiohttp
import dashscope
import httpx
import requests
import requests as http
import urllib3
import websocket
from aiohttp import ClientSession
from httpx import AsyncClient, Client
from httpx import post as httpx_post
from requests import Session, sessions
from requests import get as fetch
from urllib3 import PoolManager
from websocket import WebSocketApp, create_connection

try:
    import websockets
    from websockets.sync.client import connect as connect_sync
except ImportError:  # the SDK does not need it so far
    websockets = None  # type: ignore[assignment]

SURFACES: list[str] = []
_PATH = "/services/novelties/novelty"
_STORAGE = "https://dashscope-instant.oss-cn-beijing.aliyuncs.com/upload"
_WEBHOOK = "https://hooks.example.com/done"


def surface(function: Callable[..., Any]) -> Callable[..., Any]:
    SURFACES.append(function.__name__)
    return function


def _url() -> str:
    return dashscope.base_http_api_url + _PATH


def _socket_url() -> str:
    return dashscope.base_websocket_api_url


def _headers(workspace: Optional[str]) -> dict[str, str]:
    named = {"X-DashScope-WorkSpace": workspace} if workspace else {}
    return {"Authorization": "Bearer sk-loopback", **named}


# requests


@surface
def by_a_session(workspace: Optional[str] = None) -> Any:
    with requests.Session() as session:
        session.get(_url(), headers=_headers(workspace))
        return session.post(_url(), json={}, headers=_headers(workspace))


@surface
def by_a_session_with_headers(workspace: Optional[str] = None) -> Any:
    with requests.Session() as session:
        session.headers.update(_headers(workspace))
        return session.post(_url(), json={})


@surface
def by_functions(workspace: Optional[str] = None) -> Any:
    requests.get(_url(), headers=_headers(workspace))
    requests.request("PUT", url=_url(), headers=_headers(workspace))
    return http.post(_url(), {}, headers=_headers(workspace))


class _Kept:
    session = requests.Session()


class _OwnSession(requests.Session):
    pass


_own_session = _OwnSession()
_post_soon = functools.partial(requests.post, timeout=20)


@surface
def by_a_session_of_a_class(workspace: Optional[str] = None) -> Any:
    return _Kept.session.post(_url(), json={}, headers=_headers(workspace))


@surface
def by_a_session_of_its_own_kind(workspace: Optional[str] = None) -> Any:
    return _own_session.post(_url(), json={}, headers=_headers(workspace))


@surface
def by_default_values(
    workspace: Optional[str] = None,
    _session: Any = requests.Session(),  # noqa: B008 - as a coming release might
    _put: Any = requests.put,
) -> Any:
    _put(_url(), json={}, headers=_headers(workspace))
    return _session.post(_url(), json={}, headers=_headers(workspace))


@surface
def by_a_partial_function(workspace: Optional[str] = None) -> Any:
    return _post_soon(_url(), json={}, headers=_headers(workspace))


def _closing_over(session: Any) -> Callable[..., Any]:
    def by_a_closure(workspace: Optional[str] = None) -> Any:
        return session.post(_url(), json={}, headers=_headers(workspace))

    return by_a_closure


by_a_closure = surface(_closing_over(requests.Session()))


@surface
def by_what_was_prepared(workspace: Optional[str] = None) -> Any:
    request = requests.Request("POST", _url(), json={}, headers=_headers(workspace))
    with requests.Session() as session:
        for prepared in (session.prepare_request(request), request.prepare()):
            answer = session.send(
                prepared, **session.merge_environment_settings(_url(), {}, False, None, None)
            )
    return answer


@surface
def in_threads_of_its_own(workspace: Optional[str] = None) -> None:
    def post() -> None:
        requests.post(_url(), json={}, headers=_headers(workspace))

    class Worker(_Worker):
        work = staticmethod(post)

    for thread in (Worker(), threading.Timer(0, post)):
        thread.start()
        thread.join()


class _Worker(threading.Thread):
    work: Callable[[], None]

    def run(self) -> None:
        self.work()


@surface
def by_functions_without_headers() -> Any:
    return requests.post(_url(), json={})


@surface
def by_functions_taken_by_value(workspace: Optional[str] = None) -> Any:
    return fetch(_url(), headers=_headers(workspace))


@surface
def by_a_session_taken_by_value(workspace: Optional[str] = None) -> Any:
    with Session() as session, sessions.Session() as other:
        other.delete(_url(), headers=_headers(workspace))
        return session.request("PATCH", _url(), headers=_headers(workspace))


_session = requests.Session()


@surface
def by_a_session_made_at_import(workspace: Optional[str] = None) -> Any:
    return _session.post(_url(), json={}, headers=_headers(workspace))


class _Plain(Session):
    pass


@surface
def by_a_subclass(workspace: Optional[str] = None) -> Any:
    with _Plain() as session:
        return session.get(_url(), headers=_headers(workspace))


# httpx


@surface
def by_a_client_of_httpx(workspace: Optional[str] = None) -> Any:
    with httpx.Client(headers=_headers(workspace)) as client, Client() as other:
        other.get(_url(), headers=_headers(workspace))
        with client.stream("POST", _url(), json={}) as response:
            response.read()
        client.send(client.build_request("GET", _url()))
        return client.post(_url(), json={})


@surface
def by_functions_of_httpx(workspace: Optional[str] = None) -> Any:
    httpx.get(_url(), headers=_headers(workspace))
    httpx_post(_url(), json={}, headers=_headers(workspace))
    with httpx.stream("GET", _url(), headers=_headers(workspace)) as response:
        return response.read()


@surface
async def by_an_asynchronous_client_of_httpx(workspace: Optional[str] = None) -> Any:
    base = dashscope.base_http_api_url
    async with httpx.AsyncClient(base_url=base) as client, AsyncClient() as other:
        await other.get(_url(), headers=_headers(workspace))
        async with client.stream("POST", _PATH, headers=_headers(workspace)) as response:
            await response.aread()
        return await client.post(_PATH, json={}, headers=_headers(workspace))


@surface
def by_a_request_of_httpx(workspace: Optional[str] = None) -> Any:
    with httpx.Client() as client:
        return client.send(httpx.Request("POST", _url(), headers=_headers(workspace)))


class _Client(httpx.Client):
    pass


@surface
def by_a_subclass_of_httpx(workspace: Optional[str] = None) -> Any:
    with _Client() as client:
        return client.get(_url(), headers=_headers(workspace))


# aiohttp


@surface
async def by_aiohttp(workspace: Optional[str] = None) -> Any:
    async with aiohttp.ClientSession(trust_env=True) as session:
        async with session.get(_url(), headers=_headers(workspace)) as response:
            await response.read()
        async with session.ws_connect(_socket_url(), headers=_headers(workspace)) as socket:
            await socket.close()
    async with ClientSession(headers=_headers(workspace)) as session:
        async with session.post(_url(), json={}) as response:
            await response.read()
    async with aiohttp.request("GET", _url(), headers=_headers(workspace)) as response:
        return await response.read()


# urllib3


@surface
def by_urllib3(workspace: Optional[str] = None) -> Any:
    with urllib3.PoolManager() as pool, PoolManager(headers=_headers(workspace)) as other:
        other.request("GET", _url())
        pool.urlopen("GET", _url(), headers=_headers(workspace))
        return pool.request("POST", _url(), headers=_headers(workspace))


# Websockets


@surface
def by_websocket_client(workspace: Optional[str] = None) -> Any:
    websocket.create_connection(_socket_url(), header=_headers(workspace)).close()
    lines = [f"{name}: {value}" for name, value in _headers(workspace).items()]
    create_connection(_socket_url(), None, header=lines).close()
    socket = websocket.WebSocket()
    socket.connect(_socket_url(), header=_headers(workspace))
    socket.close()


@surface
def by_apps_of_websocket_client(workspace: Optional[str] = None) -> Any:
    for kind in (websocket.WebSocketApp, WebSocketApp):
        app = kind(_socket_url(), header=_headers(workspace), on_open=lambda app: app.close())
        app.run_forever()
    WebSocketApp(_socket_url(), _headers(workspace), lambda app: app.close()).run_forever()


class _App(websocket.WebSocketApp):
    pass


@surface
def by_a_subclass_of_an_app(workspace: Optional[str] = None) -> Any:
    _App(_socket_url(), _headers(workspace), lambda app: app.close()).run_forever()


async def by_websockets(workspace: Optional[str] = None) -> Any:
    async with websockets.connect(_socket_url(), additional_headers=_headers(workspace)):
        await asyncio.sleep(0)
    socket = await websockets.connect(_socket_url(), additional_headers=_headers(workspace))
    await socket.close()


def by_websockets_synchronously(workspace: Optional[str] = None) -> Any:
    with connect_sync(_socket_url(), additional_headers=_headers(workspace)):
        pass
    pairs = [*_headers(workspace).items()]
    with websockets.sync.client.connect(uri=_socket_url(), additional_headers=pairs):
        pass


if websockets is not None:
    SURFACES += ["by_websockets", "by_websockets_synchronously"]


# Elsewhere


@surface
def to_object_storage() -> Any:
    requests.put(_STORAGE, data=b"hello", headers={"x-oss-meta": "1"})
    with httpx.Client() as client, Session() as session:
        session.post(_STORAGE, data=b"hello")
        return client.put(_STORAGE, content=b"hello")


@surface
async def to_a_webhook() -> Any:
    requests.post(_WEBHOOK, json={"url": _url()})
    async with ClientSession() as session, session.post(_WEBHOOK, json={}) as response:
        return await response.read()
