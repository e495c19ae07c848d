"""P9 of the 2.x clients: one that was made before the shim came follows the rules from then on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Optional

import pytest

dashscope = pytest.importorskip("dashscope")
if not hasattr(dashscope, "AsyncClient"):
    pytest.skip("this release has no 2.x client", allow_module_level=True)

import hosts  # noqa: E402

from dashscope_ws_patch import patch, unpatch, use_workspace  # noqa: E402
from dashscope_ws_patch.selftest.loopback import Loopback  # noqa: E402


@pytest.fixture
def loopback() -> Iterator[Loopback]:
    with hosts.serving() as service:
        yield service


def made_before(monkeypatch: pytest.MonkeyPatch, variable: str, **options: Any) -> Any:
    for name in ("DASHSCOPE_WORKSPACE", "DASHSCOPE_WORKSPACE_ID"):
        monkeypatch.delenv(name, raising=False)
    if variable:
        monkeypatch.setenv("DASHSCOPE_WORKSPACE", variable)
    unpatch()
    client = dashscope.Client(api_key="sk-test", **options)
    patch()
    return client


@pytest.mark.parametrize("workspace", ["", "ws-env"])
def test_p9_follows_the_scope(
    workspace: str, loopback: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = made_before(monkeypatch, workspace)
    with use_workspace("ws-a"):
        client.models.list()
        client.chat.completions.create(model="qwen-plus", messages=["hi"])
    found = [(request.workspaces, request.host) for request in loopback.drain()]
    assert found == [(["ws-a"], "ws-a.cn-beijing.maas.aliyuncs.com")] * 2


def test_p9_keeps_what_it_was_told(loopback: Loopback, monkeypatch: pytest.MonkeyPatch) -> None:
    client = made_before(monkeypatch, "ws-env", workspace="ws-told")
    with use_workspace("ws-a"):
        client.models.list()
    (request,) = loopback.drain()
    assert (request.workspaces, request.host) == (
        ["ws-told"],
        "ws-told.cn-beijing.maas.aliyuncs.com",
    )


def voices(loopback: Loopback) -> set[tuple[Optional[str], str]]:
    return {
        ((request.workspaces or [None])[0], request.host.partition(".")[0])
        for request in loopback.drain()
    }


def test_p9_all_that_was_told_before_stays(
    loopback: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client, what it derives, its agentstudio and a realtime session, taken before the shim."""
    monkeypatch.delenv("DASHSCOPE_WORKSPACE", raising=False)
    unpatch()
    client = dashscope.Client(api_key="sk-test", workspace="ws-told")
    studio = client.agentstudio
    realtime = client.audio.realtime.connect(model="qwen3-omni-flash-realtime")
    patch()
    with use_workspace("ws-a"):
        client.models.list()
        client.with_options(timeout=9).models.list()
        with realtime:
            pass
        assert voices(loopback) == {("ws-told", "ws-told")}
        studio.agents.list()
    assert voices(loopback) == {(None, "ws-told")}


def test_p9_what_was_found_before_follows_the_scope(
    loopback: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also what an older client derives and mounts, and a session that it has made before."""
    monkeypatch.setenv("DASHSCOPE_WORKSPACE", "ws-env")
    unpatch()
    client = dashscope.Client(api_key="sk-test")
    studio = client.agentstudio
    realtime = client.audio.realtime.connect(model="qwen3-omni-flash-realtime")
    patch()
    with use_workspace("ws-a"):
        client.with_options(timeout=9).models.list()
        client.ws_connection().close()
        studio.agents.list()
        with realtime:
            pass
    assert voices(loopback) == {("ws-a", "ws-a")}
