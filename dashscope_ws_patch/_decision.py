"""Which workspace a request carries, and under which URL: the order of precedence, in one place.

``decide`` is given what the SDK would send and says what is sent instead, for every protocol. How
that gets into a request, and what an object was told, is the adapters' business.
"""

from __future__ import annotations

import functools
import sys
import weakref
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any, Generic, NamedTuple, Optional, TypeVar
from urllib.parse import urlsplit, urlunsplit

from . import _carry, _workspace
from ._workspace import Scope, WorkspaceError, validate

HEADER = "X-DashScope-WorkSpace"
_HEADER = HEADER.lower()

#: A host names a workspace when it is <workspace>.<region> and this,
DOMAIN = ".maas.aliyuncs.com"
#: unless the first label is one of the endpoints of plans.
PLANS = ("token-plan", "coding-plan")
#: What stands for the workspace in regional base URLs of the SDK (1.27 on).
PLACEHOLDER = "{workspace_id}"


class Call(NamedTuple):
    """What is known of the call, or the object, on whose behalf requests are made."""

    #: The workspace that the calling code names for it.
    workspace: str | None = None
    #: True where that stands in a URL of the calling code, which is then sent as it is.
    by_url: bool = False
    #: The scope in which the object was constructed.
    born: Scope | None = None


NO_CALL = Call()

#: The call under way, where it was told anything that the requests made on its behalf must know.
current: ContextVar[Call] = _carry.variable("dashscope_ws_patch.call", NO_CALL)

call_here, scope_here = current.get, _workspace.scope.get

#: Where a request goes, its workspace, and where that is from: "named", "scope", "client" (what a
#: client of the SDK has found in the SDK's own sources) or the name of a variable.
Decision = tuple[str, Optional[str], Optional[str]]


def decide(
    url: str,
    found: str | None = None,
    region: str | None = None,
    pointed: bool | None = None,
    call: Call | None = None,
) -> Decision | None:
    """What a request that names no workspace of its own says; None: what it says natively.

    ``url`` is where the SDK would send it, and ``found`` the workspace that it would name. Where
    the SDK has chosen the host of a default endpoint, which moves with the workspace, ``region`` is
    that of the endpoint. ``pointed`` is whether the program, and not the SDK, has chosen the host;
    None asks the module-level base URLs. ``call`` is what the object that sends was told, where
    that is not the call under way. Raises WorkspaceError where the environment's workspace is
    malformed, or the workspace is too long for the label of a host.
    """
    if not _workspace.in_force:
        return None
    label = _label(url) if DOMAIN in url.lower() else None  # all that most URLs pay: a look
    call = call or call_here()
    if call.workspace:  # rules 1 and 2
        if call.workspace == (label if call.by_url else found):
            return None
        if label not in (None, call.workspace) and pointed is None and _whose(label) is _CALLS:
            return None  # a URL that it names too
        workspace: str | None = call.workspace
        source: str | None = "named"
    else:
        whose = None if label is None else _whose(label) if pointed is None else pointed
        scope = scope_here() or call.born
        if whose is _CALLS:  # rule 1: what the calling code gave for this call, and nobody else
            return None
        if scope is not None:  # rules 3 and 4
            workspace, source = scope.workspace, "scope"
        elif whose:  # rule 5
            return None
        else:  # rules 6 and 7
            workspace, source = _workspace.outside_scopes(found)
    if workspace is None:
        if found is None:
            return None
        return (_default_endpoint(url, None, region) if region else url), None, source
    if label is not None:
        if label != workspace:
            url = with_host_workspace(url, workspace)
    elif region:
        url = _default_endpoint(url, workspace, region)
    elif PLACEHOLDER in url:
        url = filled(url, workspace)
    return url, workspace, source


def ambient() -> tuple[str | None, str | None]:
    """The workspace that a request to a shared host would carry here and now, and its source."""
    decision = decide("")
    return (None, None) if decision is None else decision[1:]


def route(url: str) -> tuple[str, str | None]:
    """``decide`` as URL and workspace; None instead of a workspace means: as natively."""
    decision = decide(url)
    return (url, None) if decision is None else decision[:2]


# Hosts


def workspace_in_host(url: object) -> str | None:
    """The workspace that the host of ``url`` names, or None."""
    if url is None:
        return None
    url = url if isinstance(url, str) else str(url)
    return _label(url) if DOMAIN in url.lower() else None


@functools.lru_cache(1024)
def _label(url: str) -> str | None:
    try:
        host = urlsplit(url).netloc.rpartition("@")[2].partition(":")[0].rstrip(".")
    except ValueError:  # no URL: whoever sends to it says so
        return None
    label, dot, region = host[: -len(DOMAIN)].partition(".")
    if not host.lower().endswith(DOMAIN) or not dot or not region or "." in region:
        return None
    return None if "{" in label or label.lower() in PLANS else label


@functools.lru_cache(1024)
def with_host_workspace(url: str, workspace: str) -> str:
    """``url`` with the workspace label of its host replaced.

    Raises WorkspaceError where ``workspace`` is no host label: RFC 1035 allows 63 characters.
    """
    require_host_label(workspace)
    parts = urlsplit(url)
    label = workspace_in_host(url) or ""
    before, at, host = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=before + at + workspace + host[len(label) :]))


