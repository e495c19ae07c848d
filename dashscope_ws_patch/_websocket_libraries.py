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
    with_workspace,
    without_workspace,
)
from ._hosts import is_unnamed
from ._lacking import Lacking, adapter, lacking, may_move, settled
from ._workspace import WorkspaceError
from .hint.libraries import refused

# websocket-client


@lacking("websocket")
def _of_websocket(host: str, header: Any) -> Lacking:
    if header.__class__ in (SettledHeaders, SettledLines) or not is_unnamed(host):
        return None
    if not isinstance(header, dict):
        header = dict(line.partition(":")[::2] for line in header or ())
    return settled(host, header.items())


def websocket_client(original: Any) -> Any:
    """``handshake`` of websocket-client, as ``WebSocket.connect`` sees it, for each hop."""
    code = original.__code__
    position = code.co_varnames[: code.co_argcount].index("hostname")

    @functools.wraps(original, updated=())
    def handshake(*args: Any, **options: Any) -> Any:
        host, header = args[position], options.get("header")
        moved = getattr(header, "moved", None)
        found = moved if moved and moved[0] == host else _of_websocket(host, header)
        if found is not None and found[1] is not None:
            options["header"] = with_workspace([] if header is None else header, found[1])
        try:
            return original(*args, **options)
        except Exception as error:
            refused(error, f"wss://{host}{args[position + 2]}", options.get("header") or ())
            raise

    return handshake


class _MovedHeaders(dict):  # type: ignore[type-arg]
    moved: Any = None


class _MovedLines(list):  # type: ignore[type-arg]
    moved: Any = None


@adapter("url")
def websocket_connect(original: Any) -> Any:
    """``WebSocket.connect`` of websocket-client, for the first hop: moved to the workspace's own
    host, with what the handshake there lacks."""

    def connect(self: Any, url: Any, **options: Any) -> Any:
        header = options.get("header")
        authority = url.split("/", 3)[2] if url.count("/") > 2 else ""
        host = authority.partition(":")[0]
        found = _of_websocket(host, header) if may_move() else None
        if found is not None and found[0] != host:
            url = url.replace(authority, found[0] + authority[len(host) :], 1)
            marked = _MovedHeaders if isinstance(header, dict) else _MovedLines
            options["header"] = marked(header or ())
            options["header"].moved = found
        return original(self, url, **options)

    return connect


# websockets


@lacking("websockets")
def _of_websockets(host: str, headers: Any) -> Lacking:
    return settled(host, headers.raw_items()) if is_unnamed(host) else None


def _fill(headers: Any, workspace: str) -> Any:
    """A copy of what websockets keeps headers in, with the header."""
    pairs = without_workspace(list(headers.raw_items()))
    return type(headers)([*pairs, (HEADER, workspace)])


@contextmanager
def _handshake(connection: Any, given: Any) -> Iterator[Any]:
    """The headers with which a connection shakes hands; the program does not see what is added."""
    protocol = connection.protocol
    uri = getattr(protocol, "uri", None) or protocol.wsuri  # older releases
    workspace = None
    if _lacking.active and is_unnamed(uri.host):
        # What was given may be an iterator, which is there but once.
        given = sys.modules["websockets.datastructures"].Headers(given or ())
        found = _of_websockets(uri.host, given)
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
        found = _of_websockets(headers.get_all("Host")[0], headers)
        if found is None or found[1] is None:
            return original(self, path, headers)
        result = original(self, path, _fill(headers, found[1]))
        self.request_headers = headers
        return result

    return write_http_request
