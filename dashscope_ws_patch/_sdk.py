"""The adapters of the 1.x surface: one for each way in which the SDK takes a workspace.

An adapter is given the SDK's own function or method and returns what is put into its place. Which
workspace a request carries is asked of ``_decision.settle``.
"""

from __future__ import annotations

import functools
import inspect
from types import CoroutineType
from typing import Any, Callable
from urllib.parse import urlsplit

from . import _carry, _decision, _senders, _workspace
from ._carry import unseen
from ._decision import (
    BASES,
    BY_CALL,
    InHost,
    ambient,
    is_named,
    sdk,
    settle,
    who_chose,
    workspace_in_headers,
)
from ._hosts import PLACEHOLDER, workspace_in_host
from ._methods import LAZY, Adapter, method
from ._senders import MISFIT, SENT, misfit, settled_for
from .hint.watch import watched

# A replacement refers to context variables by the module that has them: cloudpickle and dill take
# functions along by value, with all that they refer to by name.

# Requests


def builder(original: Any) -> Any:
    """``_build_api_request``: what it returns names the workspace of the call."""
    named, _ = _naming(original)

    def build(*args: Any, **kwargs: Any) -> Any:
        request = original(*args, **kwargs)
        session = kwargs.get("session")  # 1.24 on; it may have a header of its own
        if session is None or not workspace_in_headers(getattr(session, "headers", None)):
            try:
                request.url, request.headers, *decided = settle(request.url, request.headers)
                vars(request)[SENT] = request.url, *decided, request
            except MISFIT as error:
                misfit(original, error)
        return request

    @functools.wraps(original)
    def _build_api_request(*args: Any, **kwargs: Any) -> Any:
        # A public key is asked for on behalf of the call; and releases before 1.17 take no notice
        # of a URL that names a workspace.
        if kwargs.get("enable_encryption") or kwargs.get("base_address"):
            _senders.hosts_named.add(urlsplit(kwargs.get("base_address") or "").hostname or "")
            return _on_behalf(named(args, kwargs), None, build, args, kwargs)
        return build(*args, **kwargs)

    return _build_api_request


