"""The libraries by which programs reach the service without the SDK: adapters, and their table.

Each library is patched where every request passes last, each hop of a redirect for itself, and
after all that may name a workspace (session, client, authentication, hooks) has had its say. What
the program holds is never changed: the header goes into a copy, or into what the library has made
for this one request, so that a redirect elsewhere has nothing to lose, and ``unpatch`` leaves
nothing behind.

Nothing here needs wrapt: a program that never imports the SDK does without it.
"""

from __future__ import annotations

import functools
import operator
import sys
import threading
from contextlib import suppress
from socket import SHUT_RDWR
from types import FunctionType
from typing import Any, Callable

from ._carry import in_scope
from ._decision import HEADER, current, route
from ._hosts import in_url, is_unnamed
from ._seam import Seam
from ._workspace import WorkspaceError, scope

_NAME = HEADER.lower()
_RAW, _RAW_NAME = HEADER.encode(), _NAME.encode()

#: Whether the rows are applied. Another patcher that has wrapped one of our functions, or has saved
#: it to put it back, keeps it in use after ``unpatch``: then it does nothing.
active = False


def _adapter(make: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """An adapter from ``make``, which is given the original to call as ``original(self, ...)``."""

    @functools.wraps(make)
    def adapter(original: Any) -> Any:
        called = original
        if hasattr(type(original), "__get__") and not isinstance(original, FunctionType):

            def called(self: Any, *args: Any, **kwargs: Any) -> Any:  # another patcher's object
                return original.__get__(self, type(self))(*args, **kwargs)

        # Attributes stay behind: by them other patchers know what they may take off.
        return functools.wraps(original, updated=())(make(called))

    return adapter


# What names a workspace


def _names(value: Any) -> bool:
    """Whether the value of the header names a workspace: a blank one does not."""
    return value is not None and bool(value.strip())


def _is_name(name: Any) -> bool:
    return (name.decode("latin-1") if isinstance(name, bytes) else name).lower() == _NAME


def _spellings(headers: Any) -> list[Any]:
    # The length first: it is all that most names pay.
    return [name for name in headers or () if len(name) == len(HEADER) and _is_name(name)]


def _any_names(headers: Any) -> bool:
    return any(_names(headers[name]) for name in _spellings(headers))


def _workspace(host: Any) -> str | None:
    """The workspace of a request to a host of the service that names none itself."""
    return route(f"https://{host}/")[1]


def _filled(headers: Any, workspace: str) -> Any:
    """A copy of a mapping of headers, or of None, with the header."""
    filled = headers.copy() if hasattr(headers, "copy") else dict(headers or {})
    for name in _spellings(filled):  # blank
        del filled[name]
    filled[HEADER] = workspace
    return filled


class _Sent:
    """The headers of a request that was sent, and copies of them, from which requests makes the
    next hop of a redirect. Before they are sent again what the shim added is taken off."""

    native: Callable[[], Any]

    def copy(self) -> Any:
        kind: Any = type(self)
        return kind(self)

    def __reduce_ex__(self, protocol: Any) -> Any:
        return operator.itemgetter(0), ((self.native(),),)


@functools.cache
def _sent(plain: Any) -> Any:
    class Sent(_Sent, plain):  # type: ignore[misc]
        def native(self) -> Any:
            native = plain(self)
            del native[HEADER]
            return native

    Sent.__name__ = plain.__name__  # which is shown
    return Sent


def _require(fits: bool, what: str) -> None:
    # The classes' public ways cost more than all the rest, and take three of four microseconds.
    if not fits:
        raise LookupError(f"{what} keeps its headers in another way")


def _with_headers(request: Any, headers: Any) -> Any:
    """A shallow copy; the libraries' own ways, and ``copy.copy``, lose some of what is sent."""
    copy = object.__new__(type(request))
    copy.__dict__.update(request.__dict__)
    copy.headers = headers
    return copy


# Adapters


@_adapter
def requests(original: Any) -> Any:
    """``Session.send`` of requests, by which each hop of a redirect is sent too."""
    plain = sys.modules["requests.structures"].CaseInsensitiveDict
    _require(getattr(plain({"A": "b"}), "_store", None) == {"a": ("A", "b")}, "requests")
    kind = _sent(plain)

    def named(headers: Any) -> bool:
        if not isinstance(headers, plain):  # the program's own
            return _any_names(headers)
        found = headers._store.get(_NAME)
        return found is not None and _names(found[1])

    def send(self: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
        headers = request.headers
        if isinstance(headers, _Sent):
            headers = headers.native()
            request = _with_headers(request, headers)
        if active and in_url(request.url):
            if not isinstance(headers, plain):
                headers = plain(headers)
            if not named(headers) and not named(self.headers):
                workspace = route(request.url)[1]
                if workspace is not None:
                    sent = kind.__new__(kind)
                    sent._store = headers._store.copy()
                    sent._store.pop(_NAME, None)  # a blank one may be spelled otherwise
                    sent._store[_NAME] = (HEADER, workspace)
                    request = _with_headers(request, sent)
        return original(self, request, *args, **kwargs)

    return send


def _httpx_request(client: Any, request: Any) -> Any:
    """What is sent for ``request``: itself, or a copy with the header."""
    headers = request.headers
    if isinstance(headers, _Sent):
        headers = headers.native()
        request = _with_headers(request, headers)
    if not active or not is_unnamed(host := request.url.host):
        return request
    if _raw_names(headers) or _raw_names(client.headers):
        return request
    workspace = _workspace(host)
    if workspace is None:
        return request
    plain: Any = type(headers)
    kind = _sent(plain)
    sent = kind.__new__(kind)
    sent.__dict__.update(headers.__dict__)
    others = [header for header in headers._list if header[1] != _RAW_NAME]  # without a blank one
    sent._list = [*others, (_RAW, _RAW_NAME, workspace.encode())]
    return _with_headers(request, sent)


def _raw_names(headers: Any) -> bool:
    return bool([1 for _, name, value in headers._list if name == _RAW_NAME and value.strip()])


def httpx(library: str, asynchronous: bool = False) -> Callable[[Any], Any]:
    """``_send_single_request`` of a client of httpx or httpx2: one hop, ``send`` follows redirects.

    ``library`` is the name of the one or the other.
    """

    def make(original: Any) -> Any:
        headers = sys.modules[f"{library}._models"].Headers({"A": "b"})
        _require(getattr(headers, "_list", None) == [(b"A", b"a", b"b")], library)

        def _send_single_request(self: Any, request: Any) -> Any:
            return original(self, _httpx_request(self, request))

        async def _send_single_request_async(self: Any, request: Any) -> Any:
            return await original(self, _httpx_request(self, request))

        return _send_single_request_async if asynchronous else _send_single_request

    return _adapter(make)


@_adapter
def aiohttp(original: Any) -> Any:
    """The constructor of aiohttp's ``ClientRequest``: one for each hop, websockets' handshakes
    included, whose headers are those of the call over those of the session."""

    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        original(self, *args, **kwargs)
        if active and is_unnamed(self.url.raw_host) and not _names(self.headers.get(HEADER)):
            workspace = _workspace(self.url.raw_host)
            if workspace is not None:
                self.headers[HEADER] = workspace

    return __init__


@_adapter
def urllib3(original: Any) -> Any:
    """``HTTPConnectionPool.urlopen`` of urllib3, to which pool managers, and requests, come."""

    def urlopen(self: Any, method: Any, url: Any, *args: Any, **kwargs: Any) -> Any:
        # The pool of a proxy is given whole URLs.
        if active and (is_unnamed(self.host) if url[:1] == "/" else in_url(url)):
            given = kwargs["headers"] if "headers" in kwargs else args[1] if args[1:] else None
            headers = self.headers if given is None else given
            if not isinstance(headers, _Sent) and not _any_names(headers):
                workspace = _workspace(self.host) if url[:1] == "/" else route(url)[1]
                if workspace is not None:
                    headers = _filled(headers, workspace)
                    if args[1:]:
                        args = (args[0], headers, *args[2:])
                    else:
                        kwargs["headers"] = headers
        return original(self, method, url, *args, **kwargs)

    return urlopen


@_adapter
def urllib_request(original: Any) -> Any:
    """``AbstractHTTPHandler.do_open`` of urllib.request, which makes the next hop of a redirect
    from the request that its caller holds."""

    def do_open(self: Any, http_class: Any, req: Any, **kwargs: Any) -> Any:
        if (
            active
            and in_url(req.full_url)
            and not _any_names(req.headers)
            and not _any_names(req.unredirected_hdrs)
        ):
            workspace = route(req.full_url)[1]
            if workspace is not None:
                others = {k: v for k, v in req.headers.items() if not _is_name(k)}
                unredirected = _filled(req.unredirected_hdrs, workspace)
                req = _with_headers(req, others)
                req.unredirected_hdrs = unredirected
        return original(self, http_class, req, **kwargs)

    return do_open


@_adapter
def websocket_client(original: Any) -> Any:
    """``handshake`` of websocket-client, as ``WebSocket.connect`` sees it, for each hop."""
    code = original.__code__
    position = code.co_varnames[: code.co_argcount].index("hostname")

    def handshake(*args: Any, **options: Any) -> Any:
        host = args[position] if len(args) > position else options["hostname"]
        if active and is_unnamed(host):
            given = options.get("header") or []
            options["header"] = given = given if isinstance(given, dict) else list(given)
            pairs = given.items() if isinstance(given, dict) else map(_split, given)
            named = any(_is_name(name) and _names(value) for name, value in pairs)
            workspace = None if named else _workspace(host)
            if workspace is not None and isinstance(given, dict):
                options["header"] = _filled(given, workspace)
            elif workspace is not None:
                others = [line for line in given if not _is_name(_split(line)[0])]
                options["header"] = [*others, f"{HEADER}: {workspace}"]
        return original(*args, **options)

    return handshake


def _split(line: str) -> tuple[str, str]:
    name, _, value = line.partition(":")
    return name.strip(), value


def _handshake_headers(connection: Any, given: Any) -> Any:
    headers = sys.modules["websockets.datastructures"].Headers(given or ())
    protocol = connection.protocol
    uri = getattr(protocol, "uri", None) or protocol.wsuri  # older releases
    return headers if _fill_multiple(uri.host, headers) else given


@_adapter
def websockets(original: Any) -> Any:
    """``ClientConnection.handshake`` of websockets in asyncio and trio: one for each hop. What is
    raised in the protocol below it would leave a connection behind that waits for its end."""

    async def handshake(self: Any, additional_headers: Any = None, *args: Any, **kw: Any) -> Any:
        return await original(self, _handshake_headers(self, additional_headers), *args, **kw)

    return handshake


@_adapter
def websockets_sync(original: Any) -> Any:
    """The same in threads."""

    def handshake(self: Any, additional_headers: Any = None, *args: Any, **kw: Any) -> Any:
        try:
            headers = _handshake_headers(self, additional_headers)
        except WorkspaceError:
            # The thread that waits for an answer is waited for, and would not see that a TLS socket
            # is closed under it.
            with suppress(OSError):
                self.socket.shutdown(SHUT_RDWR)
            raise
        return original(self, headers, *args, **kw)

    return handshake


@_adapter
def websockets_legacy(original: Any) -> Any:
    """``write_http_request`` of the legacy client of websockets."""

    def write_http_request(self: Any, path: Any, headers: Any) -> Any:
        # Of several, the first is what the URL says, and the others what the program does.
        _fill_multiple(headers.get_all("Host")[0], headers)
        return original(self, path, headers)

    return write_http_request


def _fill_multiple(host: str, headers: Any) -> bool:
    """Fill the headers of one handshake, of a class of websockets; False if they stay native."""
    if active and is_unnamed(host) and not any(map(_names, headers.get_all(HEADER))):
        workspace = _workspace(host)
        if workspace is not None:
            if HEADER in headers:  # blank
                del headers[HEADER]
            headers[HEADER] = workspace
            return True
    return False


# The SDK's own threads


class _Thread(threading.Thread):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        holds = scope.get() or current.get().born
        if holds is not None:
            self.run = in_scope(self.run, (scope, holds))  # type: ignore[method-assign]


class _Threading:
    def __init__(self, module: Any) -> None:
        self._module = module

    def __getattr__(self, name: str) -> Any:
        return _Thread if name == "Thread" else getattr(self._module, name)


def threads(original: Any) -> Any:
    """``threading``, in a module of the SDK that connects in a thread what it has decided about
    before: a library asked there must not find the environment where the caller's scope holds."""
    return _Threading(original)


# The table. A library of which the attribute is missing is one whose insides do not fit.

SEAMS = (
    Seam("requests.sessions", "Session.send", requests, ""),
    Seam("httpx._client", "Client._send_single_request", httpx("httpx"), ""),
    Seam("httpx._client", "AsyncClient._send_single_request", httpx("httpx", True), ""),
    Seam("httpx2._client", "Client._send_single_request", httpx("httpx2"), ""),
    Seam("httpx2._client", "AsyncClient._send_single_request", httpx("httpx2", True), ""),
    Seam("aiohttp.client_reqrep", "ClientRequest.__init__", aiohttp, ""),
    Seam("urllib3.connectionpool", "HTTPConnectionPool.urlopen", urllib3, ""),
    Seam("urllib.request", "AbstractHTTPHandler.do_open", urllib_request, ""),
    Seam("websocket._core", "handshake", websocket_client, ""),
    Seam("websockets.asyncio.client", "ClientConnection.handshake", websockets, ""),
    Seam("websockets.trio.client", "ClientConnection.handshake", websockets, ""),
    Seam("websockets.sync.client", "ClientConnection.handshake", websockets_sync, ""),
    Seam(
        "websockets.legacy.client",
        "WebSocketClientProtocol.write_http_request",
        websockets_legacy,
        "",
    ),
)
