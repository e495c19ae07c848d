"""status: what activates this interpreter, and which workspace it sends."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import sysconfig
import warnings
from dataclasses import dataclass, field
from importlib.machinery import PathFinder

from .. import _hosts, _workspace
from .._activation import CLIENTS, asked_for_libraries, switched_off
from .install import STARTUP, CommandError, is_current, is_ours
from .run import SITEDIR, probe

#: The one that the clients of the 2.x SDK ask before the others.
OF_CLIENTS = "DASHSCOPE_BASE_URL"
#: The variables that point the SDK at a host.
BASE_URLS = (
    "DASHSCOPE_HTTP_BASE_URL",
    "DASHSCOPE_WEBSOCKET_BASE_URL",
    "DASHSCOPE_COMPATIBLE_BASE_URL",
    OF_CLIENTS,
)


@dataclass
class Status:
    """What activates an interpreter that is started now, and the workspace that it would send."""

    python: str
    active: bool = False
    #: What activates it: "PYTHONPATH", "install" or "import", each with the file that does.
    ways: list[str] = field(default_factory=list)
    workspace: str | None = None
    #: The variable that the workspace comes from.
    source: str | None = None
    #: What stands in the way, or is worth knowing.
    notes: list[str] = field(default_factory=list)
    #: Whether something is wrong, be it active or not.
    wrong: bool = False
    #: Whether DASHSCOPE_WS_PATCH_CLIENTS asks for what is sent without the SDK.
    clients: bool = False

    def __str__(self) -> str:
        return "\n".join(
            [
                f"{self.python}: {'active' if self.active else 'not active'}",
                *(f"  by {way}" for way in self.ways),
                *(f"  {note}" for note in self.notes),
                f"workspace: {self.workspace or 'none'}"
                + (f", from {self.source}" if self.source else ""),
                f"without the SDK: {clients_in_words(self.clients)}",
            ]
        )


def clients_in_words(asked_for: bool) -> str:
    """What becomes of requests that are sent without the SDK."""
    return f"{'the same, by' if asked_for else 'left alone, no'} {CLIENTS}"


def status() -> Status:
    """Start an interpreter as this one was started, and see.

    Raises CommandError where it cannot be started, or says nothing.
    """
    found = activation()
    if found.active:
        _look_at_seams(found)
    _look_for_workspace(found)
    _look_at_switch(found)
    return found


def this_python() -> list[str]:
    """The command that starts an interpreter as this one was started."""
    switches = {"isolated": "-I", "ignore_environment": "-E", "no_site": "-S", "no_user_site": "-s"}
    flags = [switch for name, switch in switches.items() if getattr(sys.flags, name)]
    return [sys.executable, *flags]


def activation() -> Status:
    """What activates that interpreter; whether the SDK can then be imported is not tried.

    Raises CommandError where it cannot be started.
    """
    found = Status(sys.executable)
    try:
        waiting, imported, customize, path = probe(this_python(), os.environ)
    except (OSError, ValueError) as error:
        raise CommandError(f"cannot find out what a new interpreter does: {error}") from error
    files = list(waiting)
    line = os.path.join(sysconfig.get_path("purelib"), "dashscope_ws_patch.pth")
    if is_ours(line) and STARTUP in waiting:
        found.ways.append(f"install: {line}")
    elif is_ours(line) and not is_current(line):
        found.notes.append(f"{line} names a package that is not here: say install again")
    first = PathFinder.find_spec("sitecustomize", [entry for entry in path if entry])
    if SITEDIR in path:
        if STARTUP in waiting and (not found.ways or (first and first.origin == STARTUP)):
            found.ways.append(f"PYTHONPATH: {SITEDIR}")
        elif first and first.origin != STARTUP:
            found.notes.append(f"{first.origin} comes first, and keeps {STARTUP} from running")
    found.ways += [f"another copy: {file}" for file in files if file != STARTUP or not found.ways]
    if imported:
        found.ways.append("import: " + (", ".join(filter(None, customize)) or "a .pth file"))
    found.active = bool(found.ways)
    if switched_off():
        found.notes.append("DASHSCOPE_WS_PATCH switches it off")
    elif sys.flags.no_site:
        found.notes.append("-S loads no site: nothing but an import in the program reaches it")
    return found


# Imports the SDK, and prints "missing", "broken" and why, "bare" and why, or "patched" and the rows
# of the table that failed.
_SEAMS = """
import sys
print()
try:
    import dashscope
