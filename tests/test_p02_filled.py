"""P2: every request of every surface carries the ambient workspace, and is native but for that."""

from __future__ import annotations

import pytest
from _record import AMBIENT, comparable, without_header
from conftest import Native, Recorder

from dashscope_ws_patch.selftest.surfaces import Surface


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
