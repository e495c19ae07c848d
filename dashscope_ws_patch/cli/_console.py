"""What every command owes to the console that it prints on."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from collections.abc import Iterator

from ..hint import refusals


@contextlib.contextmanager
def any_console() -> Iterator[None]:
    """Inside, nothing that is printed fails for the encoding of a stream, and a reader that closes
    its end of the pipe (``| head``) ends the command quietly, with the status that a shell gives to
    a program that SIGPIPE ends. A full disk ends it with one line."""
    for stream in (sys.stdout, sys.stderr):  # None where they are closed
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        try:
            yield
        finally:
            if sys.stdout is not None:
                sys.stdout.flush()
    except OSError as error:
        if error.errno not in (errno.EPIPE, errno.ENOSPC):
            raise
        if error.errno == errno.ENOSPC:
            with contextlib.suppress(OSError):
                print(f"dashscope-ws-patch: {error.strerror}", file=sys.stderr, flush=True)
        # The interpreter flushes both once more when it exits.
        with contextlib.suppress(OSError, AttributeError):
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, sys.stdout.fileno())
            os.dup2(null, sys.stderr.fileno())
        raise SystemExit(141 if error.errno == errno.EPIPE else 1) from None


def language(asked: str | None = None) -> str:
    """The language to print in: the one ``asked`` for, else the locale's where stdout can show it.

    ``zh`` or ``en``.
    """
    found = asked or refusals.language()
    if not asked and found == "zh":
        try:
            "业务空间".encode(getattr(sys.stdout, "encoding", None) or "utf-8")
        except (UnicodeError, LookupError):
            return "en"
    return found
