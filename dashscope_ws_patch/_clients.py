"""The adapters of the 2.x clients and of agentstudio, which settle on a workspace when built.

What they have found is marked as found and stays as it is; what a request says is settled when it
is sent.
"""

from __future__ import annotations

import functools
import gc
import inspect
import os
import sys
from typing import Any, Callable, NamedTuple
from urllib.parse import urlsplit

import wrapt

from . import _carry, _decision, _workspace
from ._carry import unseen
from ._decision import (
    BY_CALL,
    BY_PROGRAM,
    BY_SDK,
    HEADER,
    Chosen,
    Found,
    ambient,
    is_named,
    scope_here,
    sdk,
    settle,
    without_workspace,
    workspace_in_headers,
)
from ._edge import SENT
from ._hosts import require_host_label, with_host_workspace, workspace_in_host
from ._methods import Adapter, method
from ._workspace import Scope
from .hint.watch import fine, look, watched

#: Where a transport or a session keeps its ``Sender``.
_KEPT = "_dashscope_ws_patch"


# What a client was told, and what it has found


class Sender(NamedTuple):
    """What a transport, or a session that connects later, was told or has found."""

    #: A string where the calling code has named it, else ``Found``.
    workspace: Any = None
    #: The URL under which it sends, who has chosen its host, and the region of a default endpoint.
    url: str = ""
    chosen: Chosen | None = None
    region: str | None = None
    #: The scope in which it was made.
    born: Scope | None = None
    #: Whether its connection pool is the calling code's own, with defaults of its own.
    own_pool: bool = False
    #: Whether it is agentstudio's, mounted on a 2.x client in whichever scope first asked for it.
    mounted: bool = False


@method
def client(function: Any) -> Any:
    """The constructor of ``Client`` and ``AsyncClient``: what nobody has named is marked as found,
    for all that the SDK makes of it."""
    _mark_older(function)

    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        workspace = kwargs.get("workspace")
        if isinstance(workspace, Found) and not workspace:
            kwargs["workspace"] = None  # with_options hands it on: it is looked for again
        function(self, *args, **kwargs)
        _mark(self, workspace, kwargs.get("base_url"), scope_here())

    return __init__


def _mark(client: Any, workspace: Any, url: Any, born: Scope | None) -> None:
    """Mark what a client holds beside ``workspace`` and ``url``, which it was given."""
    config, transport = client.config, client._transport
    pool = transport._client
    # A derived client may share the pool that the SDK has made for another.
    agent = (getattr(pool, "headers", None) or {}).get("user-agent") or ""
    own_pool = not transport._owns_client and not str(agent).startswith("dashscope-v2-")
    put = functools.partial(object.__setattr__, config)  # it is frozen
    if is_named(workspace):
        born = None
    else:
        born = born or getattr(workspace, "born", None)
        named = workspace_in_host(url) if is_named(url) else getattr(workspace, "named", None)
        named = (own_pool and _named_by_pool(pool)) or named
        put("workspace", Found(config.workspace, born, named))
    configured, region, chosen = config.configured_base_url, None, BY_CALL
    if configured is None:
        region, chosen = config.region, BY_SDK
    elif not is_named(url):
        put("configured_base_url", Found(configured))
        chosen = BY_PROGRAM
    if chosen is not BY_CALL:
        put("base_url", Found(config.base_url, region=region))  # for uploads
    url = str(config.base_url)  # it may be an httpx.URL
    vars(transport)[_KEPT] = Sender(config.workspace, url, chosen, region, born, own_pool)


def _named_by_pool(pool: Any) -> str | None:
    named = workspace_in_headers(getattr(pool, "headers", None))
    return named or workspace_in_host(getattr(pool, "base_url", None))


def _mark_older(function: Any) -> None:
    """Mark the clients that are older than the shim: what the SDK would find now was found, and
    what else they hold was told."""
    module = sys.modules[function.__module__]
    if getattr(module.__spec__, "_initializing", False):
        return  # its code has just run: there are none
    kind = getattr(module, function.__qualname__.partition(".")[0])
    for older in gc.get_objects():
        if issubclass(type(older), kind) and _KEPT not in vars(older._transport):
            config = older.config
            workspace, url = config.workspace, config.configured_base_url
            if workspace == _found_by_sdk("workspace", "DASHSCOPE_WORKSPACE"):
                workspace = None
            if url == _found_by_sdk("base_url", "DASHSCOPE_BASE_URL", "DASHSCOPE_HTTP_BASE_URL"):
                url = None
            _mark(older, workspace, url, None)


def _found_by_sdk(name: str, *variables: str) -> Any:
    module, found = sdk("dashscope.v2._config"), None
    if module is not None:
        found = module.settings.get_explicit(name)
    for variable in variables:
        found = found or os.environ.get(variable)
    if module is not None and not found:
        found = module._load_config_file(module.default_config_path()).get(name)
    return found


