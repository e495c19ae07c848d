"""The embedded loopback service: answers as DashScope does, records every request raw.

``doctor`` and the tests drive the real SDK against it. ``Loopback`` is the service, ``Request``
what it recorded, ``redirect`` leads this process's host names to it. The answers satisfy the
SDK's parsers and are no more than that: a few shapes that carry the keys of many endpoints.
"""

from __future__ import annotations

import asyncio
import base64
import concurrent.futures
import contextlib
import dataclasses
import functools
import ipaddress
import json
import os
import re
import socket
import ssl
import threading
import time
import uuid
from collections.abc import Iterator
from typing import Any, Callable, Optional
from urllib.parse import urlsplit

from aiohttp import WSMsgType, web

JSON = dict[str, Any]

SERVICE_HOST = re.compile(r"(?:[\w-]+\.)*(?:[\w-]*dashscope[\w-]*|maas)\.aliyun(?:cs|-inc)\.com", re.I)
STORAGE_HOST = "dashscope-instant.oss-cn-beijing.aliyuncs.com"
# getaddrinfo answers an address of its own, so that connect can tell a redirected host name from
# a program's own 127.0.0.1, whatever the port.
REDIRECTED = "127.83.87.80"


@dataclasses.dataclass
class Request:
    """One HTTP request or websocket handshake, as it came over the wire.

    ``path`` is the raw target with its query, ``headers`` the pairs in the order and with the
    capitalisation of the wire, ``messages`` the websocket frames the client sent, filled live.
    """

    scheme: str
    host: str
    sni: Optional[str]
    method: str
    path: str
    headers: list[tuple[str, str]]
    body: bytes = b""
    messages: list[str | bytes] = dataclasses.field(default_factory=list)

    @property
    def workspaces(self) -> list[str]:
        """The values of every X-DashScope-WorkSpace header, however capitalised."""
        return [value for name, value in self.headers if name.lower() == "x-dashscope-workspace"]

    @property
    def foreign(self) -> bool:
        """True if the host is not a DashScope service host (object storage, a user's own)."""
        return not SERVICE_HOST.fullmatch(self.host)

    def header(self, name: str) -> str:
        """The first value of a header, its name compared without case; else an empty string."""
        return next((v for n, v in self.headers if n.lower() == name.lower()), "")

    def json(self) -> JSON:
        """The body as a JSON object; empty where it is none."""
        return _object(self.body)


@dataclasses.dataclass(frozen=True)
class Denial:
    """A refusal: HTTP status, and the service's error code and message."""

    status: int
    code: str
    message: str


Policy = Callable[[Request], Optional[Denial]]


