"""The edge: whatever a module of the SDK sends by, passes ``settle``.

A rule, not a list: every global of a module that is a library which sends, or was taken from one by
name (``from requests import Session``), is replaced by what sends for that module; sessions that
the module has made already, and classes that it derives from theirs, are guarded as they are. The
libraries themselves are never changed, and what others put into them is used.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterator
from contextvars import Context, ContextVar, copy_context
from types import FunctionType, ModuleType
from typing import Any, Callable, NamedTuple, Optional
from urllib.parse import urlsplit
from weakref import ref

from . import _decision
from ._carry import in_scope, unseen
from ._decision import (
    BASES,
    HEADER,
    as_settled,
    is_named,
    scope_here,
    sdk,
    settle,
    workspace_in_headers,
)
from ._hosts import in_url, workspace_in_host
from ._methods import Wrapper
from ._workspace import Scope, scope
from .hint.watch import heard, watched

#: Tells whether a URL leads to the service; None where all do.
Service = Optional[Callable[[str], bool]]

#: Where responses and connections of the SDK keep what was sent for them.
SENT = "_dashscope_ws_patch_sent"


class Beside:
    """What is kept of objects for as long as they live, by identity: some of the SDK's, pydantic's,
    have no hash. Nothing is written to the objects, which stay picklable as they were."""

    def __init__(self) -> None:
        self._kept: dict[int, tuple[ref[Any], Any]] = {}

    def __len__(self) -> int:
        return len(self._kept)

    def __setitem__(self, owner: Any, value: Any) -> None:
        key = id(owner)

        def forget(gone: ref[Any]) -> None:
            # Where nothing counts references, this comes late: the id may be another's by now.
            if key in self._kept and self._kept[key][0] is gone:
                del self._kept[key]

        self._kept[key] = ref(owner, forget), value

    def get(self, owner: Any, default: Any = None) -> Any:
        known, value = self._kept.get(id(owner), (None, None))
        return value if known is not None and known() is owner else default


#: The scopes in which objects of the SDK were made, and what was sent for them (URL, workspace and
#: source), beside the objects, which stay picklable as they were.
births = Beside()
sent_for = Beside()

#: Whether a pool is lending one of its websockets.
lending: ContextVar[bool] = ContextVar("dashscope_ws_patch.lending", default=False)

#: The hosts of base URLs that calls were given.
hosts_named: set[str] = set()


def leads_to_service(url: str) -> bool:
    """Whether ``url`` leads to the service, or to a host that the SDK was pointed at."""
    if in_url(url) or workspace_in_host(url):
        return True
    host = urlsplit(url).hostname
    bases = (getattr(sdk("dashscope"), base, None) for base in BASES)
    return host in hosts_named or any(base and urlsplit(base).hostname == host for base in bases)


class Library(ModuleType):
    """A library as a module of the SDK sees it: what sends is ours, the rest is the library's own,
    as it is then."""

    def __init__(self, library: ModuleType, service: Service) -> None:
        super().__init__(library.__name__, library.__doc__)
        vars(self).update(__wrapped__=library, __service__=service)
        if library.__name__ == "threading":  # locks are made for each call
            vars(self).update((name, vars(library)[name]) for name in library.__all__)
        for name, way in _ways_of(library).items():
            if name in vars(library):  # another patcher's may stand there, and be put back
                current = functools.partial(vars(library).get, name, vars(library)[name])
                call = functools.partial(way.call, service, current)
                setattr(self, name, Wrapper(vars(library)[name], call))

    def __getattr__(self, name: str) -> Any:
        value = getattr(self.__wrapped__, name)
        if isinstance(value, ModuleType):  # requests.api, concurrent.futures
            inner = not _ways_of(value).keys().isdisjoint(vars(value))
            return Library(value, self.__service__) if inner else value
        return sender(value, self.__service__) or value  # websockets imports what it is asked for


def sender(original: Any, service: Service) -> Any:
    """What stands for ``original``, a function or class of a library that sends; None for any
    other."""
    way = _way_of(original)
    return way and Wrapper(original, functools.partial(way.call, service, None))


def replaced(module: ModuleType, service: Service) -> Iterator[tuple[Any, str, Any]]:
    """What of ``module`` sends: whose it is, its name, and what is to stand there."""
    for name, value in list(vars(module).items()):
        instead: Any = None
        if type(value) is ModuleType:
            instead = Library(value, service) if _ways_of(value) else None
        elif getattr(value, "__module__", None) != module.__name__:
            instead = sender(value, service)
            guard = None if isinstance(value, type) else _guard_of(type(value))
            if guard is not None:  # a session that the module has made
                guard(service, value)
        elif isinstance(value, FunctionType):
            instead = _importing(value, service)
        elif isinstance(value, type) and _guard_of(value) is not None:  # derived from a session's
            init: Any = value.__init__  # type: ignore[misc]
            yield value, "__init__", _guarding(init, _guard_of(value), service)
        if instead is not None:
            yield module, name, instead


def _ways_of(library: ModuleType) -> dict[str, _Way]:
    return SENDERS.get(library.__name__.partition(".")[0], {})


def _way_of(value: Any) -> _Way | None:
    top = str(getattr(value, "__module__", "")).partition(".")[0]
    return SENDERS[top].get(getattr(value, "__name__", "")) if top in SENDERS else None


def _guard_of(kind: type) -> Any:
    """What guards the objects of a class of sessions, or of one that is derived from it."""
    ways = filter(None, map(_way_of, kind.__mro__))
    return next((way.guard for way in ways if way.guard), None)


def _guarding(function: Any, guard: Any, service: Service) -> Any:
    @functools.wraps(function)
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        function(self, *args, **kwargs)
        guard(service, self, kwargs)

    return __init__


class _Way(NamedTuple):
    """A way of sending: what is called for it (a wrapt wrapper, behind ``service`` and what gives
    the function or class that the library has now), and what guards an object that is made."""

    call: Callable[..., Any]
    guard: Any = None


# What sends, (url, headers=) or (method, url, headers=)


def _placed(
    service: Service,
    url_at: int,
    key: str,
    args: Any,
    kwargs: dict[str, Any],
    owner: Any = None,
    named: str | None = None,
) -> Any:
    """The arguments with URL and headers settled, and what is sent then; ``owner`` is the object
    whose request it is, ``named`` the workspace that its session names."""
    url = kwargs["url"] if "url" in kwargs else args[url_at] if len(args) > url_at else None
    if url is None or isinstance(url, bytes):
        return args, kwargs, None
    text = url if isinstance(url, str) else str(url)  # of httpx, or yarl
    headers = kwargs.get(key)
    if owner is None:
        target, placed, workspace, source = settle(text, headers, named, service=service)
    else:
        target, placed, workspace, source = settled_for(owner, text, headers, service)
    if key == "header":
        placed = as_settled(placed)
    if placed is not headers:
        kwargs = {**kwargs, key: placed}
    if target is not text:
        if "url" in kwargs:
            kwargs = {**kwargs, "url": target}
        else:
            args = (*args[:url_at], target, *args[url_at + 1 :])
    return args, kwargs, (target, workspace, source, owner)


def _function(url_at: int, key: str = "headers", guard: Any = None) -> _Way:
    def call(
        service: Service, current: Any, wrapped: Any, instance: Any, args: Any, kwargs: Any
    ) -> Any:
        args, kwargs, sent = _placed(service, url_at, key, args, kwargs)
        return watched((current() if current else wrapped)(*args, **kwargs), sent)

    return _Way(call, guard)


def _websocket_app(
    service: Service, current: Any, wrapped: Any, instance: Any, args: Any, kwargs: Any
) -> Any:
    """A ``WebSocketApp``, which connects later; the methods that it calls back tell whose it is."""
    owner = getattr(kwargs.get("on_message"), "__self__", None)
    rest = args[2:]
    if len(args) > 1:  # it takes headers by position too
        args, kwargs = args[:1], {**kwargs, "header": args[1]}
    args, kwargs, sent = _placed(service, 0, "header", args, kwargs, owner)
    if rest:
        args = (*args, kwargs.pop("header"), *rest)
    if owner is not None and sent is not None:
        sent_for[owner] = sent[:3]
        for event in {"on_message", "on_error"} & kwargs.keys():
            kwargs = {**kwargs, event: heard(kwargs[event], sent)}
    return (current() if current else wrapped)(*args, **kwargs)


def _guard_app(service: Service, app: Any, _: Any = None) -> None:
    app.url, header, _, _ = settle(app.url, app.header, service=service)
    app.header = as_settled(header)


#: Where the owners of websockets show the workspace that they were told.
_SHOWN = ("workspace_id", "_workspace", "workspace", "user_workspace", "DEFAULT_WORKSPACE")


def settled_for(owner: Any, url: str, headers: Any = None, service: Service = None) -> Any:
    """``settle`` for the object whose request it is: with the workspace that it was told, or in the
    scope in which it was made."""
    if owner is None:
        return settle(url, headers, service=service)
    told, born = _decision.told, _decision.born
    outer = told.get(), born.get()
    named = None
    for name in _SHOWN:
        value = getattr(owner, name, None)
        if value and is_named(value):
            named = value
            break
    told.set(named)
    born.set(births.get(owner, outer[1]))
    try:
        return settle(url, headers, service=service)
    finally:
        told.set(outer[0])
        born.set(outer[1])


def _importing(function: FunctionType, service: Service) -> Any:
    """What stands for a function of the SDK that imports a library itself and is given a URL and
    headers: it sends by them."""
    code = function.__code__
    names = code.co_varnames[: code.co_argcount]
    if not {"url", "headers"} <= set(names) or SENDERS.keys().isdisjoint(code.co_names):
        return None

    def call(wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
        given = {**dict(zip(names, args)), **kwargs}
        _, given, sent = _placed(service, 0, "headers", (), given)
        return watched(wrapped(**given), sent)

    return Wrapper(function, call)


# Objects that send, through one of their methods


def _objects(guard: Callable[..., None]) -> _Way:
    def call(
        service: Service, current: Any, wrapped: Any, instance: Any, args: Any, kwargs: Any
    ) -> Any:
        made = (current() if current else wrapped)(*args, **kwargs)
        guard(service, made, kwargs)
        return made

    return _Way(call, guard)


def _session(through: str, url_at: int = 1, key: str = "headers") -> _Way:
    def guard(service: Service, session: Any, _: Any = None) -> None:
        send = getattr(session, through, None)
        if send is not None and through not in vars(session):
            guarded = functools.partial(_send_guarded, session, send, service, url_at, key)
            # aiohttp warns of attributes that are set on its sessions.
            object.__setattr__(session, through, guarded)

    return _objects(guard)


def _send_guarded(
    session: Any, send: Any, service: Service, url_at: int, key: str, /, *args: Any, **kwargs: Any
) -> Any:
    """Call ``send``, the method of ``session`` that all its requests pass."""
    own = getattr(session, "headers", None)
    named = workspace_in_headers(own) if own and not kwargs.get(key) else None
    args, kwargs, sent = _placed(service, url_at, key, args, kwargs, named=named)
    return watched(send(*args, **kwargs), sent)


#: Where a connection pool shows what the client was told and has found that it sends for.
OF_CLIENT = "_dashscope_ws_patch_client"


def _guard_httpx(service: Service, client: Any, given: Any = None) -> None:
    """A client of httpx, whose requests are built by one method. Its default headers, which httpx
    keeps as bytes, may name a workspace that the SDK has found."""
    found = workspace_in_headers((given or {}).get("headers") or client.headers)
    build = client.build_request
    if "build_request" in vars(client):
        return

    def build_request(method: Any, url: Any, **options: Any) -> Any:
        # A 2.x client marks its pool with what it was told and has found.
        space, base, chosen, region = (vars(client).get(OF_CLIENT) or (found, "", None, None))[:4]
        if is_named(space):
            return build(method, url, **options)
        target = str(client._merge_url(url))
        if urlsplit(target).netloc != urlsplit(base).netloc:
            chosen = region = None
        moved, headers, workspace, source = settle(
            target, options.get("headers"), space, chosen, region, service
        )
        options["headers"] = headers
        request = build(method, url if moved is target else moved, **options)
        if source is not None and workspace is None:
            request.headers.pop(HEADER, None)
        return request

    client.build_request = build_request


# Threads


def _thread(
    service: Service, current: Any, wrapped: Any, instance: Any, args: Any, kwargs: Any
) -> Any:
    """A thread in which the SDK sends: it runs in the scope of whoever starts it."""
    target = kwargs.get("target")
    owner = getattr(target, "__self__", None)
    if type(owner).__module__.partition(".")[0] == "dashscope":
        # What is malformed is told here, and not in the thread.
        settled_for(owner, getattr(sdk("dashscope"), "base_websocket_api_url", None) or "")
    here = scope_here() or _decision.born.get()
    if here is not None and target is not None:
        kwargs = {**kwargs, "target": functools.partial(_context_of(here).run, target)}
    return (current() if current else wrapped)(*args, **kwargs)


def _context_of(here: Scope) -> Context:
    """A context for a new thread, in which ``here`` holds and else what would natively."""
    inherits = getattr(sys.flags, "thread_inherit_context", False)
    context = copy_context() if inherits else Context()
    context.run(scope.set, here)
    return context


def _executor(
    service: Service, current: Any, wrapped: Any, instance: Any, args: Any, kwargs: Any
) -> Any:
    """A pool in which the SDK sends on behalf of a call."""
    pool = (current() if current else wrapped)(*args, **kwargs)
    submit, told = pool.submit, _decision.told

    def submitted(fn: Any, /, *args: Any, **kwargs: Any) -> Any:
        return submit(in_scope(fn, (scope, scope_here()), (told, told.get())), *args, **kwargs)

    pool.submit = submitted
    return pool


_VERBS = ("get", "post", "put", "delete", "patch", "head", "options")

#: What sends in each library, by the name that it has there.
SENDERS: dict[str, dict[str, _Way]] = {
    "requests": {
        **dict.fromkeys(_VERBS, _function(0)),
        "request": _function(1),
        **dict.fromkeys(("Session", "session"), _session("request")),
    },
    "httpx": {
        **dict.fromkeys(_VERBS, _function(0)),
        **dict.fromkeys(("request", "stream"), _function(1)),
        **dict.fromkeys(("Client", "AsyncClient"), _objects(_guard_httpx)),
    },
    "aiohttp": {"request": _function(1), "ClientSession": _session("_request")},
    "urllib3": {"request": _function(1), "PoolManager": _session("urlopen")},
    "websocket": {
        "create_connection": _function(0, "header"),
        "WebSocketApp": _Way(_websocket_app, _guard_app),
        "WebSocket": _session("connect", 0, "header"),
    },
    "websockets": {"connect": _function(0, "additional_headers")},
    "threading": {"Thread": _Way(_thread)},
    "concurrent": {"ThreadPoolExecutor": _Way(_executor)},
}

unseen(globals(), __name__)
