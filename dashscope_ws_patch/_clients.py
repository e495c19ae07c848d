"""The adapters of the 2.x clients and of agentstudio, which settle on a workspace when built.

A client that was not told a workspace keeps the SDK's own findings and asks again at each call: its
configuration answers with the workspace, and the hosts, that hold there and then.
"""

from __future__ import annotations

import functools
import os
import sys
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import wrapt

from . import _workspace
from ._adapters import method, on_behalf
from ._decision import (
    DOMAIN,
    HEADER,
    NO_CALL,
    Call,
    Memory,
    ambient,
    argument,
    current,
    during,
    is_known,
    opened,
    recall,
    remember,
    require_host_label,
    scope_in_effect,
    with_argument,
    with_host_workspace,
    workspace_in_headers,
    workspace_in_host,
)

_CONFIG = "dashscope.v2._config"

#: The configuration of each transport whose client was not told a workspace.
_configs: Memory[Any] = Memory()

#: The connection pools that such clients have made: one of the calling code's own has defaults, and
#: a base URL, of its own.
_pools: Memory[bool] = Memory()


class _Handshake(NamedTuple):
    """What a websocket connection was opened with, and whether the calling code named it."""

    workspace: str | None
    named: bool


_handshakes: Memory[_Handshake] = Memory()
#: The connections that were warned of.
_warned: Memory[bool] = Memory()

#: The transports of agentstudio whose workspace the SDK did not find, but the shim; True where they
#: are mounted on a 2.x client, in whichever scope first asked for it.
_supplied: Memory[bool] = Memory()

#: The region of each session at a default endpoint.
_regions: Memory[str] = Memory()


# 2.x: clients and their configuration