def filled(url: str, workspace: str) -> str:
    """``url`` with the workspace in the place of the SDK's placeholder for it."""
    require_host_label(workspace)
    return url.replace(PLACEHOLDER, workspace)


def require_host_label(workspace: str) -> None:
    """Raise WorkspaceError where ``workspace`` cannot be a label of a host name (RFC 1035)."""
    validate(workspace, "the workspace")
    if len(workspace) > 63:
        raise WorkspaceError(
            f"the workspace {workspace!r} has {len(workspace)} characters, but here it becomes a "
            "label of the host name, which may have 63 (RFC 1035): check the workspace's id"
        )


@functools.lru_cache(1024)
def _default_endpoint(url: str, workspace: str | None, region: str) -> str:
    """``url`` of a default endpoint, moved to where the 2.x SDK would have it for ``workspace``."""
    if workspace is None:
        hosts = sdk("dashscope.v2._config").LEGACY_GATEWAY_HOSTS
        host = urlsplit(hosts[region]).netloc
    else:
        require_host_label(workspace)
        host = f"{workspace}.{region}{DOMAIN}"
    return urlsplit(url)._replace(netloc=host).geturl()


def sdk(name: str) -> Any:
    """A module of the SDK; where it is dropped from sys.modules and its classes go on being used,
    the one that they know; None where neither is there."""
    return sys.modules.get(name) or _workspace.modules.get(name)


_BASES = ("base_http_api_url", "base_websocket_api_url", "base_compatible_api_url")
_CALLS = 2


def _whose(label: str) -> int:
    """Who has put ``label`` into the host of a URL of the 1.x surface: the calling code, for this
    call (_CALLS); the program, in a module-level base URL (1, rule 5); or the SDK, which builds one
    from DASHSCOPE_WORKSPACE_ID at import (1.27 on; 0)."""
    dashscope, env = sdk("dashscope"), sdk("dashscope.common.env")
    whose = _CALLS
    for base in _BASES:
        pointed = getattr(dashscope, base, None)
        if workspace_in_host(pointed) == label:
            built = getattr(env, "_maas_host", None)
            if pointed is not getattr(env, base, None) or urlsplit(pointed).netloc != built:
                return 1
            whose = 0
    return whose


# What names a workspace


def workspace_in_headers(headers: Any) -> str | None:
    """The workspace that a header names, in a mapping, in pairs or in "Name: value" lines.

    What is blank, or None, names nothing.
    """
    if not headers:
        return None
    if isinstance(headers, dict):
        value = headers.get(HEADER)  # as the SDK writes it
        named = value.strip() if type(value) is str else None
        if named:
            return named
        try:  # most headers tell by their length that they are another
            headers = [(name, headers[name]) for name in headers if len(name) == _LENGTH]
        except TypeError:  # a name that is no text: whoever sends it says so
            headers = headers.items()
    elif isinstance(getattr(headers, "_store", None), dict) and _HEADER not in headers._store:
        return None  # of requests, whose get() raises within
    elif isinstance(headers, Mapping):
        if type(headers).__name__ in _WITHOUT_CASE:
            value = headers.get(HEADER)
            return (_text(value).strip() or None) if value else None
        headers = headers.items()
    elif not isinstance(headers, (list, tuple)):  # a mock
        return None
    for header in headers:
        line = isinstance(header, str)
        name, value = header.partition(":")[::2] if line else header
        if value and _text(name).lower() == _HEADER:
            named = _text(value).strip()
            if named:
                return named
    return None


#: The mappings of requests, httpx and aiohttp, in which a name is found in any capitalisation.
_WITHOUT_CASE = frozenset(("CaseInsensitiveDict", "Headers", "CIMultiDict", "CIMultiDictProxy"))
_LENGTH = len(HEADER)


def without_workspace(headers: Mapping[Any, Any]) -> dict[Any, Any]:
    """``headers`` without the workspace header, in any capitalisation."""
    return {
        name: value
        for name, value in headers.items()
        if (type(name) is str and len(name) != _LENGTH) or _text(name).lower() != _HEADER
    }


def workspace_in_argument(value: object) -> str | None:
    """The workspace that an argument names: text, or bytes, as libraries take them for headers."""
    text = _text(value) if isinstance(value, (str, bytes)) else ""
    return text if text.strip() else None


def _text(value: object) -> str:
    if isinstance(value, bytes):
        return value.decode("latin-1")
    # An enum member's str() is its name.
    return str.__str__(value) if isinstance(value, str) else str(value)


# What objects were told

Kept = TypeVar("Kept")


class Memory(Generic[Kept]):
    """What is kept of objects of the SDK for as long as they live, hashable or not (pydantic's
    are not), by identity; nothing is written to the objects, which stay picklable as they were."""

    def __init__(self) -> None:
        self._kept: dict[int, tuple[weakref.ref[Any], Kept]] = {}

    def keep(self, instance: Any, value: Kept) -> None:
        key = id(instance)

        def forget(gone: weakref.ref[Any]) -> None:
            # Where nothing counts references, this comes late: the id may be another's by now.
            if key in self._kept and self._kept[key][0] is gone:
                del self._kept[key]

        self._kept[key] = weakref.ref(instance, forget), value

    def of(self, instance: Any) -> Kept | None:
        kept = self._kept.get(id(instance))
        return kept[1] if kept is not None and kept[0]() is instance else None
