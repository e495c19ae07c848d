"""README, docs/ and CONTRIBUTING: what they name is there, every block is run or parsed, and
English and Chinese say the same."""

from __future__ import annotations

import ast
import configparser
import dataclasses
import json
import re
import subprocess
import textwrap
from pathlib import Path
from typing import Any, Callable

import pytest
from environments import ROOT

import dashscope_ws_patch as shim
from dashscope_ws_patch.cli import check, explain, status
from dashscope_ws_patch.cli._language import CHINESE
from dashscope_ws_patch.cli.main import COMMANDS, main
from dashscope_ws_patch.selftest import doctor
from dashscope_ws_patch.selftest.loopback import Loopback
from dashscope_ws_patch.selftest.prospect import Prospect

REPOSITORY = "https://github.com/dashscope-ws-patch/dashscope-ws-patch"

#: The pages, in the order in which they are read.
DOCS = ("activation", "tenants", "clients", "own-host", "errors", "reference", "how-it-works",
        "costs", "limits")  # fmt: skip
NAMES = ("README", *(f"docs/{name}" for name in DOCS))
PATHS = {"en": [f"{name}.md" for name in NAMES], "zh": [f"{name}.zh-CN.md" for name in NAMES]}
PAGES = {path: (ROOT / path).read_text("utf-8") for path in (*PATHS["en"], *PATHS["zh"])}
ALL = {**PAGES, **{name: (ROOT / name).read_text("utf-8") for name in ("CONTRIBUTING.md",)}}
each_page = pytest.mark.parametrize("path", ALL)
each_name = pytest.mark.parametrize("name", NAMES)
each_language = pytest.mark.parametrize("lang", PATHS)


def blocks(text: str) -> list[tuple[str, str]]:
    """The language of each block, and what is in it."""
    found = re.findall(r"^( *)```(\w*)\n(.*?)^ *```$", text, re.M | re.S)
    return [(language, textwrap.dedent(code)) for _, language, code in found]


def whole(lang: str) -> str:
    return "\n".join(PAGES[path] for path in PATHS[lang])


def between(text: str, name: str, lang: str) -> str:
    begin, end = f"<!-- {name}:{lang} -->", f"<!-- /{name}:{lang} -->"
    return text.split(begin)[1].split(end)[0].strip()


# Blocks


def _shell(code: str) -> None:
    subprocess.run(["bash", "-n"], input=code, text=True, check=True)


def _ini(code: str) -> None:
    configparser.ConfigParser(interpolation=None).read_string(code)


def _yaml(code: str) -> None:
    assert pytest.importorskip("yaml").safe_load(code)


def _dockerfile(code: str) -> None:
    words = {line.split()[0] for line in code.splitlines()}
    assert words <= {"FROM", "RUN", "ENV", "CMD"}


def _mermaid(code: str) -> None:
    first, *arrows = code.splitlines()
    assert first == "flowchart TD"
    node = r'\w+(\["[^"\n]+"\])?'
    assert all(re.fullmatch(rf"    {node} --> {node}", arrow) for arrow in arrows)
    named = set(re.findall(r'(\w+)\["', code))
    assert set(re.findall(r"(\w+)(?:\[.*?\])? -->|--> (\w+)", code)) and named


PARSERS: dict[str, Callable[[str], object]] = {
    "": _shell,
    "sh": _shell,
    "python": ast.parse,
    "json": json.loads,
    "yaml": _yaml,
    "ini": _ini,
    "dockerfile": _dockerfile,
    "mermaid": _mermaid,
    "text": str,
}


@each_page
def test_p17_every_block_is_well_formed(path: str) -> None:
    for language, code in blocks(ALL[path]):
        PARSERS[language](code)


#: What the Python blocks of each page send, in turn.
SENT: dict[str, list[list[str]]] = {
    "README": [[], ["llm-x1y2", "llm-a3b4"]],
    "docs/activation": [[]],
    "docs/tenants": [["llm-a3b4", "llm-x1y2"], ["llm-x1y2"], []],
    "docs/clients": [["llm-x1y2"]],
    "docs/own-host": [["llm-x1y2"]],
}


