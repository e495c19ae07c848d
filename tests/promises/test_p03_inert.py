"""P3: with no ambient workspace every request is native, byte for byte."""

from __future__ import annotations

import pytest
from conftest import Native, Recorder
from record import comparable, pointed
from sdk_calls import GENERATION, PLACEHOLDERS, need

from dashscope_ws_patch.selftest.loopback import Loopback
from dashscope_ws_patch.selftest.surfaces import Surface, find


@pytest.mark.parametrize("setting", ["nothing", "no workspace here"])
def test_p3_inert_without_an_ambient_workspace(
    surface: Surface, setting: str, recorded: Recorder, native: Native
) -> None:
    sent = [comparable(one.request) for one in recorded(surface, setting)]
    # agentstudio has no host without a workspace, and keeps what it was built with.
    built = "agentstudio" in surface.name and setting == "no workspace here"
    assert sent == native(surface, "environment" if built else "nothing")


def test_p3_placeholders_are_refused_as_natively_without_a_workspace(loopback: Loopback) -> None:
    need("dashscope.common.env:resolve_base_url")
    required = find("dashscope.common.error:InputRequired")
    with pointed(PLACEHOLDERS), pytest.raises(required):
        find(GENERATION).call("m", "hi")
    assert loopback.drain() == []
