"""P6: what is requested on behalf of a call carries that call's workspace."""

from __future__ import annotations

import pytest
from _record import AMBIENT, NAMED, voices
from _sdk import need, seen
from conftest import Native, Recorder

from dashscope_ws_patch import use_workspace
from dashscope_ws_patch.selftest.loopback import Loopback
from dashscope_ws_patch.selftest.surfaces import Surface, _find

HTTP_TTS = "dashscope.audio.http_tts.http_speech_synthesizer:HttpSpeechSynthesizer"


def test_p6_every_request_follows_the_call(
    surface: Surface, recorded: Recorder, native: Native
) -> None:
    """Requests made on behalf of a call carry its explicit workspace; others the ambient one."""
    if not native(surface, "named"):
        pytest.skip("this release fails before it sends")
    sent = [one for one in recorded(surface, "named in a scope") if not one.request.foreign]
    assert sent
    for one in sent:
        expected = [NAMED if one.naming else AMBIENT]
        if surface.group == "command line":  # in its process, nobody notes what was told
            expected = one.request.workspaces
        assert voices(one.request) == set(expected), one.request.path
        assert len(expected) == 1
        # agentstudio names it in the host alone.
        assert one.request.workspaces == expected or "agentstudio" in surface.name


def test_p6_speech_over_http_carries_what_its_call_names(loopback: Loopback) -> None:
    """The SDK drops the header on the way to the request that it makes for the call."""
    need(HTTP_TTS)
    with use_workspace(AMBIENT):
        _find(HTTP_TTS).call("m", "hi", "voice", headers={"X-DashScope-WorkSpace": NAMED})
    assert seen(loopback) == [NAMED]
