"""Applying the table of seams: now, to what is imported, and later, to what will be.

Waits in the import system for the modules of the SDK, and those of other libraries where asked, and
patches each right after its code has run, before anybody can take a name from it by value. Nothing
of the SDK, and no wrapt, is imported for that: the table and the adapters are loaded when the first
module that has a row is.
"""

from __future__ import annotations

import functools
import os
import sys
import threading
from collections.abc import Iterator
from importlib.machinery import ModuleSpec
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any, Callable, NamedTuple

from . import _pools, _workspace

if TYPE_CHECKING:
    from ._seam import Seam

SDK = "dashscope"

#: Asks for the libraries by which programs send without the SDK.
CLIENTS = "DASHSCOPE_WS_PATCH_CLIENTS"
#: The modules of their rows, known before ``_libraries`` is loaded.
LIBRARIES = frozenset(
    {
        "requests.sessions", "httpx._client", "httpx._models", "httpx2._client", "httpx2._models",
        "aiohttp.client", "aiohttp.client_reqrep", "urllib3.connectionpool", "urllib.request",
        "websocket._core", "websockets.asyncio.client", "websockets.trio.client",
        "websockets.sync.client", "websockets.legacy.client",
    }
)  # fmt: skip

APPLIED, ABSENT, WAITING, FAILED = "applied", "absent", "waiting", "failed"


class SeamError(RuntimeError):
    """A seam of this SDK release cannot be applied (raised with DASHSCOPE_WS_PATCH_STRICT=1)."""


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
#: The modules in the order in which their code began to run.
_begun: list[str] = []
#: How many modules there were when those that are not known were looked for last.
_looked = 0
#: ``_libraries``, once it is loaded: of this very copy of the package, whatever sys.modules says.
_beside: Any = None
_complained: set[str] = set()
_NONE: frozenset[str] = frozenset()
#: Those that are waited for.
_libraries = _NONE


_ON, _OFF = ("1", "on", "true", "yes"), ("0", "off", "false", "no")


def switched_off() -> bool:
    """Whether DASHSCOPE_WS_PATCH is 0, off, false or no (in any capitalisation)."""
    return os.environ.get("DASHSCOPE_WS_PATCH", "").strip().lower() in _OFF


def asked_for_libraries() -> bool:
    """Whether DASHSCOPE_WS_PATCH_CLIENTS is 1, on, true or yes; warns of what it may not be."""
    value = os.environ.get(CLIENTS, "").strip()
    if value.lower() in _ON:
        return True
    if value and value.lower() not in _OFF:
        _workspace.warn(
            f"{CLIENTS} is {_workspace.masked(value)!r}, and taken for 0: it may be "
            f"{', '.join(_ON)} (requests that do without the SDK carry the workspace too) or "
            f"{', '.join(_OFF)} (they do not)"
        )
    return False


def is_patched() -> bool:
    """Whether the SDK is patched, or will be as soon as it is imported."""
    return _patched


def patch(clients: bool | None = None) -> None:
    """Patch the SDK's modules, those imported already and those imported from now on.

    With ``clients`` also the libraries by which programs send to the service without the SDK:
    requests, httpx, aiohttp and others. None leaves that to DASHSCOPE_WS_PATCH_CLIENTS.

    Patching twice patches once; a later call may switch ``clients``. Raises nothing, unless
    DASHSCOPE_WS_PATCH_STRICT is 1: then SeamError for a seam that should fit this release of the
    SDK, or of a library, and does not.
    """
    global _patched, _libraries, _follows
    with _lock:
        if _patched and clients in (None, bool(_libraries)):
            return
        if _patched and not clients:
            unpatch()
        _libraries = LIBRARIES if clients or (clients is None and asked_for_libraries()) else _NONE
        if _patched:
            _patch_imported()
            return
        for finder in list(sys.meta_path):
            # The package was dropped from sys.modules and is imported anew: it takes over.
            if type(finder).__module__ == __name__ and finder is not _finder:
                finder.give_way(_entering)  # type: ignore[attr-defined]
        _patched = _workspace.in_force = True
        _follows = os.environ.get("DASHSCOPE_WS_PATCH_THREADS", "").strip() != "0"
        sys.meta_path.insert(0, _finder)
        _workspace.on_scope, _workspace.on_environment = _entering, catch_up
        if _workspace.scope.get() is not None:
            _entering()
        _patch_imported()


