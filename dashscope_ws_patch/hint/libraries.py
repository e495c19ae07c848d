"""The hint where other libraries are refused: adapters of what reads their answers, and what the
adapters that send tell them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, Callable

from .. import _lacking
from .._lacking import adapter

#: Where what an answer leads to keeps the workspace that was sent, and its source, for the hint.
NOTED = "_dashscope_ws_patch_sent"


def note(key: Any, sent: Any) -> None:
    known = getattr(key, "__dict__", None)
    if known is not None:
        known[NOTED] = sent


def answered(content: Any, answer: Any, key: Any) -> None:
    """Give the hint where the service has refused in ``content``, the whole of its ``answer``.
    ``key`` is what was noted for it."""
    small = content.__class__ is bytes and len(content) < 2048
    if small and b"enied" in content and _lacking.active:
        from .watch import overheard

        overheard(content, answer, getattr(key, NOTED, None))


def refused(error: Any, url: str, headers: Any = ()) -> None:
    """Give the hint where the handshake of a websocket was answered with 403."""
    answer = getattr(error, "response", error)
    if 403 in (getattr(answer, "status_code", 0), getattr(answer, "status", 0)) and _lacking.active:
        from .watch import overheard

        request = SimpleNamespace(url=url, headers=headers)
        refusal = SimpleNamespace(status=403, request=request)
        overheard(getattr(answer, "body", str(error)), refusal, handshake=True)


def _reader(asynchronous: bool, key_of: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """An adapter of the method of an answer that reads it whole."""

    def make(original: Any) -> Any:
        def read(self: Any, *args: Any, **kwargs: Any) -> Any:
            content = original(self, *args, **kwargs)
            answered(content, self, key_of(self))
            return content

        async def aread(self: Any, *args: Any, **kwargs: Any) -> Any:
            content = await original(self, *args, **kwargs)
            answered(content, self, key_of(self))
            return content

        return aread if asynchronous else read

    return adapter()(make)


@adapter()
def aiohttp_websocket(original: Any) -> Any:
    """``ClientSession._ws_connect``, for the hint."""

    async def _ws_connect(self: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return await original(self, *args, **kwargs)
        except Exception as error:
            request = getattr(error, "request_info", None)
            if request is not None:
                refused(error, str(request.url), request.headers)
            raise

    return _ws_connect


@adapter()
def websockets_legacy(original: Any) -> Any:
    """``handshake`` of the legacy client, for the hint."""

    async def handshake(self: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return await original(self, *args, **kwargs)
        except Exception as error:
            headers = getattr(self, "request_headers", None)
            if headers is not None:
                refused(error, f"wss://{headers.get_all('Host')[0]}{self.path}", headers)
            raise

    return handshake


def _stream_of(answer: Any) -> Any:
    return getattr(getattr(answer, "_request", None), "stream", None)


httpx_read, httpx_aread = (_reader(asynchronous, _stream_of) for asynchronous in (False, True))
aiohttp_read = _reader(True, lambda answer: answer)