class Loopback:
    """The service on 127.0.0.1 and an ephemeral port, in a thread of its own.

    ``ssl_context``: a server-side context, to speak TLS. ``policy`` sees each request before it
    is answered, and a websocket again at each task it starts (then with ``messages``); a
    ``Denial`` refuses it.
    """

    def __init__(
        self, ssl_context: ssl.SSLContext | None = None, policy: Policy | None = None
    ) -> None:
        self.port = 0
        self.requests: list[Request] = []
        self._ssl = ssl_context
        self._policy = policy
        self._lock = threading.Lock()

    def __enter__(self) -> Loopback:
        started: concurrent.futures.Future[Callable[[], object]] = concurrent.futures.Future()
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._serve(started)), name="dashscope-loopback", daemon=True
        )
        self._thread.start()
        self._stop = started.result()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stop()
        self._thread.join()

    def drain(self) -> list[Request]:
        """Return the requests recorded so far and forget them."""
        with self._lock:
            drained, self.requests[:] = self.requests[:], []
        return drained

    def address(self, host: str, path: str = "", websocket: bool = False) -> str:
        """The URL of ``path`` at this service under the host name ``host``."""
        scheme = ("ws" if websocket else "http") + ("s" if self._ssl else "")
        port = "" if self.port == (443 if self._ssl else 80) else f":{self.port}"
        return f"{scheme}://{host}{port}{path}"

    async def _serve(self, started: concurrent.futures.Future[Callable[[], object]]) -> None:
        loop, stopping = asyncio.get_running_loop(), asyncio.Event()
        server = web.Server(self._handle)
        try:
            with _noting_sni(self._ssl):
                listener = await loop.create_server(server, "127.0.0.1", 0, ssl=self._ssl)
                self.port = listener.sockets[0].getsockname()[1]
                started.set_result(lambda: loop.call_soon_threadsafe(stopping.set))
                await stopping.wait()
                listener.close()
                # Taken before the shutdown forgets them: a TLS close would wait for the peer.
                transports = [c.transport for c in server.connections if c.transport]
                await server.shutdown(0.1)
                for transport in transports:
                    transport.abort()
                await asyncio.sleep(0.01)
        except BaseException as error:
            if started.done():
                raise
            started.set_exception(error)

    async def _handle(self, wire: web.BaseRequest) -> web.StreamResponse:
        tls = wire.transport and wire.transport.get_extra_info("ssl_object")
        headers = [(n.decode("latin-1"), v.decode("latin-1")) for n, v in wire.raw_headers]
        request = Request(
            scheme="https" if self._ssl else "http",
            host=re.sub(r":\d+$", "", wire.headers.get("Host", "")),
            sni=getattr(tls, "sni", None),
            method=wire.method,
            path=wire.raw_path,
            headers=headers,
            body=await wire.content.read(),
        )
        with self._lock:
            self.requests.append(request)
        denial = self._denial(request)
        if denial:
            return web.json_response(_error(denial), status=denial.status)
        if request.header("Upgrade").lower() == "websocket":
            return await self._websocket(wire, request)
        events = _events(request, self)
        if events is None:
            return web.json_response(_answer(request, self), headers={"x-request-id": _id()})
        response = web.StreamResponse(
            headers={"Content-Type": "text/event-stream;charset=UTF-8", "x-request-id": _id()}
        )
        await response.prepare(wire)
        for name, data in events:
            text = data if isinstance(data, str) else json.dumps(data)
            await response.write(f"id:1\nevent:{name}\ndata:{text}\n\n".encode())
        await response.write_eof()
        return response

    def _denial(self, request: Request) -> Denial | None:
        return self._policy(request) if self._policy else None

    async def _websocket(self, wire: web.BaseRequest, request: Request) -> web.StreamResponse:
        ws = web.WebSocketResponse(timeout=0.1, max_msg_size=0)
        await ws.prepare(wire)
        realtime = urlsplit(request.path).path.endswith("/realtime")
        conversation = _Realtime() if realtime else _Tasks()
        replies = conversation.opened()
        while True:
            for reply in replies:
                await (ws.send_bytes(reply) if isinstance(reply, bytes) else ws.send_json(reply))
            frame = await ws.receive()
            if frame.type not in (WSMsgType.TEXT, WSMsgType.BINARY):
                return ws
            request.messages.append(frame.data)
            message = _object(frame.data) if frame.type == WSMsgType.TEXT else None
            denial = self._denial(request) if conversation.starts(message) else None
            replies = conversation.denied(message, denial) if denial else conversation.on(message)


@contextlib.contextmanager
def _noting_sni(context: ssl.SSLContext | None) -> Iterator[None]:
    """Keep the name that each TLS client asks for on its connection's object."""
    if context is None:
        yield
        return
    previous: Any = context.sni_callback

    def note(connection: Any, name: str | None, original: ssl.SSLContext) -> Any:
        connection.sni = name
        return previous(connection, name, original) if previous else None

    context.sni_callback = note
    try:
        yield
    finally:
        context.sni_callback = previous


@contextlib.contextmanager
def redirect(port: int) -> Iterator[None]:
    """Inside, this process reaches every host name that is not local at 127.0.0.1:``port``.

    Whatever port was asked for; proxies of the environment are left aside. Addresses and
    ``localhost`` are reached as ever.
    """
    getaddrinfo = socket.getaddrinfo

    def resolve(
        host: Any, port: Any, family: int = 0, type: int = 0, proto: int = 0, flags: int = 0
    ) -> Any:
        if _is_local(host):
            return getaddrinfo(host, port, family, type, proto, flags)
        if family == socket.AF_INET6:
            raise socket.gaierror(socket.EAI_NONAME, f"{host!r} is redirected to IPv4")
        sockaddr = getaddrinfo(REDIRECTED, port, socket.AF_INET, socket.SOCK_STREAM)[0][4]
        kind = type or socket.SOCK_STREAM
        return [(socket.AF_INET, kind, proto or socket.IPPROTO_TCP, "", sockaddr)]

    def swapping(name: str) -> Callable[[socket.socket, Any], Any]:
        connect = getattr(socket.socket, name)

        @functools.wraps(connect)
        def swapped(self: socket.socket, address: Any) -> Any:
            redirected = isinstance(address, tuple) and address[0] == REDIRECTED
            return connect(self, ("127.0.0.1", port) if redirected else address)

        return swapped

    with contextlib.ExitStack() as undo:
        for owner, name, value in (
            (socket, "getaddrinfo", resolve),
            (socket.socket, "connect", swapping("connect")),
            (socket.socket, "connect_ex", swapping("connect_ex")),
        ):
            undo.callback(_put, owner, name, vars(owner).get(name))
            setattr(owner, name, value)
        for name in ("NO_PROXY", "no_proxy"):
            undo.callback(_put_environ, name, os.environ.get(name))
            os.environ[name] = "*"
        yield


