"""Web requests in the workspace of their tenant: middleware for ASGI and WSGI applications.

``workspace`` says where a request names it: a callable that is given the ASGI scope or the WSGI
environ and returns a workspace, or None for no scope; or the name of a request header, which any
client can send: only one that a proxy of your own sets, or that you check. There is no default.

A request that names none runs in no scope, whatever holds where the server calls the application:
servers start a request where another one has sent its answer, or read its body.

A malformed workspace is answered with status 400 and the rule that it breaks; the application does
not see the request. Raises TypeError for a ``workspace`` of any other kind.
"""

from __future__ import annotations

import functools
from collections.abc import Awaitable
from typing import Any, Callable, Union

from .. import _workspace
from .._carry import Held, _awaitable_steps, carried, in_none, in_scope, run
from .._workspace import WorkspaceError, validate
from ._holding import holding

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
        value = in_none(ask, request)
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
        # Step by step: a task that is never finished may be closed in the context of another.
        app = _call(self.app, scope, _outside(receive), _outside(send))
        return await _awaitable_steps(app, holding(workspace))


async def _call(function: Any, *args: Any) -> Any:
    return await function(*args)


def _outside(function: Any) -> Any:
    """``receive`` or ``send``, called in the scope in which the server has called us. What the
    server begins there (the next request, a timer, a reader of a socket) must not run in the scope
    of this request."""
    found = _workspace.scope.get()

    async def outside(*message: Any) -> Any:
        return await carried(_call(function, *message), [(_workspace.scope, found)])

    return outside


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
        held = holding(workspace)
        return run(held, functools.partial(self._begin, held, environ, start_response))

    def _begin(self, held: Held, environ: dict[str, Any], start_response: Any) -> Any:
        wrapper: Any = environ.get("wsgi.file_wrapper")
        files = []

        def file_wrapper(file: Any, *size: Any) -> Any:
            files.append(wrapper(_File(file, held), *size))
            return files[-1]

        if wrapper is not None:
            environ["wsgi.file_wrapper"] = file_wrapper
        try:
            body = self.app(environ, start_response)
        finally:
            if wrapper is not None:  # servers look at it again, to know their own
                environ["wsgi.file_wrapper"] = wrapper
        # Servers have short cuts for the lists, tuples and wrapped files that we return bare.
        if type(body) in (list, tuple):
            return body
        ours = any(body is each for each in files)
        if ours or (type(body) is wrapper and hasattr(body, "filelike")):
            if not ours:  # the application has imported the class itself
                body.filelike = _File(body.filelike, held)
            if "close" in getattr(body, "__dict__", ()):  # the file's, or set by the application
                body.close = functools.partial(run, held, body.close)
            return body
        return (_SizedBody if hasattr(body, "__len__") else _Body)(body, held)


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


class _SizedBody(_Body):
    """A server that finds one block can say its length."""

    def __init__(self, body: Any, held: Held) -> None:
        super().__init__(body, held)
        self._length = functools.partial(run, held, functools.partial(len, body))

    def __len__(self) -> int:
        return self._length()  # type: ignore[no-any-return]


class _File:
    """A file for a server's wrapper of files, whose methods are called in the scope of the request.

    Those of the interpreter may run code of the program too: Django sets ``close`` of each on the
    file itself, and a BufferedReader reads what a program has written. A server sends by its number
    (``fileno()``) what it would have sent so without us.
    """

    def __init__(self, file: Any, held: Held) -> None:
        self._file = file
        self._holding = [(variable, variable.get()) for variable, _ in held]

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._file, name)
        return in_scope(value, *self._holding) if callable(value) else value

    def __iter__(self) -> _Body:
        return _Body(self._file, [list(each) for each in self._holding])
