"""Which workspace a request carries, and under which URL: the order of precedence, in one place.

Whose a workspace or URL is, its value says. What the calling code names is an ordinary string. What
the SDK has found in its own sources is ``Found``, marked where the SDK finds it, and the SDK itself
hands the mark on together with the value: to derived clients, sessions, uploads and headers.
"""

from __future__ import annotations

import enum
import functools
import os
import sys
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any, Callable, Optional
from urllib.parse import urlsplit

from . import _carry, _hosts, _workspace
from ._hosts import DOMAIN, PLACEHOLDER, filled, on_host_of, with_host_workspace, workspace_in_host
from ._workspace import Scope

HEADER = "X-DashScope-WorkSpace"
_HEADER, _LENGTH = HEADER.lower(), len(HEADER)


class Found(str):
    """A workspace, or URL, that the SDK has found and nobody has named; "" where it found none.

    Where a request leaves, it gives way to what is ambient.
    """

    #: The scope in which the object was made that holds it (rule 4).
    born: Scope | None
    #: What that object was told in another way: by its URL or its connection pool (rule 2).
    named: str | None
    #: Of a URL: the region of the default endpoint that the SDK has chosen; None for any other.
    region: str | None

    def __new__(
        cls,
        value: Any = "",
        born: Scope | None = None,
        named: str | None = None,
        region: str | None = None,
    ) -> Found:
        made = super().__new__(cls, value or "")
        made.born, made.named, made.region = born, named, region
        return made

    def __reduce__(self) -> Any:
        return str, (str(self),)

    def __deepcopy__(self, memo: Any) -> Found:
        return self


class Settled(str):
    """A workspace that ``settle`` has put into a header, so that nobody decides about it again."""

    source: str

    def __reduce__(self) -> Any:
        return str, (str(self),)


@functools.lru_cache(1024)
def _settled(workspace: str, source: str) -> Settled:
    made = Settled(workspace)
    made.source = source
    return made


class InHost(str):
    """A workspace that the calling code names by the host of a URL, and in no header."""

    __slots__ = ()


def is_named(value: Any) -> bool:
    """Whether the calling code names this workspace, or URL: it is not blank, and nobody's find."""
    return bool(value) and not isinstance(value, Found) and bool(str(value).strip())


class Chosen(enum.Enum):
    """Who has put a workspace into the host of a URL."""

    BY_SDK = "by the SDK"
    BY_PROGRAM = "by the program, in a base URL for all calls (rule 5)"
    BY_CALL = "by the calling code, for this call or object (rules 1 and 2)"


BY_SDK, BY_PROGRAM, BY_CALL = Chosen

#: The workspace that the calling code names for the call under way. Requests that the SDK makes
#: because of that call read it.
told: ContextVar[str | None] = _carry.variable("dashscope_ws_patch.told")
#: The scope in which the object was made whose request is under way (rule 4).
born: ContextVar[Scope | None] = _carry.variable("dashscope_ws_patch.born")

scope_here, _told_here, _born_here = _workspace.scope.get, told.get, born.get

# What most requests pay for a variable is one look whether it is set.
_environ, _encoded = _workspace.environ, _workspace.encoded
_FIRST, _SECOND, _REQUIRE_SCOPE, _OWN_HOST = (
    _workspace.KEYS[name]
    for name in (*_workspace.VARIABLES, _workspace.REQUIRE_SCOPE, _workspace.OWN_HOST)
)

#: What a request goes with: its URL, its headers, the workspace that they name, and where that is
#: from: "named", "scope", "client" (found by the SDK), "host", or the name of a variable. Without a
#: source the request goes as natively.
Decision = tuple[Any, Any, Optional[str], Optional[str]]


class SettledHeaders(dict):  # type: ignore[type-arg]
    """Headers of a handshake that the SDK's layer has settled: the library below takes them as they
    are. They pass through websocket-client, which may shake hands much later, in another thread."""


class SettledLines(list):  # type: ignore[type-arg]
    """The same in "Name: value" lines."""