def unpatch() -> None:
    """Put the SDK's, and other libraries', very own objects back."""
    global _patched, _libraries
    with _lock:
        if not _patched:
            return
        _patched = _workspace.in_force = False
        _libraries = _NONE
        if _beside is not None:
            _beside.active = False
        # A new list: another thread that walks the old one must not skip a finder.
        sys.meta_path = [finder for finder in sys.meta_path if finder is not _finder]
        _workspace.on_scope = _workspace.on_environment = None
        _pools.unfollow()
        for made in reversed(_patches):
            # What somebody else has wrapped since stays: it is no longer ours to put back.
            if vars(made.owner).get(made.name) is made.replacement:
                setattr(made.owner, made.name, made.original)
            if isinstance(made.owner, ModuleType):
                _exchange(made.owner, made.replacement, made.original, list(sys.modules))
        _patches.clear()
        _states.clear()
        _known.clear()
        _done.clear()


def report() -> list[tuple[Seam, str, str]]:
    """Each row of the table, its state and, for a failed one, the reason."""
    from ._seams import SEAMS

    catch_up()
    return [(seam, *_states.get(seam, (WAITING, ""))) for seam in SEAMS]


def covered() -> dict[str, tuple[str, str]]:
    """Each library that is patched beside the SDK, or waited for: its state and, for one whose
    insides do not fit, the reason. Empty where they were not asked for."""
    found: dict[str, tuple[str, str]] = {}
    if _libraries:
        from ._libraries import SEAMS

        for seam in SEAMS:
            top = seam.module.partition(".")[0]
            name = seam.module if top == "urllib" else top
            state = _states.get(seam, (WAITING, ""))
            if found.get(name, (WAITING,))[0] != FAILED and state[0] != WAITING:
                found[name] = state
            found.setdefault(name, state)
    return found


def _is_sdk(name: str) -> bool:
    return name.startswith(SDK) and name[len(SDK) : len(SDK) + 1] in ("", ".")


def _entering() -> None:
    """Called at each scope entered."""
    catch_up()
    if _patched and _follows:
        _pools.follow()


# Modules


def catch_up() -> None:
    """Patch late what has been imported past our finder."""
    if sys.meta_path[:1] != [_finder] and len(sys.modules) != _looked:
        with _lock:
            if _patched:
                _patch_imported()


def _missed() -> list[str]:
    """The modules that have rows, and that nobody knows of."""
    return [
        name
        for name in list(sys.modules)
        if (_is_sdk(name) or name in _libraries) and sys.modules.get(name) is not _known.get(name)
    ]


def _patch_imported() -> None:
    global _looked
    missed = _missed()
    for name in missed:
        _patch_module(name)
    _looked = len(sys.modules)
    if missed and sys.meta_path[:1] != [_finder]:
        # In place, and the others in their order: who walks the list meanwhile skips none of them.
        others = [finder for finder in sys.meta_path if finder is not _finder]
        ahead = sys.meta_path[: sys.meta_path.index(_finder)] if _finder in sys.meta_path else []
        sys.meta_path[:] = [_finder, *others]
        names = ", ".join(getattr(each, "__name__", type(each).__name__) for each in ahead)
        _workspace.warn(
            f"{', '.join(missed[:3])}{' ...' if missed[3:] else ''} were imported past this "
            f"package's finder ({names or 'it is gone from sys.meta_path'}), and are patched late: "
            "requests made before lack the workspace, and so do methods taken by value; let "
            "dashscope_ws_patch be imported after what goes before it on sys.meta_path"
        )


