"""Start-up: wait for the import of dashscope, and load dashscope_ws_patch before it.

Python runs this file at every start because of its name: from this folder, put on sys.path, or from
the copy that ``install`` makes (``uninstall`` removes it). It imports nothing that is not loaded by
then, not even ``__future__``, and leaves only its finder behind: ``sitecustomize`` is the one that
lies further along sys.path or, without one, is not found.
"""

import sys
from _frozen_importlib import ModuleSpec
from _frozen_importlib import _load as load  # type: ignore[attr-defined]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def find_spec(name: str, path: object = None, target: object = None) -> "ModuleSpec | None":
    """Find dashscope as the finders after this one do; have nothing to do with other modules."""
    if name not in waited:
        return None
    finders: list[Any] = sys.meta_path
    for finder in finders[finders.index(this) + 1 :] if this in finders else []:
        spec: Any = finder.find_spec(name, path, target) if hasattr(finder, "find_spec") else None
        if spec:
            # Nothing is imported before the loader is called: finders are called with the lock of
            # all imports held, and what the package needs may be half imported by another thread.
            if hasattr(spec.loader, "exec_module"):
                spec.loader = preceded(spec.loader)
            return spec  # type: ignore[no-any-return]
    return None


def preceded(loader: "Any") -> "Any":
    """Return what is like ``loader``, but loads the package before the module runs."""

    class Loader:
        def __getattr__(self, name: str) -> "Any":
            return getattr(loader, name)

        def exec_module(self, module: "Any") -> None:
            module.__loader__ = module.__spec__.loader = loader
            load_package()
            loader.exec_module(module)

    return Loader()


def load_package() -> None:
    """Leave the import system, and load the package; whatever fails, dashscope is imported."""
    import os.path
    from contextlib import suppress

    # A new list: a thread that walks the old one for an import of its own must miss no finder.
    sys.meta_path = [finder for finder in sys.meta_path if finder is not this]
    try:
        import dashscope_ws_patch  # noqa: F401
    except Exception as error:
        # A copy may outlive the package: pip removes only what pip has written.
        beside = os.path.exists(os.path.join(folder, os.pardir, "_activation.py"))
        if beside or getattr(error, "name", None) != "dashscope_ws_patch":
            with suppress(Exception):
                sys.stderr.write(f"dashscope_ws_patch is not active: {error!r}\n")


def neighbour() -> "ModuleSpec | None":
    """Find the sitecustomize that Python would have run without this one."""
    from _frozen_importlib_external import PathFinder
    from _imp import extension_suffixes
    from os import F_OK, access

    # The folder itself may stand there twice, if PYTHONPATH and a .pth file name it.
    rest = sys.path[sys.path.index(folder) :] if folder in sys.path else []
    rest = [entry for entry in rest if entry != folder]
    # Python's own search lists each folder, which takes more than all the rest of this file.
    names = [f"/{__name__}{suffix}" for suffix in ("", ".py", ".pyc", *extension_suffixes())]
    for position, entry in enumerate(rest):
        archive = access(entry, F_OK) and not access(f"{entry}/", F_OK)
        if archive or any(access(f"{entry}{name}", F_OK) for name in names):
            return PathFinder.find_spec(__name__, rest[position:])
    return None


def switched_off() -> bool:
    """Say whether the environment variable DASHSCOPE_WS_PATCH does, as the package reads it."""
    from os import environ

    return environ.get("DASHSCOPE_WS_PATCH", "").strip().lower() in ("0", "off", "false", "no")


def libraries_asked_for() -> bool:
    """Say whether DASHSCOPE_WS_PATCH_CLIENTS does: the libraries that send without the SDK."""
    from os import environ

    value = environ.get("DASHSCOPE_WS_PATCH_CLIENTS", "").strip().lower()
    return value not in ("", "0", "off", "false", "no")  # what is unknown, the package warns of


# No module but sys is kept in a global: it would live on into the interpreter's exit, and take
# longer to clear there than all this takes to run.
this = sys.modules[__name__]
folder = __file__[: -len("/sitecustomize.py")]
waited = {"dashscope"}
if not switched_off():
    sys.meta_path.insert(0, this)
    if libraries_asked_for():
        waited |= {"requests", "httpx", "httpx2", "aiohttp", "urllib3", "urllib.request"}
        waited |= {"websocket", "websockets"}
        if not waited.isdisjoint(sys.modules):  # a .pth file has been first
            load_package()

spec = neighbour()
if spec is None:
    raise ModuleNotFoundError(f"No module named {__name__!r}", name=__name__)
del sys.modules[__name__]
load(spec)
