"""What tests call of the SDK: its names, objects that send, streams; and what the calls sent."""

from __future__ import annotations

import ast
import contextlib
import os
import re
import subprocess
import sys
from typing import Any, Callable

import pytest
from environments import HELPERS, ROOT

from dashscope_ws_patch._activation import numbers, sdk_release
from dashscope_ws_patch.selftest.loopback import Loopback, Request
from dashscope_ws_patch.selftest.surfaces import dialog_parameters, find, has

GENERATION = "dashscope.aigc.generation:Generation"
AIO_GENERATION = "dashscope.aigc.generation:AioGeneration"
FINE_TUNES = "dashscope:FineTunes"
RUNS = "dashscope.threads.runs.runs:Runs"
TTS_V2 = "dashscope.audio.tts_v2.speech_synthesizer"
OMNI = "dashscope.audio.qwen_omni.omni_realtime"
QWEN_TTS = "dashscope.audio.qwen_tts_realtime.qwen_tts_realtime"
DIALOG = "dashscope.multimodal.multimodal_dialog"
TINGWU = "dashscope.multimodal.tingwu.tingwu_realtime"
ASR = "dashscope.audio.asr"
#: A host that the SDK fills, from 1.27.5 on.
PLACEHOLDERS = "{workspace_id}.cn-beijing.maas.aliyuncs.com"


#: Insides of the SDK that tests name, and the releases that have them: from the first, up to but
#: not including the second. Those that are not listed are of each 2.x release.
INSIDES: dict[str, tuple[str, str | None]] = {
    "dashscope.api_entities.encryption": ("1.23.7", None),
    "dashscope.common.env:resolve_base_url": ("1.27.5", None),
}
_INSIDE = re.compile(r"dashscope\.(?:api_entities|client|common|v2)\b|[:.]_|:[a-z]+$")


def need(*names: str) -> None:
    """Skip the test where this release of the SDK lacks one of the names; fail it where that is an
    inside that this release should have."""
    for name in names:
        if not has(name):
            if _INSIDE.search(name) and _is_due(name):
                pytest.fail(f"{name} is gone, and no bound in sdk_calls.INSIDES says since when")
            pytest.skip(f"this release has no {name}")


def _is_due(name: str) -> bool:
    known = (bounds for inside, bounds in INSIDES.items() if name.startswith(inside))
    since, until = next(known, ("2.0.1", None))
    release = numbers(sdk_release())
    return numbers(since) <= release and (until is None or release < numbers(until))


def seen(loopback: Loopback) -> list[str]:
    """The workspaces of the requests to the service, "-" where a request has none."""
    return [
        ",".join(request.workspaces) or "-" for request in loopback.drain() if not request.foreign
    ]


def reached(requests: list[Request]) -> list[tuple[str, str]]:
    """Host and workspaces of each request."""
    return [(request.host, ",".join(request.workspaces)) for request in requests]


# Objects


def make_conversation(**naming: Any) -> Any:
    return find("dashscope.aigc.conversation:Conversation")(**naming)


def _make_recognition(name: str, module: str, callback: str) -> Callable[..., Any]:
    def make(**naming: Any) -> Any:
        listener = find(f"{module}:{callback}")()
        return find(f"{module}:{name}")("paraformer-v1", listener, "wav", 16000, **naming)

    return make


def make_synthesizer(**naming: Any) -> Any:
    return find(f"{TTS_V2}:SpeechSynthesizer")("cosyvoice-v1", "longxiaochun", **naming)


def _make_realtime(module: str, name: str) -> Callable[..., Any]:
    def make(**naming: Any) -> Any:
        callback = find(f"{module}:{name.removesuffix('Conversation')}Callback")()
        return find(f"{module}:{name}")(model="qwen", callback=callback, **naming)

    return make


def _make_dialog(**naming: Any) -> Any:
    return find(f"{DIALOG}:MultiModalDialog")(
        app_id="app",
        request_params=dialog_parameters(),
        multimodal_callback=find(f"{DIALOG}:MultiModalCallback")(),
        workspace_id=naming.get("workspace"),  # 1.23.5 demands it
    )


def _make_tingwu(**naming: Any) -> Any:
    callback = find(f"{TINGWU}:TingWuRealtimeCallback")()
    return find(f"{TINGWU}:TingWuRealtime")("tingwu", callback, app_id="app-1", **naming)


def start_and_stop(session: Any, **named: Any) -> None:
    # The SDK says so when its thread, having sent, is done before start() looks at it.
    with contextlib.suppress(find("dashscope.common.error:InvalidTask")):
        session.start(**named)
        session.stop()


def _connect(session: Any) -> None:
    session.connect()
    session.ws.sock.send_close()
    session.thread.join(60)


def _dialog(session: Any) -> None:
    session.start("")
    session.cleanup()


