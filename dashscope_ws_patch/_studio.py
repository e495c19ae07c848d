"""The adapters of agentstudio, which names its workspace natively by the host alone."""

from __future__ import annotations

import functools
import os
from typing import Any
from urllib.parse import urlsplit

from . import _workspace
from ._carry import unseen
from ._clients import KEPT, Sender, found_by_sdk, sending, transport_of
from ._decision import (
    BY_CALL,
    BY_PROGRAM,
    BY_SDK,
    Found,
    InHost,
    ambient,
    is_named,
    scope_here,
    sdk,
    settle,
)
from ._hosts import own_host, require_host_label, with_host_workspace, workspace_in_host
from ._methods import method
from ._senders import MISFIT, OF_CLIENT, misfit
from ._workspace import Scope


@method
def constructor(function: Any) -> Any:
    """The constructor of agentstudio's ``Client`` and ``AsyncClient``."""

    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        function(self, *args, **kwargs)
        try:
            _mark(self.transport, kwargs.get("workspace"), kwargs.get("base_url"), scope_here())
        except MISFIT as error:
            misfit(function, error)

    return __init__


def mount(original: Any) -> Any:
    """The property ``Client.agentstudio``, which makes a client for the first who asks."""

    @functools.wraps(original.fget)
    def agentstudio(self: Any) -> Any:
        made, space = original.fget(self), self.config.workspace
        born = vars(transport_of(self)).get(KEPT, Sender()).born
        if not vars(made.transport).get(KEPT, Sender()).mounted:
            _mark(made.transport, Found(born=born) if space is None else space, None, born)
        return made

    return property(agentstudio, original.fset, original.fdel, original.__doc__)


def _mark(transport: Any, workspace: Any, url: Any, born: Scope | None) -> Sender:
    """Note what a transport of agentstudio was given. What it was told is in none of its headers:
    natively the host alone names it."""
    told = is_named(workspace)
    named = InHost(workspace) if told else getattr(workspace, "named", None)
    chosen = BY_CALL if told or is_named(url) else BY_PROGRAM if _configured_url() else BY_SDK
    found = Found(None if named else transport.workspace, born, named)
    mounted, base = isinstance(workspace, Found), transport.base_url
    default = not is_named(url) and not _configured_url() and workspace_in_host(base)
    region = urlsplit(base).netloc.split(".")[1] if default else None
    sender = Sender(found, base, chosen, region, born, mounted=mounted)
    vars(transport)[KEPT] = sender
    if getattr(transport, "_owns_client", False):  # for the edge, where no row fits the transport
        vars(transport._client)[OF_CLIENT] = sender[:4]
    return sender


def _older(transport: Any) -> Sender:
    """The same for one that is older than the shim."""
    workspace, url = transport.workspace, transport.base_url
    if url == _configured_url() or workspace_in_host(url) == workspace:
        url = None
    if workspace == found_by_sdk("workspace", "DASHSCOPE_WORKSPACE"):
        workspace = Found(workspace)
    return _mark(transport, workspace, url, None)


def _configured_url() -> str | None:
    return os.environ.get("DASHSCOPE_AGENTSTUDIO_URL") or os.environ.get("AGENTSTUDIO_URL")


@method
def base_url(function: Any) -> Any:
    """agentstudio's ``_resolve_base_url``, which refuses to do without a workspace."""

    def _resolve_base_url(explicit_url: Any, workspace: Any, *args: Any, **kwargs: Any) -> Any:
        if not is_named(workspace):
            workspace = _workspace.by_rule(workspace)
        if not explicit_url and not workspace:
            workspace = ambient()[0]
            if workspace is not None:
                require_host_label(workspace)
        return function(explicit_url, workspace, *args, **kwargs)

    return _resolve_base_url


def _prepared(transport: Any, path: str, kwargs: dict[str, Any]) -> Any:
    url, body = transport._absolute_url(path), kwargs.get("json")
    given = kwargs.get("extra_headers")
    known = vars(transport).get(KEPT) or _older(transport)
    found, base, chosen, region, born, *_, mounted = known
    if urlsplit(url).netloc != urlsplit(base).netloc:
        return transport, path, (url, None, None, body), None
    target, headers, workspace, source = settle(url, given, found, chosen)
    if region and workspace is not None:
        target = own_host(target, workspace, region)
    supplied = chosen is BY_SDK and not found
    if workspace is None and supplied and (mounted or scope_here() is None):
        # Its host is that of another tenant, or of an environment that has changed: the SDK says
        # what it would have said to the constructor.
        sdk("dashscope.agentstudio.client")._resolve_base_url(None, None)
    path = target if target != url else path
    if headers is not given:
        if path is target and workspace_in_host(base):
            # The agent names the host, and so the workspace, that the client was built for.
            agent = with_host_workspace(base, workspace or "")
            headers.setdefault("User-Agent", agent.join(transport.user_agent.rsplit(base, 1)))
        kwargs["extra_headers"] = headers
    return transport, path, (target, workspace, source, body), born


transport = sending(_prepared)


unseen(globals(), __name__)
