"""The command line: reads the arguments and hands over to the module of the subcommand.

Bad arguments, and whatever a subcommand refuses, end in one line on stderr and exit status 2.
"""

from __future__ import annotations

import argparse
import importlib
import re
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from .. import __version__
from .._workspace import WorkspaceError, masked
from . import _language
from ._console import any_console, language, without_keys
from ._language import _
from .install import CommandError

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

#: The module of each: it has add_arguments(parser) and main(namespace) -> int.
MODULES = {
    name: {"doctor": "..selftest.doctor", "sitedir": ".install", "uninstall": ".install"}.get(
        name, f".{name}"
    )
    for name in COMMANDS
}


class _Parser(argparse.ArgumentParser):
    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        # Where an argument is missing too, argparse would not speak of an option that is unknown.
        for given in sys.argv[1:] if args is None else args:
            if not given.startswith("-") or given in ("-", "--") or given[1].isdigit():
                break  # the latter is a value, and no option
            name = given.partition("=")[0]
            short = not given.startswith("--") and given[:2] in self._option_string_actions
            if name not in self._option_string_actions and not short:
                self.error(_("unknown option: {name}", name=_hidden(name)))
        return super().parse_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        self.fail(_hidden(message))

    def fail(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {_language.of_shim(without_keys(message))}\n")


def _hidden(message: str) -> str:
    """``message``, in which argparse quotes what was given, and that may be a key."""
    # ASCII alone: a Chinese sentence has no blanks between its words.
    return re.sub(r"[!#-&(-~]+", lambda word: masked(word[0]), message)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line ``arguments`` (default: the process's own); return the exit status."""
    with any_console():
        _language.use(language())
        with _language.of_argparse():
            return _main(arguments)


def _main(arguments: Sequence[str] | None) -> int:
    parser = _Parser(
        prog=PROGRAM,
        allow_abbrev=False,
        usage="%(prog)s [-h] [--version] command ...",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description=_("Each request of the dashscope SDK carries its workspace."),
        epilog=f"{_('commands:')}\n"
        + "".join(f"  {name:10}{_(what)}\n" for name, what in COMMANDS.items()),
    )
    parser.add_argument(
        "--version",
        action="version",
        version=f"{PROGRAM} {__version__}",
        help=_("show program's version number and exit"),
    )
    # The nargs of argparse's own subcommands, which would need all their arguments up front.
    parser.add_argument("command", nargs=argparse.PARSER, choices=COMMANDS, help=argparse.SUPPRESS)
    name, *rest = parser.parse_args(arguments).command

    parser = _Parser(prog=f"{PROGRAM} {name}", allow_abbrev=False, description=_(COMMANDS[name]))
    module: Any = importlib.import_module(MODULES[name], __package__)
    module.add_arguments(parser)
    if name != "run":
        languages = ("en", "zh")
        help = _("instead of the locale's language")
        parser.add_argument("--lang", choices=languages, help=help)
    namespace = parser.parse_args(rest)
    namespace.name = name
    _language.use(language(getattr(namespace, "lang", None)))
    try:
        code: int = module.main(namespace)
    except (CommandError, WorkspaceError) as error:
        parser.fail(str(error))
    return code
