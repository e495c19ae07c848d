"""The adapters of the 1.x surface: one for each way in which the SDK takes a workspace.

An adapter is given the SDK's own object (a function, a method, a library's module) and returns what
is put into its place. Which workspace a request carries is asked of ``_decision.decide``.
"""

from __future__ import annotations

import functools
import inspect
import operator
import sys
import types
from contextvars import ContextVar
from importlib import import_module
from typing import Any, Callable
from urllib.parse import urljoin, urlsplit

import wrapt

from . import _workspace
from ._carry import carried, in_scope, unseen
from ._decision import (
    HEADER,
    NO_CALL,
    PLACEHOLDER,
    Call,
    Memory,
    ambient,
    current,
    decide,
    filled,
    sdk,
    without_workspace,
    workspace_in_headers,
    workspace_in_host,
)
from ._hosts import in_url, is_unnamed
from .hint.watch import Sent, heard, watched

Adapter = Callable[[Any], Any]
Arguments = tuple[Any, ...]
_Make = Callable[[Callable[..., Any]], Callable[..., Any]]

_call_here, _scope_here = current.get, _workspace.scope.get


# Functions and methods


def method(make: _Make) -> Adapter:
    """An adapter of functions and methods, class methods and static ones, from what makes the
    replacement of a function."""

    unseen({"make": make}, make.__module__)

    def adapter(original: Any, disguise: Any = None) -> Any:
        for kind in (classmethod, staticmethod):
            if isinstance(original, kind):
                real = issubclass(type(original), kind)
                function = original.__func__ if real else _through(original, kind)
                return kind(adapter(function, _Disguised))
        replacement = make(original)
        if replacement is original:
            return original
        functools.update_wrapper(replacement, original)
        # A disguise costs as much as all the rest of a call: only where it tells something.
        flags = original.__code__.co_flags ^ replacement.__code__.co_flags
        # Up to CPython 3.10 typing.get_type_hints reads defaults by the code.
        disguised = flags & _LAZY or original.__name__ == "__init__" or _OLD_TYPING
        if not disguised:
            return replacement
        base: Any = disguise or _DisguisedMethod
        # Called as it is: a __call__ that hands on would take a third of all that a call costs.
        return type(base.__name__, (base,), {"__call__": staticmethod(replacement)})(original)

    return adapter


def _through(proxy: Any, kind: type) -> Any:
    """The function of a class method or static one that another patcher's proxy stands for."""

    @functools.wraps(proxy.__func__)
    def through(*args: Any, **kwargs: Any) -> Any:
        if kind is classmethod:
            return proxy.__get__(None, args[0])(*args[1:], **kwargs)
        return proxy.__get__(None, object)(*args, **kwargs)

    return through


_OLD_TYPING = sys.version_info < (3, 11)
_LAZY = inspect.CO_COROUTINE | inspect.CO_GENERATOR | inspect.CO_ASYNC_GENERATOR


class _Disguised(wrapt.ObjectProxy):  # type: ignore[misc]
    """A function that passes for the one in whose place it stands, coroutine function or not, up to
    its code and defaults."""

    # wrapt's proxies refuse to be pickled or copied; functions are, by reference.
    def __reduce_ex__(self, protocol: Any) -> Any:
        original = self.__wrapped__
        found = operator.attrgetter(original.__qualname__)(import_module(original.__module__))
        return original.__qualname__ if found is self else (_first, (original,))

    def __copy__(self) -> Any:
        return self

    def __deepcopy__(self, memo: Any) -> Any:
        return self


class _DisguisedMethod(_Disguised):
    """The same; bound to an object it is a method like any other."""

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return self if instance is None else types.MethodType(self, instance)


def _first(value: Any) -> Any:
    return value


# What the calling code names, and what objects were told

#: The parameters by which calling code names a workspace, or an address that may,
_NAMES = ("workspace", "workspace_id")
_HEADERS = ("headers", "extra_headers")
# a session (1.24 on) or client (2.x) of its own, with defaults of its own,
_SESSIONS = ("session", "http_client")
_URLS = ("base_address", "base_url", "ws_url")
#: and that of constructors; elsewhere a ``url`` may be anybody's.
ADDRESS = "url"

