"""The embedded loopback service: answers as DashScope does and records each request raw.

``doctor`` and the tests drive the real SDK against it. ``Loopback`` is the service, ``Request``
what it recorded, ``redirect`` leads this process's host names to it. The answers satisfy the SDK's
parsers and are no more than that: a few shapes, each with the keys of many endpoints.
"""

from __future__ import annotations

import asyncio
import base64
import concurrent.futures
import contextlib
import dataclasses
import functools
import importlib.util
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

# 1.0.0 has aliyun-inc.com for its default.
SERVICE_HOST = re.compile(
    r"(?:[\w-]+\.)*(?:[\w-]*dashscope[\w-]*|maas)\.aliyun(?:cs|-inc)\.com", re.IGNORECASE
)
STORAGE_HOST = "dashscope-instant.oss-cn-beijing.aliyuncs.com"
# getaddrinfo answers with an address of its own, by which connect knows a redirected host name
# from a 127.0.0.1 that the program asked for itself.
REDIRECTED = "127.83.87.80"


@dataclasses.dataclass
class Request:
    """One HTTP request or websocket handshake as it came over the wire.

    ``path`` is the raw target with its query, ``headers`` the pairs in the order and with the
    capitalisation of the wire, ``messages`` the websocket frames the client sent, filled live.
    """

    scheme: str
    host: str
    sni: str | None
    method: str
    path: str
    headers: list[tuple[str, str]]
    body: bytes = b""
    messages: list[str | bytes] = dataclasses.field(default_factory=list)

    @property
    def workspaces(self) -> list[str]:
        """The values of all X-DashScope-WorkSpace headers, however capitalised."""
        return [value for name, value in self.headers if name.lower() == "x-dashscope-workspace"]

    @property
    def foreign(self) -> bool:
        """True if the host is not a DashScope service host: object storage, a user's own."""
        return not SERVICE_HOST.fullmatch(self.host)

    @property
    def endpoint(self) -> str:
        """The path without its query."""
        return urlsplit(self.path).path

    def header(self, name: str) -> str:
        """The first value of a header, its name compared without case; empty if there is none."""
        return next((v for n, v in self.headers if n.lower() == name.lower()), "")

    def json(self) -> JSON:
        """The body as a JSON object; empty if it is none."""
        return _object(self.body)


@dataclasses.dataclass(frozen=True)
class Denial:
    """A refusal: the HTTP status, and the service's error code and message."""

    status: int
    code: str
    message: str


Policy = Callable[[Request], Optional[Denial]]


