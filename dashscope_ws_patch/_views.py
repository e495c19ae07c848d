"""The libraries by which the SDK sends, as its modules see them; what redirects leave behind."""

from __future__ import annotations

import functools
import types
from typing import Any, Callable
from urllib.parse import urljoin, urlsplit

import wrapt

from ._carry import unseen
from ._decision import (
    HEADER,
    PLACEHOLDER,
    decide,
    filled,
    sdk,
    without_workspace,
    workspace_in_headers,
)
from ._hosts import in_url, is_unnamed
from ._methods import Adapter, stand_in
from ._told import sents, told_of
from .hint.watch import Sent, heard, watched

# Redirects


class Added(str):
    """A workspace that the shim has put into a header: it is taken off where a redirect leads away
    from the service."""

    __slots__ = ("host",)
    #: Where it has gone first.
    host: str | None

    def __reduce__(self) -> Any:
        return str, (str(self),)  # with the response that a program pickles


def _leave_behind(headers: Any, left: str, target: str) -> None:
    """Take off what the shim has added, where a redirect leads away from the service."""
    if type(headers.get(HEADER)) is Added:
        same = "\\" not in target and urlsplit(target).hostname == urlsplit(left).hostname
        if not same and not in_url(target):
            del headers[HEADER]


def _redirected(response: Any, *args: Any, **kwargs: Any) -> None:
    """A hook of requests: the next hop is made from the request of this one."""
    if response.is_redirect:
        target = urljoin(response.url, response.headers["location"])
        _leave_behind(response.request.headers, response.url, target)


@functools.cache
def _aiohttp_request(plain: Any) -> Any:
    class ClientRequest(plain):  # type: ignore[misc]
        """One for each hop, with the headers of the first."""

        def __init__(self, method: Any, url: Any, **kwargs: Any) -> None:
            headers = kwargs.get("headers") or {}
            added = headers.get(HEADER)
            if type(added) is Added:
                host = url.raw_host
                added.host = getattr(added, "host", host)
                if host != added.host and not is_unnamed(host):
                    kwargs["headers"] = others = headers.copy()
                    del others[HEADER]
            super().__init__(method, url, **kwargs)

    return ClientRequest


class Lent(wrapt.ObjectProxy):  # type: ignore[misc]
    """A session of the calling code's, which stays as it is, as one request of the SDK sees it: it
    leaves behind what the shim has added where a redirect leads away."""

    def __getattr__(self, name: str) -> Any:
        value = getattr(self.__wrapped__, name)
        if name == "hooks":  # requests
            others = value.get("response") or []
            others = [others] if callable(others) else others
            return {**value, "response": [*others, _redirected]}
        if name == "_request_class":  # aiohttp
            return _aiohttp_request(value)
        if name == "_redirect_headers":  # httpx
            return functools.partial(_redirect_headers, value)
        # The methods ask for these in their turn.
        return value.__func__.__get__(self) if type(value) is types.MethodType else value


def _redirect_headers(original: Any, request: Any, url: Any, method: Any) -> Any:
    headers = original(request, url, method)
    if url.host != request.url.host and not in_url(str(url)):
        headers.pop(HEADER, None)
    return headers


# Modules


class _View(wrapt.ObjectProxy):  # type: ignore[misc]
    def __init__(self, library: Any, service: Any = bool) -> None:
        super().__init__(library)
        self._self_service = service
        self._self_routed: dict[str, _Routed] = {}

    def _self_seen(self, name: str) -> Any:
        value: Any = getattr(self.__wrapped__, name)
        service = self._self_service
        known = self._self_routed.get(name)
        if known is None or known.__wrapped__ is not value:
            instead: Any
            if name in SENDING:
                instead = routed(value, name, service) if service else value
            elif issubclass(type(value), type) and is_real(value):  # no other patcher's proxy
                instead = _sending(value, SESSIONS[name], service)
            else:
                instead = functools.partial(_session, value, SESSIONS[name], service)
            known = self._self_routed[name] = _in_place(value, instead, self.__wrapped__, name)
        return known

    def __setattr__(self, name: str, value: Any) -> None:
        # Who saves what is seen here and puts it back must leave the library as it was.
        value = value.__wrapped__ if issubclass(type(value), _Routed) else value
        target = self.__wrapped__ if name in _SEEN else super()
        target.__setattr__(name, value)

    def __delattr__(self, name: str) -> None:
        target = self.__wrapped__ if name in _SEEN else super()
        target.__delattr__(name)


def _in_place(value: Any, instead: Callable[..., Any], library: Any, name: str) -> Any:
    def call(*args: Any, **kwargs: Any) -> Any:
        # In the library another patcher's is that calls this one, for whoever sends by it: where
        # the SDK does, that one is routed.
        own = getattr(library, name, None) is value
        return (instead if own else value)(*args, **kwargs)

    return stand_in(_Routed, value, call)


class _Routed(wrapt.ObjectProxy):  # type: ignore[misc]
    """A function or class of a library that calls something else in its stead."""

    def __mro_entries__(self, bases: Any) -> Any:
        return (self.__wrapped__,)

    def __instancecheck__(self, instance: Any) -> bool:
        return isinstance(instance, self.__wrapped__)


#: What sends, and where its URL and its headers stand where they are given by position, by the
#: libraries' own signatures: another patcher's ``(*args, **kwargs)`` says nothing.
SENDING: dict[str, tuple[int, int]] = {
    **dict.fromkeys(("get", "delete", "post", "patch", "put", "ws_connect"), (0, 9)),
    **dict.fromkeys(("request", "stream"), (1, 9)),
    "WebSocketApp": (0, 1),
}
#: What makes objects with such methods, and through which of them their requests go.
SESSIONS = {
    "Session": ("request",),
    "AsyncClient": ("request", "stream"),
    "ClientSession": ("get", "delete", "post", "patch", "put", "request", "ws_connect"),
}


