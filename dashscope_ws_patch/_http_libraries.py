"""The adapters of the libraries that send HTTP: requests, urllib3, httpx, aiohttp and
urllib.request."""

from __future__ import annotations

import functools
import inspect
import weakref
from contextvars import ContextVar
from types import SimpleNamespace
from typing import Any

from ._carry import in_scope
from ._decision import HEADER, copied, may_move, text, without_workspace
from ._hosts import DOMAIN, in_url, is_unnamed
from ._lacking import (
    Lacking,
    adapter,
    lacking,
    pairs,
    parameters,
    settled,
    with_authority,
    without_host,
)
from .hint.libraries import answered, note

_NAME, _RAW = HEADER.lower(), HEADER.encode()


class _Filled(dict):  # type: ignore[type-arg]
    """Headers to which the workspace was added. urllib3 hands them to itself for another attempt,
    or hop, which may lead away from the service."""

    def copy(self) -> _Filled:
        return _Filled(self)


#: Whether a session of requests, below which urllib3 sends, names a workspace.
_session_names: ContextVar[bool] = ContextVar("dashscope_ws_patch.session_names", default=False)


def _copied(headers: Any, present: bool, kind: Any = dict) -> Any:
    """A copy of a mapping of headers, without that of the workspace where it is ``present``; plain
    ones as a ``kind`` of dict."""
    store = None if headers.__class__ is dict else getattr(headers, "_store", None)
    if isinstance(store, dict):  # of requests, whose own copies take microseconds
        copy = kind(store.values())
    elif headers.__class__ is dict or not hasattr(headers, "copy"):
        copy = kind(headers or {})
    else:
        copy = headers.copy()
    return without_workspace(copy) if present else copy


def _lower(headers: Any) -> Any:
    """The names of a mapping of headers, in lower case."""
    store = getattr(headers, "_store", None)
    return store if isinstance(store, dict) else {text(name).lower() for name in headers or ()}


# requests and urllib3


