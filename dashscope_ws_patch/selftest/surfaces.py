"""Every 1.x surface of the SDK, as a table: one row drives the real SDK against the loopback.

``surfaces()`` picks the rows that the installed SDK has, by asking it for the names that a row
needs. A row makes all requests of its surface, even where the SDK cannot parse an answer.
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
import logging
import os
import sys
import tempfile
import threading
import time
import wave
from collections.abc import AsyncIterator, Awaitable, Coroutine, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, NamedTuple
from urllib.parse import urlsplit

from .._activation import numbers, sdk_release

if TYPE_CHECKING:
    from .loopback import Loopback

API_KEY = "sk-loopback"
_HOST = "dashscope.aliyuncs.com"
_PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108000000003a7e9b550000000a4944415478da6360"
    "000000020001e527defc0000000049454e44ae426082"
)


class Drive:
    """What a surface is driven with.

    ``named``: the explicit naming, ``{}`` or ``{"workspace": "ws_x"}``, which a surface passes on
    to each SDK method or constructor that accepts it. ``plain``: the loopback speaks plain HTTP.
    """

    def __init__(
        self, loopback: Loopback, named: dict[str, str] | None = None, plain: bool = True
    ) -> None:
        self.loopback = loopback
        self.named = dict(named or {})
        self.plain = plain
        self._files = tempfile.TemporaryDirectory(prefix="dashscope-ws-patch-")

    def naming(self, accepts: Callable[..., object]) -> dict[str, str]:
        """The explicit naming under the name that ``accepts`` has for it; ``{}`` if it has none.

        A method that hands its ``**kwargs`` on to the method it overrides accepts what that does.
        """
        workspace = self.named.get("workspace")
        if workspace is None:
            return {}
        # inspect would ask for __new__, which the object pool has, with *args and **kwargs.
        if inspect.isclass(accepts):
            accepts = accepts.__init__
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

    def until(self, condition: Callable[[], object], seconds: float = 60) -> None:
        """Wait for what another thread brings about; TimeoutError after ``seconds``."""
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                raise TimeoutError(f"waited {seconds} s in vain")
            time.sleep(0.005)

    @property
    def folder(self) -> str:
        """A directory for this drive's files, removed with it."""
        return self._files.name

    def write(self, name: str, content: bytes) -> str:
        """The path of a new file of this drive."""
        path = Path(self.folder, name)
        path.write_bytes(content)
        return str(path)

    @cached_property
    def file(self) -> str:
        """The path of a small PNG."""
        return self.write("small.png", _PNG)

    @property
    def file_url(self) -> str:
        """The file:// URL of the PNG, as releases before 1.20 want it in place of a path."""
        return f"file://{self.file}"

    @cached_property
    def audio(self) -> str:
        """The path of a small WAV."""
        path = self.write("small.wav", b"")
        with wave.open(path, "wb") as sound:
            sound.setparams((1, 2, 16000, 0, "NONE", ""))
            sound.writeframes(bytes(3200))
        return path

    @property
    def realtime_url(self) -> str | None:
        """The ``url=`` for classes with a hard-coded wss:// default; None if that will do."""
        return self.loopback.address(_HOST, "/api-ws/v1/realtime", True) if self.plain else None


