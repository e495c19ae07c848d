"""The hint: why a request was refused, in plain words, when the SDK meets the refusal.

What passes is looked at and handed on: the same object, at the same moment. The words, and what
recognises a refusal, are loaded with the first one.
"""

from __future__ import annotations

import functools
import json
import types
from collections.abc import AsyncIterator, Iterator
from typing import Any, Optional
from urllib.parse import parse_qs, urlsplit

from .._carry import first_step

#: What was sent: the URL, the workspace and where that is from (see _decision.Decision), and the
#: object that may still show the model.
Sent = tuple[str, Optional[str], Optional[str], Any]

#: Several times the characters or bytes of the service's errors.
_ERROR_SIZE = 2048


def watched(result: Any, sent: Sent) -> Any:
    """What a function that sends has returned, looked at: a reply, or what will be one."""
    later = _LOOKING.get(type(result))
    if later is not None:
        return later(result, sent)
    if not fine(result):
        look(result, sent)
    return result


def heard(callback: Any, sent: Sent) -> Any:
    """A callback of websocket-client, ``(ws, message)`` or ``(ws, error)``, that looks first."""

    @functools.wraps(callback)
    def looking(*args: Any) -> Any:
        if args and not fine(args[-1]):
            look(args[-1], sent)
        return callback(*args)

    return looking


def _awaited(coroutine: Any, sent: Sent) -> Any:
    async def awaited() -> Any:
        try:
            return watched(await coroutine, sent)
        except Exception as error:
            look(error, sent)
            raise

    result: Any = awaited()
    result.__name__, result.__qualname__ = coroutine.__name__, coroutine.__qualname__
    return result


def _iterated(items: Any, sent: Sent) -> Iterator[Any]:
    try:
        for item in items:
            if not fine(item):
                look(item, sent)
            yield item
    except Exception as error:
        look(error, sent)
        raise
    finally:
        items.close()


def _iterated_async(items: Any, sent: Sent) -> Any:
    result: Any = _async_items(items, sent)
    result.__name__, result.__qualname__ = items.__name__, items.__qualname__
    return result


async def _async_items(items: Any, sent: Sent) -> AsyncIterator[Any]:
    step = first_step(items)
    try:
        while True:
            try:
                item = await step
            except StopAsyncIteration:
                return
            if not fine(item):
                look(item, sent)
            try:
                step = items.asend((yield item))
            except GeneratorExit:
                raise
            except BaseException as error:
                step = items.athrow(error)
    except Exception as error:
        look(error, sent)
        raise
    finally:
        await items.aclose()


_LOOKING: dict[type, Any] = {
    types.CoroutineType: _awaited,
    types.GeneratorType: _iterated,
    types.AsyncGeneratorType: _iterated_async,
}


def fine(outcome: Any) -> bool:
    """Whether one glance tells that this is no refusal: all that a success pays for the hint."""
    if isinstance(outcome, dict):
        succeeded = not outcome.get("code") and outcome.get("status_code", 200) == 200
        return succeeded and "error" not in outcome and not _failed_task(outcome)
    if isinstance(outcome, str):
        return len(outcome) > _ERROR_SIZE or "enied" not in outcome
    content = getattr(outcome, "_content", None)
    if content.__class__ is bytes and outcome.status_code < 400:  # a reply of requests or httpx
        return len(content) > _ERROR_SIZE or b"enied" not in content
    return outcome is None or isinstance(outcome, (bytes, bytearray))


def look(outcome: Any, sent: Sent) -> None:
    """Give the hint if ``outcome`` is a refusal; never raises."""
    try:
        code = _code(outcome)
        if code is not None:
            from .say import hint

            url, workspace, source, holder = sent
            if workspace is None:
                from .._hosts import workspace_in_host

                workspace, source = workspace_in_host(url), "host"
            host, model = urlsplit(url).hostname or "", _model(url, holder, outcome)
            hint(code, workspace=workspace, source=source, host=host, model=model)
    except Exception:  # a hint must not break the program, whatever the SDK hands around
        import logging

        logging.getLogger("dashscope_ws_patch").debug("no hint", exc_info=True)


def overheard(content: Any, answer: Any, noted: Any = None, handshake: bool = False) -> None:
    """Look at what a request of another library was answered, of which the program has read
    ``content``; never raises. ``noted`` is the workspace that was added, and its source; None where
    nobody has noted it, and it is what would be added now."""
    from .._decision import ambient, workspace_in_headers
    from .._hosts import in_url, workspace_in_host

    try:
        status = getattr(answer, "status_code", None) or answer.status
        request = getattr(answer, "request", None) or answer.request_info  # of aiohttp
        url = str(request.url)
        if in_url(url) or workspace_in_host(url):
            named, (workspace, source) = workspace_in_headers(request.headers), noted or ambient()
            if named and named != workspace:
                workspace, source = named, "named"
            elif not named and workspace_in_host(url):
                workspace = source = None
            outcome: Any = {"code": status, "message": content}
            if not handshake:
                outcome = types.SimpleNamespace(
                    status_code=status, _content=content, request=request
                )
            look(outcome, (url, workspace, source, request))
    except Exception:  # malformed is told where it is used
        return


