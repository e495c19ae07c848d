"""The adapters of the websockets of 2.x, and of the sessions that open them."""

from __future__ import annotations

from typing import Any

from . import _workspace
from ._carry import unseen
from ._clients import KEPT, Sender, found_by_sdk, made_in
from ._decision import (
    BY_CALL,
    BY_PROGRAM,
    BY_SDK,
    Found,
    is_named,
    scope_here,
    sdk,
    settle,
    without_workspace,
    workspace_in_headers,
)
from ._hosts import own_host, require_host_label
from ._methods import method
from ._senders import MISFIT, NOTHING_SENT, SENT, misfit
from .hint.watch import look


@method
def session(function: Any) -> Any:
    """The constructor of a session that connects later: of the scope in which it is made."""

    def __init__(self: Any, client: Any, *args: Any, **kwargs: Any) -> None:
        function(self, client, *args, **kwargs)
        try:
            _mark_session(self, client.config, **kwargs)
        except MISFIT as error:
            misfit(function, error)

    return __init__


def _mark_session(session: Any, config: Any, **given: Any) -> None:
    found, url = config.workspace, given.get("ws_url")
    region = None if url else config.region
    if is_named(found) or is_named(given.get("workspace")):
        if "_session_kwargs" not in vars(session):
            vars(session)[KEPT] = Sender(region=region)
        return
    born = scope_here() or getattr(found, "born", None)
    space = Found(found, born, given.get("workspace_id") or getattr(found, "named", None))
    if "_session_kwargs" in vars(session):
        session._session_kwargs["workspace"] = space
    else:
        chosen = BY_CALL if url else BY_SDK
        vars(session)[KEPT] = Sender(space, session._url, chosen, region, born)


@method
def socket(function: Any) -> Any:
    """The constructor of ``WsSession`` or ``WsConnection``, which connects."""

    def __init__(self: Any, **kwargs: Any) -> None:
        born = getattr(kwargs.get("workspace"), "born", None)
        try:
            kwargs, sent = _handshake(kwargs)
        except MISFIT as error:
            sent = misfit(function, error)
        vars(self)[SENT] = sent
        try:
            made_in(born, function)(self, **kwargs)
        except Exception as error:
            look(error, sent)
            raise

    return __init__


def _handshake(kwargs: dict[str, Any]) -> Any:
    """The arguments of ``WsSession`` or ``WsConnection``, and what they send."""
    url = kwargs.get("url") or sdk("dashscope.v2._config").settings.websocket_base_url or ""
    workspace, given = kwargs.get("workspace"), kwargs.get("headers")
    # The SDK overrules headers by the workspace.
    named = workspace if is_named(workspace) else workspace_in_headers(given) or workspace
    chosen = BY_CALL if kwargs.get("url") else BY_PROGRAM
    target, headers, space, source = settle(url, None, named, chosen)
    if not target and space:  # the SDK would build it from the workspace
        config, region = sdk("dashscope.v2._config"), kwargs.get("region")
        default = config.workspace_ws_url(space, config.WS_INFERENCE_PATH, region)
        moved = own_host(default, space, region or config.DEFAULT_REGION)
        target = target if moved == default else moved
    if target != url:
        kwargs = {**kwargs, "url": target}
    if headers is not None:
        if not target and space is not None:
            require_host_label(space)
        others = without_workspace(given) if given else given
        kwargs = {**kwargs, "workspace": space, "headers": others}
    return kwargs, (target, space, source, None)


@method
def open_task(function: Any) -> Any:
    """``WsConnection.open_task``: warns, once, where the scope is not that of the handshake."""

    def open_task(self: Any, **kwargs: Any) -> Any:
        scope, sent = scope_here(), vars(self).get(SENT)
        if scope is not None and sent and scope.workspace != sent[1] and KEPT not in vars(self):
            vars(self)[KEPT] = True
            wanted, held = (_workspace.masked(str(name)) for name in (scope.workspace, sent[1]))
            _workspace.warn(
                f"a task is opened for the workspace {wanted!r} on a websocket connection that was "
                f"opened for {held!r} and keeps it: open a connection for each workspace",
                stacklevel=2,
            )
        return function(self, **kwargs)

    return open_task


@method
def connect(function: Any) -> Any:
    """``RealtimeSession.connect``: what the constructor has settled on, as of here and now."""

    def connect(self: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            kept = self._headers, self._url
            known = vars(self).get(KEPT) or _shown(self)
            self._url, self._headers, workspace, source = settle(
                self._url, self._headers, known.workspace, known.chosen, known.region
            )
        except MISFIT as error:
            misfit(function, error)
            return function(self, *args, **kwargs)
        vars(self)[SENT] = sent = self._url, workspace, source, self
        try:
            return made_in(known.born, function)(self, *args, **kwargs)
        except Exception as error:
            look(error, sent)
            raise
        finally:
            self._headers, self._url = kept

    return connect


def _shown(session: Any) -> Sender:
    """What a session that has named its workspace, or is older than the shim, shows."""
    workspace, headers = workspace_in_headers(session._headers), session._headers
    if workspace and workspace == found_by_sdk("workspace", "DASHSCOPE_WORKSPACE"):
        found = Found(workspace)
        session._headers = {
            key: found if headers[key] == found else headers[key] for key in headers
        }
    return Sender()


@method
def start_message(function: Any) -> Any:
    """``TingWuRealtime.__enter__``, which sends a message that may name the workspace: what the
    shim has put into the handshake."""

    def __enter__(self: Any) -> Any:
        try:
            kept, connection = self._start_input, self._connection
            if connection is None:
                _, sent = _handshake(self._session_kwargs)
            else:
                sent = vars(connection).get(SENT) or NOTHING_SENT
        except MISFIT as error:
            misfit(function, error)
            return function(self)
        if sent[1] is not None and sent[2] not in (None, "named", "host"):
            self._start_input = {**kept, "workspace_id": str(sent[1])}
        try:
            return function(self)
        finally:
            self._start_input = kept

    return __enter__


unseen(globals(), __name__)
