"""Cookies of other libraries, where the workspace's own host was asked for: those of the host to
which a request goes. A jar must not give one tenant's to another."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from ._hosts import is_unnamed
from ._http_libraries import Sent, pairs
from ._lacking import Lacking, adapter, elsewhere, lacking, settled
from ._workspace import WorkspaceError


@lacking("a library's cookies")
def _look(host: str, headers: Any) -> Lacking:
    return settled(host, pairs(headers)) if is_unnamed(host) else None


def _there(url: Any, headers: Any = None) -> Any:
    """The URL to which a request for ``url`` goes; ``url`` itself where that is the same."""
    try:
        moved, found = elsewhere(str(url), headers, _look)
    except WorkspaceError:  # told when it is sent
        return url
    return url if found is None else moved


def _seen(request: Any) -> Any:
    """A request of requests or httpx, as a jar of cookies is to see it."""
    url = _there(request.url, request.headers)
    if url is request.url:
        return request
    return SimpleNamespace(url=url, headers=request.headers, method=request.method)


@adapter("request")
def requests(original: Any) -> Any:
    """The constructor of what requests shows a jar of the standard library."""

    def __init__(self: Any, request: Any) -> None:
        original(self, _seen(request))

    return __init__


@adapter("request")
def httpx_sent(original: Any) -> Any:
    """``Cookies.set_cookie_header`` of httpx."""

    def set_cookie_header(self: Any, request: Any) -> None:
        original(self, _seen(request))

    return set_cookie_header


@adapter("response")
def httpx_received(original: Any) -> Any:
    """``Cookies.extract_cookies`` of httpx."""

    def extract_cookies(self: Any, response: Any) -> None:
        original(self, SimpleNamespace(headers=response.headers, request=_seen(response.request)))

    return extract_cookies


@adapter("request_url")
def aiohttp_sent(original: Any) -> Any:
    """``CookieJar.filter_cookies`` of aiohttp, which knows no headers."""

    def filter_cookies(self: Any, *url: Any) -> Any:
        return original(self, *map(_as_given, url))

    return filter_cookies


@adapter()
def aiohttp_received(original: Any) -> Any:
    """``CookieJar.update_cookies`` of aiohttp, or ``update_cookies_from_headers``."""

    def update(self: Any, cookies: Any, *response_url: Any) -> Any:
        return original(self, cookies, *map(_as_given, response_url))

    return update


def _as_given(url: Any) -> Any:
    there = _there(url)
    return url if there is url else type(url)(there)


@adapter("request")
def urllib_request_sent(original: Any) -> Any:
    """``HTTPCookieProcessor.http_request`` of urllib.request."""

    def http_request(self: Any, request: Any) -> Any:
        original(self, _seen_by_processor(request))
        return request

    return http_request


@adapter("request", "response")
def urllib_request_received(original: Any) -> Any:
    """``HTTPCookieProcessor.http_response`` of urllib.request."""

    def http_response(self: Any, request: Any, response: Any) -> Any:
        return original(self, _seen_by_processor(request), response)

    return http_response


def _seen_by_processor(request: Any) -> Any:
    url = _there(request.full_url, {**request.headers, **request.unredirected_hdrs})
    return request if url is request.full_url else Sent(request, get_full_url=lambda: url)
