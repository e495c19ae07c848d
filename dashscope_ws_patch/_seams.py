"""The table of seams: every place at which the SDK is patched, and how.

A row names a module of the SDK (``package.*`` stands for those right below it), attributes of it,
the adapter, and the releases that have them: from the first, up to but not including the second.
Of attributes, ``Class.*`` stands for the public methods that the class itself defines, ``*.*`` for
those of all classes of the module, ``*(client).*`` for those of the classes that are made with a
client; handlers (``on_...``), which the SDK calls, and what has a row of its own are left out of
these. A new way out of the SDK is a new row.
"""

from __future__ import annotations

from . import _clients as clients
from . import _sdk as sdk
from ._seam import Seam

_ENTITIES = "dashscope.api_entities."
_HTTP = _ENTITIES + "http_request"
_SYNC_HTTP = _ENTITIES + "sync_http_request"
_AIOHTTP = _ENTITIES + "aiohttp_request"
_WEBSOCKET = _ENTITIES + "websocket_request"
_BASE = "dashscope.client.base_api"
_AIGC = "dashscope.aigc."
_AUDIO = "dashscope.audio."
_TTS_V2 = _AUDIO + "tts_v2.speech_synthesizer"
_OMNI = _AUDIO + "qwen_omni.omni_realtime"
_QWEN_TTS = _AUDIO + "qwen_tts_realtime.qwen_tts_realtime"
_RECOGNITION = _AUDIO + "asr.recognition"
_TRANSLATION = _AUDIO + "asr.translation_recognizer"
_TRANSLATORS = ("TranslationRecognizerRealtime", "TranslationRecognizerChat")
_DIALOG = "dashscope.multimodal.multimodal_dialog"
_TINGWU = "dashscope.multimodal.tingwu.tingwu_realtime"
_V2 = "dashscope.v2."
_SOCKETS = _V2 + "transport.ws"
_SHARED_SOCKETS = _V2 + "transport.ws_connection"
_REALTIME = _V2 + "resources.audio.realtime"
_STUDIO = "dashscope.agentstudio."
_PAGES = _STUDIO + "pagination"
_MCP = "dashscope.acli.platforms.bailian.mcp"


def _of_objects(module: str, kind: str, calls: str, since: str) -> tuple[Seam, Seam]:
    """The rows of a class whose objects make their requests by other ways out."""
    made = Seam(module, f"{kind}.__init__", sdk.construct, since)
    return made, Seam(module, f"{kind}.{calls}", sdk.call, since)


#: Modules whose every request goes to the service, wherever the SDK was pointed.
ALL_TO_SERVICE = frozenset(
    (
        _BASE, _ENTITIES + "encryption", _TTS_V2, _OMNI, _QWEN_TTS, _DIALOG, _TINGWU,
        "dashscope.acli.providers.tongyi",
    )
)  # fmt: skip

#: Modules that make connections for request objects, which are patched themselves.
FOR_REQUESTS = frozenset(
    (
        _ENTITIES + "aio_session", "dashscope.common.session_manager",
        "dashscope.common.aio_session_manager", "dashscope.common._sdk_session",
    )
)  # fmt: skip

