"""P1: what the calling code names wins, in whatever way it names it."""

from __future__ import annotations

import pytest
from conftest import Native, Recorder
from record import NAMED, SETTINGS, comparable, names_workspace, record

from dashscope_ws_patch.selftest.loopback import Loopback
from dashscope_ws_patch.selftest.surfaces import Surface

AMBIENTS = {
    "scope": SETTINGS["scope"],
    "no workspace here": SETTINGS["no workspace here"],
}


def test_p1_explicit_argument_wins(surface: Surface, recorded: Recorder, native: Native) -> None:
    """A request that natively names a workspace is the same, byte for byte."""
    sent = [comparable(one.request) for one in recorded(surface, "named in a scope")]
    before = native(surface, "named")
    named = [index for index, natively in enumerate(before) if names_workspace(natively)]
    if not named:
        pytest.skip("takes no workspace")
    assert len(sent) == len(before)
    assert [sent[index] for index in named] == [before[index] for index in named]


@pytest.mark.parametrize("ambient", AMBIENTS)
def test_p1_whatever_names_a_workspace_wins(
    way: Surface, ambient: str, loopback: Loopback, native: Native
) -> None:
    """P1 for what natively names one; P6 for the requests made on the call's behalf."""
    sent = [comparable(one.request) for one in record(loopback, way, AMBIENTS[ambient])]
    before = native(way, "nothing")
    if not before:
        pytest.skip("this release does not take it")
    assert len(sent) == len(before)
    for request, natively in zip(sent, before):
        if names_workspace(natively):
            assert request == natively
        elif not natively["foreign"]:
            values = [v for n, v in request["headers"] if n.lower() == "x-dashscope-workspace"]
            assert values == [NAMED], request["path"]
