"""P12: a malformed workspace is refused clearly, before anything is sent, and where it is used."""

from __future__ import annotations

import contextlib
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

from dashscope_ws_patch import (
    WorkspaceError,
    _workspace,
    carry_workspace,
    get_workspace,
    set_workspace,
    use_workspace,
)
from dashscope_ws_patch.hint.say import hint
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
    shown = value if len(value) <= 24 else f"{value[:4]}... ({len(value)} characters"
    assert repr(shown)[:-1] in message and origin in message and "A-Z a-z 0-9 _ -" in message
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


#: As the service's keys, a gateway's and a token of access look.
KEYS = (
    "sk-0123456789abcdef",
    "sk-ws-0123456789abcdef0123456789abcdef",
    "gw_0123456789abcdef0123456789",
    "0123456789abcdef0123456789abcdef",
    "eyJhbGciOiJIUzI1NiJ9-0123456789-abcdef",
)


@pytest.mark.parametrize("key", KEYS)
def test_p12_a_key_in_the_place_of_a_workspace_is_shown_by_its_first_four(key: str) -> None:
    for value in (key, f"Bearer {key}", f"{key}/{key}/{key}"):
        with contextlib.suppress(WorkspaceError):
            assert key[5:] not in repr(use_workspace(value))
            continue
        for enter in (use_workspace, set_workspace, _from_the_environment):
            with pytest.raises(WorkspaceError) as error:
                enter(value)
            assert key[5:] not in str(error.value)
            assert f"{value[:4]}... ({len(value)} characters" in str(error.value)
    for wrong in (use_workspace, carry_workspace):
        with pytest.raises(TypeError) as refused:
            wrong(key.encode())  # type: ignore[arg-type]
        assert key[5:] not in str(refused.value) and "bytes" in str(refused.value)


def _from_the_environment(value: str) -> None:
    with environment(DASHSCOPE_WORKSPACE=value):
        get_workspace()


@pytest.mark.parametrize("workspace", ["ws_QTggmeA1b2c3", "llm-x1y2", "llm-0123456789abcdef012"])
def test_p12_what_may_be_a_workspace_is_shown(workspace: str) -> None:
    assert repr(use_workspace(workspace)) == f"use_workspace({workspace!r})"
    with pytest.raises(WorkspaceError, match=f"'{workspace}!'"):
        use_workspace(f"{workspace}!")


@pytest.mark.parametrize("key", KEYS)
def test_p12_the_warning_of_two_workspaces_shows_no_key(
    key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_workspace, "_warned", False)
    with environment(DASHSCOPE_WORKSPACE="ws_a", DASHSCOPE_WORKSPACE_ID=key):
        with pytest.warns(RuntimeWarning, match="name different workspaces") as told:
            assert get_workspace() == "ws_a"
    assert key[5:] not in str(told[0].message)


@pytest.mark.parametrize("key", KEYS)
def test_p12_the_hint_shows_no_key(key: str, caplog: pytest.LogCaptureFixture) -> None:
    host = f"{key}.cn-beijing.maas.aliyuncs.com"
    hint("Model.AccessDenied", workspace=key, source="scope", host=host, model=None)
    (line,) = (record.getMessage() for record in caplog.records if "ws_patch" in record.name)
    assert key[5:] not in line and f"{key[:4]}..." in line
