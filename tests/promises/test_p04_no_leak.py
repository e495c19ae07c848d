"""P4: what leaves for elsewhere carries no header."""

from __future__ import annotations

import contextlib
import inspect
import os
import sys
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, Optional

import pytest
from aiohttp import web
from conftest import Native, Recorder
from hosts import server_context, trusting
from record import comparable
from sdk_calls import AIO_GENERATION, GENERATION, need

from dashscope_ws_patch import use_workspace
from dashscope_ws_patch.selftest.loopback import Loopback, redirect
from dashscope_ws_patch.selftest.surfaces import Drive, Surface, find

SCOPED = ("scope", "named in a scope", "pointed, scope")
ELSEWHERE = "elsewhere.example.com"


@pytest.mark.parametrize("setting", ["environment", *SCOPED])
def test_p4_foreign_hosts_never_see_the_header(
    surface: Surface, setting: str, recorded: Recorder, native: Native
) -> None:
    """What leaves for elsewhere is native, byte for byte, whatever is ambient or named."""
    sent = [comparable(one.request) for one in recorded(surface, setting)]
    before = native(surface, "named" if setting.startswith("named") else "environment")
    assert [request for request in sent if request["foreign"]] == [
        request for request in before if request["foreign"]
    ]


class Redirecting(Loopback):
    """The service, where every answer sends its client to ``elsewhere``, until it gets there."""

    elsewhere = ELSEWHERE

    async def _handle(self, wire: web.BaseRequest) -> web.StreamResponse:
        if self.elsewhere in wire.headers["Host"]:
            return await super()._handle(wire)
        raise web.HTTPTemporaryRedirect(self.address(self.elsewhere, "/moved"))


@pytest.fixture
def redirecting(loopback: Loopback) -> Iterator[Redirecting]:
    with Redirecting(server_context()) as service, trusting(), redirect(service.port):
        yield service


IMAGES = "dashscope.aigc.image_synthesis:ImageSynthesis"


def _encrypted(drive: Drive, **named: Any) -> None:
    need("dashscope.api_entities.encryption:Encryption")
    find(GENERATION).call("m", "hi", enable_encryption=True, **named)


def _async_call(drive: Drive, **named: Any) -> None:
    need(AIO_GENERATION)
    drive.run(find(AIO_GENERATION).call("m", "hi", **named))


def _poll(drive: Drive, **named: Any) -> None:
    need(f"{IMAGES}.fetch")
    find(IMAGES).fetch("task-1", **named)


def _list(drive: Drive, **named: Any) -> None:
    need(f"{IMAGES}.list")
    find(IMAGES).list(**named)


def _by_hand(way: str) -> Any:
    """A request object that the SDK has in every release, and makes in none by itself."""

    def send(drive: Drive, **named: Any) -> None:
        name = f"dashscope.api_entities.aiohttp_request:AioHttpRequest.{way}"
        need(name)
        cls = find(name.rpartition(".")[0])
        url = "https://dashscope.aliyuncs.com/api/v1/models"
        request = cls(url, "sk-loopback", "GET", stream=False)
        request.data = SimpleNamespace(parameters={})
        if named:
            request.add_headers({"X-DashScope-WorkSpace": named["workspace"]})
        answer = getattr(request, way)()
        if inspect.isawaitable(answer):
            drive.run(answer)
        elif inspect.isgenerator(answer):
            list(answer)

    return send


def _with_session(drive: Drive, **named: Any) -> None:
    """The calling code's own, with hooks of its own."""
    import requests

    _need_sessions()
    seen: list[object] = []
    with requests.Session() as session:
        session.hooks["response"] = lambda answer, **_: seen.append(answer)  # type: ignore[assignment]
        hooks = dict(session.hooks)
        find(GENERATION).call("m", "hi", session=session, **named)
        assert len(seen) == 2 and session.hooks == hooks


