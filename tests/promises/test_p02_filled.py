"""P2: every request of every surface carries the ambient workspace, and is native but for that."""

from __future__ import annotations

import functools
from typing import Any

import pytest
from conftest import Native, Recorder
from record import AMBIENT, NAMED, comparable, without_workspace

from dashscope_ws_patch import use_workspace
from dashscope_ws_patch._decision import workspace_in_headers
from dashscope_ws_patch.selftest.surfaces import Surface, find


@pytest.mark.parametrize("setting", ["environment", "scope"])
def test_p2_every_request_carries_the_ambient_workspace(
    surface: Surface, setting: str, recorded: Recorder, native: Native
) -> None:
    if not native(surface, "environment"):
        pytest.skip("this release fails before it sends")
    sent = [one.request for one in recorded(surface, setting) if not one.request.foreign]
    assert sent
    assert [(request.path, request.workspaces) for request in sent] == [
        (request.path, [AMBIENT]) for request in sent
    ]


@pytest.mark.parametrize("setting", ["environment", "scope"])
def test_p2_nothing_but_the_header_is_added(
    surface: Surface, setting: str, recorded: Recorder, native: Native
) -> None:
    """The SDK with the same workspace in its environment, which 2.x looks for there itself."""
    if surface.name == "Client.ws_connection":
        pytest.skip("its standalone connection goes to the workspace's host too (P5)")
    sent = [without_workspace(comparable(one.request)) for one in recorded(surface, setting)]
    assert sent == [without_workspace(request) for request in native(surface, "environment")]


BUILDER = "dashscope.api_entities.api_request_factory:_build_api_request"


@pytest.mark.parametrize("where", [BUILDER, "dashscope.client.base_api:_build_api_request"])
@pytest.mark.parametrize("named", [{}, {"headers": {"x-dashscope-workspace": NAMED}}])
def test_p2_the_request_builder_names_the_workspace(where: str, named: Any) -> None:
    build = functools.partial(find(where), "m", "hi", "aigc", "text-generation", "generation")
    with use_workspace(AMBIENT):
        request = build(api_key="sk-x", **named)
    assert workspace_in_headers(request.headers) == (NAMED if named else AMBIENT)
    assert sum(name.lower() == "x-dashscope-workspace" for name in request.headers) == 1
    assert workspace_in_headers(build(api_key="sk-x").headers) is None
