"""Every 1.x surface of the SDK, as a table: one row drives the real SDK against the loopback.

``surfaces()`` picks the rows that the installed SDK has, by asking it for the names that a row
needs. A row makes all requests of its surface, even where the SDK cannot parse an answer.
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
import os
import sys
import tempfile
import threading
import time
import wave
from collections.abc import AsyncIterator, Awaitable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, NamedTuple, Optional
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from ._loopback import Loopback

API_KEY = "sk-loopback"
_HOST = "dashscope.aliyuncs.com"
_PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154789c63f8"
    "cf50cf000003860181d3b79fe90000000049454e44ae426082"
)


class Drive:
    """What a surface is driven with.

    ``named``: the explicit naming, ``{}`` or ``{"workspace": "ws_x"}``, which a surface passes on
    to each SDK method or constructor that accepts it. ``plain``: the loopback speaks plain HTTP.
    """

    def __init__(
        self, loopback: Loopback, named: Optional[dict[str, str]] = None, plain: bool = True
    ) -> None:
        self.loopback = loopback
        self.named = dict(named or {})
        self.plain = plain
        self._folder = tempfile.TemporaryDirectory(prefix="dashscope-ws-patch-")

    def naming(self, accepts: Callable[..., object]) -> dict[str, str]:
        """The explicit naming under the name that ``accepts`` has for it; ``{}`` if it has none.

        A method that hands its ``**kwargs`` on to the method it overrides accepts what that does.
        """
        workspace = self.named.get("workspace")
        if workspace is None:
            return {}
        for function in _overridden(accepts):
            parameters = inspect.signature(function).parameters
            for name in ("workspace", "workspace_id"):
                if name in parameters:
                    return {name: workspace}
            if all(p.kind is not p.VAR_KEYWORD for p in parameters.values()):
                break
        return {}

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """The result of ``coroutine``, run in a fresh event loop that leaves nothing open."""

        async def run() -> Any:
            try:
                return await coroutine
            finally:
                # From 1.25 a session is shared per loop, and nobody else closes it.
                shared = sys.modules.get("dashscope.api_entities.aio_session")
                if shared is not None:
                    await shared.close_shared_aio_session()

        return asyncio.run(run())

    def until(self, condition: Callable[[], object], seconds: float = 5) -> None:
        """Wait for what another thread brings about; TimeoutError after ``seconds``."""
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                raise TimeoutError(f"not so after {seconds} s: {inspect.getsource(condition)}")
            time.sleep(0.005)

    def write(self, name: str, content: bytes) -> str:
        """The path of a new file of this drive."""
        path = Path(self._folder.name, name)
        path.write_bytes(content)
        return str(path)

    @cached_property
    def file(self) -> str:
        """The path of a small PNG."""
        return self.write("small.png", _PNG)

    @cached_property
    def audio(self) -> str:
        """The path of a small WAV."""
        path = self.write("small.wav", b"")
        with wave.open(path, "wb") as sound:
            sound.setparams((1, 2, 16000, 0, "NONE", ""))
            sound.writeframes(bytes(3200))
        return path

    @property
    def realtime_url(self) -> Optional[str]:
        """The ``url=`` for classes with a hard-coded wss:// default; None if that will do."""
        return self.loopback.address(_HOST, "/api-ws/v1/realtime", True) if self.plain else None


@dataclass(frozen=True)
class Surface:
    """A way of the SDK to send requests.

    ``needs``: what the SDK must have, as "package.module:Class.attribute", or with an argument
    that it must accept as "package.module:Class.method(argument)".
    """

    name: str
    group: str
    needs: tuple[str, ...]
    drive: Callable[[Drive], object]


def surfaces() -> list[Surface]:
    """The surfaces that the installed SDK has; imports the SDK modules concerned."""
    return [
        Surface(row.name, group, row.needs, row.drive)
        for group, rows in _TABLE.items()
        for row in rows
        if all(map(_has, row.needs))
    ]


def prepare(drive: Drive) -> None:
    """Give the SDK an API key and, where ``drive`` is plain, lead its base URLs to the loopback.

    Host names and paths stay as they are, so ``redirect`` must be active.
    """
    import dashscope

    dashscope.api_key = API_KEY
    if _has("dashscope.aigc.chat_completion:Completions"):
        # Until 1.24 the module that reads this name does not define it.
        compatible = f"https://{_HOST}/compatible-mode/v1"
        vars(dashscope).setdefault("base_compatible_api_url", compatible)
    if not drive.plain:
        return
    surfaces()  # Imports the agentic RL modules, which copy their addresses from each other.
    for name, module in list(sys.modules.items()):
        if name == "dashscope" or name.startswith("dashscope.finetune."):
            for key, value in list(vars(module).items()):
                if isinstance(value, str) and value.startswith(("http", "ws")):
                    setattr(module, key, _led(drive, value))