objects: Memory[Call] = Memory()


class Parameters:
    """Where the parameters that may name a workspace stand in a function's positional arguments."""

    def __init__(self, function: Any, *urls: str) -> None:
        plain = function
        while hasattr(plain, "__wrapped__"):  # a decorator's (*args, **kwargs) says nothing
            plain = plain.__wrapped__
        code = plain.__code__
        names = code.co_varnames[: code.co_argcount]
        self.urls = _URLS + urls
        self.names = frozenset((*_NAMES, *_HEADERS, *_SESSIONS, *self.urls))
        self.at = {name: at for at, name in enumerate(names) if name in self.names}
        self.first = min(self.at.values(), default=sys.maxsize)
        #: Whether the first argument is an object that may have been told something.
        self.of_object = names[:1] == ("self",)

    def told(self, args: Arguments, kwargs: dict[str, Any]) -> Call:
        """The call that starts here: it names a workspace, or does what its object, or the call on
        whose behalf it is made, was told."""
        outer = _call_here()
        workspace = kwargs.get("workspace")
        if not self.of_object and type(workspace) is str and workspace.strip():
            return Call(workspace, False, outer.born)
        kept = objects.of(args[0]) if self.of_object and args else None
        if len(args) <= self.first and self.names.isdisjoint(kwargs):
            own = NO_CALL
        else:
            own = self.named(args, kwargs)
        if own is NO_CALL:
            if kept is None:
                return outer
            own = kept if kept.workspace else outer
        born = (kept and kept.born) or outer.born
        return own if born is own.born else own._replace(born=born)

    def named(self, args: Arguments, kwargs: dict[str, Any]) -> Call:
        """What these arguments name."""
        workspace = kwargs.get("workspace")
        if workspace and isinstance(workspace, str) and workspace.strip():
            return Call(workspace)
        given = {name: value for name, value in kwargs.items() if value and name in self.names}
        if len(args) > self.first:
            given.update(
                (name, args[at]) for name, at in self.at.items() if at < len(args) and args[at]
            )
        if not given:
            return NO_CALL
        for name in _NAMES:
            value = given.get(name)
            if isinstance(value, str) and value.strip():
                return Call(value)
        for name in _HEADERS:
            named = workspace_in_headers(given.get(name))
            if named:
                return Call(named)
        for name in _SESSIONS:
            session = given.get(name)
            named = workspace_in_headers(getattr(session, "headers", None))
            if named:
                return Call(named)
            label = _label(getattr(session, "base_url", None))
            if label:
                return Call(label, by_url=True)
        for name in self.urls:
            label = _label(given.get(name))
            # The SDK's own layers pass this one down.
            own = "base_compatible_api_url"
            if label and given[name] is not getattr(sdk("dashscope"), own, None):
                return Call(label, by_url=True)
        return NO_CALL


def _label(url: Any) -> str | None:
    # An httpx.URL is no str.
    return workspace_in_host(url) if isinstance(url, str) or hasattr(url, "netloc") else None


def _on_behalf(function: Any, urls: tuple[str, ...] = (), lazily: bool = False) -> Any:
    parameters = Parameters(function, *urls)
    first, of_object = parameters.first, parameters.of_object
    # Looking for what most calls name is cheaper than asking for what hardly any does.
    seldom = parameters.names - {"workspace", "headers"}
    lazily = lazily or bool(function.__code__.co_flags & _LAZY) or not _is_own(function)

    def call(*args: Any, **kwargs: Any) -> Any:
        outer = told = _call_here()
        given = kwargs.get
        workspace = given("workspace")
        if workspace and workspace == outer.workspace:
            pass  # it is handed down
        elif (
            workspace
            or given("headers")
            or len(args) > first
            or of_object
            or not seldom.isdisjoint(kwargs)
        ):
            told = parameters.told(args, kwargs)
        if told is outer:
            result = function(*args, **kwargs)
        else:
            current.set(told)
            try:
                result = function(*args, **kwargs)
            finally:
                current.set(outer)
        return later(result, told) if lazily else result

    return call


