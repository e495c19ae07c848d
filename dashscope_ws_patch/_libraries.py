"""The libraries by which programs reach the service without the SDK: the table."""

from __future__ import annotations

from typing import Any, Callable

from . import _cookies as cookies
from . import _http_libraries as http
from . import _websocket_libraries as websocket
from ._seam import Seam
from .hint import libraries as hint


def _where(adapter: Callable[[Any], Any], name: str) -> Callable[[Any], Any]:
    """``adapter`` for the one of a row's attributes that has this name."""
    return lambda original: adapter(original) if original.__name__ == name else original


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
_RECEIVED = "CookieJar.update_cookies CookieJar.update_cookies_from_headers"

SEAMS = (
    Seam("requests.sessions", "Session.send", http.requests, ""),
    Seam("requests.adapters", "HTTPAdapter.send", http.requests_chunked, ""),
    Seam("urllib3.connectionpool", "HTTPConnectionPool.urlopen", http.urllib3, ""),
    *(
        Seam(f"{name}.{module}", attributes, http.httpcore, "")
        for name in ("httpcore", "httpcore2")
        for module, attributes in _HTTPCORE.items()
    ),
    *(
        Seam(f"{name}._models", f"Response.{read}", adapter, "")
        for name in ("httpx", "httpx2")
        for read, adapter in (("read", hint.httpx_read), ("aread", hint.httpx_aread))
    ),
    Seam("aiohttp.connector", "BaseConnector.connect", http.aiohttp_connect, ""),
    Seam("aiohttp.client_reqrep", "ClientRequest.send", http.aiohttp, ""),
    Seam("aiohttp.client_reqrep", "ClientResponse.start", http.aiohttp_answer, ""),
    Seam("aiohttp.client_reqrep", "ClientResponse.read", hint.aiohttp_read, ""),
    Seam("aiohttp.client", "ClientSession._ws_connect", hint.aiohttp_websocket, ""),
    Seam("urllib.request", "AbstractHTTPHandler.do_open", http.urllib_request, ""),
    # Cookies, where the workspace's own host was asked for.
    Seam("requests.cookies", "MockRequest.__init__", cookies.requests, ""),
    *(
        Seam(f"{name}._models", f"Cookies.{method}", adapter, "")
        for name in ("httpx", "httpx2")
        for method, adapter in (
            ("set_cookie_header", cookies.httpx_sent),
            ("extract_cookies", cookies.httpx_received),
        )
    ),
    Seam("aiohttp.cookiejar", "CookieJar.filter_cookies", cookies.aiohttp_sent, ""),
    Seam("aiohttp.cookiejar", _RECEIVED, cookies.aiohttp_received, ""),
    *(
        Seam("urllib.request", f"HTTPCookieProcessor.{scheme}_{step}", adapter, "")
        for scheme in ("http", "https")
        for step, adapter in (
            ("request", cookies.urllib_request_sent),
            ("response", cookies.urllib_request_received),
        )
    ),
    # Websockets.
    Seam("websocket._core", "handshake", websocket.websocket_client, ""),
    Seam("websocket._core", "WebSocket.connect", websocket.websocket_connect, ""),
    Seam("websockets.asyncio.client", "connect.__init__", websocket.websockets_connect, ""),
    Seam("websockets.trio.client", "connect.__init__", websocket.websockets_connect, ""),
    Seam("websockets.sync.client", "reconnect.__init__ connect", websocket.websockets_connect, ""),
    Seam("websockets.asyncio.client", _HANDSHAKE, websocket.websockets, ""),
    Seam("websockets.trio.client", _HANDSHAKE, websocket.websockets, ""),
    Seam("websockets.sync.client", _HANDSHAKE, websocket.websockets_sync, ""),
    *(
        Seam(module, f"{owner}.{name} *.send_request", _where(adapter, name), "")
        for module in ("websockets.client", "websockets.legacy.client")
        for owner, name, adapter in (
            ("Connect", "__init__", websocket.websockets_connect),
            ("*", "write_http_request", websocket.websockets_legacy),
            ("*", "handshake", hint.websockets_legacy),
        )
    ),
)