def _session(make: Any, through: tuple[str, ...], service: Any, *args: Any, **kwargs: Any) -> Any:
    """A session from what somebody else has put into the place of its class."""
    session = make(*args, **kwargs)
    kind: Any = type(session)
    if is_real(kind):  # no mock
        # aiohttp warns of attributes that are set on its sessions.
        object.__setattr__(session, "__class__", _sending(kind, through, service))
        _look_at_hops(session)
    return session


def _look_at_hops(session: Any) -> None:
    """Of aiohttp, which makes a request object for each hop."""
    plain = getattr(session, "_request_class", None)
    if plain is not None:
        object.__setattr__(session, "_request_class", _aiohttp_request(plain))


@functools.lru_cache(64)
def is_real(kind: Any) -> bool:
    made_by = {each.__module__.partition(".")[0] for each in kind.__mro__}
    return not made_by.isdisjoint(("requests", "aiohttp", "httpx"))


@functools.lru_cache(64)
def _sending(kind: Any, through: tuple[str, ...], service: Any) -> Any:
    """``kind``, a class of sessions, that puts the workspace into what goes ``through`` methods."""

    class Quiet:
        def __init_subclass__(cls) -> None:
            """aiohttp warns of subclasses."""

    class Session(Quiet, kind):  # type: ignore[misc]
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            kind.__init__(self, *args, **kwargs)
            _look_at_hops(self)

        def __reduce_ex__(self, protocol: Any) -> Any:
            plain = kind.__new__(kind)
            plain.__dict__.update(self.__dict__)
            return plain.__reduce_ex__(protocol)

    def rebuild_auth(self: Any, prepared_request: Any, response: Any) -> None:
        _leave_behind(prepared_request.headers, response.url, prepared_request.url)
        kind.rebuild_auth(self, prepared_request, response)

    for name in through if service else ():
        setattr(Session, name, routed(None, name, service, kind))
    if hasattr(kind, "rebuild_auth"):
        Session.rebuild_auth = rebuild_auth
        del Session.__init__
    return functools.update_wrapper(Session, kind, updated=())


_SEEN = SENDING.keys() | SESSIONS.keys()
for _name in _SEEN:
    # Found at once, where __getattr__ would come last.
    setattr(_View, _name, property(functools.partial(_View._self_seen, name=_name)))


def routed(
    function: Any, name: str, service: Callable[[str], bool] = bool, session: Any = None
) -> Callable[..., Any]:
    """``function`` with the workspace put into the URL and the headers that it is given; without
    one the method of a class of sessions, as it is then: others may patch it in the meantime.

    ``service`` tells whether a URL is one of the service.
    """
    url_at, headers_at = (at + (session is not None) for at in SENDING[name])
    socket = name == "WebSocketApp"
    # websocket-client says header= where everybody else says headers=.
    key = "header" if socket else "headers"

    def send_routed(*args: Any, **kwargs: Any) -> Any:
        by_name = "url" in kwargs
        url = kwargs["url"] if by_name else args[url_at] if len(args) > url_at else None
        headers = kwargs.get(key) or (args[headers_at] if len(args) > headers_at else None)
        send = function or getattr(session, name)
        if not isinstance(url, str) or not service(url):
            return send(*args, **kwargs)
        named = workspace_in_headers(headers)
        if session is not None and not named:
            named = workspace_in_headers(getattr(args[0], "headers", None))
        owner = getattr(kwargs.get("on_message"), "__self__", None) if socket else None
        target, workspace = url, named
        source: str | None = "named"
        if not named:
            decision = decide(url, call=None if owner is None else told_of(owner))
            if decision is not None:
                target, workspace, source = decision
        elif PLACEHOLDER in url:
            target = filled(url, named)
        if target != url:
            if by_name:
                kwargs["url"] = target
            else:
                args = (*args[:url_at], target, *args[url_at + 1 :])
        if workspace is not None and not named:
            headers = _with_workspace(headers, Added(workspace))
            if getattr(send, "__module__", None) == "requests.api":
                # It makes a session of its own.
                kwargs.setdefault("hooks", {"response": _redirected})
            if len(args) > headers_at and key not in kwargs:
                args = (*args[:headers_at], headers, *args[headers_at + 1 :])
            else:
                kwargs[key] = headers
        sent: Sent = target, workspace, source, owner
        if owner is not None:
            sents.keep(owner, sent)
            for event in ("on_message", "on_error"):
                if event in kwargs:
                    kwargs[event] = heard(kwargs[event], sent)
        return watched(send(*args, **kwargs), sent)

    return send_routed


def _with_workspace(headers: Any, workspace: str) -> Any:
    if isinstance(headers, (list, tuple)):
        return [*headers, f"{HEADER}: {workspace}"]
    return {**without_workspace(headers or {}), HEADER: workspace}


def library(original: Any) -> Any:
    """``requests``, ``aiohttp``, ``httpx`` or ``websocket``, in a module that sends."""
    return _View(original)


def redirects(original: Any) -> Any:
    """``requests`` or ``aiohttp``, in a module that makes sessions for request objects."""
    return _View(original, None)


def library_to(module: str, endpoint: str) -> Adapter:
    """``library`` in a module that also sends to hosts of the user's: only what goes to the host of
    the URL that is the constant ``endpoint`` of ``module`` is routed."""

    def service(url: str) -> bool:
        host: object = urlsplit(getattr(sdk(module), endpoint)).hostname
        return urlsplit(url).hostname == host

    def adapter(original: Any) -> Any:
        return _View(original, service)

    return adapter


unseen(globals(), __name__)
