"""Workspace hosts of the 1.x surface that the program sets while it runs, and hard-coded ones."""

from __future__ import annotations

import contextlib
import importlib
import re
import threading
from collections.abc import Iterator
from typing import Any
from unittest import mock

import dashscope
import pytest
from dashscope.common.error import InputRequired
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from one_voice import voice
from record import BASES, environment

from dashscope_ws_patch import WorkspaceError, use_workspace
from dashscope_ws_patch.selftest.loopback import Loopback

if not hasattr(dashscope, "set_region"):
    pytest.skip("this release has no regional hosts", allow_module_level=True)

A, CALL, BASE, ENV = "ws-a", "ws-call", "ws-base", "ws-env"
REGION = "cn-beijing"


def host(workspace: str, region: str = REGION) -> str:
    return f"{workspace}.{region}.maas.aliyuncs.com"


@pytest.fixture(autouse=True)
def _bases() -> Iterator[None]:
    """The module-level base URLs are put back."""
    with mock.patch.multiple(dashscope, **{base: getattr(dashscope, base) for base in BASES}):
        dashscope.api_key = "sk-loopback"
        yield


def call(**named: Any) -> None:
    dashscope.Generation.call("qwen-turbo", "hello", **named)


def test_set_region_gives_way_to_a_scope_alone(loopback: Loopback) -> None:
    dashscope.set_region(REGION, BASE)
    with environment(DASHSCOPE_WORKSPACE=ENV):
        call()
        with use_workspace(A):
            call()
        with use_workspace(None):
            call()
        call(workspace=CALL)
    assert [voice(request) for request in loopback.drain()] == [
        (None, host(BASE)), (A, host(A)), (None, host(BASE)), (CALL, host(BASE)),
    ]  # fmt: skip


def test_url_of_the_call_does_not_give_way(loopback: Loopback) -> None:
    with use_workspace(A):
        call(base_address=f"https://{host(CALL)}/api/v1")
        call(base_address=f"https://{host(CALL)}/api/v1", workspace=CALL)
    assert [voice(request) for request in loopback.drain()] == [
        (None, host(CALL)), (CALL, host(CALL)),
    ]  # fmt: skip


def test_placeholder_of_the_call_is_filled(loopback: Loopback) -> None:
    with use_workspace(A):
        call(base_address=f"https://{host('{workspace_id}')}/api/v1")
    with environment(DASHSCOPE_WORKSPACE=ENV):
        call(base_address=f"https://{host('{workspace_id}')}/api/v1")
    assert [voice(request) for request in loopback.drain()] == [(A, host(A)), (ENV, host(ENV))]


def test_placeholder_assigned_by_the_program_is_filled(loopback: Loopback, drive: Any) -> None:
    dashscope.base_http_api_url = f"https://{host('{workspace_id}')}/api/v1"
    for workspace in (A, CALL):
        with use_workspace(workspace):
            call()
            drive.run(dashscope.AioGeneration.call("qwen-turbo", "hello"))
    assert [voice(request) for request in loopback.drain()] == [
        (A, host(A)), (A, host(A)), (CALL, host(CALL)), (CALL, host(CALL)),
    ]  # fmt: skip


@pytest.mark.parametrize("url", [
    f"https://{host('{workspace_id}')}/api/v1", f"https://{host(BASE)}/api/v1",
])  # fmt: skip
def test_workspace_too_long_for_a_host_is_refused_before_sending(
    url: str, loopback: Loopback
) -> None:
    dashscope.base_http_api_url = url
    with use_workspace("w" * 64), pytest.raises(WorkspaceError, match="63"):
        call()
    assert loopback.drain() == []


def test_region_that_the_sdk_refuses() -> None:
    with use_workspace(A), pytest.raises(ValueError, match="Unsupported region") as raised:
        dashscope.set_region("mars", A)
    assert type(raised.value) is ValueError


