"""The ways in which calling code names a workspace other than by ``workspace=``, as surfaces.

Driven natively and with the shim; whatever is ambient then must not make a difference.
"""

from __future__ import annotations

import copy
import inspect
from typing import Any, Callable

import aiohttp
import requests
from record import NAMED

from dashscope_ws_patch.selftest.surfaces import Drive, Surface, find, has

HEADERS = ("X-DashScope-WorkSpace", "x-dashscope-workspace", "X-DASHSCOPE-WORKSPACE")
HOST = f"{NAMED}.cn-beijing.maas.aliyuncs.com"
HTTP, INFERENCE = f"https://{HOST}/api/v1", f"wss://{HOST}/api-ws/v1/inference"
REALTIME = f"wss://{HOST}/api-ws/v1/realtime"

SESSION = "dashscope.api_entities.api_request_factory:_build_api_request(session)"
GENERATION = "dashscope.aigc.generation:Generation"
AIO_GENERATION = "dashscope.aigc.generation:AioGeneration"
MULTIMODAL = "dashscope.aigc.multimodal_conversation:MultiModalConversation"
AIO_MULTIMODAL = "dashscope.aigc.multimodal_conversation:AioMultiModalConversation"
EMBEDDING = "dashscope.embeddings.batch_text_embedding:BatchTextEmbedding"
IMAGES = "dashscope.aigc.image_synthesis:ImageSynthesis"
AIO_IMAGES = "dashscope.aigc.image_synthesis:AioImageSynthesis"
GENERATED = "dashscope.aigc.image_generation:ImageGeneration"
FILES = "dashscope.files:Files"
SYNTHESIZER = "dashscope.audio.tts_v2.speech_synthesizer:SpeechSynthesizer"
POOL = "dashscope.audio.tts_v2.speech_synthesizer:SpeechSynthesizerObjectPool"
HTTP_TTS = "dashscope.audio.http_tts.http_speech_synthesizer:HttpSpeechSynthesizer"
RECOGNITION = "dashscope.audio.asr.recognition:Recognition"
VOCABULARY = "dashscope.audio.asr.vocabulary:VocabularyService"
OMNI = "dashscope.audio.qwen_omni.omni_realtime"
DIALOG = "dashscope.multimodal.multimodal_dialog"


def ways() -> list[Surface]:
    """Those that the installed SDK has."""
    return [way for way in _ALL if all(map(has, way.needs))]


def _call(target: str, /, *args: Any, **kwargs: Any) -> Callable[[Drive], object]:
    """A call with this very naming, its result read to the end."""

    def drive_(drive: Drive) -> object:
        arguments = [arg(drive) if callable(arg) else arg for arg in args]
        result = find(target)(*arguments, **copy.deepcopy(kwargs))  # the SDK changes headers
        if inspect.iscoroutine(result):
            return drive.run(_read(result))
        return list(result) if inspect.isgenerator(result) else result

    return drive_


async def _read(coroutine: Any) -> Any:
    result = await coroutine
    return [item async for item in result] if inspect.isasyncgen(result) else result


def _way(name: str, target: str, /, *args: Any, **kwargs: Any) -> Surface:
    return Surface(name, "ways", (target,), _call(target, *args, **kwargs))


def _local_image(drive: Drive) -> list[dict[str, Any]]:
    return [{"role": "user", "content": [{"image": drive.file_url}, {"text": "hi"}]}]


def _session_of_requests(drive: Drive) -> None:
    with requests.Session() as session:
        session.headers["x-dashscope-workspace"] = NAMED
        find(GENERATION).call("qwen-turbo", "hi", session=session)


def _session_with_local_file(drive: Drive) -> None:
    with requests.Session() as session:
        session.headers["x-dashscope-workspace"] = NAMED
        find(MULTIMODAL).call("qwen-vl-plus", _local_image(drive), session=session)


def _session_of_aiohttp(drive: Drive) -> None:
    async def call() -> None:
        async with aiohttp.ClientSession(headers={"X-Dashscope-Workspace": NAMED}) as session:
            await find(AIO_GENERATION).call("qwen-turbo", "hi", session=session)

    drive.run(call())


def _to_workspace(method: Any) -> list[Any]:
    """Arguments that a method has between its second and its workspace, then that."""
    parameters = list(inspect.signature(method).parameters.values())[2:]
    names = [parameter.name for parameter in parameters]
    return [*(p.default for p in parameters[: names.index("workspace")]), NAMED]


