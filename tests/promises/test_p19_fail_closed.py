"""P19: with DASHSCOPE_WS_PATCH_REQUIRE_SCOPE a request that has no scope, and names no workspace,
raises before anything is sent; all others are as ever."""

from __future__ import annotations

from typing import Any

import pytest
from conftest import Recorder
from record import AMBIENT, NAMED, SETTINGS, Setting, comparable, environment, record
from sdk_calls import AIO_GENERATION, GENERATION, need, seen

from dashscope_ws_patch import WorkspaceError, get_workspace, use_workspace
from dashscope_ws_patch.selftest.loopback import Loopback
from dashscope_ws_patch.selftest.surfaces import Drive, Surface, find, has

REQUIRE = {"DASHSCOPE_WS_PATCH_REQUIRE_SCOPE": "1"}


@pytest.mark.parametrize("variables", [{}, {"DASHSCOPE_WORKSPACE": AMBIENT}], ids=["none", "set"])
def test_p19_nothing_is_sent_without_a_scope(
    surface: Surface,
    variables: dict[str, str],
    loopback: Loopback,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # A method of this class moves it to another path for a request, and back unless that raises.
    for name in ("dashscope:FineTunes", "dashscope.finetune.finetunes:FineTunes"):
        if has(name):
            monkeypatch.setattr(find(name), "SUB_PATH", find(name).SUB_PATH)
    sent = record(loopback, surface, Setting(environment={**REQUIRE, **variables}))
    assert [one.request.path for one in sent if not one.request.foreign] == []


@pytest.mark.parametrize("setting", ["scope", "no workspace here"])
def test_p19_in_a_scope_all_is_as_ever(
    surface: Surface, setting: str, loopback: Loopback, recorded: Recorder
) -> None:
    if surface.group == "command line":
        pytest.skip("a scope is none of another process")
    around = SETTINGS[setting]
    variables = {**(around.environment if around.scope is None else {}), **REQUIRE}
    sent = record(loopback, surface, Setting(scope=around.scope, environment=variables))
    workspaces = [one.request.workspaces for one in sent]
    assert workspaces == [one.request.workspaces for one in recorded(surface, setting)]


def test_p19_what_names_its_workspace_is_as_ever(
    surface: Surface, loopback: Loopback, recorded: Recorder
) -> None:
    if not all(one.naming for one in recorded(surface, "named")):
        pytest.skip("a call of this surface cannot name a workspace")
    sent = record(loopback, surface, Setting(named=NAMED, environment=REQUIRE))
    # Which of them, and not how often: the pool of connections opens them from a thread.
    expected = {repr(comparable(one.request)) for one in recorded(surface, "named")}
    assert {repr(comparable(one.request)) for one in sent} == expected != set()


def _refused(call: Any) -> str:
    with environment(DASHSCOPE_WORKSPACE="ws_env", **REQUIRE), pytest.raises(WorkspaceError) as e:
        call()
    return str(e.value)


def test_p19_the_error_says_what_to_do_and_shows_no_line_of_the_program(
    loopback: Loopback, drive: Drive
) -> None:
    """The traceback leads to the line, in which there may be a key."""
    call = find(GENERATION).call
    message = _refused(lambda: call("m", "a prompt of mine", api_key="0123456789abcdef"))
    assert REQUIRE.keys() <= {word.strip("`,;") for word in message.split()}
    assert "use_workspace" in message and "carry_workspace" in message
    assert "prompt" not in message and "0123456789abcdef" not in message
    need(AIO_GENERATION)
    acall = find(AIO_GENERATION).call
    assert _refused(lambda: drive.run(acall("m", "mine too"))) == message
    assert seen(loopback) == []


def test_p19_only_requests_are_refused() -> None:
    """Not what asks, and not the making of a client at the top of a module."""
    with environment(DASHSCOPE_WORKSPACE="ws_env", **REQUIRE):
        assert get_workspace() == "ws_env"
        import dashscope

        if hasattr(dashscope, "Client"):
            client = dashscope.Client(api_key="sk-0")
            with use_workspace("ws_a"):
                assert get_workspace() == "ws_a"
            del client


@pytest.mark.parametrize("value", ["", "0", "off", "False", "no"])
def test_p19_not_asked(value: str, loopback: Loopback) -> None:
    with environment(DASHSCOPE_WORKSPACE="ws_env", DASHSCOPE_WS_PATCH_REQUIRE_SCOPE=value):
        find(GENERATION).call("m", "hi")
    assert seen(loopback) == ["ws_env"]


@pytest.mark.parametrize("value", ["1", "on", "true", "yes"])
def test_p19_asked_in_any_way(value: str, loopback: Loopback) -> None:
    with environment(DASHSCOPE_WS_PATCH_REQUIRE_SCOPE=value), pytest.raises(WorkspaceError):
        find(GENERATION).call("m", "hi")
    assert seen(loopback) == []
