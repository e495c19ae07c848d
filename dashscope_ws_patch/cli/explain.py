"""``explain``: what an error of the service means and what to do, from whatever people paste."""

from __future__ import annotations

import argparse
import sys

from ..hint.neighbours import NEIGHBOURS, PAGE, Known, Neighbour, known
from ..hint.refusals import MAIN_ACCOUNT, REFUSALS, UNPURCHASED
from ._console import show, tell
from ._language import _, current, in_language

_HOW = (
    "    export DASHSCOPE_WORKSPACE=ws_...  # {and_activate}",
    "    import dashscope_ws_patch          # {in_the_program}",
    '    with dashscope_ws_patch.use_workspace("ws_..."): ...',
    "    dashscope-ws-patch run -w ws_... python app.py",
    "    python -m dashscope_ws_patch install",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what ``explain`` takes on the command line."""
    parser.add_argument(
        "text",
        nargs="*",
        help=_(
            "a code, or a whole error message, JSON body or traceback; read from stdin if absent"
        ),
    )


def main(namespace: argparse.Namespace) -> int:
    """Explain each code that the text names; where it names none, one line on stderr, status 2."""
    text = " ".join(namespace.text)
    if not text and sys.stdin is not None and not sys.stdin.isatty():
        if hasattr(sys.stdin, "reconfigure"):  # a paste need not be in the locale's encoding
            sys.stdin.reconfigure(errors="backslashreplace")
        text = sys.stdin.read()
    found = known(text)
    if not found:
        # The text is not repeated: what people paste may hold their key.
        codes = ", ".join(entry.code for entry in (*REFUSALS, *NEIGHBOURS))
        page = PAGE.to(current())
        reason = (
            _("none of the codes known here ({codes}); all of the service's: {page}",
              codes=codes, page=page)
            if text.strip()
            else _("nothing to explain: give a code, a message or a JSON body, or pipe one in")
        )  # fmt: skip
        tell(f"dashscope-ws-patch explain: {reason}")
        return 2
    for position, entry in enumerate(found):
        for line in ([""] if position else []) + _explained(entry):
            show(line, "    ")
    return 0


def _explained(entry: Known) -> list[str]:
    lang, beside = current(), isinstance(entry, Neighbour)
    http = f"HTTP {entry.status if isinstance(entry, Neighbour) else 403}"
    lines = [
        f"{entry.code} ({http}, {entry.message!r})" if entry.message else f"{entry.code} ({http})",
        f"  {_('meaning')}: {entry.meaning.to(lang)}",
        f"  {_('what to do')}: {entry.advice.to(lang)}",
    ]
    if isinstance(entry, Neighbour):
        lines.append(f"  {_('workspace')}: {entry.bearing.to(lang)}")
    if entry.by_workspace if isinstance(entry, Neighbour) else entry is not UNPURCHASED:
        lines += [] if beside else [f"  {MAIN_ACCOUNT.to(lang)}"]
        lines.append(f"  {_('To set the workspace, any one of:')}")
        lines += [
            line.format(
                and_activate=_("and: import dashscope_ws_patch, run or install"),
                in_the_program=_("in the program, before or after dashscope"),
            )
            for line in _HOW
        ]
    return lines


def readme_rows(lang: str) -> str:
    """The README's troubleshooting in ``lang`` (``en`` or ``zh``), as a Markdown table."""
    heads = [in_language(lang, head) for head in ("code", "meaning", "what to do")]
    rows = [[f"`{r.code}`", r.meaning.to(lang), r.advice.to(lang)] for r in REFUSALS]
    return f"{_table(heads, rows)}\n\n{MAIN_ACCOUNT.to(lang)}"


def readme_neighbours(lang: str) -> str:
    """The README's table of the codes met beside the refusals, in ``lang``."""
    heads = [in_language(lang, head) for head in ("code", "meaning", "workspace")]
    rows = [[f"`{n.code}`", n.meaning.to(lang), n.bearing.to(lang)] for n in NEIGHBOURS]
    return _table(heads, rows)


def _table(heads: list[str], rows: list[list[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in [heads, ["---"] * 3, *rows])
