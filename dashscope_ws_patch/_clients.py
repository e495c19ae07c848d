"""The adapters of the 2.x clients and of agentstudio, which settle on a workspace when built.

What they have found is marked as found and stays as it is; what a request says is settled when it
is sent.
"""

from __future__ import annotations

import functools
import inspect
import os
from typing import Any
from urllib.parse import urlsplit

import wrapt

from . import _decision, _workspace
from ._carry import unseen
from ._decision import (
    BY_CALL,
    BY_PROGRAM,
    BY_SDK,
    HEADER,
    Found,
    ambient,
    is_named,
    scope_here,
    sdk,
    settle,
    with_workspace,
    without_workspace,
    workspace_in_headers,
)
from ._edge import SENT
from ._hosts import require_host_label, with_host_workspace, workspace_in_host
from ._methods import method
from .hint.watch import look, watched

_CONFIG = "dashscope.v2._config"
#: Where a configuration, a transport or a connection pool keeps what the shim knows of it.
_KEPT = "_dashscope_ws_patch"


# What a client was told, and what it has found


def config(original: Any) -> Any:
    """``resolve_config``: what nobody has named is marked, for all that the SDK makes of it."""

    @functools.wraps(original)
    def resolve_config(*args: Any, **kwargs: Any) -> Any:
        space = kwargs.get("workspace")
        if isinstance(space, Found) and not space:
            kwargs["workspace"] = None  # it is looked for again
        made = original(*args, **kwargs)
        _mark(made, space, kwargs.get("base_url"))
        return made

    return resolve_config


def _mark(config: Any, space: Any, url: Any) -> None:
    """Mark what a configuration holds beside ``space`` and ``url``, which it was given."""
    put = functools.partial(object.__setattr__, config)  # it is frozen
    put(_KEPT, True)
    if not is_named(space):
        named = workspace_in_host(url) if is_named(url) else getattr(space, "named", None)
        born = scope_here() or getattr(space, "born", None)
        if config.workspace or born or named:
            put("workspace", Found(config.workspace, born, named))
    if config.configured_base_url and not is_named(url):
        put("configured_base_url", Found(config.configured_base_url))


def _configuration(client: Any) -> Any:
    """The configuration of a client. Of one that is older than the shim, what the SDK would find
    now was found, and all else is treated as told."""
    config = client.config
    if _KEPT not in vars(config):
        url = config.configured_base_url
        found = config.workspace == _found_by_sdk("workspace", "DASHSCOPE_WORKSPACE")
        base = _found_by_sdk("base_url", "DASHSCOPE_BASE_URL", "DASHSCOPE_HTTP_BASE_URL")
        _mark(config, None if found else config.workspace, None if url == base else url)
    return config


def _found_by_sdk(name: str, *variables: str) -> Any:
    module = sdk(_CONFIG)
    found = module.settings.get_explicit(name)
    for variable in variables:
        found = found or os.environ.get(variable)
    return found or module._load_config_file(module.default_config_path()).get(name)


@method
def client(function: Any) -> Any:
    """The constructor of ``Client`` and ``AsyncClient``, which may be given a connection pool."""

    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        function(self, *args, **kwargs)
        config, transport = self.config, self._transport
        if transport._owns_client:  # derived clients may share it
            vars(transport._client)[_KEPT] = True
        named = None if _is_sdks(transport._client) else _named_by_pool(transport._client)
        if named and not is_named(config.workspace):
            found = Found(config.workspace, getattr(config.workspace, "born", None), named)
            object.__setattr__(config, "workspace", found)
        vars(transport)[_KEPT] = config

    return __init__


def _is_sdks(pool: Any) -> bool:
    """Whether the SDK has made a connection pool: it has the client's findings as its defaults."""
    return vars(pool).get(_KEPT) is True


def _named_by_pool(pool: Any) -> str | None:
    named = workspace_in_headers(getattr(pool, "headers", None))
    return named or workspace_in_host(getattr(pool, "base_url", None))


class _Older:
    """The configuration of a client that is older than the shim, as its connection pool shows it."""

    configured_base_url: Any = None
    region = None

    def __init__(self, pool: Any) -> None:
        self.base_url = str(getattr(pool, "base_url", ""))
        self.workspace: Any = workspace_in_headers(getattr(pool, "headers", None))
        label = workspace_in_host(self.base_url)
        if label and label == self.workspace:
            self.region = self.base_url.partition(".")[2].partition(".")[0]
        elif label:
            self.configured_base_url = self.base_url
        if self.workspace == _found_by_sdk("workspace", "DASHSCOPE_WORKSPACE"):
            self.workspace = Found(self.workspace)


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
        space = _configuration(self._client).workspace
        outer = _decision.told.get()
        _decision.told.set(space if is_named(space) else outer)
        try:
            return function(self, *args, **kwargs)
        finally:
            _decision.told.set(outer)

    return call


