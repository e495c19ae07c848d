"""status: what activates this interpreter, and which workspace it sends."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import sysconfig
from dataclasses import dataclass

from .. import _workspace
from .._activation import switched_off
from .install import STARTUP, _is_ours, _targets
from .run import SITEDIR


@dataclass
class Status:
    """What activates an interpreter that is started now, and the workspace that it would send."""

    python: str
    active: bool
    #: What activates it: "PYTHONPATH", "install" or "import", each with the file that does.
    ways: list[str]
    workspace: str | None
    #: The variable that the workspace comes from.
    source: str | None
    #: What stands in the way.
    notes: list[str]

    def __str__(self) -> str:
        return "\n".join(
            [
                f"{self.python}: {'active' if self.active else 'not active'}",
                *(f"  by {way}" for way in self.ways),
                *(f"  {note}" for note in self.notes),
                f"workspace: {self.workspace or 'none'}"
                + (f", from {self.source}" if self.source else ""),
            ]
        )


# Printed by an interpreter that imports nothing: the files of the start-up finders that wait in it,
# and, if the package itself has been imported by then, the files that can have done that.
_PROBE = """
import sys
waiting = [f.__file__ for f in sys.meta_path if getattr(f, "__name__", "") == "sitecustomize"]
package = sys.modules.get("dashscope_ws_patch")
names = ["sitecustomize", "usercustomize"] if package and package.is_patched() else []
print(ascii((waiting, [getattr(sys.modules.get(n), "__file__", None) for n in names])))
"""


def status() -> Status:
    """Start an interpreter as this one was started, and see."""
    copy, line = _targets(sysconfig.get_path("purelib"))
    waiting, importing = _probe()
    found = {}
    if _is_ours(copy):
        found[f"install: {copy}"] = copy
    if _is_ours(line):
        found[f"install: {line}"] = STARTUP
    path = "" if sys.flags.ignore_environment else os.environ.get("PYTHONPATH", "")
    if SITEDIR in map(os.path.abspath, path.split(os.pathsep)):
        found[f"PYTHONPATH: {SITEDIR}"] = STARTUP
    ways = [way for way, file in found.items() if file in waiting]
    ways += [f"another copy: {file}" for file in waiting if file not in found.values()]
    if importing:
        ways.append("import: " + (", ".join(filter(None, importing)) or "a .pth file"))
    notes = []
    if switched_off():
        notes.append("DASHSCOPE_WS_PATCH switches it off")
    elif not sys.flags.no_site:
        for file in sorted(set(found.values()).difference(waiting)):
            notes.append(f"a sitecustomize that comes first keeps {file} from running")
    workspace = source = None
    try:
        workspace, source = _workspace.environment()
        workspace = workspace and _workspace.masked(workspace)
    except _workspace.WorkspaceError as error:
        notes.append(str(error))
    return Status(sys.executable, bool(ways), ways, workspace, source, notes)


def _probe() -> tuple[list[str], list[str | None]]:
    switches = {"isolated": "-I", "ignore_environment": "-E", "no_site": "-S"}
    flags = [switch for name, switch in switches.items() if getattr(sys.flags, name)]
    output = subprocess.run(
        [sys.executable, *flags, "-c", _PROBE], stdout=subprocess.PIPE, text=True
    ).stdout
    found: tuple[list[str], list[str | None]] = ast.literal_eval(output.splitlines()[-1])
    return found
