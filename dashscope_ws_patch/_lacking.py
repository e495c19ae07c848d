"""What a request of another library lacks, and how an adapter of such a library is made.

Each library is patched at the lowest place of its own that still knows the host: every attempt and
every hop of a redirect passes there by itself, after all that may name a workspace (session,
client, middleware, hook, authentication, transport, adapter). The header goes into what the library
writes, never into what the program holds, so that nothing made from an answer has it to lose, and
``unpatch`` leaves nothing behind.

Nothing here needs wrapt: a program that never imports the SDK does without it.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from types import FunctionType
from typing import Any, Callable, Optional

from . import _workspace
from ._decision import HEADER, Settled, may_move, settle, text
from ._workspace import WorkspaceError

_NAME, _LENGTH = HEADER.lower(), len(HEADER)

#: Whether the rows are applied. Another patcher that has wrapped one of our functions, or has saved
#: it to put it back, keeps it in use after ``unpatch``: then it does nothing.
active = False

#: Why a library is left alone, if its insides turned out not to fit while it sent.
misfits: dict[str, str] = {}


def adapter(*expected: str) -> Callable[[Callable[[Any], Any]], Callable[[Any], Any]]:
    """Makes an adapter from a function that is given the original, to call as ``original(self)``.

    ``expected`` are the parameters that the original must begin with, after ``self``: a release
    that has others is left alone.
    """

    def adapter_of(make: Callable[[Any], Any]) -> Callable[[Any], Any]:
        @functools.wraps(make)
        def adapter(original: Any) -> Any:
            first = parameters(original)[1 : len(expected) + 1]
            if first != expected:
                raise LookupError(f"it takes {', '.join(first)}, not {', '.join(expected)}")
            called = original
            if hasattr(type(original), "__get__") and not isinstance(original, FunctionType):

                def called(self: Any, *args: Any, **kwargs: Any) -> Any:  # another patcher's object
                    return original.__get__(self, type(self))(*args, **kwargs)

            made = make(called)
            # Attributes stay behind: by them other patchers know what they may take off.
            return original if made is called else functools.wraps(original, updated=())(made)

        return adapter

    return adapter_of


def parameters(function: Any) -> tuple[str, ...]:
    while hasattr(function, "__wrapped__"):  # by another patcher
        function = function.__wrapped__
    code = function.__code__
    names: tuple[str, ...] = code.co_varnames[: code.co_argcount]
    return names


#: What is to be sent: the host that the request goes to, the workspace that it lacks, what it names
#: then, and whether it has the header, blank, already. None where it goes as it is.
Lacking = Optional[tuple[str, Optional[str], Any, bool]]


def lacking(library: str) -> Callable[[Callable[..., Lacking]], Callable[..., Lacking]]:
    """Guards a function that looks into a request: where the insides of ``library`` do not fit, the
    request goes as natively, and the user is told once."""

    def guard(look: Callable[..., Lacking]) -> Callable[..., Lacking]:
        def guarded(*request: Any) -> Lacking:
            if not active:
                return None
            try:
                return look(*request)
            except WorkspaceError:
                raise
            except Exception as error:
                if library not in misfits:
                    misfits[library] = f"{type(error).__name__}: {error}"
                    _workspace.warn(
                        f"the insides of this release of {library} do not fit "
                        f"({misfits[library]}): what it sends goes without the workspace"
                    )
                return None

        return guarded

    return guard


def settled(host: str, headers: Iterable[Any], named_above: bool = False) -> Lacking:
    """What a request to ``host``, which is the service's, lacks; ``headers`` are pairs.

    ``named_above`` is whether its session names a workspace: then it goes as natively.
    """
    named, present = None, False
    for name, value in headers:
        if len(name) == _LENGTH and text(name).lower() == _NAME:
            if value.__class__ is Settled:  # by the SDK's layer, or for the hop before
                return None
            present = True
            named = named or (text(value).strip() if value else None)
    if named_above and not named:
        return None
    # Where no host moves, a URL tells nothing.
    url = f"https://{host}" if named or may_move() else None
    url, _, workspace, source = settle(url, {HEADER: named} if named else None)
    return (url[8:] if url else host), None if named else workspace, (workspace, source), present


def pairs(*mappings: Any) -> list[Any]:
    """The headers of ``mappings`` that may be the workspace's: few have a name as long."""
    found: list[Any] = []
    for headers in mappings:
        store = None if headers.__class__ is dict else getattr(headers, "_store", None)
        if isinstance(store, dict):  # of requests, by the names in lower case
            headers = dict(store.values()) if _NAME in store else None
        for name in headers or ():
            if len(name) == _LENGTH:
                found.append((name, headers[name]))
    return found


def elsewhere(url: str, headers: Any, look: Callable[[str, Any], Lacking]) -> tuple[str, Lacking]:
    """``url`` on the workspace's own host, where that was asked for, and what a request there
    lacks; else ``url``, and None. ``look`` tells what a request to an authority lacks."""
    parts = url.split("/", 3)
    if len(parts) > 2 and may_move():
        found = look(parts[2], headers)
        if found is not None and found[0] != parts[2]:
            return with_authority(url, found[0]), found
    return url, None


def with_authority(url: str, authority: str) -> str:
    scheme, empty, _, *path = url.split("/", 3)
    return "/".join((scheme, empty, authority, *path))


def without_host(location: str, host: str) -> str:
    """The Location of an answer, for a program that does not know that its request was moved to
    ``host``. One that leads to that host is given without it, and the program resolves it against
    the URL that it has asked for."""
    parts = location.split("/", 3)
    if len(parts) > 2 and parts[2].partition(":")[0] == host.partition(":")[0]:
        return "/" + "".join(parts[3:])
    return location