def _led(drive: Drive, url: str) -> str:
    parts = urlsplit(url)
    if not parts.hostname or "dashscope" not in parts.hostname:
        return url
    return drive.loopback.address(parts.hostname, parts.path, parts.scheme in ("ws", "wss"))


def _has(need: str) -> bool:
    path, _, argument = need.rstrip(")").partition("(")
    try:
        found = _find(path)
    except (ImportError, AttributeError):
        return False
    return not argument or argument in inspect.signature(found).parameters


def _find(path: str) -> Any:
    module, _, attributes = path.partition(":")
    return attrgetter(attributes)(importlib.import_module(module))


def _overridden(method: Callable[..., object]) -> Iterator[Callable[..., object]]:
    """``method``, then the methods that it overrides."""
    yield method
    owner = getattr(method, "__self__", None)
    if owner is not None:
        for base in (owner if inspect.isclass(owner) else type(owner)).__mro__:
            found = vars(base).get(getattr(method, "__name__", ""))
            if found is not None:
                yield found.__func__ if isinstance(found, classmethod) else found


# Rows, and the shapes that many of them share


class _Row(NamedTuple):
    name: str
    needs: tuple[str, ...]
    drive: Callable[[Drive], object]


class _Call(NamedTuple):
    method: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]


#: Stand for the drive's files in the arguments of a call.
_FILE, _AUDIO = attrgetter("file"), attrgetter("audio")


def _call(method: str, *args: Any, **kwargs: Any) -> _Call:
    return _Call(method, args, kwargs)


def _on(
    target: str,
    *calls: _Call,
    label: str = "",
    needs: tuple[str, ...] = (),
    new: Optional[dict[str, Any]] = None,
) -> _Row:
    """Calls on a class ("package.module:Class"), or with ``new`` on an instance made with that.

    The release must have the first method; it may lack the others.
    """

    def drive_(drive: Drive) -> object:
        owner = _find(target)
        if new is not None:
            owner = owner(**_fresh(new, drive), **drive.naming(owner))
        result, failures = None, []
        for call in calls:
            method = getattr(owner, call.method, None)
            if method is None:
                continue
            args, kwargs = _fresh(call.args, drive), _fresh(call.kwargs, drive)
            # One answer that the SDK cannot parse must not keep back the requests after it.
            try:
                result = _result(drive, method(*args, **kwargs, **drive.naming(method)))
            except Exception as failure:
                failures.append(failure)
        if failures:
            raise failures[0]
        return result

    cls = target.rpartition(":")[2]
    name = " ".join(filter(None, (f"{cls}.{calls[0].method}" if len(calls) == 1 else cls, label)))
    return _Row(name, (f"{target}.{calls[0].method}", *needs), drive_)


def _tasks(target: str, **submission: Any) -> _Row:
    """The life of an asynchronous task."""
    known = [_call(method, "task-1") for method in ("fetch", "wait", "cancel")]
    return _on(target, _call("async_call", **submission), *known, _call("list"), label="tasks")


def _fresh(value: Any, drive: Drive) -> Any:
    """A copy of a call's arguments (the SDK changes them in place) with the drive's files."""
    if isinstance(value, attrgetter):
        return value(drive)
    if isinstance(value, (list, tuple)):
        return type(value)(_fresh(item, drive) for item in value)
    if isinstance(value, dict):
        return {key: _fresh(item, drive) for key, item in value.items()}
    return value


def _result(drive: Drive, value: Any) -> Any:
    """``value`` in full: awaited, and its stream read to the end."""
    if isinstance(value, Awaitable):
        return drive.run(_awaited(value))
    return list(value) if isinstance(value, Iterator) else value


async def _awaited(value: Awaitable[Any]) -> Any:
    result = await value
    if isinstance(result, AsyncIterator):
        return [item async for item in result]
    return list(result) if isinstance(result, Iterator) else result


# Surfaces that are more than calls


def _recognition(module: str, name: str, callback: str) -> _Row:
    """Recognition from a thread that ``start`` creates; ``stop`` ends it and its timers."""

    def drive_(drive: Drive) -> None:
        cls, listener = _find(f"{module}:{name}"), _find(f"{module}:{callback}")()
        session = cls("paraformer-v1", listener, "wav", 16000, **drive.naming(cls))
        session.start()
        session.send_audio_frame(Path(drive.audio).read_bytes())
        session.stop()

    return _Row(f"{name}.start", (f"{module}:{name}.start",), drive_)