def _is_own(function: Any) -> bool:
    """Whether a function is the SDK's own: another patcher's says nothing of what it returns."""
    return str(function.__globals__.get("__name__")).partition(".")[0] == "dashscope"


def later(result: Any, call: Call) -> Any:
    """``result`` of a call; what of it runs later runs in the scope of the call, not in that of the
    one who awaits or iterates."""
    if type(result) in _LATER:
        return carried(result, (_workspace.scope, _scope_here()), (current, call))
    return result


_LATER = frozenset((types.CoroutineType, types.GeneratorType, types.AsyncGeneratorType))

#: A method that the calling code calls: the requests that it makes are made on behalf of this call.
call = method(_on_behalf)
#: The same, of one with a ``url`` that is an address of the service,
call_at = method(lambda function: _on_behalf(function, urls=(ADDRESS,)))
#: and of one that may return a generator which sends when it is read.
call_lazily = method(lambda function: _on_behalf(function, lazily=True))


_MORE = frozenset(("base_address", "enable_encryption"))


@method
def call_once(function: Any) -> Any:
    """A method whose one request says itself what the calling code names, unless it is given the
    module-level URL, or is to be encrypted: the public key is asked for on behalf of the call."""
    on_behalf = _on_behalf(function)
    lazily = bool(function.__code__.co_flags & _LAZY)

    def call(*args: Any, **kwargs: Any) -> Any:
        if not _MORE.isdisjoint(kwargs):
            return on_behalf(*args, **kwargs)
        result = function(*args, **kwargs)
        return later(result, _call_here()) if lazily and not kwargs.get("workspace") else result

    return call


@method
def construct(function: Any) -> Any:
    """A constructor: the object remembers what it was told, and the scope it was made in."""
    parameters = Parameters(function, ADDRESS)

    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        told = parameters.told((self, *args), kwargs)
        function(self, *args, **kwargs)
        remember(self, told)

    return __init__


def remember(instance: Any, told: Call) -> None:
    """Keep what the constructor of ``instance`` was told, and the scope it was called in."""
    born = _scope_here() or told.born
    if born is not None or told.workspace:
        objects.keep(instance, told._replace(born=born))


@method
def finalize(function: Any) -> Any:
    """A finalizer that calls methods of its object, in a context of its own.

    The garbage collector may run it in the middle of setting a context variable; up to CPython 3.11
    another set in the same context then crashes.
    """

    def __del__(self: Any) -> None:
        from contextvars import copy_context

        copy_context().run(function, self)

    return __del__


# Requests of the 1.x surface


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
        return value.__func__.__get__(self) if isinstance(value, types.MethodType) else value


def _redirect_headers(original: Any, request: Any, url: Any, method: Any) -> Any:
    headers = original(request, url, method)
    if url.host != request.url.host and not in_url(str(url)):
        headers.pop(HEADER, None)
    return headers


@method
def send(function: Any) -> Any:
    """``call`` or ``aio_call`` of a request object, HTTP or websocket."""

    def call(self: Any) -> Any:
        sent = _put(self)
        return watched(function(self), sent)

    async def aio_call(self: Any) -> Any:
        sent = _put(self)
        return watched(await function(self), sent)

    return aio_call if inspect.iscoroutinefunction(function) else call


def _put(request: Any) -> Sent:
    url, headers, kept = request.url, request.headers, request.__dict__
    named = workspace_in_headers(headers)
    # The calling code's own, 1.24 on.
    external = "_external_session" if kept.get("_external_session") else "_external_aio_session"
    session = kept.get(external)
    if session is not None:
        named = named or workspace_in_headers(getattr(session, "headers", None))
    if named:
        if PLACEHOLDER in url:
            request.url = filled(url, named)
        return url, named, "named", request
    decision = decide(url)
    if decision is None:
        return url, None, None, request
    request.url, workspace, source = decision
    if named is not None:  # a blank one
        request.headers = headers = without_workspace(headers)
    if workspace is not None:
        headers[HEADER] = Added(workspace)
        if session is not None and _is_real(session.__class__):
            kept[external] = Lent(session)
    return request.url, workspace, source, request