@adapter("request")
def requests(original: Any) -> Any:
    """``Session.send`` of requests: what its session names, for urllib3 below, and the hint."""

    def send(self: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
        sending, names = original, _NAME in _lower(getattr(self, "headers", None))
        if names is not _session_names.get():
            sending = in_scope(original, (_session_names, names))
        answer = sending(self, request, *args, **kwargs)
        answered(getattr(answer, "_content", None), answer, getattr(answer, "raw", None))
        return answer

    return send


@adapter("request")
def requests_chunked(original: Any) -> Any:
    """``HTTPAdapter.send`` of requests before 2.30, which writes chunked bodies past urllib3's
    ``urlopen``."""
    if "_get_conn" not in getattr(getattr(original, "__code__", None), "co_names", ()):
        return original

    @lacking("requests")
    def look(request: Any) -> Lacking:
        chunked = request.body and "Content-Length" not in request.headers
        if not chunked or not in_url(request.url):
            return None
        host = request.url.split("/", 3)[2]
        return settled(host, pairs(request.headers), _session_names.get())

    def send(self: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
        found = look(request)
        if found is None:
            return original(self, request, *args, **kwargs)
        host, workspace = found[:2]
        sent = request.copy()
        sent.url = with_authority(request.url, host)
        if workspace is not None:
            sent.headers[HEADER] = workspace
        answer = original(self, sent, *args, **kwargs)
        answer.request = request
        return answer

    return send


@lacking("urllib3")
def _of_urllib3(pool: Any, url: str, headers: Any) -> Lacking:
    if url[:1] == "/":
        host = pool.host
    elif url[:4].lower() == "http":  # the pool of a proxy is given whole URLs
        host = url.split("/", 3)[2]
    else:
        return None
    if is_unnamed(host):
        return settled(host, pairs(headers), _session_names.get())
    if url[:1] != "/" and headers.__class__ is _Filled:
        return host, None, None, True  # redirected away from the service
    return None


@adapter("method", "url", "body", "headers")
def urllib3(original: Any) -> Any:
    """``HTTPConnectionPool.urlopen`` of urllib3, to which pool managers, and requests, come; it
    calls itself for retries."""

    def urlopen(self: Any, method: Any, url: Any, *args: Any, **kwargs: Any) -> Any:
        headers = args[1] if len(args) > 1 else kwargs.get("headers")
        if headers is None:
            headers = self.headers
        found = _of_urllib3(self, url, headers)
        if found is None:
            return original(self, method, url, *args, **kwargs)
        host, workspace, sent, present = found
        if workspace is not None or sent is None:
            headers = _copied(headers, present, dict if workspace is None else _Filled)
            if workspace is not None:
                headers[HEADER] = workspace
            if len(args) > 1:
                args = (args[0], headers, *args[2:])
            else:
                kwargs["headers"] = headers
        pool, old = self, self.host
        if url[:1] != "/":
            old, url = url.split("/", 3)[2], with_authority(url, host)
        if host != old and old.partition(":")[0] == self.host:  # else the pool is a proxy's
            pool = _pool_beside(self, host.partition(":")[0])
        answer = original(pool, method, url, *args, **kwargs)
        note(answer, sent)
        if host != old and "location" in answer.headers:
            answer.headers["location"] = without_host(answer.headers["location"], host)
        content = getattr(answer, "_body", None)
        if content:
            whole = f"https://{host}{url}" if url[:1] == "/" else url
            body = args[0] if args else kwargs.get("body")
            request = SimpleNamespace(url=whole, headers=headers, body=body)
            answered(content, SimpleNamespace(status=answer.status, request=request), answer)
        return answer

    return urlopen


#: Where a pool keeps those beside it: the ten that were used last, as a pool manager does.
_POOLS = "_dashscope_ws_patch_pools"
_OWN = {"num_connections", "num_requests", "pool", "host", "_proxy_host", "_tunnel_host", _POOLS}


def _pool_beside(pool: Any, host: str) -> Any:
    """A pool of connections to a workspace's own host, with all else as ``pool`` has it now. A
    ``pool`` that is closed is returned itself, so that it raises what it raises natively."""
    if pool.pool is None:
        return pool
    if _POOLS not in vars(pool):
        made = functools.partial(_made_beside, type(pool), pool.QueueCls, pool.pool.maxsize)
        vars(pool)[_POOLS] = functools.lru_cache(10)(made)
    beside = vars(pool)[_POOLS](host)
    now = {name: value for name, value in list(vars(pool).items()) if name not in _OWN}
    vars(beside).update(now)
    return beside


def _made_beside(kind: Any, queue: Any, size: int, host: str) -> Any:
    beside, connections = object.__new__(kind), queue(size)
    for _ in range(size):
        connections.put(None)
    hosts = dict.fromkeys(("host", "_proxy_host", "_tunnel_host"), host)
    vars(beside).update(hosts, num_connections=0, num_requests=0, pool=connections)
    weakref.finalize(beside, _close, connections)
    return beside


def _close(connections: Any) -> None:
    while not connections.empty():
        connection = connections.get(block=False)
        if connection is not None:
            connection.close()


# httpx and httpx2, by httpcore


@lacking("httpx")
def _of_httpcore(host: bytes, headers: Any) -> Lacking:
    name = host.decode("latin-1")
    return settled(name, headers) if is_unnamed(name) else None


@adapter()
def httpcore(original: Any) -> Any:
    """What a pool of connections of httpcore is asked by httpx: ``handle_request`` and its like."""
    if original.__name__ == "__init__":
        return original
    first = parameters(original)[1:4]

    # Asynchronous or not: what is returned is awaited by its caller.
    def handle_request(self: Any, request: Any) -> Any:
        found = _of_httpcore(request.url.host, request.headers)
        if found is None:
            return original(self, request)
        url = request.url
        sent = copied(request, headers=_httpcore_headers(request.headers, found))
        note(request.stream, found[2])
        if (host := found[0].encode()) == url.host:
            return original(self, sent)
        sent.url = type(url)(scheme=url.scheme, host=host, port=url.port, target=url.target)
        return _located(original(self, sent), found[0])

    def request(self: Any, method: Any, url: Any, headers: Any = None, *args: Any, **k: Any) -> Any:
        found = _of_httpcore(url[1], headers or [])
        if found is not None:
            headers = _httpcore_headers(headers or [], found)
            url = (url[0], found[0].encode(), *url[2:])
        return original(self, method, url, headers, *args, **k)

    if first[:1] == ("request",):
        return handle_request
    if first == ("method", "url", "headers"):  # before httpcore 0.14
        return request
    raise LookupError(f"it takes {', '.join(first)}")


def _located(answer: Any, host: str) -> Any:
    if inspect.iscoroutine(answer):

        async def awaited() -> Any:
            return _located(await answer, host)

        return awaited()
    answer.headers = [
        (n, without_host(text(v), host).encode("latin-1") if n.lower() == b"location" else v)
        for n, v in answer.headers
    ]
    return answer


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


@lacking("aiohttp")
def _of_aiohttp(request: Any) -> Lacking:
    if request.method == "CONNECT":  # to a proxy, whatever its name
        return None
    host = request.url.raw_host
    if not is_unnamed(host):
        return None
    values = request.headers.getall(HEADER, ())
    return settled(host, [(HEADER, value) for value in values] if values else ())


@adapter("req")
def aiohttp_connect(original: Any) -> Any:
    """``connect`` of aiohttp's connectors, which choose the connection by the URL of the request:
    here it is moved to the workspace's own host."""

    def connect(self: Any, req: Any, *args: Any, **kwargs: Any) -> Any:
        found = _of_aiohttp(req) if may_move() else None
        if found is not None and found[0] != req.url.raw_host:
            vars(req)[_FOUND] = found
            if "Host" in req.headers:
                req.headers["Host"] = _moved_host(req.headers["Host"], found[0])
            req.url = req.url.with_host(found[0])
        return original(self, req, *args, **kwargs)

    return connect


#: Where a request that was moved keeps what its connection was chosen with, until it is sent; and
#: then its answer.
_FOUND = "_dashscope_ws_patch_found"


@adapter("conn")
def aiohttp(original: Any) -> Any:
    """``send`` of aiohttp's ``ClientRequest``, one for each hop, handshakes of websockets included:
    it has the header for as long as it is written."""

    def send(self: Any, conn: Any) -> Any:
        moved = vars(self).pop(_FOUND, None)
        found = moved or _of_aiohttp(self)
        return original(self, conn) if found is None else filled(self, conn, found, moved)

    async def filled(self: Any, conn: Any, found: Any, moved: Any) -> Any:
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
        note(answer, sent)
        if moved is not None:
            vars(answer)[_FOUND] = moved
        return answer

    return send


@adapter("connection")
def aiohttp_answer(original: Any) -> Any:
    """``start`` of aiohttp's ``ClientResponse``, which reads the headers."""

    async def start(self: Any, connection: Any) -> Any:
        answer = await original(self, connection)
        if _FOUND in vars(self) and "Location" in self._headers:
            headers = self._headers.copy()
            headers["Location"] = without_host(headers["Location"], vars(self)[_FOUND][0])
            self._headers = type(self._headers)(headers)
            getattr(self, "_cache", {}).pop("headers", None)  # what the property has read
        return answer

    return start


# urllib.request


@lacking("urllib.request")
def _of_urllib_request(request: Any) -> Lacking:
    host = request._tunnel_host or request.host
    if request.selector[:1] != "/":  # a proxy is given whole URLs
        host = request.full_url.split("/", 3)[2]
    if not is_unnamed(host):
        return None
    return settled(host, pairs(request.headers, request.unredirected_hdrs))


@adapter("http_class", "req")
def urllib_request(original: Any) -> Any:
    """``AbstractHTTPHandler.do_open`` of urllib.request, which makes the next hop of a redirect
    from the request that its caller holds."""

    def do_open(self: Any, http_class: Any, req: Any, **kwargs: Any) -> Any:
        found = _of_urllib_request(req)
        if found is None:
            return original(self, http_class, req, **kwargs)
        host, workspace, _, present = found
        headers = dict(req.unredirected_hdrs)
        sent = copied(req, unredirected_hdrs=headers)
        if workspace is not None:
            if present:
                headers = sent.unredirected_hdrs = without_workspace(headers)
                sent.headers = without_workspace(req.headers)
            headers[HEADER] = workspace
        old = req.full_url.split("/", 3)[2] if may_move() else host
        if host == old:
            return original(self, http_class, sent, **kwargs)
        sent.host = host if req.host == old else req.host
        sent._tunnel_host = host if req._tunnel_host == old else req._tunnel_host
        sent.selector = req.selector.replace(f"//{old}", f"//{host}", 1)
        if headers.get("Host") == old:
            headers["Host"] = host
        answer = original(self, http_class, sent, **kwargs)
        if "Location" in answer.headers:
            location = without_host(answer.headers["Location"], host)
            answer.headers.replace_header("Location", location)
        return answer

    return do_open
