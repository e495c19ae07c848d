"""run: a command with each Python process below it activated.

What activates it is the start-up file in the folder ``site``, on PYTHONPATH. What cannot be known
from the words of the command alone, such as whether a program is a Python at all, is left unsaid.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress

from .. import _hosts, _workspace
from .._activation import CLIENTS
from ._console import tell
from ._language import _

#: The folder whose sitecustomize.py activates each Python that has it on PYTHONPATH.
SITEDIR = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "site")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what ``run`` takes on the command line."""
    parser.usage = "%(prog)s [-h] [-w WORKSPACE] [--clients] [--own-host [REGION]] [--] command ..."
    parser.add_argument("-w", "--workspace", help=_("the value for DASHSCOPE_WORKSPACE"))
    parser.add_argument(
        "--clients",
        action="store_true",
        help=_("set DASHSCOPE_WS_PATCH_CLIENTS: what is sent without the SDK carries it too"),
    )
    parser.add_argument(
        "--own-host",
        nargs="?",
        const="1",
        type=_region,
        metavar="REGION",
        help=_("set DASHSCOPE_WS_PATCH_OWN_HOST: requests go to the workspace's own host"),
    )
    # REMAINDER, which stands in argparse's documentation, would take -w for the command.
    parser.add_argument("command", nargs=argparse.PARSER, help=_("the command and its arguments"))


def _region(value: str) -> str:
    # argparse would take the command for it.
    if value.lower() in (*_workspace.ON, *_workspace.OFF) or re.fullmatch(
        "[a-z]{2}(-[a-z0-9]+)+", value
    ):
        return value
    told = _("{value} is no region, such as eu-central-1; before a command say: --own-host --",
             value=repr(_workspace.masked(value)))  # fmt: skip
    raise argparse.ArgumentTypeError(told)


def main(namespace: argparse.Namespace) -> int:
    """Become the command."""
    command: list[str] = namespace.command
    command = command[command[0] == "--" :]
    variables = {
        _workspace.OWN_HOST: namespace.own_host,
        CLIENTS: "1" if namespace.clients else None,
    }
    return run(command, namespace.workspace, variables)


def run(
    command: list[str],
    workspace: str | None = None,
    variables: Mapping[str, str | None] | None = None,
) -> int:
    """Become ``command``, with each Python process below it activated.

    ``workspace``, if given, becomes DASHSCOPE_WORKSPACE; raises WorkspaceError if it is malformed.
    ``variables`` are set too, those that are not None.
    Returns only where there is no exec (Windows: the command's own status) and where the command
    does not exist (127) or cannot be executed (126), as in a shell.
    """
    environment = dict(os.environ)
    if workspace is not None:
        environment["DASHSCOPE_WORKSPACE"] = _workspace.validate(workspace, "-w")
    for name, value in (variables or {}).items():
        if value is not None:
            environment[name] = value
    before = environment.get("PYTHONPATH")
    if before is None or before.split(os.pathsep)[0] != SITEDIR:
        environment["PYTHONPATH"] = SITEDIR + os.pathsep + before if before else SITEDIR
    for said in filter(None, (_without_a_workspace(environment), _unreached(command))):
        tell(f"dashscope-ws-patch run: {said}")
    try:
        return _become(command, environment)
    except (OSError, ValueError) as error:  # ValueError: an empty name
        reason = getattr(error, "strerror", None) or error
        tell(f"dashscope-ws-patch run: {command[0]}: {reason}")
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


def _without_a_workspace(environment: Mapping[str, str]) -> str | None:
    """What to say where nothing in ``environment`` names a workspace, and no scope is demanded."""
    named = any(environment.get(name, "").strip() for name in _workspace.VARIABLES)
    if named or environment.get(_workspace.REQUIRE_SCOPE, "").strip():
        return None
    if any(
        _hosts.workspace_in_host(value)
        for name, value in environment.items()
        if name.startswith("DASHSCOPE_") and name.endswith("BASE_URL")
    ):
        return None
    config = environment.get("DASHSCOPE_CONFIG_PATH", "~/.dashscope/config.toml")
    with suppress(OSError, UnicodeError), open(os.path.expanduser(config)) as file:
        if re.search(r"^\s*workspace\s*=", file.read(), re.MULTILINE):  # of the 2.x clients
            return None
    return _(
        "no workspace is set: requests carry one only inside `with use_workspace(...)`; say "
        "-w ws_..., or export DASHSCOPE_WORKSPACE"
    )


def _unreached(command: Sequence[str]) -> str | None:
    """What to say where the words of ``command`` show that PYTHONPATH will not be read."""
    name, word = os.path.basename(command[0]), command[1] if len(command) > 1 else ""
    if name == "env" and (word in ("-i", "-") or word.startswith("PYTHONPATH=")):
        return _("env {word} takes PYTHONPATH away: what it starts is not reached", word=word)
    if not re.fullmatch(r"(python|pypy)[\d.]*t?(\.exe)?", name):
        return None
    letters = re.match(r"-[bBdiIEOPqRsSuvx]+$", word)
    if letters and "S" in word:
        return _("{name} {word} loads no site: only an import in the program reaches it",
                 name=name, word=word)  # fmt: skip
    if letters and ("I" in word or "E" in word) and not _is_installed_beside(command[0]):
        return _(
            "{name} {word} reads no PYTHONPATH: it is reached only if `python -m "
            "dashscope_ws_patch install` was said in its environment",
            name=name, word=word,
        )  # fmt: skip
    return None


def _is_installed_beside(python: str) -> bool:
    """Whether ``python`` is of this environment, and ``install`` was said in it."""
    from .install import is_installed

    found = shutil.which(python) or ""
    return os.path.dirname(found) == os.path.dirname(sys.executable) and is_installed()