class Loopback:
    """The service, on 127.0.0.1 and an ephemeral port, in a thread of its own.

    ``ssl_context`` is a server-side context, to speak TLS. ``policy`` sees each request before it
    is answered, and a websocket again, with its ``messages``, at each task that it starts; where
    it returns a ``Denial``, the request, handshake or task is refused.
    """

    def __init__(
        self, ssl_context: ssl.SSLContext | None = None, policy: Policy | None = None
    ) -> None:
        self.port = 0
        self.requests: list[Request] = []
        self._ssl = ssl_context
        self._policy = policy or (lambda request: None)
        self._lock = threading.Lock()
        self._mcp: dict[str, asyncio.Queue[JSON]] = {}

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
        """Return the requests recorded so far, and forget them."""
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
        server = web.Server(self._handle, access_log=None)
        try:
            with _noting_sni(self._ssl):
                listener = await loop.create_server(server, "127.0.0.1", 0, ssl=self._ssl)
                self.port = listener.sockets[0].getsockname()[1]
                started.set_result(lambda: loop.call_soon_threadsafe(stopping.set))
                await stopping.wait()
        except BaseException as error:
            if started.done():
                raise
            started.set_exception(error)
            return
        # asyncio leaks a connection that it has accepted and not yet handed over when it closes.
        await asyncio.sleep(0.01)
        listener.close()
        # Taken before the shutdown forgets them: closing a TLS connection waits for the peer.
        transports = [c.transport for c in server.connections if c.transport]
        # A connection that is still in its TLS handshake is known to its task alone.
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        await server.shutdown(0.1)
        for transport in transports:
            transport.abort()
        await asyncio.sleep(0.01)  # for the transports to close their sockets

    async def _handle(self, wire: web.BaseRequest) -> web.StreamResponse:
        tls = wire.transport and wire.transport.get_extra_info("ssl_object")
        request = Request(
            scheme="https" if self._ssl else "http",
            host=re.sub(r":\d+$", "", wire.headers.get("Host", "")),
            sni=getattr(tls, "sni", None),
            method=wire.method,
            path=wire.raw_path,
            headers=[(n.decode("latin-1"), v.decode("latin-1")) for n, v in wire.raw_headers],
            body=await wire.content.read(),
        )
        with self._lock:
            self.requests.append(request)
        denial = self._policy(request) or _not_served(request)
        if denial:
            return web.json_response(_error(denial), status=denial.status)
        if request.header("Upgrade").lower() == "websocket":
            return await self._websocket(wire, request)
        if request.endpoint.endswith("/sse"):
            return await self._mcp_stream(wire, request)
        if "/mcps/" in request.endpoint:
            self._mcp[request.path].put_nowait(_mcp_answer(request.json()))
            return web.Response(status=202)
        if request.header("X-DashScope-Async").lower() != "enable" and _streams(request):
            text, kind = _events(request), "text/event-stream"
        else:
            text, kind = json.dumps(_answer(request)), "application/json"
        # The answers name hosts by https, as the real ones do; a plain service has another scheme.
        text = re.sub(r"https://([\w.-]+)", lambda url: self.address(url[1]), text)
        return web.Response(
            text=text, content_type=kind, charset="utf-8", headers={"x-request-id": _id()}
        )

    async def _websocket(self, wire: web.BaseRequest, request: Request) -> web.StreamResponse:
        ws = web.WebSocketResponse(timeout=0.1, max_msg_size=0)
        await ws.prepare(wire)
        realtime = request.endpoint.endswith("/realtime")
        protocol: _Tasks | _Realtime = _Realtime() if realtime else _Tasks()
        replies = protocol.opened()
        with contextlib.suppress(ConnectionError):  # the client need not wait for our last words
            while True:
                for reply in replies:
                    send = ws.send_bytes if isinstance(reply, bytes) else ws.send_json
                    await send(reply)
                frame = await ws.receive()
                if frame.type not in (WSMsgType.TEXT, WSMsgType.BINARY):
                    break
                request.messages.append(frame.data)
                message = _object(frame.data) if frame.type == WSMsgType.TEXT else None
                denial = self._policy(request) if protocol.starts(message) else None
                replies = protocol.denied(message, denial) if denial else protocol.on(message)
        return ws

    async def _mcp_stream(self, wire: web.BaseRequest, request: Request) -> web.StreamResponse:
        """The event stream on which the command line's assistant gets the answers to its posts."""
        posts = f"{request.endpoint[:-4]}/messages?session={_id()}"
        answers = self._mcp[posts] = asyncio.Queue()
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(wire)
        await response.write(f"event: endpoint\ndata: {posts}\n\n".encode())
        with contextlib.suppress(ConnectionError):
            while True:
                answer = json.dumps(await answers.get())
                await response.write(f"event: message\ndata: {answer}\n\n".encode())
        return response


@contextlib.contextmanager
def _noting_sni(context: ssl.SSLContext | None) -> Iterator[None]:
    """Keep the name that each TLS client asks for on the object of its connection."""
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
def redirect(port: int, local: bool = False) -> Iterator[None]:
    """Inside, this process reaches every host name at 127.0.0.1:``port``, whatever port it asks.

    ``localhost`` and addresses are reached as ever, unless ``local``; proxies named by the
    environment are not used.
    """
    getaddrinfo = socket.getaddrinfo

    def resolve(
        host: Any, service: Any, family: int = 0, type: int = 0, proto: int = 0, flags: int = 0
    ) -> Any:
        if _is_local(host) and not local:
            return getaddrinfo(host, service, family, type, proto, flags)
        if family == socket.AF_INET6:
            raise socket.gaierror(socket.EAI_NONAME, f"{host!r} is redirected to an IPv4 address")
        return getaddrinfo(REDIRECTED, service, socket.AF_INET, type or socket.SOCK_STREAM, proto)

    def swapping(connect: Callable[..., Any]) -> Callable[[socket.socket, Any], Any]:
        @functools.wraps(connect)
        def swapped(self: socket.socket, address: Any) -> Any:
            redirected = isinstance(address, tuple) and address[0] == REDIRECTED
            return connect(self, ("127.0.0.1", port) if redirected else address)

        return swapped

    with contextlib.ExitStack() as undo:
        for owner, name, value in (
            (socket, "getaddrinfo", resolve),
            # anyio and asyncio take the address from the answer and keep the port they asked for.
            (socket.socket, "connect", swapping(socket.socket.connect)),
            (socket.socket, "connect_ex", swapping(socket.socket.connect_ex)),
        ):
            undo.callback(_put_back, owner, name, vars(owner).get(name))
            setattr(owner, name, value)
        for variable in ("NO_PROXY", "no_proxy"):
            undo.callback(set_variable, variable, os.environ.get(variable))
            set_variable(variable, "*")
        yield