def _put(owner: Any, name: str, value: Any) -> None:
    # connect is inherited from the C class: there is nothing to put back, only ours to take away.
    delattr(owner, name) if value is None else setattr(owner, name, value)


def _put_environ(name: str, value: str | None) -> None:
    os.environ.pop(name, None)
    if value is not None:
        os.environ[name] = value


def _is_local(host: Any) -> bool:
    name = host.decode("ascii") if isinstance(host, (bytes, bytearray)) else host
    if not name or name.lower() == "localhost":
        return True
    try:
        ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        return False
    return True


def _object(text: str | bytes) -> JSON:
    try:
        value = json.loads(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _id() -> str:
    return str(uuid.uuid4())


def _error(denial: Denial) -> JSON:
    """The native shape, and beside it that of the OpenAI and Anthropic compatible modes."""
    error = {"code": denial.code, "type": denial.code, "message": denial.message}
    plain = {"code": denial.code, "message": denial.message, "request_id": _id()}
    return {**plain, "type": "error", "error": error}


# --- answers over HTTP ---------------------------------------------------------------------------

USAGE = {
    "input_tokens": 3, "output_tokens": 2, "total_tokens": 5,
    "prompt_tokens": 3, "completion_tokens": 2,
    "image_count": 1, "duration": 1, "characters": 5,
    "models": [{"model_id": "qwen-plus", "input_tokens": 3, "output_tokens": 2}],
}  # fmt: skip
NOW = "2026-01-01T00:00:00Z"
RESULT_URL = f"https://{STORAGE_HOST}/result.png"
AUDIO = base64.b64encode(bytes(64)).decode()

# The last path segment of a request that lists; anything after it is an id.
COLLECTIONS = set(
    "agents assistants batches credentials deployment_runs deployments environments events files"
    " fine-tunes memories memory_stores memory_versions messages models outputs resources runs"
    " sessions skills steps tasks threads vaults versions webhook_endpoints agent_logs".split()
)


def _message(path: str, text: str = "hello") -> JSON:
    multimodal = "multimodal" in path or "image" in path
    content = [{"text": text, "image": RESULT_URL}] if multimodal else text
    return {"role": "assistant", "content": content}


def _output(path: str) -> JSON:
    """The ``output`` of any service: what generation, embedding, rerank, tasks ... answer."""
    embedding = {"embedding": [0.1, 0.2], "text_index": 0, "index": 0, "type": "text"}
    result = {"index": 0, "relevance_score": 0.9, "document": {"text": "hello"}}
    files = {"url": RESULT_URL, "transcription_url": RESULT_URL, "file_url": RESULT_URL}
    return {
        "text": "hello", "finish_reason": "stop", "session_id": "session-1",
        "choices": [{"index": 0, "finish_reason": "stop", "message": _message(path)}],
        "embeddings": [embedding],
        "results": [{**result, **files, "subtask_status": "SUCCEEDED"}],
        "tokens": ["hel", "lo"], "token_ids": [1, 2],
        "task_id": "task-1", "task_status": "SUCCEEDED", "url": RESULT_URL,
        "video_url": RESULT_URL,
        "audio": {"id": "audio-1", "data": AUDIO, "url": RESULT_URL, "expires_at": 2**31},
        "vocabulary_id": "vocabulary-1", "vocabulary_list": [{"vocabulary_id": "vocabulary-1"}],
        "vocabulary": [{"text": "hello", "weight": 4}],
        "voice": "voice-1", "voice_id": "voice-1", "voice_list": [{"voice_id": "voice-1"}],
        "job_id": "job-1", "finetuned_output": "phrase-1", "status": "SUCCEEDED",
    }  # fmt: skip


def _resource(path: str, resource: str = "") -> JSON:
    """One object of a REST resource, whichever: run, file, agent, session ..."""
    names = [s for s in path.split("/") if s in COLLECTIONS]
    kind = resource or (names[-1] if names else "object")
    singular = re.sub(r"ies$", "y", kind)[: None if kind.endswith("ies") else -1]
    after = path.rpartition(f"/{kind}/")[2].partition("/")[0] if f"/{kind}/" in path else ""
    openai = {"assistants": "assistant", "threads": "thread", "messages": "thread.message",
              "runs": "thread.run", "steps": "thread.run.step"}  # fmt: skip
    status = {"sessions": "idle", "fine-tunes": "SUCCEEDED", "deployments": "RUNNING"}
    identifier = after or f"{singular}-1"
    return {
        "id": identifier, "object": openai.get(kind, singular), "type": singular,
        "status": status.get(kind, "completed"), "created_at": NOW,
        "name": "loopback", "model": "qwen-plus", "version": 1, "deleted": True,
        "thread_id": "thread-1", "run_id": "run-1", "assistant_id": "assistant-1",
        "file_id": identifier, "job_id": identifier, "deployed_model": identifier,
    }  # fmt: skip


def _answer(request: Request, service: Loopback) -> JSON:
    """The JSON answer to any request."""
    path = urlsplit(request.path).path
    native = {"request_id": _id(), "output": _output(path), "usage": USAGE}
    if path.endswith("/public-keys/latest"):
        return {"request_id": _id(), "data": _public_key()}
    if path.endswith("/uploads"):
        return {"request_id": _id(), "data": _upload_policy(service)}
    if path.endswith("/chat/completions"):
        return _completion({"message": _message("")}, "chat.completion")
    if path.endswith("/v1/messages"):
        return {
            "id": "msg-1", "type": "message", "role": "assistant", "model": "qwen-plus",
            "content": [{"type": "text", "text": "hello"}], "stop_reason": "end_turn",
            "usage": USAGE,
        }  # fmt: skip
    if path.endswith("/systemone"):
        answer = {"choice": "a", "noul": 0.9, "score": 1.0, "confidence": 0.9}
        answers = {name: answer for name in request.json().get("questions", {})}
        return {"model": "decision", "answers": answers, "usage": USAGE, "request_id": _id()}
    if request.header("X-DashScope-Async").lower() == "enable":
        return {**native, "output": {"task_id": "task-1", "task_status": "PENDING"}}
    if re.search(r"/(services|apps|tasks|tokenizer)(/|$)", path):
        native["output"] = _encrypted(request, native["output"])
        return {**native, "data": [_output(path)], "total": 1, "page_no": 1, "page_size": 10}
    return _management(request, path)


def _management(request: Request, path: str) -> JSON:
    """Answers about resources: flat objects and lists of them, as each SDK generation reads."""
    item, last = _resource(path), path.rstrip("/").rpartition("/")[2]
    if re.search(r"/(agentstudio|threads|assistants|compatible)", path):
        if request.method == "GET" and last in COLLECTIONS:
            ends = {"first_id": item["id"], "last_id": item["id"]}
            page = {"object": "list", "data": [item], "has_more": False, "next_page": None}
            return {**page, **ends, "request_id": _id()}
        return {**item, "request_id": _id()}
    lists = {kind: [item] for kind in ("files", "models", "deployments", "jobs", "logs")}
    page = {"page_no": 1, "page_size": 10, "total": 1, "uploaded_files": [item], **lists}
    both = {**_output(path), **item, **page}
    return {"request_id": _id(), "output": both, "data": both, "usage": USAGE}


def _completion(choice: JSON, kind: str) -> JSON:
    choices = [{"index": 0, "finish_reason": "stop", **choice}]
    embeddings = [{"object": "embedding", "index": 0, "embedding": [0.1, 0.2]}]
    return {
        "id": "chatcmpl-1", "object": kind, "created": int(time.time()), "model": "qwen-plus",
        "choices": choices, "usage": USAGE, "data": embeddings,
    }  # fmt: skip


def _upload_policy(service: Loopback) -> JSON:
    return {
        "policy": "cG9saWN5", "signature": "c2lnbmF0dXJl", "oss_access_key_id": "loopback",
        "upload_dir": "dashscope-instant/loopback", "upload_host": service.address(STORAGE_HOST),
        "x_oss_object_acl": "private", "x_oss_forbid_overwrite": "true",
        "expire_in_seconds": 300, "max_file_size_mb": 100, "capacity_limit_mb": 100,
    }  # fmt: skip


# --- encryption ----------------------------------------------------------------------------------


@functools.lru_cache(maxsize=None)
def _private_key() -> Any:
    from cryptography.hazmat.primitives.asymmetric import rsa

    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def _public_key() -> JSON:
    from cryptography.hazmat.primitives import serialization as s

    der = _private_key().public_key().public_bytes(
        s.Encoding.DER, s.PublicFormat.SubjectPublicKeyInfo
    )
    return {"public_key_id": "1", "public_key": base64.b64encode(der).decode()}


def _encrypted(request: Request, output: JSON) -> Any:
    """The output, encrypted with the AES key and nonce of the request, if it has one."""
    envelope = _object(request.header("X-DashScope-EncryptionKey"))
    if not envelope:
        return output
    from cryptography.hazmat.primitives.asymmetric import padding
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    wrapped = base64.b64decode(envelope["encrypt_key"])
    key = base64.b64decode(_private_key().decrypt(wrapped, padding.PKCS1v15()))
    sealed = AESGCM(key).encrypt(
        base64.b64decode(envelope["iv"]), json.dumps(output).encode(), b""
    )
    return base64.b64encode(sealed).decode()


# --- server-sent events --------------------------------------------------------------------------


def _events(request: Request, service: Loopback) -> list[tuple[str, JSON | str]] | None:
    """The events of a stream, or None where the request asks for a plain answer."""
    path = urlsplit(request.path).path
    streams = (
        request.header("X-DashScope-SSE").lower() == "enable"
        or "text/event-stream" in request.header("Accept")
        or request.json().get("stream") is True
        or path.endswith("/stream")
    )
    if not streams:
        return None
    if path.endswith("/chat/completions"):
        chunk = _completion({"delta": _message("")}, "chat.completion.chunk")
        return [("message", chunk), ("message", "[DONE]")]
    if path.endswith("/v1/messages"):
        return _anthropic_events()
    if path.endswith("/runs"):
        return _run_events(path)
    if "/agentstudio" in path:
        return _session_events(path)
    answer = _answer(request, service)
    return [("result", answer), ("result", answer)]


def _anthropic_events() -> list[tuple[str, JSON | str]]:
    message = {"id": "msg-1", "type": "message", "role": "assistant", "model": "qwen-plus",
               "content": [], "usage": USAGE}  # fmt: skip
    events: list[JSON] = [
        {"type": "message_start", "message": message},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "hi"}},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": USAGE},
        {"type": "message_stop"},
    ]
    return [(event["type"], event) for event in events]


