"""What the calling code names, and what objects of the SDK were told and have sent."""

from __future__ import annotations

import sys
from typing import Any

from ._carry import unseen
from ._decision import (
    NO_CALL,
    Call,
    Memory,
    call_here,
    scope_here,
    sdk,
    workspace_in_argument,
    workspace_in_headers,
    workspace_in_host,
)
from .hint.watch import Sent

Arguments = tuple[Any, ...]

#: The parameters by which calling code names a workspace, or an address that may,
_NAMES = ("workspace", "workspace_id")
_HEADERS = ("headers", "extra_headers")
# a session (1.24 on) or client (2.x) of its own, with defaults of its own,
_SESSIONS = ("session", "http_client")
_URLS = ("base_address", "base_url", "ws_url")
#: and that of constructors; elsewhere a ``url`` may be anybody's.
ADDRESS = "url"

objects: Memory[Call] = Memory()


class Parameters:
    """Where the parameters that may name a workspace stand in a function's positional arguments."""

    def __init__(self, function: Any, *urls: str) -> None:
        plain = function
        while hasattr(plain, "__wrapped__"):  # a decorator's (*args, **kwargs) says nothing
            plain = plain.__wrapped__
        code = plain.__code__
        names = code.co_varnames[: code.co_argcount]
        self.urls = _URLS + urls
        self.names = frozenset((*_NAMES, *_HEADERS, *_SESSIONS, *self.urls))
        self.at = {name: at for at, name in enumerate(names) if name in self.names}
        self.first = min(self.at.values(), default=sys.maxsize)
        #: Whether the first argument is an object that may have been told something.
        self.of_object = names[:1] == ("self",)

    def told(self, args: Arguments, kwargs: dict[str, Any]) -> Call:
        """The call that starts here: it names a workspace, or does what its object, or the call on
        whose behalf it is made, was told."""
        outer = call_here()
        workspace = kwargs.get("workspace")
        if not self.of_object and type(workspace) is str and workspace.strip():
            return Call(workspace, False, outer.born)
        kept = objects.of(args[0]) if self.of_object and args else None
        if len(args) <= self.first and self.names.isdisjoint(kwargs):
            own = NO_CALL
        else:
            own = self.named(args, kwargs)
        if own is NO_CALL:
            if kept is None:
                return outer
            own = kept if kept.workspace else outer
        born = (kept and kept.born) or outer.born
        return own if born is own.born else own._replace(born=born)

    def named(self, args: Arguments, kwargs: dict[str, Any]) -> Call:
        """What these arguments name."""
        given = {name: value for name, value in kwargs.items() if value and name in self.names}
        if len(args) > self.first:
            given.update(
                (name, args[at]) for name, at in self.at.items() if at < len(args) and args[at]
            )
        if not given:
            return NO_CALL
        for name in _NAMES:
            named = workspace_in_argument(given.get(name))
            if named:
                return Call(named)
        for name in _HEADERS:
            named = workspace_in_headers(given.get(name))
            if named:
                return Call(named)
        for name in _SESSIONS:
            session = given.get(name)
            named = workspace_in_headers(getattr(session, "headers", None))
            if named:
                return Call(named)
            label = _label_of(getattr(session, "base_url", None))
            if label:
                return Call(label, by_url=True)
        for name in self.urls:
            label = _label_of(given.get(name))
            # The SDK's own layers pass this one down.
            own = "base_compatible_api_url"
            if label and given[name] is not getattr(sdk("dashscope"), own, None):
                return Call(label, by_url=True)
        return NO_CALL


def _label_of(url: Any) -> str | None:
    # An httpx.URL is no str.
    return workspace_in_host(url) if isinstance(url, str) or hasattr(url, "netloc") else None


def remember(instance: Any, told: Call) -> None:
    """Keep what the constructor of ``instance`` was told, and the scope it was called in."""
    born = scope_here() or told.born
    if born is not None or told.workspace:
        objects.keep(instance, told._replace(born=born))


#: Where objects of the SDK show the workspace that they were told; last, the pool's of tts_v2.
_SHOWN = ("workspace_id", "_workspace", "workspace", "DEFAULT_WORKSPACE")


def told_of(owner: Any) -> Call:
    """What the object that sends was told: what is kept of it, else what it shows itself."""
    kept = objects.of(owner) or NO_CALL
    if kept.workspace or owner is None:
        return kept
    for name in _SHOWN:  # made before the shim came, or not yet ready
        workspace = workspace_in_argument(getattr(owner, name, None))
        if workspace:
            return kept._replace(workspace=workspace)
    return kept


#: What was sent for an object that goes on to speak of it: a websocket's owner, a stream.
sents: Memory[Sent] = Memory()


unseen(globals(), __name__)
