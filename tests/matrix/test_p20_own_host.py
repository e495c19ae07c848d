"""P20: with DASHSCOPE_WS_PATCH_OWN_HOST a request to a shared host goes to its workspace's own.

Three parts: every surface of the SDK, held against what it sends without the variable; a matrix of
shared hosts, ways to name a workspace and values, with an oracle beside it; and what is refused.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import itertools
import os
import threading
import zlib
from typing import Any, Optional

import dashscope
import pytest
import requests
from aiohttp import web
from conftest import SEED, Recorder
from hosts import server_context, trusting
from record import AMBIENT, NAMED, SETTINGS, Setting, environment, pointed, record, voices
from sdk_calls import AIO_GENERATION, GENERATION, need

import dashscope_ws_patch
from dashscope_ws_patch import WorkspaceError, use_workspace
from dashscope_ws_patch._decision import HEADER
from dashscope_ws_patch.selftest.loopback import Loopback, Request, redirect
from dashscope_ws_patch.selftest.surfaces import API_KEY, Drive, Surface, find

OWN_HOST = "DASHSCOPE_WS_PATCH_OWN_HOST"
#: The oracle's own table: the shared hosts and their regions.
REGION_OF = {
    "dashscope.aliyuncs.com": "cn-beijing",
    "dashscope-intl.aliyuncs.com": "ap-southeast-1",
    "dashscope-us.aliyuncs.com": "us-east-1",
    "cn-hongkong.dashscope.aliyuncs.com": "cn-hongkong",
}
SHARED = "dashscope.aliyuncs.com"
FRANKFURT = "eu-central-1"


def own(workspace: str, region: str = "cn-beijing") -> str:
    return f"{workspace}.{region}.maas.aliyuncs.com"


def moved(host: str, workspace: Optional[str], value: str) -> str:
    """The oracle: where a request that would go to ``host`` goes under the variable's ``value``."""
    if workspace is None or value in ("", "0") or host not in REGION_OF:
        return host
    return own(workspace, REGION_OF[host] if value == "1" else value)


def sent(loopback: Loopback) -> list[tuple[str, Optional[str], list[str]]]:
    """Host, name of TLS and workspaces of each request to the service."""
    return [(r.host, r.sni, r.workspaces) for r in loopback.drain() if not r.foreign]


def on(host: str, *workspaces: str) -> tuple[str, str, list[str]]:
    return host, host, list(workspaces)


@pytest.fixture
def moving(loopback: Loopback, monkeypatch: pytest.MonkeyPatch) -> Loopback:
    """The loopback service, while the variable is 1."""
    monkeypatch.setenv(OWN_HOST, "1")
    monkeypatch.setattr(dashscope, "api_key", API_KEY)
    return loopback


#: What calls of the first releases do not have.
SESSIONS = "dashscope.api_entities.http_request:HttpRequest.__init__(session)"
NAMING = f"{GENERATION}.call(workspace)"


def need_base_address() -> None:
    from dashscope.client import base_api

    if "base_address" not in inspect.getsource(base_api):
        pytest.skip("calls of this release take no base URL")


# Every surface


#: What is around a call, and what the variable says.
CELLS = [
    (setting, value)
    for setting in ("scope", "environment", "named in a scope")
    for value in ("1", FRANKFURT)
]


def cells_of(surface: Surface) -> list[tuple[str, str]]:
    """One of them for each surface, another each day; all with ``OWN_HOST_CELLS=all``."""
    if os.environ.get("OWN_HOST_CELLS") == "all":
        return CELLS
    return [CELLS[zlib.crc32(f"{surface.name}{SEED}".encode()) % len(CELLS)]]


def test_p20_every_surface_goes_to_the_workspaces_own_host(
    surface: Surface, recorded: Recorder, loopback: Loopback
) -> None:
    """Host, header, body and TLS name one workspace, in one region."""
    for setting, value in cells_of(surface):
        goes_to_the_own_host(setting, value, surface, recorded, loopback)


def goes_to_the_own_host(
    setting: str, value: str, surface: Surface, recorded: Recorder, loopback: Loopback
) -> None:
    before, around = recorded(surface, setting), SETTINGS[setting]
    if surface.group == "command line" and setting == "scope":
        around = SETTINGS["environment"]
    names = {**around.environment, OWN_HOST: value} if around.scope == "" else {OWN_HOST: value}
    around = Setting(around.scope, names, around.named)
    after = record(loopback, surface, around)
    if not before:
        return  # this release fails before it sends
    assert len(after) == len(before)
    for one, request in zip(before, (sent.request for sent in after)):
        if one.request.foreign:
            assert (request.host, request.workspaces) == (one.request.host, [])
            continue
        (workspace,) = voices(one.request)
        region = "cn-beijing" if value == "1" else value
        assert request.host == request.sni == own(workspace, region)
        assert voices(request) == {workspace}
        assert request.method == one.request.method


