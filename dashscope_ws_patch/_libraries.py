"""The libraries by which programs reach the service without the SDK: adapters, and their table.

Each library is patched at the lowest place of its own that still knows the host: every attempt and
every hop of a redirect passes there by itself, after all that may name a workspace (session,
client, middleware, hook, authentication, transport, adapter). The header goes into what the library
writes, never into what the program holds, so that nothing made from an answer has it to lose, and
``unpatch`` leaves nothing behind.

Nothing here needs wrapt: a program that never imports the SDK does without it.
"""

from __future__ import annotations

import functools
import sys
import weakref
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from socket import SHUT_RDWR
from types import FunctionType, SimpleNamespace
from typing import Any, Callable, Optional

from . import _hosts, _workspace
from ._carry import in_scope
from ._decision import (
    HEADER,
    SettledHeaders,
    SettledLines,
    settle,
    text,
    with_workspace,
    without_workspace,
)
from ._hosts import DOMAIN, in_url, is_unnamed
from ._seam import Seam
from ._workspace import WorkspaceError

_NAME, _LENGTH = HEADER.lower(), len(HEADER)
_RAW = HEADER.encode()

#: Whether the rows are applied. Another patcher that has wrapped one of our functions, or has saved
#: it to put it back, keeps it in use after ``unpatch``: then it does nothing.
active = False

#: Why a library is left alone, if its insides turned out not to fit while it sent.
misfits: dict[str, str] = {}


class _Filled(dict):  # type: ignore[type-arg]
    """Headers to which the workspace was added. urllib3 hands them to itself for another attempt,
    or hop, which may lead away from the service."""

    def copy(self) -> _Filled:
        return _Filled(self)


#: Where what an answer leads to keeps the workspace that was sent, and its source, for the hint.
SENT = "_dashscope_ws_patch_sent"

#: Whether a session of requests, below which urllib3 sends, names a workspace.
_session_names: ContextVar[bool] = ContextVar("dashscope_ws_patch.session_names", default=False)


def _adapter(*parameters: str) -> Callable[[Callable[[Any], Any]], Callable[[Any], Any]]:
    """Makes an adapter from a function that is given the original, to call as ``original(self)``.

    ``parameters`` are those that the original must begin with, after ``self``: a release that has
    others is left alone.
    """

    def adapter_of(make: Callable[[Any], Any]) -> Callable[[Any], Any]:
        @functools.wraps(make)
        def adapter(original: Any) -> Any:
            first = _parameters(original)[1 : len(parameters) + 1]
            if first != parameters:
                raise LookupError(f"it takes {', '.join(first)}, not {', '.join(parameters)}")
            called = original
            if hasattr(type(original), "__get__") and not isinstance(original, FunctionType):

                def called(self: Any, *args: Any, **kwargs: Any) -> Any:  # another patcher's object
                    return original.__get__(self, type(self))(*args, **kwargs)

            made = make(called)
            # Attributes stay behind: by them other patchers know what they may take off.
            return original if made is called else functools.wraps(original, updated=())(made)

        return adapter

    return adapter_of


def _parameters(function: Any) -> tuple[str, ...]:
    while hasattr(function, "__wrapped__"):  # by another patcher
        function = function.__wrapped__
    code = function.__code__
    names: tuple[str, ...] = code.co_varnames[: code.co_argcount]
    return names


#: What is to be sent: the host that the request goes to, the workspace that it lacks, what it names
#: then, and whether it has the header, blank, already. None where it goes as it is.
_Lacking = Optional[tuple[str, Optional[str], Any, bool]]


def _lacking(library: str) -> Callable[[Callable[..., _Lacking]], Callable[..., _Lacking]]:
    """Guards a function that looks into a request: where the insides of ``library`` do not fit, the
    request goes as natively, and the user is told once."""

    def guard(look: Callable[..., _Lacking]) -> Callable[..., _Lacking]:
        def guarded(*request: Any) -> _Lacking:
            if not active:
                return None
            try:
                return look(*request)
            except WorkspaceError:
                raise
            except Exception as error:
                if library not in misfits:
                    misfits[library] = f"{type(error).__name__}: {error}"
                    _workspace.warn(
                        f"the insides of this release of {library} do not fit "
                        f"({misfits[library]}): what it sends goes without the workspace"
                    )
                return None

        return guarded

    return guard


