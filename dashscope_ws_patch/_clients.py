"""The adapters of the 2.x clients, which settle on a workspace when built.

What they have found is marked as found and stays as it is; what a request says is settled when it
is sent.
"""

from __future__ import annotations

import functools
import gc
import inspect
import os
from typing import Any, Callable, NamedTuple

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
    InHost,
    ambient,
    copied,
    is_named,
    scope_here,
    sdk,
    settle,
    without_workspace,
    workspace_in_headers,
)
from ._hosts import workspace_in_host
from ._methods import Adapter, disguised, method
from ._senders import MISFIT, OF_CLIENT, SENT, misfit
from ._workspace import Scope
from .hint.watch import fine, look

#: Where a transport or a session keeps its ``Sender``.
KEPT = "_dashscope_ws_patch"


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
    #: Its connection pool, and whether that is the calling code's own, with defaults of its own.
    pool: Any = None
    own_pool: bool = False
    #: Whether it is agentstudio's, mounted on a 2.x client in whichever scope first asked for it.
    mounted: bool = False


@method
def client(function: Any) -> Any:
    """The constructor of ``Client`` and ``AsyncClient``: what nobody has named is marked as found,
    for all that the SDK makes of it."""
    _mark_older()

    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        workspace = kwargs.get("workspace")
        if isinstance(workspace, Found) and not workspace:
            kwargs["workspace"] = None  # with_options hands it on: it is looked for again
        function(self, *args, **kwargs)
        try:
            _mark(self, workspace, kwargs.get("base_url"), scope_here(), kwargs.get("http_client"))
        except MISFIT as error:
            misfit(function, error)
            if not is_named(workspace):  # what it has found goes along with all that it makes
                kwargs["workspace"] = Found(self.config.workspace, scope_here())
            function(self, *args, **kwargs)

    return __init__


def part_of(owner: Any, *names: str) -> Any:
    """The part of an object of the SDK that has attributes of these names; LookupError if it has no
    such part. What the part is called itself is a private matter of the SDK."""
    for part in vars(owner).values():
        if all(hasattr(part, name) for name in names):
            return part
    raise LookupError(f"no part of a {type(owner).__name__} has {' and '.join(names)}")


def transport_of(client: Any) -> Any:
    return part_of(client, "request", "open_stream")


def _pool_of(transport: Any) -> Any:
    return part_of(transport, "build_request", "send")


def _mark(client: Any, workspace: Any, url: Any, born: Scope | None, given: Any) -> None:
    """Mark what a client holds beside ``workspace``, ``url`` and the connection pool that it was
    ``given``."""
    config, transport = client.config, transport_of(client)
    pool = _pool_of(transport)
    # A derived client may share the pool that the SDK has made for another.
    agent = (getattr(pool, "headers", None) or {}).get("user-agent") or ""
    own_pool = given is pool and not str(agent).startswith("dashscope-v2-")
    put = functools.partial(object.__setattr__, config)  # it is frozen
    if is_named(workspace):
        born = None
    else:
        born = born or getattr(workspace, "born", None)
        named = _named_by_host(url) if is_named(url) else getattr(workspace, "named", None)
        named = (own_pool and _named_by_pool(pool)) or named
        if config.workspace or born or named:
            put("workspace", Found(config.workspace, born, named))
    region: str | None = None
    chosen: Chosen | None = BY_CALL
    if not is_named(url):
        configured = getattr(config, "configured_base_url", "")
        chosen = None  # its host tells
        if configured is None:
            region, chosen = config.region, BY_SDK
        elif configured:
            put("configured_base_url", Found(configured))
            chosen = BY_PROGRAM
    if chosen is not BY_CALL:
        put("base_url", Found(config.base_url, region=region))  # for uploads
    url = str(config.base_url)  # it may be an httpx.URL
    sender = Sender(config.workspace, url, chosen, region, born, pool, own_pool)
    vars(transport)[KEPT] = sender
    if given is not pool:  # for the edge, where no row fits the transport
        vars(pool)[OF_CLIENT] = sender[:4]


def _named_by_pool(pool: Any) -> str | None:
    named = workspace_in_headers(getattr(pool, "headers", None))
    return named or _named_by_host(getattr(pool, "base_url", None))


def _named_by_host(url: Any) -> str | None:
    label = workspace_in_host(url)
    return InHost(label) if label else None


def _mark_older() -> None:
    """Mark the clients that are older than the shim: what the SDK would find now was found, and
    what else they hold was told."""
    module = sdk("dashscope.v2.client")
    if getattr(module.__spec__, "_initializing", False):
        return  # its code has just run: there are none
    kind = module.Client, module.AsyncClient
    for older in gc.get_objects():
        if issubclass(type(older), kind) and KEPT not in vars(transport_of(older)):
            config, transport = older.config, transport_of(older)
            given = None if transport._owns_client else _pool_of(transport)
            workspace, url = config.workspace, config.configured_base_url
            if workspace == found_by_sdk("workspace", "DASHSCOPE_WORKSPACE"):
                workspace = None
            if url == found_by_sdk("base_url", "DASHSCOPE_BASE_URL", "DASHSCOPE_HTTP_BASE_URL"):
                url = None
            _mark(older, workspace, url, None, given)


