"""``explain``: what an error of the service means and what to do, from whatever people paste."""

from __future__ import annotations

import argparse
import sys

from ..hint.refusals import MAIN_ACCOUNT, REFUSALS, UNPURCHASED, Refusal, Text, language, recognise

_HOW = """\
    export DASHSCOPE_WORKSPACE=ws_...
    with dashscope_ws_patch.use_workspace("ws_..."): ...
    dashscope-ws-patch run -w ws_... python app.py"""

_MEANING = Text("meaning", "含义")
_ADVICE = Text("what to do", "处理方法")
_SETTING = Text("To set the workspace, any one of:", "设置业务空间，以下任选其一：")
_EMPTY = Text(
    "nothing to explain: give a code, a message or a JSON body, or pipe one in",
    "没有可解释的内容：请给出错误码、错误信息或 JSON 响应，也可以用管道输入",
)
_UNKNOWN = Text("none of these codes in it: ", "其中没有以下任何错误码：")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what ``explain`` takes on the command line."""
    parser.add_argument(
        "text",
        nargs="*",
        help="a code, or a whole error message, JSON body or traceback; read from stdin if absent",
    )
    parser.add_argument("--lang", choices=Text._fields, help="instead of the locale's language")


def main(namespace: argparse.Namespace) -> int:
    """Explain each code that the text names; where it names none, one line on stderr, status 2."""
    lang = namespace.lang or language()
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a paste, or a terminal, need not be in UTF-8
            stream.reconfigure(errors="backslashreplace")
    text = " ".join(namespace.text)
    if not text and not sys.stdin.isatty():
        text = sys.stdin.read()
    refusals = recognise(text)
    if not refusals:
        # The text is not repeated: what people paste may hold their key.
        known = ", ".join(refusal.code for refusal in REFUSALS)
        reason = _UNKNOWN.to(lang) + known if text.strip() else _EMPTY.to(lang)
        print(f"dashscope-ws-patch explain: {reason}", file=sys.stderr)
        return 2
    print("\n\n".join(_explained(refusal, lang) for refusal in refusals))
    return 0


def _explained(refusal: Refusal, lang: str) -> str:
    lines = [
        f"{refusal.code} (HTTP 403, {refusal.message!r})",
        f"  {_MEANING.to(lang)}: {refusal.meaning.to(lang)}",
        f"  {_ADVICE.to(lang)}: {refusal.advice.to(lang)}",
    ]
    if refusal is not UNPURCHASED:
        lines += [f"  {MAIN_ACCOUNT.to(lang)}", f"  {_SETTING.to(lang)}", _HOW]
    return "\n".join(lines)


def readme_rows(lang: str) -> str:
    """The README's troubleshooting in ``lang`` (``en`` or ``zh``), as a Markdown table."""
    heads = [Text("code", "错误码").to(lang), _MEANING.to(lang), _ADVICE.to(lang)]
    rows = [heads, ["---"] * 3]
    for refusal in REFUSALS:
        rows.append([f"`{refusal.code}`", refusal.meaning.to(lang), refusal.advice.to(lang)])
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    return f"{table}\n\n{MAIN_ACCOUNT.to(lang)}"
