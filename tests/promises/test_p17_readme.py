"""README in both languages: what they name is there, and they say the same figures."""

from __future__ import annotations

import re

import pytest
from environments import ROOT

import dashscope_ws_patch as shim
from dashscope_ws_patch.cli import explain as _explain
from dashscope_ws_patch.cli.main import COMMANDS, main

TEXTS = {
    "en": (ROOT / "README.md").read_text("utf-8"),
    "zh": (ROOT / "README.zh-CN.md").read_text("utf-8"),
}
each = pytest.mark.parametrize("lang", TEXTS)


def between(text: str, name: str, lang: str) -> str:
    begin, end = f"<!-- {name}:{lang} -->", f"<!-- /{name}:{lang} -->"
    return text.split(begin)[1].split(end)[0].strip()


def test_p17_each_readme_links_to_the_other_at_its_top() -> None:
    assert "[中文](README.zh-CN.md)" in TEXTS["en"].splitlines()[:5]
    assert "[English](README.md)" in TEXTS["zh"].splitlines()[:5]


@each
def test_p17_the_tables_of_codes_are_those_of_the_code(lang: str) -> None:
    assert between(TEXTS[lang], "explain", lang) == _explain.readme_rows(lang)
    assert between(TEXTS[lang], "neighbours", lang) == _explain.readme_neighbours(lang)


@each
def test_p17_every_command_is_named_and_there_are_no_others(lang: str) -> None:
    named = re.findall(
        r"(?:python -m dashscope_ws_patch|dashscope-ws-patch) ([a-z]+)\b(?!-)", TEXTS[lang]
    )
    assert set(named) - {"doctor"} <= set(COMMANDS)
    told = {*named, *re.findall(r"`([a-z]+)`", TEXTS[lang])}
    assert set(COMMANDS) <= told


@each
def test_p17_every_option_is_one_of_its_command(
    lang: str, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = re.findall(
        r"(?:python -m dashscope_ws_patch|dashscope-ws-patch) ([a-z]+)((?: -{1,2}[a-z][^\n`&]*)+)",
        TEXTS[lang],
    )
    given = {
        (command, option)
        for command, words in lines
        for option in re.findall(r" (--?[a-z][a-z-]*)", words.partition(" -- ")[0])
    }
    assert len(given) >= 3
    for command, option in given:
        with pytest.raises(SystemExit):
            main([command, "--help"])
        assert re.search(rf"{option}\b", capsys.readouterr().out), (command, option)


def _told(text: str) -> tuple[object, ...]:
    """What a translation must not change: code, and how many rows and points each section has."""
    blocks = re.findall(r"^```.*?^```$", text, re.M | re.S)
    shown = [re.sub(r" *#.*", "", block).replace(" --lang zh", "") for block in blocks]
    # The tables of codes have a test of their own.
    prose = re.sub(r"^```.*?^```$|<!-- \w+:.*?<!-- /", "", text, flags=re.M | re.S)
    sections = re.split(r"^## ", text, flags=re.M)
    lengths = [len(re.findall(r"^(?:\||- )", section, re.M)) for section in sections]
    return shown, set(re.findall(r"`([^`]+)`", prose.replace("\n", " "))), lengths


def test_p17_the_chinese_one_is_whole() -> None:
    for english, chinese in zip(_told(TEXTS["en"]), _told(TEXTS["zh"])):
        assert english == chinese


@each
def test_p17_every_public_name_and_variable_is_told(lang: str) -> None:
    assert [name for name in shim.__all__ if name not in TEXTS[lang]] == []
    told = set(re.findall(r"DASHSCOPE_WS_PATCH\w*", TEXTS[lang]))
    sources = "".join(
        path.read_text("utf-8") for path in (ROOT / "dashscope_ws_patch").rglob("*.py")
    )
    assert told <= set(re.findall(r"DASHSCOPE_WS_PATCH\w*", sources))


@each
def test_p17_every_file_and_section_that_is_linked_is_there(lang: str) -> None:
    text = TEXTS[lang]
    heads = re.findall(r"^#+ (.+)$", text, re.M)
    anchors = {re.sub(r"[^\w一-鿿 -]", "", head.lower()).replace(" ", "-") for head in heads}
    for target in re.findall(r"\]\(([^)]+)\)", text):
        if target.startswith("#"):
            assert target[1:] in anchors, target
        elif "://" not in target:
            assert (ROOT / target).exists(), target


def test_p17_both_say_the_same_figures() -> None:
    def figures(text: str) -> list[list[str]]:
        rows = [line.split("|") for line in text.splitlines() if line.startswith("|")]
        numbers = [[c.strip() for c in row if re.search(r"^\s*[-+]?\d+\.\d", c)] for row in rows]
        return [row for row in numbers if row]

    assert figures(TEXTS["en"]) == figures(TEXTS["zh"]) != []


def test_p17_the_english_one_reads_in_two_minutes_up_to_the_rules() -> None:
    words = TEXTS["en"].split("## Which workspace a request carries")[0].split()
    assert len(words) <= 500  # 250 in a minute