@method
def received(function: Any) -> Any:
    """``_handle_http_response`` of 1.0 to 1.3, which reads what aiohttp has received."""
    if not inspect.iscoroutinefunction(function):  # from 1.4 on it is given what requests has
        return function

    async def handle(response: Any) -> Any:
        sent = response.request_info
        sent_for, (workspace, source) = workspace_in_headers(sent.headers), ambient()
        source = source if sent_for == workspace else "named"
        return watched(await function(response), (str(sent.url), sent_for, source, None))

    return handle


@method
def list_tasks(function: Any) -> Any:
    """``BaseAsyncAioApi.list`` (1.24.3 on), which sends by itself, from ``workspace`` and a URL.

    Not where it leaves that to a request object, which needs no argument for it.
    """
    code = inspect.unwrap(function).__code__
    if "_build_api_request" in code.co_names:
        return function

    names = code.co_varnames
    at = names.index("workspace") if "workspace" in names else sys.maxsize  # another patcher's

    async def listed(*args: Any, **kwargs: Any) -> Any:
        if not kwargs.get("workspace") and len(args) <= at:
            base = kwargs.get("base_address") or sdk("dashscope").base_http_api_url
            decision = decide(base)
            if decision is not None and decision[1] is not None:
                kwargs["base_address"], kwargs["workspace"] = decision[:2]
        return await function(*args, **kwargs)

    return listed


def host(original: Any) -> Any:
    """``resolve_base_url`` (1.27 on), which refuses a placeholder while it knows no workspace.

    Where one is known it goes into the URL with the header, when the request is sent.
    """

    @functools.wraps(original)
    def resolve_base_url(url: Any, workspace_id: Any = None) -> Any:
        if not workspace_id and PLACEHOLDER in url and ambient()[0] is not None:
            return url
        return original(url, workspace_id)

    return resolve_base_url


def send_to_service(original: Any) -> Any:
    """``async_http_request`` of agentic RL (1.25 on), which takes ``url`` and ``headers``.

    It talks to the service, at the endpoints of its constants, and to the user's own functions.
    """
    routed = _routed(original, "post", _endpoints_of_rl)

    @functools.wraps(original)
    async def async_http_request(*args: Any, **kwargs: Any) -> Any:
        return await routed(*args, **kwargs)

    return async_http_request


def _endpoints_of_rl(url: str) -> bool:
    constants = vars(sdk("dashscope.finetune.reinforcement.common.constants"))
    return url.startswith(tuple(v for k, v in constants.items() if k.endswith("_API") and v))


# Libraries, as one module of the SDK sees them


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
                instead = _routed(value, name, service) if service else value
            elif issubclass(type(value), type) and _is_real(value):  # no other patcher's proxy
                instead = _sending(value, SESSIONS[name], service)
            else:
                instead = functools.partial(_session, value, SESSIONS[name], service)
            known = self._self_routed[name] = _Routed(value, instead, self.__wrapped__, name)
        return known

    def __setattr__(self, name: str, value: Any) -> None:
        # Who saves what is seen here and puts it back must leave the library as it was.
        value = value.__wrapped__ if type(value) is _Routed else value
        target = self.__wrapped__ if name in _SEEN else super()
        target.__setattr__(name, value)

    def __delattr__(self, name: str) -> None:
        target = self.__wrapped__ if name in _SEEN else super()
        target.__delattr__(name)


class _Routed(wrapt.ObjectProxy):  # type: ignore[misc]
    """A function or class of a library that calls something else in its stead."""

    def __init__(self, value: Any, instead: Callable[..., Any], library: Any, name: str) -> None:
        super().__init__(value)
        self._self_instead = instead
        self._self_at = library, name

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        # In the library another patcher's is that calls this one, for whoever sends by it: where
        # the SDK does, that one is routed.
        own = getattr(*self._self_at, None) is self.__wrapped__
        return (self._self_instead if own else self.__wrapped__)(*args, **kwargs)

    def __mro_entries__(self, bases: Any) -> Any:
        return (self.__wrapped__,)

    def __instancecheck__(self, instance: Any) -> bool:
        return isinstance(instance, self.__wrapped__)