def _settled(host: str, headers: Iterable[Any], named_above: bool = False) -> _Lacking:
    """What a request to ``host``, which is the service's, lacks; ``headers`` are pairs.

    ``named_above`` is whether its session names a workspace: then it goes as natively.
    """
    named, present = None, False
    values = [v for name, v in headers if len(name) == _LENGTH and text(name).lower() == _NAME]
    if values:
        present = True
        named = next(filter(None, (text(v).strip() for v in values if v)), None)
    if named_above and not named:
        return None
    url, _, workspace, source = settle(f"https://{host}", {HEADER: named} if named else None)
    return url[8:], None if named else workspace, (workspace, source), present


def _copied(headers: Any, present: bool) -> Any:
    """A copy of a mapping of headers, without that of the workspace where it is ``present``."""
    store = getattr(headers, "_store", None)  # of requests, whose own copies take microseconds
    if isinstance(store, dict):
        copy: Any = dict(store.values())
    else:
        copy = headers.copy() if hasattr(headers, "copy") else dict(headers or {})
    return without_workspace(copy) if present else copy


def _lower(headers: Any) -> Any:
    """The names of a mapping of headers, in lower case."""
    store = getattr(headers, "_store", None)
    return store if isinstance(store, dict) else {text(name).lower() for name in headers or ()}


def _pairs(headers: Any) -> Any:
    store = getattr(headers, "_store", None)
    return store.values() if isinstance(store, dict) else (headers or {}).items()


def _may_move() -> bool:
    """Whether the workspace's own host was asked for, so that connections are chosen by it."""
    return _hosts.asked is not None or bool(_workspace.variable(_workspace.OWN_HOST))


# What the program has read


def _note(key: Any, sent: Any) -> None:
    known = getattr(key, "__dict__", None)
    if known is not None:
        known[SENT] = sent


def _read(content: Any, answer: Any, key: Any) -> None:
    """Give the hint where the service has refused in ``content``, the whole of its ``answer``.
    ``key`` is what was noted for it."""
    if content.__class__ is bytes and len(content) < 2048 and b"enied" in content and active:
        from .hint.watch import overheard

        overheard(content, answer, getattr(key, SENT, None))


def _refused(error: Any, url: str, headers: Any = ()) -> None:
    """Give the hint where the handshake of a websocket was answered with 403."""
    answer = getattr(error, "response", error)
    if 403 in (getattr(answer, "status_code", 0), getattr(answer, "status", 0)) and active:
        from .hint.watch import overheard

        request = SimpleNamespace(url=url, headers=headers)
        answered = SimpleNamespace(status=403, request=request)
        overheard(getattr(answer, "body", str(error)), answered, handshake=True)


