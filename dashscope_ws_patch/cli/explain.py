"""``explain``: what an error of the service means and what to do, from whatever people paste."""

from __future__ import annotations

import argparse
import sys

from ..hint.neighbours import NEIGHBOURS, PAGE, Known, Neighbour, known
from ..hint.refusals import MAIN_ACCOUNT, REFUSALS, UNPURCHASED, Text
from ._console import language

_HOW = """\
    export DASHSCOPE_WORKSPACE=ws_...
    with dashscope_ws_patch.use_workspace("ws_..."): ...
    dashscope-ws-patch run -w ws_... python app.py"""

_MEANING = Text("meaning", "含义")
_ADVICE = Text("what to do", "处理方法")
_BEARING = Text("workspace", "业务空间")
_SETTING = Text("To set the workspace, any one of:", "设置业务空间，以下任选其一：")
_EMPTY = Text(
    "nothing to explain: give a code, a message or a JSON body, or pipe one in",
    "没有可解释的内容：请给出错误码、错误信息或 JSON 响应，也可以用管道输入",
)
_UNKNOWN = Text(
    "none of the codes known here ({codes}); all of the service's: {page}",
    "其中没有此处已知的错误码（{codes}）；服务的全部错误码见 {page}",
)


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
    lang = language(namespace.lang)
    text = " ".join(namespace.text)
    if not text and sys.stdin is not None and not sys.stdin.isatty():
        if hasattr(sys.stdin, "reconfigure"):  # a paste need not be in the locale's encoding
            sys.stdin.reconfigure(errors="backslashreplace")
        text = sys.stdin.read()
    found = known(text)
    if not found:
        # The text is not repeated: what people paste may hold their key.
        codes = ", ".join(entry.code for entry in (*REFUSALS, *NEIGHBOURS))
        unknown = _UNKNOWN.to(lang).format(codes=codes, page=PAGE.to(lang))
        reason = unknown if text.strip() else _EMPTY.to(lang)
        print(f"dashscope-ws-patch explain: {reason}", file=sys.stderr)
        return 2
    print("\n\n".join(_explained(entry, lang) for entry in found))
    return 0


def _explained(entry: Known, lang: str) -> str:
    beside = isinstance(entry, Neighbour)
    lines = [
        f"{entry.code} (HTTP {entry.status if isinstance(entry, Neighbour) else 403}, "
        f"{entry.message!r})",
        f"  {_MEANING.to(lang)}: {entry.meaning.to(lang)}",
        f"  {_ADVICE.to(lang)}: {entry.advice.to(lang)}",
    ]
    if isinstance(entry, Neighbour):
        lines.append(f"  {_BEARING.to(lang)}: {entry.bearing.to(lang)}")
    if entry.by_workspace if isinstance(entry, Neighbour) else entry is not UNPURCHASED:
        lines += [] if beside else [f"  {MAIN_ACCOUNT.to(lang)}"]
        lines += [f"  {_SETTING.to(lang)}", _HOW]
    return "\n".join(lines)


def readme_rows(lang: str) -> str:
    """The README's troubleshooting in ``lang`` (``en`` or ``zh``), as a Markdown table."""
    heads = [Text("code", "错误码").to(lang), _MEANING.to(lang), _ADVICE.to(lang)]
    rows = [heads, ["---"] * 3]
    for refusal in REFUSALS:
        rows.append([f"`{refusal.code}`", refusal.meaning.to(lang), refusal.advice.to(lang)])
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    return f"{table}\n\n{MAIN_ACCOUNT.to(lang)}"


def readme_neighbours(lang: str) -> str:
    """The README's table of the codes met beside the refusals, in ``lang``."""
    heads = [Text("code", "错误码").to(lang), _MEANING.to(lang), _BEARING.to(lang)]
    rows = [heads, ["---"] * 3]
    for entry in NEIGHBOURS:
        rows.append([f"`{entry.code}`", entry.meaning.to(lang), entry.bearing.to(lang)])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)
