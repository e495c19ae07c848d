"""Web requests in the workspace of their tenant: middleware for ASGI and WSGI applications.

``workspace`` says where a request names it: a callable that is given the ASGI scope or the WSGI
environ and returns a workspace, or None for no scope; or the name of a request header, which any
client can send: only one that a proxy of your own sets, or that you check. There is no default.

A malformed workspace is answered with status 400 and the rule that it breaks; the application does
not see the request. Raises TypeError for a ``workspace`` of any other kind.
"""

from __future__ import annotations

import functools
from collections.abc import Awaitable
from typing import Any, Callable, Union

from .._carry import Held, run
from .._workspace import WorkspaceError, scope, use_workspace, validate

Named = Union[str, Callable[[Any], Union[str, None]]]


def _finder(workspace: Named, header: Callable[[str, Any], str | None]) -> Any:
    """What finds the workspace in a request; ``header`` gives the value of one of its headers."""
    if callable(workspace):
        ask, origin = workspace, "the workspace of this request"
    elif isinstance(workspace, str) and workspace:
        ask, origin = functools.partial(header, workspace), f"the request header {workspace}"
    else:
        raise TypeError(f"workspace must be a header's name or a callable, not {workspace!r}")

    def find(request: Any) -> str | None:
        value = ask(request)
        return None if value is None else validate(value, origin)

    return find


def _headers(reason: bytes) -> list[tuple[str, str]]:
    return [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(reason)))]


class ASGIMiddleware:
    """An ASGI application that runs ``app`` in the scope of each request's workspace: the endpoint
    and its threads, each step of a streamed body, background tasks, and websocket connections."""

    def __init__(self, app: Callable[..., Awaitable[Any]], workspace: Named) -> None:
        self.app = app
        self._find = _finder(workspace, _asgi_header)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> Any:
        workspace = None
        if scope["type"] in ("http", "websocket"):
            try:
                workspace = self._find(scope)
            except WorkspaceError as error:
                return await _refuse(scope, receive, send, str(error).encode())
        if workspace is None:
            return await self.app(scope, receive, send)
        with use_workspace(workspace):
            return await self.app(scope, receive, send)


def _asgi_header(name: str, scope: Any) -> str | None:
    wanted = name.lower().encode("latin-1")
    # Two that differ make a list, which is no workspace.
    values = dict.fromkeys(value for key, value in scope["headers"] if key == wanted)
    return b",".join(values).decode("latin-1").strip() or None


async def _refuse(scope: Any, receive: Any, send: Any, reason: bytes) -> Any:
    kind = "http.response"
    if scope["type"] == "websocket":
        await receive()  # the handshake
        if "websocket.http.response" not in (scope.get("extensions") or ()):
            return await send({"type": "websocket.close", "code": 1008})
        kind = "websocket.http.response"
    headers = [(name.lower().encode(), value.encode()) for name, value in _headers(reason)]
    await send({"type": f"{kind}.start", "status": 400, "headers": headers})
    await send({"type": f"{kind}.body", "body": reason})


class WSGIMiddleware:
    """A WSGI application (PEP 3333) that runs ``app`` in the scope of each request's workspace: the
    endpoint, each step of a streamed body, and its ``close()``."""

    def __init__(self, app: Callable[..., Any], workspace: Named) -> None:
        self.app = app
        self._find = _finder(workspace, _wsgi_header)

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        try:
            workspace = self._find(environ)
        except WorkspaceError as error:
            reason = str(error).encode()
            start_response("400 Bad Request", _headers(reason))
            return [reason]
        if workspace is None:
            return self.app(environ, start_response)
        held: Held = [[scope, use_workspace(workspace)._entered(), None]]
        return run(held, functools.partial(self._begin, held, environ, start_response))

    def _begin(self, held: Held, environ: dict[str, Any], start_response: Any) -> Any:
        body = self.app(environ, start_response)
        # Nothing runs when a server reads these, and it has short cuts for them; a wrapper of files
        # may be a function, as that of uWSGI and mod_wsgi.
        wrapper = environ.get("wsgi.file_wrapper")
        plain = (list, tuple, wrapper) if isinstance(wrapper, type) else (list, tuple)
        return body if isinstance(body, plain) else _Body(body, held)


def _wsgi_header(name: str, environ: dict[str, Any]) -> str | None:
    return environ.get("HTTP_" + name.upper().replace("-", "_"), "").strip() or None


class _Body:
    """What an application returns, read and closed in its scope."""

    def __init__(self, body: Any, held: Held) -> None:
        self._step = functools.partial(run, held, functools.partial(next, iter(body)))
        close = getattr(body, "close", None)
        self.close = functools.partial(run, held, close) if close else int

    def __iter__(self) -> _Body:
        return self

    def __next__(self) -> Any:
        return self._step()