@dataclass(frozen=True)
class Surface:
    """A way of the SDK to send requests.

    ``needs``: what the SDK must have, as "package.module:Class.attribute", or with an argument
    that it must accept as "package.module:Class.method(argument)". Public names only: a release
    that renames its insides has the surface all the same.
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
        if all(map(has, row.needs))
    ]


def prepare(drive: Drive) -> ExitStack:
    """Give the SDK an API key and, where ``drive`` is plain, lead its base URLs to the loopback.

    Host names and paths stay as they are, so ``redirect`` must be active. Quiets the SDK's log.
    Closing what it returns, or leaving it as a context, puts the base URLs back.
    """
    undo = ExitStack()
    import dashscope

    surfaces()  # Imports the agentic RL modules, which copy their addresses from each other.
    dashscope.api_key = API_KEY
    for logger in ("dashscope", "dashscope.finetune.reinforcement"):
        logging.getLogger(logger).setLevel(logging.CRITICAL)
    if has("dashscope.aigc.chat_completion:Completions"):
        # Until 1.24 the module that reads this name does not define it.
        compatible = f"https://{_HOST}/compatible-mode/v1"
        vars(dashscope).setdefault("base_compatible_api_url", compatible)
    if not drive.plain:
        return undo
    from .loopback import set_variable

    # Nobody is to be trusted, and each client of httpx would read the certificates of all the
    # world, which takes longer than what it is made for.
    for name, value in {"SSL_CERT_FILE": None, "SSL_CERT_DIR": os.path.dirname(__file__)}.items():
        undo.callback(set_variable, name, os.environ.get(name))
        set_variable(name, value)
    for name, module in list(sys.modules.items()):
        if name == "dashscope" or name.startswith("dashscope.finetune."):
            for key, value in list(vars(module).items()):
                if isinstance(value, str) and value.startswith(("http", "ws")):
                    setattr(module, key, _led(drive, value))
                    undo.callback(setattr, module, key, value)
    return undo


def _led(drive: Drive, url: str) -> str:
    parts = urlsplit(url)
    host = parts.netloc.partition(":")[0]
    if "dashscope" not in host and ".maas." not in host:
        return url
    return drive.loopback.address(host, parts.path, parts.scheme in ("ws", "wss"))


def has(need: str) -> bool:
    """Whether the SDK has ``module:Class.method``, or ``module:Class.method(argument)``.

    What only insides would tell is a matter of the release: ``>=1.23.7``.
    """
    if need.startswith(">="):
        return numbers(sdk_release()) >= numbers(need[2:])
    path, _, argument = need.rstrip(")").partition("(")
    try:
        found = find(path)
    except (ImportError, AttributeError):
        return False
    return not argument or argument in inspect.signature(found).parameters


def find(path: str) -> Any:
    """What is at ``module:Class.method``; ImportError or AttributeError where nothing is."""
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
_FILE, _FILE_URL, _AUDIO = map(attrgetter, ("file", "file_url", "audio"))


def _call(method: str, *args: Any, **kwargs: Any) -> _Call:
    return _Call(method, args, kwargs)


def _each(methods: str, *args: Any, **kwargs: Any) -> tuple[_Call, ...]:
    """The same call on each of several methods."""
    return tuple(_call(method, *args, **kwargs) for method in methods.split())


def _on(
    target: str,
    *calls: _Call,
    label: str = "",
    needs: tuple[str, ...] = (),
    new: dict[str, Any] | None = None,
) -> _Row:
    """Calls on a class of dashscope ("module:Class"), or with ``new`` on an instance made with it.

    The release must have the first method; it may lack the others.
    """
    path = f"dashscope.{target}"

    def drive_(drive: Drive) -> object:
        owner, of_object = find(path), {}
        if new is not None:
            of_object = drive.naming(owner)
            owner = owner(**_fresh(new, drive), **of_object)
        result, failures = None, []
        for call in calls:
            method = getattr(owner, call.method, None)
            if method is None:
                continue
            args, kwargs = _fresh(call.args, drive), _fresh(call.kwargs, drive)
            kwargs.update({} if of_object else drive.naming(method))
            # One answer that the SDK cannot parse must not keep back the requests after it.
            try:
                result = _result(drive, method(*args, **kwargs))
            except Exception as failure:
                failures.append(failure)
        if failures:
            raise failures[0]
        return result

    cls = path.rpartition(":")[2]
    name = " ".join(filter(None, (f"{cls}.{calls[0].method}" if len(calls) == 1 else cls, label)))
    return _Row(name, (f"{path}.{calls[0].method}", *needs), drive_)


#: The forms in which many calls come, with the arguments that ask for them.
_FORMS: dict[str, dict[str, Any]] = {
    "": {},
    "stream": {"stream": True},
    "websocket": {"api_protocol": "websocket"},
    "websocket stream": {"api_protocol": "websocket", "stream": True},
    "encrypted": {"enable_encryption": True},
}


def _forms(target: str, call: _Call, *forms: str, label: str = "", **more: Any) -> Iterator[_Row]:
    """One row for ``call`` as it is, and one for each of ``forms``."""
    for form in ("", *forms):
        needs = (">=1.23.7",) if form == "encrypted" else ()
        formed = call._replace(kwargs={**call.kwargs, **_FORMS[form]})
        yield _on(target, formed, label=f"{label} {form}".strip(), needs=needs, **more)


def _tasks(target: str, **submission: Any) -> _Row:
    """The life of an asynchronous task."""
    submit, known = _call("async_call", **submission), _each("fetch wait cancel", "task-1")
    return _on(target, submit, *known, _call("list"), label="tasks")


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


def _surface(path: str, label: str = "") -> Callable[[Callable[[Drive, Any], object]], _Row]:
    """Make a row of a function that drives the class of ``path``, which it is given."""
    module, _, name = path.partition(":")

    def row(function: Callable[[Drive, Any], object]) -> _Row:
        def drive_(drive: Drive) -> object:
            return function(drive, find(f"{module}:{name.partition('.')[0]}"))

        return _Row(f"{name} {label}".strip(), (path,), drive_)

    return row


def _beside(cls: Any, name: str) -> Any:
    """What the module of ``cls`` calls ``name``."""
    return getattr(sys.modules[cls.__module__], name)


def _recognition(path: str, callback: str) -> _Row:
    """Recognition from a thread that ``start`` creates; ``stop`` ends it and its timers."""

    @_surface(f"{path}.start")
    def row(drive: Drive, cls: Any) -> None:
        listener = _beside(cls, callback)()
        session = cls("paraformer-v1", listener, "wav", 16000, **drive.naming(cls))
        session.start()
        session.send_audio_frame(Path(drive.audio).read_bytes())
        session.stop()

    return row


_TTS_V2 = "dashscope.audio.tts_v2.speech_synthesizer"


@_surface(f"{_TTS_V2}:SpeechSynthesizer.call", "of tts_v2")
def _synthesis_call(drive: Drive, cls: Any) -> None:
    cls("cosyvoice-v1", "longxiaochun", **drive.naming(cls)).call("hi")


@_surface(f"{_TTS_V2}:SpeechSynthesizer.streaming_call", "of tts_v2")
def _synthesis_streaming(drive: Drive, cls: Any) -> None:
    callback = _beside(cls, "ResultCallback")()
    synthesizer = cls("cosyvoice-v1", "longxiaochun", callback=callback, **drive.naming(cls))
    synthesizer.streaming_call("hi")
    synthesizer.streaming_complete()


def _end(session: Any) -> None:
    """Close the websocket of a session, so that the thread that reads it ends too.

    WebSocketApp.close() takes the service's answer from that thread, which then sleeps on.
    """
    session.ws.sock.send_close()
    session.thread.join(60)


@_surface(f"{_TTS_V2}:SpeechSynthesizerObjectPool")
def _object_pool(drive: Drive, cls: Any) -> None:
    """Connects in its constructor and, once a connection is too old, from its own thread."""
    before = len(drive.loopback.requests)
    pool = cls(max_size=1, **drive.naming(cls))
    try:
        first = pool._pool[0].synthesizer
        pool._pool[0].connect_time = 0
        drive.until(lambda: len(drive.loopback.requests) >= before + 2 and all(pool._avaliable))
        synthesizer = pool.borrow_synthesizer("cosyvoice-v1", "longxiaochun")
        synthesizer.call("hi")
        pool.return_synthesizer(synthesizer)
        _end(first)
        _end(synthesizer)
    finally:
        pool.shutdown()
        del cls._instance  # The singleton would hand this pool, shut down, to whoever asks next.


@_surface("dashscope.audio.qwen_omni.omni_realtime:OmniRealtimeConversation")
def _omni_realtime(drive: Drive, cls: Any) -> None:
    callback = _beside(cls, "OmniRealtimeCallback")()
    session = cls("qwen-omni", callback, url=drive.realtime_url, **drive.naming(cls))
    session.connect()
    session.update_session([_beside(cls, "MultiModality").TEXT], voice="Cherry")
    session.append_audio("AAAA")
    session.commit()
    _end(session)


@_surface("dashscope.audio.qwen_tts_realtime.qwen_tts_realtime:QwenTtsRealtime")
def _tts_realtime(drive: Drive, cls: Any) -> None:
    callback = _beside(cls, "QwenTtsRealtimeCallback")()
    session = cls("qwen-tts", callback=callback, url=drive.realtime_url, **drive.naming(cls))
    session.connect()
    session.update_session(voice="Cherry")
    session.append_text("hi")
    session.finish()
    _end(session)


def dialog_parameters() -> Any:
    """What a dialog asks of its caller before it starts."""
    kinds = importlib.import_module("dashscope.multimodal.multimodal_request_params")
    upstream = kinds.Upstream()
    upstream.pass_through_params = None  # 1.23 reads it without defining it.
    return kinds.RequestParameters(
        upstream=upstream,
        downstream=kinds.Downstream(),
        client_info=kinds.ClientInfo(user_id="user", device=kinds.Device(uuid="device")),
    )


@_surface("dashscope.multimodal.multimodal_dialog:MultiModalDialog")
def _dialog(drive: Drive, cls: Any) -> None:
    callback, closed = _beside(cls, "MultiModalCallback")(), threading.Event()
    callback.on_close = lambda code, reason: closed.set()
    session = cls(
        app_id="app-1",
        request_params=dialog_parameters(),
        multimodal_callback=callback,
        **{"workspace_id": None, **drive.naming(cls)},  # 1.23.5 demands it
    )
    session.start("")
    session.start_speech()
    session.send_audio_data(bytes(320))
    session.stop_speech()
    session.request_to_respond("prompt", "hi")
    session.stop()
    closed.wait(60)
    session.cleanup()


@_surface("dashscope.multimodal.tingwu.tingwu_realtime:TingWuRealtime")
def _tingwu_realtime(drive: Drive, cls: Any) -> None:
    callback, closed = _beside(cls, "TingWuRealtimeCallback")(), threading.Event()
    callback.on_close = lambda code, reason: closed.set()
    session = cls("tingwu", callback, app_id="app-1", **drive.naming(cls))
    session.start()
    session.send_audio_data(bytes(320))
    session.stop()
    closed.wait(60)
    session.cleanup()


_RL = "dashscope.finetune.agentic_rl:AgenticRL"


def _apart(row: _Row) -> _Row:
    """``row`` with its own API key in the environment and its own current directory.

    AgenticRL looks for the key nowhere else; until 1.26 it writes start.sh wherever it is.
    """

    def drive_(drive: Drive) -> object:
        key, directory = os.environ.get("DASHSCOPE_API_KEY"), os.getcwd()
        os.environ["DASHSCOPE_API_KEY"] = API_KEY
        os.chdir(drive.folder)
        try:
            return row.drive(drive)
        finally:
            os.chdir(directory)
            del os.environ["DASHSCOPE_API_KEY"]
            if key is not None:
                os.environ["DASHSCOPE_API_KEY"] = key

    return row._replace(drive=drive_)


def _tuning(drive: Drive, cls: Any) -> Any:
    """An AgenticRL with functions, in the current directory, that are still to be registered."""
    rl = importlib.import_module("dashscope.finetune.reinforcement")
    drive.write("requirements.txt", b"requests")
    drive.write("processor.py", b"class Processor: pass")
    tuning = cls()
    tuning.tuning.functions = [
        component(fcmodel=rl.FunctionComponentModel(classpath="processor.Processor"))
        for component in (rl.RolloutFunctionComponent, rl.RewardFunctionComponent)
    ]
    return tuning


@_surface(f"{_RL}.run")
def _rl_run(drive: Drive, cls: Any) -> None:
    """Registers the functions, uploads the data, submits the job."""
    data = [_beside(cls, "TrainingDataset")(file_name=drive.file)]
    # The **kwargs of run go to the request that submits the job.
    named = drive.naming(cls.call)
    drive.run(_tuning(drive, cls).run(training_datasets=data, **named))


@_surface(f"{_RL}.register_functions")
def _rl_functions(drive: Drive, cls: Any) -> None:
    """Registers and loads the functions, one of them again with a call to its own endpoint."""
    tuning = _tuning(drive, cls)
    drive.run(tuning.register_functions(lazy_load=False))
    drive.run(tuning.tuning.functions[0].load(warmup=True))


@_surface(f"{_RL}.test_functions")
def _rl_test(drive: Drive, cls: Any) -> None:
    """Asks where the function runs, calls it there and, from 1.27, reads its logs."""
    more = {"pull_logs": True} if has(f"{_RL}.test_functions(pull_logs)") else {}
    reward = _beside(cls, "FunctionType").REWARD
    drive.run(cls.test_functions("rw-ins-1", reward, {"agent_output": {}}, **more))


# The table

_UPLOADS = ("dashscope.utils.oss_utils:OssUtils",)
_SOUND = {"model": "paraformer-v1", "callback": None, "format": "wav", "sample_rate": 16000}
_WAV, _PNG_URL = "https://example.com/small.wav", "https://example.com/small.png"
_VOCABULARY = [{"text": "hi", "weight": 4}]
_THREAD = {"thread_id": "thread-1"}
_OUTPUTS = {"tool_outputs": [{"tool_call_id": "call-1", "output": "hi"}], **_THREAD}


def _says(*content: Any) -> list[dict[str, Any]]:
    """The messages of a chat: text, or parts with media."""
    return [{"role": "user", "content": content[0] if content == ("hi",) else list(content)}]


# The asynchronous twin of a class comes later and is called alike.


def _embedding(target: str) -> Iterator[_Row]:
    model = "multimodal-embedding-v1"
    yield _on(target, _call("call", model, [{"text": "hi"}]))
    local = _call("call", model, [{"image": _FILE_URL}])
    yield _on(target, local, label="local file", needs=_UPLOADS)


def _conversation(target: str) -> Iterator[_Row]:
    yield from _forms(target, _call("call", "qwen-vl-plus", _says({"image": _PNG_URL})), "stream")
    local = _call("call", "qwen-vl-plus", _says({"image": _FILE_URL}, {"text": "hi"}))
    yield _on(target, local, label="local file", needs=_UPLOADS)


def _images(target: str) -> Iterator[_Row]:
    yield _on(target, _call("call", "wanx-v1", "hi"))
    yield _on(target, _call("sync_call", "wanx-v1", "hi"))
    local = _call("call", "wanx-v1", "hi", ref_img=_FILE_URL)
    yield _on(target, local, label="local file", needs=(f"dashscope.{target}.call(ref_img)",))
    yield _tasks(target, model="wanx-v1", prompt="hi")


def _image_generation(target: str) -> Iterator[_Row]:
    messages = _says({"text": "hi"})
    yield from _forms(target, _call("call", "wan2.6-image", messages=messages), "stream")
    local = _call("call", "wan2.6-image", messages=_says({"image": _FILE_URL}, {"text": "hi"}))
    yield _on(target, local, label="local file")
    yield _tasks(target, model="wan2.6-t2i", messages=messages)


def _video(target: str) -> Iterator[_Row]:
    yield _on(target, _call("call", "wanx2.1-t2v-turbo", "hi"))
    local = _call("call", "wanx2.1-i2v-turbo", "hi", img_url=_FILE_URL)
    yield _on(target, local, label="local file")
    yield _tasks(target, model="wanx2.1-t2v-turbo", prompt="hi")


# A service under its old and new names, each with the methods of its time.

_FILES = (
    _call("upload", _FILE, purpose="inference"),
    _call("list"),
    *_each("get delete", "file-1"),
)
_MODELS = (_call("list"), _call("get", "qwen-turbo"))
_FINE_TUNES = (
    _call("call", "qwen-turbo", ["file-1"]),
    _call("list"),
    *_each("get cancel delete stream_events logs wait", "job-1"),
)
_DEPLOYMENTS = (
    _call("call", "qwen-turbo", 1),
    _call("list"),
    *_each("get delete stream_events", "deployment-1"),
    _call("update", "deployment-1", "v2"),
    _call("scale", "deployment-1", 2),
    _call("put", "deployment-1", {"capacity": 2}),
)

_TABLE: dict[str, tuple[_Row, ...]] = {
    "text": (
        *_forms(
            "aigc.generation:Generation",
            _call("call", "qwen-turbo", "hi"),
            *("stream", "websocket", "websocket stream", "encrypted"),
        ),
        *_forms(
            "aigc.generation:AioGeneration",
            _call("call", "qwen-turbo", "hi"),
            *("stream", "websocket", "encrypted"),
        ),
        *_forms(
            "aigc.chat_completion:Completions",
            _call("create", model="qwen-plus", messages=_says("hi")),
            "stream",
        ),
        _on(
            "aigc.chat_completion:AioGeneration",
            _call("call", "qwen-plus", "hi"),
            label="of chat_completion",
        ),
        *_forms(
            "aigc.conversation:Conversation", _call("call", "qwen-turbo", "hi"), "stream", new={}
        ),
        _on(
            "aigc.code_generation:CodeGeneration",
            _call("call", "tongyi-lingma-v1", scene="custom", message=_says("hi")),
        ),
        _on(
            "nlp.understanding:Understanding",
            _call("call", "opennlu-v1", sentence="hi", labels="greeting"),
        ),
        _on("tokenizers:Tokenization", _call("call", "qwen-turbo", messages=_says("hi"))),
        *_forms("app.application:Application", _call("call", "app-1", "hi"), "stream"),
        _on("rerank.text_rerank:TextReRank", _call("call", "gte-rerank", "hi", ["hi"])),
        _on("rerank.text_rerank:AioTextReRank", _call("call", "gte-rerank", "hi", ["hi"])),
    ),
    "embeddings": (
        _on("embeddings.text_embedding:TextEmbedding", _call("call", "text-embedding-v1", ["hi"])),
        _on(
            "embeddings.batch_text_embedding:BatchTextEmbedding",
            _call("call", "text-embedding-async-v1", url="https://example.com/small.txt"),
        ),
        _tasks(
            "embeddings.batch_text_embedding:BatchTextEmbedding",
            model="text-embedding-async-v1",
            url="https://example.com/small.txt",
        ),
        *_embedding("embeddings.multimodal_embedding:MultiModalEmbedding"),
        *_embedding("embeddings.multimodal_embedding:AioMultiModalEmbedding"),
    ),
    "vision": (
        *_conversation("aigc.multimodal_conversation:MultiModalConversation"),
        *_conversation("aigc.multimodal_conversation:AioMultiModalConversation"),
        *_images("aigc.image_synthesis:ImageSynthesis"),
        *_images("aigc.image_synthesis:AioImageSynthesis"),
        *_image_generation("aigc.image_generation:ImageGeneration"),
        *_image_generation("aigc.image_generation:AioImageGeneration"),
        *_video("aigc.video_synthesis:VideoSynthesis"),
        *_video("aigc.video_synthesis:AioVideoSynthesis"),
    ),
    "audio": (
        _on("audio.asr.transcription:Transcription", _call("call", "paraformer-v1", [_WAV])),
        _tasks("audio.asr.transcription:Transcription", model="paraformer-v1", file_urls=[_WAV]),
        _on("audio.qwen_asr.qwen_transcription:QwenTranscription", _call("call", "asr", _WAV)),
        _tasks("audio.qwen_asr.qwen_transcription:QwenTranscription", model="asr", file_url=_WAV),
        _on("audio.asr.recognition:Recognition", _call("call", _AUDIO), new=_SOUND),
        _recognition("dashscope.audio.asr.recognition:Recognition", "RecognitionCallback"),
        _on(
            "audio.asr.translation_recognizer:TranslationRecognizerRealtime",
            _call("call", _AUDIO),
            new=_SOUND,
        ),
        *(
            _recognition(
                f"dashscope.audio.asr.translation_recognizer:{cls}", "TranslationRecognizerCallback"
            )
            for cls in ("TranslationRecognizerRealtime", "TranslationRecognizerChat")
        ),
        _on(
            "audio.asr.vocabulary:VocabularyService",
            _call("create_vocabulary", "paraformer-v2", "prefix", _VOCABULARY),
            _call("list_vocabularies"),
            _call("query_vocabulary", "vocabulary-1"),
            _call("update_vocabulary", "vocabulary-1", _VOCABULARY),
            _call("delete_vocabulary", "vocabulary-1"),
            new={},
        ),
        _on(
            "audio.asr.asr_phrase_manager:AsrPhraseManager",
            _call("create_phrases", "paraformer-v1", {"hi": 90}),
            _call("update_phrases", "paraformer-v1", "phrase-1", {"hi": 90}),
            _call("query_phrases", "phrase-1"),
            _call("list_phrases"),
            _call("delete_phrases", "phrase-1"),
        ),
        _on(
            "audio.tts.speech_synthesizer:SpeechSynthesizer",
            _call("call", "sambert-zhichu-v1", "hi"),
            label="of tts",
        ),
        _synthesis_call,
        _synthesis_streaming,
        _object_pool,
        _on(
            "audio.tts_v2.enrollment:VoiceEnrollmentService",
            _call("create_voice", "cosyvoice-v1", "prefix", _WAV),
            _call("list_voices"),
            _call("query_voice", "voice-1"),
            _call("update_voice", "voice-1", _WAV),
            _call("delete_voice", "voice-1"),
            new={},
        ),
        *_forms(
            "audio.http_tts.http_speech_synthesizer:HttpSpeechSynthesizer",
            _call("call", "cosyvoice-v3-flash", "hi", "longxiaochun"),
            "stream",
        ),
        *_forms(
            "audio.qwen_tts.speech_synthesizer:SpeechSynthesizer",
            _call("call", "qwen-tts", "hi", voice="Cherry"),
            "stream",
            label="of qwen_tts",
        ),
        _tts_realtime,
        _omni_realtime,
    ),
    "dialog": (
        _dialog,
        _on("multimodal.tingwu.tingwu:TingWu", _call("call", "tingwu", {"fileUrl": _WAV})),
        _tingwu_realtime,
    ),
    "management": (
        _on("files:Files", *_FILES),
        _on("file:File", *_FILES),
        _on("models:Models", *_MODELS),
        _on("model:Model", *_MODELS),
        _on("models:Model", *_MODELS, label="of models"),
        _on("finetune.finetunes:FineTunes", *_FINE_TUNES),
        _on("customize.finetunes:FineTunes", *_FINE_TUNES, label="of customize"),
        _on("finetune:FineTune", *_FINE_TUNES),
        _on("finetune.deployments:Deployments", *_DEPLOYMENTS),
        _on("customize.deployments:Deployments", *_DEPLOYMENTS, label="of customize"),
        _on("deployment:Deployment", *_DEPLOYMENTS),
        _on(
            "finetune.agentic_rl:AgenticRL",
            _call("list"),
            *_each("get logs cancel delete", "job-1"),
        ),
        *map(_apart, (_rl_run, _rl_functions, _rl_test)),
        _apart(
            _on(
                "finetune.agentic_rl:AgenticRL",
                *_each("query_function_instance_logs delete_function_instance", "rw-ins-1"),
                _call("query_all_function_instance_logs", "rw-ins-1"),
                label="function instances",
            )
        ),
        _on("finetune.reinforcement:AgenticRLFunctionComponent", _call("query", "rw-ins-1")),
        _on("finetune.reinforcement:Datasets", _call("upload_datasets", [_FILE], [_FILE])),
        _on(
            "utils.oss_utils:OssUtils",
            _call("get_upload_certificate", "qwen-vl-plus"),
            _call("upload", "qwen-vl-plus", _FILE),
        ),
        _on("utils:oss_utils", _call("upload_file", "qwen-vl-plus", _FILE_URL, API_KEY)),
    ),
    "assistants": (
        _on(
            "assistants.assistants:Assistants",
            *_each("create call", model="qwen-plus"),
            _call("list"),
            _call("update", "assistant-1", name="helper"),
            *_each("retrieve get cancel delete", "assistant-1"),
        ),
        _on(
            "assistants.files:Files",
            *_each("create call", "assistant-1", file_id="file-1"),
            _call("list", "assistant-1"),
            *_each("retrieve get delete", "file-1", assistant_id="assistant-1"),
            label="of assistants",
        ),
        _on(
            "threads.threads:Threads",
            *_each("create call"),
            _call("update", "thread-1", metadata={"key": "value"}),
            *_each("retrieve get delete", "thread-1"),
            _call("create_and_run", assistant_id="assistant-1"),
        ),
        _on(
            "threads.messages.messages:Messages",
            *_each("create call", "thread-1", content="hi"),
            _call("list", "thread-1"),
            _call("update", "message-1", metadata={"key": "value"}, **_THREAD),
            *_each("retrieve get", "message-1", **_THREAD),
        ),
        _on(
            "threads.messages.files:Files",
            _call("list", "message-1", **_THREAD),
            *_each("retrieve get", "file-1", message_id="message-1", **_THREAD),
            label="of messages",
        ),
        _on(
            "threads.runs.runs:Runs",
            *_each("create call", "thread-1", assistant_id="assistant-1"),
            _call("create_thread_and_run", assistant_id="assistant-1"),
            _call("list", "thread-1"),
            _call("submit_tool_outputs", "run-1", **_OUTPUTS),
            _call("update", "run-1", metadata={"key": "value"}, **_THREAD),
            *_each("retrieve get wait cancel", "run-1", **_THREAD),
        ),
        _on(
            "threads.runs.runs:Runs",
            _call("create", "thread-1", assistant_id="assistant-1", stream=True),
            _call("create_thread_and_run", assistant_id="assistant-1", stream=True),
            _call("submit_tool_outputs", "run-1", stream=True, **_OUTPUTS),
            label="stream",
            needs=("dashscope.threads.runs.runs:Runs.create(stream)",),
        ),
        _on(
            "threads.runs.steps:Steps",
            _call("list", "run-1", **_THREAD),
            _call("retrieve", "step-1", run_id="run-1", **_THREAD),
        ),
        # Until 1.25 it raises TypeError before it sends; agentstudio came with 1.26.
        _on(
            "threads.runs.steps:Steps",
            _call("get", "step-1", run_id="run-1", **_THREAD),
            needs=("dashscope.agentstudio:Client",),
        ),
    ),
}
