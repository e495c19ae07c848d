"""The adapters of the 2.x clients and of agentstudio, which settle on a workspace when built.

What the SDK has found for a client stays as it is; which workspace a request carries is asked of
``_decision.decide`` when it is sent.
"""

from __future__ import annotations

import functools
import inspect
import os
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import wrapt

from . import _workspace
from ._adapters import later
from ._carry import unseen
from ._decision import (
    HEADER,
    NO_CALL,
    Call,
    Decision,
    Memory,
    ambient,
    call_here,
    current,
    decide,
    require_host_label,
    scope_here,
    sdk,
    with_host_workspace,
    without_workspace,
    workspace_in_headers,
    workspace_in_host,
)
from ._methods import Disguised, method, stand_in
from ._told import Parameters, objects, sents
from ._views import Lent
from .hint.watch import Sent, look, watched

_CONFIG = "dashscope.v2._config"


class _Client(NamedTuple):
    """What a 2.x client was told by the calling code, and what the SDK has found for it."""

    call: Call
    config: Any
    #: Whether the SDK has made its connection pool: one of the calling code's own has defaults, and
    #: a base URL, of its own.
    own_pool: bool


#: By client, and by its transport.
_clients: Memory[_Client] = Memory()

#: The connection pools that the SDK has made, which derived clients share.
_pools: Memory[bool] = Memory()


# 2.x: clients


@method
def client(function: Any) -> Any:
    """The constructor of ``Client`` and ``AsyncClient``."""
    parameters = Parameters(function)

    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        told = parameters.told((self, *args), kwargs)
        function(self, *args, **kwargs)
        _note_client(self, told._replace(born=scope_here() or told.born))

    return __init__


def _note_client(client: Any, told: Call) -> _Client:
    transport = client._transport
    if transport._owns_client:
        _pools.keep(transport._client, True)
    told = NO_CALL if told == NO_CALL else told
    kept = _Client(told, client._config, bool(_pools.of(transport._client)))
    _clients.keep(client, kept)
    _clients.keep(transport, kept)
    return kept


def _client_of(client: Any) -> _Client:
    """What is kept of ``client``, or what one that is older than the shim shows to have been told:
    what the SDK does not find itself, here and now."""
    kept = _clients.of(client)
    if kept is not None:
        return kept
    config: Any = client._config
    label = workspace_in_host(config.configured_base_url)
    told = NO_CALL
    if config.workspace and config.workspace != _found_by_sdk("workspace", "DASHSCOPE_WORKSPACE"):
        told = Call(config.workspace)
    elif label and config.configured_base_url != _found_by_sdk(
        "base_url", "DASHSCOPE_BASE_URL", "DASHSCOPE_HTTP_BASE_URL"
    ):
        told = Call(label, by_url=True)
    return _note_client(client, told)


def _found_by_sdk(name: str, *variables: str) -> Any:
    module = sdk(_CONFIG)
    found = module.settings.get_explicit(name)
    for variable in variables:
        found = found or os.environ.get(variable)
    return found or module._load_config_file(module.default_config_path()).get(name)


@method
def derived(function: Any) -> Any:
    """``with_options``, which passes on what the client has found as if it had been told."""
    parameters = Parameters(function)

    def with_options(self: Any, **kwargs: Any) -> Any:
        origin = _client_of(self).call
        told = parameters.named((), kwargs)
        if told.by_url or not told.workspace:
            # A URL gives way to a new one, and to a workspace that stands beside it; a workspace
            # also to a blank one.
            gone = kwargs.get("base_url") if origin.by_url else kwargs.get("workspace") is not None
            if origin.workspace and not gone:
                told = origin
        made = function(self, **kwargs)
        _note_client(made, told._replace(born=scope_here() or origin.born))
        return made

    return with_options


@method
def connection(function: Any) -> Any:
    """``Client.ws_connection``, which opens a socket with what the client has found."""
    parameters = Parameters(function, "url")

    def ws_connection(self: Any, **kwargs: Any) -> Any:
        origin, outer = _client_of(self).call, call_here()
        told = parameters.named((), kwargs)
        told = told if told.workspace else origin
        current.set(told._replace(born=origin.born))
        try:
            return function(self, **kwargs)
        finally:
            current.set(outer)

    return ws_connection


