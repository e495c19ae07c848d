"""P20: the workspace's own host, for what other libraries send: host, name of TLS and header."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import requests
import urllib3
from hosts import ca_file
from library_calls import URL, WAYS, Way, trust

import dashscope_ws_patch
from dashscope_ws_patch import use_workspace
from dashscope_ws_patch._decision import HEADER
from dashscope_ws_patch.selftest.loopback import Loopback

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
