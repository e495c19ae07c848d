"""P15: what any library sends to the service carries the workspace, where that is asked for."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from aiohttp import web
from hosts import server_context, trusting
from library_calls import NAMES, WAYS, Way
from record import environment

import dashscope_ws_patch
from dashscope_ws_patch import WorkspaceError, use_workspace
from dashscope_ws_patch.selftest.loopback import Loopback, Request, redirect

SERVICE = "dashscope.aliyuncs.com"
ELSEWHERE = "results.oss-cn-beijing.aliyuncs.com"
HEADER = "X-DashScope-WorkSpace"


class Hopping(Loopback):
    """The service, which sends its client from host to host where the URL says so."""

    async def _handle(self, wire: web.BaseRequest) -> web.StreamResponse:
        answer = await super()._handle(wire) if "to" not in wire.query else None
        if answer is not None:
            return answer
        await wire.read()
        # Recorded as every request is.
        self.requests.append(
            Request(
                "https",
                wire.headers["Host"].partition(":")[0],
                None,
                wire.method,
                wire.raw_path,
                [(n.decode(), v.decode()) for n, v in wire.raw_headers],
            )
        )
        following, _, rest = wire.query["to"].partition(",")
        websocket = wire.headers.get("Upgrade") == "websocket"
        # aiohttp follows no redirect to a wss URL, the others none to an https one.
        by_wss = websocket and "aiohttp" not in wire.headers.get("User-Agent", "")
        url = self.address(following, path(websocket, rest), by_wss)
        return web.Response(status=307, headers={"Location": url})


def path(websocket: bool, to: str = "") -> str:
    where = "/api-ws/v1/realtime?model=m" if websocket else "/compatible-mode/v1/models?model=m"
    return where + (f"&to={to}" if to else "")


@pytest.fixture(scope="module")
def hopping() -> Iterator[Hopping]:
    with Hopping(server_context()) as service, trusting(), redirect(service.port):
        yield service


@pytest.fixture
def service(hopping: Hopping) -> Iterator[Hopping]:
    dashscope_ws_patch.patch(clients=True)
    hopping.drain()
    yield hopping
    dashscope_ws_patch.patch(clients=False)


every_way = pytest.mark.parametrize("sender", WAYS, ids=NAMES)
with_client = pytest.mark.parametrize(
    "sender", [w for w in WAYS if w.client], ids=[w.name for w in WAYS if w.client]
)


def send(service: Hopping, sender: Way, host: str = SERVICE, to: str = "", **headers: Any) -> None:
    if to and sender.name == "websockets_sync":
        library = importlib.import_module(sender.library)
        if "redirect" not in inspect.getsource(library):
            pytest.skip("this release follows no redirects in threads")
    url = service.address(host, path(sender.websocket, to))
    sender.send(url, **headers)


def sent(service: Hopping, sender: Way, *args: Any, **kwargs: Any) -> list[list[str]]:
    """The workspaces that each request of one sending carries."""
    send(service, sender, *args, **kwargs)
    return [request.workspaces for request in service.drain()]


def wire(service: Hopping) -> list[Any]:
    """What was sent, but for what no two handshakes have in common."""
    return [
        (r.method, r.host, r.path, [h for h in r.headers if h[0] != "Sec-WebSocket-Key"], r.body)
        for r in service.drain()
    ]


def assert_native(service: Hopping, sender: Way, *args: Any, **kwargs: Any) -> None:
    """What is sent in a scope, and under an environment, is what is sent without the shim."""
    with environment(DASHSCOPE_WORKSPACE="ws_env"):
        send(service, sender, *args, **kwargs)
        in_environment = wire(service)
        with use_workspace("ws_scope"):
            send(service, sender, *args, **kwargs)
        in_scope = wire(service)
        dashscope_ws_patch.unpatch()
        try:
            send(service, sender, *args, **kwargs)
        finally:
            dashscope_ws_patch.patch(clients=True)
    native = wire(service)
    assert native
    assert in_environment == native
    assert in_scope == native


# Filled


@every_way
def test_p15_the_environment_and_the_scope(service: Hopping, sender: Way) -> None:
    with environment(DASHSCOPE_WORKSPACE="ws_env"):
        assert sent(service, sender) == [["ws_env"]]
        with use_workspace("ws_scope"):
            assert sent(service, sender) == [["ws_scope"]]
        with use_workspace(None):
            assert sent(service, sender) == [[]]
        with environment(DASHSCOPE_WORKSPACE="", DASHSCOPE_WORKSPACE_ID="ws_id"):
            assert sent(service, sender) == [["ws_id"]]


@every_way
def test_p15_nothing_ambient_is_native(service: Hopping, sender: Way) -> None:
    send(service, sender, headers={"X-Other": "1"})
    here = wire(service)
    dashscope_ws_patch.unpatch()
    send(service, sender, headers={"X-Other": "1"})
    assert here == wire(service)


@every_way
@pytest.mark.parametrize(
    "host", ["cn-hongkong.dashscope.aliyuncs.com", "token-plan.cn-beijing.maas.aliyuncs.com"]
)
def test_p15_other_hosts_of_the_service(service: Hopping, sender: Way, host: str) -> None:
    with use_workspace("ws_a"):
        assert sent(service, sender, host) == [["ws_a"]]


@every_way
def test_p15_only_the_header_is_added(service: Hopping, sender: Way) -> None:
    with use_workspace("ws_a"):
        send(service, sender, headers={"X-Other": "1"})
    (method, host, path, headers, body), *_ = wire(service)
    dashscope_ws_patch.unpatch()
    send(service, sender, headers={"X-Other": "1"})
    native = wire(service)
    assert [header for header in headers if header[0].lower() != HEADER.lower()] == native[0][3]
    assert (method, host, path, body) == (*native[0][:3], native[0][4])


@every_way
@pytest.mark.parametrize("blank", ["", " "])
def test_p15_a_blank_header_names_nothing(service: Hopping, sender: Way, blank: str) -> None:
    with use_workspace("ws_a"):
        if sender.library == "requests" and blank == " ":
            with pytest.raises(requests.exceptions.InvalidHeader):  # as natively
                send(service, sender, headers={"x-dashscope-workspace": blank})
        else:
            found = sent(service, sender, headers={"x-dashscope-workspace": blank})
            assert found == [["ws_a"]]


# Named


@every_way
@pytest.mark.parametrize(
    "spelled", [HEADER, HEADER.lower(), HEADER.upper(), "X-Dashscope-Workspace"]
)
def test_p15_a_header_of_the_request_stays(service: Hopping, sender: Way, spelled: str) -> None:
    assert_native(service, sender, headers={spelled: "ws_mine"})


@with_client
@pytest.mark.parametrize("spelled", [HEADER, HEADER.lower(), "X-Dashscope-Workspace"])
def test_p15_a_header_of_the_client_stays(service: Hopping, sender: Way, spelled: str) -> None:
    assert_native(service, sender, of_client={spelled: "ws_mine"})


@every_way
@pytest.mark.parametrize(
    "host", ["ws_mine.cn-beijing.maas.aliyuncs.com", "trial.eu-central-1.maas.aliyuncs.com"]
)
def test_p15_a_workspace_host_stays(service: Hopping, sender: Way, host: str) -> None:
    assert_native(service, sender, host)


# Foreign


@every_way
@pytest.mark.parametrize(
    "host",
    [
        ELSEWHERE,
        "dashscope-result-bj.oss-cn-beijing.aliyuncs.com",
        f"{SERVICE}.evil.example",
        "evil-dashscope.aliyuncs.com",
    ],
)
def test_p15_other_hosts_are_left_alone(service: Hopping, sender: Way, host: str) -> None:
    assert_native(service, sender, host)


@pytest.mark.parametrize("host", [SERVICE, ELSEWHERE])
@pytest.mark.parametrize("name", ["websockets_asyncio", "websockets_sync", "websockets_legacy"])
def test_p4_headers_that_can_be_read_once(service: Hopping, name: str, host: str) -> None:
    found = [way for way in WAYS if way.name == name]
    if not found:
        pytest.skip("no websockets")
    with use_workspace("ws_a"):
        for named in ("X-Other", HEADER):
            found[0].send(service.address(host, path(True)), headers=iter([(named, "1")]))  # type: ignore[arg-type]
            assert (named, "1") in service.drain()[0].headers


@every_way
def test_p15_a_redirect_elsewhere_and_back(service: Hopping, sender: Way) -> None:
    with use_workspace("ws_a"):
        assert sent(service, sender, to=f"{ELSEWHERE},{SERVICE}") == [["ws_a"], [], ["ws_a"]]


@every_way
def test_p15_a_redirect_within_the_service(service: Hopping, sender: Way) -> None:
    regional = f"cn-hongkong.{SERVICE}"
    with use_workspace("ws_a"):
        assert sent(service, sender, to=f"{regional},{SERVICE}") == [["ws_a"]] * 3


@every_way
def test_p15_a_redirect_to_a_workspace_host(service: Hopping, sender: Way) -> None:
    with use_workspace("ws_a"):
        assert sent(service, sender, to="ws_b.cn-beijing.maas.aliyuncs.com") == [["ws_a"], []]


@every_way
def test_p15_a_redirect_to_the_service(service: Hopping, sender: Way) -> None:
    with use_workspace("ws_a"):
        assert sent(service, sender, ELSEWHERE, to=SERVICE) == [[], ["ws_a"]]


@every_way
def test_p15_redirects_of_what_is_named_are_native(service: Hopping, sender: Way) -> None:
    assert_native(service, sender, to=f"{ELSEWHERE},{SERVICE}", headers={HEADER: "ws_mine"})


# Refused


@every_way
def test_p12_a_malformed_workspace_is_refused_before_anything_is_sent(
    service: Hopping, sender: Way
) -> None:
    with environment(DASHSCOPE_WORKSPACE="not valid"):
        with pytest.raises(WorkspaceError, match="DASHSCOPE_WORKSPACE is 'not valid'"):
            send(service, sender)
        assert service.drain() == []
        send(service, sender, ELSEWHERE)  # none of its business
        send(service, sender, headers={HEADER: "ws_mine"})


@every_way
def test_p19_a_request_needs_a_scope_or_a_name(service: Hopping, sender: Way) -> None:
    with environment(DASHSCOPE_WORKSPACE="ws_env", DASHSCOPE_WS_PATCH_REQUIRE_SCOPE="1"):
        with pytest.raises(WorkspaceError, match="is made in no scope"):
            send(service, sender)
        assert service.drain() == []
        send(service, sender, ELSEWHERE)
        assert sent(service, sender, headers={HEADER: "ws_mine"}) == [[], ["ws_mine"]]