@method
def shared(function: Any) -> Any:
    """``_get_client`` of ``dashscope.chat``: one client for all, not of its first user's scope."""

    def _get_client() -> Any:
        made = function()
        if _client_of(made).call.born is not None:
            _note_client(made, NO_CALL)
        return made

    return _get_client


@method
def held(function: Any) -> Any:
    """A method of a resource: the SDK hands on itself what the calling code names for the call."""

    def call(*args: Any, **kwargs: Any) -> Any:
        outer = told = call_here()
        if args:
            own = objects.of(args[0])
            if own is None and outer is NO_CALL:
                client = getattr(args[0], "_client", None)
                kept = _clients.of(client)
                if kept is None and hasattr(client, "_config"):
                    kept = _client_of(client)
                own = kept and kept.call
            told = own or outer
        if told is outer:
            return later(function(*args, **kwargs), told)
        current.set(told)
        try:
            return later(function(*args, **kwargs), told)
        finally:
            current.set(outer)

    return call


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


def _decided(kept: _Client, url: str, found: str | None, default: bool) -> Decision | None:
    """The decision about what a client sends to ``url``; ``default`` where the SDK has chosen the
    host, unless the program has configured one."""
    told, config, _ = kept
    configured = config.configured_base_url is not None
    here = call_here()
    if here is not NO_CALL and here is not told:
        told = Call(
            here.workspace or told.workspace,
            here.by_url if here.workspace else told.by_url,
            here.born or told.born,
        )
    region = config.region if default and not configured else None
    return decide(url, found, region, configured, told)


class _Base(str):
    """A base URL that knows whose it is, so that a call which uploads nothing decides nothing."""

    __slots__ = ("client",)
    client: Any


@method
def effective(function: Any) -> Any:
    """``_effective`` of uploads: key, workspace and base URL for their certificate."""

    def _effective(client: Any, api_key: Any, workspace: Any) -> Any:
        key, space, url = function(client, api_key, workspace)
        if not workspace:
            url = _Base(url)
            url.client = client
        return key, space, url

    return _effective


def upload(original: Any) -> Any:
    """``check_and_upload_local``, as uploads of 2.x have imported it: it asks for a certificate
    under what ``_effective`` says."""

    def check_and_upload_local(*args: Any, **kwargs: Any) -> Any:
        base = kwargs.get("base_address")
        if type(base) is _Base:
            decision = _decided(_client_of(base.client), base, kwargs["workspace"], default=True)
            if decision is not None:
                kwargs["base_address"], kwargs["workspace"], _ = decision
        return original(*args, **kwargs)

    # Pickled as the one in the SDK's own module, which stays.
    return stand_in(Disguised, original, check_and_upload_local)


# 2.x: HTTP


@method
def transport(function: Any) -> Any:
    """A transport's ``request`` or ``open_stream``."""
    streams = function.__name__ == "open_stream"

    def request(self: Any, method: str, path: str, **kwargs: Any) -> Any:
        instance, sent = _prepared(self, path, kwargs)
        try:
            response = function(instance, method, path, **kwargs)
        except Exception as error:
            look(error, sent)
            raise
        return _received(response, sent)

    async def arequest(self: Any, method: str, path: str, **kwargs: Any) -> Any:
        instance, sent = _prepared(self, path, kwargs)
        try:
            response = await function(instance, method, path, **kwargs)
        except Exception as error:
            look(error, sent)
            raise
        return _received(response, sent)

    def _received(response: Any, sent: Sent) -> Any:
        if streams:
            sents.keep(response, sent)
            return response
        return watched(response, sent)

    return arequest if inspect.iscoroutinefunction(function) else request