def _join(session: Any) -> None:
    """Close a session that runs a websocket in a thread of its own, and see that one off."""
    session.close()
    session.thread.join(5)


_TTS_V2 = "dashscope.audio.tts_v2.speech_synthesizer"


def _synthesis_call(drive: Drive) -> None:
    cls = _find(f"{_TTS_V2}:SpeechSynthesizer")
    synthesizer = cls("cosyvoice-v1", "longxiaochun", **drive.naming(cls))
    synthesizer.call("hi")
    _join(synthesizer)


def _synthesis_streaming(drive: Drive) -> None:
    cls, callback = _find(f"{_TTS_V2}:SpeechSynthesizer"), _find(f"{_TTS_V2}:ResultCallback")()
    synthesizer = cls("cosyvoice-v1", "longxiaochun", callback=callback, **drive.naming(cls))
    synthesizer.streaming_call("hi")
    synthesizer.streaming_complete()
    _join(synthesizer)


def _object_pool(drive: Drive) -> None:
    """Connects in its constructor and, once a connection is too old, from its own thread."""
    cls = _find(f"{_TTS_V2}:SpeechSynthesizerObjectPool")
    before = len(drive.loopback.requests)
    pool = cls(max_size=1, **drive.naming(cls))
    try:
        first = pool._pool[0].synthesizer
        pool._pool[0].connect_time = 0
        drive.until(lambda: len(drive.loopback.requests) >= before + 2 and all(pool._avaliable))
        synthesizer = pool.borrow_synthesizer("cosyvoice-v1", "longxiaochun")
        synthesizer.call("hi")
        pool.return_synthesizer(synthesizer)
    finally:
        pool.shutdown()
        del cls._instance  # The singleton would hand this pool, shut down, to whoever asks next.
    _join(first)
    _join(synthesizer)


def _omni_realtime(drive: Drive) -> None:
    module = importlib.import_module("dashscope.audio.qwen_omni.omni_realtime")
    cls, callback = module.OmniRealtimeConversation, module.OmniRealtimeCallback()
    session = cls("qwen-omni", callback, url=drive.realtime_url, **drive.naming(cls))
    session.connect()
    session.update_session([module.MultiModality.TEXT], voice="Cherry")
    session.append_audio("AAAA")
    session.commit()
    _join(session)


def _tts_realtime(drive: Drive) -> None:
    module = importlib.import_module("dashscope.audio.qwen_tts_realtime.qwen_tts_realtime")
    cls, callback = module.QwenTtsRealtime, module.QwenTtsRealtimeCallback()
    session = cls("qwen-tts", callback=callback, url=drive.realtime_url, **drive.naming(cls))
    session.connect()
    session.update_session(voice="Cherry")
    session.append_text("hi")
    session.finish()
    _join(session)


def _dialog(drive: Drive) -> None:
    module = importlib.import_module("dashscope.multimodal.multimodal_dialog")
    kinds = importlib.import_module("dashscope.multimodal.multimodal_request_params")
    parameters = kinds.RequestParameters(
        upstream=kinds.Upstream(),
        downstream=kinds.Downstream(),
        client_info=kinds.ClientInfo(user_id="user", device=kinds.Device(uuid="device")),
    )
    stopped = threading.Event()
    callback = module.MultiModalCallback()
    callback.on_stopped = stopped.set
    cls = module.MultiModalDialog
    session = cls("app-1", parameters, callback, **drive.naming(cls))
    session.start("")
    session.start_speech()
    session.send_audio_data(bytes(320))
    session.stop_speech()
    session.request_to_respond("prompt", "hi")
    session.stop()
    stopped.wait(5)
    session.cleanup()


def _tingwu_realtime(drive: Drive) -> None:
    module = importlib.import_module("dashscope.multimodal.tingwu.tingwu_realtime")
    cls, callback = module.TingWuRealtime, module.TingWuRealtimeCallback()
    session = cls("tingwu", callback, app_id="app-1", **drive.naming(cls))
    session.start()
    session.send_audio_data(bytes(320))
    session.stop()
    session.cleanup()


_RL = "dashscope.finetune.agentic_rl:AgenticRL"
_FUNCTION = "dashscope.finetune.reinforcement:AgenticRLFunctionComponent"
_PROCESSOR = b"class Processor:\n    pass\n"


@contextmanager
def _rl_key() -> Iterator[None]:
    """AgenticRL wants its key in the environment, or puts it there."""
    before = os.environ.get("DASHSCOPE_API_KEY")
    os.environ["DASHSCOPE_API_KEY"] = API_KEY
    try:
        yield
    finally:
        del os.environ["DASHSCOPE_API_KEY"]
        if before is not None:
            os.environ["DASHSCOPE_API_KEY"] = before


