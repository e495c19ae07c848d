"""The adapters of the 1.x surface: one for each way in which the SDK takes a workspace.

An adapter is given the SDK's own object (a function, a method, a library's module) and returns what
is put into its place. Which workspace a request carries is asked of ``_decision.decide``.
"""

from __future__ import annotations

import functools
import inspect
import sys
import types
from contextvars import ContextVar
from typing import Any

from . import _workspace
from ._carry import carried, in_scope, unseen
from ._decision import (
    HEADER,
    NO_CALL,
    PLACEHOLDER,
    Call,
    ambient,
    call_here,
    current,
    decide,
    filled,
    scope_here,
    sdk,
    without_workspace,
    workspace_in_headers,
)
from ._methods import LAZY, Adapter, Disguised, method
from ._told import ADDRESS, Parameters, remember, sents, told_of
from ._views import Added, Lent, is_real, routed
from .hint.watch import Sent, watched


def _on_behalf(function: Any, urls: tuple[str, ...] = ()) -> Any:
    parameters = Parameters(function, *urls)
    first, of_object = parameters.first, parameters.of_object
    # Looking for what most calls name is cheaper than asking for what hardly any does.
    seldom = parameters.names - {"workspace", "headers"}
    lazily = bool(function.__code__.co_flags & LAZY) or not _is_own(function)

    def call(*args: Any, **kwargs: Any) -> Any:
        outer = told = call_here()
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
        return carried(result, ((_workspace.scope, scope_here()), (current, call)))
    return result


_LATER = frozenset((types.CoroutineType, types.GeneratorType, types.AsyncGeneratorType))

#: A method that the calling code calls: the requests that it makes are made on behalf of this call.
call = method(_on_behalf)
#: The same, of one with a ``url`` that is an address of the service.
call_at = method(lambda function: _on_behalf(function, urls=(ADDRESS,)))


_MORE = frozenset(("base_address", "enable_encryption"))


@method
def call_once(function: Any) -> Any:
    """A method whose one request says itself what the calling code names, unless it is given the
    module-level URL, or is to be encrypted: the public key is asked for on behalf of the call."""
    on_behalf = _on_behalf(function)
    lazily = bool(function.__code__.co_flags & LAZY)

    def call(*args: Any, **kwargs: Any) -> Any:
        if not _MORE.isdisjoint(kwargs):
            return on_behalf(*args, **kwargs)
        result = function(*args, **kwargs)
        return later(result, call_here()) if lazily and not kwargs.get("workspace") else result

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
        if session is not None and is_real(session.__class__):
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
        if not str(kwargs.get("workspace") or "").strip() and len(args) <= at:
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
    send = routed(original, "post", _endpoints_of_rl)

    @functools.wraps(original)
    async def async_http_request(*args: Any, **kwargs: Any) -> Any:
        return await send(*args, **kwargs)

    return async_http_request


def _endpoints_of_rl(url: str) -> bool:
    constants = vars(sdk("dashscope.finetune.reinforcement.common.constants"))
    return url.startswith(tuple(v for k, v in constants.items() if k.endswith("_API") and v))


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


class _Worker(Disguised):
    # The method is taken from its object by whoever starts the thread, in whose scope it runs.
    def __get__(self, instance: Any, owner: Any = None) -> Any:
        bound = self.__wrapped__.__get__(instance, owner)
        if instance is None:
            return bound
        if not told_of(instance).workspace:
            ambient()  # what is malformed is told here, and not in the thread
        return in_scope(bound, (_workspace.scope, scope_here()), (current, NO_CALL))


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
    told, sent = told_of(owner), sents.of(owner)
    if told.workspace or (sent is None and scope_here() is None):
        return False
    decision = decide(owner.url, call=told)
    return (decision and decision[1]) != (sent and sent[1])


def executor(original: Any) -> Any:
    """``ThreadPoolExecutor`` in a module that sends from its threads on behalf of a call."""

    class Executor(original):  # type: ignore[misc]
        def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
            holding = (_workspace.scope, scope_here()), (current, call_here())
            return super().submit(in_scope(fn, *holding), *args, **kwargs)

    return functools.update_wrapper(Executor, original, updated=())


unseen(globals(), __name__)