def test_p20_no_workspace_stays_on_the_shared_host(
    surface: Surface, recorded: Recorder, loopback: Loopback
) -> None:
    if surface.group == "command line":
        pytest.skip("has no scope: what is ambient comes by its environment")
    before = recorded(surface, "no workspace here")
    around = SETTINGS["no workspace here"]
    names = {**around.environment, OWN_HOST: "1"}
    after = record(loopback, surface, Setting(around.scope, names))
    assert [one.request.host for one in after] == [one.request.host for one in before]
    assert [one.request.workspaces for one in after] == [one.request.workspaces for one in before]


# The matrix

GIVEN = {"ambient": AMBIENT, "named": NAMED, "named in a scope": NAMED, "none": None}
VALUES = ("1", FRANKFURT, "0", "")
MESSAGES = [{"role": "user", "content": "hi"}]


def first_surface(given: str, host: str) -> None:
    """Requests by HTTP and by a websocket of the 1.x surface."""
    named = {"workspace": NAMED} if given.startswith("named") else {}
    with pointed(host):
        find(GENERATION).call("m", "hi", **named)
        find(GENERATION).call("m", "hi", api_protocol="websocket", **named)


def of_a_call(given: str, host: str) -> None:
    """The same with a base URL of the call."""
    need_base_address()
    named = {"workspace": NAMED} if given.startswith("named") else {}
    find(GENERATION).call("m", "hi", base_address=f"https://{host}/api/v1", **named)
    url = f"wss://{host}/api-ws/v1/inference"
    find(GENERATION).call("m", "hi", base_address=url, api_protocol="websocket", **named)


def client(given: str, host: str) -> None:
    """A 2.x client that is given the host: HTTP, and a websocket."""
    named = {"workspace": NAMED} if given.startswith("named") else {}
    with dashscope.Client(api_key=API_KEY, base_url=f"https://{host}/api/v1") as made:
        made.chat.completions.create(model="m", messages=MESSAGES, **named)
        url = f"wss://{host}/api-ws/v1/inference"
        with made.audio.asr.recognize(model="m", ws_url=url, **named) as session:
            session.stop()
            list(session.events())


def asynchronous_client(given: str, host: str) -> None:
    named = {"workspace": NAMED} if given.startswith("named") else {}

    async def call() -> None:
        made = dashscope.AsyncClient(api_key=API_KEY, base_url=f"https://{host}/api/v1")
        await made.chat.completions.create(model="m", messages=MESSAGES, **named)
        await made.models.list(**named)
        await made.aclose()

    asyncio.run(call())


SENDERS = [first_surface, of_a_call]
if hasattr(dashscope, "AsyncClient"):
    SENDERS += [client, asynchronous_client]