@method
def no_nudge(function: Any) -> Any:
    """``_legacy_fallback``, which warns that no workspace is known: not where one is."""

    def _legacy_fallback(host: str) -> Any:
        try:
            known = ambient()[0]
        except _workspace.WorkspaceError:  # raised again by the first request
            known = None
        return host if known else function(host)

    return _legacy_fallback


@method
def shared(function: Any) -> Any:
    """``_get_client`` of ``dashscope.chat``: one client for all, not of its first user's scope."""

    def _get_client() -> Any:
        outer = scope_here()
        _workspace.scope.set(None)
        try:
            return function()
        finally:
            _workspace.scope.set(outer)

    return _get_client


@method
def on_behalf(function: Any) -> Any:
    """A method of a resource that calls the 1.x surface: on behalf of its client."""

    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        workspace, told = self._client.config.workspace, _decision.told
        named = workspace if is_named(workspace) else getattr(workspace, "named", None)
        holding = (told, named or told.get()), (_decision.born, getattr(workspace, "born", None))
        made = _carry.in_scope(function, *holding)(self, *args, **kwargs)
        return _carry.carried(made, holding)

    return call


def upload(original: Any) -> Any:
    """``check_and_upload_local``, as uploads of 2.x have imported it, with what their client holds:
    its certificate is asked for by the 1.x surface."""

    @functools.wraps(original)
    def check_and_upload_local(*args: Any, **kwargs: Any) -> Any:
        url, workspace = kwargs.get("base_address"), kwargs.get("workspace")
        if not isinstance(url, str) or is_named(workspace):
            return original(*args, **kwargs)
        kwargs["workspace"] = workspace or None
        region = getattr(url, "region", None)
        chosen = BY_SDK if region else BY_PROGRAM if isinstance(url, Found) else BY_CALL
        url, headers, settled, _ = settle(url, None, workspace, chosen, region)
        if headers is not None:
            kwargs.update(base_address=url, workspace=settled)
        born = _decision.born, getattr(workspace, "born", None)
        return _carry.in_scope(original, born)(*args, **kwargs)

    return check_and_upload_local


# HTTP


def _sending(prepare: Callable[..., Any]) -> Adapter:
    """The adapter of a transport's method that sends, from what prepares its arguments: that
    returns the transport and path to use, what is sent, and the scope that the transport is of."""

    @method
    def adapter(function: Any) -> Any:
        streams = function.__name__ == "open_stream"

        def request(self: Any, method: str, path: str, **kwargs: Any) -> Any:
            transport, path, sent, born = prepare(self, path, kwargs)
            if born is not None:  # for the library below, where it is asked too
                outer = _decision.born.get()
                _decision.born.set(born)
            try:
                response = function(transport, method, path, **kwargs)
            except Exception as error:
                look(error, sent)
                raise
            finally:
                if born is not None:
                    _decision.born.set(outer)
            return received(response, sent)

        async def arequest(self: Any, method: str, path: str, **kwargs: Any) -> Any:
            transport, path, sent, born = prepare(self, path, kwargs)
            if born is not None:
                outer = _decision.born.get()
                _decision.born.set(born)
            try:
                response = await function(transport, method, path, **kwargs)
            except Exception as error:
                look(error, sent)
                raise
            finally:
                if born is not None:
                    _decision.born.set(outer)
            return received(response, sent)

        def received(response: Any, sent: Any) -> Any:
            if streams:
                vars(response)[SENT] = sent  # for who reads it
            elif not fine(response):
                look(response, sent)
            return response

        return arequest if inspect.iscoroutinefunction(function) else request

    return adapter


def _prepared(transport: Any, path: str, kwargs: dict[str, Any]) -> Any:
    given, headers, base = kwargs.get("workspace"), kwargs.get("headers"), kwargs.get("base_url")
    pool = transport._client
    # One that nobody has made a client of is what its pool shows.
    workspace, url, chosen, region, born, own_pool, _ = vars(transport).get(_KEPT) or _POOL
    if base:  # beside the client's own: of another protocol, say
        url = base
    elif own_pool:
        url, chosen, region = str(getattr(pool, "base_url", "")), BY_CALL, None
    named = given if given and is_named(given) else headers and workspace_in_headers(headers)
    if not named and own_pool:
        named = _named_by_pool(pool)
        if not named and is_named(workspace):
            kwargs["workspace"] = workspace  # the SDK would not send it by such a pool
    target, settled, space, source = settle(url, None, named or workspace, chosen, region)
    sent = target, space, source, kwargs.get("json")
    if "://" in path:
        return transport, path, (path, *sent[1:]), born
    if target != url:
        kwargs["base_url"] = target
    if settled is None:  # as natively
        return transport, path, sent, born
    if headers:
        kwargs["headers"] = without_workspace(headers)  # a blank one
    if space is None and workspace and not own_pool:
        transport = _By(transport, _UnnamedPool(pool))
    elif space is not None and (own_pool or space != workspace or given is not None):
        kwargs["workspace"] = space
    return transport, path, sent, born