def as_settled(headers: Any) -> Any:
    """A copy of the headers of a handshake, with the mark that they are settled."""
    return SettledHeaders(headers) if isinstance(headers, dict) else SettledLines(headers or ())


def settle(
    url: Any,
    headers: Any = None,
    found: str | None = None,
    chosen: Chosen | None = None,
    region: str | None = None,
    service: Callable[[str], bool] | None = None,
) -> Decision:
    """The URL and headers with which a request goes: the one place that decides. Without a URL it
    tells which workspace is ambient.

    ``found`` is the workspace that the SDK would send, where it is in no header yet; like one in a
    header it counts as named, unless it is ``Found``. ``chosen`` is who has put a workspace into
    the host of ``url``; None asks the module-level base URLs. ``region`` is that of a default
    endpoint, whose host moves with the workspace. ``service`` tells whether a URL leads to the
    service, for senders that also send elsewhere.

    Changes nothing that it is given: it returns the same headers, or a copy that differs. Raises
    WorkspaceError where the environment's workspace is malformed, the workspace is too long for the
    label of a host, or DASHSCOPE_WS_PATCH_REQUIRE_SCOPE asks for a scope and there is none.
    """
    if not _workspace.in_force:
        return url, headers, None, None
    named, blank = None, False
    if headers:
        try:  # cheap test first: few headers name a workspace
            blank = headers.__class__ is not dict or _HEADER in "\n".join(headers).lower()
        except TypeError:  # a name that is no text: whoever sends it says so
            blank = True
        named = workspace_in_headers(headers) if blank else None
    if found is not None and (named is None or named.__class__ is Found):
        named = found
    if service is not None and not service(url):
        return url, headers, named, "named" if is_named(named) else None
    # As may_move() says: no call more on the way of each request.
    own_host = _OWN_HOST in _encoded or _hosts.asked is not None or os.environ is not _environ
    if named and named.__class__ is not Found:
        if PLACEHOLDER in url:
            url = filled(url, named)
        if own_host:
            url = _hosts.own_host(url, named, region)
        return url, headers, named, named.source if type(named) is Settled else "named"
    found = named
    label = workspace_in_host(url) if url and DOMAIN in url.lower() else None
    if label is not None and chosen is None:
        chosen = BY_SDK if label == found else who_chose(label)
        if label == found:  # a default endpoint that the SDK has built
            region = urlsplit(url).netloc.split(".")[1]
    workspace: str | None = _told_here() or (found.named if found.__class__ is Found else None)
    source: str | None = "named"
    by_host = label != workspace or type(workspace) is InHost
    if label is not None and chosen is BY_CALL and by_host:
        return url, headers, label, "host"
    if workspace:  # rules 1 and 2
        if workspace == found and not own_host:
            return url, headers, workspace, source
    else:
        scope = scope_here() or _born_here() or (found.born if found.__class__ is Found else None)
        if scope is not None:  # rules 3 and 4
            workspace, source = scope.workspace, "scope"
        elif label is not None and chosen is BY_PROGRAM:  # rule 5
            return url, headers, label, "host"
        elif found or _REQUIRE_SCOPE in _encoded:  # rules 6 and 7
            workspace, source = _workspace.outside_scopes(found)
        else:  # the same, for most requests
            first, second, (workspace, source) = _workspace.last_read
            changed = _encoded.get(_FIRST) is not first or _encoded.get(_SECOND) is not second
            if changed or os.environ is not _environ:
                workspace, source = _workspace.outside_scopes(found)
    if url is None:
        return url, headers, workspace, workspace and source
    if workspace is None:
        if not found and not blank:
            return url, headers, None, None
        if region:
            url = _shared_endpoint(url, region)
        return url, without_workspace(headers or {}), None, source
    moved = _hosts.own_host(url, workspace, region) if own_host else url
    if moved is not url:
        url = moved
    elif label is not None:
        if label != workspace:
            url = with_host_workspace(url, workspace)
    elif region:
        url = on_host_of(url, workspace, region)
    elif PLACEHOLDER in url:
        url = filled(url, workspace)
    header = _settled(workspace, source)
    if not blank and (not headers or headers.__class__ is dict):
        headers = {**headers, HEADER: header} if headers else {HEADER: header}
    else:
        headers = with_workspace(headers, header)
    return url, headers, workspace, source


