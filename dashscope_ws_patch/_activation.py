"""Applying the table of seams, and the rule of the edge: now, to what is imported, and later, to
what will be.

Nothing of the SDK, and no wrapt, is imported for that: the table and the adapters are loaded when
the first module of the SDK has run.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterable
from importlib import import_module
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

from . import _hosts, _lacking, _pools, _workspace
from ._imports import Finder
from ._workspace import OFF, ON

if TYPE_CHECKING:
    from ._seam import Seam

SDK = "dashscope"

#: Asks for the libraries by which programs send without the SDK.
CLIENTS = "DASHSCOPE_WS_PATCH_CLIENTS"

#: What a row may be, the worst last.
WAITING, ABSENT, APPLIED, FAILED = _STATES = ("waiting", "absent", "applied", "failed")


class SeamError(RuntimeError):
    """A seam of this SDK release cannot be applied (raised with DASHSCOPE_WS_PATCH_STRICT=1)."""


#: The original of what a class itself does not have.
_INHERITED = object()

_lock = threading.RLock()
#: What was put: the owner, the name, the original and what stands in its place.
_patches: list[tuple[Any, str, Any, Any]] = []
_states: dict[Seam, tuple[str, str]] = {}
#: Those that are patched, by id, whatever name they go by.
_done: dict[int, ModuleType] = {}
#: The SDK, once it is imported and its table was compared with it.
_compared: Any = None
#: What could not be applied, and whether the user was told.
_complaints: dict[str, bool] = {}
#: The functions in whose adapters the SDK's insides did not fit.
_misfits: set[str] = set()
#: The modules of other libraries that are waited for.
_awaited_libraries: set[str] = set()


def switched_off() -> bool:
    """Whether DASHSCOPE_WS_PATCH is 0, off, false or no (in any capitalisation)."""
    return os.environ.get("DASHSCOPE_WS_PATCH", "").strip().lower() in OFF[1:]


def asked_for_libraries() -> bool:
    """Whether DASHSCOPE_WS_PATCH_CLIENTS is 1, on, true or yes; warns of what it may not be."""
    value = os.environ.get(CLIENTS, "").strip()
    if value.lower() not in ON + OFF:
        _workspace.warn(
            f"{CLIENTS} is {_workspace.masked(value)!r}, and taken for 0: it may be "
            f"{', '.join(ON)} (requests that do without the SDK carry the workspace too) or "
            f"{', '.join(OFF[1:])} (they do not)"
        )
    return value.lower() in ON


def is_patched() -> bool:
    """Whether the SDK is patched, or will be as soon as it is imported."""
    return _workspace.in_force


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
    global _awaited_libraries
    if own_host is not None:
        _hosts.ask_for_own_host(own_host)
    with _lock:
        if _workspace.in_force and clients in (None, bool(_awaited_libraries)):
            return
        if _workspace.in_force and not clients:
            asked = _hosts.asked
            unpatch()
            _hosts.asked = asked
        if asked_for_libraries() if clients is None else clients:
            from ._libraries import SEAMS

            _awaited_libraries = {seam.module for seam in SEAMS}
            _lacking.active = True
        if not _workspace.in_force:
            threads = os.environ.get("DASHSCOPE_WS_PATCH_THREADS", "").strip()
            _workspace.on_scope = None if threads == "0" else _pools.follow
            for finder in list(sys.meta_path):
                # The package was dropped from sys.modules and is imported anew: it takes over.
                if type(finder).__module__ == Finder.__module__ and finder is not _finder:
                    finder.unpatch()  # type: ignore[attr-defined]
                    # Who holds names of the older copy enters scopes by them.
                    finder.workspace.on_scope = _workspace.on_scope  # type: ignore[attr-defined]
            _workspace.in_force = True
            sys.meta_path.insert(0, _finder)
            if _workspace.on_scope is not None and _workspace.scope.get() is not None:
                _pools.follow()
        _patch_imported()


def unpatch() -> None:
    """Put the SDK's, and other libraries', very own objects back."""
    global _compared
    with _lock:
        if not _workspace.in_force:
            return
        _workspace.in_force = _lacking.active = False
        _workspace.on_scope = _hosts.asked = _compared = None
        # A new list: another thread that walks the old one must not skip a finder.
        sys.meta_path = [finder for finder in sys.meta_path if finder is not _finder]
        _pools.unfollow()
        for owner, name, original, replacement in reversed(_patches):
            # What somebody else has wrapped since stays: it is no longer ours to put back.
            if _own(owner, name) is replacement:
                if original is _INHERITED:
                    delattr(owner, name)
                else:
                    setattr(owner, name, original)
            _exchange(owner, replacement, original)
        _lacking.misfits.clear()
        forgotten: Any
        for forgotten in (
            _patches,
            _states,
            _workspace.modules,
            _done,
            _misfits,
            _awaited_libraries,
        ):
            forgotten.clear()


def report() -> list[tuple[Seam, str, str]]:
    """Each row of the table, its state and, for a failed one, the reason."""
    from ._seams import SEAMS

    return [(seam, *_states.get(seam, (WAITING, ""))) for seam in SEAMS]


def covered() -> dict[str, tuple[str, str]]:
    """Each library that is patched beside the SDK, or waited for: its state and, for one whose
    insides do not fit, the reason. Empty where they were not asked for."""
    from ._libraries import SEAMS

    found: dict[str, tuple[str, str]] = {}
    for seam in SEAMS if _awaited_libraries else ():
        top = seam.module.partition(".")[0].replace("httpcore", "httpx")
        name = seam.module if top == "urllib" else top
        state = _states.get(seam, (WAITING, ""))
        if name in _lacking.misfits:
            state = FAILED, _lacking.misfits[name]
        found[name] = max(found.get(name, state), state, key=lambda each: _STATES.index(each[0]))
    return found


def _is_sdk(name: str) -> bool:
    return name.partition(".")[0] == SDK


def _is_wanted(name: str) -> bool:
    return name in _awaited_libraries or _is_sdk(name) or name in _pools.awaited


# Modules


def _patch_imported() -> None:
    for name in [name for name in list(sys.modules) if _is_wanted(name)]:
        module = sys.modules.get(name)
        if id(module) not in _done and not _finder.is_running(module):
            _ran(module)
    _look_for_modules()
    _tell()


def _ran(module: Any) -> None:
    """Patch a module whose code has run."""
    if getattr(module, "__name__", "") in _pools.awaited:
        return _pools.follow()
    with _lock:
        if not _workspace.in_force or not isinstance(module, ModuleType):
            return
        name = module.__name__
        _done[id(module)] = module
        try:
            rows = rows_of(name)
        except Exception as error:  # no wrapt, or a broken one: the SDK goes on without us
            return _complain(f"the table of seams ({type(error).__name__}: {error})", error)
        # A second copy of the package, loaded for the table, may have taken over.
        if not _workspace.in_force:
            return
        _workspace.modules[name] = module
        for seam in rows:
            try:
                state = _apply(seam, module), ""
            except Exception as error:
                state = FAILED, f"{type(error).__name__}: {error}"
                _complain(f"{name}.{seam.attributes} ({state[1]})", error)
            if _states.get(seam) != (APPLIED, ""):
                _states[seam] = state
        if _is_sdk(name):
            try:
                _guard_edge(module, rows)
            except Exception as error:
                _complain(f"the connections of {name} ({type(error).__name__}: {error})", error)


def rows_of(name: str) -> list[Seam]:
    """The rows that apply to the module of this name, of the SDK or of another library."""
    seams: Iterable[Seam]
    if _is_sdk(name):
        from . import _senders
        from ._seams import SEAMS as seams

        _senders.on_misfit = _leave_to_edge
    else:
        from ._libraries import SEAMS as seams
    names = name, f"{name.rpartition('.')[0]}.*"
    return [seam for seam in seams if seam.module in names]


def _guard_edge(module: ModuleType, rows: list[Seam]) -> None:
    """Let what ``module`` sends by other libraries pass the edge, unless a row covers it."""
    from . import _edge, _senders
    from ._seams import ALL_TO_SERVICE

    if not _misfits and _is_covered(module, rows):
        return
    service = None if module.__name__ in ALL_TO_SERVICE else _senders.leads_to_service
    for place in list(_edge.replaced(module, service)):
        _put(*place)


def _is_covered(module: ModuleType, rows: list[Seam]) -> bool:
    """Whether rows that fit are more precise than the edge about all that ``module`` sends."""
    from . import _edge
    from ._seams import ALL_TO_SERVICE, FOR_REQUESTS

    covering = [seam for seam in rows if seam.covers]
    if module.__name__ in FOR_REQUESTS:
        return not any(seam.covers and state == FAILED for seam, state, _ in report())
    if not covering or module.__name__ in ALL_TO_SERVICE:
        return False
    covered = {path.partition(".")[0] for seam in covering for path in seam.covers.split()}
    fits = all(_states[seam][0] != FAILED for seam in covering)
    return fits and not _edge.sends_beside(module, covered)


def _leave_to_edge(function: Any, error: Exception) -> None:
    """Where an adapter met what it does not know, what no row is precise about any more is held to
    the rule of the edge: the connections of all modules."""
    place = f"{function.__module__}.{function.__qualname__}"
    with _lock:
        if place in _misfits:
            return
        _misfits.add(place)
        reason = f"{type(error).__name__}: {error}"
        for seam in _states:
            if seam.module == function.__module__ and function.__qualname__ in seam.attributes:
                _states[seam] = FAILED, reason
        for module in list(_done.values()):
            if _is_sdk(module.__name__):
                _guard_edge(module, [])
        _complain(f"{place} ({reason})", error)
    _tell()


def _look_for_modules() -> None:
    """Note the rows whose module this release should have, and has not; and where a request object
    is no longer covered, cover the connections that other modules make for it."""
    global _compared
    package = _workspace.modules.get(SDK)
    if package is None or package is _compared:
        return
    _compared = package
    from ._seams import FOR_REQUESTS
    from .hint.nearest import without_module

    due = [seam for seam, state, _ in report() if state == WAITING and is_due(seam)]
    for seam, reason in without_module(package, due):
        _states[seam] = FAILED, f"LookupError: {reason}"
        _complain(f"{seam.module} ({reason})", LookupError(reason))
    for name in FOR_REQUESTS & _workspace.modules.keys():
        _guard_edge(_workspace.modules[name], [])


def _put(owner: Any, name: str, replacement: Any) -> None:
    original = _own(owner, name)
    setattr(owner, name, replacement)
    _patches.append((owner, name, original, replacement))
    _exchange(owner, original, replacement)


def _apply(seam: Seam, module: ModuleType) -> str:
    targets = _targets(seam, module)
    made: dict[int, Any] = {}  # one function may stand under two names
    for owner, name in targets:
        original = _own(owner, name)
        replacement = made.setdefault(id(original), seam.adapter(original))
        if replacement is not original:
            _put(owner, name, replacement)
    return APPLIED if targets else ABSENT


def _targets(seam: Seam, module: ModuleType) -> list[tuple[Any, str]]:
    """The owners and names of what a row stands for; raises LookupError where it is not there,
    though this release should have it."""
    found: list[tuple[Any, str]] = []
    missing = []
    for attribute in seam.attributes.split():
        path, _, name = attribute.rpartition(".")
        here = [
            (owner, key)
            for owner in _owners(module, path)
            for key, value in list(vars(owner).items())
            if key == name or (name == "*" and _is_public_method(key, value))
        ]
        found += here
        if not here and path != "*":
            missing.append((path, name))
    if seam.since and missing and is_due(seam):
        from .hint.nearest import missing_attribute

        raise LookupError(missing_attribute(module, *missing[0]))
    if not seam.since and not found:  # of another library, whose releases differ
        raise LookupError(f"{module.__name__} has no {seam.attributes.replace(' ', ' or ')}")
    return found


def _owners(module: ModuleType, path: str) -> list[Any]:
    """``module`` itself where ``path`` is empty, its class of that name, or all of its own for
    ``*``."""
    if not path:
        return [module]
    if path == "*":
        kinds = [value for value in vars(module).values() if isinstance(value, type)]
        return [kind for kind in kinds if kind.__module__ == module.__name__]
    if path not in vars(module):
        return []
    kind, place = _own(module, path), (module.__name__, path)
    # Another patcher may have put a class there that is derived from the SDK's.
    bases = getattr(kind, "__mro__", ())
    sdks = [base for base in bases if (base.__module__, base.__qualname__) == place]
    return sdks or [kind]


def _own(owner: Any, name: str) -> Any:
    """What ``owner`` itself has under ``name``; of a module what a lazy import (PEP 810) means."""
    if isinstance(owner, type):
        return vars(owner).get(name, _INHERITED)
    return getattr(owner, name, None)


def _is_public_method(name: str, value: object) -> bool:
    # Handlers are called by the SDK itself.
    function = getattr(value, "__func__", value)
    return not name.startswith(("_", "on_")) and isinstance(function, FunctionType)


def _exchange(owner: Any, old: object, new: object) -> None:
    """Give ``new`` to the modules of the SDK that have taken ``old`` by value from ``owner``.

    Not where ``owner`` has itself taken it from elsewhere: each such place has a row of its own.
    """
    if not isinstance(owner, ModuleType) or getattr(old, "__module__", "") != owner.__name__:
        return
    for name in filter(_is_sdk, list(sys.modules)):
        names = getattr(sys.modules.get(name), "__dict__", {})
        names.update({key: new for key, value in list(names.items()) if value is old})


def is_due(seam: Seam) -> bool:
    """Whether the SDK release that is installed should have what a row stands for."""
    return numbers(seam.since) <= numbers(sdk_release()) < numbers(seam.until or "999")


def sdk_release() -> str:
    """The version of the SDK, which need not be installed: it may be vendored, or in an archive."""
    return str(import_module(f"{SDK}.version").__version__)


def numbers(release: str) -> tuple[int, ...]:
    return tuple(int(part) for part in release.split(".")[:3] if part.isdigit())


def _complain(what: str, error: Exception) -> None:
    """Note what could not be applied, to be told with all else of the same import."""
    if os.environ.get("DASHSCOPE_WS_PATCH_STRICT", "").strip() == "1":
        message = f"cannot patch {what}: DASHSCOPE_WS_PATCH_STRICT=1 forbids to go on"
        raise SeamError(message) from error
    _complaints.setdefault(what, False)


def _tell() -> None:
    """One warning for all that could not be applied since the last one."""
    untold = [what for what, told in _complaints.items() if not told]
    if untold:
        _complaints.update(dict.fromkeys(untold, True))
        _workspace.warn(
            f"cannot patch {'; '.join(untold)}: what modules of dashscope send is recognised by "
            "its host alone, other libraries are left alone; upgrade dashscope-ws-patch, and see "
            "`python -m dashscope_ws_patch doctor`"
        )


# After an import of the SDK, what was imported past the finder meanwhile is patched too.
_finder: Any = Finder(_is_wanted, _ran, _patch_imported)
#: For a copy of the package that takes over.
_finder.workspace, _finder.unpatch = _workspace, unpatch
