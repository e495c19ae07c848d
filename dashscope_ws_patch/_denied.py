"""Access denied: what the service's codes mean, who gets them, and the hint when a request does.

``REFUSALS`` is the one table of the codes: the ``explain`` command, the README's troubleshooting,
the hint and the loopback service's accounts read it. ``SEAMS`` lists where the SDK meets a refusal.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import sys
import threading
import types
from collections.abc import Collection, Iterator, Mapping
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, Callable, NamedTuple
from urllib.parse import parse_qs, urlsplit

from ._calls import HEADER, Memory, ambient, recall, workspace_in_headers, workspace_in_host

if TYPE_CHECKING:
    import argparse

    from ._loopback import Denial, Request


class Text(NamedTuple):
    """One text in each language."""

    en: str
    zh: str

    def to(self, lang: str) -> str:
        """The text for a reader of ``lang``: ``zh``, else English."""
        return self.zh if lang == "zh" else self.en


class Refusal(NamedTuple):
    """A code of the service, the message that comes with it, what it means and what to do."""

    code: str
    message: str
    meaning: Text
    advice: Text


WORKSPACE = Refusal(
    "Workspace.AccessDenied",
    "Workspace access denied.",
    Text(
        "The key is a RAM sub-account's, and the request named no workspace, or one that the "
        "sub-account is not a member of.",
        "API Key 属于 RAM 子账号，而请求没有指定业务空间，或指定的业务空间中没有该子账号。",
    ),
    Text(
        "Set the workspace that the sub-account is a member of: the console shows it under "
        "业务空间管理 (workspaces). If there is none, the administrator adds the sub-account.",
        "设置该子账号所属的业务空间，可在控制台的“业务空间管理”中查看。"
        "如果没有，请管理员将子账号加入某个业务空间。",
    ),
)
MODEL = Refusal(
    "Model.AccessDenied",
    "Model access denied.",
    Text(
        "The request named no workspace, or its workspace may not call this model.",
        "请求没有指定业务空间，或该业务空间无权调用此模型。",
    ),
    Text(
        "Set the workspace. If it is set and right, the administrator grants the model to it "
        "(授权子业务空间模型调用和部署), or applies for the model in 模型广场 (the model gallery).",
        "设置业务空间。如果已正确设置，请管理员为该业务空间授权此模型（授权子业务空间模型调用和部署），"
        "或在“模型广场”申请该模型。",
    ),
)
UNPURCHASED = Refusal(
    "AccessDenied.Unpurchased",
    "Access to model denied. Please make sure you are eligible for using the model.",
    Text(
        "Model Studio is not activated for the account that the key belongs to.",
        "API Key 所属的账号尚未开通百炼服务。",
    ),
    Text(
        "Activate it with the main account, in 模型广场 (the model gallery). No workspace helps.",
        "用主账号在“模型广场”开通百炼服务。设置业务空间不起作用。",
    ),
)
REFUSALS = (WORKSPACE, MODEL, UNPURCHASED)

#: Of a websocket handshake that is refused the SDK passes on the status alone.
HANDSHAKE = Refusal(
    "HTTP 403",
    "",
    Text(
        "The websocket handshake was refused; the SDK passes on no code, and where it speaks of an "
        "invalid api-key it is guessing.",
        "WebSocket 握手被拒绝；SDK 没有给出错误码，它所说的 api-key 无效只是猜测。",
    ),
    WORKSPACE.advice,
)

MAIN_ACCOUNT = Text(
    "A main account's key needs no workspace.",
    "主账号的 API Key 不需要指定业务空间。",
)

# The code in any of its spellings (Workspace.AccessDenied, workspace_access_denied ...), or the
# message, which is all that some clients show. No AccessDeniedException of another cloud.
_PATTERN = re.compile(
    r"(?<![a-z0-9])(?:(workspace[\W_]?access[\W_]?denied)|(model[\W_]?access[\W_]?denied)"
    r"|(access[\W_]?denied[\W_]?unpurchased|access to model denied))(?![a-z0-9])",
    re.IGNORECASE,
)


def recognise(text: str) -> list[Refusal]:
    """The refusals that ``text`` names, by code or by message, in the order in which it does."""
    found = (REFUSALS[(match.lastindex or 1) - 1] for match in _PATTERN.finditer(text))
    return list(dict.fromkeys(found))


def language() -> str:
    """The reader's language by the locale (LC_ALL, LC_MESSAGES, LANG): ``zh`` or ``en``."""
    names = ("LC_ALL", "LC_MESSAGES", "LANG")
    locale = next(filter(None, (os.environ.get(name) for name in names)), "")
    return "zh" if locale.lower().startswith("zh") else "en"


