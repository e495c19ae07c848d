"""The libraries by which the SDK sends, and the ways in which each of them does: what a module of
the SDK calls in the place of a library's own (see ``_edge``)."""

from __future__ import annotations

import functools
import sys
from contextvars import Context, ContextVar, copy_context
from typing import Any, Callable, NamedTuple, Optional
from urllib.parse import urlsplit
from weakref import ref

from . import _decision
from ._carry import in_scope, unseen
from ._decision import (
    BASES,
    HEADER,
    as_settled,
    copied,
    is_named,
    scope_here,
    sdk,
    settle,
    workspace_in_headers,
)
from ._hosts import in_url, workspace_in_host
from ._workspace import Scope, scope
from .hint.watch import heard, watched

#: Tells whether a URL leads to the service; None where all do.
Service = Optional[Callable[[str], bool]]

#: Where responses and connections of the SDK keep what was sent for them.
SENT = "_dashscope_ws_patch_sent"


#: What an adapter meets where the SDK's insides are not those that it knows.
MISFIT = (AttributeError, LookupError, TypeError)
#: Is told of the function in whose adapter that happened (by activation, which leaves all modules
#: to the edge then).
on_misfit: Callable[[Any, Exception], None] = print
NOTHING_SENT: Any = "", None, None, None


def misfit(function: Any, error: Exception) -> Any:
    """Let the request that the adapter of ``function`` cannot look into pass the edge; returns what
    is known of it."""
    on_misfit(function, error)
    return NOTHING_SENT


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


class Way(NamedTuple):
    """A way of sending: what is called for it (a wrapt wrapper, behind ``service`` and what gives
    the function or class that the library has now), and what guards an object that is made."""

    call: Callable[..., Any]
    guard: Any = None


# What sends, (url, headers=) or (method, url, headers=)


