"""The promises about requests, over every surface of the installed SDK.

P1, P2, P3, P4, P5, P6 and P7; each looks at what reached the socket in one of the settings.
"""

from __future__ import annotations

from typing import Any

import pytest
from _record import AMBIENT, NAMED, POINTED, comparable
from conftest import Native, Recorder

from dashscope_ws_patch._decision import workspace_in_host
from dashscope_ws_patch.selftest.loopback import Request
from dashscope_ws_patch.selftest.surfaces import Surface

SCOPED = ("scope", "named in a scope", "pointed, scope")


def without_header(request: dict[str, Any]) -> dict[str, Any]:
    """A request but for its workspace header."""
    others = [pair for pair in request["headers"] if pair[0].lower() != "x-dashscope-workspace"]
    return {**request, "headers": others}


def names_workspace(request: dict[str, Any]) -> bool:
    return request != without_header(request)


def test_p1_explicit_argument_wins(surface: Surface, recorded: Recorder, native: Native) -> None:
    """A request that natively names a workspace is the same, byte for byte."""
    sent = [comparable(one.request) for one in recorded(surface, "named in a scope")]
    before = native["named"][surface.name]
    assert len(sent) == len(before)
    for request, natively in zip(sent, before):
        if names_workspace(natively):
            assert request == natively


@pytest.mark.parametrize("setting", ["environment", "scope"])
def test_p2_every_request_carries_the_ambient_workspace(
    surface: Surface, setting: str, recorded: Recorder
) -> None:
    sent = [one.request for one in recorded(surface, setting) if not one.request.foreign]
    assert sent
    assert {request.path: request.workspaces for request in sent} == {
        request.path: [AMBIENT] for request in sent
    }


@pytest.mark.parametrize("setting", ["environment", "scope"])
def test_p2_nothing_but_the_header_is_added(
    surface: Surface, setting: str, recorded: Recorder, native: Native
) -> None:
    sent = [without_header(comparable(one.request)) for one in recorded(surface, setting)]
    if surface.group == "dialog":  # P5: the body names the workspace too
        for request in sent:
            request["messages"] = [
                message.replace(f'"workspace_id": "{AMBIENT}"', '"workspace_id": null')
                for message in request["messages"]
            ]
        if surface.name == "TingWuRealtime":
            pytest.skip("see test_p5_dialog_messages_name_the_workspace")
    assert sent == native["nothing"][surface.name]


@pytest.mark.parametrize("setting", ["nothing", "no workspace here"])
def test_p3_inert_without_an_ambient_workspace(
    surface: Surface, setting: str, recorded: Recorder, native: Native
) -> None:
    sent = [comparable(one.request) for one in recorded(surface, setting)]
    assert sent == native["nothing"][surface.name]


@pytest.mark.parametrize("setting", ["environment", *SCOPED])
def test_p4_foreign_hosts_never_see_the_header(
    surface: Surface, setting: str, recorded: Recorder
) -> None:
    foreign = [one.request for one in recorded(surface, setting) if one.request.foreign]
    assert [request.workspaces for request in foreign] == [[]] * len(foreign)
    for request in foreign:
        assert AMBIENT not in request.path and AMBIENT.encode() not in request.body


def voices(request: Request) -> set[str]:
    """The workspaces that header, host and messages name."""
    named = {*request.workspaces, workspace_in_host(f"https://{request.host}")}
    bodies = [request.body.decode("latin-1"), *map(str, request.messages)]
    named |= {name for name in (AMBIENT, NAMED, POINTED) for body in bodies if name in body}
    return {name for name in named if name}


def test_p5_a_scope_moves_the_module_level_host(surface: Surface, recorded: Recorder) -> None:
    """Base URLs that name a workspace give way: header, host and body have one voice."""
    for one in recorded(surface, "pointed, scope"):
        if not one.request.foreign:
            assert one.request.workspaces == [AMBIENT]
            assert voices(one.request) == {AMBIENT}


def test_p5_requests_go_where_the_program_pointed(
    surface: Surface, recorded: Recorder, native: Native
) -> None:
    """Rule 5: over the environment, a request to a host of the program's is sent as natively."""
    sent = [comparable(one.request) for one in recorded(surface, "pointed, environment")]
    before = native["pointed"][surface.name]
    assert len(sent) == len(before)
    for request, natively in zip(sent, before):
        if workspace_in_host(f"https://{natively['target'][1]}"):
            assert request == natively


def test_p6_every_request_follows_the_call(surface: Surface, recorded: Recorder) -> None:
    """Requests made on behalf of a call carry its explicit workspace; others the ambient one."""
    for one in recorded(surface, "named in a scope"):
        if not one.request.foreign:
            expected = NAMED if one.naming else AMBIENT
            assert one.request.workspaces == [expected], one.request.path
            assert voices(one.request) == {expected}
