# What ``install`` has each interpreter run: wait for dashscope, and run the start-up file then.
#
# To load that file is most of what it costs; this one has nothing that costs anything, and keeps
# nothing that lives on into the interpreter's exit. What variables ask for is done at once.
import sys
from os import environ


def find_spec(name, path=None, target=None):  # type: ignore[no-untyped-def]
    global waited
    if name == waited:
        from _frozen_importlib_external import SourceFileLoader

        waited = this.dashscope_ws_patch = ""  # type: ignore[attr-defined]
        exec(SourceFileLoader("", file).get_code(""), {})  # type: ignore[arg-type]
        if name:
            return sys.meta_path[0].find_spec(name, path, target)
    return None


this = find_spec
file = this.__code__.co_filename[:-10] + "sitecustomize.py"
waited = "dashscope"
# To ask environ itself for what is not there takes longer.
known, key = environ._data, environ.encodekey  # type: ignore[attr-defined]
if key("DASHSCOPE_WS_PATCH") in known or key("DASHSCOPE_WS_PATCH_CLIENTS") in known:
    waited = ""
    find_spec("")  # type: ignore[no-untyped-call]
else:
    this.find_spec = this  # type: ignore[attr-defined]
    this.dashscope_ws_patch = file  # type: ignore[attr-defined]
    sys.meta_path.insert(0, this)  # type: ignore[arg-type]
del environ, known, key