# --- explain -------------------------------------------------------------------------------------

_HOW = """\
    export DASHSCOPE_WORKSPACE=ws_...
    with dashscope_ws_patch.use_workspace("ws_..."): ...
    dashscope-ws-patch run -w ws_... python app.py"""

_MEANING = Text("meaning", "含义")
_ADVICE = Text("what to do", "处理方法")
_SETTING = Text("To set the workspace, any one of:", "设置业务空间，以下任选其一：")
_EMPTY = Text(
    "nothing to explain: give a code, a message or a JSON body, or pipe one in",
    "没有可解释的内容：请给出错误码、错误信息或 JSON 响应，也可以用管道输入",
)
_UNKNOWN = Text("none of these codes in it: ", "其中没有以下任何错误码：")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what ``explain`` takes on the command line."""
    parser.add_argument(
        "text",
        nargs="*",
        help="a code, or a whole error message, JSON body or traceback; read from stdin if absent",
    )
    parser.add_argument("--lang", choices=Text._fields, help="instead of the locale's language")


def main(namespace: argparse.Namespace) -> int:
    """Explain each code that the text names; where it names none, one line on stderr, status 2."""
    lang = namespace.lang or language()
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a paste, or a terminal, need not be in UTF-8
            stream.reconfigure(errors="backslashreplace")
    text = " ".join(namespace.text)
    if not text and not sys.stdin.isatty():
        text = sys.stdin.read()
    refusals = recognise(text)
    if not refusals:
        # The text is not repeated: what people paste may hold their key.
        known = ", ".join(refusal.code for refusal in REFUSALS)
        reason = _UNKNOWN.to(lang) + known if text.strip() else _EMPTY.to(lang)
        print(f"dashscope-ws-patch explain: {reason}", file=sys.stderr)
        return 2
    print("\n\n".join(_explained(refusal, lang) for refusal in refusals))
    return 0


def _explained(refusal: Refusal, lang: str) -> str:
    lines = [
        f"{refusal.code} (HTTP 403, {refusal.message!r})",
        f"  {_MEANING.to(lang)}: {refusal.meaning.to(lang)}",
        f"  {_ADVICE.to(lang)}: {refusal.advice.to(lang)}",
    ]
    if refusal is not UNPURCHASED:
        lines += [f"  {MAIN_ACCOUNT.to(lang)}", f"  {_SETTING.to(lang)}", _HOW]
    return "\n".join(lines)


def readme_rows(lang: str) -> str:
    """The README's troubleshooting in ``lang`` (``en`` or ``zh``), as a Markdown table."""
    heads = [Text("code", "错误码").to(lang), _MEANING.to(lang), _ADVICE.to(lang)]
    rows = [heads, ["---"] * 3]
    for refusal in REFUSALS:
        rows.append(
            [f"`{refusal.code}`", refusal.meaning.to(lang), refusal.advice.to(lang)]
        )
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    return f"{table}\n\n{MAIN_ACCOUNT.to(lang)}"


# --- the hint ------------------------------------------------------------------------------------

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


_KEY = re.compile(r"(?<![a-z0-9])sk-", re.IGNORECASE)


def _shown(value: str | None) -> str:
    """``value`` for a reader: escaped, cut, and without what looks like an API key."""
    if value is None:
        return "?"
    if _KEY.search(value):
        return "'sk-...' (an API key?)"
    return repr(value if len(value) <= 80 else value[:80] + "...")


# --- the accounts of the loopback service --------------------------------------------------------