def upload(original: Any) -> Any:
    """``check_and_upload_local``, as uploads of 2.x have imported it."""

    @functools.wraps(original)
    def check_and_upload_local(*args: Any, **kwargs: Any) -> Any:
        url, space = str(kwargs.get("base_address") or ""), kwargs.get("workspace")
        if not is_named(space):
            label = workspace_in_host(url)
            region = urlsplit(url).netloc.split(".")[1] if label and label == space else None
            url, _, workspace, source = settle(url, None, space, region=region)
            if source is not None:
                kwargs.update(base_address=url, workspace=workspace)
        return original(*args, **kwargs)

    return check_and_upload_local


# HTTP


@method
def transport(function: Any) -> Any:
    """A transport's ``request`` or ``open_stream``."""

    def request(self: Any, method: str, path: str, **kwargs: Any) -> Any:
        transport, sent = _prepared(self, path, kwargs)
        try:
            return _answered(function(transport, method, path, **kwargs), sent)
        except Exception as error:
            look(error, sent)
            raise

    async def arequest(self: Any, method: str, path: str, **kwargs: Any) -> Any:
        transport, sent = _prepared(self, path, kwargs)
        try:
            return _answered(await function(transport, method, path, **kwargs), sent)
        except Exception as error:
            look(error, sent)
            raise

    return arequest if inspect.iscoroutinefunction(function) else request


def _answered(response: Any, sent: Any) -> Any:
    vars(response)[SENT] = sent  # for who reads its stream
    return watched(response, sent)


def _prepared(transport: Any, path: str, kwargs: dict[str, Any]) -> Any:
    """What a transport is called as, with ``kwargs`` changed, and what it sends then."""
    given, headers, base = kwargs.get("workspace"), kwargs.get("headers"), kwargs.get("base_url")
    pool = transport._client
    config, is_sdks = vars(transport).get(_KEPT), _is_sdks(pool)
    if config is None:
        config, is_sdks = _Older(pool), True
    space, configured = config.workspace, config.configured_base_url
    url = str(base or (config.base_url if is_sdks else getattr(pool, "base_url", "")))
    named = given if is_named(given) else headers and workspace_in_headers(headers)
    if not named and not is_sdks:
        named = _named_by_pool(pool)
    if not named and is_named(space):
        named = space
        if not is_sdks:  # the SDK would not send it by the calling code's own pool
            kwargs["workspace"] = space
    chosen = region = None
    if configured is not None:
        chosen = BY_CALL if is_named(configured) else BY_PROGRAM
    elif is_sdks or base:
        region = config.region
    known = {HEADER: named} if named else None
    target, _, workspace, source = settle(url, known, space, chosen, region)
    sent = target, workspace, source, kwargs.get("json")
    if "://" in path or source is None:
        return transport, sent
    if target != url:
        kwargs["base_url"] = target
    if source in ("named", "host"):
        return transport, sent
    if headers:
        kwargs["headers"] = without_workspace(headers)  # a blank one
    header = space if is_sdks else None
    if workspace is not None and (workspace != header or given is not None):
        kwargs["workspace"] = workspace
    elif workspace is None and header:
        transport = _By(transport, _UnnamedPool(pool))
    return transport, sent


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
    """The constructor of a session that connects later."""

    def __init__(self: Any, client: Any, *args: Any, **kwargs: Any) -> None:
        function(self, client, *args, **kwargs)
        config = _configuration(client)
        given = kwargs.get("workspace") or workspace_in_headers(kwargs.get("headers"))
        space: Any = given if is_named(given) else config.workspace
        if not is_named(space):
            born = scope_here() or getattr(space, "born", None)
            space = Found(space, born, getattr(space, "named", None))
        if "_session_kwargs" in vars(self) and not is_named(given):
            self._session_kwargs["workspace"] = space
        url = kwargs.get("ws_url")
        vars(self)[_KEPT] = space, None if url else config.region, url

    return __init__


