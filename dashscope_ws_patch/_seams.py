"""The table of seams: every place at which the SDK is patched by name, and how.

A row names a module of the SDK (below ``dashscope.``; ``package.*`` stands for those right below
it), attributes of it, the adapter, and the releases that have them: from the first, up to but not
including the second. Of attributes, ``Class.*`` stands for the public methods that the class itself
defines, ``*.*`` for those of all classes of the module; handlers (``on_...``), which the SDK calls,
are left out of these.

What no row names is held to the rule of the edge (``_edge``): a row is for what must be more
precise than that.
"""

from __future__ import annotations

from typing import Any

from . import _clients as clients
from . import _sdk as sdk
from . import _sockets as sockets
from . import _studio as studio
from ._seam import Seam
from .hint import sdk as hint


def row(
    module: str,
    attributes: str,
    adapter: Any,
    since: str,
    until: str | None = None,
    covers: str = "",
) -> Seam:
    return Seam(f"dashscope.{module}", attributes, adapter, since, until, covers)


#: Modules whose every request goes to the service, wherever the SDK was pointed.
ALL_TO_SERVICE = frozenset(
    f"dashscope.{module}"
    for module in (
        "acli.providers.tongyi", "api_entities.encryption", "audio.qwen_omni.omni_realtime",
        "audio.qwen_tts_realtime.qwen_tts_realtime", "audio.tts_v2.speech_synthesizer",
        "client.base_api", "multimodal.multimodal_dialog", "multimodal.tingwu.tingwu_realtime",
    )
)  # fmt: skip

#: Modules that make connections for request objects, which are patched themselves.
FOR_REQUESTS = frozenset(
    f"dashscope.{module}"
    for module in (
        "api_entities.aio_session", "common.aio_session_manager", "common.session_manager",
    )
)  # fmt: skip

_REALTIME = "audio.qwen_tts_realtime.qwen_tts_realtime"
_TTS_V2 = "audio.tts_v2.speech_synthesizer"
_CONNECTED = "SpeechSynthesizer._SpeechSynthesizer__is_connected"
_LAUNCH = "Recognition._Recognition__launch_request"
_LAUNCHES = " ".join(
    f"{kind}._{kind}__launch_request"
    for kind in ("TranslationRecognizerRealtime", "TranslationRecognizerChat")
)
_TRANSLATORS = "TranslationRecognizerRealtime.__init__ TranslationRecognizerChat.__init__"
_RUNS = "SyncTransport.request AsyncTransport.request"
_STREAMS = "SyncTransport.open_stream AsyncTransport.open_stream"