class Accounts:
    """A policy of ``Loopback``: who may call what, answered as the service answers.

    ``main``: the keys of main accounts. ``members``: for each sub-account's key the workspaces that
    it is a member of. ``models``: for each workspace the models granted to it; one that is not
    named may call all. ``unpurchased``: the keys of accounts without the service. Any other key is
    refused with 401. ``handshake``: refuse a websocket at its handshake, not at its first task.
    """

    def __init__(
        self,
        *,
        main: Collection[str] = (),
        members: Mapping[str, Collection[str]] | None = None,
        models: Mapping[str, Collection[str]] | None = None,
        unpurchased: Collection[str] = (),
        handshake: bool = False,
    ) -> None:
        self._main = main
        self._members = members or {}
        self._models = models or {}
        self._unpurchased = unpurchased
        self._handshake = handshake

    def __call__(self, request: Request) -> Denial | None:
        from ._loopback import Denial

        websocket = request.header("Upgrade").lower() == "websocket"
        if request.foreign or (websocket and not request.messages and not self._handshake):
            return None
        key = request.header("Authorization").partition(" ")[2] or request.header("x-api-key")
        named: list[str | None] = [*request.workspaces]
        named = named or [workspace_in_host(f"https://{request.host}")]
        if key in self._unpurchased:
            refusal = UNPURCHASED
        elif key not in self._main and key not in self._members:
            return Denial(401, "InvalidApiKey", "Invalid API-key provided.")
        elif key in self._members and not set(named) <= set(self._members[key]):
            refusal = WORKSPACE
        elif not all(self._may_call(workspace, request) for workspace in named):
            refusal = MODEL
        else:
            return None
        return Denial(403, refusal.code, refusal.message)

    def _may_call(self, workspace: str | None, request: Request) -> bool:
        model = next(_models_of(request), None)
        return model is None or model in self._models.get(workspace or "", (model,))


def _models_of(request: Request) -> Iterator[str]:
    for sent in (request.body, *request.messages[-1:]):
        yield from _models_in(sent)
    yield from parse_qs(urlsplit(request.path).query).get("model", ())


def _models_in(body: Any) -> Iterator[str]:
    """The model that a request's JSON body, or a websocket's start message, names."""
    with contextlib.suppress(ValueError, TypeError, AttributeError):  # no JSON, or no object
        content = json.loads(body)
        for named in (content.get("model"), content.get("payload", {}).get("model")):
            if isinstance(named, str) and named:
                yield named


# --- where the SDK meets a refusal ---------------------------------------------------------------
#
# The adapters look at what passes and hand it on: the same object, at the same moment. They are
# wrapt wrappers: (wrapped, instance, args, kwargs).

Arguments = tuple[Any, ...]
Named = Mapping[str, Any]


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
        return _AsyncItems(result, look) if asynchronous else _iterated(result, look)
    if not _fine(result):
        _look(result, instance, args, kwargs)
    return result


def listen(wrapped: Any, instance: Any, args: Arguments, kwargs: dict[str, Any]) -> Any:
    """A callback of websocket-client, ``(ws, message)`` or ``(ws, error)``: what it is given."""
    if args and not _fine(args[-1]):
        _look(args[-1], instance, args, kwargs)
    return wrapped(*args, **kwargs)


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


def _iterated(items: Any, look: Callable[[Any], object]) -> Iterator[Any]:
    try:
        for item in items:
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


_ERROR_SIZE = 2048  # characters or bytes: several times what the service's errors have


def _fine(outcome: Any) -> bool:
    """Whether one glance tells that this is no refusal: all that a success pays for the hint."""
    if isinstance(outcome, dict):
        succeeded = not outcome.get("code") and outcome.get("status_code", 200) == 200
        return succeeded and "error" not in outcome
    if isinstance(outcome, str):
        return len(outcome) > _ERROR_SIZE or "enied" not in outcome
    return outcome is None or isinstance(outcome, (bytes, bytearray))


def _look(outcome: Any, instance: Any, args: Arguments, kwargs: Named) -> None:
    """Give the hint if ``outcome`` is a refusal; never raises."""
    try:
        code = _code(outcome)
        if code is not None:
            _report(code, outcome, instance, args, kwargs)
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
    yield from _models_in(_get(request, "content") or _get(request, "body"))


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
    return source if found == workspace else None


_ENTITIES = "dashscope.api_entities."
_AUDIO = "dashscope.audio."
_DIALOG = "dashscope.multimodal.multimodal_dialog"
_TINGWU = "dashscope.multimodal.tingwu.tingwu_realtime"
_V2 = "dashscope.v2."

