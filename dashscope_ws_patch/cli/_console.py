"""What every command owes to the console that it prints on."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import sys
import threading
import unicodedata
from collections.abc import Iterator

from ..hint import refusals
from ._language import _


@contextlib.contextmanager
def any_console() -> Iterator[None]:
    """Inside, nothing that is printed fails for the encoding of a stream, and a reader that closes
    its end of the pipe (``| head``) ends the command quietly, with the status that a shell gives to
    a program that SIGPIPE ends. A full disk and Ctrl-C end it with one line."""
    for stream in (sys.stdout, sys.stderr):  # None where they are closed
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        try:
            yield
        finally:
            if sys.stdout is not None:
                sys.stdout.flush()
    except KeyboardInterrupt:
        tell(f"dashscope-ws-patch: {_('interrupted')}")
        raise SystemExit(130) from None
    except OSError as error:
        if error.errno not in (errno.EPIPE, errno.ENOSPC):
            raise
        if error.errno == errno.ENOSPC:
            with contextlib.suppress(OSError):
                tell(f"dashscope-ws-patch: {error.strerror}")
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


def tell(line: str) -> None:
    """Print ``line`` on stderr, at once."""
    print(line, file=sys.stderr, flush=True)


@contextlib.contextmanager
def patience(line: str, seconds: float = 2) -> Iterator[None]:
    """Tell ``line`` on stderr if the block takes longer than ``seconds``."""
    # This stderr: the block may show nothing of its own.
    timer = threading.Timer(seconds, print, [line], {"file": sys.stderr, "flush": True})
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def show(text: str, indent: str = "") -> None:
    """Print ``text`` whole: in one line or, on a terminal, wrapped to its width."""
    width = shutil.get_terminal_size().columns
    if not (os.environ.get("COLUMNS") or (sys.stdout is not None and sys.stdout.isatty())):
        width = sys.maxsize
    for line in text.splitlines() or [""]:
        print("\n".join(wrapped(line, width, indent)), flush=True)


def wrapped(line: str, width: int, indent: str = "") -> list[str]:
    """``line`` in rows of ``width`` columns; the later ones begin with ``indent``.

    A word that is longer than that, such as a path, stays whole. Chinese characters take two
    columns, and a row may end after each.
    """
    rows = [""]
    for word in re.findall(r"\s*(?:[^\s⺀-鿿＀-￯]+|\S)[，。：；、）？！”]*", line):
        if rows[-1].strip() and columns(rows[-1] + word) > width:
            rows.append(indent)
            word = word.lstrip()
        rows[-1] += word
    return rows


def columns(text: str) -> int:
    """How many columns of a terminal ``text`` takes."""
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text)


def printable(text: str) -> str:
    """``text`` of others without control characters."""
    return "".join(letter if letter.isprintable() else " " for letter in text)


def without_keys(text: str) -> str:
    """``text`` without what begins as the service's API keys do, and is not masked already."""
    return re.sub(r"(?ai)(?<![a-z0-9])sk-(?!\w?\.\.\.)[\w.+/=-]{4,}", "sk-... (an API key?)", text)