def _put_back(owner: Any, name: str, value: Any) -> None:
    if value is None:  # connect is inherited from the C class
        delattr(owner, name)
    else:
        setattr(owner, name, value)


def set_variable(name: str, value: str | None) -> None:
    """Set a variable of the environment; None takes it out."""
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


def _not_served(request: Request) -> Denial | None:
    keys = request.endpoint.endswith("/public-keys/latest")
    if keys and not importlib.util.find_spec("cryptography"):
        return Denial(404, "NotFound", "The loopback service needs cryptography to have a key.")
    return None


def _error(denial: Denial) -> JSON:
    """The native shape and, beside it, that of the OpenAI and Anthropic compatible modes."""
    error = {"code": denial.code, "type": denial.code, "message": denial.message}
    native = {"code": denial.code, "message": denial.message, "request_id": _id()}
    return {**native, "type": "error", "error": error}


# --- answers over HTTP ---------------------------------------------------------------------------

# fmt: off
TOKENS = {"input_tokens": 3, "output_tokens": 2, "total_tokens": 5}
USAGE = {
    **TOKENS, "prompt_tokens": 3, "completion_tokens": 2, "image_count": 1, "duration": 1,
    "characters": 5, "models": [{"model_id": "qwen-plus", **TOKENS}],
}
URL = f"https://{STORAGE_HOST}/result.png"
AUDIO = base64.b64encode(bytes(64)).decode()
TEXT = [{"type": "text", "text": "hello"}]
# A path that ends with one of these, and is read, is a list; what comes after it is an id.
COLLECTIONS = {
    "agent_logs", "agents", "assistants", "batches", "credentials", "deployment_runs",
    "deployments", "environments", "events", "files", "fine-tunes", "memories", "memory_stores",
    "memory_versions", "messages", "models", "outputs", "resources", "runs", "sessions", "skills",
    "steps", "tasks", "threads", "vaults", "versions", "webhook_endpoints",
}
UPLOAD_POLICY = {
    "policy": "cG9saWN5", "signature": "c2lnbmF0dXJl", "oss_access_key_id": "loopback",
    "upload_dir": "dashscope-instant/loopback", "upload_host": f"https://{STORAGE_HOST}",
    "x_oss_object_acl": "private", "x_oss_forbid_overwrite": "true",
    "expire_in_seconds": 300, "max_file_size_mb": 100, "capacity_limit_mb": 100,
}
STATUS = {"fine-tunes": "SUCCEEDED", "deployments": "RUNNING", "sessions": "idle"}


def _choices(path: str, key: str = "message") -> list[JSON]:
    multimodal = re.search("multimodal|image", path)
    content = [{"text": "hello", "image": URL}] if multimodal else "hello"
    return [{"index": 0, "finish_reason": "stop", key: {"role": "assistant", "content": content}}]