@pytest.mark.parametrize("sender", SENDERS, ids=lambda sender: sender.__name__)
@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("given", GIVEN)
@pytest.mark.parametrize("host", REGION_OF)
def test_p20_the_matrix(
    host: str, given: str, value: str, sender: Any, loopback: Loopback,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    if given.startswith("named"):
        need(NAMING)
    monkeypatch.setattr(dashscope, "api_key", API_KEY)
    scope = use_workspace(AMBIENT) if given in ("ambient", "named in a scope") else None
    with environment(**{OWN_HOST: value}), scope or contextlib.nullcontext():
        sender(given, host)
    workspace = GIVEN[given]
    goes = on(moved(host, workspace, value), *filter(None, [workspace]))
    assert sent(loopback) == [goes, goes]


#: What is no shared host of a region, and whether the service is there.
STAYING = {
    own("llm-other"): None,
    "token-plan.cn-beijing.maas.aliyuncs.com": AMBIENT,
    "coding-plan.ap-southeast-1.maas.aliyuncs.com": AMBIENT,
    "vpc-cn-beijing.dashscope.aliyuncs.com": AMBIENT,
    "coding.dashscope.aliyuncs.com": AMBIENT,
    "coding-intl.dashscope.aliyuncs.com": AMBIENT,
    "dashscope-finance.aliyuncs.com": AMBIENT,
    "gateway.corp.example": AMBIENT,
}


@pytest.mark.parametrize("value", ["1", FRANKFURT])
@pytest.mark.parametrize("host", STAYING)
def test_p20_other_hosts_stay(host: str, value: str, moving: Loopback, monkeypatch: Any) -> None:
    need_base_address()
    monkeypatch.setenv(OWN_HOST, value)
    monkeypatch.setenv("DASHSCOPE_WS_PATCH_HOSTS", "gateway.corp.example")
    with use_workspace(AMBIENT):
        find(GENERATION).call("m", "hi", base_address=f"https://{host}/api/v1")
    found = [(request.host, request.workspaces) for request in moving.drain()]
    assert found == [(host, [AMBIENT] if STAYING[host] else [])]


def test_p20_port_path_and_query_stay() -> None:
    from dashscope_ws_patch._hosts import own_host

    with environment(**{OWN_HOST: "1"}):
        for scheme, rest in itertools.product(
            ("https", "http", "wss"), (":8443/a?b=//c#d", "?x=/y", "")
        ):
            url = f"{scheme}://{SHARED}{rest}"
            assert own_host(url, "ws-a") == f"{scheme}://{own('ws-a')}{rest}"


# The 2.x clients' default endpoints, which nobody has named


@pytest.mark.parametrize("value", ["1", FRANKFURT])
@pytest.mark.parametrize("region", [None, "ap-northeast-1"])
@pytest.mark.parametrize("place", ["scope", "environment", "client", "call"])
def test_p20_a_client_sends_all_to_one_region(
    place: str, region: Optional[str], value: str, moving: Loopback
) -> None:
    """Tokyo has no shared host: the SDK's own, from which it would be moved, is Singapore's."""
    need("dashscope:AsyncClient")
    names = {
        OWN_HOST: value,
        **({"DASHSCOPE_WORKSPACE": AMBIENT} if place == "environment" else {}),
    }
    options = {"region": region} if region else {}
    told = {"workspace": AMBIENT}
    with (
        environment(**names),
        use_workspace(AMBIENT) if place == "scope" else contextlib.nullcontext(),
    ):
        made = dashscope.Client(api_key=API_KEY, **options, **(told if place == "client" else {}))
        named = told if place == "call" else {}
        made.chat.completions.create(model="m", messages=MESSAGES, **named)
        made.models.list(**named)
        with made.audio.asr.recognize(model="m", **named) as session:
            session.stop()
            list(session.events())
        with made.audio.realtime.connect(model="qwen3-omni-flash-realtime", **named):
            pass
        made.close()
    wanted = value if value != "1" else region or "cn-beijing"
    assert sent(moving) == [on(own(AMBIENT, wanted), AMBIENT)] * 4


# Tenants in turn

TENANTS = ("ws-a", "ws-b", "ws-a")


def _in_turn(call: Any) -> None:
    for tenant in TENANTS:
        with use_workspace(tenant):
            call()


def test_p20_tenants_in_turn_on_one_session(moving: Loopback) -> None:
    need(SESSIONS)
    with requests.Session() as session:
        _in_turn(lambda: find(GENERATION).call("m", "hi", session=session))
    assert sent(moving) == [on(own(tenant), tenant) for tenant in TENANTS]


def test_p20_tenants_in_turn_on_one_client(moving: Loopback) -> None:
    need("dashscope:AsyncClient")
    with dashscope.Client(api_key=API_KEY) as made:
        _in_turn(lambda: made.chat.completions.create(model="m", messages=MESSAGES))
    assert sent(moving) == [on(own(tenant), tenant) for tenant in TENANTS]


def test_p20_tenants_in_turn_on_one_pool(moving: Loopback) -> None:
    """A pool of httpx that is the calling code's own, with the shared host as its base."""
    need("dashscope:AsyncClient")
    import httpx

    with httpx.Client(base_url=f"https://{SHARED}/api/v1") as pool:
        made = dashscope.Client(api_key=API_KEY, http_client=pool)
        _in_turn(lambda: made.models.list())
    assert sent(moving) == [on(own(tenant), tenant) for tenant in TENANTS]


def test_p20_tenants_at_the_same_time(moving: Loopback) -> None:
    barrier = threading.Barrier(2)

    def call(tenant: str) -> None:
        with use_workspace(tenant):
            for _ in range(5):
                barrier.wait()
                find(GENERATION).call("m", "hi")

    threads = [threading.Thread(target=call, args=(tenant,)) for tenant in ("ws-a", "ws-b")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = sent(moving)
    assert sorted(found) == sorted([on(own(tenant), tenant) for tenant in ("ws-a", "ws-b")] * 5)


# What names a workspace in another way


def test_p20_a_session_that_names_a_workspace_moves(moving: Loopback) -> None:
    need(SESSIONS)
    with requests.Session() as session, use_workspace(AMBIENT):
        session.headers[HEADER] = NAMED
        find(GENERATION).call("m", "hi", session=session)
    assert sent(moving) == [on(own(NAMED), NAMED)]


@pytest.mark.parametrize("name", [HEADER, HEADER.lower()])
def test_p20_a_header_of_the_call_moves(name: str, moving: Loopback) -> None:
    with use_workspace(AMBIENT):
        find(GENERATION).call("m", "hi", headers={name: NAMED})
    assert sent(moving) == [on(own(NAMED), NAMED)]


# Retries and redirects


class _Redirecting(Loopback):
    """The service, where each path but the last leads to ``elsewhere``."""

    elsewhere = "/moved"

    async def _handle(self, wire: web.BaseRequest) -> web.StreamResponse:
        if "generation" not in wire.path:
            return await super()._handle(wire)
        self.requests.append(Request("", wire.headers["Host"].partition(":")[0], None, "", "", []))
        raise web.HTTPTemporaryRedirect(self.elsewhere)


@pytest.mark.parametrize("elsewhere", ["", f"https://{SHARED}", f"https://{own('ws-b')}"])
@pytest.mark.parametrize("call", ["call", "session", "async call", "websocket"])
def test_p20_a_redirect_of_the_moved_host_is_the_librarys(
    call: str, elsewhere: str, moving: Loopback, drive: Drive
) -> None:
    """A path alone leads to the workspace's host again; another host is the service's choice."""
    need(f"{AIO_GENERATION}.call")
    if call == "session":
        need(SESSIONS)
    path = "/api-ws/v1/moved" if call == "websocket" else "/api/v1/moved"
    with _Redirecting(server_context()) as service, trusting(), redirect(service.port):
        to = elsewhere and f"{elsewhere}:{service.port}"
        service.elsewhere = to + path
        with use_workspace("ws-a"), contextlib.suppress(Exception), requests.Session() as session:
            if call == "session":
                find(GENERATION).call("m", "hi", session=session)
            elif call == "async call":
                drive.run(find(AIO_GENERATION).call("m", "hi"))
            elif call == "websocket":
                url = f"wss://{SHARED}/api-ws/v1/generation"
                find(GENERATION).call("m", "hi", api_protocol="websocket", base_address=url)
            else:
                find(GENERATION).call("m", "hi")
        first, second = service.drain()
    assert first.host == own("ws-a")
    assert second.host == (elsewhere[8:] or own("ws-a"))
    assert second.workspaces == ["ws-a"]


class _Unavailable(Loopback):
    """The service, which cannot be had at first."""

    left = 2

    async def _handle(self, wire: web.BaseRequest) -> web.StreamResponse:
        answer = await super()._handle(wire)
        self.left -= 1
        return answer if self.left < 0 else web.Response(status=503)


def test_p20_retries_go_to_the_moved_host(moving: Loopback) -> None:
    need("dashscope:AsyncClient")
    with _Unavailable(server_context()) as service, trusting(), redirect(service.port):
        with dashscope.Client(api_key=API_KEY, base_url=f"https://{SHARED}/api/v1") as made:
            with use_workspace("ws-a"):
                made.models.list()
        assert sent(service) == [on(own("ws-a"), "ws-a")] * 3


# What is refused


@pytest.mark.parametrize("value", ["no region!", "a.b", "https://x", "-x", "x" * 64])
def test_p20_what_is_no_region_is_refused_before_anything_is_sent(
    value: str, moving: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(OWN_HOST, value)
    with use_workspace(AMBIENT), pytest.raises(WorkspaceError, match=f"{OWN_HOST}.*eu-central-1"):
        find(GENERATION).call("m", "hi")
    with use_workspace(None):
        find(GENERATION).call("m", "hi")
    with pytest.raises(WorkspaceError, match="own_host"):
        dashscope_ws_patch.patch(own_host=value)
    assert sent(moving) == [on(SHARED)]


def test_p20_a_workspace_that_is_no_label_is_refused(moving: Loopback) -> None:
    need(NAMING)
    for scope, named in (("x" * 64, {}), (None, {"workspace": "x" * 64})):
        with use_workspace(scope), pytest.raises(WorkspaceError, match="63"):
            find(GENERATION).call("m", "hi", **named)
    assert sent(moving) == []


def test_p20_patch_takes_precedence_over_the_variable(moving: Loopback) -> None:
    values = (None, False, FRANKFURT, True)
    try:
        for value in values:
            dashscope_ws_patch.patch(own_host=value)
            with use_workspace("ws-a"):
                find(GENERATION).call("m", "hi")
    finally:
        dashscope_ws_patch.unpatch()
    dashscope_ws_patch.patch()
    with use_workspace("ws-a"):
        find(GENERATION).call("m", "hi")
    hosts = [own("ws-a"), SHARED, own("ws-a", FRANKFURT), own("ws-a"), own("ws-a")]
    assert sent(moving) == [on(host, "ws-a") for host in hosts]
