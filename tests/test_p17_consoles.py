"""The commands print on any console, and end quietly where nobody reads to the end."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
COMMANDS = [
    ["explain", "--lang", "zh", "App.AccessDenied", "Workspace.AccessDenied"],
    ["explain", "Nothing.Known"],
    ["status"],
    ["--help"],
]
#: Starts interpreters of its own: not tried with each encoding.
CHECK = ["check", "--lang", "zh"]


def command(*arguments: str, **variables: str) -> subprocess.CompletedProcess[bytes]:
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("DASHSCOPE", "PYTHON", "LC_", "LANG"))
    }
    return subprocess.run(
        [sys.executable, "-m", "dashscope_ws_patch", *arguments],
        env={**kept, "HOME": os.devnull, **variables},
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )


@pytest.mark.parametrize("encoding", ["utf-8", "gbk", "ascii", "latin-1", "cp1252"])
@pytest.mark.parametrize("locale", ["C", "zh_CN.UTF-8"])
@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_p17_prints_on_any_console(arguments: list[str], encoding: str, locale: str) -> None:
    said = command(*arguments, PYTHONIOENCODING=encoding, LC_ALL=locale)
    assert said.returncode in (0, 1, 2)
    text = (said.stdout + said.stderr).decode(encoding)
    assert text.strip() and "Traceback" not in text


@pytest.mark.parametrize("encoding", ["gbk", "ascii"])
def test_p17_check_prints_on_any_console(encoding: str) -> None:
    said = command(*CHECK, PYTHONIOENCODING=encoding)
    assert said.returncode == 1
    assert "Traceback" not in (said.stdout + said.stderr).decode(encoding)


def test_p17_says_it_in_the_language_that_the_console_can_show() -> None:
    for encoding, word in (("gbk", "含义"), ("cp1252", "meaning")):
        said = command(
            "explain", "Arrearage", PYTHONIOENCODING=encoding, LC_ALL="zh_CN.UTF-8"
        ).stdout.decode(encoding)
        assert word in said


@pytest.mark.parametrize("arguments", [*COMMANDS, CHECK, ["doctor"]], ids=" ".join)
def test_p17_a_pipe_that_closes_ends_it_quietly(arguments: list[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as closed:
        ran = subprocess.run(
            [sys.executable, "-m", "dashscope_ws_patch", *arguments],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=closed,
            stderr=subprocess.PIPE,
            check=False,
        )
    assert b"Broken" not in ran.stderr and b"Traceback" not in ran.stderr
    # 2 where all is said on stderr; argparse itself lets a failure to print its help pass.
    assert ran.returncode in (141, 2, 0)


@pytest.mark.skipif(os.name == "nt", reason="closes streams with the syntax of a shell")
@pytest.mark.parametrize(
    "arguments, closed",
    [
        *itertools.product(COMMANDS, ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"]),
        (CHECK, "<&- >&- 2>&-"),
    ],
    ids=str,
)
def test_p17_streams_may_be_closed(arguments: list[str], closed: str) -> None:
    line = " ".join([sys.executable, "-m", "dashscope_ws_patch", *arguments, closed])
    ran = subprocess.run(["sh", "-c", line], cwd=ROOT, capture_output=True, check=False)
    assert ran.returncode in (0, 1, 2)
    assert b"Traceback" not in ran.stderr


@pytest.mark.parametrize("before", [[], ["run"], ["status"], ["explain"], ["install"]])
def test_p17_an_unknown_option_is_called_by_its_name(before: list[str]) -> None:
    said = command(*before, "--nonsense=1", "more")
    assert said.returncode == 2
    assert said.stderr.decode().endswith("unknown option: --nonsense\n")