@method
def client(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """The constructor of ``Client`` and ``AsyncClient``."""
    call = _building(wrapped, instance, args, kwargs)
    with during(call):
        wrapped(*args, **kwargs)
        _settle(instance, call)


def _building(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call:
    """What a client built here is told: by the calling code, or by the SDK that builds it."""
    outer = current.get()
    if outer.building:
        return outer
    told = opened(wrapped, instance, args, kwargs)
    return told._replace(born=_workspace.scope.get(), building=True)


def _settle(client: Any, call: Call) -> None:
    """Keep what ``client`` was told; where it was told no workspace, let its configuration answer
    for here and now."""
    config = client._config
    remember(client, call._replace(default=config.__dict__["workspace"]))
    if not call.workspace:
        plain: Any = type(config)
        object.__setattr__(config, "__class__", _ambient(plain))
        object.__setattr__(config, "born", call.born)
        _configs.keep(client._transport, config)
        if client._transport._owns_client:
            _pools.keep(client._transport.http_client, True)


@method
def resource(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """A method of a client or of one of its resources; the client may be older than the shim."""
    client = getattr(instance, "_client", instance)
    if hasattr(client, "_config") and hasattr(client, "_transport") and not is_known(client):
        found = client._config.workspace
        asked = sys.modules[_CONFIG].settings.workspace  # settings, else the environment
        told = NO_CALL if found in (None, asked) else Call(found, "argument")
        _settle(client, told._replace(building=True))
    return on_behalf(wrapped, instance, args, kwargs)


@method
def with_options(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """``with_options``, which passes on what the client has found as if it had been told."""
    call = opened(wrapped, instance, args, kwargs)
    with during(call._replace(born=_workspace.scope.get() or call.born, building=True)):
        return wrapped(*args, **kwargs)


def mount(original: Any) -> Any:
    """The property ``Client.agentstudio``, which builds a client from the client's findings."""

    @functools.wraps(original.fget)
    def mounted(self: Any) -> Any:
        with during(recall(self)._replace(building=True)):
            return original.fget(self)

    return property(mounted, original.fset, original.fdel, original.__doc__)


def shared(original: Any) -> Any:
    """``_get_client`` of ``dashscope.chat``: one client for all, not of its first user's scope."""

    @functools.wraps(original)
    def _get_client() -> Any:
        with during(NO_CALL._replace(building=True), None):
            return original()

    return _get_client


def _scope(config: Any) -> _workspace.Scope | None:
    return scope_in_effect() or config.born


def _native(config: Any) -> bool:
    call = current.get()
    return bool(call.workspace) or call.building


def _get_workspace(config: Any) -> str | None:
    found: str | None = config.__dict__["workspace"]
    if _native(config):
        return found
    scope = _scope(config)
    if scope is not None:
        return scope.workspace
    if not found and workspace_in_host(config.__dict__["configured_base_url"]):
        return None  # as the program has pointed it
    return _workspace.settled(found) or _workspace.environment()[0]


def _get_url(config: Any, name: str) -> str | None:
    url: str | None = config.__dict__[name]
    if url is None or _native(config):
        return url
    workspace, scope = _get_workspace(config), _scope(config)
    if config.__dict__["configured_base_url"] is None:
        if workspace == config.__dict__["workspace"]:
            return url
        return _default_gateway(url, workspace, config.region)
    if scope is not None and workspace is not None and workspace_in_host(url):
        return with_host_workspace(url, workspace)
    return url


def _default_gateway(url: str, workspace: str | None, region: str) -> str:
    """``url`` of a default endpoint, moved to where the SDK would have put it for ``workspace``."""
    if workspace is None:
        host = urlsplit(sys.modules[_CONFIG].LEGACY_GATEWAY_HOSTS[region]).netloc
    else:
        require_host_label(workspace)
        host = f"{workspace}.{region}{DOMAIN}"
    return urlsplit(url)._replace(netloc=host).geturl()


@functools.cache
def _ambient(plain: Any) -> Any:
    """The class of configurations that answer for here and now; an instance equals a plain one."""

    def answering(name: str, getter: Any) -> property:
        # dataclasses' __init__ and replace() set fields; a property without a setter forbids that.
        return property(getter, lambda config, value: config.__dict__.__setitem__(name, value))

    def plainly(config: Any, protocol: Any) -> Any:
        fields = {name: config.__dict__[name] for name in plain.__dataclass_fields__}
        return functools.partial(plain, **fields), ()

    names = ("base_url", "protocol_base_url", "configured_base_url")
    urls = {name: answering(name, functools.partial(_get_url, name=name)) for name in names}
    return type(
        plain.__name__,
        (plain,),
        {
            "__module__": plain.__module__,
            "__doc__": plain.__doc__,
            "__reduce_ex__": plainly,
            "born": None,
            "workspace": answering("workspace", _get_workspace),
            **urls,
        },
    )


@method
def no_nudge(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """``_legacy_fallback``, which warns that no workspace is known: not where one is."""
    try:
        known = ambient()[0]
    except _workspace.WorkspaceError:  # raised again by the first request
        known = None
    return argument(wrapped, args, kwargs, "host") if known else wrapped(*args, **kwargs)


@method
def transport(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """A transport's ``request`` or ``open_stream``: the client's defaults, as of here and now."""
    config = _configs.of(instance)
    if (
        config is None
        or current.get().workspace
        or argument(wrapped, args, kwargs, "workspace")
        or workspace_in_headers(argument(wrapped, args, kwargs, "headers"))
    ):
        return wrapped(*args, **kwargs)
    if _scope(config) is None and workspace_in_host(config.__dict__["configured_base_url"]):
        return wrapped(*args, **kwargs)  # as the program has pointed it
    workspace, base_url, pool = config.workspace, config.base_url, instance.http_client
    if (
        argument(wrapped, args, kwargs, "base_url") is None
        and "://" not in argument(wrapped, args, kwargs, "path")
        and _pools.of(pool)
        and pool.base_url != type(pool.base_url)(base_url.rstrip("/") + "/")
    ):
        args, kwargs = with_argument(wrapped, args, kwargs, "base_url", base_url)
    sent = workspace_in_headers(pool.headers)
    if workspace is None and sent is not None:
        return wrapped.__func__(_Unnamed(instance), *args, **kwargs)
    if workspace != sent:
        args, kwargs = with_argument(wrapped, args, kwargs, "workspace", workspace)
    return wrapped(*args, **kwargs)


class _Unnamed(wrapt.ObjectProxy):  # type: ignore[misc]
    """A transport without the workspace header that its connection pool has by default."""

    @property
    def _client(self) -> Any:
        return _UnnamedPool(self.__wrapped__._client)


class _UnnamedPool(wrapt.ObjectProxy):  # type: ignore[misc]
    # httpx adds a client's default headers to each request, and has no way to leave one out.
    def build_request(self, *args: Any, **kwargs: Any) -> Any:
        request = self.__wrapped__.build_request(*args, **kwargs)
        del request.headers[HEADER]
        return request

    def request(self, *args: Any, **kwargs: Any) -> Any:
        return self.__wrapped__.send(self.build_request(*args, **kwargs))


# 2.x: websockets


def _handshake(url: str | None, native: str | None) -> tuple[str | None, str | None]:
    """The configured URL (None: a default endpoint) and the workspace of a handshake, from what the
    SDK has found."""
    call, scope, label = current.get(), scope_in_effect(), workspace_in_host(url)
    if call.workspace and label == call.workspace:
        return url, native
    if call.workspace:
        return url, call.workspace if call.by_url else native or call.workspace
    if scope is not None:
        if scope.workspace is not None and label:
            url = with_host_workspace(url or "", scope.workspace)
        return url, scope.workspace
    if label:
        return url, native  # as the program has pointed it
    return url, _workspace.settled(native) or ambient()[0]


@method
def socket(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """The constructor of ``WsSession`` or ``WsConnection``, which connects."""
    call = current.get()
    if call is NO_CALL:  # the calling code builds it, not a client
        call = opened(wrapped, instance, args, kwargs)
    carried = workspace_in_headers(kwargs.get("headers"))
    with during(call):
        if not carried:
            configured = kwargs.get("url") or sys.modules[_CONFIG].settings.websocket_base_url
            url, carried = _handshake(configured, kwargs.get("workspace"))
            if carried is not None and url is None:
                require_host_label(carried)
            kwargs = {**kwargs, "url": url, "workspace": carried}
        wrapped(*args, **kwargs)
    _handshakes.keep(instance, _Handshake(carried, named=bool(call.workspace)))


@method
def open_task(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """``WsConnection.open_task``: warns, once, where the scope is not that of the handshake."""
    scope = _workspace.scope.get()
    carried = (_handshakes.of(instance) or _Handshake(None, named=False)).workspace
    if scope is not None and scope.workspace != carried and not _warned.of(instance):
        _warned.keep(instance, True)
        _workspace.warn(
            f"a task is opened for the workspace {scope.workspace!r} on a websocket connection "
            f"that was opened for {carried!r} and keeps it: open a connection for each workspace"
        )
    return wrapped(*args, **kwargs)


@method
def session(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """The constructor of a session that connects later: it keeps what the SDK has found."""
    opening = opened(wrapped, instance, args, kwargs)
    with during(opening._replace(building=True)):
        wrapped(*args, **kwargs)
    remember(instance, opening)
    if not argument(wrapped, args, kwargs, "ws_url"):
        _regions.keep(instance, argument(wrapped, args, kwargs, "client").config.region)


@method
def connect(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """``RealtimeSession.connect``: what the constructor has settled on, as of here and now."""
    kept = instance._headers, instance._url
    with during(opened(wrapped, instance, args, kwargs)):
        native = workspace_in_headers(instance._headers)
        region = _regions.of(instance)
        url, workspace = _handshake(None if region else instance._url, native)
        if workspace != native:
            others = {k: v for k, v in instance._headers.items() if k.lower() != HEADER.lower()}
            instance._headers = {**others, HEADER: workspace} if workspace else others
        if url is not None:
            instance._url = url
        elif region and workspace != native:
            instance._url = _default_gateway(instance._url, workspace, region)
        elif region and workspace:
            require_host_label(workspace)
        try:
            return wrapped(*args, **kwargs)
        finally:
            instance._headers, instance._url = kept


@method
def start_message(wrapped: Any, instance: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """``TingWuRealtime.__enter__``, which sends a message that may name the workspace."""
    kept = instance._start_input
    with during(opened(wrapped, instance, args, kwargs)):
        workspace = _message_workspace(instance)
        if workspace is not None:
            instance._start_input = {**kept, "workspace_id": workspace}
        try:
            return wrapped(*args, **kwargs)
        finally:
            instance._start_input = kept


def _message_workspace(instance: Any) -> str | None:
    """What the shim puts into the start message: what it has put into the handshake."""
    if instance._connection is not None:
        opened_with = _handshakes.of(instance._connection)
        return None if opened_with is None or opened_with.named else opened_with.workspace
    if current.get().workspace:
        return None
    kept = instance._session_kwargs
    configured = kept["url"] or sys.modules[_CONFIG].settings.websocket_base_url
    if scope_in_effect() is None and workspace_in_host(configured):
        return None  # as the program has pointed it
    return _handshake(configured, kept["workspace"])[1]


# agentstudio


@method
def studio(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """The constructor of agentstudio's ``Client`` and ``AsyncClient``."""
    mounted = current.get().building
    call = _building(wrapped, instance, args, kwargs)
    with during(call):
        wrapped(*args, **kwargs)
    kept = call._replace(default=instance.transport.workspace or call.default)
    remember(instance, kept)
    remember(instance.transport, kept)
    given = kept.workspace or kept.default or argument(wrapped, args, kwargs, "base_url")
    if not given and _studio_url_of_environment() is None:
        _supplied.keep(instance.transport, mounted)


def _studio_url_of_environment() -> str | None:
    return os.environ.get("DASHSCOPE_AGENTSTUDIO_URL") or os.environ.get("AGENTSTUDIO_URL")


def studio_url(original: Any) -> Any:
    """agentstudio's ``_resolve_base_url``, which refuses to do without a workspace."""

    @functools.wraps(original)
    def _resolve_base_url(explicit_url: Any, workspace: Any, region: Any = None) -> Any:
        workspace = _workspace.settled(workspace)
        if not explicit_url and not workspace:
            workspace = ambient()[0]
        return original(explicit_url, workspace, region)

    return _resolve_base_url


@method
def studio_transport(wrapped: Any, instance: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """agentstudio's ``request``, which natively names the workspace in its host alone."""
    path = argument(wrapped, args, kwargs, "path")
    url = instance._absolute_url(path)
    extra = argument(wrapped, args, kwargs, "extra_headers")
    elsewhere = urlsplit(url).netloc != urlsplit(instance.base_url).netloc
    if elsewhere or workspace_in_headers(extra) is not None:
        return wrapped(*args, **kwargs)
    with during(opened(wrapped, instance, (), {})):
        label, call, scope = workspace_in_host(url), current.get(), scope_in_effect()
        supplied = _supplied.of(instance)
        if call.workspace:
            workspace = None if label else call.workspace
        elif supplied is not None and (scope is None or supplied):
            # Mounted for another tenant, or in an environment that has changed. Without a workspace
            # now, the SDK says what it would have said to the constructor.
            workspace = ambient()[0]
            sys.modules["dashscope.agentstudio.client"]._resolve_base_url(None, workspace)
        elif scope is None and label not in (None, _workspace.settled(instance.workspace)):
            workspace = None  # as the program has pointed it
        else:
            workspace = ambient()[0]
        if workspace is not None:
            if label:
                target = with_host_workspace(url, workspace)
                args, kwargs = with_argument(wrapped, args, kwargs, "path", target)
                # It names the host, and so the workspace, that the client was built for.
                agent = with_host_workspace(instance.base_url, workspace).join(
                    instance.user_agent.rsplit(instance.base_url, 1)
                )
                extra = {"User-Agent": agent, **(extra or {})}
            headers = {**(extra or {}), HEADER: workspace}
            args, kwargs = with_argument(wrapped, args, kwargs, "extra_headers", headers)
    return wrapped(*args, **kwargs)