#: Module, attribute, adapter, first release that has it[, first that no longer has it].
SEAMS: tuple[tuple[Any, ...], ...] = (
    # Request objects of the 1.x surface: answers, streams, websocket tasks and handshakes.
    (_ENTITIES + "http_request", "HttpRequest._handle_response", watch, "1.0.0"),
    (_ENTITIES + "http_request", "HttpRequest._handle_aio_response", watch, "1.20.0"),
    (_ENTITIES + "aiohttp_request", "AioHttpRequest._handle_response", watch, "1.0.0"),
    (_ENTITIES + "websocket_request", "WebSocketRequest.connection_handler", watch, "1.0.0"),
    # Polling and management: first with aiohttp, later where only a failure passes; streams.
    ("dashscope.client.base_api", "AsyncTaskGetMixin._handle_http_response", watch, "1.0.0",
     "1.4.0"),
    ("dashscope.common.utils", "_handle_http_response", watch, "1.0.0"),
    ("dashscope.common.utils", "_handle_http_failed_response", watch, "1.4.0"),
    ("dashscope.common.utils", "_handle_http_stream_response", watch, "1.20.0"),
    ("dashscope.finetune.reinforcement.common.utils", "_handle_response", watch, "1.25.0"),
    # Websockets of their own.
    (_AUDIO + "tts_v2.speech_synthesizer", "SpeechSynthesizer.on_message", listen, "1.20.0"),
    (_AUDIO + "tts_v2.speech_synthesizer", "SpeechSynthesizer.on_error", listen, "1.20.0"),
    (_AUDIO + "qwen_omni.omni_realtime", "OmniRealtimeConversation.on_message", listen, "1.23.0",
     "1.25.0"),
    (_AUDIO + "qwen_omni.omni_realtime", "OmniRealtimeConversation.on_error", listen, "1.23.0",
     "1.25.0"),
    (_AUDIO + "qwen_omni.omni_realtime", "OmniRealtimeConversation._on_message", listen, "1.25.0"),
    (_AUDIO + "qwen_omni.omni_realtime", "OmniRealtimeConversation._on_error", listen, "1.25.0"),
    (_AUDIO + "qwen_tts_realtime.qwen_tts_realtime", "QwenTtsRealtime.on_message", listen,
     "1.23.0"),
    (_AUDIO + "qwen_tts_realtime.qwen_tts_realtime", "QwenTtsRealtime.on_error", listen, "1.23.0"),
    (_DIALOG, "MultiModalDialog._on_message", listen, "1.23.0"),
    (_DIALOG, "MultiModalDialog._on_error", listen, "1.23.0"),
    (_TINGWU, "TingWuRealtime._on_message", listen, "1.24.0"),
    (_TINGWU, "TingWuRealtime._on_error", listen, "1.24.0"),
    # agentstudio.
    ("dashscope.agentstudio.transport", "SyncTransport._parse", watch, "1.26.0"),
    ("dashscope.agentstudio.transport", "AsyncTransport._parse", watch, "1.26.0"),
    # 2.x: answers, the opening of streams, and what comes in streams.
    (_V2 + "transport.http", "SyncTransport.request", watch, "2.0.0"),
    (_V2 + "transport.http", "AsyncTransport.request", watch, "2.0.0"),
    (_V2 + "transport.http", "check_response", watch, "2.0.0"),
    (_V2 + "transport.sse", "Stream.__iter__", watch, "2.0.0"),
    (_V2 + "transport.sse", "AsyncStream._iterate", watch, "2.0.0"),
    (_V2 + "resources.apps", "AppCompletions._events", watch, "2.0.0"),
    (_V2 + "resources.apps", "AsyncAppCompletions._events", watch, "2.0.0"),
    (_V2 + "resources.audio.http_tts", "HttpTts._events", watch, "2.0.0"),
    # 2.x websockets.
    (_V2 + "transport.ws", "_connect", connect, "2.0.0"),
    (_V2 + "transport.ws", "WsSession.run_task", watch, "2.0.0"),
    (_V2 + "transport.ws_connection", "WsTask.run_task", watch, "2.0.0"),
    (_V2 + "resources.audio.realtime", "RealtimeSession.connect", watch, "2.0.0"),
    (_V2 + "resources.audio.realtime", "RealtimeSession.recv_event", watch, "2.0.0"),
)
