"""P4: what leaves for elsewhere carries no header."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from _record import comparable
from _sdk import AIO_GENERATION, GENERATION, need
from aiohttp import web
from conftest import Native, Recorder
from hosts import server_context, trusting

from dashscope_ws_patch import use_workspace
from dashscope_ws_patch.selftest.loopback import Loopback, redirect
from dashscope_ws_patch.selftest.surfaces import Drive, Surface, _find

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
    """The service, where every answer sends its client elsewhere."""

    async def _handle(self, wire: web.BaseRequest) -> web.StreamResponse:
        answer = await super()._handle(wire)
        if ELSEWHERE in wire.headers["Host"]:
            return answer
        raise web.HTTPTemporaryRedirect(self.address(ELSEWHERE, "/moved"))


@pytest.fixture
def redirecting(loopback: Loopback) -> Iterator[Redirecting]:
    with Redirecting(server_context()) as service, trusting(), redirect(service.port):
        yield service


def _at_elsewhere(service: Loopback) -> list[list[str]]:
    return [request.workspaces for request in service.drain() if request.foreign]


@pytest.mark.xfail(strict=True, reason="a redirect takes the header to another host")
def test_p4_redirects_leave_the_header_behind(redirecting: Redirecting) -> None:
    with use_workspace("ws_ambient"):
        _find(GENERATION).call("m", "hi")
    assert _at_elsewhere(redirecting) == [[]]


@pytest.mark.xfail(strict=True, reason="a redirect takes the header to another host")
def test_p4_redirects_of_async_calls_leave_the_header_behind(
    redirecting: Redirecting, drive: Drive
) -> None:
    need(AIO_GENERATION)
    with use_workspace("ws_ambient"):
        drive.run(_find(AIO_GENERATION).call("m", "hi"))
    assert _at_elsewhere(redirecting) == [[]]


@pytest.mark.xfail(strict=True, reason="a redirect takes the header to another host")
def test_p4_redirects_of_polling_leave_the_header_behind(redirecting: Redirecting) -> None:
    need("dashscope.aigc.image_synthesis:ImageSynthesis.fetch")
    with use_workspace("ws_ambient"):
        _find("dashscope.aigc.image_synthesis:ImageSynthesis").fetch("task-1")
    assert _at_elsewhere(redirecting) == [[]]


def test_p4_a_plain_request_of_the_program_is_its_own(loopback: Loopback) -> None:
    """Libraries are changed as the SDK sees them, and as nobody else does."""
    import requests

    with use_workspace("ws_ambient"):
        requests.get("https://dashscope.aliyuncs.com/api/v1/models", timeout=5)
    assert [request.workspaces for request in loopback.drain()] == [[]]
