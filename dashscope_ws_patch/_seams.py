"""The table of seams: every place at which the SDK is patched, and how.

A row names the SDK's module, the attribute in it (``Class.*`` stands for the public methods that
the class itself defines, ``*.*`` for those of the module's classes that are made with a client),
the adapter, and the releases that have it: from the first, up to but not including the second. A
new way out of the SDK is a new row.
"""

from __future__ import annotations

from . import _adapters as adapt
from . import _clients as clients
from . import _libraries
from ._seam import Seam
from .hint import watch as hints

#: The rows of the libraries by which programs send without the SDK: applied where they are asked
#: for, and kept apart because they must not wait for wrapt.
CLIENT_SEAMS = _libraries.SEAMS

_ENTITIES = "dashscope.api_entities."
_BASE = "dashscope.client.base_api"
_AIGC = "dashscope.aigc."
_AUDIO = "dashscope.audio."
_HTTP_TTS = _AUDIO + "http_tts.http_speech_synthesizer"
_TTS_V2 = "dashscope.audio.tts_v2.speech_synthesizer"
_TRANSLATION = "dashscope.audio.asr.translation_recognizer"
_DIALOG = "dashscope.multimodal.multimodal_dialog"
_TINGWU = "dashscope.multimodal.tingwu.tingwu_realtime"

_V2 = "dashscope.v2."
_RESOURCES = (
    "apps", "audio.asr", "audio.customization", "audio.http_tts", "audio.phrases",
    "audio.realtime", "audio.tts", "chat.completions", "decision", "deployments", "embeddings",
    "files", "fine_tunes", "images", "models", "multimodal.chat", "multimodal.embeddings",
    "reinforcement_learning", "rerank", "tingwu", "tokenization", "videos", "_jobs",
)  # fmt: skip
_MCP = "dashscope.acli.platforms.bailian.mcp"
_STUDIO = "dashscope.agentstudio."
_STUDIO_PARTS = (
    "agents", "deployments", "environments", "files", "memory_stores", "security", "sessions",
    "session_events", "session_resources", "session_threads", "skills", "vaults",
    "webhook_endpoints",
)  # fmt: skip

