"""Applying the table of seams, and the rule of the edge: now, to what is imported, and later, to
what will be.

Nothing of the SDK, and no wrapt, is imported for that: the table and the adapters are loaded when
the first module of the SDK has run.
"""

from __future__ import annotations

import functools
import os
import sys
import threading
from collections.abc import Iterable, Iterator
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

from . import _hosts, _pools, _workspace
from ._imports import Finder
from ._workspace import OFF, ON

if TYPE_CHECKING:
    from ._seam import Seam

SDK = "dashscope"

#: Asks for the libraries by which programs send without the SDK.
CLIENTS = "DASHSCOPE_WS_PATCH_CLIENTS"
#: The modules of their rows, known before ``_libraries`` is loaded.
LIBRARIES = frozenset(
    {
        "requests.sessions", "requests.adapters", "requests.cookies", "urllib3.connectionpool",
        "httpx._models", "httpcore._sync.connection_pool", "httpcore._async.connection_pool",
        "httpcore._sync.http_proxy", "httpcore._async.http_proxy", "httpx2._models",
        "httpcore2._sync.connection_pool", "httpcore2._async.connection_pool",
        "httpcore2._sync.http_proxy", "httpcore2._async.http_proxy", "aiohttp.connector",
        "aiohttp.cookiejar", "aiohttp.client", "aiohttp.client_reqrep", "urllib.request",
        "websocket._core", "websockets.asyncio.client", "websockets.trio.client",
        "websockets.sync.client", "websockets.client", "websockets.legacy.client",
    }
)  # fmt: skip

APPLIED, ABSENT, WAITING, FAILED = "applied", "absent", "waiting", "failed"


class SeamError(RuntimeError):
    """A seam of this SDK release cannot be applied (raised with DASHSCOPE_WS_PATCH_STRICT=1)."""


#: The original of what a class itself does not have.
_INHERITED = object()


class _Patch(NamedTuple):
    owner: Any
    name: str
    original: Any
    replacement: Any


_lock = threading.RLock()
_patched = False
#: Whether pools follow scopes.
_follows = True
_patches: list[_Patch] = []
_states: dict[Seam, tuple[str, str]] = {}
_known = _workspace.modules
#: Those that are patched, by id, whatever name they go by.
_done: dict[int, ModuleType] = {}
#: ``_lacking``, once it is loaded: of this very copy of the package, whatever sys.modules says.
_lacking_module: Any = None
#: The SDK, once it is imported and its table was compared with it.
_is_complete: dict[str, ModuleType] = {}
#: What could not be applied, and was not told yet; what was.
_untold: list[str] = []
_told: set[str] = set()
_NONE: frozenset[str] = frozenset()
#: The modules of other libraries that are waited for.
_awaited_libraries = _NONE


def switched_off() -> bool:
    """Whether DASHSCOPE_WS_PATCH is 0, off, false or no (in any capitalisation)."""
    return os.environ.get("DASHSCOPE_WS_PATCH", "0x").strip().lower() in OFF[1:]


def asked_for_libraries() -> bool:
    """Whether DASHSCOPE_WS_PATCH_CLIENTS is 1, on, true or yes; warns of what it may not be."""
    value = os.environ.get(CLIENTS, "").strip()
    if value.lower() in ON:
        return True
    if value.lower() not in OFF:
        _workspace.warn(
            f"{CLIENTS} is {_workspace.masked(value)!r}, and taken for 0: it may be "
            f"{', '.join(ON)} (requests that do without the SDK carry the workspace too) or "
            f"{', '.join(OFF[1:])} (they do not)"
        )
    return False


def is_patched() -> bool:
    """Whether the SDK is patched, or will be as soon as it is imported."""
    return _patched