# What refuses


def _code(outcome: Any) -> str | None:
    """The code that ``outcome`` refuses with, or None if it does not."""
    if fine(outcome):
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
        return _recognised(getattr(outcome, "code", ""), outcome) or _refused_handshake(handshake)
    status = getattr(outcome, "status_code", None)
    if isinstance(status, int) and hasattr(outcome, "request"):  # of requests or httpx
        return _code_of_response(outcome, status)
    if getattr(outcome, "is_error", False):  # a 2.x event where raise_on_error is False
        return _recognised(outcome.code, outcome.message)
    return None


def _code_of_response(response: Any, status: int) -> str | None:
    if status < 400 and not hasattr(response, "_content"):
        return None  # a stream that nobody has read yet
    content = response._content if hasattr(response, "_content") else None
    if status >= 400 and content is False:  # requests: the SDK reads it whole in a moment
        content = response.content
    if not isinstance(content, bytes):
        return None
    if status >= 400:
        return _recognised(content[:_ERROR_SIZE].decode("utf-8", "replace"))
    if len(content) <= _ERROR_SIZE and b"enied" in content:
        return _code_of_body(json.loads(content))
    return None


def _code_of_body(body: dict[str, Any]) -> str | None:
    error = body.get("error")
    if isinstance(error, dict):  # the compatible modes
        return _recognised(error.get("code"), error.get("type"), error.get("message"))
    task = _failed_task(body)
    if task is not None:
        return _recognised(task.get("code"), task.get("message"))
    code = body.get("code")
    if not code and body.get("status_code", 200) < 400:
        return None
    # The status as a code: how WebSocketRequest tells of a refused handshake.
    return _recognised(code, body.get("message"), body.get("msg")) or _refused_handshake(
        code == 403
    )


def _failed_task(body: dict[str, Any]) -> dict[str, Any] | None:
    """The task that ``body``, an answer to a poll, reports as failed."""
    task = body.get("output")
    return task if isinstance(task, dict) and task.get("task_status") == "FAILED" else None


def _code_of_message(event: dict[str, Any]) -> str | None:
    """The code in a websocket message that reports an error: a failed task, a realtime error."""
    header = event.get("header") or {}
    if header.get("event") == "task-failed":
        return _recognised(header.get("error_code"), header.get("error_message"))
    output = (event.get("payload") or {}).get("output") or {}
    if output.get("action") == "task-failed":  # TingWu, inside a result
        return _recognised(output.get("errorCode"), output.get("errorMessage"))
    return _code_of_body(event) if event.get("type") == "error" else None


def _recognised(*texts: object) -> str | None:
    from .refusals import recognise

    refusals = recognise(" ".join(map(str, texts)))
    return refusals[0].code if refusals else None


def _refused_handshake(refused: bool) -> str | None:
    from .refusals import HANDSHAKE

    return HANDSHAKE.code if refused else None


# The model that was asked for


def _model(url: str, *holders: Any) -> str | None:
    """The model, from wherever it can still be seen."""
    for holder in holders:
        if isinstance(holder, dict):  # the JSON of a request
            holder = types.SimpleNamespace(**{"model": holder.get("model")})
        for known in (_get(_get(holder, "data"), "model"), *(_get(holder, n) for n in _MODEL)):
            if isinstance(known, str) and known:
                return known
    for model in parse_qs(urlsplit(url).query).get("model", ()):
        return model
    for holder in holders:
        request = _get(holder, "request")  # of a response
        for model in models_in(_get(request, "content") or _get(request, "body")):
            return model
    return None


_MODEL = ("model", "_model")


def _get(holder: Any, name: str) -> Any:
    try:
        return getattr(holder, name, None)
    except Exception:  # properties of httpx raise where there is nothing, or nothing read yet
        return None


def models_in(body: Any) -> Iterator[str]:
    """The model that a request's JSON body, or a websocket's start message, names."""
    try:
        content = json.loads(body)
        for named in (content.get("model"), content.get("payload", {}).get("model")):
            if isinstance(named, str) and named:
                yield named
    except (ValueError, TypeError, AttributeError):  # no JSON, or no object
        return
