"""All commands speak the reader's language: each sentence that they say has its Chinese."""

from __future__ import annotations

import ast
import os
import re
import string
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from environments import ROOT

from dashscope_ws_patch.cli import install
from dashscope_ws_patch.cli._language import CHINESE
from dashscope_ws_patch.cli.main import COMMANDS

PACKAGE = ROOT / "dashscope_ws_patch"
CHARACTER = re.compile("[\u4e00-\u9fff]")


def said() -> Iterator[str]:
    """Each text that the sources hand to the catalogue."""
    for path in [*PACKAGE.glob("cli/*.py"), *PACKAGE.glob("selftest/*.py")]:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            called = getattr(node, "func", None)
            if isinstance(called, ast.Name) and called.id in ("_", "in_language"):
                for part in ast.walk(ast.Tuple(getattr(node, "args", []), ast.Load())):
                    if isinstance(part, ast.Constant) and isinstance(part.value, str):
                        yield part.value
    yield from COMMANDS.values()


def test_p17_each_text_has_its_chinese() -> None:
    no_texts = {"ws_...", "text", "case", "name", "zh", "state", ""}
    assert sorted({text for text in said()} - set(CHINESE) - no_texts) == []


def test_p17_a_translation_has_the_same_places() -> None:
    def places(text: str) -> set[str]:
        if "%" in text:
            return set(re.findall(r"%\(\w+\)\w|%\w", text))
        return {name for _, name, _, _ in string.Formatter().parse(text) if name}

    assert [text for text, chinese in CHINESE.items() if places(text) != places(chinese)] == []


def command(*arguments: str, **variables: str) -> str:
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("DASHSCOPE", "PYTHON", "LC_", "LANG"))
    }
    done = subprocess.run(
        [sys.executable, "-m", "dashscope_ws_patch", *arguments],
        env={**kept, "HOME": os.devnull, "PYTHONIOENCODING": "utf-8", **variables},
        cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, encoding="utf-8",
    )  # fmt: skip
    return done.stdout + done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        *([name, "--help"] for name in COMMANDS),
        ["--nonsense"],
        ["status"],
        ["check"],
        ["install", "nothing"],
        ["uninstall"],
        ["explain"],
        ["run", "--", sys.executable, "-c", ""],
    ],
    ids=" ".join,
)
def test_p17_a_chinese_locale_has_chinese_commands(arguments: list[str]) -> None:
    assert CHARACTER.search(command(*arguments, LANG="zh_CN.UTF-8"))
    english = command(*arguments, LANG="en_US.UTF-8")
    assert english and not CHARACTER.search(english)


@pytest.mark.parametrize(
    ("variables", "english"),
    [
        ({"DASHSCOPE_WORKSPACE": "not one"}, "but a workspace is"),
        ({"DASHSCOPE_WORKSPACE": "x" * 70}, "an API key?"),
        ({"DASHSCOPE_WORKSPACE": "x" * 64, "DASHSCOPE_WS_PATCH_OWN_HOST": "1"}, "a label of the"),
        ({"DASHSCOPE_WORKSPACE": "x", "DASHSCOPE_WS_PATCH_OWN_HOST": "not one"}, "but it may be 1"),
        (
            {"DASHSCOPE_WORKSPACE": "x", "DASHSCOPE_WS_PATCH_CLIENTS": "1",
             "DASHSCOPE_WS_PATCH_HOSTS": "https://x"},
            "but an entry is",
        ),
        ({"DASHSCOPE_WS_PATCH_REQUIRE_SCOPE": "1"}, "makes it inside|call inside"),
    ],
)  # fmt: skip
def test_p17_what_the_shim_refuses_is_chinese_too(variables: dict[str, str], english: str) -> None:
    said = command("status", LANG="en_US.UTF-8", **variables)
    assert re.search(english, " ".join(said.split()))
    chinese = command("status", LANG="zh_CN.UTF-8", **variables)
    assert not re.search(english, chinese)


def test_p17_doctor_is_chinese_in_a_chinese_locale() -> None:
    first, *_ = command("doctor", "--lang", "zh").splitlines()[4:]
    assert CHARACTER.search(first)


def test_p17_run_without_a_workspace_says_so() -> None:
    program = ["run", "--", sys.executable, "-c", ""]
    assert "no workspace is set" in command(*program)
    host = "https://llm-b.cn-beijing.maas.aliyuncs.com/api/v1"
    for variables in (
        {"DASHSCOPE_WORKSPACE": "llm-a"},
        {"DASHSCOPE_WORKSPACE_ID": "llm-a"},
        {"DASHSCOPE_HTTP_BASE_URL": host},
        {"DASHSCOPE_WS_PATCH_REQUIRE_SCOPE": "1"},
    ):
        assert command(*program, **variables) == ""
    assert command("run", "-w", "llm-a", *program[1:]) == ""


def test_p17_run_sets_the_own_host() -> None:
    code = "import os; print(os.environ.get('DASHSCOPE_WS_PATCH_OWN_HOST'))"
    for option, value in ([], "None"), (["--own-host"], "1"), (["--own-host=cn-x"], "cn-x"):
        said = command("run", "-w", "llm-a", *option, "--", sys.executable, "-c", code)
        assert said == f"{value}\n"


@pytest.mark.parametrize("base", [False, True])
def test_p18_a_conda_environment_is_one_and_condas_own_is_none(
    base: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "conda-meta").mkdir()
    if base:
        (tmp_path / "condabin").mkdir()
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    monkeypatch.setattr(sys, "base_prefix", str(tmp_path))
    if base:
        with pytest.raises(install.CommandError, match="--system"):
            install._site_packages(system=False)
    else:
        assert install._site_packages(system=False)