def patch(clients: bool | None = None, own_host: bool | str | None = None) -> None:
    """Patch the SDK's modules, those imported already and those imported from now on.

    With ``clients`` also the libraries by which programs send to the service without the SDK:
    requests, httpx, aiohttp and others. With ``own_host`` requests to a shared host of the service
    go to the workspace's own host: True for the one in the shared host's region, or the name of a
    region. None leaves each to its variable, DASHSCOPE_WS_PATCH_CLIENTS and
    DASHSCOPE_WS_PATCH_OWN_HOST.

    Patching twice patches once; a later call may switch ``clients`` and ``own_host``. Raises
    WorkspaceError where ``own_host`` is no region's name, and with DASHSCOPE_WS_PATCH_STRICT=1
    SeamError for a seam that should fit this release of the SDK, or of a library, and does not.
    """
    global _patched, _awaited_libraries, _follows
    if own_host is not None:
        _hosts.ask_for_own_host(own_host)
    with _lock:
        if _patched and clients in (None, bool(_awaited_libraries)):
            return
        if _patched and not clients:
            asked = _hosts.asked
            unpatch()
            _hosts.asked = asked
        wanted = asked_for_libraries() if clients is None else clients
        _awaited_libraries = LIBRARIES if wanted else _NONE
        if not _patched:
            for finder in list(sys.meta_path):
                # The package was dropped from sys.modules and is imported anew: it takes over.
                if type(finder).__module__ == Finder.__module__ and finder is not _finder:
                    finder.unpatch()  # type: ignore[attr-defined]
                    # Who holds names of the older copy enters scopes by them.
                    finder.workspace.on_scope = _entering  # type: ignore[attr-defined]
            _patched = _workspace.in_force = True
            _follows = os.environ.get("DASHSCOPE_WS_PATCH_THREADS", "").strip() != "0"
            sys.meta_path.insert(0, _finder)
            _workspace.on_scope = _entering
            if _workspace.scope.get() is not None:
                _entering()
        _patch_imported()


def unpatch() -> None:
    """Put the SDK's, and other libraries', very own objects back."""
    global _patched, _awaited_libraries
    with _lock:
        if not _patched:
            return
        _patched = _workspace.in_force = False
        _awaited_libraries, _hosts.asked = _NONE, None
        if _lacking_module is not None:
            _lacking_module.active = False
            _lacking_module.misfits.clear()
        # A new list: another thread that walks the old one must not skip a finder.
        sys.meta_path = [finder for finder in sys.meta_path if finder is not _finder]
        _workspace.on_scope = None
        _pools.unfollow()
        for made in reversed(_patches):
            kept = isinstance(made.owner, (ModuleType, type))
            now = vars(made.owner).get(made.name) if kept else getattr(made.owner, made.name)
            # What somebody else has wrapped since stays: it is no longer ours to put back.
            if now is made.replacement and made.original is _INHERITED:
                delattr(made.owner, made.name)
            elif now is made.replacement:
                setattr(made.owner, made.name, made.original)
            if isinstance(made.owner, ModuleType):
                _exchange(made.owner, made.replacement, made.original)
        for forgotten in (_patches, _states, _known, _done, _is_complete, _untold):
            forgotten.clear()


def report() -> list[tuple[Seam, str, str]]:
    """Each row of the table, its state and, for a failed one, the reason."""
    from ._seams import SEAMS

    return [(seam, *_states.get(seam, (WAITING, ""))) for seam in SEAMS]


def covered() -> dict[str, tuple[str, str]]:
    """Each library that is patched beside the SDK, or waited for: its state and, for one whose
    insides do not fit, the reason. Empty where they were not asked for."""
    found: dict[str, tuple[str, str]] = {}
    if _awaited_libraries:
        from ._lacking import misfits
        from ._libraries import SEAMS

        for seam in SEAMS:
            top = seam.module.partition(".")[0].replace("httpcore", "httpx")
            name = seam.module if top == "urllib" else top
            state = _states.get(seam, (WAITING, ""))
            if name in misfits:
                state = FAILED, misfits[name]
            if found.get(name, (WAITING,))[0] != FAILED and state[0] != WAITING:
                found[name] = state
            found.setdefault(name, state)
    return found


def _is_sdk(name: str) -> bool:
    return name.startswith(SDK) and name[len(SDK) : len(SDK) + 1] in ("", ".")


def _is_wanted(name: str) -> bool:
    return name in _awaited_libraries or _is_sdk(name) or name in _pools.awaited


def _entering() -> None:
    """Called at each scope entered, and when a module that has pools was imported after one."""
    if _patched and _follows:
        _pools.follow()


# Modules


def _patch_imported() -> None:
    for name in [name for name in list(sys.modules) if _is_wanted(name)]:
        module = sys.modules.get(name)
        if module is not _known.get(name):
            if not _finder.is_running(module) and id(module) not in _done:
                _ran(module)
            _known[name] = module
    _tell()