SEAMS = (
    # What sends. Request objects:
    Seam(_HTTP, "HttpRequest.call", sdk.send, "1.0.0", covers="HttpRequest"),
    Seam(_HTTP, "HttpRequest.aio_call", sdk.send, "1.20.14", covers="HttpRequest"),
    Seam(_SYNC_HTTP, "HttpRequest.call", sdk.send, "1.0.4", "1.4.0", covers="HttpRequest"),
    Seam(_AIOHTTP, "AioHttpRequest.call", sdk.send, "1.0.0", covers="AioHttpRequest"),
    Seam(_AIOHTTP, "AioHttpRequest.aio_call", sdk.send, "1.4.0", covers="AioHttpRequest"),
    Seam(_WEBSOCKET, "WebSocketRequest.call", sdk.send, "1.0.0", covers="WebSocketRequest"),
    Seam(_WEBSOCKET, "WebSocketRequest.aio_call", sdk.send, "1.4.0"),
    # The list of tasks, which imports what it sends by itself.
    Seam(_BASE, "BaseAsyncAioApi.list", sdk.list_tasks, "1.24.3", covers="BaseAsyncAioApi.list"),
    # The request builder.
    Seam(_ENTITIES + "api_request_factory", "_build_api_request", sdk.builder, "1.0.0"),
    # Hosts and message bodies that name the workspace.
    Seam("dashscope.common.env", "resolve_base_url", sdk.host, "1.27.5"),
    Seam(_DIALOG, "MultiModalDialog._send_start_request", sdk.body("workspace_id"), "1.23.5"),
    Seam(_TINGWU, "TingWuRealtime._send_start_request", sdk.body("_workspace"), "1.24.4"),
    # A pool of connections that are somebody's.
    Seam(_TTS_V2, "SpeechSynthesizerObjectPool.borrow_synthesizer", sdk.lend, "1.25.2"),
    Seam(_TTS_V2, "SpeechSynthesizer._SpeechSynthesizer__is_connected", sdk.connected, "1.25.2"),
    # Objects: the scope in which they were made,
    Seam(_TTS_V2, "SpeechSynthesizer.__init__", sdk.construct, "1.20.0"),
    Seam(_OMNI, "OmniRealtimeConversation.__init__", sdk.construct, "1.23.9"),
    Seam(_QWEN_TTS, "QwenTtsRealtime.__init__", sdk.construct, "1.23.9"),
    Seam(_DIALOG, "MultiModalDialog.__init__", sdk.construct, "1.23.5"),
    Seam(_DIALOG, "MultiModalDialog.__del__", sdk.finalize, "1.23.5"),
    Seam(_TINGWU, "TingWuRealtime.__init__", sdk.construct, "1.24.4"),
    # and those that make their requests by other ways out.
    *_of_objects(_RECOGNITION, "Recognition", "_Recognition__launch_request", "1.4.0"),
    *(
        row
        for kind in _TRANSLATORS
        for row in _of_objects(_TRANSLATION, kind, f"_{kind}__launch_request", "1.22.0")
    ),
    *_of_objects(_AIGC + "conversation", "Conversation", "*", "1.0.0"),
    *_of_objects(_AUDIO + "asr.vocabulary", "VocabularyService", "*", "1.20.10"),
    *_of_objects(_AUDIO + "tts_v2.enrollment", "VoiceEnrollmentService", "*", "1.20.10"),
    *_of_objects("dashscope.finetune.agentic_rl", "AgenticRL", "*", "1.25.19"),
    # Calls that make more than one request, or make it later.
    Seam(_AIGC + "generation", "AioGeneration.*", sdk.at_call, "1.19.0"),
    Seam(_AIGC + "chat_completion", "AioGeneration.*", sdk.at_call, "1.22.1"),
    Seam(_AIGC + "multimodal_conversation", "*.*", sdk.call, "1.8.0"),
    Seam(
        _AIGC + "image_synthesis",
        "ImageSynthesis.async_call ImageSynthesis.sync_call AioImageSynthesis.*",
        sdk.call,
        "1.24.3",
    ),
    Seam(_AIGC + "image_generation", "*.*", sdk.call, "1.25.7"),
    Seam(_AIGC + "video_synthesis", "VideoSynthesis.async_call", sdk.call, "1.21.0"),
    Seam(_AIGC + "video_synthesis", "AioVideoSynthesis.*", sdk.call, "1.24.3"),
    Seam("dashscope.embeddings.multimodal_embedding", "*.*", sdk.call, "1.7.0"),
    Seam("dashscope.rerank.text_rerank", "AioTextReRank.*", sdk.at_call, "1.25.22"),
    Seam("dashscope.utils.oss_utils", "OssUtils.upload", sdk.call, "1.13.0"),
    Seam(_BASE, "BaseAsyncApi.call BaseAsyncApi.wait StreamEventMixin.*", sdk.call, "1.4.0"),
    Seam("dashscope.threads.runs.runs", "Runs.wait", sdk.call, "1.17.0"),
    Seam("dashscope.multimodal.tingwu.tingwu", "TingWu.*", sdk.call, "1.24.4"),
    Seam(
        _AUDIO + "http_tts.http_speech_synthesizer", "HttpSpeechSynthesizer.*", sdk.call, "1.25.17"
    ),
    Seam("dashscope.finetune.finetunes", "FineTunes.stream_events", sdk.at_call, "1.25.19"),
    Seam(
        "dashscope.customize.finetunes",
        "FineTunes.logs FineTunes.stream_events",
        sdk.call,
        "1.20.0",
        "1.25.19",
    ),
    # The 2.x clients.
    Seam(_V2 + "_config", "_legacy_fallback", clients.no_nudge, "2.0.1"),
    Seam(_V2 + "client", "Client.__init__ AsyncClient.__init__", clients.client, "2.0.1"),
    Seam(_V2 + "_quickstart", "_get_client", clients.shared, "2.0.1"),
    Seam(
        _V2 + "transport.http",
        "SyncTransport.request AsyncTransport.request "
        "SyncTransport.open_stream AsyncTransport.open_stream",
        clients.transport,
        "2.0.1",
        covers="SyncTransport AsyncTransport",
    ),
    Seam(_V2 + "resources._oss", "check_and_upload_local", clients.upload, "2.0.1"),
    Seam(_SOCKETS, "WsSession.__init__", clients.socket, "2.0.1", covers="WsSession"),
    Seam(_SHARED_SOCKETS, "WsConnection.__init__", clients.socket, "2.0.1", covers="WsConnection"),
    Seam(_SHARED_SOCKETS, "WsConnection.open_task", clients.open_task, "2.0.1"),
    Seam(
        _REALTIME,
        "RealtimeSession.connect",
        clients.connect,
        "2.0.1",
        covers="RealtimeSession.connect",
    ),
    Seam(_REALTIME, "RealtimeSession.__init__", clients.session, "2.0.1"),
    Seam(_V2 + "resources.audio.asr", "Recognition.__init__", clients.session, "2.0.1"),
    Seam(_V2 + "resources.audio.tts", "SynthesisSession.__init__", clients.session, "2.0.1"),
    Seam(_V2 + "resources.tingwu", "TingWuRealtime.__init__", clients.session, "2.0.1"),
    Seam(_V2 + "resources.tingwu", "TingWuRealtime.__enter__", clients.start_message, "2.0.1"),
    Seam(_V2 + "resources.reinforcement_learning", "*(client).*", clients.on_behalf, "2.0.1"),
    *(
        Seam(_V2 + "resources." + package + "*", "*(client).*", sdk.at_call, "2.0.1")
        for package in ("", "audio.", "chat.", "multimodal.")
    ),
    Seam(_V2 + "resources.audio.asr", "_stream_file_frames", sdk.at_call, "2.0.1"),
    # What reads of a refusal.
    Seam(_V2 + "transport.sse", "Stream.__iter__ AsyncStream._iterate", clients.reading, "2.0.1"),
    Seam(
        _V2 + "resources.apps",
        "AppCompletions._events AsyncAppCompletions._events",
        clients.reading,
        "2.0.1",
    ),
    Seam(_V2 + "resources.audio.http_tts", "HttpTts._events", clients.reading, "2.0.1"),
    Seam(_SOCKETS, "WsSession.run_task", clients.task, "2.0.1"),
    Seam(_SHARED_SOCKETS, "WsTask.run_task", clients.task, "2.0.1"),
    Seam(_REALTIME, "RealtimeSession.recv_event", clients.task, "2.0.1"),
    # agentstudio.
    Seam(_PAGES, "CursorPage.__init__ AsyncCursorPage.__init__", sdk.construct, "1.26.2"),
    Seam(_PAGES, "CursorPage.get_next AsyncCursorPage.get_next", sdk.call, "1.26.2"),
    Seam(_STUDIO + "resources.*", "*(client).*", sdk.at_call, "1.26.2"),
    Seam(_STUDIO + "client", "Client.__init__ AsyncClient.__init__", clients.studio, "1.26.2"),
    Seam(_STUDIO + "client", "_resolve_base_url", clients.studio_url, "1.26.2"),
    Seam(
        _STUDIO + "transport",
        "SyncTransport.request AsyncTransport.request",
        clients.studio_transport,
        "1.26.2",
        covers="SyncTransport AsyncTransport",
    ),
)