SEAMS = (
    # What sends. Request objects, HTTP and websocket:
    Seam("dashscope.api_entities.api_request_factory", "_build_api_request", adapt.build, "1.0.0"),
    Seam(_HTTP_TTS, "HttpSpeechSynthesizer._http_call", adapt.fill("url"), "1.25.17"),
    # polling and management (1.0 to 1.3 sent with aiohttp, the list of tasks does again),
    Seam(_BASE, "requests", adapt.library, "1.0.0"),
    Seam(_BASE, "aiohttp", adapt.library, "1.0.0", "1.4.0"),
    Seam(_BASE, "BaseAsyncAioApi.list", adapt.fill("base_address"), "1.24.3"),
    # public keys,
    Seam("dashscope.api_entities.encryption", "requests", adapt.library, "1.23.7"),
    # websockets of their own,
    Seam(_TTS_V2, "websocket", adapt.library, "1.20.0"),
    Seam(_AUDIO + "qwen_omni.omni_realtime", "websocket", adapt.library, "1.23.9"),
    Seam(_AUDIO + "qwen_tts_realtime.qwen_tts_realtime", "websocket", adapt.library, "1.23.9"),
    Seam(_DIALOG, "websocket", adapt.library, "1.23.5"),
    Seam(_TINGWU, "websocket", adapt.library, "1.24.4"),
    # agentic RL.
    Seam(
        "dashscope.finetune.reinforcement.common.utils",
        "async_http_request",
        adapt.send_to_service,
        "1.25.19",
    ),
    # Hosts and message bodies that name the workspace.
    Seam("dashscope.common.env", "resolve_base_url", adapt.host, "1.27.5"),
    Seam(
        _DIALOG, "MultiModalDialog._send_start_request", adapt.body("url", "workspace_id"), "1.23.5"
    ),
    Seam(
        _TINGWU,
        "TingWuRealtime._send_start_request",
        adapt.body("base_address", "_workspace"),
        "1.24.4",
    ),
    # Threads that send.
    Seam(_AUDIO + "asr.recognition", "threading", adapt.library, "1.4.0"),
    Seam(_TRANSLATION, "threading", adapt.library, "1.22.0"),
    Seam(_TTS_V2, "threading", adapt.library, "1.20.0"),
    Seam("dashscope.common.utils", "threading", _libraries.threads, "2.0.1"),
    Seam(_AUDIO + "qwen_omni.omni_realtime", "threading", _libraries.threads, "2.0.1"),
    Seam(_AUDIO + "qwen_tts_realtime.qwen_tts_realtime", "threading", _libraries.threads, "2.0.1"),
    Seam(_DIALOG, "threading", _libraries.threads, "2.0.1"),
    Seam(_TINGWU, "threading", _libraries.threads, "2.0.1"),
    Seam(_AIGC + "video_synthesis", "ThreadPoolExecutor", adapt.executor, "1.25.14"),
    # Objects that remember what they were told, and where they were made.
    Seam(_AUDIO + "asr.recognition", "Recognition.__init__", adapt.construct, "1.4.0"),
    Seam(_TRANSLATION, "TranslationRecognizerRealtime.__init__", adapt.construct, "1.22.0"),
    Seam(_TRANSLATION, "TranslationRecognizerChat.__init__", adapt.construct, "1.22.0"),
    Seam(_AUDIO + "asr.vocabulary", "VocabularyService.__init__", adapt.construct, "1.20.10"),
    Seam(
        _AUDIO + "tts_v2.enrollment", "VoiceEnrollmentService.__init__", adapt.construct, "1.20.10"
    ),
    Seam(_TTS_V2, "SpeechSynthesizer.__init__", adapt.construct, "1.20.0"),
    Seam(_TTS_V2, "SpeechSynthesizerObjectPool.__init__", adapt.construct, "1.25.2"),
    Seam(
        _AUDIO + "qwen_omni.omni_realtime",
        "OmniRealtimeConversation.__init__",
        adapt.construct,
        "1.23.9",
    ),
    Seam(
        _AUDIO + "qwen_tts_realtime.qwen_tts_realtime",
        "QwenTtsRealtime.__init__",
        adapt.construct,
        "1.23.9",
    ),
    Seam(_DIALOG, "MultiModalDialog.__init__", adapt.construct, "1.23.5"),
    Seam(_TINGWU, "TingWuRealtime.__init__", adapt.construct, "1.24.4"),
    Seam(_AIGC + "conversation", "Conversation.__init__", adapt.construct, "1.0.0"),
    Seam("dashscope.finetune.agentic_rl", "AgenticRL.__init__", adapt.construct, "1.25.19"),
    # Calls on such objects.
    Seam(_AIGC + "conversation", "Conversation.*", adapt.call, "1.0.0"),
    Seam(_AUDIO + "asr.recognition", "Recognition.*", adapt.call, "1.4.0"),
    Seam(_TRANSLATION, "TranslationRecognizerRealtime.*", adapt.call, "1.22.0"),
    Seam(_TRANSLATION, "TranslationRecognizerChat.*", adapt.call, "1.22.0"),
    Seam(_AUDIO + "asr.vocabulary", "VocabularyService.*", adapt.call, "1.20.10"),
    Seam(_AUDIO + "tts_v2.enrollment", "VoiceEnrollmentService.*", adapt.call, "1.20.10"),
    Seam(_TTS_V2, "SpeechSynthesizer.*", adapt.call, "1.20.0"),
    Seam(_TTS_V2, "SpeechSynthesizer._SpeechSynthesizer__connect", adapt.call, "1.25.2"),
    Seam(_TTS_V2, "SpeechSynthesizerObjectPool.*", adapt.call, "1.25.2"),
    Seam(_AUDIO + "qwen_omni.omni_realtime", "OmniRealtimeConversation.*", adapt.call, "1.23.9"),
    Seam(_AUDIO + "qwen_tts_realtime.qwen_tts_realtime", "QwenTtsRealtime.*", adapt.call, "1.23.9"),
    Seam(_DIALOG, "MultiModalDialog.*", adapt.call, "1.23.5"),
    Seam(_TINGWU, "TingWuRealtime.*", adapt.call, "1.24.4"),
    # A finalizer that calls such a method.
    Seam(_DIALOG, "MultiModalDialog.__del__", adapt.finalize, "1.23.5"),
    # Calls that make more than one request, or make it later.
    Seam(_BASE, "BaseAsyncApi.*", adapt.call, "1.0.0"),
    Seam(_BASE, "BaseAsyncAioApi.*", adapt.call, "1.24.3"),
    Seam(_BASE, "BaseAioApi.*", adapt.call, "1.4.0"),
    Seam(_BASE, "ListObjectMixin.*", adapt.call, "1.17.0"),
    Seam(_BASE, "ListMixin.*", adapt.call, "1.0.0"),
    Seam(_BASE, "LogMixin.*", adapt.call, "1.4.0"),
    Seam(_BASE, "GetMixin.*", adapt.call, "1.0.0"),
    Seam(_BASE, "GetStatusMixin.*", adapt.call, "1.4.0"),
    Seam(_BASE, "DeleteMixin.*", adapt.call, "1.0.0"),
    Seam(_BASE, "CreateMixin.*", adapt.call, "1.0.0"),
    Seam(_BASE, "UpdateMixin.*", adapt.call, "1.0.0"),
    Seam(_BASE, "PutMixin.*", adapt.call, "1.4.0"),
    Seam(_BASE, "FileUploadMixin.*", adapt.call, "1.0.0"),
    Seam(_BASE, "CancelMixin.*", adapt.call, "1.0.0"),
    Seam(_BASE, "StreamEventMixin.*", adapt.call, "1.0.0"),
    Seam(_AIGC + "generation", "AioGeneration.*", adapt.call, "1.19.0"),
    Seam(_AIGC + "chat_completion", "Completions.*", adapt.call, "1.22.1"),
    Seam(_AIGC + "chat_completion", "AioGeneration.*", adapt.call, "1.22.1"),
    Seam(_AIGC + "multimodal_conversation", "MultiModalConversation.*", adapt.call, "1.8.0"),
    Seam(_AIGC + "multimodal_conversation", "AioMultiModalConversation.*", adapt.call, "1.24.3"),
    Seam(_AIGC + "image_synthesis", "ImageSynthesis.*", adapt.call, "1.1.0"),
    Seam(_AIGC + "image_synthesis", "AioImageSynthesis.*", adapt.call, "1.24.3"),
    Seam(_AIGC + "image_generation", "ImageGeneration.*", adapt.call, "1.25.7"),
    Seam(_AIGC + "image_generation", "AioImageGeneration.*", adapt.call, "1.25.7"),
    Seam(_AIGC + "video_synthesis", "VideoSynthesis.*", adapt.call, "1.21.0"),
    Seam(_AIGC + "video_synthesis", "AioVideoSynthesis.*", adapt.call, "1.24.3"),
    Seam("dashscope.embeddings.multimodal_embedding", "MultiModalEmbedding.*", adapt.call, "1.7.0"),
    Seam(
        "dashscope.embeddings.multimodal_embedding",
        "AioMultiModalEmbedding.*",
        adapt.call,
        "1.24.5",
    ),
    Seam("dashscope.embeddings.batch_text_embedding", "BatchTextEmbedding.*", adapt.call, "1.9.0"),
    Seam("dashscope.rerank.text_rerank", "AioTextReRank.*", adapt.call, "1.25.22"),
    Seam(_AUDIO + "asr.transcription", "Transcription.*", adapt.call, "1.0.0"),
    Seam(_AUDIO + "qwen_asr.qwen_transcription", "QwenTranscription.*", adapt.call, "1.25.2"),
    Seam(_AUDIO + "asr.asr_phrase_manager", "AsrPhraseManager.*", adapt.call, "1.13.0"),
    Seam("dashscope.utils.oss_utils", "OssUtils.*", adapt.call, "1.13.0"),
    Seam(_HTTP_TTS, "HttpSpeechSynthesizer.*", adapt.call, "1.25.17"),
    Seam("dashscope.files", "Files.*", adapt.call, "1.17.0"),
    Seam("dashscope.models", "Models.*", adapt.call, "1.19.0"),
    Seam("dashscope.finetune.finetunes", "FineTunes.*", adapt.call, "1.25.19"),
    Seam("dashscope.customize.finetunes", "FineTunes.*", adapt.call, "1.20.0", "1.25.19"),
    Seam("dashscope.finetune.agentic_rl", "AgenticRL.*", adapt.call, "1.25.19"),
    Seam("dashscope.assistants.assistants", "Assistants.*", adapt.call, "1.17.0"),
    Seam("dashscope.threads.threads", "Threads.*", adapt.call, "1.17.0"),
    Seam("dashscope.threads.runs.runs", "Runs.*", adapt.call, "1.17.0"),
    # The 2.x clients: what they have found in the SDK's own sources, as of each call,
    Seam(_V2 + "client", "Client.__init__", clients.client, "2.0.1"),
    Seam(_V2 + "client", "AsyncClient.__init__", clients.client, "2.0.1"),
    Seam(_V2 + "client", "Client.with_options", clients.with_options, "2.0.1"),
    Seam(_V2 + "client", "AsyncClient.with_options", clients.with_options, "2.0.1"),
    Seam(_V2 + "client", "Client.agentstudio", clients.mount, "2.0.1"),
    Seam(_V2 + "client", "AsyncClient.agentstudio", clients.mount, "2.0.1"),
    Seam(_V2 + "client", "Client.ws_connection", clients.resource, "2.0.1"),
    Seam(_V2 + "_quickstart", "_get_client", clients.shared, "2.0.1"),
    Seam(_V2 + "_config", "_legacy_fallback", clients.no_nudge, "2.0.1"),
    # what sends,
    Seam(_V2 + "transport.http", "SyncTransport.request", clients.transport, "2.0.1"),
    Seam(_V2 + "transport.http", "SyncTransport.open_stream", clients.transport, "2.0.1"),
    Seam(_V2 + "transport.http", "AsyncTransport.request", clients.transport, "2.0.1"),
    Seam(_V2 + "transport.http", "AsyncTransport.open_stream", clients.transport, "2.0.1"),
    Seam(_V2 + "transport.ws", "WsSession.__init__", clients.socket, "2.0.1"),
    Seam(_V2 + "transport.ws_connection", "WsConnection.__init__", clients.socket, "2.0.1"),
    Seam(_V2 + "transport.ws_connection", "WsConnection.open_task", clients.open_task, "2.0.1"),
    Seam(_V2 + "resources.audio.realtime", "RealtimeSession.__init__", clients.session, "2.0.1"),
    Seam(_V2 + "resources.audio.realtime", "RealtimeSession.connect", clients.connect, "2.0.1"),
    Seam(_V2 + "resources.tingwu", "TingWuRealtime.__enter__", clients.start_message, "2.0.1"),
    # sessions that connect later,
    Seam(_V2 + "resources.audio.asr", "Recognition.__init__", clients.session, "2.0.1"),
    Seam(_V2 + "resources.audio.tts", "SynthesisSession.__init__", clients.session, "2.0.1"),
    Seam(_V2 + "resources.tingwu", "TingWuRealtime.__init__", clients.session, "2.0.1"),
    # and the calls.
    *(Seam(_V2 + "resources." + name, "*.*", clients.resource, "2.0.1") for name in _RESOURCES),
    # agentstudio.
    Seam(_STUDIO + "client", "Client.__init__", clients.studio, "1.26.2"),
    Seam(_STUDIO + "client", "AsyncClient.__init__", clients.studio, "1.26.2"),
    Seam(_STUDIO + "client", "_resolve_base_url", clients.studio_url, "1.26.2"),
    Seam(_STUDIO + "transport", "SyncTransport.request", clients.studio_transport, "1.26.2"),
    Seam(_STUDIO + "transport", "AsyncTransport.request", clients.studio_transport, "1.26.2"),
    *(Seam(_STUDIO + "resources." + name, "*.*", adapt.call, "1.26.2") for name in _STUDIO_PARTS),
    Seam(_STUDIO + "pagination", "CursorPage.__init__", adapt.construct, "1.26.2"),
    Seam(_STUDIO + "pagination", "CursorPage.get_next", adapt.call, "1.26.2"),
    Seam(_STUDIO + "pagination", "AsyncCursorPage.__init__", adapt.construct, "1.26.2"),
    Seam(_STUDIO + "pagination", "AsyncCursorPage.get_next", adapt.call, "1.26.2"),
    # The command line's assistant.
    Seam("dashscope.acli.providers.tongyi", "httpx", adapt.library, "1.27.0"),
    Seam(_MCP, "httpx", adapt.library_to(_MCP, "BAILIAN_MCP_BASE"), "1.27.0"),
    # Where the SDK meets a refusal. Request objects of the 1.x surface: answers, streams, websocket
    # tasks and handshakes.
    Seam(_ENTITIES + "http_request", "HttpRequest._handle_response", hints.watch, "1.0.0"),
    Seam(_ENTITIES + "http_request", "HttpRequest._handle_aio_response", hints.watch, "1.20.14"),
    Seam(_ENTITIES + "aiohttp_request", "AioHttpRequest._handle_response", hints.watch, "1.0.0"),
    Seam(
        _ENTITIES + "websocket_request", "WebSocketRequest.connection_handler", hints.watch, "1.0.0"
    ),
    # Polling and management: first with aiohttp, later where only a failure passes; streams.
    Seam(
        "dashscope.client.base_api",
        "AsyncTaskGetMixin._handle_http_response",
        hints.watch,
        "1.0.0",
        "1.0.5",
    ),
    Seam("dashscope.common.utils", "_handle_http_response", hints.watch, "1.0.0"),
    Seam("dashscope.common.utils", "_handle_http_failed_response", hints.watch, "1.4.0"),
    Seam("dashscope.common.utils", "_handle_http_stream_response", hints.watch, "1.20.14"),
    Seam(
        "dashscope.finetune.reinforcement.common.utils", "_handle_response", hints.watch, "1.25.24"
    ),
    # Websockets of their own.
    Seam(_TTS_V2, "SpeechSynthesizer.on_message", hints.listen, "1.20.14"),
    Seam(_TTS_V2, "SpeechSynthesizer.on_error", hints.listen, "1.20.14"),
    Seam(
        _AUDIO + "qwen_omni.omni_realtime",
        "OmniRealtimeConversation.on_message",
        hints.listen,
        "1.23.9",
        "1.24.11",
    ),
    Seam(
        _AUDIO + "qwen_omni.omni_realtime",
        "OmniRealtimeConversation.on_error",
        hints.listen,
        "1.23.9",
        "1.24.11",
    ),
    Seam(
        _AUDIO + "qwen_omni.omni_realtime",
        "OmniRealtimeConversation._on_message",
        hints.listen,
        "1.25.24",
    ),
    Seam(
        _AUDIO + "qwen_omni.omni_realtime",
        "OmniRealtimeConversation._on_error",
        hints.listen,
        "1.25.24",
    ),
    Seam(
        _AUDIO + "qwen_tts_realtime.qwen_tts_realtime",
        "QwenTtsRealtime.on_message",
        hints.listen,
        "1.23.9",
    ),
    Seam(
        _AUDIO + "qwen_tts_realtime.qwen_tts_realtime",
        "QwenTtsRealtime.on_error",
        hints.listen,
        "1.23.9",
    ),
    Seam(_DIALOG, "MultiModalDialog._on_message", hints.listen, "1.23.9"),
    Seam(_DIALOG, "MultiModalDialog._on_error", hints.listen, "1.23.9"),
    Seam(_TINGWU, "TingWuRealtime._on_message", hints.listen, "1.24.10"),
    Seam(_TINGWU, "TingWuRealtime._on_error", hints.listen, "1.24.10"),
    # agentstudio.
    Seam("dashscope.agentstudio.transport", "SyncTransport._parse", hints.watch, "1.26.2"),
    Seam("dashscope.agentstudio.transport", "AsyncTransport._parse", hints.watch, "1.26.2"),
    # 2.x: answers, the opening of streams, and what comes in streams.
    Seam(_V2 + "transport.http", "SyncTransport.request", hints.watch, "2.0.1"),
    Seam(_V2 + "transport.http", "AsyncTransport.request", hints.watch, "2.0.1"),
    Seam(_V2 + "transport.http", "check_response", hints.watch, "2.0.1"),
    Seam(_V2 + "transport.sse", "Stream.__iter__", hints.watch, "2.0.1"),
    Seam(_V2 + "transport.sse", "AsyncStream._iterate", hints.watch, "2.0.1"),
    Seam(_V2 + "resources.apps", "AppCompletions._events", hints.watch, "2.0.1"),
    Seam(_V2 + "resources.apps", "AsyncAppCompletions._events", hints.watch, "2.0.1"),
    Seam(_V2 + "resources.audio.http_tts", "HttpTts._events", hints.watch, "2.0.1"),
    # 2.x websockets.
    Seam(_V2 + "transport.ws", "_connect", hints.connect, "2.0.1"),
    Seam(_V2 + "transport.ws", "WsSession.run_task", hints.watch, "2.0.1"),
    Seam(_V2 + "transport.ws_connection", "WsTask.run_task", hints.watch, "2.0.1"),
    Seam(_V2 + "resources.audio.realtime", "RealtimeSession.connect", hints.watch, "2.0.1"),
    Seam(_V2 + "resources.audio.realtime", "RealtimeSession.recv_event", hints.watch, "2.0.1"),
)
