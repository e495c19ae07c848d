"""The hint: why a request was refused, in plain words, when the SDK meets the refusal.

The adapters look at what passes and hand it on: the same object, at the same moment.
"""

from __future__ import annotations

import contextlib
import json
import re
import threading
import types
from collections.abc import Iterator, Mapping
from contextvars import ContextVar, copy_context
from typing import Any, Callable
from urllib.parse import parse_qs, urlsplit

from .._adapters import method
from .._decision import HEADER, Memory, ambient, recall, workspace_in_headers, workspace_in_host
from .._workspace import enter
from .refusals import HANDSHAKE, MAIN_ACCOUNT, REFUSALS, Text, language, recognise

_SOURCES = {
    "argument": Text("the argument of the call", "调用的参数（argument）"),
    "header": Text("a header of the call", "调用的请求头（header）"),
    "client": Text("the client or object called on", "所用的客户端或对象（client）"),
    "scope": Text("the scope (use_workspace)", "作用域（scope，use_workspace）"),
    "host": Text("the host", "主机名（host）"),
}

#: How many hints are remembered, so that a process with ever new workspaces does not grow.
REMEMBERED = 1024

_lock = threading.Lock()
_hinted: dict[tuple[str, str, str], None] = {}


def hint(
    code: str, *, workspace: str | None, source: str | None, host: str, model: str | None
) -> None:
    """Log one WARNING about a refused request, once per code, workspace and model in the process.

    ``source`` says where the workspace came from: ``argument``, ``header``, ``client``, ``scope``,
    ``host``, a variable's name, or None where that is not known. Of the values only an excerpt is
    shown, escaped; and none that looks like an API key.
    """
    key = (code, _shown(workspace), _shown(model))
    with _lock:
        if key in _hinted:
            return
        if len(_hinted) >= REMEMBERED:
            del _hinted[next(iter(_hinted))]
        _hinted[key] = None
    import logging  # here, because only a process that is refused needs it

    logging.getLogger("dashscope_ws_patch").warning(
        "%s", _hint(code, workspace, source, _shown(host), model)
    )


def _hint(
    code: str, workspace: str | None, source: str | None, host: str, model: str | None
) -> str:
    lang = language()
    origin = Text("", "")
    if source is not None:
        name = _SOURCES.get(source, Text(source, source))
        origin = Text(f", from {name.en}", f"，来自{name.zh}")
    sent = (
        Text("It named no workspace.", "请求没有指定业务空间。")
        if workspace is None
        else Text(
            f"It named the workspace {_shown(workspace)}{origin.en}.",
            f"请求指定的业务空间是 {_shown(workspace)}{origin.zh}。",
        )
    )
    refused = (
        Text(f"{code}: {host} refused a request.", f"{code}：{host} 拒绝了请求。")
        if model is None
        else Text(
            f"{code}: {host} refused a request for the model {_shown(model)}.",
            f"{code}：{host} 拒绝了对模型 {_shown(model)} 的请求。",
        )
    )
    texts = [refused, sent]
    for refusal in (*REFUSALS, HANDSHAKE):
        if refusal.code == code:
            texts += [refusal.meaning, refusal.advice, MAIN_ACCOUNT]
    return Text(" ", "").to(lang).join(text.to(lang) for text in texts)


_KEY = r"(?i)(?<![a-z0-9])sk-"


def _shown(value: str | None) -> str:
    """``value`` for a reader: escaped, cut, and without what looks like an API key."""
    if value is None:
        return "?"
    if re.search(_KEY, value):
        return "'sk-...' (an API key?)"
    return repr(value if len(value) <= 80 else value[:80] + "...")


# Where the SDK meets a refusal

Arguments = tuple[Any, ...]
Named = Mapping[str, Any]


@method
def watch(wrapped: Any, instance: Any, args: Arguments, kwargs: dict[str, Any]) -> Any:
    """A function that takes a reply of the service, or makes a request: what it returns, yields
    or raises."""
    try:
        result = wrapped(*args, **kwargs)
    except Exception as error:
        _look(error, instance, args, kwargs)
        raise
    if isinstance(result, types.CoroutineType):
        return _awaited(result, instance, args, kwargs)
    if isinstance(result, (types.GeneratorType, types.AsyncGeneratorType)):
        # In the context of the call: its items may be taken after the scope, or in a thread.
        context = copy_context()

        def look(outcome: Any) -> None:
            context.run(_look, outcome, instance, args, kwargs)

        asynchronous = isinstance(result, types.AsyncGeneratorType)
        return _AsyncItems(result, look) if asynchronous else _iterated(result, look, instance)
    if not _fine(result):
        _look(result, instance, args, kwargs)
    return result


