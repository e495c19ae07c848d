"""P12: a malformed workspace is refused clearly, before anything is sent, and where it is used."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any, Callable

import pytest
from environments import ROOT
from record import NAMED, POINTED_HOST, environment, pointed
from sdk_calls import AIO_GENERATION, GENERATION, OBJECTS, STREAMS, TTS_V2, need, seen

from dashscope_ws_patch import WorkspaceError, get_workspace, set_workspace, use_workspace
from dashscope_ws_patch.selftest.loopback import Denial, Loopback, Request
from dashscope_ws_patch.selftest.surfaces import API_KEY, Drive, find

MALFORMED = "bad workspace\r\nX-Evil: 1"
VARIABLES = ("DASHSCOPE_WORKSPACE", "DASHSCOPE_WORKSPACE_ID")


@pytest.fixture(params=VARIABLES)
def malformed(request: pytest.FixtureRequest) -> Iterator[str]:
    with environment(**{request.param: MALFORMED}):
        yield request.param


def explains(error: pytest.ExceptionInfo[WorkspaceError], origin: str, value: str) -> None:
    message = str(error.value)
    assert repr(value) in message and origin in message and "A-Z a-z 0-9 _ -" in message
    assert "\n" not in message and API_KEY not in message
    assert isinstance(error.value, ValueError)


@pytest.mark.parametrize("value", ["", " ", "a b", "-a", "_a", "ä", "a\n", "a" * 65, "{x}", "٣"])
@pytest.mark.parametrize("enter", [use_workspace, set_workspace])
def test_p12_scopes_refuse_at_once(enter: Callable[[Any], object], value: str) -> None:
    with pytest.raises(WorkspaceError) as error:
        enter(value)
    explains(error, enter.__name__, value)
    assert get_workspace() is None


@pytest.mark.parametrize("value", [b"ws_a", 1, True, ["ws_a"], object()])
@pytest.mark.parametrize("enter", [use_workspace, set_workspace])
def test_p12_scopes_refuse_what_is_no_string(enter: Callable[[Any], object], value: Any) -> None:
    with pytest.raises(TypeError, match=enter.__name__):
        enter(value)


def test_p12_sync_call(malformed: str, loopback: Loopback) -> None:
    with pytest.raises(WorkspaceError) as error:
        find(GENERATION).call("m", "hi")
    explains(error, malformed, MALFORMED)
    assert loopback.drain() == []


def test_p12_websocket_call(malformed: str, loopback: Loopback) -> None:
    with pytest.raises(WorkspaceError) as error:
        find(GENERATION).call("m", "hi", api_protocol="websocket")
    explains(error, malformed, MALFORMED)
    assert loopback.drain() == []


def test_p12_async_call(malformed: str, loopback: Loopback, drive: Drive) -> None:
    need(AIO_GENERATION)
    with pytest.raises(WorkspaceError) as error:
        drive.run(find(AIO_GENERATION).call("m", "hi"))
    explains(error, malformed, MALFORMED)
    assert loopback.drain() == []


@pytest.mark.parametrize("name", STREAMS)
def test_p12_streams(name: str, malformed: str, loopback: Loopback) -> None:
    needs, begin = STREAMS[name]
    need(needs)
    with pytest.raises(WorkspaceError) as error:
        list(begin())
    explains(error, malformed, MALFORMED)
    assert loopback.drain() == []


@pytest.mark.parametrize("name", OBJECTS)
def test_p12_objects(
    name: str,
    malformed: str,
    loopback: Loopback,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also where the SDK sends from a thread: the caller is told, and no thread dies of it."""
    needs, make, send = OBJECTS[name]
    need(needs)
    died: list[Any] = []
    monkeypatch.setattr(threading, "excepthook", died.append)
    made = make()
    with pytest.raises(WorkspaceError) as error:
        send(made)
    explains(error, malformed, MALFORMED)
    assert loopback.drain() == [] and died == []


def test_p12_pool(malformed: str, loopback: Loopback) -> None:
    need(f"{TTS_V2}:SpeechSynthesizerObjectPool")
    cls = find(f"{TTS_V2}:SpeechSynthesizerObjectPool")
    try:
        with pytest.raises(WorkspaceError) as error:
            cls(max_size=1)
    finally:
        cls._instance = None
        del cls._instance
    explains(error, malformed, MALFORMED)
    assert loopback.drain() == []


def test_p12_management_call(malformed: str, loopback: Loopback) -> None:
    need("dashscope.files:Files")
    with pytest.raises(WorkspaceError) as error:
        find("dashscope.files:Files").list()
    explains(error, malformed, MALFORMED)
    assert loopback.drain() == []


def test_p12_only_where_it_would_be_used(malformed: str, loopback: Loopback) -> None:
    with use_workspace(NAMED):
        find(GENERATION).call("m", "hi")
    with use_workspace(None):
        find(GENERATION).call("m", "hi")
    find(GENERATION).call("m", "hi", headers={"X-DashScope-WorkSpace": NAMED})
    assert seen(loopback) == [NAMED, "-", NAMED]


def test_p12_every_time(malformed: str) -> None:
    for _ in range(3):
        with pytest.raises(WorkspaceError):
            get_workspace()


def test_p12_never_at_import() -> None:
    code = "import dashscope_ws_patch, dashscope; dashscope_ws_patch.use_workspace('ws_a')"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={
            "PYTHONPATH": str(ROOT),
            "DASHSCOPE_WORKSPACE": "not a workspace!",
        },
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def test_p12_a_workspace_too_long_for_a_host(loopback: Loopback) -> None:
    """RFC 1035: a label has at most 63 characters, a workspace up to 64."""
    need("dashscope.common.env:resolve_base_url")
    for host in ("{workspace_id}.cn-beijing.maas.aliyuncs.com", POINTED_HOST):
        with pointed(host), use_workspace("a" * 64), pytest.raises(WorkspaceError, match="63"):
            find(GENERATION).call("m", "hi")
    assert loopback.drain() == []


def test_p12_keys_stay_out_of_logs(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hint at a refusal is what is logged; the service may repeat what it was sent."""

    def policy(request: Request) -> Denial:
        sent = request.header("Authorization")
        return Denial(403, "Workspace.AccessDenied", f"Workspace access denied. {sent}")

    caplog.set_level(logging.DEBUG, logger="dashscope_ws_patch")
    with Loopback(policy=policy) as service, use_workspace("ws_keeps_keys"):
        here = service.address("127.0.0.1", "/api/v1")
        monkeypatch.setattr("dashscope.base_http_api_url", here)
        find(GENERATION).call("m", "hi", api_key="sk-secret")
    ours = [line.getMessage() for line in caplog.records if "ws_patch" in line.name]
    assert ours and not [line for line in ours if "secret" in line]


def test_p12_an_api_key_in_the_wrong_place_is_not_shown() -> None:
    with pytest.raises(WorkspaceError) as error:
        use_workspace("sk-0123456789abcdef/" * 3)
    assert "0123" not in str(error.value) and "an API key?" in str(error.value)
    for value in ("Bearer sk-0123456789abcdef", "key=SK-0123456789abcdef", " sk-0123"):
        with pytest.raises(WorkspaceError) as error:
            use_workspace(value)
        assert "0123" not in str(error.value) and "an API key?" in str(error.value)
    with pytest.raises(TypeError) as wrong:
        use_workspace(b"sk-0123456789abcdef")  # type: ignore[arg-type]
    assert "0123" not in str(wrong.value) and "bytes" in str(wrong.value)
