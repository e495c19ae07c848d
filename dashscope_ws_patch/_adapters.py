"""The adapters: one for each way in which the SDK takes a workspace.

An adapter is given the SDK's own object (a function, a method, a library's module) and returns what
is put into its place. Which workspace goes where is decided by ``_decision``.
"""

from __future__ import annotations

import copy
import functools
import operator
import sys
import threading
import types
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextvars import copy_context
from typing import Any, Callable
from urllib.parse import urlsplit

import wrapt

from . import _workspace
from ._decision import (
    DOMAIN,
    HEADER,
    NO_CALL,
    Call,
    ambient,
    argument,
    current,
    during,
    keep,
    named,
    opened,
    remember,
    require_host_label,
    route,
    scope_in_effect,
    with_argument,
    workspace_in_headers,
)

Adapter = Callable[[Any], Any]


# Functions and methods


class _Bound(wrapt.BoundFunctionWrapper):  # type: ignore[misc]
    # wrapt's wrappers refuse to be pickled or copied; a bound method that goes to a process pool
    # must travel as it does natively.
    def __reduce_ex__(self, protocol: Any) -> Any:
        function = self.__wrapped__
        if isinstance(function, types.MethodType):
            return function.__reduce_ex__(protocol)
        owner, _, name = function.__qualname__.rpartition(".")
        return getattr, (operator.attrgetter(owner)(sys.modules[function.__module__]), name)

    def __copy__(self) -> Any:
        return self

    def __deepcopy__(self, memo: Any) -> Any:
        function = self.__wrapped__
        if not isinstance(function, types.MethodType):
            return self
        return getattr(copy.deepcopy(function.__self__, memo), function.__name__)


class _Method(wrapt.FunctionWrapper):  # type: ignore[misc]
    __bound_function_wrapper__ = _Bound

    def __reduce_ex__(self, protocol: Any) -> Any:
        function = self.__wrapped__
        found = operator.attrgetter(function.__qualname__)(sys.modules[function.__module__])
        if found is self:
            return function.__qualname__  # by reference, as functions are pickled
        return operator.itemgetter(0), ((function,),)


def method(wrapper: Callable[..., Any]) -> Adapter:
    """An adapter of methods, from a wrapt wrapper ``(wrapped, instance, args, kwargs)``."""
    return lambda original: _Method(original, wrapper)