def _rl_tuning(drive: Drive) -> Any:
    """A tuning whose function is still to be packed and registered, and its data uploaded."""
    rl = importlib.import_module("dashscope.finetune.reinforcement")
    folder = Path(drive.write("requirements.txt", b"requests\n")).parent / "function"
    folder.mkdir(exist_ok=True)
    for name, content in (("processor.py", _PROCESSOR), ("requirements.txt", b"requests\n")):
        (folder / name).write_bytes(content)
    code = rl.FunctionComponentModel(zipdir=str(folder), classpath="processor.py:Processor")
    tuning = _find(_RL)(api_key=API_KEY)
    tuning.tuning.functions = [rl.RolloutFunctionComponent(fcmodel=code)]
    tuning.tuning.datasets = [rl.TrainingDataset(file_name=drive.file)]
    return tuning


def _rl_run(drive: Drive) -> None:
    """Registers the function, uploads the data, submits the job."""
    with _rl_key():
        tuning = _rl_tuning(drive)
        datasets = tuning.tuning.datasets
        # Its **kwargs go to the request that submits the job.
        named = drive.naming(_find(_RL).call)
        drive.run(tuning.run(model="qwen-plus", training_datasets=datasets, **named))


def _rl_functions(drive: Drive) -> None:
    """Registers the function and loads it at once, with a call to its own endpoint."""
    with _rl_key():
        tuning = _rl_tuning(drive)
        drive.run(tuning.register_functions(lazy_load=False))
        component = tuning.tuning.functions[0]
        drive.run(component.load(warmup=True))


def _rl_test(drive: Drive) -> None:
    """Asks where the function runs, calls it there and reads its logs."""
    cls = _find(_RL)
    function = importlib.import_module("dashscope.finetune.reinforcement").FunctionType.REWARD
    more = {"pull_logs": True} if _has(f"{_RL}.test_functions(pull_logs)") else {}
    with _rl_key():
        drive.run(cls.test_functions("rw-ins-1", function, {}, api_key=API_KEY, **more))


# The table

_TEXT = [{"role": "user", "content": "hi"}]
_TEXT_PARTS = [{"role": "user", "content": [{"text": "hi"}]}]
_IMAGE_URL = "https://example.com/small.png"
_IMAGE = [{"role": "user", "content": [{"image": _IMAGE_URL}, {"text": "hi"}]}]
_LOCAL_IMAGE = [{"role": "user", "content": [{"image": _FILE}, {"text": "hi"}]}]
_LOCAL_ITEM = [{"image": _FILE, "factor": 1}]

_ENCRYPTION = ("dashscope.api_entities.encryption:Encryption",)
_UPLOADS = ("dashscope.utils.oss_utils:OssUtils",)

_GENERATION = "dashscope.aigc.generation:Generation"
_AIO_GENERATION = "dashscope.aigc.generation:AioGeneration"
_COMPLETIONS = "dashscope.aigc.chat_completion:Completions"
_CONVERSATION = "dashscope.aigc.conversation:Conversation"
_APPLICATION = "dashscope.app.application:Application"
_MULTIMODAL = "dashscope.aigc.multimodal_conversation:MultiModalConversation"
_AIO_MULTIMODAL = "dashscope.aigc.multimodal_conversation:AioMultiModalConversation"
_EMBEDDING = "dashscope.embeddings.multimodal_embedding:MultiModalEmbedding"
_AIO_EMBEDDING = "dashscope.embeddings.multimodal_embedding:AioMultiModalEmbedding"
_IMAGES = "dashscope.aigc.image_synthesis:ImageSynthesis"
_AIO_IMAGES = "dashscope.aigc.image_synthesis:AioImageSynthesis"
_IMAGE_GENERATION = "dashscope.aigc.image_generation:ImageGeneration"
_AIO_IMAGE_GENERATION = "dashscope.aigc.image_generation:AioImageGeneration"
_VIDEO = "dashscope.aigc.video_synthesis:VideoSynthesis"
_AIO_VIDEO = "dashscope.aigc.video_synthesis:AioVideoSynthesis"
_TRANSCRIPTION = "dashscope.audio.asr.transcription:Transcription"
_QWEN_TRANSCRIPTION = "dashscope.audio.qwen_asr.qwen_transcription:QwenTranscription"
_RECOGNITION = "dashscope.audio.asr.recognition"
_TRANSLATION = "dashscope.audio.asr.translation_recognizer"
_HTTP_TTS = "dashscope.audio.http_tts.http_speech_synthesizer:HttpSpeechSynthesizer"
_QWEN_TTS = "dashscope.audio.qwen_tts.speech_synthesizer:SpeechSynthesizer"
_ASSISTANTS = "dashscope.assistants.assistants:Assistants"
_RUNS = "dashscope.threads.runs.runs:Runs"