def _output(path: str = "") -> JSON:
    """The ``output`` of whichever service: generation, embedding, rerank, a finished task ..."""
    return {
        "text": "hello", "finish_reason": "stop", "session_id": "session-1",
        "choices": _choices(path), "tokens": ["hel", "lo"], "token_ids": [1, 2],
        "embeddings": [{"embedding": [0.1], "text_index": 0, "index": 0, "type": "text"}],
        "results": [{
            "index": 0, "relevance_score": 0.9, "document": {"text": "hello"}, "url": URL,
            "transcription_url": URL, "subtask_status": "SUCCEEDED",
        }],
        "task_id": "task-1", "task_status": "SUCCEEDED", "url": URL, "video_url": URL,
        "audio": {"id": "audio-1", "data": AUDIO, "url": URL, "expires_at": 2**31},
        "vocabulary_id": "vocabulary-1", "vocabulary_list": [{"vocabulary_id": "vocabulary-1"}],
        "vocabulary": [{"text": "hello", "weight": 4}],
        "voice": "voice-1", "voice_id": "voice-1", "voice_list": [{"voice_id": "voice-1"}],
    }


def _resource(path: str) -> JSON:
    """One object of a resource, whichever: file, run, agent, session ..."""
    names = path.strip("/").split("/")
    at = max((index for index, name in enumerate(names) if name in COLLECTIONS), default=0)
    kind, identifier = [*names[at:], f"{names[at]}-1"][:2]
    return {
        "id": identifier, "object": kind, "type": kind, "status": STATUS.get(kind, "completed"),
        "created_at": "2026-01-01T00:00:00Z", "name": "loopback", "model": "qwen-plus",
        "version": 1, "deleted": True, "file_id": identifier, "job_id": identifier,
        "thread_id": "thread-1", "run_id": "run-1", "assistant_id": "assistant-1",
        "deployed_model": identifier, "finetuned_output": identifier,
    }


def _answer(request: Request) -> JSON:
    """The JSON answer to any request."""
    path, more = request.endpoint, {"request_id": _id(), "usage": USAGE}
    if path in ("/health", "/api/v1"):  # a user's function
        status = "healthy" if path == "/health" else "success"
        return {"status": status, "reward": {"reward_score": 1.0, "rewards": []}}
    if path.endswith("/public-keys/latest"):
        return {**more, "data": _public_key()}
    if path.endswith("/uploads"):
        return {**more, "output": UPLOAD_POLICY, "data": UPLOAD_POLICY}
    if path.endswith(("/chat/completions", "/embeddings")):
        return _completion("message")
    if path.endswith("/v1/messages"):
        return {**more, **ANTHROPIC, "content": TEXT, "stop_reason": "end_turn"}
    if path.endswith("/systemone"):
        answer = {"choice": "a", "noul": 0.9, "score": 1.0, "confidence": 0.9}
        return {**more, "answers": dict.fromkeys(request.json().get("questions", {}), answer)}
    if request.header("X-DashScope-Async").lower() == "enable":
        return {**more, "output": {"task_id": "task-1", "task_status": "PENDING"}}
    if re.search(r"/(services|apps|tasks|tokenizer)(/|$)", path):
        tasks = {"data": [_output(path)], "tasks": [_output(path)], "total": 1}
        return {**more, **tasks, "output": _encrypted(request, _output(path))}
    item = _resource(path)
    if re.search(r"/(agentstudio|threads|assistants|compatible)", path):
        if request.method == "GET" and path.rstrip("/").rpartition("/")[2] in COLLECTIONS:
            following = None if "page=" in request.path else "2"
            pages = {"has_more": False, "next_page": following}
            return {"data": [item], **pages, "request_id": _id()}
        return {**item, "request_id": _id()}
    lists = {name: [item] for name in ("files", "models", "deployments", "jobs", "uploaded_files")}
    both = {**_output(path), **item, **lists, **_function(path), "total": 1, "logs": ["hello"]}
    return {**more, "output": both, "data": both}


def _function(path: str) -> JSON:
    """What the fine-tuning endpoints for a user's functions add."""
    if not re.search("/(faas|create)/", path):
        return {}
    return {
        "layer_code": "layer-1", "status": "SUCCESS", "rollout_id": "rollout-1",
        "reward_id": "reward-1", "group_reward_id": "reward-1", "instanceId": "instance-1",
        "trigger_url": "https://functions.example.com", "trigger_token": "token",
        "log_entries": [{"message": "hello"}], "total_count": 1,
    }


