"""The command line: reads the arguments and hands over to the module of the subcommand.

Bad arguments, and whatever a subcommand refuses, end in one line on stderr and exit status 2.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from .. import __version__
from .._workspace import WorkspaceError, masked
from ._console import any_console
from .install import CommandError, install, uninstall
from .run import SITEDIR, run
from .status import status

PROGRAM = "dashscope-ws-patch"

#: The subcommands and what each does, in the order of the help.
COMMANDS = {
    "doctor": "drive every surface of the SDK against a local service, and show the header",
    "check": "ask the service with your key: is it the key, the workspace, or the model?",
    "explain": "say what an error of the service means and what to do about it",
    "run": "run a command with each Python process below it activated",
    "sitedir": "print the folder that activates each Python that has it on PYTHONPATH",
    "install": "activate this environment for good",
    "uninstall": "undo install",
    "status": "say what activates this interpreter, and which workspace it sends",
}

#: Subcommands with a module of their own: it has add_arguments(parser) and main(namespace) -> int.
MODULES = {"check": ".check", "doctor": "..selftest.doctor", "explain": ".explain"}


class _Parser(argparse.ArgumentParser):
    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        # Where an argument is missing too, argparse would not speak of an option that is unknown.
        for given in sys.argv[1:] if args is None else args:
            if not given.startswith("-") or given in ("-", "--") or given[1].isdigit():
                break  # the latter is a value, and no option
            short = not given.startswith("--") and given[:2] in self._option_string_actions
            if given.partition("=")[0] not in self._option_string_actions and not short:
                self.error(f"unknown option: {given.partition('=')[0]}")
        return super().parse_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        # An argument that is quoted may be a key in the wrong place.
        self.exit(2, f"{self.prog}: {masked(message)}\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line ``arguments`` (default: the process's own); return the exit status."""
    with any_console():
        return _main(arguments)


def _main(arguments: Sequence[str] | None) -> int:
    parser = _Parser(
        prog=PROGRAM,
        allow_abbrev=False,
        usage="%(prog)s [-h] [--version] command ...",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Each request of the dashscope SDK carries its workspace.",
        epilog="commands:\n" + "".join(f"  {name:10}{what}\n" for name, what in COMMANDS.items()),
    )
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    # The nargs of argparse's own subcommands, which would need all their arguments up front.
    parser.add_argument("command", nargs=argparse.PARSER, choices=COMMANDS, help=argparse.SUPPRESS)
    name, *rest = parser.parse_args(arguments).command

    parser = _Parser(prog=f"{PROGRAM} {name}", allow_abbrev=False, description=COMMANDS[name])
    module = importlib.import_module(MODULES[name], __package__) if name in MODULES else None
    (module.add_arguments if module else _add_arguments)(parser)
    namespace = parser.parse_args(rest)
    try:
        code: int = module.main(namespace) if module else _perform(name, namespace)
    except (CommandError, WorkspaceError) as error:
        parser.error(str(error))
    return code


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    name = parser.prog.rpartition(" ")[2]
    if name == "run":
        parser.usage = "%(prog)s [-h] [-w WORKSPACE] [--clients] [--] command ..."
        parser.add_argument("-w", "--workspace", help="the value for DASHSCOPE_WORKSPACE")
        parser.add_argument(
            "--clients",
            action="store_true",
            help="set DASHSCOPE_WS_PATCH_CLIENTS: what is sent without the SDK carries it too",
        )
        # REMAINDER, which stands in argparse's documentation, would take -w for the command.
        parser.add_argument("command", nargs=argparse.PARSER, help="the command and its arguments")
    elif name in ("install", "uninstall"):
        parser.add_argument(
            "--system", action="store_true", help="also where this is no virtual environment"
        )
    elif name == "status":
        parser.add_argument("--json", action="store_true", help="print one JSON object")


def _perform(name: str, namespace: argparse.Namespace) -> int:
    if name == "run":
        command: list[str] = namespace.command
        command = command[command[0] == "--" :]
        return run(command, namespace.workspace, namespace.clients)
    if name == "status":
        found = status()
        print(json.dumps(found.__dict__) if namespace.json else found)
        return 0 if found.active and not found.wrong else 1
    if name == "sitedir":
        print(SITEDIR)
    else:
        change = install if name == "install" else uninstall
        print("\n".join(change(system=namespace.system)))
    return 0