def _ran(module: Any) -> None:
    """Patch a module whose code has run."""
    if getattr(module, "__name__", "") in _pools.awaited:
        return _entering()
    with _lock:
        if not _patched or not isinstance(module, ModuleType):
            return
        name = module.__name__
        _known[name] = _done[id(module)] = module
        try:
            rows = rows_of(name)
        except Exception as error:  # no wrapt, or a broken one: the SDK goes on without us
            _complain(f"the table of seams ({type(error).__name__}: {error})", error)
            return
        if not _patched:  # a second copy of the package, loaded for the table, has taken over
            return
        if name in _awaited_libraries:
            _lacking_module.active = True
        for seam in rows:
            try:
                state = _apply(seam, module, rows), ""
            except Exception as error:
                state = FAILED, f"{type(error).__name__}: {error}"
                _complain(f"{name}.{seam.attributes} ({state[1]})", error)
            if _states.get(seam) != (APPLIED, ""):
                _states[seam] = state
        if _is_sdk(name):
            _guard_edge(module, rows)


@functools.cache
def _rows(sdk: bool) -> dict[str, list[Seam]]:
    global _lacking_module
    seams: Iterable[Seam]
    if sdk:
        from ._seams import SEAMS as seams
    else:
        from . import _lacking as _lacking_module
        from ._libraries import SEAMS as seams
    rows: dict[str, list[Seam]] = {}
    for seam in seams:
        rows.setdefault(seam.module, []).append(seam)
    return rows


def rows_of(name: str) -> list[Seam]:
    """The rows that apply to the module of this name, of the SDK or of another library."""
    rows = _rows(_is_sdk(name))
    return rows.get(name, []) + rows.get(f"{name.rpartition('.')[0]}.*", [])


def _guard_edge(module: ModuleType, rows: list[Seam]) -> None:
    """Let what ``module`` sends by other libraries pass the edge, unless a row covers it."""
    from . import _edge
    from ._seams import ALL_TO_SERVICE, FOR_REQUESTS

    name = module.__name__
    covering = [_states[seam][0] for seam in rows if seam.covers]
    if name in FOR_REQUESTS or (covering and FAILED not in covering and name not in ALL_TO_SERVICE):
        return
    service = None if name in ALL_TO_SERVICE else _edge.leads_to_service
    _put_all(_edge.replaced(module, service))


def _put_all(replaced: Iterator[tuple[Any, str, Any]]) -> None:
    for owner, name, instead in list(replaced):
        _put(owner, name, _own(owner, name), instead)


def _look_for_modules() -> None:
    """Note the rows whose module this release should have, and has not; and where a request object
    is no longer covered, cover the connections that other modules make for it."""
    package = sys.modules.get(SDK)
    if package is None or id(package) not in _done or _is_complete.get(SDK) is package:
        return
    _is_complete[SDK] = package
    from . import _edge
    from ._seams import FOR_REQUESTS, SEAMS
    from .hint.nearest import without_module

    due = [seam for seam in SEAMS if seam not in _states and is_due(seam)]
    for seam, reason in without_module(package, due):
        _states[seam] = FAILED, f"LookupError: {reason}"
        _complain(f"{seam.module} ({reason})", LookupError(reason))
    if any(_states.get(seam, ("",))[0] == FAILED for seam in SEAMS if seam.covers):
        for other in FOR_REQUESTS & sys.modules.keys():
            _put_all(_edge.replaced(sys.modules[other], _edge.leads_to_service))


def _put(owner: Any, name: str, original: Any, replacement: Any) -> None:
    setattr(owner, name, replacement)
    _patches.append(_Patch(owner, name, original, replacement))


def _apply(seam: Seam, module: ModuleType, rows: list[Seam]) -> str:
    targets = list(_targets(seam, module, rows))
    made: dict[int, Any] = {}  # one function may stand under two names
    for owner, name in targets:
        original = _own(owner, name)
        replacement = made.get(id(original)) or seam.adapter(original)
        made[id(original)] = replacement
        if replacement is original:
            continue
        _put(owner, name, original, replacement)
        if owner is module:
            _exchange(module, original, replacement)
    return APPLIED if targets else ABSENT