_POOL = Sender(own_pool=True)

transport = _sending(_prepared)


class _By(wrapt.ObjectProxy):  # type: ignore[misc]
    """A transport that sends by another connection pool than its own."""

    def __init__(self, transport: Any, pool: Any) -> None:
        super().__init__(transport)
        self._self_pool = pool

    @property
    def _client(self) -> Any:
        return self._self_pool


class _UnnamedPool(wrapt.ObjectProxy):  # type: ignore[misc]
    """A connection pool without the workspace header that it has by default: httpx adds a client's
    headers to each request, and has no way to leave one out."""

    def build_request(self, *args: Any, **kwargs: Any) -> Any:
        request = self.__wrapped__.build_request(*args, **kwargs)
        request.headers.pop(HEADER, None)
        return request

    def request(self, *args: Any, **kwargs: Any) -> Any:
        return self.__wrapped__.send(self.build_request(*args, **kwargs))


@method
def reading(function: Any) -> Any:
    """What reads a stream, ``(self)`` with its response or ``(self, response)``, and its errors."""

    def read(self: Any, *args: Any) -> Any:
        sent = vars(args[0] if args else self._response).get(SENT)
        items = function(self, *args)
        return items if sent is None else watched(items, sent)

    return read


# Websockets


@method
def session(function: Any) -> Any:
    """The constructor of a session that connects later: of the scope in which it is made."""

    def __init__(self: Any, client: Any, *args: Any, **kwargs: Any) -> None:
        function(self, client, *args, **kwargs)
        found, url = client.config.workspace, kwargs.get("ws_url")
        if is_named(found) or is_named(kwargs.get("workspace")):
            return
        born = scope_here() or getattr(found, "born", None)
        named = kwargs.get("workspace_id") or getattr(found, "named", None)
        space = Found(found, born, named)
        if "_session_kwargs" in vars(self):
            self._session_kwargs["workspace"] = space
        else:
            chosen = BY_CALL if url else BY_SDK
            region = None if url else client.config.region
            vars(self)[_KEPT] = Sender(space, self._url, chosen, region, born)

    return __init__


@method
def socket(function: Any) -> Any:
    """The constructor of ``WsSession`` or ``WsConnection``, which connects."""

    def __init__(self: Any, **kwargs: Any) -> None:
        born = getattr(kwargs.get("workspace"), "born", None)
        kwargs, sent = _handshake(kwargs)
        vars(self)[SENT] = sent
        _connected(born, sent, function, self, **kwargs)

    return __init__


def _handshake(kwargs: dict[str, Any]) -> Any:
    """The arguments of ``WsSession`` or ``WsConnection``, and what they send."""
    url = kwargs.get("url") or sdk("dashscope.v2._config").settings.websocket_base_url or ""
    workspace, given = kwargs.get("workspace"), kwargs.get("headers")
    # The SDK overrules headers by the workspace.
    named = workspace if is_named(workspace) else workspace_in_headers(given) or workspace
    chosen = BY_CALL if kwargs.get("url") else BY_PROGRAM
    target, headers, space, source = settle(url, None, named, chosen)
    if target != url:
        kwargs = {**kwargs, "url": target}
    if headers is not None:
        if not target and space is not None:
            require_host_label(space)
        others = without_workspace(given) if given else given
        kwargs = {**kwargs, "workspace": space, "headers": others}
    return kwargs, (target, space, source, None)


def _connected(born: Any, sent: Any, connect: Any, /, *args: Any, **kwargs: Any) -> Any:
    """Call ``connect`` for an object that was made in the scope ``born``."""
    try:
        return _carry.in_scope(connect, (_decision.born, born))(*args, **kwargs)
    except Exception as error:
        look(error, sent)
        raise


@method
def open_task(function: Any) -> Any:
    """``WsConnection.open_task``: warns, once, where the scope is not that of the handshake."""

    def open_task(self: Any, **kwargs: Any) -> Any:
        scope, sent = scope_here(), vars(self).get(SENT)
        if scope is not None and sent and scope.workspace != sent[1] and _KEPT not in vars(self):
            vars(self)[_KEPT] = True
            _workspace.warn(
                f"a task is opened for the workspace {_workspace.masked(str(scope.workspace))!r} on "
                f"a websocket connection that was opened for {_workspace.masked(str(sent[1]))!r} "
                "and keeps it: open a connection for each workspace",
                stacklevel=2,
            )
        return function(self, **kwargs)

    return open_task


