"""Cookies of other libraries, where the workspace's own host was asked for. A jar sees the host to
which a request goes, and not the shared one that the program has named: by that it would give one
tenant's cookies to another."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, Callable

from ._decision import copied
from ._hosts import is_unnamed
from ._lacking import Lacking, adapter, elsewhere, lacking, pairs, settled
from ._workspace import WorkspaceError


@lacking("requests, httpx or aiohttp")
def _look(host: str, headers: Any) -> Lacking:
    return settled(host, pairs(headers)) if is_unnamed(host) else None


def _there(url: Any, headers: Any = None) -> Any:
    """The URL to which a request for ``url`` goes; ``url`` itself where that is the same."""
    try:
        moved, found = elsewhere(str(url), headers, _look)
    except WorkspaceError:  # told when it is sent
        return url
    return url if found is None else moved


def _seen_by(*places: Callable[[Any], Any]) -> Any:
    """An adapter of a jar's method. Each argument first passes the function that ``places`` has at
    its position; further arguments stay as they are."""

    def make(original: Any) -> Any:
        def method(self: Any, *args: Any, **kwargs: Any) -> Any:
            seen = [place(arg) for place, arg in zip(places, args)]
            return original(self, *seen, *args[len(seen) :], **kwargs)

        return method

    return adapter()(make)


def _request(request: Any) -> Any:
    url = _there(request.url, request.headers)
    if url is request.url:
        return request
    return SimpleNamespace(url=url, headers=request.headers, method=request.method)


def _answer(response: Any) -> Any:
    return SimpleNamespace(headers=response.headers, request=_request(response.request))


def _url(url: Any) -> Any:
    there = _there(url)
    return url if there is url else type(url)(there)


def _of_urllib(request: Any) -> Any:
    url = request.full_url
    there = _there(url, {**request.headers, **request.unredirected_hdrs})
    return request if there is url else copied(request, get_full_url=lambda: there)


def _itself(given: Any) -> Any:
    return given


@adapter("request")
def urllib_request_sent(original: Any) -> Any:
    """``HTTPCookieProcessor.http_request`` of urllib.request, which returns what it is given."""

    def http_request(self: Any, request: Any) -> Any:
        original(self, _of_urllib(request))
        return request

    return http_request


urllib_request_received = _seen_by(_of_urllib)
requests = httpx_sent = _seen_by(_request)
httpx_received = _seen_by(_answer)
#: Of aiohttp, whose jars are told no headers.
aiohttp_sent, aiohttp_received = _seen_by(_url), _seen_by(_itself, _url)
