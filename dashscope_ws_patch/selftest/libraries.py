"""Each library by which programs send without the SDK, driven natively, with the switch off and on.

``doctor`` says by it which of those that are installed are covered here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from .. import _activation, use_workspace
from .loopback import STORAGE_HOST, Loopback

SERVICE_HOST = "dashscope.aliyuncs.com"


def _get(library: Any, url: str) -> None:  # requests, httpx, httpx2
    library.get(url, timeout=30)


async def _aiohttp(aiohttp: Any, url: str) -> None:
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        await answer.read()


def _urllib3(urllib3: Any, url: str) -> None:
    with urllib3.PoolManager() as manager:
        manager.request("GET", url, retries=False)


def _urllib(urllib: Any, url: str) -> None:
    with urllib.urlopen(url, timeout=30) as answer:
        answer.read()


def _websocket(websocket: Any, url: str) -> None:
    websocket.create_connection(url.replace("http", "ws", 1), timeout=30).close()


async def _websockets(websockets: Any, url: str) -> None:
    async with websockets.connect(url.replace("http", "ws", 1)):
        pass


DRIVERS = {
    "requests": _get,
    "httpx": _get,
    "httpx2": _get,
    "aiohttp": _aiohttp,
    "urllib3": _urllib3,
    "urllib.request": _urllib,
    "websocket": _websocket,
    "websockets": _websockets,
}


def drive(loopback: Loopback, workspace: str) -> Iterator[dict[str, Any]]:
    """Send with each library that is installed to the service and elsewhere, in a scope.

    Of each: ``library``; ``native``, ``off`` and ``on``, the workspaces that the two requests
    carried; ``covered``, and ``reason`` where it is not. The shim is left without the switch.
    """
    for name, driver in DRIVERS.items():
        if find_spec(name.partition(".")[0]) is None:
            continue
        sent = {}
        error: Exception | None = None
        for setting in ("native", "off", "on"):
            _activation.unpatch()
            if setting != "native":
                _activation.patch(clients=setting == "on")
            for host in (SERVICE_HOST, STORAGE_HOST):
                path = "/api-ws/v1/realtime?model=m" if "websocket" in name else "/api/v1/models"
                try:
                    with use_workspace(workspace):
                        result: Any = driver(import_module(name), loopback.address(host, path))
                        if asyncio.iscoroutine(result):
                            asyncio.run(result)
                except Exception as raised:
                    error = error or (raised if host == SERVICE_HOST else None)
            sent[setting] = [request.workspaces for request in loopback.drain()]
        state, reason = _activation.covered()[name]
        covered = sent == {"native": [[], []], "off": [[], []], "on": [[workspace], []]}
        if not covered:
            reason = reason or (f"{type(error).__name__}: {error}" if error else state)
        yield {"library": name, **sent, "covered": covered, "reason": "" if covered else reason}
    _activation.patch(clients=False)