@method
def task(function: Any) -> Any:
    """``run_task`` of a websocket's task, which tells of a refusal."""

    def run_task(self: Any, *args: Any, **kwargs: Any) -> Any:
        sent = vars(vars(self).get("_conn", self)).get(SENT) or ("", None, None, None)
        sent = (*sent[:3], kwargs.get("model") or self)
        try:
            return watched(function(self, *args, **kwargs), sent)
        except Exception as error:
            look(error, sent)
            raise

    return run_task


@method
def connect(function: Any) -> Any:
    """``RealtimeSession.connect``: what the constructor has settled on, as of here and now."""

    def connect(self: Any) -> Any:
        kept = self._headers, self._url
        known = vars(self).get(_KEPT) or _shown(self)
        self._url, self._headers, workspace, source = settle(
            self._url, self._headers, known.workspace, known.chosen, known.region
        )
        vars(self)[SENT] = sent = self._url, workspace, source, self
        try:
            return _connected(known.born, sent, function, self)
        finally:
            self._headers, self._url = kept

    return connect


def _shown(session: Any) -> Sender:
    """What a session that has named its workspace, or is older than the shim, shows."""
    workspace = workspace_in_headers(session._headers)
    if workspace and workspace == _found_by_sdk("workspace", "DASHSCOPE_WORKSPACE"):
        return Sender(Found(workspace))
    return Sender()


@method
def start_message(function: Any) -> Any:
    """``TingWuRealtime.__enter__``, which sends a message that may name the workspace: what the
    shim has put into the handshake."""

    def __enter__(self: Any) -> Any:
        kept = self._start_input
        if self._connection is None:
            _, sent = _handshake(self._session_kwargs)
        else:
            sent = vars(self._connection).get(SENT) or ("", None, None, None)
        if sent[1] is not None and sent[2] not in (None, "named", "host"):
            self._start_input = {**kept, "workspace_id": str(sent[1])}
        try:
            return function(self)
        finally:
            self._start_input = kept

    return __enter__


# agentstudio


@method
def studio(function: Any) -> Any:
    """The constructor of agentstudio's ``Client`` and ``AsyncClient``."""

    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        function(self, *args, **kwargs)
        workspace = kwargs.get("workspace")
        # Mounted on a 2.x client, it is of that client's scope.
        born = workspace.born if isinstance(workspace, Found) else scope_here()
        _mark_studio(self.transport, workspace, kwargs.get("base_url"), born)

    return __init__


def _mark_studio(transport: Any, workspace: Any, url: Any, born: Scope | None) -> Sender:
    """Note what a transport of agentstudio was given. What it was told is in none of its headers:
    natively the host alone names it."""
    told = is_named(workspace)
    named = workspace if told else getattr(workspace, "named", None)
    chosen = BY_CALL if told or is_named(url) else BY_PROGRAM if _studio_url() else BY_SDK
    found = Found(None if named else transport.workspace, born, named)
    mounted = isinstance(workspace, Found)
    sender = Sender(found, transport.base_url, chosen, born=born, mounted=mounted)
    vars(transport)[_KEPT] = sender
    return sender


def _older_studio(transport: Any) -> Sender:
    """The same for one that is older than the shim."""
    workspace, url = transport.workspace, transport.base_url
    if url == _studio_url() or workspace_in_host(url) == workspace:
        url = None
    if workspace == _found_by_sdk("workspace", "DASHSCOPE_WORKSPACE"):
        workspace = Found(workspace)
    return _mark_studio(transport, workspace, url, None)


def _studio_url() -> str | None:
    return os.environ.get("DASHSCOPE_AGENTSTUDIO_URL") or os.environ.get("AGENTSTUDIO_URL")


@method
def studio_url(function: Any) -> Any:
    """agentstudio's ``_resolve_base_url``, which refuses to do without a workspace."""

    def _resolve_base_url(explicit_url: Any, workspace: Any, region: Any = None) -> Any:
        if not is_named(workspace):
            workspace = _workspace.by_rule(workspace)
        if not explicit_url and not workspace:
            workspace = ambient()[0]
            if workspace is not None:
                require_host_label(workspace)
        return function(explicit_url, workspace, region)

    return _resolve_base_url


def _studio_prepared(transport: Any, path: str, kwargs: dict[str, Any]) -> Any:
    url, given, body = transport._absolute_url(path), kwargs.get("extra_headers"), kwargs.get("json")
    known = vars(transport).get(_KEPT) or _older_studio(transport)
    found, base, chosen, _, born, _, mounted = known
    if urlsplit(url).netloc != urlsplit(base).netloc:
        return transport, path, (url, None, None, body), None
    target, headers, workspace, source = settle(url, given, found, chosen)
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


studio_transport = _sending(_studio_prepared)


unseen(globals(), __name__)