except BaseException as error:
    missing = getattr(error, "name", "") == "dashscope"
    found = ("missing" if missing else "broken", [repr(error)])
else:
    try:
        import dashscope_ws_patch._activation as a
        rows = a.report() if a.is_patched() else []
    except Exception as error:
        found = ("bare", [repr(error)])
    else:
        if [row for row in rows if row[1] == a.APPLIED]:
            found = ("patched", [f"{seam.module}.{seam.attributes} is not patched ({why})"
                     for seam, state, why in rows if state == a.FAILED])
        else:
            found = ("bare", [f"no row of the table fits {getattr(dashscope, '__file__', '')}"])
print(ascii(found))
"""


def _look_at_seams(found: Status) -> None:
    output = subprocess.run(
        [*this_python(), "-W", "ignore", "-c", _SEAMS],
        stdin=subprocess.DEVNULL,
        capture_output=True,
    )
    try:
        lines = output.stdout.decode("ascii", "replace").splitlines()
        state, reasons = ast.literal_eval(lines[-1])
    except (IndexError, SyntaxError) as error:
        raise CommandError("cannot find out what happens when dashscope is imported") from error
    told = [
        line.partition(": ")[2]
        for line in output.stderr.decode(errors="replace").splitlines()
        if line.startswith("dashscope_ws_patch is not active: ")
    ]
    if state == "missing":
        found.notes.append("dashscope is not installed here: there is nothing to patch")
    elif state == "broken":
        found.notes.append(f"dashscope cannot be imported: {reasons[0]}")
    elif state == "bare":
        found.notes.append(f"dashscope is imported without it: {'; '.join(told or reasons)}")
        found.active = False
    else:
        found.notes += reasons
    found.wrong = state != "missing" and bool(reasons)


def _look_for_workspace(found: Status) -> None:
    try:
        workspace, found.source = _workspace.environment()
        found.workspace = workspace and _workspace.masked(workspace)
    except _workspace.WorkspaceError as error:
        found.notes.append(str(error))
        found.wrong = True
    try:
        _workspace.require_scope()
    except _workspace.WorkspaceError:
        found.workspace = found.source = None
        found.notes.append(f"{_workspace.REQUIRE_SCOPE} has calls outside a scope refused")
    for variable in BASE_URLS:
        workspace = _hosts.workspace_in_host(os.environ.get(variable))
        if not workspace:
            continue
        shown = _workspace.masked(workspace)
        where = (
            "requests of 2.x clients go there"
            if variable == OF_CLIENTS  # natively with a header that names another
            else "a request would go there with no header"
        )
        found.notes.append(f"{variable} names {shown} in its host: {where}")
        if found.workspace and found.workspace != shown:
            found.wrong = True
            found.notes.append(f"{variable} wins over {found.source}, which names another")
        if variable == BASE_URLS[0]:  # most requests go there
            found.workspace, found.source = shown, variable


def _look_at_switch(found: Status) -> None:
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        found.clients = asked_for_libraries()
    notes = [str(warning.message).partition(": ")[2] for warning in told]
    if found.clients:
        try:
            _hosts.in_url("https://dashscope.aliyuncs.com/")
        except _workspace.WorkspaceError as error:
            notes.append(str(error))
    found.notes += notes
    found.wrong = found.wrong or bool(notes)
