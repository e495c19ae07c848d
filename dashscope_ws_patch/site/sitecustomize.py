"""Start-up: wait for the first import of dashscope, then load dashscope_ws_patch.

Python runs this file at every start because of its name: from this folder on sys.path, or from the
copy that ``install`` makes (``uninstall`` removes it). It imports only what is loaded by then, and
leaves nothing but a finder behind: the ``sitecustomize`` further along sys.path, if there is one,
takes its place.
"""

import os
import sys
from _frozen_importlib import ModuleSpec, module_from_spec
from _frozen_importlib_external import PathFinder


def find_spec(name: str, path: object = None, target: object = None) -> "ModuleSpec | None":
    """Find nothing; for dashscope, load the package first, then ask the other finders."""
    if name != "dashscope":
        return None
    # A new list: an import in another thread that walks the old one must not miss a finder.
    sys.meta_path = [finder for finder in sys.meta_path if finder is not this]
    try:
        import dashscope_ws_patch  # noqa: F401
    except Exception as error:
        # A copy may outlive the package, which pip has removed; beside the package none can.
        beside = os.path.exists(os.path.join(folder, "..", "_activation.py"))
        if sys.stderr and (beside or getattr(error, "name", None) != "dashscope_ws_patch"):
            sys.stderr.write(f"dashscope_ws_patch: not active, {error!r}\n")
    import importlib.util

    return importlib.util.find_spec(name)


this = sys.modules[__name__]
folder = os.path.dirname(__file__)
if os.environ.get("DASHSCOPE_WS_PATCH", "").strip().lower() not in ("0", "off", "false", "no"):
    sys.meta_path.insert(0, this)  # type: ignore[arg-type]

# The folder stands twice on sys.path if both PYTHONPATH and a .pth file name it.
rest = sys.path[sys.path.index(folder) :] if folder in sys.path else []
neighbour = PathFinder.find_spec(__name__, [entry for entry in rest if entry != folder])
if neighbour is None:
    raise ModuleNotFoundError(f"No module named {__name__!r}", name=__name__)  # as without us
module = sys.modules[__name__] = module_from_spec(neighbour)
if neighbour.loader is not None:
    neighbour.loader.exec_module(module)