@method
def listen(wrapped: Any, instance: Any, args: Arguments, kwargs: dict[str, Any]) -> Any:
    """A callback of websocket-client, ``(ws, message)`` or ``(ws, error)``: what it is given."""
    if args and not _fine(args[-1]):
        _look(args[-1], instance, args, kwargs)
    return wrapped(*args, **kwargs)


@method
def connect(wrapped: Any, instance: Any, args: Arguments, kwargs: dict[str, Any]) -> Any:
    """``_connect(url, headers, ...)`` of the 2.x websockets, whose objects forget the headers."""
    sent = _Handshake(*args[:2])
    try:
        connection = wrapped(*args, **kwargs)
    except Exception as error:
        _look(error, sent, args, kwargs)
        raise
    with contextlib.suppress(TypeError):  # the object of a connector of the program's own
        _handshakes.keep(connection, sent)
    return connection


class _Handshake:
    def __init__(self, url: str, headers: Any) -> None:
        workspace = workspace_in_headers(headers)
        self.url = url
        self.headers = {HEADER: workspace} if workspace else {}


_handshakes: Memory[_Handshake] = Memory()


async def _awaited(coroutine: Any, instance: Any, args: Arguments, kwargs: Named) -> Any:
    try:
        result = await coroutine
    except Exception as error:
        _look(error, instance, args, kwargs)
        raise
    if not _fine(result):
        _look(result, instance, args, kwargs)
    return result


# On whose behalf a function of the SDK looks at an answer, where it is not told.
_holder: ContextVar[Any] = ContextVar("dashscope_ws_patch.holder", default=None)


def _iterated(items: Any, look: Callable[[Any], object], instance: Any) -> Iterator[Any]:
    try:
        while True:
            outer = enter(_holder, instance)
            try:
                item = next(items, _END)
            finally:
                _holder.reset(outer)
            if item is _END:
                return
            if not _fine(item):
                look(item)
            yield item
    except Exception as error:
        look(error)
        raise
    finally:
        items.close()


class _AsyncItems:
    # No generator around the SDK's: left alone by its consumer, the inner one would be closed one
    # turn of the event loop later than natively.
    def __init__(self, items: Any, look: Callable[[Any], object]) -> None:
        self._items = items
        self._look = look

    def __getattr__(self, name: str) -> Any:
        return getattr(self._items, name)

    def __aiter__(self) -> _AsyncItems:
        return self

    async def __anext__(self) -> Any:
        try:
            item = await self._items.__anext__()
        except Exception as error:
            self._look(error)
            raise
        if not _fine(item):
            self._look(item)
        return item


_END = object()

_ERROR_SIZE = 2048  # characters or bytes: several times what the service's errors have


def _fine(outcome: Any) -> bool:
    """Whether one glance tells that this is no refusal: all that a success pays for the hint."""
    if isinstance(outcome, dict):
        succeeded = not outcome.get("code") and outcome.get("status_code", 200) == 200
        return succeeded and "error" not in outcome and not _failed_task(outcome)
    if isinstance(outcome, str):
        return len(outcome) > _ERROR_SIZE or "enied" not in outcome
    return outcome is None or isinstance(outcome, (bytes, bytearray))


def _failed_task(body: dict[str, Any]) -> dict[str, Any] | None:
    """The task that ``body``, an answer to a poll, reports as failed."""
    task = body.get("output")
    return task if isinstance(task, dict) and task.get("task_status") == "FAILED" else None


def _look(outcome: Any, instance: Any, args: Arguments, kwargs: Named) -> None:
    """Give the hint if ``outcome`` is a refusal; never raises."""
    try:
        code = _code(outcome)
        if code is not None:
            _report(code, outcome, _holder.get() if instance is None else instance, args, kwargs)
    except Exception:  # a hint must not break the program, whatever the SDK hands around
        pass


def _code(outcome: Any) -> str | None:
    """The code that ``outcome`` refuses with, or None if it does not."""
    if _fine(outcome):
        return None
    if isinstance(outcome, dict):  # a 1.x response, or the plain body where output is flattened
        return _code_of_body(outcome)
    if isinstance(outcome, str):
        return _code_of_message(json.loads(outcome))
    if isinstance(outcome, tuple):  # (event, response) of a 1.x stream
        return _code(outcome[-1])
    if isinstance(outcome, Exception):
        # websocket-client's WebSocketBadStatusException has the body of the answer in its text.
        status = getattr(outcome, "status_code", None)
        handshake = status == 403 and hasattr(outcome, "resp_headers")
        found = _first(getattr(outcome, "code", ""), outcome)
        return found or (HANDSHAKE.code if handshake else None)
    content = getattr(outcome, "content", None)
    if isinstance(content, bytes):  # an httpx.Response, read
        if outcome.status_code >= 400:
            return _first(content[:_ERROR_SIZE].decode("utf-8", "replace"))
        if len(content) <= _ERROR_SIZE and b"enied" in content:
            return _code_of_body(json.loads(content))
    elif getattr(outcome, "is_error", False):  # a 2.x event where raise_on_error is False
        return _first(outcome.code, outcome.message)
    return None


