"""The commands print on any console, and end quietly where nobody reads to the end."""

from __future__ import annotations

import itertools
import os
import shlex
import subprocess
import sys

import pytest
from environments import ROOT

ENCODINGS = ["utf-8", "gbk", "ascii", "latin-1", "cp1252"]
CLOSED = ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"]
#: Each has something to say that no Latin alphabet holds.
QUICK = [
    ["--help"],
    ["--version"],
    ["explain", "--lang", "zh", "App.AccessDenied", "Workspace.AccessDenied"],
    ["explain", "没有"],
    ["run", "--", "/no/such/程序"],
    ["run", "-w", "空间", "--", "true"],
    ["sitedir"],
    ["install", "空间"],
    ["uninstall", "空间"],
]
#: They start interpreters of their own: each is tried on some consoles.
STATUS, CHECK, DOCTOR = ["status"], ["check", "--lang", "zh"], ["doctor"]


def environment(**variables: str) -> dict[str, str]:
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("DASHSCOPE", "PYTHON", "LC_", "LANG"))
    }
    return {**kept, "HOME": os.devnull, "DASHSCOPE_WORKSPACE": "空间", **variables}


def command(*arguments: str, **variables: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "dashscope_ws_patch", *arguments],
        env=environment(**variables),
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )


@pytest.mark.parametrize(
    "arguments, encoding, locale",
    [
        *itertools.product(QUICK, ENCODINGS, ["zh_CN.UTF-8"]),
        *itertools.product(QUICK, ["ascii"], ["C"]),
        *itertools.product([STATUS], ["ascii", "gbk"], ["zh_CN.UTF-8"]),
        (CHECK, "ascii", "zh_CN.UTF-8"),
        (DOCTOR, "cp1252", "zh_CN.UTF-8"),
    ],
    ids=str,
)
def test_p17_prints_on_any_console(arguments: list[str], encoding: str, locale: str) -> None:
    said = command(*arguments, PYTHONIOENCODING=f"{encoding}:strict", LC_ALL=locale)
    text = (said.stdout + said.stderr).decode(encoding)
    assert text.strip() and "Traceback" not in text
    if arguments in (STATUS, CHECK, DOCTOR):  # the workspace is none, which is said in full
        assert r"\u7a7a\u95f4" in text.encode("ascii", "backslashreplace").decode()
        assert said.returncode == 1
    else:
        assert said.returncode in (0, 2, 127)


def test_p17_says_it_in_the_language_that_the_console_can_show() -> None:
    for encoding, word in (("gbk", "含义"), ("cp1252", "meaning")):
        said = command(
            "explain", "Arrearage", PYTHONIOENCODING=encoding, LC_ALL="zh_CN.UTF-8"
        ).stdout.decode(encoding)
        assert word in said


@pytest.mark.parametrize("arguments", [*QUICK, STATUS, CHECK, DOCTOR], ids=" ".join)
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
    # Where all is said on stderr nobody notices; argparse lets a failure to print its help pass.
    assert ran.returncode in ((2, 127) if ran.stderr and arguments in QUICK else (141, 0))


@pytest.mark.skipif(os.name == "nt", reason="closes streams with the syntax of a shell")
@pytest.mark.parametrize(
    "arguments, closed",
    [
        *itertools.product([["explain", "没有"]], CLOSED[:-1]),
        *itertools.product([*QUICK, STATUS, CHECK], CLOSED[-1:]),
    ],
    ids=str,
)
def test_p17_streams_may_be_closed(arguments: list[str], closed: str) -> None:
    words = [sys.executable, "-m", "dashscope_ws_patch", *arguments]
    line = f"{shlex.join(words)} {closed}"
    ran = subprocess.run(["sh", "-c", line], cwd=ROOT, capture_output=True, check=False)
    assert ran.returncode in (0, 1, 2, 127)
    assert b"Traceback" not in ran.stderr and b"Exception ignored" not in ran.stderr


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")
def test_p17_a_full_disk_is_one_line() -> None:
    with open("/dev/full", "wb") as full:
        ran = subprocess.run(
            [sys.executable, "-m", "dashscope_ws_patch", "sitedir"],
            cwd=ROOT,
            stdout=full,
            stderr=subprocess.PIPE,
            check=False,
        )
    assert (ran.returncode, ran.stderr.count(b"\n")) == (1, 1), ran.stderr


@pytest.mark.parametrize("before", [[], ["run"], ["status"], ["explain"], ["install"]])
def test_p17_an_unknown_option_is_called_by_its_name(before: list[str]) -> None:
    said = command(*before, "--nonsense=1", "more")
    assert said.returncode == 2
    assert said.stderr.decode().endswith("unknown option: --nonsense\n")