def _patch_module(name: str) -> None:
    """Apply the rows of an imported module, now or as soon as its code has run."""
    module = sys.modules.get(name)
    if type(module).__name__ == "_LazyModule":  # a look at it would run it
        spec = object.__getattribute__(module, "__spec__")
        if not isinstance(spec.loader, _Loader):
            spec.loader = _Loader(spec.loader)
    elif _is_watched(module):
        return
    elif isinstance(module, ModuleType) and id(module) not in _done:
        _apply_rows(module, list(sys.modules))
    _known[name] = module


def _is_watched(module: Any) -> bool:
    """Whether a module is half imported, by somebody above us or past our finder: its classes may
    not be there yet. Then it is watched until its code has run."""
    spec = getattr(module, "__spec__", None)
    if not getattr(spec, "_initializing", False):
        return False
    if type(spec) is ModuleSpec:
        spec.__class__ = _WatchedSpec
    return True


def _apply_rows(module: ModuleType, users: list[str]) -> None:
    """Apply the rows of ``module``, of which the modules ``users`` may have taken names."""
    try:
        by_module = _rows(_is_sdk(module.__name__))
    except Exception as error:  # no wrapt, or a broken one: the SDK goes on without us
        _complain("load the table of seams", error)
        return
    if not _patched:  # a second copy of the package, loaded for the table, has taken over
        return
    name = module.__name__
    _known[name] = _done[id(module)] = module
    if name in _libraries:
        _beside.active = True
    rows = by_module.get(name, []) + by_module.get(f"{name.rpartition('.')[0]}.*", [])
    for seam in rows:
        try:
            state = _apply(seam, module, users, rows)
            if _states.get(seam) != (APPLIED, ""):
                _states[seam] = (state, "")
        except Exception as error:
            _states[seam] = (FAILED, f"{type(error).__name__}: {error}")
            library = name.partition(".")[0]
            _complain(f"patch {name}.{seam.attributes} of this {library} release", error)


@functools.cache
def _rows(sdk: bool) -> dict[str, list[Seam]]:
    global _beside
    if sdk:
        from ._seams import SEAMS as seams
    else:
        from . import _libraries as _beside

        seams = _beside.SEAMS
    rows: dict[str, list[Seam]] = {}
    for seam in seams:
        rows.setdefault(seam.module, []).append(seam)
    return rows


class _WatchedSpec(ModuleSpec):
    # importlib sets _initializing to False when it is done with a module; nothing else tells.
    @property
    def _initializing(self) -> bool:
        return True

    @_initializing.setter
    def _initializing(self, value: bool) -> None:
        if not value:
            self.__class__ = ModuleSpec  # type: ignore[assignment]
            self._initializing = False
            with _lock:
                if _patched:
                    # And those that others had found already, when we began to look.
                    _patch_imported()


def _apply(seam: Seam, module: ModuleType, users: list[str], rows: list[Seam]) -> str:
    targets = list(_targets(seam, module, rows))
    made: dict[int, Any] = {}  # one function may stand under two names
    for owner, name in targets:
        original = _own(owner, name)
        replacement = made.get(id(original)) or seam.adapter(original)
        made[id(original)] = replacement
        if replacement is original:
            continue
        setattr(owner, name, replacement)
        _patches.append(_Patch(owner, name, original, replacement))
        if owner is module:
            _exchange(module, original, replacement, users)
    return APPLIED if targets else ABSENT


def _targets(seam: Seam, module: ModuleType, rows: list[Seam]) -> Iterator[tuple[Any, str]]:
    """The owners and names of what a row stands for; raises LookupError where it is not there,
    though this release should have it."""
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
        if not found and "*" not in path:
            _missing(seam, path, name)
        yield from found


def _own(owner: Any, name: str) -> Any:
    """What ``owner`` itself has under ``name``; of a module what a lazy import (PEP 810) means."""
    return getattr(owner, name) if isinstance(owner, ModuleType) else vars(owner)[name]


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