def test_management_polling_and_uploads_follow_the_scopes_host(
    loopback: Loopback, drive: Any
) -> None:
    dashscope.set_region(REGION, BASE)
    with use_workspace(A):
        files: Any = dashscope.Files
        files.list()
        dashscope.ImageSynthesis.call("wanx-v1", prompt="hello")
        dashscope.MultiModalConversation.call(
            "qwen-vl-plus", [{"role": "user", "content": [{"image": drive.file_url}]}]
        )
    voices = {voice(request) for request in loopback.drain() if "oss-" not in request.host}
    assert voices == {(A, host(A))}


# --- header, host and body never name two workspaces unless the calling code did ----------------

NAMES = st.sampled_from(["ws-1", "ws-2", "ws-3"])
SCOPE = st.one_of(st.just(""), st.none(), NAMES)
PLACES = st.fixed_dictionaries({
    "scope": SCOPE,
    "born": SCOPE,
    "named": st.one_of(st.none(), NAMES),
    "header": st.one_of(st.none(), NAMES),
    "url": st.one_of(st.none(), NAMES, st.just("{workspace_id}")),
    "base": st.one_of(st.none(), NAMES, st.just("{workspace_id}")),
    "workspace": st.one_of(st.none(), NAMES),
    "workspace_id": st.one_of(st.none(), NAMES),
})  # fmt: skip


@settings(
    max_examples=120,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(places=PLACES, kind=st.sampled_from(["http", "tingwu"]))
def test_p5_one_voice(places: dict[str, Any], kind: str, loopback: Loopback) -> None:
    """What the code does not say twice, the shim does not either."""
    variables = {
        f"DASHSCOPE_{name}".upper(): places[name]
        for name in ("workspace", "workspace_id")
        if places[name]
    }
    if places["base"]:
        dashscope.base_http_api_url = f"https://{host(places['base'])}/api/v1"
        dashscope.base_websocket_api_url = f"wss://{host(places['base'])}/api-ws/v1/inference"
    else:
        dashscope.base_http_api_url = "https://dashscope.aliyuncs.com/api/v1"
        dashscope.base_websocket_api_url = "wss://dashscope.aliyuncs.com/api-ws/v1/inference"
    loopback.drain()
    try:
        with environment(**variables), _scope(places["scope"]):
            (_http if kind == "http" else _tingwu)(places)
    except InputRequired:  # a host that needs a workspace, and none is named
        assert loopback.drain() == []
        return
    by_code = {places[name] for name in ("named", "header", "url")} - {None, "{workspace_id}"}
    if by_code:  # what the code points the SDK at does not give way to it
        by_code.add(places["base"])
    sent = loopback.drain()
    assert sent
    for request in sent:
        spoken = {*request.workspaces}
        if request.host.endswith(".maas.aliyuncs.com"):
            spoken.add(request.host.partition(".")[0])
        messages = "".join(map(str, request.messages))
        spoken |= set(re.findall(r'"workspace_id": *"([^"]*)"', messages))
        assert len(request.workspaces) <= 1
        assert len(spoken) <= 1 or spoken <= by_code


def _scope(workspace: Any) -> Any:
    return contextlib.nullcontext() if workspace == "" else use_workspace(workspace)


def _http(places: dict[str, Any]) -> None:
    named = {}
    if places["named"]:
        named["workspace"] = places["named"]
    if places["header"]:
        named["headers"] = {"x-dashscope-workspace": places["header"]}
    if places["url"]:
        named["base_address"] = f"https://{host(places['url'])}/api/v1"
    call(**named)


def _tingwu(places: dict[str, Any]) -> None:
    module: Any = importlib.import_module("dashscope.multimodal.tingwu.tingwu_realtime")

    callback, closed = module.TingWuRealtimeCallback(), threading.Event()
    callback.on_close = lambda code, reason: closed.set()
    named = {"workspace": places["named"]} if places["named"] else {}
    if places["url"]:
        named["base_address"] = f"wss://{host(places['url'])}/api-ws/v1/inference"
    with _scope(places["born"]):
        session = module.TingWuRealtime("tingwu", callback, app_id="app-1", **named)
    session.start()
    session.stop()
    closed.wait(60)