def _positional(drive: Drive) -> None:
    method = find(GENERATION).call
    method("m", "hi", *_to_workspace(method))


def _positional_local_file(drive: Drive) -> None:
    method = find(MULTIMODAL).call
    method("m", _local_image(drive), *_to_workspace(method))


def _synthesizer(**naming: Any) -> Callable[[Drive], None]:
    def drive_(drive: Drive) -> None:
        find(SYNTHESIZER)("cosyvoice-v1", "longxiaochun", **naming).call("hi")

    return drive_


def _unbound_synthesizer(drive: Drive) -> None:
    """A subclass as people wrote them before super(), all arguments positional."""
    cls = find(SYNTHESIZER)

    class Mine(cls):  # type: ignore[misc,valid-type]
        def __init__(self) -> None:
            arguments: list[Any] = ["cosyvoice-v1", "longxiaochun"]
            names = cls.__init__.__code__.co_varnames[3 : cls.__init__.__code__.co_argcount]
            defaults = dict(zip(reversed(names), reversed(cls.__init__.__defaults__)))
            for name in names[: names.index("url") + 1]:
                arguments.append({"workspace": NAMED, "url": None}.get(name, defaults[name]))
            cls.__init__(self, *arguments)

    Mine().call("hi")


def _recognition(**naming: Any) -> Callable[[Drive], None]:
    def drive_(drive: Drive) -> None:
        cls = find(RECOGNITION)
        callback = find("dashscope.audio.asr.recognition:RecognitionCallback")()
        session = cls("paraformer-v1", callback, "wav", 16000, **naming)
        session.start()
        session.stop()

    return drive_


def _vocabulary(**naming: Any) -> Callable[[Drive], None]:
    def drive_(drive: Drive) -> None:
        service = find(VOCABULARY)(**naming)
        service.list_vocabularies()
        service.delete_vocabulary("vocabulary-1")

    return drive_


def _omni(**naming: Any) -> Callable[[Drive], None]:
    def drive_(drive: Drive) -> None:
        callback = find(f"{OMNI}:OmniRealtimeCallback")()
        session = find(f"{OMNI}:OmniRealtimeConversation")("qwen-omni", callback, **naming)
        session.connect()
        session.ws.sock.send_close()
        session.thread.join(60)

    return drive_


_BASE = "dashscope.client.base_api:BaseAsyncApi"
_TASK = f"{_BASE}.fetch", f"{_BASE}.cancel", f"{_BASE}.wait", f"{GENERATED}.fetch"
_AIO_TASK = f"{AIO_IMAGES}.fetch", f"{AIO_IMAGES}.cancel", f"{AIO_IMAGES}.wait"

