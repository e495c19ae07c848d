"""Activation with no import in the program: run, sitedir, install, uninstall, status.

All of them come down to the start-up file in the folder ``site``: on PYTHONPATH, as a copy in
site-packages, or named by a .pth file there.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import os
import py_compile
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib.machinery import PathFinder

from .. import _workspace
from .._activation import CLIENTS, switched_off

#: The folder whose sitecustomize.py activates each Python that has it on PYTHONPATH.
SITEDIR = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "site")

_STARTUP = os.path.join(SITEDIR, "sitecustomize.py")


class Refusal(Exception):
    """What was asked for cannot be done, and nothing was changed; the message says why."""


# run


def run(command: list[str], workspace: str | None = None, clients: bool = False) -> int:
    """Become ``command``, with each Python process below it activated.

    ``workspace``, if given, becomes DASHSCOPE_WORKSPACE; raises WorkspaceError if it is malformed.
    ``clients`` sets DASHSCOPE_WS_PATCH_CLIENTS.
    Returns only where there is no exec (Windows: the command's own status) and where the command
    does not exist (127) or cannot be executed (126), as in a shell.
    """
    environment = dict(os.environ)
    if workspace is not None:
        environment["DASHSCOPE_WORKSPACE"] = _workspace.validate(workspace, "-w")
    if clients:
        environment[CLIENTS] = "1"
    before = environment.get("PYTHONPATH")
    if before is None or before.split(os.pathsep)[0] != SITEDIR:
        environment["PYTHONPATH"] = SITEDIR + os.pathsep + before if before else SITEDIR
    try:
        return _become(command, environment)
    except OSError as error:
        reason = error.strerror or error
        print(f"dashscope-ws-patch run: {command[0]}: {reason}", file=sys.stderr)
        return 127 if isinstance(error, FileNotFoundError) else 126


def _become(command: list[str], environment: Mapping[str, str]) -> int:
    if sys.platform == "win32":
        with subprocess.Popen(command, env=environment) as child:
            while True:
                with suppress(KeyboardInterrupt):  # the child gets its own
                    return child.wait()
    # Python ignores these two for itself, and what is ignored stays so in the new program.
    for name in ("SIGPIPE", "SIGXFSZ"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_DFL)
    os.execvpe(command[0], command, environment)


# install, uninstall


def install(system: bool = False) -> list[str]:
    """Activate this environment for good; return what was done, in lines.

    Writes sitecustomize.py into site-packages, or a .pth file where another sitecustomize can be
    imported. Raises Refusal outside a virtual environment, unless ``system``; where the package
    itself is not installed; and where a file cannot be written or would have to be overwritten.
    """
    folder = _site_packages(system)
    _check_installed()
    copy, line = _targets(folder)
    wanted, other = (line, copy) if _foreign(copy) else (copy, line)
    content = _sealed(_line() if wanted == line else _read(_STARTUP))
    if _read(wanted) == content:
        lines = [f"already installed: {wanted}"]
    elif os.path.lexists(wanted) and not _is_ours(wanted):
        raise Refusal(f"{wanted} is not ours: move it away, then install again")
    else:
        _write(wanted, content)
        lines = [f"written: {wanted}", f"each Python of {sys.prefix} now waits for dashscope"]
    if _is_ours(other):
        _remove(other)
        lines.append(f"removed: {other}")
    return lines


def uninstall(system: bool = False) -> list[str]:
    """Remove what ``install`` wrote; return what was done, in lines.

    Raises Refusal outside a virtual environment, unless ``system``, and for a file that cannot be
    removed or that somebody has changed.
    """
    targets = _targets(_site_packages(system))
    removed = [target for target in targets if _is_ours(target)]
    for target in targets:
        if _SEAL in _read(target) and target not in removed:
            raise Refusal(f"{target} was changed since install wrote it: remove it by hand")
    for target in removed:
        _remove(target)
    return [f"removed: {target}" for target in removed] or ["not installed: nothing to remove"]


def _site_packages(system: bool) -> str:
    if sys.prefix == sys.base_prefix and not system:
        raise Refusal(
            f"{sys.prefix} is no virtual environment: say --system to mean this Python itself"
        )
    return sysconfig.get_path("purelib")


def _targets(folder: str) -> tuple[str, str]:
    """The copy of the start-up file and the .pth file."""
    return os.path.join(folder, "sitecustomize.py"), os.path.join(folder, "dashscope_ws_patch.pth")


def _check_installed() -> None:
    # This process may have found the package in its working directory or on PYTHONPATH.
    probe = "import importlib.util as u, sys; sys.exit(u.find_spec('dashscope_ws_patch') is None)"
    if subprocess.run([sys.executable, "-I", "-c", probe]).returncode:
        raise Refusal(f"dashscope-ws-patch is not installed in {sys.prefix}: pip install it first")


def _foreign(copy: str) -> bool:
    """Whether a sitecustomize that is not ours can be imported."""
    path = [entry for entry in sys.path if entry not in (SITEDIR, os.path.dirname(copy))]
    ahead = PathFinder.find_spec("sitecustomize", path)
    here = PathFinder.find_spec("sitecustomize", [os.path.dirname(copy)])
    return ahead is not None or (here is not None and not _is_ours(copy))


def _line() -> bytes:
    # The start-up file again, ahead of the other sitecustomize, which it runs in its turn. To write
    # the finder into this line would cost more: Python compiles the line at each start.
    return f"import sys; sys.path.insert(0, {SITEDIR!a})".encode()


_SEAL = b"  # dashscope_ws_patch "


def _sealed(content: bytes) -> bytes:
    """Mark ``content`` as ours; the digest tells later whether anybody has changed it."""
    content = content.rstrip(b"\n")
    return content + _SEAL + hashlib.sha256(content).hexdigest().encode() + b"\n"


def _is_ours(path: str) -> bool:
    content = _read(path)
    return bool(content) and content == _sealed(content.rpartition(_SEAL)[0])


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return b""


def _write(path: str, content: bytes) -> None:
    partial = f"{path}.{os.getpid()}"
    try:
        try:
            with open(partial, "xb") as file:
                file.write(content)
            os.replace(partial, path)
        finally:
            with suppress(FileNotFoundError):
                os.remove(partial)
    except OSError as error:
        raise Refusal(f"cannot write {path}: {error.strerror or error}") from error
    if path.endswith(".py"):
        # With PYTHONDONTWRITEBYTECODE, usual in containers, each start would compile it anew.
        with suppress(OSError, py_compile.PyCompileError):
            py_compile.compile(path)


def _remove(path: str) -> None:
    try:
        os.remove(path)
    except OSError as error:
        raise Refusal(f"cannot remove {path}: {error.strerror or error}") from error
    if path.endswith(".py"):
        for level in ("", "1", "2"):
            compiled = importlib.util.cache_from_source(path, optimization=level)
            with suppress(OSError):
                os.remove(compiled)
            with suppress(OSError):  # only an empty folder can be removed
                os.rmdir(os.path.dirname(compiled))


# status


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
        found[f"install: {line}"] = _STARTUP
    path = "" if sys.flags.ignore_environment else os.environ.get("PYTHONPATH", "")
    if SITEDIR in map(os.path.abspath, path.split(os.pathsep)):
        found[f"PYTHONPATH: {SITEDIR}"] = _STARTUP
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
