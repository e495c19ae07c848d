"""Which workspace a request carries: what the calling code names, else the ambient one.

The order of precedence of the README, and nothing else, is decided here; how a workspace gets into
a request is the adapters' business.
"""

from __future__ import annotations

import functools
import sys
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Any, Generic, NamedTuple, TypeVar
from urllib.parse import urlsplit, urlunsplit

from . import _workspace
from ._workspace import Scope, WorkspaceError, validate

Kept = TypeVar("Kept")

HEADER = "X-DashScope-WorkSpace"
_HEADER = HEADER.lower()

#: A host names a workspace when it is <workspace>.<region> and this.
DOMAIN = ".maas.aliyuncs.com"


class Call(NamedTuple):
    """What is known of the call, or the object, on whose behalf requests are made."""

    #: The workspace that the calling code names, and how: "argument", "header", "host" or, where it
    #: was given to the object, "client".
    workspace: str | None = None
    source: str | None = None
    #: True where it stands in a URL of the calling code, which is then sent as it is.
    by_url: bool = False
    #: The scope in which the object was constructed.
    born: Scope | None = None
    #: The workspace that the SDK found in its own sources when it made the object (2.x).
    default: str | None = None
    #: True while the SDK builds an object of its own accord: what it passes on is not named by the
    #: calling code, and what it asks of its own configuration is answered natively.
    building: bool = False


NO_CALL = Call()

current: ContextVar[Call] = ContextVar("dashscope_ws_patch.call", default=NO_CALL)


class Memory(Generic[Kept]):
    """What is kept of objects of the SDK for as long as they live, hashable or not (pydantic's
    are not), by identity; nothing is written to the objects, which stay picklable as they were."""

    def __init__(self) -> None:
        self._kept: dict[int, tuple[weakref.ref[Any], Kept]] = {}

    def keep(self, instance: Any, value: Kept) -> None:
        key = id(instance)
        self._kept[key] = weakref.ref(instance, lambda _: self._kept.pop(key, None)), value

    def of(self, instance: Any) -> Kept | None:
        kept = self._kept.get(id(instance))
        return kept[1] if kept is not None and kept[0]() is instance else None


_objects: Memory[Call] = Memory()


# What the calling code names


def workspace_in_headers(headers: Any) -> str | None:
    """The value of the workspace header in a mapping, in pairs or in "Name: value" lines."""
    if isinstance(headers, Mapping):
        if headers.get(HEADER):  # as the SDK spells it: all that most calls pay
            return _text(headers[HEADER])
        headers = headers.items()
    for header in headers or ():
        line = isinstance(header, str)
        name, value = header.partition(":")[::2] if line else header
        if _text(name).lower() == _HEADER:
            return _text(value).strip() if line else _text(value)
    return None


def _text(value: object) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


def workspace_in_host(url: object) -> str | None:
    """The workspace that the host of ``url`` names, or None."""
    if url is None:
        return None
    url = url if isinstance(url, str) else str(url)
    if DOMAIN not in url.lower():  # all that most URLs pay
        return None
    host = urlsplit(url).netloc.rpartition("@")[2].partition(":")[0]
    label, dot, region = host[: -len(DOMAIN)].partition(".")
    if not host.lower().endswith(DOMAIN) or not dot or not region or "." in region:
        return None
    return None if "{" in label else label


def with_host_workspace(url: str, workspace: str) -> str:
    """``url`` with the workspace label of its host replaced.

    Raises WorkspaceError where ``workspace`` is no host label: RFC 1035 allows 63 characters.
    """
    require_host_label(workspace)
    parts = urlsplit(url)
    label = workspace_in_host(url) or ""
    before, at, host = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=before + at + workspace + host[len(label) :]))


def require_host_label(workspace: str) -> None:
    """Raise WorkspaceError where ``workspace`` cannot be a label of a host name (RFC 1035)."""
    if len(workspace) > 63:
        raise WorkspaceError(
            f"the workspace {workspace!r} has {len(workspace)} characters, but here it becomes a "
            "label of the host name, which may have 63 (RFC 1035): check the workspace's id"
        )


_POSITIONS: dict[Any, dict[str, int]] = {}


def positions(function: Any) -> Mapping[str, int]:
    """Where each parameter of ``function`` stands in a positional call."""
    bound = (
        isinstance(function, type)
        or getattr(function, "__self__", None) is not None
        # wrapt's way to pass on Class.method(instance, ...)
        or type(function).__name__ == "PartialCallableObjectProxy"
    )
    plain: Any = vars(function).get("__init__") if isinstance(function, type) else function
    while hasattr(plain, "__wrapped__"):  # a decorator's (*args, **kwargs) says nothing
        plain = plain.__wrapped__
    code = getattr(plain, "__code__", None)
    if code is None:
        return {}
    known = _POSITIONS.get((code, bound))
    if known is None:
        names = code.co_varnames[bound : code.co_argcount]
        known = _POSITIONS[code, bound] = {name: index for index, name in enumerate(names)}
    return known


def argument(function: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any], name: str) -> Any:
    """What a call of ``function`` with ``args`` and ``kwargs`` passes as ``name``, or None."""
    if name in kwargs:
        return kwargs[name]
    index = positions(function).get(name, len(args)) if args else 0
    return args[index] if index < len(args) else None