def _reader(asynchronous: bool, key_of: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """An adapter of the method of an answer that reads it whole."""

    def make(original: Any) -> Any:
        def read(self: Any, *args: Any, **kwargs: Any) -> Any:
            content = original(self, *args, **kwargs)
            _read(content, self, key_of(self))
            return content

        async def aread(self: Any, *args: Any, **kwargs: Any) -> Any:
            content = await original(self, *args, **kwargs)
            _read(content, self, key_of(self))
            return content

        return aread if asynchronous else read

    return _adapter()(make)


# requests and urllib3


@_adapter("request")
def requests(original: Any) -> Any:
    """``Session.send`` of requests: what its session names, for urllib3 below, and the hint."""

    def send(self: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
        sending, names = original, _NAME in _lower(getattr(self, "headers", None))
        if names is not _session_names.get():
            sending = in_scope(original, (_session_names, names))
        answer = sending(self, request, *args, **kwargs)
        _read(getattr(answer, "_content", None), answer, getattr(answer, "raw", None))
        return answer

    return send


@_adapter("request")
def requests_chunked(original: Any) -> Any:
    """``HTTPAdapter.send`` of requests before 2.30, which writes chunked bodies past urllib3's
    ``urlopen``."""
    if "_get_conn" not in getattr(getattr(original, "__code__", None), "co_names", ()):
        return original

    @_lacking("requests")
    def look(request: Any) -> _Lacking:
        chunked = request.body and "Content-Length" not in request.headers
        if not chunked or not in_url(request.url):
            return None
        host = request.url.split("/", 3)[2]
        return _settled(host, _pairs(request.headers), _session_names.get())

    def send(self: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
        found = look(request)
        if found is None:
            return original(self, request, *args, **kwargs)
        host, workspace = found[:2]
        scheme, _, _, *path = request.url.split("/", 3)
        sent = request.copy()
        sent.url = "/".join((scheme, "", host, *path))
        if workspace is not None:
            sent.headers[HEADER] = workspace
        answer = original(self, sent, *args, **kwargs)
        answer.request = request
        return answer

    return send


@_lacking("urllib3")
def _of_urllib3(pool: Any, url: str, headers: Any) -> _Lacking:
    if url[:1] == "/":
        host = pool.host
    elif url[:4].lower() == "http":  # the pool of a proxy is given whole URLs
        host = url.split("/", 3)[2]
    else:
        return None
    if is_unnamed(host):
        return _settled(host, _pairs(headers), _session_names.get())
    if url[:1] != "/" and headers.__class__ is _Filled:
        return host, None, None, True  # redirected away from the service
    return None


@_adapter("method", "url", "body", "headers")
def urllib3(original: Any) -> Any:
    """``HTTPConnectionPool.urlopen`` of urllib3, to which pool managers, and requests, come; it
    calls itself for retries."""

    def urlopen(self: Any, method: Any, url: Any, *args: Any, **kwargs: Any) -> Any:
        headers = kwargs["headers"] if "headers" in kwargs else args[1] if args[1:] else None
        if headers is None:
            headers = self.headers
        found = _of_urllib3(self, url, headers)
        if found is None:
            return original(self, method, url, *args, **kwargs)
        host, workspace, sent, present = found
        if workspace is not None or sent is None:
            headers = _copied(headers, present)
            if workspace is not None:
                headers[HEADER] = workspace
                headers = _Filled(headers) if headers.__class__ is dict else headers
            if args[1:]:
                args = (args[0], headers, *args[2:])
            else:
                kwargs["headers"] = headers
        pool = self
        if url[:1] != "/":
            scheme, _, _, *path = url.split("/", 3)
            url = "/".join((scheme, "", host, *path))
        elif host != self.host:
            pool = _pool_beside(self, host)
        answer = original(pool, method, url, *args, **kwargs)
        _note(answer, sent)
        content = getattr(answer, "_body", None)
        if content:
            whole = f"https://{host}{url}" if url[:1] == "/" else url
            body = args[0] if args else kwargs.get("body")
            request = SimpleNamespace(url=whole, headers=headers, body=body)
            _read(content, SimpleNamespace(status=answer.status, request=request), answer)
        return answer

    return urlopen


_POOLS = "_dashscope_ws_patch_pools"


def _pool_beside(pool: Any, host: str) -> Any:
    """A pool of connections to a workspace's own host, with all else as ``pool`` has it now."""
    pools = vars(pool).setdefault(_POOLS, {})
    beside = pools.get(host)
    if beside is None:
        beside = pools[host] = object.__new__(type(pool))
        queue = pool.QueueCls(pool.pool.maxsize)
        for _ in range(pool.pool.maxsize):
            queue.put(None)
        vars(beside).update(num_connections=0, num_requests=0, pool=queue)
        weakref.finalize(pool, beside.close)
    own = {"num_connections", "num_requests", "pool", _POOLS}
    vars(beside).update({name: value for name, value in vars(pool).items() if name not in own})
    for name in ("host", "_proxy_host", "_tunnel_host"):
        if name in vars(beside):
            setattr(beside, name, host)
    return beside


# httpx and httpx2, by httpcore


@_lacking("httpx")
def _of_httpcore(host: bytes, headers: Any) -> _Lacking:
    name = host.decode("latin-1")
    return _settled(name, headers) if is_unnamed(name) else None


@_adapter()
def httpcore(original: Any) -> Any:
    """What a pool of connections of httpcore is asked by httpx: ``handle_request`` and its like."""
    if original.__name__ == "__init__":
        return original
    parameters = _parameters(original)[1:4]

    # Asynchronous or not: what is returned is awaited by its caller.
    def handle_request(self: Any, request: Any) -> Any:
        found = _of_httpcore(request.url.host, request.headers)
        if found is not None:
            url = request.url
            copy = object.__new__(type(request))
            copy.__dict__ = {**vars(request), "headers": _httpcore_headers(request.headers, found)}
            if (host := found[0].encode()) != url.host:
                copy.url = type(url)(scheme=url.scheme, host=host, port=url.port, target=url.target)
            _note(request.stream, found[2])
            request = copy
        return original(self, request)

    def request(self: Any, method: Any, url: Any, headers: Any = None, *args: Any, **k: Any) -> Any:
        found = _of_httpcore(url[1], headers or [])
        if found is not None:
            headers = _httpcore_headers(headers or [], found)
            url = (url[0], found[0].encode(), *url[2:])
        return original(self, method, url, headers, *args, **k)

    if parameters[:1] == ("request",):
        return handle_request
    if parameters == ("method", "url", "headers"):  # before httpcore 0.14
        return request
    raise LookupError(f"it takes {', '.join(parameters)}")


def _httpcore_headers(headers: Any, found: Any) -> Any:
    host, workspace, _, present = found
    if present and workspace:
        headers = without_workspace(list(headers))
    if workspace:
        headers = [*headers, (_RAW, workspace.encode())]
    if host.endswith(DOMAIN):  # moved
        name = host.encode()
        headers = [(n, _moved_host(v, name) if n.lower() == b"host" else v) for n, v in headers]
    return headers


def _moved_host(value: Any, host: Any) -> Any:
    """The value of a Host header, bytes or text, for another host and the same port."""
    _, colon, port = value.partition(b":" if isinstance(value, bytes) else ":")
    return host + colon + port


# aiohttp


@_lacking("aiohttp")
def _of_aiohttp(request: Any) -> _Lacking:
    if request.method == "CONNECT":  # to a proxy, whatever its name
        return None
    host = request.url.raw_host
    if not is_unnamed(host):
        return None
    return _settled(host, [(HEADER, value) for value in request.headers.getall(HEADER, ())])


@_adapter("req")
def aiohttp_connect(original: Any) -> Any:
    """``connect`` of aiohttp's connectors, which choose the connection by the URL of the request:
    here it is moved to the workspace's own host."""

    def connect(self: Any, req: Any, *args: Any, **kwargs: Any) -> Any:
        found = _of_aiohttp(req) if _may_move() else None
        if found is not None and found[0] != req.url.raw_host:
            vars(req)[_FOUND] = found
            if "Host" in req.headers:
                req.headers["Host"] = _moved_host(req.headers["Host"], found[0])
            req.url = req.url.with_host(found[0])
        return original(self, req, *args, **kwargs)

    return connect


#: Where a request that was moved keeps what its connection was chosen with, until it is sent.
_FOUND = "_dashscope_ws_patch_found"


@_adapter("conn")
def aiohttp(original: Any) -> Any:
    """``send`` of aiohttp's ``ClientRequest``, one for each hop, handshakes of websockets included:
    it has the header for as long as it is written."""

    def send(self: Any, conn: Any) -> Any:
        found = vars(self).pop(_FOUND, None) or _of_aiohttp(self)
        return original(self, conn) if found is None else filled(self, conn, found)

    async def filled(self: Any, conn: Any, found: Any) -> Any:
        workspace, sent = found[1:3]
        headers, blank = self.headers, None
        if workspace is not None:
            blank = headers.popall(HEADER) if found[3] else ()
            headers[HEADER] = workspace
        try:
            answer = await original(self, conn)
        finally:
            if blank is not None:
                headers.popall(HEADER, None)
                headers.extend([(HEADER, value) for value in blank])
        _note(answer, sent)
        return answer

    return send


@_adapter()
def aiohttp_websocket(original: Any) -> Any:
    """``ClientSession._ws_connect``, for the hint."""

    async def _ws_connect(self: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return await original(self, *args, **kwargs)
        except Exception as error:
            request = getattr(error, "request_info", None)
            if request is not None:
                _refused(error, str(request.url), request.headers)
            raise

    return _ws_connect


# urllib.request


class _Sent:
    """A request of urllib.request as it is sent; all else is that of the program's own."""

    def __init__(self, request: Any, **own: Any) -> None:
        vars(self).update(own, _request=request)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._request, name)


@_lacking("urllib.request")
def _of_urllib_request(request: Any) -> _Lacking:
    if not in_url(request.full_url):
        return None
    headers = {**request.headers, **request.unredirected_hdrs}
    return _settled(request.full_url.split("/", 3)[2], headers.items())


@_adapter("http_class", "req")
def urllib_request(original: Any) -> Any:
    """``AbstractHTTPHandler.do_open`` of urllib.request, which makes the next hop of a redirect
    from the request that its caller holds."""

    def do_open(self: Any, http_class: Any, req: Any, **kwargs: Any) -> Any:
        found = _of_urllib_request(req)
        if found is not None:
            host, workspace, _, present = found
            own: dict[str, Any] = {}
            if workspace is not None:
                if present:
                    own["headers"] = _copied(req.headers, present)
                own["unredirected_hdrs"] = _copied(req.unredirected_hdrs, present)
                own["unredirected_hdrs"][HEADER] = workspace
            old = req.full_url.split("/", 3)[2]
            if host != old:
                own["host"] = host if req.host == old else req.host
                own["_tunnel_host"] = host if req._tunnel_host == old else req._tunnel_host
                own["selector"] = req.selector.replace(f"//{old}", f"//{host}", 1)
                hosts = own.get("unredirected_hdrs", dict(req.unredirected_hdrs))
                if hosts.get("Host") == old:
                    hosts["Host"] = host
                own["unredirected_hdrs"] = hosts
            req = _Sent(req, **own)
        return original(self, http_class, req, **kwargs)

    return do_open


# websocket-client


@_lacking("websocket")
def _of_websocket(host: str, header: Any) -> _Lacking:
    if header.__class__ in (SettledHeaders, SettledLines) or not is_unnamed(host):
        return None
    if not isinstance(header, dict):
        header = dict(line.partition(":")[::2] for line in header or ())
    return _settled(host, header.items())


def websocket_client(original: Any) -> Any:
    """``handshake`` of websocket-client, as ``WebSocket.connect`` sees it, for each hop."""
    code = original.__code__
    position = code.co_varnames[: code.co_argcount].index("hostname")

    @functools.wraps(original, updated=())
    def handshake(*args: Any, **options: Any) -> Any:
        host, header = args[position], options.get("header")
        moved = getattr(header, "moved", None)
        found = moved if moved and moved[0] == host else _of_websocket(host, header)
        if found is not None and found[1] is not None:
            options["header"] = with_workspace([] if header is None else header, found[1])
        try:
            return original(*args, **options)
        except Exception as error:
            _refused(error, f"wss://{host}{args[position + 2]}", options.get("header") or ())
            raise

    return handshake


class _MovedHeaders(dict):  # type: ignore[type-arg]
    moved: Any = None


class _MovedLines(list):  # type: ignore[type-arg]
    moved: Any = None


@_adapter("url")
def websocket_connect(original: Any) -> Any:
    """``WebSocket.connect`` of websocket-client, for the first hop: moved to the workspace's own
    host, with what the handshake there lacks."""

    def connect(self: Any, url: Any, **options: Any) -> Any:
        header = options.get("header")
        authority = url.split("/", 3)[2] if url.count("/") > 2 else ""
        host = authority.partition(":")[0]
        found = _of_websocket(host, header) if _may_move() else None
        if found is not None and found[0] != host:
            url = url.replace(authority, found[0] + authority[len(host) :], 1)
            marked = _MovedHeaders if isinstance(header, dict) else _MovedLines
            options["header"] = marked(header or ())
            options["header"].moved = found
        return original(self, url, **options)

    return connect


# websockets


@_lacking("websockets")
def _of_websockets(host: str, headers: Any) -> _Lacking:
    return _settled(host, headers.raw_items()) if is_unnamed(host) else None


def _fill(headers: Any, workspace: str) -> Any:
    """A copy of what websockets keeps headers in, with the header."""
    pairs = without_workspace(list(headers.raw_items()))
    return type(headers)([*pairs, (HEADER, workspace)])


@contextmanager
def _handshake(connection: Any, given: Any) -> Iterator[Any]:
    """The headers with which a connection shakes hands; the program does not see what is added."""
    protocol = connection.protocol
    uri = getattr(protocol, "uri", None) or protocol.wsuri  # older releases
    workspace = None
    if active and is_unnamed(uri.host):
        # What was given may be an iterator, which is there but once.
        given = sys.modules["websockets.datastructures"].Headers(given or ())
        found = _of_websockets(uri.host, given)
        workspace = found and found[1]
    try:
        yield _fill(given, workspace) if workspace else given
    except Exception as error:
        _refused(error, f"wss://{uri.host}{uri.resource_name}", given or ())
        raise
    finally:
        sent = getattr(connection, "request", None)
        if workspace and sent is not None and HEADER in sent.headers:
            del sent.headers[HEADER]


@_adapter("additional_headers")
def websockets(original: Any) -> Any:
    """``ClientConnection.handshake`` of websockets: one for each hop. What is raised in the
    protocol below it would leave a connection behind that waits for its end."""

    async def handshake(self: Any, additional_headers: Any = None, *args: Any, **kw: Any) -> Any:
        with _handshake(self, additional_headers) as headers:
            return await original(self, headers, *args, **kw)

    return handshake


@_adapter("additional_headers")
def websockets_sync(original: Any) -> Any:
    """The same in threads."""

    def handshake(self: Any, additional_headers: Any = None, *args: Any, **kw: Any) -> Any:
        try:
            with _handshake(self, additional_headers) as headers:
                return original(self, headers, *args, **kw)
        except WorkspaceError:
            # The thread that waits for an answer is waited for, and would not see that a TLS socket
            # is closed under it.
            with suppress(OSError):
                self.socket.shutdown(SHUT_RDWR)
            raise

    return handshake


@_adapter("path", "headers")
def websockets_legacy(original: Any) -> Any:
    """``write_http_request`` of the legacy client, the only one before websockets 11."""

    def write_http_request(self: Any, path: Any, headers: Any) -> Any:
        # Of several, the first is what the URL says, and the others what the program does.
        found = _of_websockets(headers.get_all("Host")[0], headers)
        if found is None or found[1] is None:
            return original(self, path, headers)
        result = original(self, path, _fill(headers, found[1]))
        self.request_headers = headers
        return result

    return write_http_request


@_adapter()
def websockets_legacy_hint(original: Any) -> Any:
    """``handshake`` of the legacy client, for the hint."""

    async def handshake(self: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return await original(self, *args, **kwargs)
        except Exception as error:
            headers = getattr(self, "request_headers", None)
            if headers is not None:
                _refused(error, f"wss://{headers.get_all('Host')[0]}{self.path}", headers)
            raise

    return handshake


def _where(adapter: Callable[[Any], Any], name: str) -> Callable[[Any], Any]:
    """``adapter`` for the one of a row's attributes that has this name."""
    return lambda original: adapter(original) if original.__name__ == name else original


def _stream_of(answer: Any) -> Any:
    return getattr(getattr(answer, "_request", None), "stream", None)


# The table. Of several attributes, one must be there: releases differ. A library that has none of
# them is one whose insides do not fit.

#: Modules of httpcore and what pools are asked by, the newest first. From httpcore 0.14 on proxies
#: have no way of their own: their constructors stand here to say that all is well.
_HTTPCORE = {
    "_sync.connection_pool": "ConnectionPool.handle_request SyncConnectionPool.handle_request "
    "SyncConnectionPool.request",
    "_async.connection_pool": "AsyncConnectionPool.handle_async_request "
    "AsyncConnectionPool.arequest AsyncConnectionPool.request",
    "_sync.http_proxy": "HTTPProxy.__init__ SyncHTTPProxy.handle_request SyncHTTPProxy.request",
    "_async.http_proxy": "AsyncHTTPProxy.__init__ AsyncHTTPProxy.handle_async_request "
    "AsyncHTTPProxy.arequest AsyncHTTPProxy.request",
}
_HANDSHAKE = "ClientConnection.handshake"

SEAMS = (
    Seam("requests.sessions", "Session.send", requests, ""),
    Seam("requests.adapters", "HTTPAdapter.send", requests_chunked, ""),
    Seam("urllib3.connectionpool", "HTTPConnectionPool.urlopen", urllib3, ""),
    *(
        Seam(f"{name}.{module}", attributes, httpcore, "")
        for name in ("httpcore", "httpcore2")
        for module, attributes in _HTTPCORE.items()
    ),
    *(
        Seam(f"{name}._models", f"Response.{read}", _reader(read == "aread", _stream_of), "")
        for name in ("httpx", "httpx2")
        for read in ("read", "aread")
    ),
    Seam("aiohttp.connector", "BaseConnector.connect", aiohttp_connect, ""),
    Seam("aiohttp.client_reqrep", "ClientRequest.send", aiohttp, ""),
    Seam("aiohttp.client_reqrep", "ClientResponse.read", _reader(True, lambda answer: answer), ""),
    Seam("aiohttp.client", "ClientSession._ws_connect", aiohttp_websocket, ""),
    Seam("urllib.request", "AbstractHTTPHandler.do_open", urllib_request, ""),
    Seam("websocket._core", "handshake", websocket_client, ""),
    Seam("websocket._core", "WebSocket.connect", websocket_connect, ""),
    Seam("websockets.asyncio.client", _HANDSHAKE, websockets, ""),
    Seam("websockets.trio.client", _HANDSHAKE, websockets, ""),
    Seam("websockets.sync.client", _HANDSHAKE, websockets_sync, ""),
    *(
        Seam(module, f"*.{name} *.send_request", _where(adapter, name), "")
        for module in ("websockets.client", "websockets.legacy.client")
        for name, adapter in (
            ("write_http_request", websockets_legacy),
            ("handshake", websockets_legacy_hint),
        )
    ),
)