@method
def socket(function: Any) -> Any:
    """The constructor of ``WsSession`` or ``WsConnection``, which connects."""

    def __init__(self: Any, **kwargs: Any) -> None:
        kwargs, sent = _handshake(kwargs)
        vars(self)[SENT] = sent
        try:
            function(self, **kwargs)
        except Exception as error:
            look(error, sent)
            raise

    return __init__


def _handshake(kwargs: dict[str, Any]) -> Any:
    """The arguments of ``WsSession`` or ``WsConnection``, and what they send."""
    url = kwargs.get("url") or sdk(_CONFIG).settings.websocket_base_url
    space, headers = kwargs.get("workspace"), kwargs.get("headers")
    named = space if is_named(space) else workspace_in_headers(headers)
    chosen = BY_CALL if kwargs.get("url") else BY_PROGRAM
    known = {HEADER: named} if is_named(named) else None
    target, _, workspace, source = settle(url or "", known, space, chosen)
    sent = target, workspace, source, None
    if source in (None, "named", "host"):
        return ({**kwargs, "url": target} if url and target != url else kwargs), sent
    if url is None and workspace is not None:
        require_host_label(workspace)
    changed = {**kwargs, "url": target or None, "workspace": workspace}
    if headers:  # the SDK overrules it by the workspace anyway
        changed["headers"] = without_workspace(headers)
    return changed, sent


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
        space, region, url = vars(self).get(_KEPT) or (workspace_in_headers(kept[0]), None, kept[1])
        known = {HEADER: space} if is_named(space) else None
        chosen = BY_CALL if url else None
        target, _, workspace, source = settle(self._url, known, space, chosen, region)
        vars(self)[SENT] = sent = target, workspace, source, self
        if source is not None:
            self._url = target
        if source not in (None, "named", "host") and workspace != workspace_in_headers(kept[0]):
            others = without_workspace(kept[0])
            self._headers = with_workspace(others, workspace) if workspace else others
        try:
            return function(self)
        except Exception as error:
            look(error, sent)
            raise
        finally:
            self._headers, self._url = kept

    return connect


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
        given = kwargs.get("workspace")
        function(self, *args, **kwargs)
        transport = self.transport
        if not is_named(given):
            # Mounted on a 2.x client, it is of that client's scope.
            born = given.born if isinstance(given, Found) else scope_here()
            transport.workspace = Found(transport.workspace, born, getattr(given, "named", None))
        vars(transport)[_KEPT] = (
            BY_CALL if kwargs.get("base_url") else BY_PROGRAM if _studio_url() else None
        )

    return __init__


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


@method
def studio_transport(function: Any) -> Any:
    """agentstudio's ``request``, which natively names the workspace in its host alone."""

    def request(self: Any, method: str, path: str, **kwargs: Any) -> Any:
        path, sent = _studio_prepared(self, path, kwargs)
        try:
            return function(self, method, path, **kwargs)
        except Exception as error:
            look(error, sent)
            raise

    async def arequest(self: Any, method: str, path: str, **kwargs: Any) -> Any:
        path, sent = _studio_prepared(self, path, kwargs)
        try:
            return await function(self, method, path, **kwargs)
        except Exception as error:
            look(error, sent)
            raise

    return arequest if inspect.iscoroutinefunction(function) else request


def _studio_prepared(transport: Any, path: str, kwargs: dict[str, Any]) -> Any:
    url, extra = transport._absolute_url(path), kwargs.get("extra_headers")
    base, space, body = transport.base_url, transport.workspace, kwargs.get("json")
    if urlsplit(url).netloc != urlsplit(base).netloc:
        return path, (url, None, None, body)
    chosen = vars(transport).get(_KEPT, "older")
    if chosen == "older":  # it is what it shows
        chosen = BY_PROGRAM if base == _studio_url() else None
        if space == os.environ.get("DASHSCOPE_WORKSPACE"):
            space = Found(space)
    if chosen is None:  # the constructor has built the host, of what it was told or has found
        told = is_named(space) and workspace_in_host(base) == space
        chosen = BY_CALL if told else BY_SDK
    target, headers, workspace, source = settle(url, extra, space, chosen)
    sent = target, workspace, source, body
    if source in (None, "named", "host") or workspace is None:
        return path, sent
    if target != url:
        path = target
        # It names the host, and so the workspace, that the client was built for.
        agent = with_host_workspace(base, workspace).join(transport.user_agent.rsplit(base, 1))
        headers = {"User-Agent": agent, **headers}
    kwargs["extra_headers"] = headers
    return path, sent


unseen(globals(), __name__)