def _run_events(path: str) -> list[tuple[str, JSON | str]]:
    run, message = _resource(path, "runs"), _resource(path, "messages")
    step, thread = _resource(path, "steps"), _resource(path, "threads")
    text = {"content": [{"type": "text", "text": {"value": "hello", "annotations": []}}]}
    delta = {"id": message["id"], "object": "thread.message.delta", "delta": text}
    return [
        ("thread.created", thread),
        ("thread.run.created", run),
        ("thread.run.in_progress", run),
        ("thread.run.step.created", step),
        ("thread.message.created", message),
        ("thread.message.delta", delta),
        ("thread.message.completed", {**message, **text}),
        ("thread.run.step.completed", step),
        ("thread.run.completed", run),
        ("done", "[DONE]"),
    ]


def _session_events(path: str) -> list[tuple[str, JSON | str]]:
    content = [{"type": "text", "text": "hello"}]
    message = {"id": "event-1", "type": "message", "role": "assistant", "content": content}
    idle = {"session_status": "idle", "stop_reason": {"type": "end_turn"}}
    status = {"id": "event-2", "type": "session_status", "content": [{"type": "data", "data": idle}]}
    return [("message", message), ("message", {**status, **idle})]


# --- websockets ----------------------------------------------------------------------------------

Frames = list[Any]


