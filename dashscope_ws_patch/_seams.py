"""The table of seams: every place at which the SDK is patched, and how.

A row names a module of the SDK (``package.*`` stands for those right below it), attributes of it,
the adapter, and the releases that have them: from the first, up to but not including the second.
Of attributes, ``Class.*`` stands for the public methods that the class itself defines, ``*.*`` for
those of all classes of the module, ``*(client).*`` for those of the classes that are made with a
client; handlers (``on_...``), which the SDK calls, and what has a row of its own are left out of
these. A new way out of the SDK is a new row.
"""

from __future__ import annotations

from collections.abc import Iterator

from . import _adapters as adapt
from . import _clients as clients
from . import _libraries
from . import _views as views
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
_MCP = "dashscope.acli.platforms.bailian.mcp"


def _remembers(module: str, kind: str, calls: str, since: str) -> Iterator[Seam]:
    """The rows of a class whose objects remember what they were told, and of its ``calls``."""
    yield Seam(module, f"{kind}.__init__", adapt.construct, since)
    yield Seam(module, f"{kind}.{calls}", adapt.call, since)


SEAMS = (
    # What sends. Request objects, HTTP and websocket:
    Seam(_HTTP, "HttpRequest.call", adapt.send, "1.0.0", covers="HttpRequest"),
    Seam(_HTTP, "HttpRequest.aio_call", adapt.send, "1.20.14", covers="HttpRequest"),
    Seam(_SYNC_HTTP, "HttpRequest.call", adapt.send, "1.0.4", "1.4.0", covers="HttpRequest"),
    Seam(_AIOHTTP, "AioHttpRequest.call", adapt.send, "1.0.0", covers="AioHttpRequest"),
    Seam(_AIOHTTP, "AioHttpRequest.aio_call", adapt.send, "1.4.0", covers="AioHttpRequest"),
    Seam(_WEBSOCKET, "WebSocketRequest.call", adapt.send, "1.0.0", covers="WebSocketRequest"),
    Seam(_WEBSOCKET, "WebSocketRequest.aio_call", adapt.send, "1.4.0"),
    # their sessions, for redirects,
    Seam(_HTTP, "requests", views.redirects, "1.0.0"),
    Seam(_HTTP, "aiohttp", views.redirects, "1.20.14"),
    Seam(_SYNC_HTTP, "requests", views.redirects, "1.0.4", "1.4.0"),
    Seam(_AIOHTTP, "aiohttp", views.redirects, "1.0.0"),
    Seam(_WEBSOCKET, "aiohttp", views.redirects, "1.0.0"),
    Seam(_ENTITIES + "aio_session", "aiohttp", views.redirects, "1.25.24"),
    Seam("dashscope.common.session_manager", "requests", views.redirects, "1.25.10", "1.25.25"),
    Seam("dashscope.common.aio_session_manager", "aiohttp", views.redirects, "1.25.10", "1.25.25"),
    # polling and management (1.0 to 1.3 sent with aiohttp, the list of tasks does again),
    Seam(_BASE, "requests", views.library, "1.0.0", covers="requests"),
    Seam(_BASE, "aiohttp", views.library, "1.0.0", "1.4.0", covers="aiohttp"),
    Seam("dashscope.common.utils", "_handle_http_response", adapt.received, "1.0.0", "1.4.0"),
    Seam(_BASE, "BaseAsyncAioApi.list", adapt.list_tasks, "1.24.3", covers="BaseAsyncAioApi.list"),
    # public keys,
    Seam(_ENTITIES + "encryption", "requests", views.library, "1.23.7", covers="requests"),
    # websockets of their own,
    Seam(_TTS_V2, "websocket", views.library, "1.20.0", covers="websocket"),
    Seam(_OMNI, "websocket", views.library, "1.23.9", covers="websocket"),
    Seam(_QWEN_TTS, "websocket", views.library, "1.23.9", covers="websocket"),
    Seam(_DIALOG, "websocket", views.library, "1.23.5", covers="websocket"),
    Seam(_TINGWU, "websocket", views.library, "1.24.4", covers="websocket"),
    # agentic RL,
    Seam(
        "dashscope.finetune.reinforcement.common.utils",
        "async_http_request",
        adapt.send_to_service,
        "1.25.19",
        covers="async_http_request",
    ),
    # the assistant of the command line.
    Seam("dashscope.acli.providers.tongyi", "httpx", views.library, "1.27.0", covers="httpx"),
    Seam(_MCP, "httpx", views.library_to(_MCP, "BAILIAN_MCP_BASE"), "1.27.0", covers="httpx"),
    # Hosts and message bodies that name the workspace.
    Seam("dashscope.common.env", "resolve_base_url", adapt.host, "1.27.5"),
    Seam(_DIALOG, "MultiModalDialog._send_start_request", adapt.body("workspace_id"), "1.23.5"),
    Seam(_TINGWU, "TingWuRealtime._send_start_request", adapt.body("_workspace"), "1.24.4"),
    # Threads that send, and in which the SDK calls back.
    Seam(_RECOGNITION, "Recognition._Recognition__receive_worker", adapt.worker, "1.4.0"),
    *(
        Seam(_TRANSLATION, f"{kind}._{kind}__receive_worker", adapt.worker, "1.22.0")
        for kind in _TRANSLATORS
    ),
    # A pool of connections that are somebody's.
    Seam(_TTS_V2, "SpeechSynthesizerObjectPool.borrow_synthesizer", adapt.lend, "1.25.2"),
    Seam(_TTS_V2, "SpeechSynthesizer._SpeechSynthesizer__is_connected", adapt.connected, "1.25.2"),
    # Threads that connect, by a library that may be asked for the workspace itself; those of a pool
    # make new synthesizers.
    *(
        Seam(module, "threading", _libraries.threads, "2.0.1")
        for module in ("dashscope.common.utils", _TTS_V2, _OMNI, _QWEN_TTS, _DIALOG, _TINGWU)
    ),
    Seam(_AIGC + "video_synthesis", "ThreadPoolExecutor", adapt.executor, "1.25.14"),
    # Objects that remember what they were told, and where they were made,
    Seam(_TTS_V2, "SpeechSynthesizer.__init__", adapt.construct, "1.20.0"),
    Seam(_OMNI, "OmniRealtimeConversation.__init__", adapt.construct, "1.23.9"),
    Seam(_QWEN_TTS, "QwenTtsRealtime.__init__", adapt.construct, "1.23.9"),
    Seam(_DIALOG, "MultiModalDialog.__init__", adapt.construct, "1.23.5"),
    Seam(_TINGWU, "TingWuRealtime.__init__", adapt.construct, "1.24.4"),
    # and make their requests by other ways out on behalf of that.
    *_remembers(_RECOGNITION, "Recognition", "_Recognition__launch_request", "1.4.0"),
    *(
        row
        for kind in _TRANSLATORS
        for row in _remembers(_TRANSLATION, kind, f"_{kind}__launch_request", "1.22.0")
    ),
    *_remembers(_AIGC + "conversation", "Conversation", "*", "1.0.0"),
    *_remembers(_AUDIO + "asr.vocabulary", "VocabularyService", "*", "1.20.10"),
    *_remembers(_AUDIO + "tts_v2.enrollment", "VoiceEnrollmentService", "*", "1.20.10"),
    *_remembers("dashscope.finetune.agentic_rl", "AgenticRL", "*", "1.25.19"),
    # A finalizer that talks to the service.
    Seam(_DIALOG, "MultiModalDialog.__del__", adapt.finalize, "1.23.5"),
    # Calls that make more than one request, or make it later.
    Seam(_BASE, "BaseApi.call", adapt.call_once, "1.0.0"),
    Seam(
        _BASE,
        "BaseAsyncApi.* CancelMixin.* CreateMixin.* DeleteMixin.* FileUploadMixin.* "
        "GetMixin.* ListMixin.* StreamEventMixin.* UpdateMixin.*",
        adapt.call,
        "1.0.0",
    ),
    Seam(_BASE, "GetStatusMixin.* LogMixin.* PutMixin.*", adapt.call, "1.4.0"),
    Seam(_BASE, "ListObjectMixin.*", adapt.call, "1.17.0"),
    Seam(_AIGC + "generation", "AioGeneration.*", adapt.call_once, "1.19.0"),
    Seam(_AIGC + "chat_completion", "AioGeneration.*", adapt.call_once, "1.22.1"),
    Seam(_AIGC + "multimodal_conversation", "*.*", adapt.call, "1.8.0"),
    Seam(_AIGC + "image_synthesis", "ImageSynthesis.async_call", adapt.call, "1.1.0"),
    Seam(
        _AIGC + "image_synthesis",
        "ImageSynthesis.sync_call AioImageSynthesis.*",
        adapt.call,
        "1.24.3",
    ),
    Seam(_AIGC + "image_generation", "*.*", adapt.call, "1.25.7"),
    Seam(_AIGC + "video_synthesis", "VideoSynthesis.async_call", adapt.call, "1.21.0"),
    Seam(_AIGC + "video_synthesis", "AioVideoSynthesis.*", adapt.call, "1.24.3"),
    Seam("dashscope.app.application", "Application.*", adapt.call, "1.14.0"),
    Seam("dashscope.embeddings.multimodal_embedding", "*.*", adapt.call, "1.7.0"),
    Seam("dashscope.rerank.text_rerank", "AioTextReRank.*", adapt.call_once, "1.25.22"),
    Seam(
        _AUDIO + "http_tts.http_speech_synthesizer",
        "HttpSpeechSynthesizer.*",
        adapt.call_at,
        "1.25.17",
    ),
    Seam("dashscope.multimodal.tingwu.tingwu", "TingWu.*", adapt.call, "1.24.4"),
    Seam("dashscope.utils.oss_utils", "OssUtils.upload", adapt.call, "1.13.0"),
    Seam("dashscope.models", "Models.get", adapt.call, "1.26.0"),
    Seam("dashscope.finetune.finetunes", "FineTunes.stream_events", adapt.call, "1.25.19"),
    Seam(
        "dashscope.customize.finetunes",
        "FineTunes.logs FineTunes.stream_events",
        adapt.call,
        "1.20.0",
        "1.25.19",
    ),
    Seam("dashscope.finetune", "FineTune.logs", adapt.call, "1.4.0", "1.23.0"),
    Seam("dashscope.threads.runs.runs", "Runs.wait", adapt.call, "1.17.0"),
    # The 2.x clients,
    Seam(_V2 + "client", "Client.__init__ AsyncClient.__init__", clients.client, "2.0.1"),
    Seam(_V2 + "client", "Client.with_options AsyncClient.with_options", clients.derived, "2.0.1"),
    Seam(_V2 + "client", "Client.agentstudio AsyncClient.agentstudio", clients.mount, "2.0.1"),
    Seam(_V2 + "client", "Client.ws_connection", clients.connection, "2.0.1"),
    Seam(_V2 + "_quickstart", "_get_client", clients.shared, "2.0.1"),
    Seam(_V2 + "_config", "_legacy_fallback", clients.no_nudge, "2.0.1"),
    # what sends,
    Seam(
        _V2 + "transport.http",
        "SyncTransport.request AsyncTransport.request "
        "SyncTransport.open_stream AsyncTransport.open_stream",
        clients.transport,
        "2.0.1",
        covers="SyncTransport AsyncTransport",
    ),
    Seam(_V2 + "resources._oss", "_effective", clients.effective, "2.0.1"),
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
    Seam(_V2 + "resources.tingwu", "TingWuRealtime.__enter__", clients.start_message, "2.0.1"),
    # sessions that connect later,
    Seam(_REALTIME, "RealtimeSession.__init__", clients.session, "2.0.1"),
    Seam(_V2 + "resources.audio.asr", "Recognition.__init__", clients.session, "2.0.1"),
    Seam(_V2 + "resources.audio.tts", "SynthesisSession.__init__", clients.session, "2.0.1"),
    Seam(_V2 + "resources.tingwu", "TingWuRealtime.__init__", clients.session, "2.0.1"),
    # the calls,
    *(
        Seam(_V2 + "resources." + package + "*", "*(client).*", clients.held, "2.0.1")
        for package in ("", "audio.", "chat.", "multimodal.")
    ),
    # and what reads of a refusal.
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
    Seam(_STUDIO + "client", "Client.__init__ AsyncClient.__init__", clients.studio, "1.26.2"),
    Seam(_STUDIO + "client", "_resolve_base_url", clients.studio_url, "1.26.2"),
    Seam(
        _STUDIO + "transport",
        "SyncTransport.request AsyncTransport.request",
        clients.studio_transport,
        "1.26.2",
        covers="SyncTransport AsyncTransport",
    ),
    Seam(_STUDIO + "resources.*", "*(client).*", clients.held, "1.26.2"),
    *_remembers(_STUDIO + "pagination", "CursorPage", "get_next", "1.26.2"),
    *_remembers(_STUDIO + "pagination", "AsyncCursorPage", "get_next", "1.26.2"),
)
