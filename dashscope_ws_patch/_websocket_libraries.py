"""The adapters of websocket-client and websockets."""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from socket import SHUT_RDWR
from typing import Any

from . import _lacking
from ._decision import (
    HEADER,
    SettledHeaders,
    SettledLines,
    may_move,
    with_workspace,
    without_workspace,
)
from ._hosts import is_unnamed, workspace_in_host
from ._lacking import Lacking, adapter, elsewhere, lacking, parameters, settled
from ._workspace import WorkspaceError
from .hint.libraries import refused

# The workspace's own host is chosen before a connection is made, from the URL and the headers that
# the program gives. What the handshake then lacks is marked on the headers.


class _MovedHeaders(dict):  # type: ignore[type-arg]
    lacking: Any = None


class _MovedLines(list):  # type: ignore[type-arg]
    lacking: Any = None


def _moved(url: Any, headers: Any, look: Any) -> Any:
    """The URL and headers with which to connect; ``look`` tells what a handshake lacks."""
    url, found = (url, None) if hasattr(headers, "lacking") else elsewhere(url, headers, look)
    if found is not None:
        headers = (_MovedHeaders if isinstance(headers, dict) else _MovedLines)(headers or ())
        headers.lacking = found
    return url, headers


def _lacking_there(host: str, headers: Any) -> Lacking:
    """What a handshake with ``host`` lacks, if that is where it was moved."""
    found: Lacking = getattr(headers, "lacking", None)
    return found if found and workspace_in_host(f"//{host}") == found[2][0] else None


# websocket-client


@lacking("websocket")
def _of_websocket(host: str, header: Any) -> Lacking:
    if header.__class__ in (SettledHeaders, SettledLines) or not is_unnamed(host):
        return None
    if isinstance(header, dict):
        return settled(host, header.items())
    return settled(host, [line.partition(":")[::2] for line in header or ()])


def websocket_client(original: Any) -> Any:
    """``handshake`` of websocket-client, as ``WebSocket.connect`` sees it, for each hop."""
    code = original.__code__
    position = code.co_varnames[: code.co_argcount].index("hostname")

    @functools.wraps(original, updated=())
    def handshake(*args: Any, **options: Any) -> Any:
        host, header = args[position], options.get("header")
        found = _lacking_there(host, header) or _of_websocket(host, header)
        if found is not None and found[1] is not None:
            options["header"] = with_workspace([] if header is None else header, found[1])
        try:
            return original(*args, **options)
        except Exception as error:
            refused(error, f"wss://{host}{args[position + 2]}", options.get("header") or ())
            raise

    return handshake


@adapter("url")
def websocket_connect(original: Any) -> Any:
    """``WebSocket.connect`` of websocket-client, for the first hop."""

    def connect(self: Any, url: Any, **options: Any) -> Any:
        if options.get("socket") is None:  # else the program is connected already
            url, header = _moved(url, options.get("header"), _of_websocket)
            if header is not None:
                options["header"] = header
        return original(self, url, **options)

    return connect


# websockets


@lacking("websockets")
def _of_websockets(host: str, headers: Any) -> Lacking:
    return settled(host, _headers(headers).raw_items()) if is_unnamed(host) else None


def _headers(given: Any) -> Any:
    """What websockets keeps headers in, of any that it takes."""
    if hasattr(given, "raw_items"):
        return given
    module = sys.modules.get("websockets.datastructures") or sys.modules["websockets.http"]
    return module.Headers(given or ())


def _fill(headers: Any, workspace: str) -> Any:
    """A copy of what websockets keeps headers in, with the header."""
    pairs = without_workspace(list(headers.raw_items()))
    return type(headers)([*pairs, (HEADER, workspace)])


def websockets_connect(original: Any) -> Any:
    """The constructor of ``connect`` or, for threads before websockets 17, the function of that
    name. It is given the URL, and moves it to the host of the workspace that is ambient then."""
    position = parameters(original).index("uri")
    legacy = "extra_headers" in original.__code__.co_varnames
    key = "extra_headers" if legacy else "additional_headers"

    @functools.wraps(original, updated=())
    def connect(*args: Any, **options: Any) -> Any:
        if may_move() and options.get("sock") is None:
            given: Any = options.get(key)
            if hasattr(given, "__next__"):  # there but once
                given = list(given)
            if len(args) > position:
                options["uri"] = args[position]
            options["uri"], options[key] = _moved(options["uri"], given, _of_websockets)
            args = args[:position]
        return original(*args, **options)

    return connect


@contextmanager
def _handshake(connection: Any, given: Any) -> Iterator[Any]:
    """The headers with which a connection shakes hands; the program does not see what is added."""
    protocol = connection.protocol
    uri = getattr(protocol, "uri", None) or protocol.wsuri  # older releases
    found = _lacking_there(uri.host, given)
    if found is not None or (_lacking.active and is_unnamed(uri.host)):
        given = _headers(given)  # what was given may be an iterator, which is there but once
        found = found or _of_websockets(uri.host, given)
    workspace = found and found[1]
    try:
        yield _fill(given, workspace) if workspace else given
    except Exception as error:
        refused(error, f"wss://{uri.host}{uri.resource_name}", given or ())
        raise
    finally:
        sent = getattr(connection, "request", None)
        if workspace and sent is not None and HEADER in sent.headers:
            del sent.headers[HEADER]


@adapter("additional_headers")
def websockets(original: Any) -> Any:
    """``ClientConnection.handshake`` of websockets: one for each hop. What is raised in the
    protocol below it would leave a connection behind that waits for its end."""

    async def handshake(self: Any, additional_headers: Any = None, *args: Any, **kw: Any) -> Any:
        with _handshake(self, additional_headers) as headers:
            return await original(self, headers, *args, **kw)

    return handshake


@adapter("additional_headers")
def websockets_sync(original: Any) -> Any:
    """The same in threads."""

    def handshake(self: Any, additional_headers: Any = None, *args: Any, **kw: Any) -> Any:
        try:
            with _handshake(self, additional_headers) as headers:
                return original(self, headers, *args, **kw)
        except WorkspaceError:
            # The thread that waits for an answer is waited for, and would not see that a TLS socket
            # is closed under it.
            with suppress(OSError):
                self.socket.shutdown(SHUT_RDWR)
            raise

    return handshake


@adapter("path", "headers")
def websockets_legacy(original: Any) -> Any:
    """``write_http_request`` of the legacy client, the only one before websockets 11."""

    def write_http_request(self: Any, path: Any, headers: Any) -> Any:
        # Of several, the first is what the URL says, and the others what the program does.
        host = headers.get_all("Host")[0]
        moved = _lacking_there(host.partition(":")[0], getattr(self, "extra_headers", None))
        found = moved or _of_websockets(host, headers)
        if found is None or found[1] is None:
            return original(self, path, headers)
        result = original(self, path, _fill(headers, found[1]))
        self.request_headers = headers
        return result

    return write_http_request