def _completion(key: str) -> JSON:
    return {
        "id": "chatcmpl-1", "object": "chat.completion", "created": int(time.time()),
        "model": "qwen-plus", "choices": _choices("", key), "usage": USAGE,
        "data": [{"object": "embedding", "index": 0, "embedding": [0.1]}],
    }


def _mcp_answer(message: JSON) -> JSON:
    tools = [{"name": "tool", "description": "", "inputSchema": {"type": "object"}}]
    server = {"protocolVersion": "2024-11-05", "capabilities": {}, "serverInfo": {}}
    result = {**server, "tools": tools, "prompts": [], "content": TEXT}
    return {"jsonrpc": "2.0", "id": message.get("id"), "result": result}
# fmt: on


# --- encryption ----------------------------------------------------------------------------------


@functools.cache
def _private_key() -> Any:
    from cryptography.hazmat.primitives.asymmetric import rsa

    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def _public_key() -> JSON:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    public = _private_key().public_key()
    der = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return {"public_key_id": "1", "public_key": base64.b64encode(der).decode()}


def _encrypted(request: Request, output: JSON) -> JSON | str:
    """The output, encrypted with the key and nonce of the request if it has them."""
    envelope = _object(request.header("X-DashScope-EncryptionKey"))
    if not envelope:
        return output
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    sealed = base64.b64decode(envelope["encrypt_key"])
    key = base64.b64decode(_private_key().decrypt(sealed, PKCS1v15()))
    nonce = base64.b64decode(envelope["iv"])
    return base64.b64encode(AESGCM(key).encrypt(nonce, json.dumps(output).encode(), b"")).decode()


# --- server-sent events --------------------------------------------------------------------------

ANTHROPIC = {"id": "msg-1", "type": "message", "role": "assistant", "model": "qwen-plus"}


def _streams(request: Request) -> bool:
    return (
        request.header("X-DashScope-SSE").lower() == "enable"
        or "text/event-stream" in request.header("Accept")
        or request.json().get("stream") is True
        or request.endpoint.endswith("/stream")
    )


def _events(request: Request) -> str:
    """The text of a stream of events."""
    path = request.endpoint
    events: list[tuple[str, JSON | str]]
    if path.endswith("/chat/completions"):
        events = [("message", _completion("delta")), ("message", "[DONE]")]
    elif path.endswith("/v1/messages"):
        events = [(event["type"], event) for event in _anthropic_events()]
    elif "/threads/" in path:
        events = [*_run_events(), ("done", "[DONE]")]
    elif "/agentstudio/" in path:
        events = [("message", event) for event in _session_events()]
    else:
        events = [("result", _answer(request))] * 2
    texts = ((name, e if isinstance(e, str) else json.dumps(e)) for name, e in events)
    return "".join(f"id:1\nevent:{name}\ndata:{text}\n\n" for name, text in texts)