def may_move() -> bool:
    """Whether the workspace's own host may have been asked for: a cheap test."""
    return _OWN_HOST in _encoded or _hosts.asked is not None or os.environ is not _environ


def ambient() -> tuple[str | None, str | None]:
    """The workspace that a request to a shared host would carry here and now, and its source."""
    return settle(None)[2:]


def sdk(name: str) -> Any:
    """A module of the SDK, also one that was dropped from sys.modules; None where there is none."""
    return sys.modules.get(name) or _workspace.modules.get(name)


#: The module-level base URLs of the SDK.
BASES = ("base_http_api_url", "base_websocket_api_url", "base_compatible_api_url")


def who_chose(label: str) -> Chosen:
    """Who has put ``label`` into a URL of the 1.x surface. The SDK itself builds base URLs from
    DASHSCOPE_WORKSPACE_ID at import (1.27 on)."""
    dashscope, env = sdk("dashscope"), sdk("dashscope.common.env")
    chosen = BY_CALL
    for base in BASES:
        pointed = getattr(dashscope, base, None)
        if workspace_in_host(pointed) == label:
            built = getattr(env, "_maas_host", None)
            if pointed is not getattr(env, base, None) or urlsplit(pointed).netloc != built:
                return BY_PROGRAM
            chosen = BY_SDK
    return chosen


def _shared_endpoint(url: str, region: str) -> str:
    """``url`` of a default endpoint, where the 2.x SDK would have it without a workspace."""
    hosts = sdk("dashscope.v2._config").LEGACY_GATEWAY_HOSTS
    return urlsplit(url)._replace(netloc=urlsplit(hosts[region]).netloc).geturl()


# Requests and headers


def copied(request: Any, **own: Any) -> Any:
    """A shallow copy of ``request``, with attributes of its own."""
    made = object.__new__(type(request))
    made.__dict__ = vars(request).copy()
    made.__dict__.update(own)
    return made


def workspace_in_headers(headers: Any) -> str | None:
    """The workspace that a header names, in a mapping, in pairs or in "Name: value" lines.

    What is blank, or None, names nothing.
    """
    if isinstance(headers, Mapping):
        store = getattr(headers, "_store", None)  # of requests: the names in lower case
        if isinstance(store, dict) and _HEADER not in store:
            return None
        headers = headers.items()
    elif not isinstance(headers, (list, tuple)):  # none at all, or a mock
        return None
    for header in headers:
        name, value = header.partition(":")[::2] if isinstance(header, str) else header
        # One glance at its length tells most names apart.
        if value and (name.__class__ is not str or len(name) == _LENGTH) and _is_header(name):
            value = value if isinstance(value, (Found, Settled)) else text(value).strip()
            if value:
                return value
    return None


def without_workspace(headers: Any) -> Any:
    """A copy of ``headers``, a mapping or a list, without the workspace header."""
    if isinstance(headers, (list, tuple)):
        return [
            header
            for header in headers
            if not _is_header(header.partition(":")[0] if isinstance(header, str) else header[0])
        ]
    others = headers.copy() if hasattr(headers, "copy") else dict(headers)
    for name in [name for name in others if _is_header(name)]:
        del others[name]
    return others


def with_workspace(headers: Any, workspace: str) -> Any:
    """A copy of ``headers``, a mapping or a list, with exactly one workspace header."""
    others = without_workspace(headers)
    if isinstance(others, list):
        line = not others or isinstance(others[0], str)
        return [*others, f"{HEADER}: {workspace}" if line else (HEADER, workspace)]
    others[HEADER] = workspace
    return others


def _is_header(name: object) -> bool:
    spelled = name if name.__class__ is str else text(name)
    return len(spelled) == _LENGTH and spelled.lower() == _HEADER


def text(value: object) -> str:
    if isinstance(value, bytes):
        return value.decode("latin-1")
    # An enum member's str() is its name.
    return str.__str__(value) if isinstance(value, str) else str(value)