_ALL = [
    *(
        way
        for header in HEADERS
        for way in (
            _way(f"{header} call", f"{GENERATION}.call", "m", "hi", headers={header: NAMED}),
            _way(
                f"{header} stream", f"{GENERATION}.call", "m", "hi", stream=True,
                headers={header: NAMED},
            ),
            _way(
                f"{header} websocket", f"{GENERATION}.call", "m", "hi", api_protocol="websocket",
                headers={header: NAMED},
            ),
            _way(f"{header} async", f"{AIO_GENERATION}.call", "m", "hi", headers={header: NAMED}),
            _way(
                f"{header} local file", f"{MULTIMODAL}.call", "m", _local_image,
                headers={header: NAMED},
            ),
            _way(
                f"{header} async local file", f"{AIO_MULTIMODAL}.call", "m", _local_image,
                headers={header: NAMED},
            ),
            *(
                _way(f"{header} {target}", target, "task-1", headers={header: NAMED})
                for target in (*_TASK, *_AIO_TASK)
            ),
            _way(
                f"{header} tasks", f"{IMAGES}.call", "wanx-v1", "hi", headers={header: NAMED}
            ),
            _way(f"{header} list", f"{FILES}.list", headers={header: NAMED}),
            _way(f"{header} get", f"{FILES}.get", "file-1", headers={header: NAMED}),
            _way(f"{header} delete", f"{FILES}.delete", "file-1", headers={header: NAMED}),
            _way(
                f"{header} events", "dashscope:FineTunes.stream_events", "job-1",
                headers={header: NAMED},
            ),
            Surface(
                f"{header} synthesizer", "ways", (f"{SYNTHESIZER}.__init__(headers)",),
                _synthesizer(headers={header: NAMED}),
            ),
            Surface(
                f"{header} omni", "ways", (f"{OMNI}:OmniRealtimeConversation.__init__(headers)",),
                _omni(headers={header: NAMED}),
            ),
            Surface(
                f"{header} recognition", "ways", (f"{RECOGNITION}.start",),
                _recognition(headers={header: NAMED}),
            ),
        )
    ),
    Surface("session of requests", "ways", (SESSION,),
            _session_of_requests),
    Surface("session of requests, local file", "ways",
            (SESSION, MULTIMODAL),
            _session_with_local_file),
    Surface("session of aiohttp", "ways", (SESSION,),
            _session_of_aiohttp),
    _way("host call", f"{GENERATION}.call", "m", "hi", base_address=HTTP),
    _way("host call as bytes of a str subclass", f"{GENERATION}.call", "m", "hi",
         base_address=type("Url", (str,), {})(HTTP)),
    _way("host stream", f"{GENERATION}.call", "m", "hi", stream=True, base_address=HTTP),
    _way("host with port and user", f"{GENERATION}.call", "m", "hi",
         base_address=f"https://u:p@{HOST}:443/api/v1"),
    _way("host websocket", f"{GENERATION}.call", "m", "hi", api_protocol="websocket",
         base_address=INFERENCE),
    _way("host async", f"{AIO_GENERATION}.call", "m", "hi", base_address=HTTP),
    _way("host local file", f"{MULTIMODAL}.call", "m", _local_image, base_address=HTTP),
    _way("host async local file", f"{AIO_MULTIMODAL}.call", "m", _local_image, base_address=HTTP),
    *(
        _way(f"host {target}", target, "task-1", base_address=HTTP)
        for target in (*_TASK, *_AIO_TASK)
    ),
    _way("host tasks", f"{IMAGES}.call", "wanx-v1", "hi", base_address=HTTP),
    _way("host async tasks", f"{AIO_IMAGES}.call", "wanx-v1", "hi", base_address=HTTP),
    _way("host of tasks list", f"{EMBEDDING}.list", base_address=HTTP),
    _way("host of async tasks list", f"{AIO_IMAGES}.list", base_address=HTTP),
    _way("host files list", f"{FILES}.list", base_address=HTTP),
    _way("host files get", f"{FILES}.get", "file-1", base_address=HTTP),
    _way("host files delete", f"{FILES}.delete", "file-1", base_address=HTTP),
    _way("host events", "dashscope:FineTunes.stream_events", "job-1", base_address=HTTP),
    _way("host scale", "dashscope:Deployments.scale", "d-1", 2, base_address=HTTP),
    _way("host assistants", "dashscope.assistants.assistants:Assistants.create", model="m",
         base_address=HTTP),
    _way("host runs wait", "dashscope.threads.runs.runs:Runs.wait", "run-1", thread_id="t-1",
         base_address=HTTP),
    Surface("host synthesizer", "ways", (f"{SYNTHESIZER}.__init__(url)",),
            _synthesizer(url=INFERENCE)),
    Surface("host recognition", "ways", (f"{RECOGNITION}.start",),
            _recognition(base_address=INFERENCE)),
    Surface("host omni", "ways", (f"{OMNI}:OmniRealtimeConversation",), _omni(url=REALTIME)),
    Surface("host vocabulary", "ways", (VOCABULARY,),
            _vocabulary(base_address=HTTP)),
    _way("host http tts", f"{HTTP_TTS}.call", "m", "hi", "voice",
         url=f"{HTTP}/services/audio/tts/SpeechSynthesizer"),
    Surface("unbound constructor", "ways", (f"{SYNTHESIZER}.__init__(url)",), _unbound_synthesizer),
    Surface("argument and host", "ways", (f"{GENERATION}.call(workspace)",),
            _call(f"{GENERATION}.call", "m", "hi", workspace=NAMED,
                  base_address="https://ws-host.cn-beijing.maas.aliyuncs.com/api/v1")),
    Surface("positional", "ways", (f"{GENERATION}.call(workspace)",), _positional),
    Surface("positional, local file", "ways", (f"{MULTIMODAL}.call(workspace)",),
            _positional_local_file),
]  # fmt: skip
