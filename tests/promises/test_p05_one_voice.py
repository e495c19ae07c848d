"""P5: header, host and body name one workspace, in every surface and in placeholders."""

from __future__ import annotations

import copy
import re
from typing import Any

import pytest
from conftest import Native, Recorder
from record import AMBIENT, NAMED, POINTED_HOST, comparable, pointed, voices
from sdk_calls import GENERATION, OBJECTS, PLACEHOLDERS, need, reached

from dashscope_ws_patch import use_workspace
from dashscope_ws_patch.selftest.loopback import Loopback
from dashscope_ws_patch.selftest.surfaces import Surface, find


def test_p5_a_scope_moves_the_module_level_host(
    surface: Surface, recorded: Recorder, native: Native
) -> None:
    """Base URLs that name a workspace give way: header, host and body have one voice."""
    if not native(surface, "environment"):
        pytest.skip("this release fails before it sends")
    sent = [one.request for one in recorded(surface, "pointed, scope") if not one.request.foreign]
    assert sent
    assert [(request.workspaces, voices(request)) for request in sent] == [
        ([AMBIENT], {AMBIENT}) for _ in sent
    ]


def test_p5_requests_go_where_the_program_pointed(
    surface: Surface, recorded: Recorder, native: Native
) -> None:
    """Rule 5: over the environment, a request to a host of the program's is sent as natively."""
    sent = [comparable(one.request) for one in recorded(surface, "pointed, environment")]
    before = native(surface, "pointed")
    there = [i for i, request in enumerate(before) if request["target"][1] == POINTED_HOST]
    if not there:
        pytest.skip("has an address of its own")
    assert len(sent) == len(before)
    assert [sent[i] for i in there] == [before[i] for i in there]


@pytest.mark.parametrize("name", ["MultiModalDialog", "TingWuRealtime"])
def test_p5_a_start_message_names_the_workspace_of_its_handshake(
    name: str, loopback: Loopback
) -> None:
    needed, make, send = OBJECTS[name]
    need(needed)
    with use_workspace(AMBIENT):
        send(make())
    (handshake,) = loopback.drain()
    assert handshake.workspaces == [AMBIENT]
    written = re.findall(r'"workspace_id": ?"(.*?)"', "".join(map(str, handshake.messages)))
    assert set(written) == {AMBIENT}


# Placeholders in hosts, from 1.27.5 on


def _filled(workspace: str, header: str) -> list[tuple[str, str]]:
    return [(f"{workspace}.cn-beijing.maas.aliyuncs.com", header)]


@pytest.mark.parametrize("protocol", ["https", "websocket"])
def test_p5_placeholders_are_filled_by_the_ambient_workspace(
    loopback: Loopback, protocol: str
) -> None:
    need("dashscope.common.env:resolve_base_url")
    with pointed(PLACEHOLDERS), use_workspace(AMBIENT):
        find(GENERATION).call("m", "hi", api_protocol=protocol)
    assert reached(loopback.drain()) == _filled(AMBIENT, AMBIENT)


@pytest.mark.parametrize(
    "naming",
    [
        {"workspace": NAMED},
        {"headers": {"x-dashscope-workspace": NAMED}},
        {"headers": {"X-DashScope-WorkSpace": NAMED}},
    ],
    ids=str,
)
def test_p5_placeholders_are_filled_by_what_the_call_names(
    loopback: Loopback, naming: dict[str, Any]
) -> None:
    need("dashscope.common.env:resolve_base_url")
    with pointed(PLACEHOLDERS), use_workspace(AMBIENT):
        find(GENERATION).call("m", "hi", **copy.deepcopy(naming))
        find("dashscope.files:Files").list(**copy.deepcopy(naming))
    assert reached(loopback.drain()) == _filled(NAMED, NAMED) * 2


def test_p5_placeholder_in_the_url_of_a_call(loopback: Loopback) -> None:
    need("dashscope.common.env:resolve_base_url")
    with use_workspace(AMBIENT):
        find(GENERATION).call("m", "hi", base_address=f"https://{PLACEHOLDERS}/api/v1")
        find("dashscope.files:Files").list(base_address=f"https://{PLACEHOLDERS}/api/v1")
    assert reached(loopback.drain()) == _filled(AMBIENT, AMBIENT) * 2


@pytest.mark.parametrize("host", [POINTED_HOST.upper(), POINTED_HOST.title()])
def test_p5_hosts_compare_without_case(loopback: Loopback, host: str) -> None:
    """RFC 4343: a host name is the same in any capitalisation."""
    with pointed(host), use_workspace(AMBIENT):
        find(GENERATION).call("m", "hi")
    assert [host.lower() for host, _ in reached(loopback.drain())] == [
        f"{AMBIENT}.cn-beijing.maas.aliyuncs.com"
    ]