#: Where objects of the SDK show the workspace that they were told; last, the pool's of tts_v2.
_SHOWN = ("workspace_id", "_workspace", "workspace", "DEFAULT_WORKSPACE")


def _told(owner: Any) -> Call:
    """What the object that sends was told: what is kept of it, else what it shows itself."""
    kept = objects.of(owner) or NO_CALL
    if kept.workspace or owner is None:
        return kept
    for name in _SHOWN:  # made before the shim came, or not yet ready
        workspace = getattr(owner, name, None)
        if workspace and isinstance(workspace, str):
            return kept._replace(workspace=workspace)
    return kept


#: What was sent for an object that goes on to speak of it: a websocket's owner, a stream.
sents: Memory[Sent] = Memory()

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
    if _is_real(kind):  # no mock
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
def _is_real(kind: Any) -> bool:
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
        setattr(Session, name, _routed(None, name, service, kind))
    if hasattr(kind, "rebuild_auth"):
        Session.rebuild_auth = rebuild_auth
        del Session.__init__
    return functools.update_wrapper(Session, kind, updated=())


_SEEN = SENDING.keys() | SESSIONS.keys()
for _name in _SEEN:
    # Found at once, where __getattr__ would come last.
    setattr(_View, _name, property(functools.partial(_View._self_seen, name=_name)))


def _routed(
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

    def routed(*args: Any, **kwargs: Any) -> Any:
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
            decision = decide(url, call=None if owner is None else _told(owner))
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

    return routed


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


# Bodies and threads


def body(workspace_attribute: str) -> Adapter:
    """A method that writes its object's workspace into a message: the handshake's goes there."""

    @method
    def written(function: Any) -> Any:
        def write(self: Any, *args: Any, **kwargs: Any) -> Any:
            native = getattr(self, workspace_attribute)
            _, workspace, source, _ = sents.of(self) or (None, None, None, None)
            if native or workspace is None or source == "named":
                return function(self, *args, **kwargs)
            setattr(self, workspace_attribute, workspace)
            try:
                return function(self, *args, **kwargs)
            finally:
                setattr(self, workspace_attribute, native)

        return write

    return written


class _Worker(_Disguised):
    # The method is taken from its object by whoever starts the thread, in whose scope it runs.
    def __get__(self, instance: Any, owner: Any = None) -> Any:
        bound = self.__wrapped__.__get__(instance, owner)
        if instance is None:
            return bound
        if not _told(instance).workspace:
            ambient()  # what is malformed is told here, and not in the thread
        return in_scope(bound, (_workspace.scope, _scope_here()), (current, NO_CALL))


def worker(original: Any) -> Any:
    """A method that is the target of a thread in which the SDK sends."""
    return _Worker(original)


_lending: ContextVar[bool] = ContextVar("dashscope_ws_patch.lending", default=False)


@method
def lend(function: Any) -> Any:
    """``borrow_synthesizer`` of a pool, which hands out the first that is connected."""

    def borrow_synthesizer(*args: Any, **kwargs: Any) -> Any:
        _lending.set(True)
        try:
            return function(*args, **kwargs)
        finally:
            _lending.set(False)

    return borrow_synthesizer


@method
def connected(function: Any) -> Any:
    """``__is_connected`` of a synthesizer: for who borrows one, as it is to be for this tenant."""

    def __is_connected(self: Any) -> Any:
        return function(self) and not (_lending.get() and _is_of_another(self))

    return __is_connected


def _is_of_another(owner: Any) -> bool:
    """Whether the websocket of an object that names no workspace was opened for another one."""
    told, sent = _told(owner), sents.of(owner)
    if told.workspace or (sent is None and _scope_here() is None):
        return False
    decision = decide(owner.url, call=told)
    return (decision and decision[1]) != (sent and sent[1])


def executor(original: Any) -> Any:
    """``ThreadPoolExecutor`` in a module that sends from its threads on behalf of a call."""

    class Executor(original):  # type: ignore[misc]
        def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
            holding = (_workspace.scope, _scope_here()), (current, _call_here())
            return super().submit(in_scope(fn, *holding), *args, **kwargs)

    return functools.update_wrapper(Executor, original, updated=())


unseen(globals(), __name__)
