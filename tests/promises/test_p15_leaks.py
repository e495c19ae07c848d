"""P15: nothing that a program makes from an answer, and no proxy, is told the workspace."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Iterator
from typing import Any

import aiohttp
import pytest
import requests
import urllib3
from hosts import ca_file
from library_calls import FOREIGN, URL, seen, trust
from record import environment

from dashscope_ws_patch import use_workspace
from dashscope_ws_patch._decision import HEADER
from dashscope_ws_patch.selftest.loopback import Loopback


def redirected(session: requests.Session) -> requests.Response:
    """An answer of the service that leads elsewhere."""
    answer = session.get(URL)
    answer.status_code, answer.headers["Location"] = 307, FOREIGN
    followed = next(session.resolve_redirects(answer, answer.request, yield_requests=True))
    answer._next = followed  # type: ignore[attr-defined]
    return answer


def test_p15_what_is_made_of_an_answer_has_nothing_to_tell(with_clients: Loopback) -> None:
    with requests.Session() as session, use_workspace("ws_a"):
        session.verify = ca_file()
        following: Any = redirected(session).next
        assert HEADER not in following.headers
        session.get_adapter(FOREIGN).send(following, verify=ca_file())
        with urllib3.PoolManager(ssl_context=trust()) as manager:
            manager.request("GET", FOREIGN, headers=dict(following.headers))
    assert seen(with_clients) == [["ws_a"], [], []]


def test_p15_retries_carry_one_header(with_clients: Loopback) -> None:
    refused = iter([True, True, False])
    policy = with_clients._policy
    from dashscope_ws_patch.selftest.loopback import Denial

    with_clients._policy = lambda request: Denial(503, "x", "x") if next(refused) else None
    try:
        retries = urllib3.Retry(5, status_forcelist=[503], backoff_factor=0)
        with urllib3.PoolManager(ssl_context=trust(), retries=retries) as manager:
            with use_workspace("ws_a"):
                manager.request("GET", URL)
    finally:
        with_clients._policy = policy
    assert seen(with_clients) == [["ws_a"]] * 3


@contextlib.contextmanager
def proxying(service: Loopback) -> Iterator[tuple[int, list[str]]]:
    """A proxy that tunnels to ``service``, and what it was asked."""
    asked: list[str] = []
    listener = socket.create_server(("127.0.0.1", 0))

    def pump(source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while chunk := source.recv(65536):
                target.sendall(chunk)
            target.shutdown(socket.SHUT_WR)

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                head = b""
                while b"\r\n\r\n" not in head:
                    head += client.recv(65536)
                asked.append(head.decode("latin-1"))
                client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
                there = socket.create_connection(("127.0.0.1", service.port))
                threading.Thread(target=pump, args=(client, there), daemon=True).start()
                threading.Thread(target=pump, args=(there, client), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield listener.getsockname()[1], asked
    finally:
        listener.close()


@pytest.mark.parametrize("library", ["aiohttp", "requests", "urllib3"])
@pytest.mark.parametrize("url", [URL, FOREIGN])
def test_p15_a_proxy_is_told_nothing(library: str, url: str, with_clients: Loopback) -> None:
    """Also where its name is one of the service's."""
    with proxying(with_clients) as (port, asked):
        proxy = f"http://localhost:{port}"

        async def main() -> None:
            async with aiohttp.ClientSession() as session:
                async with session.get(url, proxy=proxy) as answer:
                    await answer.read()

        with environment(DASHSCOPE_WS_PATCH_HOSTS="localhost", NO_PROXY="", no_proxy=""):
            with use_workspace("ws_a"):
                if library == "aiohttp":
                    asyncio.run(main())
                elif library == "requests":
                    requests.get(url, proxies={"https": proxy}, timeout=300)
                else:
                    with urllib3.ProxyManager(proxy, ssl_context=trust()) as manager:
                        manager.request("GET", url)
        assert asked and all(head.startswith("CONNECT ") for head in asked)
        assert HEADER.lower() not in "".join(asked).lower()
    assert seen(with_clients) == ([["ws_a"]] if url == URL else [[]])
