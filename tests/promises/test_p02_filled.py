"""P2: every request of every surface carries the ambient workspace, and is native but for that."""

from __future__ import annotations

import pytest
from conftest import Native, Recorder
from record import AMBIENT, comparable, without_workspace

from dashscope_ws_patch.selftest.surfaces import Surface


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
