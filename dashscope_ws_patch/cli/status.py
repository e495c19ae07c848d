"""status: what activates this interpreter, and which workspace it sends."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass, field

from .._workspace import masked
from ._console import patience, show
from ._language import _
from .install import CommandError


@dataclass
class Status:
    """What activates an interpreter that is started now, and the workspace that it would send."""

    python: str
    active: bool = False
    #: What activates it: "PYTHONPATH", "install" or "import", each with the file that does.
    ways: list[str] = field(default_factory=list)
    workspace: str | None = None
    #: The variable that the workspace comes from.
    source: str | None = None
    #: The host that a request would go to, where the workspace's own was asked for.
    host: str | None = None
    #: What stands in the way, or is worth knowing.
    notes: list[str] = field(default_factory=list)
    #: Whether something is wrong: the exit status is 1.
    wrong: bool = False
    #: Whether DASHSCOPE_WS_PATCH_CLIENTS asks for what is sent without the SDK.
    clients: bool = False
    #: What to do.
    advice: list[str] = field(default_factory=list)
    #: The exit status: 0 active and nothing wrong, 1 not active or wrong, 2 not found out.
    status: int = 0

    def lines(self) -> list[str]:
        """What is printed: the verdict first."""
        from ..selftest.prospect import beside_in_words

        active = _("active") if self.active else _("not active")
        origin = _(", from {source}", source=self.source) if self.source else ""
        return [
            f"{self.python}: {active}",
            *(f"  {_('by')} {way}" for way in self.ways),
            *(f"  {note}" for note in self.notes),
            *(f"  -> {todo}" for todo in self.advice),
            f"{_('workspace')}: {self.workspace or _('none')}{origin}",
            *([f"{_('requests go to')}: {self.host}"] if self.host else []),
            f"{_('without the SDK')}: {beside_in_words(self.clients)}",
        ]

    def __str__(self) -> str:
        return "\n".join(self.lines())


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what ``status`` takes on the command line."""
    parser.add_argument("--json", action="store_true", help=_("print one JSON object"))


def main(namespace: argparse.Namespace) -> int:
    """Print the status; return the exit status."""
    with patience(_("waiting for a new interpreter that imports dashscope")):
        found = status()
    if namespace.json:
        print(json.dumps(found.__dict__, ensure_ascii=False))
    else:
        for line in found.lines():
            show(line, "    ")
    return found.status


def status() -> Status:
    """Start an interpreter as this one was started, and see what it does.

    Raises CommandError where it cannot be started, or says nothing.
    """
    from ..selftest import prospect as prospects

    try:
        here = prospects.prospect()
    except ValueError as error:
        said = _("cannot find out what a new interpreter does: {error}", error=error)
        raise CommandError(said) from error
    found = Status(sys.executable, here.active, here.ways)
    found.workspace = here.workspace and masked(here.workspace)
    found.source = here.source
    found.host = here.host and prospects.host_shown(here.host)
    if here.scopes_only:
        found.workspace = found.source = None
    found.clients = here.asks_for_libraries
    for finding in here.findings:
        told = finding.state != prospects.OK or finding.name == prospects.RIVALS
        if finding.name == prospects.SDK and not here.has_sdk and not here.active:
            told = False
        if finding.name == prospects.WORKSPACE and here.workspace is None:
            told = finding.state == prospects.FAILED or here.scopes_only
        if told:
            inactive = finding.name == prospects.ACTIVATION and finding.state != prospects.FAILED
            found.notes += here.obstacles if inactive else [finding.found]
            if finding.advice and finding.advice not in found.advice:
                found.advice.append(finding.advice)
    verdict = here.verdict()
    found.status = verdict.status if here.has_sdk or here.first(prospects.FAILED) else 0
    if not here.active and found.status == 0:
        found.status = 1
    found.wrong = found.status == 1
    return found