def _with_async_session(drive: Drive, **named: Any) -> None:
    import aiohttp

    _need_sessions()
    need(AIO_GENERATION)

    async def main() -> None:
        async with aiohttp.ClientSession() as session:
            await find(AIO_GENERATION).call("m", "hi", session=session, **named)
            assert session._request_class is aiohttp.ClientRequest

    drive.run(main())


def _need_sessions() -> None:
    build = sys.modules["dashscope.api_entities.api_request_factory"]._build_api_request
    if "session" not in inspect.signature(build).parameters:
        pytest.skip("this release takes no session")


def _client_that_follows(drive: Drive, **named: Any) -> None:
    need("dashscope:Client.with_options")
    import httpx

    with httpx.Client(follow_redirects=True) as pool:
        client = find("dashscope:Client")(api_key="sk-loopback", http_client=pool)
        client.chat.completions.create(model="m", messages="hi", **named)


def _async_client_that_follows(drive: Drive, **named: Any) -> None:
    need("dashscope:Client.with_options")
    import httpx

    async def main() -> None:
        async with httpx.AsyncClient(follow_redirects=True) as pool:
            client = find("dashscope:AsyncClient")(api_key="sk-loopback", http_client=pool)
            await client.chat.completions.create(model="m", messages="hi", **named)

    drive.run(main())


SENDS = pytest.mark.parametrize(
    "send",
    [
        lambda drive, **named: find(GENERATION).call("m", "hi", **named),
        lambda drive, **named: list(find(GENERATION).call("m", "hi", stream=True, **named)),
        lambda drive, **named: find(GENERATION).call("m", "hi", api_protocol="websocket", **named),
        _encrypted,
        _async_call,
        _poll,
        _list,
        _by_hand("call"),
        _by_hand("aio_call"),
        _with_session,
        _with_async_session,
        _client_that_follows,
        _async_client_that_follows,
    ],
    ids=[
        "call",
        "stream",
        "websocket",
        "public key",
        "async call",
        "polling",
        "list",
        "object",
        "aio object",
        "session",
        "async session",
        "client",
        "async client",
    ],
)


def _arrived(send: Any, drive: Drive, service: Redirecting, **named: Any) -> list[list[str]]:
    """What workspaces the requests named that the redirect has led to its end."""
    with use_workspace("ws_ambient"), contextlib.suppress(Exception):
        send(drive, **named)  # what is there is no answer of the service
    return [request.workspaces for request in service.drain() if request.path == "/moved"]


@SENDS
@pytest.mark.parametrize("elsewhere", ["dashscope-us.aliyuncs.com", None])
def test_p4_a_redirect_is_the_librarys_as_with_workspace_natively(
    send: Any, elsewhere: Optional[str], redirecting: Redirecting, drive: Drive
) -> None:
    """Within the service, and to a foreign host: the library takes all headers along."""
    redirecting.elsewhere = elsewhere or redirecting.elsewhere
    arrived = _arrived(send, drive, redirecting)
    assert arrived
    assert all(each == ["ws_ambient"] for each in arrived)


@SENDS
def test_p1_redirects_take_a_header_of_the_calling_codes_along(
    send: Any, redirecting: Redirecting, drive: Drive
) -> None:
    if "workspace" not in inspect.signature(find(GENERATION).call).parameters:
        pytest.skip("calls of this release name no workspace")
    arrived = _arrived(send, drive, redirecting, workspace="ws_named")
    assert {tuple(each) for each in arrived} == {("ws_named",)}


@pytest.mark.skipif(os.environ.get("CLIENTS") == "1", reason="P15 is asked for")
def test_p4_a_plain_request_of_the_program_is_its_own(loopback: Loopback) -> None:
    """Libraries are changed as the SDK sees them, and as nobody else does."""
    import requests

    with use_workspace("ws_ambient"):
        requests.get("https://dashscope.aliyuncs.com/api/v1/models", timeout=60)
    assert [request.workspaces for request in loopback.drain()] == [[]]