def _targets(seam: Seam, module: ModuleType, rows: list[Seam]) -> Iterator[tuple[Any, str]]:
    """The owners and names of what a row stands for; raises LookupError where it is not there,
    though this release should have it."""
    any_of = not seam.since  # of another library, whose releases differ
    nothing = True
    of_its_own = {path for row in rows for path in row.attributes.split()}
    for path in seam.attributes.split():
        path, _, name = path.rpartition(".")
        owners: list[Any] = [module]
        if path in ("*", "*(client)"):
            owners = [
                value
                for value in vars(module).values()
                if isinstance(value, type)
                and value.__module__ == module.__name__
                and (path == "*" or _is_made_with_client(value))
            ]
        elif path:
            owners = [_sdks(_own(module, path), module, path)] if path in vars(module) else []
        found = [(owner, name) for owner in owners if name in vars(owner)]
        if name == "*":
            found = [
                (owner, key)
                for owner in owners
                for key, value in vars(owner).items()
                if _is_public_method(key, value) and f"{owner.__name__}.{key}" not in of_its_own
            ]
        if not found and "*" not in path and not any_of and is_due(seam):
            from .hint.nearest import missing_attribute

            raise LookupError(missing_attribute(module, path, name))
        nothing = nothing and not found
        yield from found
    if any_of and nothing:
        raise LookupError(f"{module.__name__} has no {seam.attributes.replace(' ', ' or ')}")


def _own(owner: Any, name: str) -> Any:
    """What ``owner`` itself has under ``name``; of a module what a lazy import (PEP 810) means."""
    if isinstance(owner, type):
        return vars(owner).get(name, _INHERITED)
    return getattr(owner, name)


def _sdks(kind: Any, module: ModuleType, path: str) -> Any:
    """The SDK's class ``path``; another patcher may have put one there that is derived from it."""
    for base in getattr(kind, "__mro__", ()):
        if (base.__module__, base.__qualname__) == (module.__name__, path):
            return base
    return kind


def _is_made_with_client(kind: type) -> bool:
    constructor = next(vars(base)["__init__"] for base in kind.__mro__ if "__init__" in vars(base))
    code = getattr(constructor, "__code__", None)
    return code is not None and "client" in code.co_varnames[: code.co_argcount]


def _is_public_method(name: str, value: object) -> bool:
    # Handlers are called by the SDK itself.
    function = getattr(value, "__func__", value)
    return not name.startswith(("_", "on_")) and isinstance(function, FunctionType)


def _exchange(module: ModuleType, old: object, new: object) -> None:
    """Give ``new`` to the modules of the SDK that have taken ``old`` by value from ``module``.

    Not where ``module`` has itself taken it from elsewhere: each such place has a row of its own.
    """
    if getattr(old, "__module__", None) != module.__name__:
        return
    for name in filter(_is_sdk, list(sys.modules)):
        user = sys.modules.get(name)
        if isinstance(user, ModuleType):
            for key, value in list(vars(user).items()):
                if value is old:
                    setattr(user, key, new)


def is_due(seam: Seam) -> bool:
    """Whether the SDK release that is installed should have what a row stands for."""
    release = numbers(sdk_release())
    return numbers(seam.since) <= release and not (seam.until and numbers(seam.until) <= release)


def sdk_release() -> str:
    """The version of the SDK, without importing it."""
    version = sys.modules.get(SDK + ".version")
    if version is not None:
        return str(version.__version__)
    from importlib import metadata

    try:
        return metadata.version(SDK)
    except metadata.PackageNotFoundError:  # vendored
        if SDK not in sys.modules:
            raise
        from importlib import import_module

        return str(import_module(SDK + ".version").__version__)


def numbers(release: str) -> tuple[int, ...]:
    return tuple(int(part) for part in release.split(".")[:3] if part.isdigit())


def _complain(what: str, error: Exception) -> None:
    """Note what could not be applied, to be told with all else of the same import."""
    if os.environ.get("DASHSCOPE_WS_PATCH_STRICT", "").strip() == "1":
        message = f"cannot patch {what}: DASHSCOPE_WS_PATCH_STRICT=1 forbids to go on"
        raise SeamError(message) from error
    if what not in _told:
        _told.add(what)
        _untold.append(what)


def _tell() -> None:
    """One warning for all that could not be applied since the last one."""
    try:
        _look_for_modules()
    except SeamError:
        raise
    except Exception as error:  # no wrapt, which was told already
        _complain(f"the table of seams ({type(error).__name__}: {error})", error)
    told, _untold[:] = list(_untold), []
    if told:
        _workspace.warn(
            f"cannot patch {'; '.join(told)}: what modules of dashscope send is recognised by its "
            "host alone, other libraries are left alone; upgrade dashscope-ws-patch, and see "
            "`python -m dashscope_ws_patch doctor`"
        )


# After an import of the SDK, what was imported past the finder meanwhile is patched too.
_finder: Any = Finder(_is_wanted, _ran, _patch_imported)
#: For a copy of the package that takes over.
_finder.workspace, _finder.unpatch = _workspace, unpatch