def _tingwu(session: Any) -> None:
    session.start()
    session.cleanup()


#: name: (what it needs, how it is made, how it sends)
OBJECTS: dict[str, tuple[str, Callable[..., Any], Callable[[Any], object]]] = {
    "Conversation": (
        "dashscope.aigc.conversation:Conversation",
        make_conversation,
        lambda chat: chat.call("qwen-turbo", "hi"),
    ),
    "Recognition": (
        f"{ASR}.recognition:Recognition.start",
        _make_recognition("Recognition", f"{ASR}.recognition", "RecognitionCallback"),
        start_and_stop,
    ),
    **{
        name: (
            f"{ASR}.translation_recognizer:{name}.start",
            _make_recognition(
                name, f"{ASR}.translation_recognizer", "TranslationRecognizerCallback"
            ),
            start_and_stop,
        )
        for name in ("TranslationRecognizerRealtime", "TranslationRecognizerChat")
    },
    "VocabularyService": (
        f"{ASR}.vocabulary:VocabularyService",
        lambda **naming: find(f"{ASR}.vocabulary:VocabularyService")(**naming),
        lambda service: service.list_vocabularies(),
    ),
    "VoiceEnrollmentService": (
        "dashscope.audio.tts_v2.enrollment:VoiceEnrollmentService",
        lambda **naming: find("dashscope.audio.tts_v2.enrollment:VoiceEnrollmentService")(**naming),
        lambda service: service.list_voices(),
    ),
    "SpeechSynthesizer": (
        f"{TTS_V2}:SpeechSynthesizer",
        make_synthesizer,
        lambda synthesizer: synthesizer.call("hi"),
    ),
    "OmniRealtimeConversation": (
        f"{OMNI}:OmniRealtimeConversation",
        _make_realtime(OMNI, "OmniRealtimeConversation"),
        _connect,
    ),
    "QwenTtsRealtime": (
        f"{QWEN_TTS}:QwenTtsRealtime",
        _make_realtime(QWEN_TTS, "QwenTtsRealtime"),
        _connect,
    ),
    "MultiModalDialog": (f"{DIALOG}:MultiModalDialog", _make_dialog, _dialog),
    "TingWuRealtime": (f"{TINGWU}:TingWuRealtime", _make_tingwu, _tingwu),
}


# Streams


def _generation(**more: Any) -> Callable[[], Any]:
    return lambda: find(GENERATION).call("qwen-turbo", "hi", stream=True, **more)


STREAMS: dict[str, tuple[str, Callable[[], Any]]] = {
    "Generation": (GENERATION, _generation()),
    "Generation over a websocket": (GENERATION, _generation(api_protocol="websocket")),
    "Application": (
        "dashscope.app.application:Application",
        lambda: find("dashscope.app.application:Application").call("app-1", "hi", stream=True),
    ),
    "Completions": (
        "dashscope.aigc.chat_completion:Completions",
        lambda: find("dashscope.aigc.chat_completion:Completions").create(
            model="m", messages=[{"role": "user", "content": "hi"}], stream=True
        ),
    ),
    "Conversation": (
        "dashscope.aigc.conversation:Conversation",
        lambda: find("dashscope.aigc.conversation:Conversation")().call("m", "hi", stream=True),
    ),
    "FineTunes.stream_events": (
        f"{FINE_TUNES}.stream_events",
        lambda: find(FINE_TUNES).stream_events("job-1"),
    ),
    "Runs": (
        f"{RUNS}.create(stream)",
        lambda: find(RUNS).create("thread-1", assistant_id="assistant-1", stream=True),
    ),
    "HttpSpeechSynthesizer": (
        "dashscope.audio.http_tts.http_speech_synthesizer:HttpSpeechSynthesizer",
        lambda: find("dashscope.audio.http_tts.http_speech_synthesizer:HttpSpeechSynthesizer").call(
            "m", "hi", "voice", stream=True
        ),
    ),
}


# Another process

_PREAMBLE = """
import contextlib, os, sys
sys.path[:0] = {path!r}
from dashscope_ws_patch import set_workspace, use_workspace
from hosts import serving
import dashscope
from dashscope import Generation
dashscope.api_key = "sk-loopback"
with serving() as loopback:
    for statement in {statements!r}:
        exec(statement)
        found = [f"{{r.host}} {{','.join(r.workspaces)}}" for r in loopback.drain()]
        print(">", found)
"""


def in_new_process(*statements: str, **variables: str) -> list[list[str]]:
    """Runs each statement in one new process; "host workspace" of each of its requests."""
    code = _PREAMBLE.format(path=[str(HELPERS), str(ROOT)], statements=statements)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    return [ast.literal_eval(line[2:]) for line in done.stdout.splitlines() if line[:2] == "> "]