def named(function: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Call:
    """The workspace that the calling code names with these arguments."""
    given = functools.partial(argument, function, args, kwargs)
    for name in ("workspace", "workspace_id"):
        value = given(name)
        if value and isinstance(value, str):
            return Call(value, "argument")
    for name in ("headers", "extra_headers"):
        value = workspace_in_headers(given(name))
        if value:
            return Call(value, "header")
    # A session (1.24 on) or client (2.x) of the calling code's own has defaults of its own.
    for name in ("session", "http_client"):
        session = given(name)
        value = workspace_in_headers(getattr(session, "headers", None))
        if value:
            return Call(value, "header")
        value = workspace_in_host(getattr(session, "base_url", None))
        if value:
            return Call(value, "host", by_url=True)
    for name in ("base_address", "base_url", "url", "ws_url"):
        url = given(name)
        value = workspace_in_host(url)
        if value and not _is_module_level(url):
            return Call(value, "host", by_url=True)
    return NO_CALL


def with_argument(
    function: Any, args: tuple[Any, ...], kwargs: dict[str, Any], name: str, value: Any
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments of the call, with ``value`` as ``name``."""
    index = positions(function).get(name)
    if name not in kwargs and index is not None and index < len(args):
        return (*args[:index], value, *args[index + 1 :]), kwargs
    return args, {**kwargs, name: value}


# The call


def opened(function: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call:
    """The call that starts here: it names a workspace, or does what its object, or the call on
    whose behalf it is made, was told. Never NO_CALL itself, which means that none is under way."""
    own = named(function, args, kwargs)
    remembered = recall(instance)
    outer = current.get()
    if own.by_url and outer is not NO_CALL:
        own = NO_CALL  # the SDK's own URL: one of the calling code's was seen further out
    if own.workspace and remembered is outer is NO_CALL:
        return own  # all that _replace() below would make, at a tenth of its cost
    naming = next((call for call in (own, remembered, outer) if call.workspace), NO_CALL)
    return naming._replace(
        born=remembered.born or outer.born, default=remembered.default or outer.default
    )


def keep(instance: Any, call: Call) -> None:
    """Remember that ``instance`` is a request made on behalf of ``call``."""
    _objects.keep(instance, call)


def remember(instance: Any, call: Call) -> None:
    """Keep what the constructor of ``instance`` was told, and the scope it was called in."""
    source = call.source if call.source in (None, "host") else "client"
    if not call.building:
        call = call._replace(born=_workspace.scope.get() or call.born)
    _objects.keep(instance, call._replace(source=source, building=False))


def is_known(instance: Any) -> bool:
    """Whether ``remember`` was called for ``instance``: not so where it is older than the shim."""
    return _objects.of(instance) is not None


def recall(instance: Any) -> Call:
    """What ``remember`` kept of ``instance``, or of the client that it belongs to."""
    if instance is None or isinstance(instance, type):
        return NO_CALL
    return _objects.of(instance) or _objects.of(getattr(instance, "_client", None)) or NO_CALL


@contextmanager
def during(call: Call, scope: Scope | bool | None = False) -> Iterator[None]:
    """Make requests on behalf of ``call``, and in ``scope`` if one is given."""
    in_call = _workspace.enter(current, call)
    in_scope = None if isinstance(scope, bool) else _workspace.enter(_workspace.scope, scope)
    try:
        yield
    finally:
        # A coroutine may be closed in another context than it was begun in: nothing to undo there.
        with suppress(ValueError):
            current.reset(in_call)
            if in_scope is not None:
                _workspace.scope.reset(in_scope)


# The decision


def scope_in_effect() -> Scope | None:
    """The scope at the call, else the one in which its object was constructed."""
    return _workspace.scope.get() or current.get().born


def ambient() -> tuple[str | None, str | None]:
    """The workspace of the current call and its source; the environment's comes last.

    Raises WorkspaceError if it is the environment's and malformed.
    """
    call = current.get()
    if call.workspace:
        return call.workspace, call.source
    scope = _workspace.scope.get() or call.born
    if scope is not None:
        return scope.workspace, "scope"
    default = call.default and _workspace.settled(call.default)
    return (default, "client") if default else _workspace.environment()


def route(url: str) -> tuple[str, str | None]:
    """Where a request that names no workspace in its headers goes, and the workspace it carries.

    None instead of a workspace means: as natively.
    """
    label = workspace_in_host(url)
    if label is None:
        return url, ambient()[0]
    call = current.get()
    if call.by_url and call.workspace == label:
        return url, None
    if not call.workspace and scope_in_effect() is None and _pointed_by_program(label):
        return url, None
    workspace = ambient()[0]
    if workspace is None:
        return url, None
    return with_host_workspace(url, validate(workspace, "the workspace")), workspace


_BASES = ("base_http_api_url", "base_websocket_api_url", "base_compatible_api_url")


def _is_module_level(url: str) -> bool:
    dashscope = sys.modules.get("dashscope")
    return any(url is getattr(dashscope, base, None) for base in _BASES)


def _pointed_by_program(label: str) -> bool:
    """Whether the program has pointed the SDK's module-level base URL at this workspace's host.

    Not so where the SDK itself built the host, from DASHSCOPE_WORKSPACE_ID at import (1.27 on).
    """
    dashscope = sys.modules.get("dashscope")
    env = sys.modules.get("dashscope.common.env")
    for base in _BASES:
        url = getattr(dashscope, base, None)
        if workspace_in_host(url) == label:
            built = getattr(env, "_maas_host", None)
            if url is not getattr(env, base, None) or urlsplit(url).netloc != built:
                return True
    return False
