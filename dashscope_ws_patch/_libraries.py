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
import sys
from contextlib import suppress
from contextvars import ContextVar
from operator import itemgetter
from socket import SHUT_RDWR
from types import FunctionType, SimpleNamespace
from typing import Any, Callable

from ._carry import in_scope
from ._decision import HEADER, ambient, without_workspace, workspace_in_headers
from ._hosts import in_url, is_unnamed
from ._seam import Seam
from ._workspace import WorkspaceError

_NAME = HEADER.lower()
# Of these very objects httpx makes the copies of its headers: a mark of what was added.
_RAW, _RAW_NAME = HEADER.encode(), _NAME.encode()

#: Whether the rows are applied. Another patcher that has wrapped one of our functions, or has saved
#: it to put it back, keeps it in use after ``unpatch``: then it does nothing.
active = False

#: Whether a session of requests, below which urllib3 sends, names a workspace.
_settled: ContextVar[bool] = ContextVar("dashscope_ws_patch.settled", default=False)


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


class _Added(str):
    """The workspace in a request that was sent, and in what requests makes the next hop of a
    redirect from: it is decided anew there."""

    def __reduce__(self) -> Any:
        return str, (str(self),)  # with the response that a program pickles


def _lacking(service: bool, *headers: Any) -> str | None:
    """The workspace that a request lacks, if it goes to the service and none of its headers names
    one."""
    if active and service and not any(map(workspace_in_headers, headers)):
        return ambient()[0]
    return None


def _filled(headers: Any, workspace: str) -> Any:
    """A copy of a mapping of headers, or of None, with the header."""
    filled = headers.copy() if hasattr(headers, "copy") else dict(headers or {})
    for name in [name for name in filled if str(name).lower() == _NAME]:  # blank
        del filled[name]
    filled[HEADER] = workspace
    return filled


def _require(fits: bool, what: str) -> None:
    # The classes' public ways cost more than all the rest, and take three of four microseconds.
    if not fits:
        raise LookupError(f"{what} keeps its headers in another way")


def _with_headers(request: Any, headers: Any) -> Any:
    """A shallow copy; the libraries' own ways, and ``copy.copy``, lose some of what is sent."""
    copy = object.__new__(type(request))
    copy.__dict__ = known = request.__dict__.copy()
    known["headers"] = headers
    return copy


# What the program has read


def _read(content: Any, answer: Any) -> None:
    """Give the hint where the service has refused in ``content``, the whole of its ``answer``."""
    if content.__class__ is bytes and len(content) < 2048 and b"enied" in content and active:
        from .hint.watch import overheard

        overheard(content, answer)


def _refused(error: Any, told: Callable[[], tuple[Any, Any]]) -> None:
    """Give the hint where the handshake of a websocket, with the URL and headers that ``told``
    returns, was answered with 403."""
    answer = getattr(error, "response", error)
    if 403 in (getattr(answer, "status_code", 0), getattr(answer, "status", 0)) and active:
        from .hint.watch import overheard

        with suppress(Exception):
            url, headers = told()
            text = getattr(answer, "body", str(error))
            sent = SimpleNamespace(url=url, headers=headers)
            overheard(text, SimpleNamespace(status=403, request=sent), handshake=True)


def _seen(look: Callable[[Any, Any], None], asynchronous: bool = True) -> Callable[[Any], Any]:
    """An adapter of a method, of which ``look`` sees the object and the result, or the error."""

    def make(original: Any) -> Any:
        def method(self: Any, *args: Any, **kwargs: Any) -> Any:
            try:
                result = original(self, *args, **kwargs)
            except Exception as error:
                look(self, error)
                raise
            look(self, result)
            return result

        async def method_async(self: Any, *args: Any, **kwargs: Any) -> Any:
            try:
                result = await original(self, *args, **kwargs)
            except Exception as error:
                look(self, error)
                raise
            look(self, result)
            return result

        return method_async if asynchronous else method

    return _adapter(make)


def _of_reader(answer: Any, content: Any) -> None:
    _read(content, answer)


def _of_aiohttp_websocket(session: Any, error: Any) -> None:
    _refused(error, lambda: (error.request_info.url, error.request_info.headers))


def _uri(connection: Any) -> Any:
    protocol = connection.protocol
    return getattr(protocol, "uri", None) or protocol.wsuri  # older releases


def _of_websockets(connection: Any, error: Any) -> None:
    uri = _uri(connection)
    _refused(error, lambda: (f"wss://{uri.host}{uri.resource_name}", connection.request.headers))


def _of_websockets_legacy(connection: Any, error: Any) -> None:
    headers: Any = getattr(connection, "request_headers", None)
    _refused(error, lambda: (f"wss://{headers.get_all('Host')[0]}{connection.path}", headers))


# Adapters


