"""P15: what a layer of the SDK has decided is not decided again by the library below it."""

from __future__ import annotations

from typing import Any, Callable

import pytest
from record import environment
from sdk_calls import GENERATION, OBJECTS, need

from dashscope_ws_patch import WorkspaceError, use_workspace
from dashscope_ws_patch.selftest.loopback import Loopback
from dashscope_ws_patch.selftest.surfaces import API_KEY, find, has

MESSAGES = [{"role": "user", "content": "hi"}]


def _generation_over_a_websocket() -> Callable[[], Any]:
    return lambda: find(GENERATION).call("qwen-turbo", "hi", api_protocol="websocket")


def make(name: str) -> Callable[[], Any]:
    """Make an object of the SDK here; what is returned has it send."""
    if name == "Client":
        need("dashscope.v2.client:Client")
        client = find("dashscope.v2.client:Client")(api_key=API_KEY)
        return lambda: client.chat.completions.create(model="qwen-plus", messages=MESSAGES)
    needs, how, send = OBJECTS[name]
    need(needs)
    made = how()
    return lambda: send(made)


NAMES = [*OBJECTS, "Client"]


def workspaces(service: Loopback) -> list[list[str]]:
    return [request.workspaces for request in service.drain() if not request.foreign]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("scope", [None, "ws_a"])
def test_p15_the_scope_in_which_an_object_was_made_holds_below_it(
    name: str, scope: str | None, with_clients: Loopback
) -> None:
    if name == "Client" and not has("dashscope.v2.client:Client"):
        pytest.skip("this release has no 2.x client")
    with environment(DASHSCOPE_WORKSPACE_ID="ws_env"):
        with use_workspace(scope):
            send = make(name)
        send()
        found = workspaces(with_clients)
        assert found and all(each == ([scope] if scope else []) for each in found)


@pytest.mark.parametrize("name", NAMES)
def test_p19_below_the_sdk_nothing_is_refused(name: str, with_clients: Loopback) -> None:
    """An object that was made under ``use_workspace(None)`` says that there is none; it does not
    fail after a timeout."""
    with use_workspace(None):
        send = make(name)
    with environment(DASHSCOPE_WS_PATCH_REQUIRE_SCOPE="1"):
        send()
    found = workspaces(with_clients)
    assert found and not any(found)


@pytest.mark.parametrize("name", NAMES)
def test_p19_the_refusal_reaches_the_caller(name: str, with_clients: Loopback) -> None:
    with environment(DASHSCOPE_WS_PATCH_REQUIRE_SCOPE="1", DASHSCOPE_WORKSPACE_ID="ws_env"):
        with pytest.raises(WorkspaceError, match="is made in no scope"):
            make(name)()
    assert not workspaces(with_clients)