def _first(*texts: object) -> str | None:
    refusals = recognise(" ".join(map(str, texts)))
    return refusals[0].code if refusals else None


def _code_of_body(body: dict[str, Any]) -> str | None:
    error = body.get("error")
    if isinstance(error, dict):  # the compatible modes
        return _first(error.get("code"), error.get("type"), error.get("message"))
    task = _failed_task(body)
    if task is not None:
        return _first(task.get("code"), task.get("message"))
    code = body.get("code")
    if not code and body.get("status_code", 200) < 400:
        return None
    # The status as a code: how WebSocketRequest tells of a refused handshake.
    found = _first(code, body.get("message"), body.get("msg"))
    return found or (HANDSHAKE.code if code == 403 else None)


def _code_of_message(event: dict[str, Any]) -> str | None:
    """The code in a websocket message that reports an error: a failed task, a realtime error."""
    header = event.get("header") or {}
    if header.get("event") == "task-failed":
        return _first(header.get("error_code"), header.get("error_message"))
    output = (event.get("payload") or {}).get("output") or {}
    if output.get("action") == "task-failed":  # TingWu, inside a result
        return _first(output.get("errorCode"), output.get("errorMessage"))
    return _code_of_body(event) if event.get("type") == "error" else None


def _report(code: str, outcome: Any, instance: Any, args: Arguments, kwargs: Named) -> None:
    sent = next(_sent(outcome, *args, instance), None)
    if sent is None:  # a hint that does not know what was sent would mislead
        return
    url, headers, request = sent
    workspace = workspace_in_headers(headers)
    source = _source(workspace, instance) if workspace else "host"
    workspace = workspace or workspace_in_host(url)
    model = next(_models(url, request, instance, kwargs), None)
    hint(code, workspace=workspace, source=source, host=urlsplit(url).hostname or "", model=model)


def _sent(*holders: Any) -> Iterator[tuple[str, Any, Any]]:
    """The URL, the headers and the object of each request that can be reached from ``holders``."""
    for holder in holders:
        connection = _get(holder, "_ws") or _get(_get(holder, "_conn"), "_ws")
        for request in (
            _get(holder, "request_info"),  # of aiohttp's responses
            _get(holder, "request"),  # of those of requests and httpx
            _get(_get(holder, "_response"), "request"),  # of the SDK's streams
            _handshakes.of(connection),  # of the SDK's websocket tasks
            holder,  # the SDK's request objects, websocket-client's applications, realtime sessions
        ):
            url = _get(request, "url") or _get(request, "_url")
            # A 1.x response is a dict, and its headers are those of the answer.
            if isinstance(request, dict):
                continue
            for name in ("headers", "header", "_headers"):
                headers = _get(request, name)
                if url and isinstance(headers, (Mapping, list)):
                    yield str(url), headers, request


def _models(url: str, request: Any, instance: Any, kwargs: Named) -> Iterator[str]:
    """The model that was asked for, from wherever it can still be seen."""
    data = _get(instance, "data")
    known = (kwargs.get("model"), _get(data, "model"), _get(instance, "model"))
    for named in (*known, _get(instance, "_model")):
        if isinstance(named, str) and named:
            yield named
    yield from parse_qs(urlsplit(url).query).get("model", ())
    yield from models_in(_get(request, "content") or _get(request, "body"))


def _get(holder: Any, name: str) -> Any:
    try:
        return getattr(holder, name, None)
    except Exception:  # properties of httpx raise where there is nothing, or nothing read yet
        return None


def _source(workspace: str, instance: Any) -> str | None:
    """Where the workspace that was sent came from, or None where that can no longer be told."""
    call = recall(instance)
    if call.workspace == workspace:
        return call.source
    if call.born is not None and call.born.workspace == workspace:
        return "scope"
    try:
        found, source = ambient()
    except ValueError:  # the environment's is malformed
        return None
    if found == workspace:
        return source
    # What was named is remembered with the object; only a scope can have been left since.
    return None if instance is None else "scope"


def models_in(body: Any) -> Iterator[str]:
    """The model that a request's JSON body, or a websocket's start message, names."""
    with contextlib.suppress(ValueError, TypeError, AttributeError):  # no JSON, or no object
        content = json.loads(body)
        for named in (content.get("model"), content.get("payload", {}).get("model")):
            if isinstance(named, str) and named:
                yield named