def _prepared(transport: Any, path: str, kwargs: dict[str, Any]) -> tuple[Any, Sent]:
    """What a transport is called as, with ``kwargs`` changed, and what it sends then."""
    given, pool = kwargs.get, transport._client
    headers, base, body = given("headers"), given("base_url"), given("json")
    named = given("workspace")
    if not named or not str(named).strip():
        named = headers and workspace_in_headers(headers)
    kept = _clients.of(transport) or _Client(NO_CALL, _Unknown(pool), False)
    told, config, own_pool = kept
    # What the pool sends of itself; what one of the calling code's own does is named by it.
    if own_pool:
        url, header = base or config.base_url, config.workspace
    else:
        url = base or getattr(pool, "base_url", "")
        header = workspace_in_headers(getattr(pool, "headers", None))
        named = named or header or (None if base else workspace_in_host(url))
    url = str(url)  # it may be an httpx.URL
    if named or "://" in path:
        return transport, (url, named or None, "named", body)
    # What was told, and is in the header of no pool of the SDK's, is not sent natively.
    default = own_pool or bool(base)
    found = None if told.workspace and not default else config.workspace
    decision = _decided(kept, url, found, default)
    if decision is None:
        return transport, (url, header, "named" if told.workspace else "client", body)
    target, workspace, source = decision
    if target != url:
        kwargs["base_url"] = target
    if headers:
        kwargs["headers"] = without_workspace(headers)  # a blank one
    if workspace is not None and (workspace != header or given("workspace")):  # a blank one
        kwargs["workspace"] = workspace
    elif workspace is None and header:
        transport = _By(transport, _UnnamedPool(pool))
    if workspace is not None and not own_pool and getattr(pool, "follow_redirects", None) is True:
        transport = _By(transport, Lent(pool))
    return transport, (target, workspace, source, body)


class _Unknown:
    """The configuration of a client that nobody has seen: it is what its pool shows."""

    configured_base_url = region = ""

    def __init__(self, pool: Any) -> None:
        self.base_url = str(getattr(pool, "base_url", ""))
        self.workspace = workspace_in_headers(getattr(pool, "headers", None))


class _By(wrapt.ObjectProxy):  # type: ignore[misc]
    """A transport that sends by another connection pool than its own."""

    def __init__(self, transport: Any, pool: Any) -> None:
        super().__init__(transport)
        self._self_pool = pool

    @property
    def _client(self) -> Any:
        return self._self_pool


class _UnnamedPool(wrapt.ObjectProxy):  # type: ignore[misc]
    """A connection pool without the workspace header that it has by default."""

    # httpx adds a client's default headers to each request, and has no way to leave one out.
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
        sent = sents.of(args[0] if args else self._response)
        items = function(self, *args)
        return items if sent is None else watched(items, sent)

    return read


# 2.x: websockets


@method
def session(function: Any) -> Any:
    """The constructor of a session that connects later: it keeps what the SDK has found."""
    parameters = Parameters(function)

    def __init__(self: Any, client: Any, *args: Any, **kwargs: Any) -> None:
        origin = _client_of(client).call
        told = parameters.named((self, client, *args), kwargs)
        function(self, client, *args, **kwargs)
        told = told if told.workspace else origin
        # Always one of its own: what a session opens was not named by the calling code.
        objects.keep(self, told._replace(born=scope_here() or origin.born))
        if not kwargs.get("ws_url"):
            _regions.keep(self, client._config.region)

    return __init__


#: The region of each session at a default endpoint.
_regions: Memory[str] = Memory()


def _handshake(kwargs: dict[str, Any]) -> tuple[dict[str, Any], Sent]:
    """The arguments of ``WsSession`` or ``WsConnection``, and what they send."""
    found, told = kwargs.get("workspace"), call_here()
    url = kwargs.get("url") or sdk(_CONFIG).settings.websocket_base_url
    if told is NO_CALL:  # the calling code builds it, not a client
        told = _SOCKET.named((), kwargs)
    if told.workspace and not found and workspace_in_headers(kwargs.get("headers")):
        return kwargs, (url or "", told.workspace, "named", None)
    decision = decide(url or "", found, pointed=not told.by_url, call=told)
    if decision is None:
        return kwargs, (url or "", found, "named" if told.workspace else None, None)
    target, workspace, source = decision
    if url is None and workspace is not None:
        require_host_label(workspace)
    changed = {**kwargs, "url": target or None, "workspace": workspace}
    if kwargs.get("headers"):  # the SDK overrules it by the workspace anyway
        changed["headers"] = without_workspace(kwargs["headers"])
    return changed, (target, workspace, source, None)