class _Tasks:
    """The run-task protocol; also the dialog and TingWu directives that ride on it."""

    def __init__(self) -> None:
        self._header: JSON = {}
        self._start: JSON = {}

    def opened(self) -> Frames:
        return []

    def starts(self, message: JSON | None) -> bool:
        return message is not None and message.get("header", {}).get("action") == "run-task"

    def denied(self, message: JSON | None, denial: Denial) -> Frames:
        self._header = (message or {}).get("header", {})
        error = {"error_code": denial.code, "error_message": denial.message}
        return [self._event("task-failed", {}, **error)]

    def on(self, message: JSON | None) -> Frames:
        if message is None:  # a frame of audio
            return [self._result()] if self._header.get("streaming") == "duplex" else []
        self._header = message.get("header", {})
        payload = message.get("payload", {})
        directive = payload.get("input", {}).get("directive", "")
        action = self._header.get("action")
        if action == "run-task":
            self._start = payload
            started = [self._event("task-started", {})]
            if directive == "Start":
                return [*started, self._dialog("Started"), self._dialog("DialogStateChanged")]
            once = self._header.get("streaming") in ("none", "out")
            return [*started, *self._produce(), *self._finish()] if once else started
        if action == "finish-task":
            if directive == "Stop":
                return [self._dialog("Stopped"), *self._finish()]
            if directive == "stop":
                return [self._tingwu("speech-end"), *self._finish()]
            cancelled = directive == "cancel"
            return self._finish() if cancelled else [*self._produce(), *self._finish()]
        if directive == "RequestToRespond":
            names = ("RespondingStarted", "RespondingContent", "RespondingEnded")
            return [*map(self._dialog, names), bytes(64)]
        return [] if directive else self._produce()

    def _spoken(self) -> bool:
        return self._start.get("task") == "tts"

    def _produce(self) -> Frames:
        return [bytes(64), self._result()] if self._spoken() else [self._result()]

    def _result(self) -> JSON:
        start = self._start.get("input", {})
        if start.get("directive") == "Start":
            return self._dialog("SpeechContent")
        if start.get("directive") == "start":
            return self._tingwu("recognize-result")
        words = [{"text": "hello", "begin_time": 0, "end_time": 100, "fixed": True}]
        sentence = {
            "sentence_id": 1, "text": "hello", "begin_time": 0, "end_time": 100, "words": words,
            "current_time": 100, "lang": "en", "sentence_end": True, "vad_pre_end": False,
        }  # fmt: skip
        output = {
            **_output(""), "sentence": sentence, "transcription": sentence,
            "translations": [sentence],
        }  # fmt: skip
        return self._event("result-generated", output)

    def _finish(self) -> Frames:
        # Recognition ends at an empty output, synthesis and dialogs at null; generation up to 1.4
        # reads the last event as a result like the others.
        task, directive = self._start.get("task"), self._start.get("input", {}).get("directive")
        last = None if self._spoken() or directive else {} if task == "asr" else _output("")
        return [self._event("task-finished", last)]

    def _dialog(self, name: str) -> JSON:
        text = {"text": "hello", "spoken": "hello", "finished": True}
        output = {"event": name, "dialog_id": "dialog-1", "state": "Listening", **text}
        return self._event("result-generated", output)

    def _tingwu(self, action: str) -> JSON:
        return self._event("result-generated", {"action": action, "dataId": "data-1"})

    def _event(self, name: str, output: JSON | None, **extra: str) -> JSON:
        header = {"event": name, "task_id": self._header.get("task_id"), "attributes": {}, **extra}
        payload = {} if name == "task-started" else {"output": output, "usage": USAGE}
        return {"header": header, "payload": payload}