_OF_THREAD = {"thread_id": "thread-1"}
_OF_RUN = {"thread_id": "thread-1", "run_id": "run-1"}
_OUTPUTS = [{"tool_call_id": "call-1", "output": "hi"}]
_VOCABULARY = [{"text": "hi", "weight": 4}]

# Old names of the same service, each with the methods and arguments of its time.
_FILE_CALLS = (
    _call("upload", _FILE, purpose="inference"),
    _call("list"),
    _call("get", "file-1"),
    _call("delete", "file-1"),
)
_MODEL_CALLS = (_call("list"), _call("get", "qwen-turbo"))
_FINE_TUNE_CALLS = (
    _call("call", "qwen-turbo", ["file-1"]),
    _call("cancel", "job-1"),
    _call("list"),
    _call("get", "job-1"),
    _call("delete", "job-1"),
    _call("stream_events", "job-1"),
    _call("logs", "job-1"),
    _call("wait", "job-1"),
)
_DEPLOYMENT_CALLS = (
    _call("list"),
    _call("call", "qwen-turbo", 1),
    _call("get", "deployment-1"),
    _call("delete", "deployment-1"),
    _call("update", "deployment-1", "v2"),
    _call("scale", "deployment-1", 2),
)

_TABLE: dict[str, tuple[_Row, ...]] = {
    "text": (
        _on(_GENERATION, _call("call", "qwen-turbo", "hi")),
        _on(_GENERATION, _call("call", "qwen-turbo", "hi", stream=True), label="stream"),
        _on(
            _GENERATION,
            _call("call", "qwen-turbo", "hi", api_protocol="websocket"),
            label="websocket",
        ),
        _on(
            _GENERATION,
            _call("call", "qwen-turbo", "hi", api_protocol="websocket", stream=True),
            label="websocket stream",
        ),
        _on(
            _GENERATION,
            _call("call", "qwen-turbo", "hi", enable_encryption=True),
            label="encrypted",
            needs=_ENCRYPTION,
        ),
        _on(_AIO_GENERATION, _call("call", "qwen-turbo", "hi")),
        _on(_AIO_GENERATION, _call("call", "qwen-turbo", "hi", stream=True), label="stream"),
        _on(
            _AIO_GENERATION,
            _call("call", "qwen-turbo", "hi", api_protocol="websocket"),
            label="websocket",
        ),
        _on(
            _AIO_GENERATION,
            _call("call", "qwen-turbo", "hi", enable_encryption=True),
            label="encrypted",
            needs=_ENCRYPTION,
        ),
        _on(_COMPLETIONS, _call("create", model="qwen-plus", messages=_TEXT)),
        _on(
            _COMPLETIONS,
            _call("create", model="qwen-plus", messages=_TEXT, stream=True),
            label="stream",
        ),
        _on(
            "dashscope.aigc.chat_completion:AioGeneration",
            _call("call", "qwen-plus", "hi"),
            label="of chat_completion",
        ),
        _on(_CONVERSATION, _call("call", "qwen-turbo", "hi"), new={}),
        _on(
            _CONVERSATION,
            _call("call", "qwen-turbo", "hi", auto_history=True, stream=True),
            label="stream",
            new={},
        ),
        _on(
            "dashscope.aigc.code_generation:CodeGeneration",
            _call("call", "tongyi-lingma-v1", scene="custom", message=_TEXT),
        ),
        _on(
            "dashscope.nlp.understanding:Understanding",
            _call("call", "opennlu-v1", sentence="hi", labels="greeting"),
        ),
        _on("dashscope.tokenizers:Tokenization", _call("call", "qwen-turbo", messages=_TEXT)),
        _on(_APPLICATION, _call("call", "app-1", "hi")),
        _on(_APPLICATION, _call("call", "app-1", "hi", stream=True), label="stream"),
        _on("dashscope.rerank.text_rerank:TextReRank", _call("call", "gte-rerank", "hi", ["hi"])),
        _on(
            "dashscope.rerank.text_rerank:AioTextReRank", _call("call", "gte-rerank", "hi", ["hi"])
        ),
    ),
    "embeddings": (
        _on(
            "dashscope.embeddings.text_embedding:TextEmbedding",
            _call("call", "text-embedding-v1", ["hi"]),
        ),
        _on(
            "dashscope.embeddings.batch_text_embedding:BatchTextEmbedding",
            _call("call", "text-embedding-async-v1", url="https://example.com/text.txt"),
        ),
        _tasks(
            "dashscope.embeddings.batch_text_embedding:BatchTextEmbedding",
            model="text-embedding-async-v1",
            url="https://example.com/text.txt",
        ),
        _on(_EMBEDDING, _call("call", "multimodal-embedding-v1", [{"text": "hi", "factor": 1}])),
        _on(
            _EMBEDDING,
            _call("call", "multimodal-embedding-v1", _LOCAL_ITEM),
            label="local file",
            needs=_UPLOADS,
        ),
        _on(
            _AIO_EMBEDDING,
            _call("call", "multimodal-embedding-v1", [{"text": "hi", "factor": 1}]),
        ),
        _on(
            _AIO_EMBEDDING,
            _call("call", "multimodal-embedding-v1", _LOCAL_ITEM),
            label="local file",
        ),
    ),
    "vision": (
        _on(_MULTIMODAL, _call("call", "qwen-vl-plus", _IMAGE)),
        _on(_MULTIMODAL, _call("call", "qwen-vl-plus", _IMAGE, stream=True), label="stream"),
        _on(
            _MULTIMODAL,
            _call("call", "qwen-vl-plus", _LOCAL_IMAGE),
            label="local file",
            needs=_UPLOADS,
        ),
        _on(_AIO_MULTIMODAL, _call("call", "qwen-vl-plus", _IMAGE)),
        _on(_AIO_MULTIMODAL, _call("call", "qwen-vl-plus", _IMAGE, stream=True), label="stream"),
        _on(
            _AIO_MULTIMODAL, _call("call", "qwen-vl-plus", _LOCAL_IMAGE), label="local file"
        ),
        _on(_IMAGES, _call("call", "wanx-v1", "hi")),
        _on(_IMAGES, _call("sync_call", "wanx-v1", "hi")),
        _on(
            _IMAGES,
            _call("call", "wanx-v1", "hi", ref_img=_FILE),
            label="local file",
            needs=(f"{_IMAGES}.call(ref_img)",),
        ),
        _tasks(_IMAGES, model="wanx-v1", prompt="hi"),
        _on(_AIO_IMAGES, _call("call", "wanx-v1", "hi")),
        _on(_AIO_IMAGES, _call("sync_call", "wanx-v1", "hi")),
        _on(_AIO_IMAGES, _call("call", "wanx-v1", "hi", ref_img=_FILE), label="local file"),
        _tasks(_AIO_IMAGES, model="wanx-v1", prompt="hi"),
        _on(_IMAGE_GENERATION, _call("call", "wan2.6-t2i", messages=_TEXT_PARTS)),
        _on(
            _IMAGE_GENERATION,
            _call("call", "wan2.6-image", messages=_TEXT_PARTS, stream=True),
            label="stream",
        ),
        _on(
            _IMAGE_GENERATION,
            _call("call", "wan2.6-image", messages=_LOCAL_IMAGE),
            label="local file",
        ),
        _tasks(_IMAGE_GENERATION, model="wan2.6-t2i", messages=_TEXT_PARTS),
        _on(_AIO_IMAGE_GENERATION, _call("call", "wan2.6-t2i", messages=_TEXT_PARTS)),
        _on(
            _AIO_IMAGE_GENERATION,
            _call("call", "wan2.6-image", messages=_TEXT_PARTS, stream=True),
            label="stream",
        ),
        _on(
            _AIO_IMAGE_GENERATION,
            _call("call", "wan2.6-image", messages=_LOCAL_IMAGE),
            label="local file",
        ),
        _tasks(_AIO_IMAGE_GENERATION, model="wan2.6-t2i", messages=_TEXT_PARTS),
        _on(_VIDEO, _call("call", "wanx2.1-t2v-turbo", "hi")),
        _on(_VIDEO, _call("call", "wanx2.1-i2v-turbo", "hi", img_url=_FILE), label="local file"),
        _tasks(_VIDEO, model="wanx2.1-t2v-turbo", prompt="hi"),
        _on(_AIO_VIDEO, _call("call", "wanx2.1-t2v-turbo", "hi")),
        _on(
            _AIO_VIDEO, _call("call", "wanx2.1-i2v-turbo", "hi", img_url=_FILE), label="local file"
        ),
        _tasks(_AIO_VIDEO, model="wanx2.1-t2v-turbo", prompt="hi"),
    ),
    "audio": (
        _on(_TRANSCRIPTION, _call("call", "paraformer-v1", ["https://example.com/small.wav"])),
        _tasks(
            _TRANSCRIPTION, model="paraformer-v1", file_urls=["https://example.com/small.wav"]
        ),
        _on(_QWEN_TRANSCRIPTION, _call("call", "qwen3-asr", "https://example.com/small.wav")),
        _tasks(
            _QWEN_TRANSCRIPTION, model="qwen3-asr", file_url="https://example.com/small.wav"
        ),
        _on(
            f"{_RECOGNITION}:Recognition",
            _call("call", _AUDIO),
            new={"model": "paraformer-v1", "callback": None, "format": "wav", "sample_rate": 16000},
        ),
        _recognition(_RECOGNITION, "Recognition", "RecognitionCallback"),
        _on(
            f"{_TRANSLATION}:TranslationRecognizerRealtime",
            _call("call", _AUDIO),
            new={"model": "gummy-v1", "callback": None, "format": "wav", "sample_rate": 16000},
        ),
        _recognition(
            _TRANSLATION, "TranslationRecognizerRealtime", "TranslationRecognizerCallback"
        ),
        _recognition(_TRANSLATION, "TranslationRecognizerChat", "TranslationRecognizerCallback"),
        _on(
            "dashscope.audio.asr.vocabulary:VocabularyService",
            _call("create_vocabulary", "paraformer-v2", "prefix", _VOCABULARY),
            _call("list_vocabularies"),
            _call("query_vocabulary", "vocabulary-1"),
            _call("update_vocabulary", "vocabulary-1", _VOCABULARY),
            _call("delete_vocabulary", "vocabulary-1"),
            new={},
        ),
        _on(
            "dashscope.audio.asr.asr_phrase_manager:AsrPhraseManager",
            _call("create_phrases", "paraformer-v1", {"hi": 90}),
            _call("update_phrases", "paraformer-v1", "phrase-1", {"hi": 90}),
            _call("query_phrases", "phrase-1"),
            _call("list_phrases"),
            _call("delete_phrases", "phrase-1"),
        ),
        _on(
            "dashscope.audio.tts.speech_synthesizer:SpeechSynthesizer",
            _call("call", "sambert-zhichu-v1", "hi"),
            label="of tts",
        ),
        _Row(
            "SpeechSynthesizer.call of tts_v2",
            (f"{_TTS_V2}:SpeechSynthesizer.call",),
            _synthesis_call,
        ),
        _Row(
            "SpeechSynthesizer.streaming_call of tts_v2",
            (f"{_TTS_V2}:SpeechSynthesizer.streaming_call",),
            _synthesis_streaming,
        ),
        _Row(
            "SpeechSynthesizerObjectPool",
            (f"{_TTS_V2}:SpeechSynthesizerObjectPool",),
            _object_pool,
        ),
        _on(
            "dashscope.audio.tts_v2.enrollment:VoiceEnrollmentService",
            _call("create_voice", "cosyvoice-v1", "prefix", "https://example.com/small.wav"),
            _call("list_voices"),
            _call("query_voice", "voice-1"),
            _call("update_voice", "voice-1", "https://example.com/small.wav"),
            _call("delete_voice", "voice-1"),
            new={},
        ),
        _on(_HTTP_TTS, _call("call", "cosyvoice-v3-flash", "hi", "longxiaochun")),
        _on(
            _HTTP_TTS,
            _call("call", "cosyvoice-v3-flash", "hi", "longxiaochun", stream=True),
            label="stream",
        ),
        _on(_QWEN_TTS, _call("call", "qwen-tts", "hi", voice="Cherry"), label="of qwen_tts"),
        _on(
            _QWEN_TTS,
            _call("call", "qwen-tts", "hi", voice="Cherry", stream=True),
            label="of qwen_tts stream",
        ),
        _Row(
            "QwenTtsRealtime",
            ("dashscope.audio.qwen_tts_realtime.qwen_tts_realtime:QwenTtsRealtime",),
            _tts_realtime,
        ),
        _Row(
            "OmniRealtimeConversation",
            ("dashscope.audio.qwen_omni.omni_realtime:OmniRealtimeConversation",),
            _omni_realtime,
        ),
    ),
    "dialog": (
        _Row(
            "MultiModalDialog",
            ("dashscope.multimodal.multimodal_dialog:MultiModalDialog",),
            _dialog,
        ),
        _on(
            "dashscope.multimodal.tingwu.tingwu:TingWu",
            _call("call", "tingwu", {"fileUrl": "https://example.com/small.wav"}, base_address=None),
        ),
        _Row(
            "TingWuRealtime",
            ("dashscope.multimodal.tingwu.tingwu_realtime:TingWuRealtime",),
            _tingwu_realtime,
        ),
    ),
    "management": (
        _on("dashscope.files:Files", *_FILE_CALLS),
        _on("dashscope.file:File", *_FILE_CALLS),
        _on("dashscope.models:Models", *_MODEL_CALLS),
        _on("dashscope.model:Model", *_MODEL_CALLS),
        _on("dashscope:FineTunes", *_FINE_TUNE_CALLS),
        _on("dashscope.finetune:FineTune", *_FINE_TUNE_CALLS),
        _on("dashscope:Deployments", *_DEPLOYMENT_CALLS),
        _on("dashscope.deployment:Deployment", *_DEPLOYMENT_CALLS),
        _on(
            _RL,
            _call("list"),
            _call("get", "job-1"),
            _call("logs", "job-1"),
            _call("cancel", "job-1"),
            _call("delete", "job-1"),
        ),
        _Row("AgenticRL.run", (f"{_RL}.run",), _rl_run),
        _Row("AgenticRL.register_functions", (f"{_RL}.register_functions",), _rl_functions),
        _Row("AgenticRL.test_functions", (f"{_RL}.test_functions",), _rl_test),
        _on(
            _RL,
            _call("query_function_instance_logs", "rw-ins-1", api_key=API_KEY),
            _call("query_all_function_instance_logs", "rw-ins-1", api_key=API_KEY),
            _call("delete_function_instance", "rw-ins-1", api_key=API_KEY),
            label="function instances",
        ),
        _on(
            "dashscope.utils.oss_utils:OssUtils",
            _call("get_upload_certificate", "qwen-vl-plus"),
            _call("upload", "qwen-vl-plus", _FILE),
        ),
    ),
    "assistants": (
        _on(
            _ASSISTANTS,
            _call("create", model="qwen-plus"),
            _call("call", model="qwen-plus"),
            _call("list"),
            _call("retrieve", "assistant-1"),
            _call("get", "assistant-1"),
            _call("update", "assistant-1", name="helper"),
            _call("delete", "assistant-1"),
        ),
        _on(
            "dashscope.assistants.files:Files",
            _call("create", "assistant-1", file_id="file-1"),
            _call("call", "assistant-1", file_id="file-1"),
            _call("list", "assistant-1"),
            _call("retrieve", "file-1", assistant_id="assistant-1"),
            _call("get", "file-1", assistant_id="assistant-1"),
            _call("delete", "file-1", assistant_id="assistant-1"),
            label="of assistants",
        ),
        _on(
            "dashscope.threads.threads:Threads",
            _call("create"),
            _call("call"),
            _call("retrieve", "thread-1"),
            _call("get", "thread-1"),
            _call("update", "thread-1", metadata={"key": "value"}),
            _call("delete", "thread-1"),
            _call("create_and_run", assistant_id="assistant-1"),
        ),
        _on(
            "dashscope.threads.messages.messages:Messages",
            _call("create", "thread-1", content="hi"),
            _call("call", "thread-1", content="hi"),
            _call("list", "thread-1"),
            _call("retrieve", "message-1", **_OF_THREAD),
            _call("get", "message-1", **_OF_THREAD),
            _call("update", "message-1", metadata={"key": "value"}, **_OF_THREAD),
        ),
        _on(
            "dashscope.threads.messages.files:Files",
            _call("list", "message-1", **_OF_THREAD),
            _call("retrieve", "file-1", message_id="message-1", **_OF_THREAD),
            _call("get", "file-1", message_id="message-1", **_OF_THREAD),
            label="of messages",
        ),
        _on(
            _RUNS,
            _call("create", "thread-1", assistant_id="assistant-1"),
            _call("call", "thread-1", assistant_id="assistant-1"),
            _call("create_thread_and_run", assistant_id="assistant-1"),
            _call("list", "thread-1"),
            _call("retrieve", "run-1", **_OF_THREAD),
            _call("get", "run-1", **_OF_THREAD),
            _call("wait", "run-1", **_OF_THREAD),
            _call("submit_tool_outputs", "run-1", tool_outputs=_OUTPUTS, **_OF_THREAD),
            _call("update", "run-1", metadata={"key": "value"}, **_OF_THREAD),
            _call("cancel", "run-1", **_OF_THREAD),
        ),
        _on(
            _RUNS,
            _call("create", "thread-1", assistant_id="assistant-1", stream=True),
            _call("create_thread_and_run", assistant_id="assistant-1", stream=True),
            _call("submit_tool_outputs", "run-1", tool_outputs=_OUTPUTS, stream=True, **_OF_THREAD),
            label="stream",
            needs=(f"{_RUNS}.create(stream)",),
        ),
        _on(
            "dashscope.threads.runs.steps:Steps",
            _call("list", "run-1", **_OF_THREAD),
            _call("retrieve", "step-1", **_OF_RUN),
            _call("get", "step-1", **_OF_RUN),
        ),
    ),
}  # fmt: skip
