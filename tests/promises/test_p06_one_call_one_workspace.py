"""P6: what is requested on behalf of a call carries that call's workspace."""

from __future__ import annotations

import enum
from typing import Any, Callable

import pytest
from conftest import Native, Recorder
from record import AMBIENT, NAMED, voices
from sdk_calls import GENERATION, need, reached, seen

from dashscope_ws_patch import use_workspace
from dashscope_ws_patch.selftest.loopback import Loopback
from dashscope_ws_patch.selftest.surfaces import Drive, Surface, find

CONVERSATION = "dashscope.aigc.multimodal_conversation:MultiModalConversation"
ENCRYPTION = "dashscope.api_entities.encryption"
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


def _referring(call: Any, drive: Drive) -> None:
    call("m", "hi", ref_img=drive.file_url, workspace=NAMED)


UPLOADING: dict[str, Callable[..., Any]] = {
    "dashscope.aigc.image_synthesis:ImageSynthesis.async_call": _referring,
    "dashscope.aigc.image_synthesis:ImageSynthesis.sync_call": _referring,
    "dashscope.aigc.video_synthesis:VideoSynthesis.async_call": (
        lambda call, drive: call("m", "hi", img_url=drive.file_url, workspace=NAMED)
    ),
    "dashscope.utils.oss_utils:OssUtils.upload": (
        lambda call, drive: call("m", drive.file, workspace=NAMED)
    ),
}


@pytest.mark.parametrize("target", UPLOADING)
def test_p6_upload_certificate_follows_the_call(
    target: str, drive: Drive, loopback: Loopback
) -> None:
    module = target.partition(":")[0]
    need(target, f"{module}:check_and_upload_local", f"{GENERATION}.call(workspace)")
    with use_workspace(AMBIENT):
        UPLOADING[target](find(target), drive)
    sent = loopback.drain()
    assert any(request.foreign for request in sent)
    assert {*map(tuple, (r.workspaces for r in sent if not r.foreign))} == {(NAMED,)}


def test_p6_speech_over_http_carries_what_its_call_names(loopback: Loopback) -> None:
    """The SDK drops the header on the way to the request that it makes for the call."""
    need(HTTP_TTS)
    with use_workspace(AMBIENT):
        find(HTTP_TTS).call("m", "hi", "voice", headers={"X-DashScope-WorkSpace": NAMED})
    assert seen(loopback) == [NAMED]


class _Member(str, enum.Enum):
    WORKSPACE = NAMED


@pytest.mark.parametrize("value", [_Member.WORKSPACE, NAMED.encode()])
@pytest.mark.parametrize("by", ["workspace", "headers"])
def test_p6_a_certificate_carries_the_value_that_the_call_sends(
    value: Any, by: str, drive: Drive, loopback: Loopback
) -> None:
    """requests takes bytes, and an enum member for its value, where str() is its name."""
    need(CONVERSATION, f"{GENERATION}.call(workspace)")
    naming = {by: value if by == "workspace" else {"X-DashScope-WorkSpace": value}}
    content = [{"image": drive.file_url}, {"text": "hi"}]
    with use_workspace(AMBIENT):
        find(CONVERSATION).call("m", [{"role": "user", "content": content}], **naming)
    assert set(seen(loopback)) == {NAMED}


def test_p1_a_url_of_the_call_stays_beside_a_workspace_of_the_call(loopback: Loopback) -> None:
    """Also that of the public key, which newer releases fetch at the call's URL, with no header."""
    need(f"{ENCRYPTION}:Encryption")
    url = "https://ws-url.cn-beijing.maas.aliyuncs.com/api/v1"
    with use_workspace(AMBIENT):
        find(GENERATION).call("m", "hi", enable_encryption=True, base_address=url, workspace=NAMED)
    host = "ws-url.cn-beijing.maas.aliyuncs.com"
    key, sent = reached(loopback.drain())
    assert key in ((host, ""), ("dashscope.aliyuncs.com", NAMED))
    assert sent == (host, NAMED)