class _Realtime:
    """The realtime protocol: typed events, for speech synthesis, recognition and omni models."""

    def opened(self) -> Frames:
        return [self._event("session.created", session={"id": "session-1"})]

    def starts(self, message: JSON | None) -> bool:
        return message is not None and message.get("type") in ("session.update", "response.create")

    def denied(self, message: JSON | None, denial: Denial) -> Frames:
        return [self._event("error", error=_error(denial)["error"])]

    def on(self, message: JSON | None) -> Frames:
        kind = (message or {}).get("type", "")
        if kind == "session.update":
            return [self._event("session.updated", session={"id": "session-1"})]
        if kind == "session.finish":
            return [self._event("session.finished")]
        if kind.endswith(".commit"):
            return [self._event(kind + "ted"), *self._response()]
        return self._response() if kind == "response.create" else []

    def _response(self) -> Frames:
        usage = {"input_tokens": 3, "output_tokens": 2, "total_tokens": 5}
        response = {"id": f"resp-{_id()}", "object": "realtime.response", "status": "completed",
                    "output": [], "usage": usage}  # fmt: skip
        of = {"response_id": response["id"], "item_id": "item-1"}
        return [
            self._event("response.created", response=response),
            self._event("response.text.delta", delta="hello", **of),
            self._event("response.audio_transcript.delta", delta="hello", **of),
            self._event("response.audio.delta", delta=AUDIO, **of),
            self._event("response.audio.done", **of),
            self._event("response.done", response=response),
        ]

    def _event(self, kind: str, **fields: Any) -> JSON:
        return {"type": kind, "event_id": f"event-{_id()}", **fields}