@_adapter
def requests(original: Any) -> Any:
    """``Session.send`` of requests, by which each hop of a redirect is sent too."""
    plain = sys.modules["requests.structures"].CaseInsensitiveDict
    _require(getattr(plain({"A": "b"}), "_store", None) == {"a": ("A", "b")}, "requests")

    def store(headers: Any) -> Any:
        return (headers if isinstance(headers, plain) else plain(headers))._store

    def named(found: Any) -> Any:
        return found and found[1] and found[1].strip()

    def send(self: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
        given, workspace, sending = store(request.headers), None, original
        found = given.get(_NAME)
        ours = found is not None and found[1].__class__ is _Added
        if in_url(request.url) and (ours or not named(found)):
            if named(store(self.headers).get(_NAME)):
                sending = in_scope(original, (_settled, True))
            else:
                workspace = _lacking(True)
        if ours or workspace is not None:
            sent = plain.__new__(plain)
            sent._store = given.copy()
            sent._store.pop(_NAME, None)  # a blank one may be spelled otherwise
            if workspace is not None:
                sent._store[_NAME] = (HEADER, _Added(workspace))
            request = _with_headers(request, sent)
        answer = sending(self, request, *args, **kwargs)
        _read(getattr(answer, "_content", None), answer)
        return answer

    return send


def _httpx_request(client: Any, request: Any) -> Any:
    """What is sent for ``request``: itself, or a copy with the header."""
    given, workspace = request.headers._list, None
    found = _found(given)
    ours = found and found[-1][0] is _RAW
    if is_unnamed(request.url.host) and (ours or not _named(found)):
        workspace = _lacking(not _named(_found(client.headers._list)))
    if workspace is None and not ours:
        return request
    sent = object.__new__(type(request.headers))
    sent.__dict__.update(request.headers.__dict__)
    sent._list = [header for header in given if header not in found] if found else given.copy()
    if workspace is not None:
        sent._list.append((_RAW, _RAW_NAME, workspace.encode()))
    return _with_headers(request, sent)


def _found(headers: Any) -> Any:
    if _RAW_NAME not in map(_name_of, headers):  # all that most requests pay
        return ()
    return [header for header in headers if header[1] == _RAW_NAME]


def _named(found: Any) -> bool:
    return bool(found) and any(value.strip() for _, _, value in found)


_name_of = itemgetter(1)


def httpx(library: str) -> Callable[[Any], Any]:
    """``_send_single_request`` of a client of httpx or httpx2: one hop, ``send`` follows redirects.

    ``library`` is the name of the one or the other.
    """

    def make(original: Any) -> Any:
        headers = sys.modules[f"{library}._models"].Headers({"A": "b"})
        _require(getattr(headers, "_list", None) == [(b"A", b"a", b"b")], library)

        # Asynchronous or not: what is returned is awaited by its caller.
        def _send_single_request(self: Any, request: Any) -> Any:
            return original(self, _httpx_request(self, request))

        return _send_single_request

    return _adapter(make)


@_adapter
def aiohttp(original: Any) -> Any:
    """The constructor of aiohttp's ``ClientRequest``: one for each hop, websockets' handshakes
    included, whose headers are those of the call over those of the session."""

    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        original(self, *args, **kwargs)
        workspace = _lacking(is_unnamed(self.url.raw_host), self.headers)
        if workspace is not None:
            self.headers[HEADER] = workspace

    return __init__


@_adapter
def urllib3(original: Any) -> Any:
    """``HTTPConnectionPool.urlopen`` of urllib3, to which pool managers, and requests, come."""

    def urlopen(self: Any, method: Any, url: Any, *args: Any, **kwargs: Any) -> Any:
        # The pool of a proxy is given whole URLs.
        if not (is_unnamed(self.host) if url[:1] == "/" else in_url(url)):
            return original(self, method, url, *args, **kwargs)
        given = kwargs["headers"] if "headers" in kwargs else args[1] if args[1:] else None
        headers = self.headers if given is None else given
        workspace = _lacking(not _settled.get(), headers)
        if workspace is not None:
            headers = _filled(headers, workspace)
            if args[1:]:
                args = (args[0], headers, *args[2:])
            else:
                kwargs["headers"] = headers
        answer = original(self, method, url, *args, **kwargs)
        content = getattr(answer, "_body", None)
        if content:
            url = f"https://{self.host}{url}" if url[:1] == "/" else url
            body = args[0] if args else kwargs.get("body")
            sent = SimpleNamespace(url=url, headers=headers, body=body)
            _read(content, SimpleNamespace(status=answer.status, request=sent))
        return answer

    return urlopen


@_adapter
def urllib_request(original: Any) -> Any:
    """``AbstractHTTPHandler.do_open`` of urllib.request, which makes the next hop of a redirect
    from the request that its caller holds."""

    def do_open(self: Any, http_class: Any, req: Any, **kwargs: Any) -> Any:
        workspace = _lacking(in_url(req.full_url), req.headers, req.unredirected_hdrs)
        if workspace is not None:
            unredirected = _filled(req.unredirected_hdrs, workspace)
            req = _with_headers(req, without_workspace(req.headers))
            req.unredirected_hdrs = unredirected
        return original(self, http_class, req, **kwargs)

    return do_open


@_adapter
def websocket_client(original: Any) -> Any:
    """``handshake`` of websocket-client, as ``WebSocket.connect`` sees it, for each hop."""
    code = original.__code__
    position = code.co_varnames[: code.co_argcount].index("hostname")

    def handshake(*args: Any, **options: Any) -> Any:
        host = args[position]
        given = options.get("header") or []
        if is_unnamed(host):
            options["header"] = given = given if isinstance(given, dict) else list(given)
            workspace = _lacking(True, given)
            if workspace is not None and isinstance(given, dict):
                options["header"] = given = _filled(given, workspace)
            elif workspace is not None:
                others = [line for line in given if line.partition(":")[0].lower() != _NAME]
                options["header"] = given = [*others, f"{HEADER}: {workspace}"]
        try:
            return original(*args, **options)
        except Exception as error:
            _refused(error, lambda: (f"wss://{host}{args[position + 2]}", given))
            raise

    return handshake


def _fill_multiple(headers: Any) -> None:
    """Fill the headers of one handshake with the service, of a class of websockets."""
    workspace = _lacking(True, list(headers.raw_items()))
    if workspace is not None:
        if HEADER in headers:  # blank
            del headers[HEADER]
        headers[HEADER] = workspace


def websockets(asynchronous: bool = True) -> Callable[[Any], Any]:
    """``ClientConnection.handshake`` of websockets: one for each hop. What is raised in the
    protocol below it would leave a connection behind that waits for its end."""
    seen = _seen(_of_websockets, asynchronous)

    def make(original: Any) -> Any:
        original = seen(original)

        def handshake(self: Any, additional_headers: Any = None, *args: Any, **kw: Any) -> Any:
            headers = additional_headers
            try:
                if is_unnamed(_uri(self).host):
                    # What was given may be an iterator, which is there but once.
                    headers = sys.modules["websockets.datastructures"].Headers(headers or ())
                    _fill_multiple(headers)
            except WorkspaceError:
                if not asynchronous:
                    # The thread that waits for an answer is waited for, and would not see that a
                    # TLS socket is closed under it.
                    with suppress(OSError):
                        self.socket.shutdown(SHUT_RDWR)
                raise
            return original(self, headers, *args, **kw)

        return handshake

    return _adapter(make)


@_adapter
def websockets_legacy(original: Any) -> Any:
    """``write_http_request`` of their legacy client."""

    def write_http_request(self: Any, path: Any, headers: Any) -> Any:
        # Of several, the first is what the URL says, and the others what the program does.
        if is_unnamed(headers.get_all("Host")[0]):
            _fill_multiple(headers)
        return original(self, path, headers)

    return write_http_request


# The SDK's own threads


# The table. A library of which the attribute is missing is one whose insides do not fit.

SEAMS = (
    Seam("requests.sessions", "Session.send", requests, ""),
    *(
        seam
        for name in ("httpx", "httpx2")
        for seam in (
            Seam(f"{name}._client", "Client._send_single_request", httpx(name), ""),
            Seam(f"{name}._client", "AsyncClient._send_single_request", httpx(name), ""),
            Seam(f"{name}._models", "Response.read", _seen(_of_reader, False), ""),
            Seam(f"{name}._models", "Response.aread", _seen(_of_reader), ""),
        )
    ),
    Seam("aiohttp.client_reqrep", "ClientRequest.__init__", aiohttp, ""),
    Seam("aiohttp.client_reqrep", "ClientResponse.read", _seen(_of_reader), ""),
    Seam("aiohttp.client", "ClientSession._ws_connect", _seen(_of_aiohttp_websocket), ""),
    Seam("urllib3.connectionpool", "HTTPConnectionPool.urlopen", urllib3, ""),
    Seam("urllib.request", "AbstractHTTPHandler.do_open", urllib_request, ""),
    Seam("websocket._core", "handshake", websocket_client, ""),
    Seam("websockets.asyncio.client", "ClientConnection.handshake", websockets(), ""),
    Seam("websockets.trio.client", "ClientConnection.handshake", websockets(), ""),
    Seam("websockets.sync.client", "ClientConnection.handshake", websockets(False), ""),
    *(
        Seam("websockets.legacy.client", f"WebSocketClientProtocol.{name}", adapter, "")
        for name, adapter in (
            ("write_http_request", websockets_legacy),
            ("handshake", _seen(_of_websockets_legacy)),
        )
    ),
)
