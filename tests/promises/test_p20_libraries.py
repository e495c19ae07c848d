"""P20: the workspace's own host, for what other libraries send: host, name of TLS and header."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Callable, ClassVar

import aiohttp
import pytest
import requests
import urllib3
from hosts import ca_file, server_context
from library_calls import URL, WAYS, Way, trust

import dashscope_ws_patch
from dashscope_ws_patch import use_workspace
from dashscope_ws_patch._decision import HEADER
from dashscope_ws_patch.selftest.loopback import Loopback, redirect

SOCKET = "https://dashscope.aliyuncs.com/api-ws/v1/realtime?model=m"


@pytest.fixture
def moving(loopback: Loopback) -> Iterator[Loopback]:
    dashscope_ws_patch.patch(clients=True, own_host=True)
    yield loopback
    dashscope_ws_patch.patch(clients=False, own_host=False)


def sent(service: Loopback) -> list[tuple[str, str | None, list[str]]]:
    return [(request.host, request.sni, request.workspaces) for request in service.drain()]


def on(host: str, *workspaces: str) -> tuple[str, str, list[str]]:
    return host, host, list(workspaces)


def own(workspace: str) -> tuple[str, str, list[str]]:
    return on(f"{workspace}.cn-beijing.maas.aliyuncs.com", workspace)


@pytest.mark.parametrize("sender", WAYS, ids=[way.name for way in WAYS])
def test_p20_host_and_header_are_one_workspaces(sender: Way, moving: Loopback) -> None:
    url = SOCKET if sender.websocket else URL
    with use_workspace("ws-a"):
        sender.send(url)
        sender.send(url, headers={HEADER: "ws-mine"})
    with use_workspace(None):
        sender.send(url)
        sender.send(url, headers={HEADER: "ws-mine"})
    shared = on("dashscope.aliyuncs.com")
    assert sent(moving) == [own("ws-a"), own("ws-mine"), shared, own("ws-mine")]


@pytest.mark.parametrize("sender", WAYS, ids=[way.name for way in WAYS])
def test_p20_what_is_no_shared_host_stays(sender: Way, moving: Loopback) -> None:
    path = SOCKET[len("https://dashscope.aliyuncs.com") :] if sender.websocket else "/api/v1/models"
    hosts = [
        "ws-x.cn-beijing.maas.aliyuncs.com",
        "dashscope-finance.aliyuncs.com",
        "results.oss-cn-beijing.aliyuncs.com",
    ]
    with use_workspace("ws-a"):
        for host in hosts:
            sender.send(f"https://{host}{path}")
    assert sent(moving) == [on(hosts[0]), on(hosts[1], "ws-a"), on(hosts[2])]


def test_p20_tenants_in_turn_on_one_session(moving: Loopback) -> None:
    tenants = ("ws-a", "ws-b", "ws-a")
    with requests.Session() as session, urllib3.PoolManager(ssl_context=trust()) as manager:
        session.verify = ca_file()
        for tenant in tenants:
            with use_workspace(tenant):
                assert session.get(URL).url == URL
                manager.request("GET", URL)
    assert sent(moving) == [own(tenant) for tenant in tenants for _ in range(2)]


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="counts open files")
def test_p20_a_session_keeps_connections_to_ten_hosts(moving: Loopback) -> None:
    """As a pool manager does: a service with a thousand tenants must not run out of files."""
    before = len(os.listdir("/proc/self/fd"))
    with requests.Session() as session:
        session.verify = ca_file()
        for number in range(40):
            with use_workspace(f"ws-{number}"):
                session.get(URL)
        assert len(os.listdir("/proc/self/fd")) - before <= 2 * 11  # the service is here too
    assert sent(moving) == [own(f"ws-{number}") for number in range(40)]


def test_p20_threads_on_one_new_session(moving: Loopback) -> None:
    """Each finds a pool that is whole, and none of them the shared host."""

    def get(_: int) -> None:
        with use_workspace("ws-a"):
            session.get(URL)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for _ in range(150):
            with requests.Session() as session, ThreadPoolExecutor(4) as pool:
                session.verify = ca_file()
                list(pool.map(get, range(4)))
    finally:
        sys.setswitchinterval(interval)
    assert sent(moving) == [own("ws-a")] * 600


def test_p20_a_pool_of_connections_by_itself(moving: Loopback) -> None:
    with use_workspace("ws-a"):
        with urllib3.HTTPSConnectionPool("dashscope.aliyuncs.com", ssl_context=trust()) as pool:
            pool.request("GET", "/api/v1/models")
            pool.request("GET", URL, retries=False)
        assert sent(moving) == [own("ws-a")] * 2
        with pytest.raises(urllib3.exceptions.ClosedPoolError):
            pool.request("GET", "/api/v1/models")
    assert not sent(moving)


# Cookies, and redirects by the full URL


class Baker(BaseHTTPRequestHandler):
    """Gives each client a cookie that names its host, and notes the cookies that come back. Sends
    those who ask for ``/slashless`` to its URL with a slash, as nginx does, with its own name."""

    protocol_version = "HTTP/1.1"
    came: ClassVar[list[tuple[str, str | None]]] = []

    def do_GET(self) -> None:
        host = self.headers["Host"].partition(".")[0]
        self.came.append((host, self.headers["Cookie"]))
        if self.path == "/slashless":
            self.send_response(307)
            self.send_header("Location", f"https://{self.headers['Host']}/slashless/")
        else:
            self.send_response(200)
        if "slashless" in self.path:
            self.came[-1] = host, self.headers["Authorization"]
        self.send_header("Set-Cookie", f"of={host}; Path=/; Secure")
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def baker(moving: Loopback) -> Iterator[list[tuple[str, str | None]]]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Baker)
    server.socket = server_context().wrap_socket(server.socket, server_side=True)
    Baker.came.clear()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    with redirect(server.server_port):
        yield Baker.came
    server.shutdown()
    thread.join()
    server.server_close()


Get = Callable[[str, dict[str, str]], object]


def of_requests() -> Iterator[Get]:
    with requests.Session() as session:
        session.verify = ca_file()
        yield lambda url, headers: session.get(url, headers=headers)


def of_urllib3() -> Iterator[Get]:
    with urllib3.PoolManager(ssl_context=trust()) as manager:
        yield lambda url, headers: manager.request("GET", url, headers=headers)


def of_httpx() -> Iterator[Get]:
    httpx = pytest.importorskip("httpx")
    with httpx.Client(verify=trust(), follow_redirects=True) as client:
        yield lambda url, headers: client.get(url, headers=headers)


def of_httpx_async() -> Iterator[Get]:
    httpx = pytest.importorskip("httpx")

    async def get(url: str, headers: dict[str, str]) -> None:
        async with httpx.AsyncClient(verify=trust(), follow_redirects=True) as client:
            await client.get(url, headers=headers)

    yield lambda url, headers: asyncio.run(get(url, headers))


def of_aiohttp() -> Iterator[Get]:
    loop = asyncio.new_event_loop()

    async def opened() -> aiohttp.ClientSession:
        return aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trust()))

    session = loop.run_until_complete(opened())

    async def get(url: str, headers: dict[str, str]) -> None:
        async with session.get(url, headers=headers) as answer:
            await answer.read()

    yield lambda url, headers: loop.run_until_complete(get(url, headers))
    loop.run_until_complete(session.close())
    loop.close()


def of_urllib_request() -> Iterator[Get]:
    https = urllib.request.HTTPSHandler(context=trust())
    opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(), https)
    request = urllib.request.Request
    yield lambda url, headers: opener.open(request(url, headers=headers)).read()


@pytest.mark.parametrize("of", [of_requests, of_httpx, of_aiohttp, of_urllib_request])
def test_p20_cookies_are_those_of_the_host(
    of: Callable[[], Iterator[Get]], baker: list[tuple[str, str | None]]
) -> None:
    for get in of():
        for tenant in ("ws-a", "ws-b", "ws-a", None, None):
            with use_workspace(tenant):
                get(URL, {})
    assert baker == [
        ("ws-a", None),
        ("ws-b", None),
        ("ws-a", "of=ws-a"),
        ("dashscope", None),
        ("dashscope", "of=dashscope"),
    ]


@pytest.mark.parametrize(
    "of",
    [of_requests, of_urllib3, of_httpx, of_httpx_async, of_aiohttp, of_urllib_request],
)
def test_p20_a_redirect_to_the_same_host_keeps_the_key(
    of: Callable[[], Iterator[Get]], baker: list[tuple[str, str | None]]
) -> None:
    """The library must not take it for another host than the one that it knows."""
    for get in of():
        with use_workspace("ws-a"):
            get("https://dashscope.aliyuncs.com/slashless", {"Authorization": "Bearer k"})
    assert baker == [("ws-a", "Bearer k")] * 2