def _socket_names(*, workspace: Any = None, headers: Any = None, url: Any = None) -> None: ...


_SOCKET = Parameters(_socket_names, "url")


@method
def socket(function: Any) -> Any:
    """The constructor of ``WsSession`` or ``WsConnection``, which connects."""

    def __init__(self: Any, **kwargs: Any) -> None:
        kwargs, sent = _handshake(kwargs)
        try:
            function(self, **kwargs)
        except Exception as error:
            look(error, sent)
            raise
        sents.keep(self, sent)

    return __init__


@method
def open_task(function: Any) -> Any:
    """``WsConnection.open_task``: warns, once, where the scope is not that of the handshake."""

    def open_task(self: Any, **kwargs: Any) -> Any:
        scope = scope_here()
        _, carried, _, _ = sents.of(self) or ("", None, None, None)
        if scope is not None and scope.workspace != carried and not _warned.of(self):
            _warned.keep(self, True)
            _workspace.warn(
                f"a task is opened for the workspace {scope.workspace!r} on a websocket connection "
                f"that was opened for {carried!r} and keeps it: open a connection for each "
                "workspace",
                stacklevel=2,
            )
        return function(self, **kwargs)

    return open_task


#: The connections that were warned of.
_warned: Memory[bool] = Memory()


@method
def task(function: Any) -> Any:
    """``run_task`` of a websocket's task, which tells of a refusal."""

    def run_task(self: Any, *args: Any, **kwargs: Any) -> Any:
        sent = sents.of(getattr(self, "_conn", self)) or ("", None, None, None)
        sent = (*sent[:3], kwargs.get("model") or sent[3])
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
        kept, region = (self._headers, self._url), _regions.of(self)
        native = workspace_in_headers(self._headers)
        told = objects.of(self)
        sent: Sent = self._url, native, "named" if told and told.workspace else None, self
        decision = decide(self._url, native, region, pointed=region is None, call=told)
        if decision is not None:
            self._url, workspace, source = decision
            sent = self._url, workspace, source, self
            if workspace != native:
                others = without_workspace(self._headers)
                self._headers = {**others, HEADER: workspace} if workspace else others
        try:
            result = function(self)
        except Exception as error:
            look(error, sent)
            raise
        finally:
            self._headers, self._url = kept
        sents.keep(self, sent)
        return result

    return connect


@method
def start_message(function: Any) -> Any:
    """``TingWuRealtime.__enter__``, which sends a message that may name the workspace: what the
    shim has put into the handshake."""

    def __enter__(self: Any) -> Any:
        kept, told, outer = self._start_input, objects.of(self), call_here()
        if told is not None:
            current.set(told)
        try:
            if self._connection is None:
                _, sent = _handshake(self._session_kwargs)
            else:
                sent = sents.of(self._connection) or ("", None, None, None)
            if sent[1] is not None and sent[2] not in (None, "named"):
                self._start_input = {**kept, "workspace_id": sent[1]}
            return function(self)
        finally:
            self._start_input = kept
            current.set(outer)

    return __enter__


# agentstudio


class _Studio(NamedTuple):
    """What is kept of a transport of agentstudio, which names the workspace in its host alone."""

    call: Call
    #: What the SDK has found in its own sources.
    found: str | None
    #: Whether the SDK has built its URL, from the workspace that was told, found or supplied.
    built: bool
    #: Whether the shim has supplied that workspace.
    supplied: bool = False
    #: Whether it is mounted on a 2.x client, in whichever scope first asked for it.
    mounted: bool = False