def on_behalf(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """A method that the calling code calls: its requests are made on behalf of this call."""
    opening = opened(wrapped, instance, args, kwargs)
    with during(opening):
        result = wrapped(*args, **kwargs)
    # What runs later runs in the scope of the call, not in that of the one who awaits or iterates.
    if isinstance(result, types.CoroutineType):
        return _awaited(result, opening, _workspace.scope.get())
    if isinstance(result, types.GeneratorType):
        return _iterated(result, opening, _workspace.scope.get())
    if isinstance(result, types.AsyncGeneratorType):
        return _aiterated(result, opening, _workspace.scope.get())
    return result


call = method(on_behalf)


async def _awaited(
    coroutine: Coroutine[Any, Any, Any], call: Call, scope: _workspace.Scope | None
) -> Any:
    with during(call, scope):
        return await coroutine


def _iterated(generator: Any, call: Call, scope: _workspace.Scope | None) -> Iterator[Any]:
    # Each step runs in a context of its own, because what a generator sets is otherwise seen by the
    # code that iterates over it.
    context = copy_context()
    context.run(current.set, call)
    context.run(_workspace.scope.set, scope)
    try:
        while (item := context.run(next, generator, _END)) is not _END:
            yield item
    finally:
        context.run(generator.close)


_END = object()


async def _aiterated(
    generator: Any, call: Call, scope: _workspace.Scope | None
) -> AsyncIterator[Any]:
    try:
        while True:
            with during(call, scope):
                try:
                    item = await generator.__anext__()
                except StopAsyncIteration:
                    return
            yield item
    finally:
        await generator.aclose()


@method
def construct(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """A constructor: the object remembers what it was told, and the scope it was made in."""
    opening = opened(wrapped, instance, args, kwargs)
    with during(opening):
        wrapped(*args, **kwargs)
    remember(instance, opening)


@method
def finalize(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """A finalizer that calls methods of its object, in a context of its own.

    The garbage collector may run it in the middle of setting a context variable; up to CPython 3.11
    another set in the same context then crashes.
    """
    copy_context().run(wrapped, *args, **kwargs)


# Requests

#: Where most requests go; saves them the look for a host that names a workspace.
_DEFAULT_HOST = "https://dashscope.aliyuncs.com/"


def build(original: Any) -> Any:
    """``_build_api_request``: every HTTP and websocket request object of the 1.x surface.

    A plain function, because this is the hot path: a wrapt wrapper costs as much again as all that
    is done here.
    """
    # Looked up once.
    call_in_progress, scope_here = current.get, _workspace.scope.get
    environment = _workspace.environment

    @functools.wraps(original)
    def build_api_request(*args: Any, **kwargs: Any) -> Any:
        if (
            "headers" in kwargs
            or "base_address" in kwargs
            or "session" in kwargs
            or kwargs.get("workspace")
        ):
            call = opened(original, None, (), kwargs)
            if call.workspace:
                # Up to 1.27.4 the method that calls this hands its argument on as a header.
                if call.source == "header" and _local_of_caller("workspace") == call.workspace:
                    call = call._replace(source="argument")
                # The public key for an encrypted request is fetched on behalf of the call.
                with during(call):
                    request = original(*args, **kwargs)
                    keep(request, call)
                    session = getattr(kwargs.get("session"), "headers", None)
                    named = workspace_in_headers(request.headers), workspace_in_headers(session)
                    return request if any(named) else carry(request)
        request = original(*args, **kwargs)
        url = request.url
        if call_in_progress() is not NO_CALL or (
            not url.startswith(_DEFAULT_HOST) and DOMAIN in url.lower()
        ):
            return carry(request)
        # The same as carry() does, at half the cost.
        scope = scope_here()
        workspace = environment()[0] if scope is None else scope.workspace
        if workspace is not None:
            request.headers[HEADER] = workspace
        return request

    def carry(request: Any) -> Any:
        request.url, workspace = route(request.url)
        if workspace is not None:
            request.headers[HEADER] = workspace
        return request

    return build_api_request


def _local_of_caller(name: str) -> Any:
    """The variable of the function that called the one that asks."""
    return sys._getframe(2).f_locals.get(name)


@method
def send_to_service(
    wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """``async_http_request`` of agentic RL (1.25 on), which takes ``url`` and ``headers``.

    It talks to the service, at the endpoints of its constants, and to the user's own functions.
    """
    constants = vars(sys.modules["dashscope.finetune.reinforcement.common.constants"])
    endpoints = tuple(value for name, value in constants.items() if name.endswith("_API") and value)
    if str(argument(wrapped, args, kwargs, "url")).startswith(endpoints):
        return _routed(wrapped)(*args, **kwargs)
    return wrapped(*args, **kwargs)


def _routed(function: Any, session: Any = None, service: Callable[[str], bool] = bool) -> Any:
    """``function`` with the workspace put into the URL and the headers that it is given.

    ``service`` tells whether a URL is one of the service.
    """

    def routed(*args: Any, **kwargs: Any) -> Any:
        # websocket-client says header= where everybody else says headers=.
        key = "header" if "header" in kwargs else "headers"
        headers = argument(function, args, kwargs, key)
        url = str(argument(function, args, kwargs, "url") or "")
        if (
            service(url)
            and workspace_in_headers(headers) is None
            and workspace_in_headers(getattr(session, "headers", None)) is None
        ):
            target, workspace = route(url)
            if workspace is not None:
                if isinstance(headers, (list, tuple)):
                    headers = [*headers, f"{HEADER}: {workspace}"]
                else:
                    headers = {**(headers or {}), HEADER: workspace}
                args, kwargs = with_argument(function, args, kwargs, "url", target)
                args, kwargs = with_argument(function, args, kwargs, key, headers)
        return function(*args, **kwargs)

    return routed


def fill(url_parameter: str) -> Adapter:
    """A function that builds its request from ``workspace`` and a URL of the 1.x HTTP service.

    Not where it leaves that to ``_build_api_request``, which needs no argument for it.
    """

    def adapter(original: Any) -> Any:
        code = getattr(getattr(original, "__func__", original), "__code__", None)
        if code is not None and "_build_api_request" in code.co_names:
            return original
        return method(filled)(original)

    def filled(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if not named(wrapped, args, kwargs).workspace:
            url = argument(wrapped, args, kwargs, url_parameter)
            base = url or sys.modules["dashscope"].base_http_api_url
            target, workspace = route(base)
            if workspace is not None:
                args, kwargs = with_argument(wrapped, args, kwargs, "workspace", workspace)
                if target != base:
                    args, kwargs = with_argument(wrapped, args, kwargs, url_parameter, target)
        return wrapped(*args, **kwargs)

    return adapter


def body(url_attribute: str, workspace_attribute: str) -> Adapter:
    """A method that writes its object's workspace into a message: the handshake's goes there."""

    @method
    def written(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        native = getattr(instance, workspace_attribute)
        workspace = None if native else route(getattr(instance, url_attribute))[1]
        if workspace is None:
            return wrapped(*args, **kwargs)
        setattr(instance, workspace_attribute, workspace)
        try:
            return wrapped(*args, **kwargs)
        finally:
            setattr(instance, workspace_attribute, native)

    return written


def host(original: Any) -> Any:
    """``resolve_base_url`` (1.27 on): fills ``{workspace_id}`` before the SDK can complain."""

    @functools.wraps(original)
    def resolve_base_url(url: Any, workspace_id: Any = None) -> Any:
        if not workspace_id and "{workspace_id}" in url:
            workspace_id = ambient()[0]
            if workspace_id is not None:
                require_host_label(workspace_id)
        return original(url, workspace_id)

    return resolve_base_url


# Libraries, as one module of the SDK sees them


class _Library(wrapt.ObjectProxy):  # type: ignore[misc]
    _self_service: Callable[[str], bool] = bool

    def __getattr__(self, name: str) -> Any:
        value = getattr(self.__wrapped__, name)
        if name in _SENDING:
            return _routed(value, service=self._self_service)
        if name in _SESSIONS:
            service = self._self_service
            return wrapt.FunctionWrapper(
                value, lambda made, _, args, kwargs: _Session(made(*args, **kwargs), service)
            )
        if value is _Thread.__base__:
            return _Thread
        return value


_SENDING = {"get", "post", "put", "patch", "delete", "request", "stream", "ws_connect"}
_SENDING |= {"WebSocketApp", "create_connection"}
_SESSIONS = {"Session", "ClientSession", "AsyncClient"}


class _Session(wrapt.ObjectProxy):  # type: ignore[misc]
    def __init__(self, session: Any, service: Callable[[str], bool]) -> None:
        super().__init__(session)
        self._self_service = service

    def __getattr__(self, name: str) -> Any:
        value = getattr(self.__wrapped__, name)
        return _routed(value, self.__wrapped__, self._self_service) if name in _SENDING else value

    def __enter__(self) -> Any:
        self.__wrapped__.__enter__()
        return self

    async def __aenter__(self) -> Any:
        await self.__wrapped__.__aenter__()
        return self

    async def __aexit__(self, *error: Any) -> Any:
        return await self.__wrapped__.__aexit__(*error)


class _Thread(threading.Thread):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._scope = scope_in_effect()
        if self._scope is None:
            # What is malformed is told to the caller, not to the thread that would be first to read
            # the environment.
            route(sys.modules["dashscope"].base_websocket_api_url)

    def run(self) -> None:
        _workspace.scope.set(self._scope)
        super().run()


def library(original: Any) -> Any:
    """``requests``, ``aiohttp``, ``httpx``, ``websocket`` or ``threading``, in a module that sends.

    What it sends is routed; the threads that it starts, in which it sends, keep the scope.
    """
    return _Library(original)


def library_to(module: str, endpoint: str) -> Adapter:
    """``library`` in a module that also sends to hosts of the user's: only what goes to the host of
    the URL that is the constant ``endpoint`` of ``module`` is routed."""

    def service(url: str) -> bool:
        host: object = urlsplit(getattr(sys.modules[module], endpoint)).hostname
        return urlsplit(url).hostname == host

    def adapter(original: Any) -> Any:
        library = _Library(original)
        library._self_service = service
        return library

    return adapter


def executor(original: Any) -> Any:
    """``ThreadPoolExecutor`` in a module that sends from its threads on behalf of a call."""

    class Executor(original):  # type: ignore[misc]
        def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
            call, scope = current.get(), _workspace.scope.get()

            def carried(*args: Any, **kwargs: Any) -> Any:
                with during(call, scope):
                    return fn(*args, **kwargs)

            return super().submit(carried, *args, **kwargs)

    return functools.update_wrapper(Executor, original, updated=())