def programs(path: str) -> list[str]:
    return [code for language, code in blocks(PAGES[path]) if language == "python"]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs a block as it stands."""
    monkeypatch.setenv("DASHSCOPE_API_KEY", "sk-loopback")

    def run(code: str) -> dict[str, Any]:
        names: dict[str, Any] = {"__name__": "block"}
        exec(compile(code, "block", "exec"), names)
        return names

    yield run
    shim.unpatch()  # what a block has asked for
    shim.patch()


@pytest.mark.parametrize("path", PAGES)
def test_p17_every_program_runs_as_it_stands(path: str, loopback: Loopback, run: Any) -> None:
    expected = SENT.get(path.partition(".")[0], [])
    found = programs(path)
    assert len(found) == len(expected)
    for code, workspaces in zip(found, expected):
        run(code)
        sent = loopback.drain()
        assert [request.workspaces for request in sent] == [[name] for name in workspaces]
        if "own_host" in code:
            assert [request.host for request in sent] == ["llm-x1y2.cn-beijing.maas.aliyuncs.com"]


def test_p17_the_application_of_the_page_on_tenants_serves_each_its_own(
    loopback: Loopback, run: Any
) -> None:
    app = run(programs("docs/tenants.md")[2])["app"]
    for tenant, workspaces in (("blue", ["llm-blue"]), ("green", ["llm-green"]), (None, [])):
        environ = {"HTTP_X_TENANT": tenant} if tenant else {}
        assert b"hello" in b"".join(app(environ, lambda *_: None))
        (sent,) = loopback.drain()
        assert sent.workspaces == workspaces


def test_p17_readme_has_two_commands_where_ci_looks_for_them() -> None:
    for path in ("README.md", "README.zh-CN.md"):
        heading = {"README.md": "## Two commands\n"}.get(path, "## 两条命令\n")
        section = PAGES[path].split(heading)[1].split("\n## ")[0]
        assert [code.count("\n") for _, code in blocks(section)] == [1, 1]


# What is named


@each_page
def test_p17_every_command_and_option_is_one_of_its_command(
    path: str, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = re.findall(
        r"(?:python -m dashscope_ws_patch|\bdashscope-ws-patch) ([a-z]+)\b(?!-)"
        r"((?: -{1,2}[a-z][^\n`&]*)*)",
        ALL[path].replace("/dashscope-ws-patch dashscope-ws-patch", " dashscope-ws-patch"),
    )
    for command, words in lines:
        assert command in COMMANDS
        with pytest.raises(SystemExit):
            main([command, "--help"])
        options = re.findall(r" (--?[a-z][a-z-]*)", words.partition(" -- ")[0])
        told = capsys.readouterr().out
        assert all(re.search(rf"{option}\b", told) for option in options), (command, options)


@each_language
def test_p17_every_command_with_its_options_stands_in_the_reference(
    lang: str, capsys: pytest.CaptureFixture[str]
) -> None:
    text = PAGES[PATHS[lang][NAMES.index("docs/reference")]]
    rows = {
        name: set(re.findall(r"`(-[\w-]+)`", row[1]))
        for row in re.findall(r"^\| (`.*?`) \| ([^|]*) \| [^|]+ \|$", text, re.M)
        for name in re.findall(r"`([a-z]+)`", row[0])
        if name in COMMANDS
    }
    assert set(rows) == set(COMMANDS)
    everywhere = {"--help", "--lang", "--workspace", "--model"}  # or by their short names
    for command, options in rows.items():
        with pytest.raises(SystemExit):
            main([command, "--help"])
        usage = capsys.readouterr().out
        there = set(re.findall(r"^  .*?(--[a-z-]+)", usage, re.M)) - everywhere
        assert there <= options, command
        assert all(re.search(rf"{option}\b", usage) for option in options)


@each_language
def test_p17_every_public_name_and_variable_is_told(lang: str) -> None:
    text = PAGES[PATHS[lang][NAMES.index("docs/reference")]]
    assert [name for name in shim.__all__ if name not in text] == []
    sources = "".join(
        path.read_text("utf-8") for path in (ROOT / "dashscope_ws_patch").rglob("*.py")
    )
    variable = r"\bDASHSCOPE_WS_PATCH(?:_[A-Z]+)*\b"
    there = set(re.findall(variable, sources))
    assert set(re.findall(variable, whole(lang))) <= there
    assert there <= set(re.findall(variable, text))


@each_language
def test_p17_the_fields_of_json_are_those_of_the_commands(lang: str) -> None:
    text = PAGES[PATHS[lang][NAMES.index("docs/reference")]]

    def told(command: str) -> set[str]:
        table = re.split(rf"\| `{command}` \| \w+ \|\n\| --- \| --- \|\n", text)[1].split("\n\n")[0]
        cells = re.findall(r"^\| (`.*?) \|", table, re.M)
        return {name for cell in cells for name in re.findall(r"`(\w+)`", cell)}

    verdict = check.Verdict(0, "", "")
    questions = {"key": verdict, "here": verdict, "compatible_mode": verdict}
    here = Prospect([], None, None, False, [])
    found = doctor.Findings(here, [], [], [], [], [], [], [], 0)
    assert told("status") == {field.name for field in dataclasses.fields(status.Status)}
    assert told("check") == set(check._report(questions, [], [], str))
    assert told("doctor") == set(doctor._as_json(found, 0, ""))


@each_language
def test_p17_the_tables_of_codes_are_those_of_the_code(lang: str) -> None:
    text = PAGES[PATHS[lang][NAMES.index("docs/errors")]]
    assert between(text, "explain", lang) == explain.readme_rows(lang)
    assert between(text, "neighbours", lang) == explain.readme_neighbours(lang)


@each_page
def test_p17_the_package_is_installed_from_its_repository(path: str) -> None:
    addresses = re.findall(r"git\+https?://[^\s`]+", ALL[path])
    assert set(addresses) <= {f"git+{REPOSITORY}"}
    assert not re.search(r"(?:pip install|uv add|uvx|--with) dashscope.ws.patch\b", ALL[path])
    assert f"url = {REPOSITORY}\n" in (ROOT / "setup.cfg").read_text("utf-8")


def test_p17_the_verdicts_that_readme_explains_are_those_of_check() -> None:
    said = {"README.md": [*CHINESE], "README.zh-CN.md": [*CHINESE.values()]}
    for path, texts in said.items():
        quoted = re.findall(r'^\d\. ["“](.*?)["”]', PAGES[path], re.M)
        assert len(quoted) == 3
        for words in quoted:
            pattern = re.escape(words).replace("…", r"\{\w+\}")
            assert any(re.match(rf"{pattern}[.。]", text) for text in texts), words


# Links


@each_page
def test_p17_every_file_and_section_that_is_linked_is_there(path: str) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", ALL[path]):
        file, _, anchor = target.partition("#")
        if file.startswith(REPOSITORY):
            below = re.fullmatch(r"/(?:blob|tree)/main/(.*)|/actions/.*", file[len(REPOSITORY) :])
            assert below, target
            there = ROOT / (below[1] or "")
        elif "://" in file:
            continue
        else:
            # README is the long description too: an index knows none of our files.
            assert not path.startswith("README"), target
            there = (ROOT / path).parent / file if file else ROOT / path
        assert there.exists(), target
        if anchor:
            heads = re.findall(r"^#+ (.+)$", there.read_text("utf-8"), re.M)
            anchors = {re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in heads}
            assert anchor in anchors, target


def _links(path: str) -> set[str]:
    found = re.findall(r"\]\(([^)#]+)", PAGES[path])
    return {link.rpartition("/main/")[2].rpartition("/")[2] for link in found}


@each_name
def test_p17_each_page_links_to_the_other_language_at_its_top(name: str) -> None:
    for path, other, told in (
        (f"{name}.md", f"{name}.zh-CN.md", "[中文]"),
        (f"{name}.zh-CN.md", f"{name}.md", "[English]"),
    ):
        top = "\n".join(PAGES[path].splitlines()[:8])
        assert re.search(rf"{re.escape(told)}\([^)]*{re.escape(Path(other).name)}\)", top)


@each_language
def test_p17_pages_are_linked_with_each_other(lang: str) -> None:
    paths = [Path(path).name for path in PATHS[lang]]
    for before, path in zip(PATHS[lang][1:], PATHS[lang][2:]):
        assert Path(path).name in _links(before)
        assert Path(before).name in _links(path)
    assert all(paths[0] in _links(path) for path in PATHS[lang][1:])


# Two languages


def _told(text: str) -> tuple[object, ...]:
    """What a translation must not change: code, figures, and how many rows and points each section
    has."""
    shown = [
        (language, re.sub(r'"[^"]*"', '""', code) if language == "mermaid" else code)
        for language, code in blocks(text)
    ]
    shown = [(language, re.sub(r" *#.*", "", code)) for language, code in shown]
    # The tables of codes have a test of their own.
    prose = re.sub(r"^ *```.*?^ *```$|<!-- \w+:.*?<!-- /", "", text, flags=re.M | re.S)
    sections = re.split(r"^## ", text, flags=re.M)
    lengths = [len(re.findall(r"^(?:\||- |\d\. )", section, re.M)) for section in sections]
    rows = [line.split("|") for line in text.splitlines() if line.startswith("|")]
    figures = [[c.strip() for c in row if re.search(r"^\s*[-+]?\d+\.\d", c)] for row in rows]
    return shown, set(re.findall(r"`([^`]+)`", prose.replace("\n", " "))), lengths, figures


@each_name
def test_p17_the_chinese_page_is_whole(name: str) -> None:
    for english, chinese in zip(_told(PAGES[f"{name}.md"]), _told(PAGES[f"{name}.zh-CN.md"])):
        assert english == chinese


# Length


def test_p17_readme_takes_two_pages_and_its_first_screen_is_enough() -> None:
    for path in ("README.md", "README.zh-CN.md"):
        lines = PAGES[path].splitlines()
        assert len(lines) <= 125
        first = "\n".join(lines[:30])
        told = "AccessDenied", "pip install", "export DASHSCOPE_WORKSPACE=", "import dashscope_ws"
        assert all(words in first for words in told)
    assert len(ALL["CONTRIBUTING.md"].splitlines()) <= 90