_studios: Memory[_Studio] = Memory()


@method
def studio(function: Any) -> Any:
    """The constructor of agentstudio's ``Client`` and ``AsyncClient``."""
    parameters = Parameters(function)

    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        told = parameters.told((self, *args), kwargs)
        function(self, *args, **kwargs)
        found = None if told.workspace else self.transport.workspace
        built = not kwargs.get("base_url") and _studio_url_of_environment() is None
        if built and told.workspace:
            told = told._replace(by_url=True)  # it stands in the host, and nowhere else
        supplied = built and not told.workspace and not found
        told = told._replace(born=scope_here() or told.born)
        _studios.keep(self.transport, _Studio(told, found, built, supplied))

    return __init__


def _studio_of(transport: Any) -> _Studio:
    """What is kept of ``transport``, or what one that is older than the shim shows."""
    kept = _studios.of(transport)
    if kept is not None:
        return kept
    label, found = workspace_in_host(transport.base_url), transport.workspace
    built = label is not None and label == found
    by_sdk = built and found == os.environ.get("DASHSCOPE_WORKSPACE")
    if label and not by_sdk and transport.base_url != _studio_url_of_environment():
        return _Studio(Call(label, by_url=True), None, built)
    return _Studio(NO_CALL, found, built)


def _studio_url_of_environment() -> str | None:
    return os.environ.get("DASHSCOPE_AGENTSTUDIO_URL") or os.environ.get("AGENTSTUDIO_URL")


def mount(original: Any) -> Any:
    """The property ``Client.agentstudio``, which builds a client from the client's findings."""

    @functools.wraps(original.fget)
    def mounted(self: Any) -> Any:
        if self._agentstudio is not None:
            return original.fget(self)
        told, config, _ = _client_of(self)
        outer = call_here()
        current.set(told)
        try:
            made = original.fget(self)
        finally:
            current.set(outer)
        kept = _studio_of(made.transport)
        found = None if told.workspace else config.workspace
        supplied = kept.built and not told.workspace and not found
        if kept.built and told.workspace:
            told = told._replace(by_url=True)
        _studios.keep(made.transport, _Studio(told, found, kept.built, supplied, mounted=True))
        return made

    return property(mounted, original.fset, original.fdel, original.__doc__)


@method
def studio_url(function: Any) -> Any:
    """agentstudio's ``_resolve_base_url``, which refuses to do without a workspace."""

    def _resolve_base_url(explicit_url: Any, workspace: Any, region: Any = None) -> Any:
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


def _studio_prepared(transport: Any, path: str, kwargs: dict[str, Any]) -> tuple[str, Sent]:
    url, extra = transport._absolute_url(path), kwargs.get("extra_headers")
    named = workspace_in_headers(extra)
    elsewhere = urlsplit(url).netloc != urlsplit(transport.base_url).netloc
    kept, here = _studio_of(transport), call_here()
    if elsewhere or named or (kept.call.workspace and workspace_in_host(url)):
        return path, (url, named, "named", kwargs.get("json"))
    told = kept.call._replace(born=here.born) if here.born else kept.call
    decision = decide(url, kept.found, pointed=not kept.built, call=told)
    if decision is None or decision[1] is None:
        scope = scope_here() or told.born
        if kept.supplied and (scope is None or kept.mounted):
            # Mounted for another tenant, or in an environment that has changed: the SDK says what
            # it would have said to the constructor.
            sdk("dashscope.agentstudio.client")._resolve_base_url(None, None)
        return path, (url, None, None, kwargs.get("json"))
    target, workspace, source = decision
    extra = {**without_workspace(extra or {}), HEADER: workspace}
    if target != url:
        path = target
        # It names the host, and so the workspace, that the client was built for.
        agent = with_host_workspace(transport.base_url, workspace or "").join(
            transport.user_agent.rsplit(transport.base_url, 1)
        )
        extra = {"User-Agent": agent, **extra}
    kwargs["extra_headers"] = extra
    return path, (target, workspace, source, kwargs.get("json"))


unseen(globals(), __name__)
