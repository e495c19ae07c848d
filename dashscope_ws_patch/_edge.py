"""The edge: whatever a module of the SDK sends by, passes ``settle``.

A rule, not a list: every global of a module that is a library which sends, or was taken from one by
name (``from requests import Session``), is replaced by what sends for that module. The libraries
themselves are never changed, and what others put into them is used.
"""

from __future__ import annotations

import functools
import sys
from contextvars import Context, copy_context
from types import FunctionType, ModuleType
from typing import Any, Callable, Optional
from urllib.parse import urlsplit

import wrapt

from . import _decision
from ._carry import in_scope, unseen
from ._decision import BASES, HEADER, Found, ambient, scope_here, sdk, settle, workspace_in_headers
from ._hosts import in_url, workspace_in_host
from ._workspace import Scope, scope
from .hint.watch import heard, watched

#: Tells whether a URL leads to the service; None where all do.
Service = Optional[Callable[[str], bool]]

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
        inner = isinstance(value, ModuleType) and value.__name__.startswith(f"{self.__name__}.")
        return Library(value, self.__service__) if inner else value


def sender(original: Any, service: Service, library: Any = None) -> Any:
    """What stands for ``original``, a function or class of a library that sends, or None for any
    other. ``library`` is where it is looked up again when it is called."""
    top = str(getattr(original, "__module__", "")).partition(".")[0]
    name = getattr(original, "__name__", "")
    make = SENDERS.get(top, {}).get(name)
    if make is None:
        return None

    def call(wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
        current = vars(library).get(name, wrapped) if library is not None else wrapped
        return made(wrapped if isinstance(current, type(proxy)) else current, args, kwargs)

    made = functools.partial(make, service)
    proxy = wrapt.FunctionWrapper(original, call)
    return proxy


def replaced(module: ModuleType, service: Service) -> dict[str, Any]:
    """What the globals of ``module`` that send are to be, by name."""
    found = {}
    for name, value in list(vars(module).items()):
        if type(value) is ModuleType:
            if value.__name__.partition(".")[0] in SENDERS:
                found[name] = Library(value, service)
        elif isinstance(value, FunctionType) and value.__module__ == module.__name__:
            send = _importing(value, service)
            if send is not None:
                found[name] = send
        elif (instead := sender(value, service)) is not None:
            found[name] = instead
    return found


# Functions, (url, headers=) or (method, url, headers=)


def _function(url_at: int, key: str = "headers") -> Callable[..., Any]:
    def send(service: Service, function: Any, args: Any, kwargs: Any) -> Any:
        url = kwargs.get("url") or (args[url_at] if len(args) > url_at else None)
        if not isinstance(url, str):
            return function(*args, **kwargs)
        owner = getattr(kwargs.get("on_message"), "__self__", None)
        if len(args) > url_at + 1 and key not in kwargs and key == "header":
            kwargs[key], args = args[url_at + 1], (*args[: url_at + 1], *args[url_at + 2 :])
        settled = settled_for(owner, url, kwargs.get(key), service)
        target, headers, workspace, source = settled
        if owner is not None:
            vars(owner)[SENT] = target, workspace, source
        if key == "header":
            kind = _decision.SettledHeaders if isinstance(headers, dict) else _decision.SettledLines
            kwargs[key] = kind(headers or ())
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

    return send


#: Where the owners of websockets show the workspace that they were told.
_SHOWN = ("workspace_id", "_workspace", "workspace", "user_workspace", "DEFAULT_WORKSPACE")


def settled_for(owner: Any, url: str, headers: Any, service: Service = None) -> Any:
    """``settle`` for the object whose websocket this is: in the scope in which that was made, with
    the workspace that it was told."""
    if owner is None:
        return settle(url, headers, service=service)
    shown = (getattr(owner, name, None) for name in _SHOWN)
    told, born = _decision.told, _decision.born
    outer = told.get(), born.get()
    told.set(next((name for name in shown if _decision.is_named(name)), None))
    born.set(vars(owner).get(BORN, outer[1]))
    try:
        return settle(url, headers, service=service)
    finally:
        told.set(outer[0])
        born.set(outer[1])


#: Where objects of the SDK keep the scope in which they were made, and what was sent for them.
BORN, SENT = "_dashscope_ws_patch_born", "_dashscope_ws_patch_sent"


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


def _session(through: str, url_at: int = 1, key: str = "headers") -> Callable[..., Any]:
    def make(service: Service, kind: Any, args: Any, kwargs: Any) -> Any:
        session = kind(*args, **kwargs)
        send = getattr(session, through, None)
        if send is not None:
            sent = functools.partial(_through, session, send, service, url_at, key)
            # aiohttp warns of attributes that are set on its sessions.
            object.__setattr__(session, through, sent)
        return session

    return make


def _through(
    session: Any, send: Any, service: Service, url_at: int, key: str, *args: Any, **kwargs: Any
) -> Any:
    """Call ``send``, the method of ``session`` that all its requests pass, with what is settled."""
    url = kwargs.get("url") or args[url_at]
    headers = kwargs.get(key)
    own = getattr(session, "headers", None)
    if not isinstance(url, str) or (not headers and own and workspace_in_headers(own)):
        return send(*args, **kwargs)
    target, headers, workspace, source = settle(url, headers, service=service)
    if headers is not None:
        kwargs[key] = headers
    if "url" in kwargs:
        kwargs["url"] = target
    else:
        args = (*args[:url_at], target, *args[url_at + 1 :])
    return watched(send(*args, **kwargs), (target, workspace, source, None))


def _httpx_client(service: Service, kind: Any, args: Any, kwargs: Any) -> Any:
    """A client of httpx, whose requests are built by one method: its default headers, which httpx
    keeps as bytes, may name a workspace that the SDK has found."""
    client = kind(*args, **kwargs)
    found = workspace_in_headers(kwargs.get("headers"))
    default = kwargs.get("base_url")
    build = client.build_request

    def build_request(method: Any, url: Any, **options: Any) -> Any:
        given = options.get("headers")
        target = str(client._merge_url(url) if hasattr(client, "_merge_url") else url)
        if not workspace_in_headers(given) and (isinstance(found, Found) or not found):
            same = urlsplit(target).netloc == urlsplit(str(default or "")).netloc
            region = getattr(default, "region", None) if same else None
            settled = settle(target, given, found or getattr(default, "at", None), None, region, service)
            moved, options["headers"], workspace, source = settled
            request = build(method, moved if moved != target else url, **options)
            if source is not None and workspace is None:
                request.headers.pop(HEADER, None)
            return request
        return build(method, url, **options)

    object.__setattr__(client, "build_request", build_request)
    return client


# Threads


def _thread(service: Service, kind: Any, args: Any, kwargs: Any) -> Any:
    """A thread in which the SDK sends: it runs in the scope of whoever starts it."""
    target = kwargs.get("target")
    if target is None:
        return kind(*args, **kwargs)
    ambient()  # what is malformed is told here, and not in the thread
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
        **dict.fromkeys(("Client", "AsyncClient"), _httpx_client),
    },
    "aiohttp": {"request": _function(1), "ClientSession": _session("_request")},
    "urllib3": {"request": _function(1), "PoolManager": _session("request")},
    "websocket": {
        **dict.fromkeys(("WebSocketApp", "create_connection"), _function(0, "header")),
        "WebSocket": _session("connect", 0, "header"),
    },
    "websockets": {"connect": _function(0, "additional_headers")},
    "threading": {"Thread": _thread},
    "concurrent": {"ThreadPoolExecutor": _executor},
}

unseen(globals(), __name__)
