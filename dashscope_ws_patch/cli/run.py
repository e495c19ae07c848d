"""run: a command with each Python process below it activated.

What activates it is the start-up file in the folder ``site``, on PYTHONPATH.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress

from .. import _workspace

#: The folder whose sitecustomize.py activates each Python that has it on PYTHONPATH.
SITEDIR = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "site")


def run(command: list[str], workspace: str | None = None) -> int:
    """Become ``command``, with each Python process below it activated.

    ``workspace``, if given, becomes DASHSCOPE_WORKSPACE; raises WorkspaceError if it is malformed.
    Returns only where there is no exec (Windows: the command's own status) and where the command
    does not exist (127) or cannot be executed (126), as in a shell.
    """
    environment = dict(os.environ)
    if workspace is not None:
        environment["DASHSCOPE_WORKSPACE"] = _workspace.validate(workspace, "-w")
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