def _exchange(module: ModuleType, old: object, new: object, users: list[str]) -> None:
    """Give ``new`` to those of ``users`` that have taken ``old`` by value from ``module``.

    Not where ``module`` has itself taken it from elsewhere: each such place has a row of its own.
    """
    if getattr(old, "__module__", None) != module.__name__:
        return
    for name in filter(_is_sdk, users):
        user = sys.modules.get(name)
        if isinstance(user, ModuleType):
            for key, value in list(vars(user).items()):
                if value is old:
                    setattr(user, key, new)


def _missing(seam: Seam, path: str, name: str) -> None:
    """Raise LookupError if this release should have what is missing."""
    release = _numbers(sdk_release())
    if _numbers(seam.since) <= release and not (seam.until and _numbers(seam.until) <= release):
        raise LookupError(f"{seam.module} has no {f'{path}.{name}' if path else name}")


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


def _numbers(release: str) -> tuple[int, ...]:
    return tuple(int(part) for part in release.split(".")[:3] if part.isdigit())


def _complain(what: str, error: Exception) -> None:
    message = f"cannot {what} ({type(error).__name__}: {error})"
    if os.environ.get("DASHSCOPE_WS_PATCH_STRICT", "").strip() == "1":
        raise SeamError(f"{message}: DASHSCOPE_WS_PATCH_STRICT=1 forbids to go on") from error
    if what not in _complained:
        _complained.add(what)
        _workspace.warn(
            f"{message}: requests may lack the workspace; upgrade dashscope-ws-patch, and see "
            "`python -m dashscope_ws_patch doctor` for the state of each seam"
        )


# The import system


class _Finder:
    """Finds the modules that have rows as everybody else would, and patches them after they ran."""

    #: For a copy of the package that takes over: who holds the names of this one enters scopes.
    scope = _workspace.scope

    def __init__(self) -> None:
        self._busy = threading.local()

    def give_way(self, entering: Callable[[], None]) -> None:
        """Undo all that this copy of the package has done; another one takes over."""
        unpatch()
        _workspace.on_scope = entering

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        if name not in _libraries and not _is_sdk(name):
            if SDK in sys.modules and sys.meta_path[:1] != [self]:
                # By now nobody may import: what is imported past us is patched when it has run.
                for missed in _missed():
                    _is_watched(sys.modules.get(missed))
            return None
        if getattr(self._busy, "now", False):
            return None
        # Another hook on meta_path may ask all finders again, and so us: the first time counts.
        self._busy.now = True
        try:
            for finder in sys.meta_path:
                find = getattr(finder, "find_spec", None)
                spec = None if finder is self or find is None else find(name, path, target)
                if spec is not None:
                    if hasattr(spec.loader, "exec_module") or hasattr(spec.loader, "get_code"):
                        spec.loader = _Loader(spec.loader)
                    return spec  # type: ignore[no-any-return]
            return None
        finally:
            self._busy.now = False


class _Loader:
    """The module's own loader, for the moment in which the module is executed."""

    def __init__(self, loader: Any) -> None:
        self._loader = loader

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        create = getattr(self._loader, "create_module", None)
        created: ModuleType | None = create and create(spec)
        return created

    def exec_module(self, module: ModuleType) -> None:
        module.__loader__ = self._loader
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        # Only a module that begins to run meanwhile can take names from this one unpatched.
        begun = len(_begun)
        _begun.append(module.__name__)
        _known[module.__name__] = module
        if hasattr(self._loader, "exec_module"):
            self._loader.exec_module(module)
        else:  # zipimport, up to CPython 3.9
            exec(self._loader.get_code(module.__name__), vars(module))
        with _lock:
            if _patched:
                _apply_rows(module, _begun[begun:])
                catch_up()


# A module that warns while it is imported means whoever imports it. The warnings module counts the
# frames of the import system for nothing, and knows them by the name of their file.
_exec: Any = _Loader.exec_module
_exec.__code__ = _exec.__code__.replace(co_filename=f"{__file__} (importlib._bootstrap)")

_finder = _Finder()