def found_by_sdk(name: str, *variables: str) -> Any:
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

    def _legacy_fallback(host: str, *args: Any, **kwargs: Any) -> Any:
        try:
            known = ambient()[0]
        except _workspace.WorkspaceError:  # raised again by the first request
            known = None
        return host if known else function(host, *args, **kwargs)

    return _legacy_fallback


@method
def shared(function: Any) -> Any:
    """``_get_client`` of ``dashscope.chat``: one client for all, not of its first user's scope."""

    def _get_client(*args: Any, **kwargs: Any) -> Any:
        outer = scope_here()
        _workspace.scope.set(None)
        try:
            return function(*args, **kwargs)
        finally:
            _workspace.scope.set(outer)

    return _get_client


@method
def on_behalf(function: Any) -> Any:
    """A method of a resource that calls the 1.x surface: on behalf of its client."""

    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        workspace, told = part_of(self, "config").config.workspace, _decision.told
        named = workspace if is_named(workspace) else getattr(workspace, "named", None)
        holding = (told, named or told.get()), (_decision.born, getattr(workspace, "born", None))
        return _carry.in_scope(function, *holding)(self, *args, **kwargs)

    return call


def upload(original: Any) -> Any:
    """``check_and_upload_local``, as uploads of 2.x have imported it, with what their client holds:
    its certificate is asked for by the 1.x surface."""

    def check_and_upload_local(*args: Any, **kwargs: Any) -> Any:
        url, workspace = kwargs.get("base_address"), kwargs.get("workspace")
        if not isinstance(url, str) or is_named(workspace):
            return original(*args, **kwargs)
        kwargs["workspace"] = workspace or None
        region = getattr(url, "region", None)
        chosen = BY_SDK if region else BY_PROGRAM if isinstance(url, Found) else BY_CALL
        url, headers, settled, _ = settle(url, None, workspace, chosen, region)
        if headers is not None:
            # Not as found any more: the 1.x surface must not decide again.
            kwargs.update(base_address=url, workspace=settled and str(settled))
        return made_in(getattr(workspace, "born", None), original)(*args, **kwargs)

    # Pickled as the one in the SDK's own module, which stays.
    return disguised(original, check_and_upload_local)


# HTTP


def sending(prepare: Callable[..., Any]) -> Adapter:
    """The adapter of a transport's method that sends, from what prepares its arguments: that
    returns the transport and path to use, what is sent, and the scope that the transport is of."""

    @method
    def adapter(function: Any) -> Any:
        streams = function.__name__ == "open_stream"

        def request(self: Any, method: str, path: str, **kwargs: Any) -> Any:
            try:
                transport, path, sent, born = prepare(self, path, kwargs)
            except MISFIT as error:
                transport, sent, born = self, misfit(function, error), None
            try:
                return received(made_in(born, function)(transport, method, path, **kwargs), sent)
            except Exception as error:
                look(error, sent)
                raise

        async def arequest(self: Any, method: str, path: str, **kwargs: Any) -> Any:
            try:
                transport, path, sent, born = prepare(self, path, kwargs)
            except MISFIT as error:
                transport, sent, born = self, misfit(function, error), None
            try:
                return received(
                    await made_in(born, function)(transport, method, path, **kwargs), sent
                )
            except Exception as error:
                look(error, sent)
                raise

        def received(response: Any, sent: Any) -> Any:
            if streams:
                vars(response)[SENT] = sent  # for who reads it
            elif not fine(response):
                look(response, sent)
            return response

        return arequest if inspect.iscoroutinefunction(function) else request

    return adapter


def made_in(born: Scope | None, function: Any) -> Any:
    """``function`` on behalf of an object that was made in the scope ``born``: a library below the
    SDK may be asked for the workspace too."""
    return function if born is None else _carry.in_scope(function, (_decision.born, born))


def _prepared(transport: Any, path: str, kwargs: dict[str, Any]) -> Any:
    given, headers, base = kwargs.get("workspace"), kwargs.get("headers"), kwargs.get("base_url")
    # One that nobody has made a client of is what its pool shows.
    known = vars(transport).get(KEPT) or Sender(pool=_pool_of(transport), own_pool=True)
    workspace, url, chosen, region, born, pool, own_pool, _ = known
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
        name = next(name for name, part in vars(transport).items() if part is pool)
        transport = copied(transport, **{name: _UnnamedPool(pool)})
    elif space is not None and (own_pool or space != workspace or given is not None):
        kwargs["workspace"] = space
    return transport, path, sent, born


transport = sending(_prepared)


class _UnnamedPool(wrapt.ObjectProxy):  # type: ignore[misc]
    """A connection pool without the workspace header that it has by default: httpx adds a client's
    headers to each request, and has no way to leave one out."""

    def build_request(self, *args: Any, **kwargs: Any) -> Any:
        request = self.__wrapped__.build_request(*args, **kwargs)
        request.headers.pop(HEADER, None)
        return request

    def request(self, *args: Any, **kwargs: Any) -> Any:
        return self.__wrapped__.send(self.build_request(*args, **kwargs))


unseen(globals(), __name__)