@method
def send(function: Any) -> Any:
    """``call`` or ``aio_call`` of a request object, HTTP or websocket: also of one that somebody
    else has built."""

    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            sent = vars(self).pop(SENT, None) or _sent(self)
        except MISFIT as error:
            sent = misfit(function, error)
        return watched(function(self, *args, **kwargs), sent)

    async def aio_call(self: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            sent = vars(self).pop(SENT, None) or _sent(self)
        except MISFIT as error:
            sent = misfit(function, error)
        return watched(await function(self, *args, **kwargs), sent)

    return aio_call if inspect.iscoroutinefunction(function) else call


def _sent(request: Any) -> Any:
    known = vars(request)
    session = known.get("_external_session") or known.get("_external_aio_session")
    named = session is not None and workspace_in_headers(getattr(session, "headers", None))
    if named:
        request.url = settle(request.url, None, named)[0]
        return request.url, named, "named", request
    request.url, request.headers, workspace, source = settle(request.url, request.headers)
    return request.url, workspace, source, request


@method
def list_tasks(function: Any) -> Any:
    """``BaseAsyncAioApi.list`` (1.24.3 on), which sends by itself, from ``workspace`` and a URL.

    Not where it leaves that to a request object, which needs no argument for it.
    """
    code = inspect.unwrap(function).__code__
    if "_build_api_request" in code.co_names:
        return function
    names = code.co_varnames
    at = names.index("workspace") if "workspace" in names else 99  # another patcher's

    async def listed(*args: Any, **kwargs: Any) -> Any:
        given = args[at] if len(args) > at else kwargs.get("workspace")
        base = kwargs.get("base_address") or sdk("dashscope").base_http_api_url
        named = given if is_named(given) else None
        url, _, workspace, source = settle(base, None, named)
        if source not in (None, "host") and workspace is not None:
            if url != base:
                kwargs["base_address"] = url
            if not named and len(args) <= at:
                kwargs["workspace"] = workspace
        return await function(*args, **kwargs)

    return listed


def host(original: Any) -> Any:
    """``resolve_base_url`` (1.27 on), which refuses a placeholder while it knows no workspace.

    Where one is known it goes into the URL with the header, when the request is settled.
    """

    @functools.wraps(original)
    def resolve_base_url(url: Any, workspace_id: Any = None, *args: Any, **kwargs: Any) -> Any:
        if not workspace_id and PLACEHOLDER in url and ambient()[0] is not None:
            return url
        return original(url, workspace_id, *args, **kwargs)

    return resolve_base_url


def body(attribute: str) -> Adapter:
    """A method that writes its object's workspace into a message: the handshake's goes there."""

    @method
    def written(function: Any) -> Any:
        def write(self: Any, *args: Any, **kwargs: Any) -> Any:
            native = getattr(self, attribute, None)
            _, workspace, source = _senders.sent_for.get(self, (None, None, None))
            if native or workspace is None or source in ("named", "host"):
                return function(self, *args, **kwargs)
            setattr(self, attribute, workspace)
            try:
                return function(self, *args, **kwargs)
            finally:
                setattr(self, attribute, native)

        return write

    return written


# Calls that cause more than one request, or send later


@method
def call(function: Any) -> Any:
    """A method on whose behalf several requests are made: all of them for the workspace that the
    calling code names, in the scope of the call, or else in that in which its object was made."""
    named, first = _naming(function)
    lazy = _is_lazy(function)
    of_object = inspect.unwrap(function).__code__.co_varnames[:1] == ("self",)

    def call(*args: Any, **kwargs: Any) -> Any:
        if len(args) > first or not _NAMES.isdisjoint(kwargs):
            workspace = named(args, kwargs)
        else:
            workspace = None
        born = _senders.births.get(args[0]) if of_object and args and _senders.births else None
        if workspace is None and born is None:
            result = function(*args, **kwargs)
        else:
            result = _on_behalf(workspace, born, function, args, kwargs)
        return _later(result, workspace, born) if lazy or born else result

    return call


@method
def at_call(function: Any) -> Any:
    """A function that sends later than it is called: in the scope of the call."""
    if not _is_lazy(function):
        return function

    def call(*args: Any, **kwargs: Any) -> Any:
        result = function(*args, **kwargs)
        if kwargs.get("workspace"):  # its one request is told by it
            return result
        if result.__class__ is not CoroutineType:
            return _later(result)
        here = _workspace.scope
        carried: Any = _carry.coroutine(_carry.Owned((result, ((here, here.get()),))))
        carried.__name__, carried.__qualname__ = result.__name__, result.__qualname__
        return carried

    return call


def _is_lazy(function: Any) -> bool:
    return bool(function.__code__.co_flags & LAZY)


def _later(result: Any, workspace: str | None = None, born: Any = None) -> Any:
    """``result`` of a call, so that what of it runs later runs where the call was made."""
    told, made_in = _decision.told, _decision.born
    holding = [(_workspace.scope, _workspace.scope.get()), (told, workspace or told.get())]
    return _carry.carried(result, [*holding, (made_in, born or made_in.get())])


def _on_behalf(workspace: str | None, born: Any, function: Any, args: Any, kwargs: Any) -> Any:
    told, made_in = _decision.told, _decision.born
    outer = told.get(), made_in.get()
    told.set(workspace or outer[0])
    made_in.set(born or outer[1])
    try:
        return function(*args, **kwargs)
    finally:
        told.set(outer[0])
        made_in.set(outer[1])


def _naming(function: Any) -> tuple[Callable[[Any, Any], str | None], int]:
    """What tells which workspace the arguments of ``function`` name, and how many positional ones
    name none."""
    code = inspect.unwrap(function).__code__
    names = code.co_varnames[: code.co_argcount]
    places = [(names.index(name), name) for name in _NAMES if name in names]
    first = min(places, default=(99, ""))[0]

    def named(args: Any, kwargs: Any) -> str | None:
        if len(args) > first:
            kwargs = {**{name: args[at] for at, name in places if at < len(args)}, **kwargs}
        return _named(kwargs) if any(map(kwargs.get, _NAMES)) else None

    return named, first


_NAMES = frozenset(("workspace", "workspace_id", "headers", "session", "base_address"))


def _named(given: dict[str, Any]) -> str | None:
    for name in ("workspace", "workspace_id"):
        value = given.get(name)
        if value and is_named(value):
            return _decision.text(value)
    for headers in (given.get("headers"), getattr(given.get("session"), "headers", None)):
        value = headers and workspace_in_headers(headers)
        if value and is_named(value):
            return value
    url = given.get("base_address")
    # A module-level base URL, handed in again, is no URL of the calling code.
    own = url is None or any(url is getattr(sdk("dashscope"), base, None) for base in BASES)
    label = None if own else workspace_in_host(url)
    return InHost(label) if label and who_chose(label) is BY_CALL else None


# Objects


@method
def construct(function: Any) -> Any:
    """A constructor: the scope in which it is called holds for the object where no other does."""

    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        function(self, *args, **kwargs)
        here = _workspace.scope.get()
        if here is not None:
            _senders.births[self] = here

    return __init__


@method
def finalize(function: Any) -> Any:
    """A finalizer that calls methods of its object, in a context of its own: up to CPython 3.11 the
    collector may run it in the middle of setting a context variable, where one more set crashes."""

    def __del__(self: Any) -> None:
        from contextvars import copy_context

        copy_context().run(function, self)

    return __del__


# A pool of websockets, each opened for somebody


@method
def lend(function: Any) -> Any:
    """``borrow_synthesizer`` of a pool, which hands out the first that is connected."""

    def borrow_synthesizer(*args: Any, **kwargs: Any) -> Any:
        _senders.lending.set(True)
        try:
            return function(*args, **kwargs)
        finally:
            _senders.lending.set(False)

    return borrow_synthesizer


@method
def connected(function: Any) -> Any:
    """``__is_connected`` of a synthesizer. For whoever borrows one from a pool, a websocket that
    was opened for another workspace does not count as connected."""

    def __is_connected(self: Any) -> Any:
        return function(self) and not (_senders.lending.get() and _is_of_another(self))

    return __is_connected


def _is_of_another(owner: Any) -> bool:
    """Whether the websocket of an object that names no workspace was opened for another one."""
    sent = _senders.sent_for.get(owner)
    if sent is None and _workspace.scope.get() is None:
        return False
    _, _, workspace, source = settled_for(owner, owner.url, None)
    return bool(source != "named" and workspace != (sent and sent[1]))


unseen(globals(), __name__)