def _anthropic_events() -> Iterator[JSON]:
    yield {"type": "message_start", "message": {**ANTHROPIC, "content": [], "usage": USAGE}}
    yield {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
    delta = {"type": "text_delta", "text": "hello"}
    yield {"type": "content_block_delta", "index": 0, "delta": delta}
    yield {"type": "content_block_stop", "index": 0}
    yield {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": USAGE}
    yield {"type": "message_stop"}


def _run_events() -> Iterator[tuple[str, JSON]]:
    run, step, message = (_resource(kind) for kind in ("runs", "steps", "messages"))
    text = {"type": "text", "text": {"value": "hello", "annotations": []}}
    yield "thread.created", _resource("threads")
    yield "thread.run.created", run
    yield "thread.run.in_progress", run
    yield "thread.run.step.created", step
    yield "thread.message.created", message
    yield "thread.message.delta", {"id": message["id"], "delta": {"content": [text]}}
    yield "thread.message.completed", {**message, "content": [text]}
    yield "thread.run.step.completed", step
    yield "thread.run.completed", run


def _session_events() -> Iterator[JSON]:
    yield {"id": "event-1", "type": "message", "role": "assistant", "content": TEXT}
    idle = {"session_status": "idle", "stop_reason": {"type": "end_turn"}}
    yield {"id": "event-2", "type": "session_status", "content": [{"type": "data", "data": idle}]}


# --- websockets ----------------------------------------------------------------------------------

Frames = list[Any]


class _Tasks:
    """The run-task protocol, and the directives of dialogs and TingWu that ride on it."""

    def __init__(self) -> None:
        self._task_id = ""  # of the last message; frames of audio name none
        self._tasks: dict[str, JSON] = {}

    def opened(self) -> Frames:
        return []

    def starts(self, message: JSON | None) -> bool:
        return message is not None and message.get("header", {}).get("action") == "run-task"

    def denied(self, message: JSON | None, denial: Denial) -> Frames:
        self._task_id = (message or {})["header"].get("task_id", "")
        error = {"error_code": denial.code, "error_message": denial.message}
        return [self._event("task-failed", None, **error)]

    def on(self, message: JSON | None) -> Frames:
        """What the service sends back for a message, or for a frame of audio (None)."""
        if message is None:
            return [self._result()] if self._task.get("streaming") == "duplex" else []
        header, payload = message.get("header", {}), message.get("payload", {})
        self._task_id = header.get("task_id", "")
        directive = payload.get("input", {}).get("directive")
        if header.get("action") == "run-task":
            streaming, task = header.get("streaming"), payload.get("task")
            self._tasks[self._task_id] = {
                "streaming": streaming,
                "task": task,
                "directive": directive,
            }
            started = [self._event("task-started", None)]
            if directive == "Start":
                return [*started, self._dialog("Started"), self._dialog("DialogStateChanged")]
            whole = [*self._produce(), *self._finish()] if streaming in ("none", "out") else []
            return [*started, *whole]
        if header.get("action") == "finish-task":
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

    @property
    def _task(self) -> JSON:
        return self._tasks.get(self._task_id, {})

    def _produce(self) -> Frames:
        spoken = self._task.get("task") == "tts"
        return [bytes(64), self._result()] if spoken else [self._result()]

    def _result(self) -> JSON:
        if self._task.get("directive") == "Start":
            return self._dialog("SpeechContent")
        if self._task.get("directive") == "start":
            return self._tingwu("recognize-result")
        span = {"text": "hello", "begin_time": 0, "end_time": 100}
        sentence = {
            **span, "words": [{**span, "fixed": True}], "sentence_id": 1, "sentence_end": True,
            "current_time": 100, "lang": "en",
        }  # fmt: skip
        speech = {"sentence": sentence, "transcription": sentence, "translations": [sentence]}
        return self._event("result-generated", {**_output(), **speech})

    def _finish(self) -> Frames:
        # Recognition ends at an empty output, synthesis and dialogs at null; up to 1.4 generation
        # reads the last event as one more result.
        task = self._task.get("task")
        spoken = task == "tts" or self._task.get("directive")
        return [
            self._event("task-finished", None if spoken else {} if task == "asr" else _output())
        ]

    def _dialog(self, name: str) -> JSON:
        output = {"event": name, "dialog_id": "dialog-1", "state": "Listening", "text": "hello"}
        return self._event("result-generated", output)

    def _tingwu(self, action: str) -> JSON:
        return self._event("result-generated", {"action": action})

    def _event(self, name: str, output: JSON | None, **error: str) -> JSON:
        header = {"event": name, "task_id": self._task_id, "attributes": {}, **error}
        return {"header": header, "payload": {"output": output, "usage": USAGE}}


class _Realtime:
    """The realtime protocol of typed events: speech synthesis, recognition, omni models."""

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
            return [self._event(f"{kind}ted"), *self._response()]
        return self._response() if kind == "response.create" else []

    def _response(self) -> Frames:
        response = {"id": _id(), "status": "completed", "output": [], "usage": TOKENS}
        part = {"response_id": response["id"], "item_id": "item-1"}
        return [
            self._event("response.created", response=response),
            self._event("response.text.delta", delta="hello", **part),
            self._event("response.audio_transcript.delta", delta="hello", **part),
            self._event("response.audio.delta", delta=AUDIO, **part),
            self._event("response.audio.done", **part),
            self._event("response.done", response=response),
        ]

    def _event(self, kind: str, **fields: Any) -> JSON:
        return {"type": kind, "event_id": _id(), **fields}