# fmt: off
SEAMS = (
    # The request builder, and the request objects, which others may have built.
    row("api_entities.api_request_factory", "_build_api_request", sdk.builder, "1.0.0"),
    row("api_entities.http_request", "HttpRequest.call", sdk.send, "1.0.0", covers="HttpRequest"),
    row("api_entities.http_request", "HttpRequest.aio_call", sdk.send, "1.20.14",
        covers="HttpRequest"),
    row("api_entities.sync_http_request", "HttpRequest.call", sdk.send, "1.0.4", "1.4.0",
        covers="HttpRequest"),
    row("api_entities.aiohttp_request", "AioHttpRequest.call", sdk.send, "1.0.0",
        covers="AioHttpRequest"),
    row("api_entities.aiohttp_request", "AioHttpRequest.aio_call", sdk.send, "1.4.0",
        covers="AioHttpRequest"),
    row("api_entities.websocket_request", "WebSocketRequest.call", sdk.send, "1.0.0",
        covers="WebSocketRequest"),
    row("api_entities.websocket_request", "WebSocketRequest.aio_call", sdk.send, "1.4.0"),
    # The list of tasks, which imports what it sends by itself.
    row("client.base_api", "BaseAsyncAioApi.list", sdk.list_tasks, "1.24.3",
        covers="BaseAsyncAioApi.list"),
    # What reads of a refusal, where aiohttp has sent.
    row("common.utils", "_handle_http_response", hint.received, "1.0.0", "1.4.0"),
    # Hosts and message bodies that name the workspace.
    row("common.env", "resolve_base_url", sdk.host, "1.27.5"),
    row("multimodal.multimodal_dialog", "MultiModalDialog._send_start_request",
        sdk.body("workspace_id"), "1.23.5"),
    row("multimodal.tingwu.tingwu_realtime", "TingWuRealtime._send_start_request",
        sdk.body("_workspace"), "1.24.4"),
    # A pool of connections that are somebody's.
    row(_TTS_V2, "SpeechSynthesizerObjectPool.borrow_synthesizer", sdk.lend, "1.25.2"),
    row(_TTS_V2, _CONNECTED, sdk.connected, "1.25.2"),
    # Objects that connect later: the scope in which they were made,
    row(_TTS_V2, "SpeechSynthesizer.__init__", sdk.construct, "1.20.0"),
    row("audio.qwen_omni.omni_realtime", "OmniRealtimeConversation.__init__", sdk.construct,
        "1.23.9"),
    row(_REALTIME, "QwenTtsRealtime.__init__", sdk.construct, "1.23.9"),
    row("multimodal.multimodal_dialog", "MultiModalDialog.__init__", sdk.construct, "1.23.5"),
    row("multimodal.multimodal_dialog", "MultiModalDialog.__del__", sdk.finalize, "1.23.5"),
    row("multimodal.tingwu.tingwu_realtime", "TingWuRealtime.__init__", sdk.construct, "1.24.4"),
    # and those that make their requests by other ways out.
    row("audio.asr.recognition", "Recognition.__init__", sdk.construct, "1.4.0"),
    row("audio.asr.recognition", _LAUNCH, sdk.call, "1.4.0"),
    row("audio.asr.translation_recognizer", _TRANSLATORS, sdk.construct, "1.22.0"),
    row("audio.asr.translation_recognizer", _LAUNCHES, sdk.call, "1.22.0"),
    row("aigc.conversation", "Conversation.__init__", sdk.construct, "1.0.0"),
    row("aigc.conversation", "Conversation.*", sdk.call, "1.0.0"),
    row("audio.asr.vocabulary", "VocabularyService.__init__", sdk.construct, "1.20.10"),
    row("audio.asr.vocabulary", "VocabularyService.*", sdk.call, "1.20.10"),
    row("audio.tts_v2.enrollment", "VoiceEnrollmentService.__init__", sdk.construct, "1.20.10"),
    row("audio.tts_v2.enrollment", "VoiceEnrollmentService.*", sdk.call, "1.20.10"),
    row("finetune.agentic_rl", "AgenticRL.__init__", sdk.construct, "1.25.19"),
    row("finetune.agentic_rl", "AgenticRL.*", sdk.call, "1.25.19"),
    # Calls that make more than one request, or make it later.
    row("aigc.generation", "AioGeneration.*", sdk.at_call, "1.19.0"),
    row("aigc.chat_completion", "AioGeneration.*", sdk.at_call, "1.23.0"),
    row("aigc.multimodal_conversation", "*.*", sdk.call, "1.8.0"),
    row("aigc.image_synthesis",
        "ImageSynthesis.async_call ImageSynthesis.sync_call AioImageSynthesis.*", sdk.call,
        "1.24.3"),
    row("aigc.image_generation", "*.*", sdk.call, "1.25.7"),
    row("aigc.video_synthesis", "VideoSynthesis.async_call", sdk.call, "1.21.0"),
    row("aigc.video_synthesis", "AioVideoSynthesis.*", sdk.call, "1.24.3"),
    row("embeddings.multimodal_embedding", "*.*", sdk.call, "1.7.0"),
    row("rerank.text_rerank", "AioTextReRank.*", sdk.at_call, "1.25.22"),
    row("utils.oss_utils", "OssUtils.upload", sdk.call, "1.13.0"),
    row("client.base_api", "BaseAsyncApi.* StreamEventMixin.*", sdk.call, "1.0.0"),
    row("threads.runs.runs", "Runs.wait", sdk.call, "1.17.0"),
    row("multimodal.tingwu.tingwu", "TingWu.*", sdk.call, "1.24.4"),
    row("audio.http_tts.http_speech_synthesizer", "HttpSpeechSynthesizer.*", sdk.call, "1.25.17"),
    row("finetune.finetunes", "FineTunes.stream_events", sdk.at_call, "1.25.19"),
    row("customize.finetunes", "FineTunes.logs FineTunes.stream_events", sdk.call, "1.20.0",
        "1.25.19"),
    # The 2.x clients: what they were told and have found,
    row("v2._config", "_legacy_fallback", clients.no_nudge, "2.0.1"),
    row("v2.client", "Client.__init__ AsyncClient.__init__", clients.client, "2.0.1"),
    row("v2.client", "Client.agentstudio AsyncClient.agentstudio", studio.mount, "2.0.1"),
    row("v2._quickstart", "_get_client", clients.shared, "2.0.1"),
    # what sends,
    row("v2.transport.http", f"{_RUNS} {_STREAMS}", clients.transport, "2.0.1",
        covers="SyncTransport AsyncTransport"),
    row("v2.resources._oss", "check_and_upload_local", clients.upload, "2.0.1"),
    row("v2.transport.ws", "WsSession.__init__", sockets.socket, "2.0.1", covers="WsSession"),
    row("v2.transport.ws_connection", "WsConnection.__init__", sockets.socket, "2.0.1",
        covers="WsConnection"),
    row("v2.transport.ws_connection", "WsConnection.open_task", sockets.open_task, "2.0.1"),
    row("v2.resources.audio.realtime", "RealtimeSession.connect", sockets.connect, "2.0.1",
        covers="RealtimeSession.connect"),
    # sessions that connect later,
    row("v2.resources.audio.realtime", "RealtimeSession.__init__", sockets.session, "2.0.1"),
    row("v2.resources.audio.asr", "Recognition.__init__", sockets.session, "2.0.1"),
    row("v2.resources.audio.tts", "SynthesisSession.__init__", sockets.session, "2.0.1"),
    row("v2.resources.tingwu", "TingWuRealtime.__init__", sockets.session, "2.0.1"),
    row("v2.resources.tingwu", "TingWuRealtime.__enter__", sockets.start_message, "2.0.1"),
    # the calls,
    row("v2.resources.reinforcement_learning", "*.*", clients.on_behalf, "2.0.1"),
    row("v2.resources.*", "*.*", sdk.at_call, "2.0.1"),
    row("v2.resources.audio.*", "*.*", sdk.at_call, "2.0.1"),
    row("v2.resources.chat.*", "*.*", sdk.at_call, "2.0.1"),
    row("v2.resources.multimodal.*", "*.*", sdk.at_call, "2.0.1"),
    row("v2.resources.audio.asr", "_stream_file_frames", sdk.at_call, "2.0.1"),
    # and what reads of a refusal.
    row("v2.transport.sse", "Stream.__iter__ AsyncStream._iterate", hint.reading, "2.0.1"),
    row("v2.resources.apps", "AppCompletions._events AsyncAppCompletions._events", hint.reading,
        "2.0.1"),
    row("v2.resources.audio.http_tts", "HttpTts._events", hint.reading, "2.0.1"),
    row("v2.transport.ws", "WsSession.run_task", hint.task, "2.0.1"),
    row("v2.transport.ws_connection", "WsTask.run_task", hint.task, "2.0.1"),
    row("v2.resources.audio.realtime", "RealtimeSession.recv_event", hint.task, "2.0.1"),
    # agentstudio.
    row("agentstudio.pagination", "CursorPage.__init__ AsyncCursorPage.__init__", sdk.construct,
        "1.26.2"),
    row("agentstudio.pagination", "CursorPage.get_next AsyncCursorPage.get_next", sdk.call,
        "1.26.2"),
    row("agentstudio.resources.*", "*.*", sdk.at_call, "1.26.2"),
    row("agentstudio.client", "Client.__init__ AsyncClient.__init__", studio.constructor, "1.26.2"),
    row("agentstudio.client", "_resolve_base_url", studio.base_url, "1.26.2"),
    row("agentstudio.transport", _RUNS, studio.transport, "1.26.2",
        covers="SyncTransport AsyncTransport"),
)
# fmt: on
