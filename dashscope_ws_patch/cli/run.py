"""run: a command with each Python process below it activated.

What activates it is the start-up file in the folder ``site``, on PYTHONPATH. A command that this
does not reach, as far as can be seen from outside, is started all the same, and told of on stderr.
"""

from __future__ import annotations

import ast
import mmap
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Optional

from .. import _workspace
from .._activation import CLIENTS

#: The folder whose sitecustomize.py activates each Python that has it on PYTHONPATH.
SITEDIR = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "site")


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
    with suppress(OSError, ValueError):
        problem = _unreached(command, environment)
        if problem:
            print(f"dashscope-ws-patch run: {problem}", file=sys.stderr, flush=True)
    try:
        return _become(command, environment)
    except (OSError, ValueError) as error:  # ValueError: an empty name
        reason = getattr(error, "strerror", None) or error
        print(f"dashscope-ws-patch run: {command[0]}: {reason}", file=sys.stderr)
        return 127 if isinstance(error, (FileNotFoundError, ValueError)) else 126


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


# What cannot be reached

_PYTHON = re.compile(r"(python|pypy)[\d.]*[td]*(\.exe)?")
_STARTS_OTHERS = re.compile(
    rb"\0(exec[lv]p?e?|execvpe|execveat|fexecve|posix_spawnp?|system|popen|v?fork|clone3?|dlopen)\0"
)
#: The marks that tools leave in what they freeze.
_FROZEN = {
    b"MEI\014\013\012\013\016": "PyInstaller",
    b"__nuitka": "Nuitka",
    b"cx_Freeze": "cx_Freeze",
}

#: Tools that put a sitecustomize of their own first, which runs no other.
_FIRST = ("opentelemetry-instrument", "elasticapm-run")


def _unreached(command: Sequence[str], environment: Mapping[str, str]) -> str | None:
    """Why ``command`` will not be reached, as far as its words and its file show; else None."""
    program = shutil.which(command[0], path=environment.get("PATH"))
    if program is None:
        return None
    name, rest = os.path.basename(program), list(command[1:])
    if name == "env":
        while rest and (rest[0].startswith("-") or "=" in rest[0]):
            word = rest.pop(0)
            if word in ("-i", "-", "--ignore-environment") or word.startswith("PYTHONPATH="):
                return f"env {word} takes PYTHONPATH away: what it starts is not reached"
            if word in ("-u", "-C", "--unset", "--chdir") and rest:
                rest.pop(0)
        return _unreached(rest, environment) if rest else None
    if _PYTHON.fullmatch(name):
        switches = _switches(rest)
        letters = {letter for switch in switches for letter in switch if letter in "SIE"}
        if not letters or waiting([program, *switches], environment):
            return None
        if "S" in letters:
            return f"{name} -S loads no site: only an import in the program itself reaches it"
        return (
            f"{name} -{min(letters)} reads no PYTHONPATH, and is not reached: install the package "
            f"there, and say `{program} -m dashscope_ws_patch install`, once"
        )
    with open(program, "rb") as file:
        if file.read(2) == b"#!":
            line = file.readline(256).decode(errors="replace").split()
            if name in _FIRST and line and not waiting([line[0], "-E"], environment):
                return (
                    f"{name} puts a sitecustomize first that runs no other: say "
                    f"`{name} dashscope-ws-patch run -- ...`, in this order"
                )
            return _unreached([*line, program, *rest], environment) if line else None
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            for mark, tool in _FROZEN.items():
                if content.find(mark) >= 0:
                    return (
                        f"{name} was frozen by {tool}, and reads no PYTHONPATH: it is not reached, "
                        "unless it was made with `import dashscope_ws_patch` in it"
                    )
            dynamic = content[:4] == b"\x7fELF" and content.find(b"/ld-", 0, 4096) >= 0
            if dynamic and not _STARTS_OTHERS.search(content):
                return f"{name} is no Python and starts no other program: nothing to reach"
    return None


def _switches(arguments: Sequence[str]) -> list[str]:
    """Those of a Python's arguments that are for itself, without what ends them (-c, -m)."""
    found: list[str] = []
    rest = list(arguments)
    while rest and rest[0].startswith("-") and rest[0] not in ("-", "--"):
        word = rest.pop(0)
        end = re.match(r"-[A-Za-z]*?([cmWX])", word)
        if end and end[1] in "cm":
            if len(end[0]) > 2:
                found.append(end[0][:-1])
            break
        found.append(word)
        if (end and end[0] == word) or word == "--check-hash-based-pycs":
            found += [rest.pop(0)] if rest else []
    return found


#: Prints the files of the start-up finders that wait in an interpreter and, if the package itself
#: has been imported by then, the files that can have done that. It imports nothing itself.
_PROBE = """
import sys
waiting = [getattr(f, "dashscope_ws_patch", None) for f in sys.meta_path]
package = sys.modules.get("dashscope_ws_patch")
names = ["sitecustomize", "usercustomize"]
print()
print(ascii(([f for f in waiting if f], package is not None and package.is_patched(), [
    getattr(sys.modules.get(n), "__file__", None) for n in names], sys.path)))
"""


Probe = tuple[list[str], bool, list[Optional[str]], list[str]]


def probe(python: Sequence[str], environment: Mapping[str, str]) -> Probe:
    """What a start of ``python`` (its command, with switches) has of ours: the files of the finders
    that wait, whether the package has been imported, the files of sitecustomize and usercustomize,
    and sys.path.

    Raises OSError and ValueError where that cannot be found out.
    """
    done = subprocess.run(
        [*python, "-c", _PROBE],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    lines = done.stdout.decode("ascii", "replace").splitlines()
    try:
        found: Probe = ast.literal_eval(lines[-1])
    except (IndexError, SyntaxError) as error:
        raise ValueError(f"{python[0]} ends with status {done.returncode}") from error
    return found


def waiting(python: Sequence[str], environment: Mapping[str, str]) -> bool:
    """Whether a start of ``python`` is activated."""
    files, imported, *_more = probe(python, environment)
    return bool(files) or imported