def placed(
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
    name = "uri" if "uri" in kwargs else "url"  # websockets has the former
    url = kwargs[name] if name in kwargs else args[url_at] if len(args) > url_at else None
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
        if name in kwargs:
            kwargs = {**kwargs, name: target}
        else:
            args = (*args[:url_at], target, *args[url_at + 1 :])
    return args, kwargs, (target, workspace, source, owner)


def _function(url_at: int, key: str = "headers", guard: Any = None) -> Way:
    def call(
        service: Service, current: Any, wrapped: Any, instance: Any, args: Any, kwargs: Any
    ) -> Any:
        args, kwargs, sent = placed(service, url_at, key, args, kwargs)
        return watched((current() if current else wrapped)(*args, **kwargs), sent)

    return Way(call, guard)


def _websocket_app(
    service: Service, current: Any, wrapped: Any, instance: Any, args: Any, kwargs: Any
) -> Any:
    """A ``WebSocketApp``, which connects later; the methods that it calls back tell whose it is."""
    owner = getattr(kwargs.get("on_message"), "__self__", None)
    rest = args[2:]
    if len(args) > 1:  # it takes headers by position too
        args, kwargs = args[:1], {**kwargs, "header": args[1]}
    args, kwargs, sent = placed(service, 0, "header", args, kwargs, owner)
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


# Objects that send, through one of their methods


def _objects(guard: Callable[..., None]) -> Way:
    def call(
        service: Service, current: Any, wrapped: Any, instance: Any, args: Any, kwargs: Any
    ) -> Any:
        made = (current() if current else wrapped)(*args, **kwargs)
        guard(service, made, kwargs)
        return made

    return Way(call, guard)


def _guarded(session: Any, name: str, call: Callable[..., Any]) -> None:
    """Let ``call(session, original, ...)`` stand for a method of ``session``, a class's as it is
    then. aiohttp warns of attributes that are set on its sessions."""
    if hasattr(session, name) and name not in vars(session):
        object.__setattr__(session, name, functools.partial(call, session, name))


def _session(through: str, url_at: int = 1, key: str = "headers") -> Way:
    """A session whose requests all pass one method, ``(method, url, headers=)``."""

    def guard(service: Service, session: Any, _: Any = None) -> None:
        def send(session: Any, name: str, /, *args: Any, **kwargs: Any) -> Any:
            own = getattr(session, "headers", None)
            named = workspace_in_headers(own) if own and not kwargs.get(key) else None
            args, kwargs, sent = placed(service, url_at, key, args, kwargs, named=named)
            return watched(getattr(type(session), name)(session, *args, **kwargs), sent)

        _guarded(session, through, send)

    return _objects(guard)


def _guard_requests(service: Service, session: Any, _: Any = None) -> None:
    """A session of requests, which also sends what was prepared elsewhere."""

    def send(session: Any, _: str, /, request: Any, **options: Any) -> Any:
        if HEADER.lower() in request.headers._store:
            return type(session).send(session, request, **options)
        url, headers, *decided = settle(request.url, request.headers, service=service)
        request = copied(request, url=url, headers=headers)
        return watched(type(session).send(session, request, **options), (url, *decided, None))

    _BY_REQUEST.guard(service, session)
    _guarded(session, "send", send)


_BY_REQUEST = _session("request")


#: Where a connection pool shows what the client was told and has found that it sends for.
OF_CLIENT = "_dashscope_ws_patch_client"


def _guard_httpx(service: Service, client: Any, given: Any = None) -> None:
    """A client of httpx, which builds each request, and sends what was built anywhere. Its default
    headers, which httpx keeps as bytes, may name a workspace that the SDK has found."""
    found = workspace_in_headers((given or {}).get("headers") or client.headers)

    def build_request(client: Any, _: str, /, method: Any, url: Any, **options: Any) -> Any:
        build = type(client).build_request
        # A 2.x client marks its pool with what it was told and has found.
        space, base, chosen, region = vars(client).get(OF_CLIENT) or (found, "", None, None)
        if is_named(space):
            request = build(client, method, url, **options)
        else:
            target = str(client._merge_url(url))
            if urlsplit(target).netloc != urlsplit(base).netloc:
                chosen = region = None
            moved, headers, workspace, source = settle(
                target, options.get("headers"), space, chosen, region, service
            )
            options["headers"] = headers
            request = build(client, method, url if moved is target else moved, **options)
            if source is not None and workspace is None:
                request.headers.pop(HEADER, None)
        vars(request)[SENT] = True
        return request

    def send(client: Any, _: str, /, request: Any, **options: Any) -> Any:
        if SENT not in vars(request):
            url, headers = settle(str(request.url), request.headers, service=service)[:2]
            moved = type(request.url)(url)
            if moved.host != request.url.host:
                headers["Host"] = moved.netloc.decode()
            request = copied(request, url=moved, headers=headers)
        return type(client).send(client, request, **options)

    _guarded(client, "build_request", build_request)
    _guarded(client, "send", send)


# Threads


def _guard_thread(service: Service, thread: Any, _: Any = None) -> None:
    """A thread in which the SDK sends: it runs in the scope in which it was made."""
    owner = getattr(getattr(thread, "_target", None), "__self__", None)
    if type(owner).__module__.partition(".")[0] == "dashscope":
        # What is malformed is told here, and not in the thread.
        settled_for(owner, getattr(sdk("dashscope"), "base_websocket_api_url", None) or "")
    here = scope_here() or _decision.born.get()
    if here is not None:
        thread.run = functools.partial(_context_of(here).run, thread.run)


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

#: By these a module does its work elsewhere, and sends nothing.
WORKERS = frozenset(("threading", "concurrent", "concurrent.futures"))

#: What sends in each library, by the name that it has there.
SENDERS: dict[str, dict[str, Way]] = {
    "requests": {
        **dict.fromkeys(_VERBS, _function(0)),
        "request": _function(1),
        **dict.fromkeys(("Session", "session"), _objects(_guard_requests)),
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
        "WebSocketApp": Way(_websocket_app, _guard_app),
        "WebSocket": _session("connect", 0, "header"),
    },
    "websockets": {"connect": _function(0, "additional_headers")},
    "threading": dict.fromkeys(("Thread", "Timer"), _objects(_guard_thread)),
    "concurrent": {"ThreadPoolExecutor": Way(_executor)},
}

unseen(globals(), __name__)
