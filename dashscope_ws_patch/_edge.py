"""The edge: whatever a module of the SDK sends by, passes ``settle``.

A rule, not a list: every global of a module that is a library which sends, or was taken from one by
name (``from requests import Session``), is replaced by what sends for that module. The libraries
themselves are never changed, and what others put into them is used.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterator
from contextlib import suppress
from contextvars import Context, copy_context
from types import FunctionType, ModuleType
from typing import Any, Callable, Optional
from urllib.parse import urlsplit
from weakref import WeakKeyDictionary

import wrapt

from . import _decision
from ._carry import in_scope, unseen
from ._decision import BASES, HEADER, Found, scope_here, sdk, settle, workspace_in_headers
from ._hosts import in_url, workspace_in_host
from ._workspace import Scope, scope
from .hint.watch import heard, watched

#: Tells whether a URL leads to the service; None where all do.
Service = Optional[Callable[[str], bool]]

#: Where responses and connections of the SDK keep what was sent for them.
SENT = "_dashscope_ws_patch_sent"

#: The scopes in which objects of the SDK were made, and what was sent for them (URL, workspace and
#: source), beside the objects, which stay picklable as they were.
births: WeakKeyDictionary[Any, Scope] = WeakKeyDictionary()
sent_for: WeakKeyDictionary[Any, Any] = WeakKeyDictionary()

#: The hosts of base URLs that calls and clients were given.
hosts_named: set[str] = set()


def leads_to_service(url: str) -> bool:
    """Whether ``url`` leads to the service, or to a host that the SDK was pointed at."""
    if in_url(url) or workspace_in_host(url):
        return True
    host = urlsplit(url).hostname
    if host in hosts_named:
        return True
    bases = (getattr(sdk("dashscope"), base, None) for base in BASES)
    return host is not None and any(urlsplit(base or "").hostname == host for base in bases)


class Library(ModuleType):
    """A library as a module of the SDK sees it: what sends is ours, the rest is the library's own,
    as it is then."""

    def __init__(self, library: ModuleType, service: Service) -> None:
        super().__init__(library.__name__, library.__doc__)
        vars(self).update(__wrapped__=library, __service__=service)
        for name in SENDERS.get(library.__name__.partition(".")[0], ()):
            if name in vars(library):
                setattr(self, name, sender(vars(library)[name], service, library))

    def __getattr__(self, name: str) -> Any:
        value = getattr(self.__wrapped__, name)
        if isinstance(value, ModuleType):  # requests.api, concurrent.futures
            return Library(value, self.__service__) if _sends(value) else value
        # websockets imports what it is asked for
        return sender(value, self.__service__) or value


def _sends(module: ModuleType) -> bool:
    names = SENDERS.get(module.__name__.partition(".")[0], {})
    return not names.keys().isdisjoint(vars(module))


def sender(original: Any, service: Service, library: Any = None) -> Any:
    """What stands for ``original``, a function or class of a library that sends, or None for any
    other. ``library`` is where it is looked up again when it is called."""
    name, make = _way(original)
    if make is None:
        return None

    def call(wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
        current = vars(library).get(name, wrapped) if library is not None else wrapped
        return made(wrapped if isinstance(current, type(proxy)) else current, args, kwargs)

    made = functools.partial(make, service)
    proxy = wrapt.FunctionWrapper(original, call)
    return proxy


def _way(original: Any) -> tuple[str, Any]:
    """The name of a function or class in its library, and what sends for it."""
    top = str(getattr(original, "__module__", "")).partition(".")[0]
    name = getattr(original, "__name__", "")
    return name, SENDERS[top].get(name) if top in SENDERS else None


#: Who has something, under which name, and what is to stand there.
Replaced = Iterator[tuple[Any, str, Any]]


def replaced(module: ModuleType, service: Service) -> Replaced:
    """What of ``module`` sends: its globals, and what these were put into while its code ran (the
    attributes of its classes, the defaults of its functions, what they have in closures)."""
    sends = False
    for name, value in list(vars(module).items()):
        if isinstance(value, FunctionType) and value.__module__ == module.__name__:
            instead = _importing(value, service)
        else:
            instead = _instead(value, service)
        if instead is not None:
            sends = True
            yield module, name, instead
    if sends:
        yield from _inside(module, module.__name__, service, set())


def _instead(value: Any, service: Service) -> Any:
    """What stands for a value by which its module sends; None for any other. An object that is made
    already is guarded as it is."""
    if isinstance(value, ModuleType):
        library = type(value) is ModuleType and value.__name__.partition(".")[0] in SENDERS
        return Library(value, service) if library else None
    if isinstance(value, functools.partial):
        function = _instead(value.func, service)
        return function and functools.partial(function, *value.args, **value.keywords)
    if isinstance(value, staticmethod):
        function = _instead(value.__func__, service)
        return function and staticmethod(function)
    if type(value) in (tuple, dict):
        items = value.items() if type(value) is dict else enumerate(value)
        found = {key: instead for key, item in items if (instead := _instead(item, service))}
        if not found:
            return None
        if type(value) is dict:
            return {**value, **found}
        return tuple(found.get(at, item) for at, item in enumerate(value))
    if not isinstance(value, (type, FunctionType)):
        guard = _guard_of(type(value))
        if guard is not None:
            guard(service, value)
        return None
    return sender(value, service)


def _inside(owner: Any, module: str, service: Service, seen: set[int]) -> Replaced:
    for holder, name, value in _parts(owner):
        instead = None if isinstance(owner, ModuleType) else _instead(value, service)
        value = value.__func__ if isinstance(value, (classmethod, staticmethod)) else value
        if instead is not None:
            yield holder, name, instead
        elif (
            isinstance(value, (type, FunctionType))
            and getattr(value, "__module__", "") == module
            and id(value) not in seen
        ):
            seen.add(id(value))
            guard = _guard_of(value) if isinstance(value, type) else None
            if guard is not None:
                init: Any = value.__init__  # type: ignore[misc]
                yield value, "__init__", _guarding(init, guard, service)
            yield from _inside(value, module, service, seen)


def _parts(owner: Any) -> Replaced:
    for name, value in list(getattr(owner, "__dict__", {}).items()):
        yield owner, name, value
    if isinstance(owner, FunctionType):
        yield owner, "__defaults__", owner.__defaults__
        yield owner, "__kwdefaults__", owner.__kwdefaults__
        for cell in owner.__closure__ or ():
            with suppress(ValueError):  # it is empty
                yield cell, "cell_contents", cell.cell_contents


def _guard_of(kind: type) -> Any:
    """What guards the objects of a class that sends, or is derived from one."""
    for base in kind.__mro__:
        guard = getattr(_way(base)[1], "guard", None)
        if guard is not None:
            return guard
    return None


def _guarding(function: Any, guard: Any, service: Service) -> Any:
    """The constructor of a class that is derived from one that sends."""

    @functools.wraps(function)
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        function(self, *args, **kwargs)
        guard(service, self, kwargs)

    return __init__


# Functions, (url, headers=) or (method, url, headers=)


def _function(url_at: int, key: str = "headers", guard: Any = None) -> Callable[..., Any]:
    def send(service: Service, function: Any, args: Any, kwargs: Any) -> Any:
        url = kwargs.get("url") or (args[url_at] if len(args) > url_at else None)
        if url is None or isinstance(url, bytes):
            return function(*args, **kwargs)
        url = url if isinstance(url, str) else str(url)  # a URL of httpx or yarl
        owner = getattr(kwargs.get("on_message"), "__self__", None)
        # WebSocketApp takes them by position too.
        at = url_at + 1 if isinstance(function, type) and len(args) > url_at + 1 else None
        settled = settled_for(owner, url, kwargs.get(key) if at is None else args[at], service)
        target, headers, workspace, source = settled
        if owner is not None:
            sent_for[owner] = target, workspace, source
        if key == "header":
            kind = _decision.SettledHeaders if isinstance(headers, dict) else _decision.SettledLines
            headers = kind(headers or ())
        if at is not None:
            args = (*args[:at], headers, *args[at + 1 :])
        elif headers is not None:
            kwargs[key] = headers
        if target is not url:
            if "url" in kwargs:
                kwargs["url"] = target
            else:
                args = (*args[:url_at], target, *args[url_at + 1 :])
        sent = target, workspace, source, owner
        for event in ("on_message", "on_error"):
            if event in kwargs:
                kwargs[event] = heard(kwargs[event], sent)
        return watched(function(*args, **kwargs), sent)

    send.guard = guard  # type: ignore[attr-defined]
    return send


#: Where the owners of websockets show the workspace that they were told.
_SHOWN = ("workspace_id", "_workspace", "workspace", "user_workspace", "DEFAULT_WORKSPACE")


def settled_for(owner: Any, url: str, headers: Any = None, service: Service = None) -> Any:
    """``settle`` for the object whose websocket this is: in the scope in which that was made, with
    the workspace that it was told."""
    if owner is None:
        return settle(url, headers, service=service)
    shown = (getattr(owner, name, None) for name in _SHOWN)
    told, born = _decision.told, _decision.born
    outer = told.get(), born.get()
    told.set(next((name for name in shown if _decision.is_named(name)), None))
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
    if "url" not in names or "headers" not in names or not SENDERS.keys() & set(code.co_names):
        return None
    send = _function(names.index("url"))

    def call(wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
        at = names.index("headers")
        if len(args) > at:
            kwargs = {**kwargs, **dict(zip(names[at:], args[at:]))}
            args = args[:at]
        return send(service, wrapped, args, kwargs)

    return wrapt.FunctionWrapper(function, call)


# Classes whose objects send, through one of their methods


def _objects(guard: Callable[..., None]) -> Callable[..., Any]:
    """A class whose objects are guarded, each by ``guard(service, object, its keywords)``."""

    def make(service: Service, kind: Any, args: Any, kwargs: Any) -> Any:
        made = kind(*args, **kwargs)
        guard(service, made, kwargs)
        return made

    make.guard = guard  # type: ignore[attr-defined]
    return make


def _put(made: Any, name: str, value: Any) -> None:
    # aiohttp warns of attributes that are set on its sessions.
    object.__setattr__(made, name, value)


def _session(through: str, url_at: int = 1, key: str = "headers") -> Callable[..., Any]:
    def guard(service: Service, session: Any, _: Any = None) -> None:
        send = getattr(session, through, None)
        if send is not None and through not in vars(session):
            _put(session, through, functools.partial(_through, session, send, service, url_at, key))
            # Where a class has a method of its own that knows the URL, or a request is prepared
            # first; modules of the table do neither.
            prepare = getattr(session, "prepare_request", None)
            if prepare is not None and service is not None:
                _put(
                    session,
                    "prepare_request",
                    functools.partial(_prepare, session, prepare, service),
                )

    return _objects(guard)


def _through(
    session: Any, send: Any, service: Service, url_at: int, key: str, *args: Any, **kwargs: Any
) -> Any:
    """Call ``send``, the method of ``session`` that all its requests pass, with what is settled."""
    url = kwargs.get("url") or (args[url_at] if len(args) > url_at else None)
    headers = kwargs.get(key)
    own = getattr(session, "headers", None)
    named = not headers and own and workspace_in_headers(own)
    if url is None or isinstance(url, bytes) or named:
        return send(*args, **kwargs)
    url = url if isinstance(url, str) else str(url)
    target, headers, workspace, source = settle(url, headers, service=service)
    if headers is not None:
        kwargs[key] = headers
    if target is url:
        pass
    elif "url" in kwargs:
        kwargs["url"] = target
    else:
        args = (*args[:url_at], target, *args[url_at + 1 :])
    return watched(send(*args, **kwargs), (target, workspace, source, None))


def _prepare(session: Any, prepare: Any, service: Service, request: Any) -> Any:
    """``prepare_request`` of a session of requests."""
    if not workspace_in_headers(session.headers):
        request.url, request.headers, _, _ = settle(
            str(request.url), request.headers, service=service
        )
    return prepare(request)


def _app(service: Service, app: Any, _: Any = None) -> None:
    """A WebSocketApp of a class of its own, which connects later."""
    app.url, app.header, _, _ = settle(app.url, app.header, service=service)


def _httpx_client(service: Service, client: Any, given: Any = None) -> None:
    """A client of httpx, whose requests are built by one method: its default headers, which httpx
    keeps as bytes, may name a workspace that the SDK has found."""
    given = given or {}
    found = workspace_in_headers(given.get("headers", client.headers))
    default = given.get("base_url")
    build = client.build_request
    if "build_request" in vars(client):
        return

    def build_request(method: Any, url: Any, **options: Any) -> Any:
        headers = options.get("headers")
        target = str(client._merge_url(url) if hasattr(client, "_merge_url") else url)
        if not workspace_in_headers(headers) and (isinstance(found, Found) or not found):
            same = urlsplit(target).netloc == urlsplit(str(default or "")).netloc
            region = getattr(default, "region", None) if same else None
            found_there = found or getattr(default, "at", None)
            moved, options["headers"], workspace, source = settle(
                target, headers, found_there, None, region, service
            )
            request = build(method, moved if moved != target else url, **options)
            if source is not None and workspace is None:
                request.headers.pop(HEADER, None)
            return request
        return build(method, url, **options)

    _put(client, "build_request", build_request)


# Threads


def _thread(service: Service, kind: Any, args: Any, kwargs: Any) -> Any:
    """A thread in which the SDK sends: it runs in the scope of whoever starts it."""
    target = kwargs.get("target")
    if target is None:
        return kind(*args, **kwargs)
    owner = getattr(target, "__self__", None)
    if type(owner).__module__.partition(".")[0] == "dashscope":
        settled_for(owner, "")  # what is malformed is told here, and not in the thread
    here = scope_here() or _decision.born.get()
    if here is not None:
        kwargs["target"] = functools.partial(_context_of(here).run, target)
    return kind(*args, **kwargs)


def _context_of(here: Scope) -> Context:
    """A context for a new thread, in which ``here`` holds and else what would natively."""
    inherits = getattr(sys.flags, "thread_inherit_context", False)
    context = copy_context() if inherits else Context()
    context.run(scope.set, here)
    return context


def _executor(service: Service, kind: Any, args: Any, kwargs: Any) -> Any:
    """A pool in which the SDK sends on behalf of a call."""
    pool = kind(*args, **kwargs)
    submit = pool.submit

    def submitted(fn: Any, /, *args: Any, **kwargs: Any) -> Any:
        told = _decision.told
        return submit(in_scope(fn, (scope, scope_here()), (told, told.get())), *args, **kwargs)

    pool.submit = submitted
    return pool


_VERBS = ("get", "post", "put", "delete", "patch", "head", "options")

#: What sends in each library, by the name that it has there.
SENDERS: dict[str, dict[str, Callable[..., Any]]] = {
    "requests": {
        **dict.fromkeys(_VERBS, _function(0)),
        "request": _function(1),
        **dict.fromkeys(("Session", "session"), _session("request")),
    },
    "httpx": {
        **dict.fromkeys(_VERBS, _function(0)),
        **dict.fromkeys(("request", "stream"), _function(1)),
        **dict.fromkeys(("Client", "AsyncClient"), _objects(_httpx_client)),
    },
    "aiohttp": {"request": _function(1), "ClientSession": _session("_request")},
    "urllib3": {"request": _function(1), "PoolManager": _session("urlopen")},
    "websocket": {
        "create_connection": _function(0, "header"),
        "WebSocketApp": _function(0, "header", _app),
        "WebSocket": _session("connect", 0, "header"),
    },
    "websockets": {"connect": _function(0, "additional_headers")},
    "threading": {"Thread": _thread},
    "concurrent": {"ThreadPoolExecutor": _executor},
}

unseen(globals(), __name__)
