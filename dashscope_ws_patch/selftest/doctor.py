"""``doctor``: what is installed, what is patched, and every surface of the SDK driven for real.

Drives the surfaces twice against the embedded loopback service, in two processes of their own: once
natively, with the workspace in the environment, and once with the shim, in a scope. Needs neither a
key nor the internet.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import logging
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, NamedTuple

from .._activation import CLIENTS, switched_off
from .._workspace import masked
from ..cli._console import columns, show
from ..cli._language import _
from ..cli.install import CommandError
from . import audit as _audit
from . import coverage
from .prospect import Prospect, Verdict, beside_in_words, prospect

if TYPE_CHECKING:
    from .loopback import Request

#: The workspace that both processes have in their environment; where the shim drives a surface in
#: the scope of that one, the environment names another.
TENANT, ANOTHER = "ws_doctor", "ws_another"
#: How many lines of what is wrong are shown; --verbose shows all.
ENOUGH = 8


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``doctor``."""
    parser.add_argument("--json", action="store_true", help=_("print one JSON object"))
    parser.add_argument("--verbose", action="store_true", help=_("each surface and each seam"))
    parser.add_argument("--sdk", metavar="PATH", help=_("an unpacked release of the SDK to try"))


class Row(NamedTuple):
    """A surface, driven natively and with the shim."""

    surface: str
    requests: int
    #: How many requests are made without the shim, and how many of them carry the workspace.
    natively: int
    native: int
    shim: int
    leaks: int
    error: str
    natively_error: str

    @property
    def broken(self) -> bool:
        """The SDK itself fails before it sends anything, as some of its releases do."""
        return self.natively == self.requests == 0 and "" != self.error == self.natively_error

    @property
    def right(self) -> bool:
        """Every request that is made natively was made, and carried the workspace."""
        sent = self.requests > 0 or self.broken
        return self.shim == self.requests == self.natively and sent and not self.leaks


class Findings(NamedTuple):
    """All that the report is made of."""

    here: Prospect
    rows: list[Row]
    story: list[dict[str, Any]]
    seams: list[dict[str, str]]
    libraries: list[dict[str, Any]]
    egress: list[_audit.Egress]
    #: The rows of the table that no surface passes through, and what sends and none drives.
    not_passed: list[str]
    not_driven: list[str]
    #: How many processes that drive the SDK have failed.
    broken: int

    def misfits(self) -> list[str]:
        """The seams that do not fit the SDK, a line each."""
        return [
            f"{_('FAILED seam')} {seam['module']}.{seam['attribute']}: "
            + seam["reason"].removeprefix("LookupError: ")
            for seam in self.seams
            if seam["state"] == "failed"
        ]

    def wrong(self) -> list[str]:
        """What else is wrong, a line each."""
        wrong = _("WRONG")
        return [
            *_uncovered(self.libraries),
            *(
                f"{wrong} {chapter['case']}: {chapter['answer'].splitlines()[0]}"
                for chapter in self.story
                if not chapter["right"]
            ),
            *(
                f"{wrong} {row.surface}: "
                + _("{shim} of {requests} requests", shim=row.shim, requests=row.requests)
                + f" {row.error}".rstrip()
                for row in self.rows
                if not row.right
            ),
            *(
                f"{_('UNKNOWN way out')}: {way.place} ({way.way}): {way.row}"
                for way in self.egress
                if way.state == _audit.UNKNOWN
            ),
        ]

    def untried(self) -> list[str]:
        """What the surfaces tell nothing of, a line each."""
        return [
            *(_("no surface passes {name}", name=name) for name in self.not_passed),
            *(_("no surface drives {name}", name=name) for name in self.not_driven),
        ]


#: The folder of an unpacked release of the SDK that is tried instead of the installed one.
_sdk: str | None = None


def main(options: argparse.Namespace) -> int:
    """Print the report. 0 if every request is right, and would be in a program started here; 1 if
    not; 2 where that could not be found out."""
    if options.sdk:
        _use_sdk(options.sdk)
    if find_spec("dashscope") is None:
        raise CommandError(_("dashscope is not installed: pip install dashscope"))
    # What the processes leave behind where they are interrupted goes with this folder.
    folder = tempfile.mkdtemp(prefix="dashscope-ws-patch-")
    children: list[subprocess.Popen[str]] = []
    try:
        for task, patched in ("story", True), ("drive", False), ("drive", True):
            children.append(start_child(task, patched, folder))
        found = _found(children, progress=not options.json)
        unfinished = not found.rows or found.broken > 0
        misfits = len(found.misfits())
        status, verdict = judged(bool(found.wrong()), unfinished, found.here, misfits)
        if options.json:
            print(json.dumps(_as_json(found, status, verdict), ensure_ascii=False, indent=2))
        else:
            _print(found, verdict, options.verbose)
        return status
    finally:  # a reader may have had enough
        for process in children:
            process.terminate()
            process.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _use_sdk(path: str) -> None:
    """Have this process, and those that it starts, import the SDK that lies in ``path``."""
    global _sdk
    try:
        _sdk = coverage.folder_for(path)
    except FileNotFoundError as error:
        raise CommandError(str(error)) from error
    sys.path.insert(0, _sdk)
    others = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (_sdk, others)))


def _found(children: list[subprocess.Popen[str]], progress: bool) -> Findings:
    story, native, shim = children
    try:
        here = prospect()
    except ValueError as error:
        said = _("cannot find out what a new interpreter does: {error}", error=error)
        raise CommandError(said) from error
    told = list(_results(story))
    rows: list[Row] = []
    last: dict[str, Any] = {}
    with _progress(progress) as proceed:
        for before, after in zip(_results(native), _results(shim)):
            if "seams" in after:
                last = after
                break
            if "total" in after:
                proceed(0, after["total"])
                continue
            rows.append(
                Row(
                    after["surface"],
                    after["requests"],
                    before["requests"],
                    before["right"],
                    after["right"],
                    after["leaks"],
                    after["error"],
                    before["error"],
                )
            )
            proceed(len(rows))
    egress = _audit.audit()
    ran = last.get("ran", [])
    not_driven = {*coverage.not_driven(egress, ran), *last["not_driven"]} if ran else set()
    return Findings(
        here,
        rows,
        [chapter for chapter in told if "case" in chapter],
        last.get("seams", []),
        [library for library in told if "library" in library],
        egress,
        last.get("not_passed", []),
        sorted(not_driven),
        sum(process.wait() != 0 for process in children),
    )


def judged(wrong: bool, unfinished: bool, here: Prospect, misfits: int = 0) -> tuple[int, str]:
    """The exit status and the verdict, in one line; ``misfits`` seams do not fit the SDK."""
    if wrong:
        return 1, _("NOT every request is right")
    if misfits and not unfinished:
        said = _("every request is right, but {number} seams no longer fit the SDK", number=misfits)
        return 1, said
    verdict: Verdict = here.verdict()
    if verdict.status:
        todo = f" -> {verdict.advice}" if verdict.advice else ""
        return verdict.status, f"{_('NOT right here')}: {verdict.said}{todo}"
    if unfinished:
        return 2, _("NOT found out: a process that drives the SDK failed")
    here_too = "" if here.active else _(", in programs that import dashscope_ws_patch")
    named = "" if here.workspace or here.scopes_only else _(", once a workspace is set")
    return 0, f"{_('every request is right')}{here_too}{named}"


def _print(found: Findings, verdict: str, verbose: bool) -> None:
    """The verdict, what is wrong, and what it rests on."""
    # What no longer fits is the reason for all else that is wrong.
    wrong, rows = [*found.misfits(), *found.wrong()], found.rows
    show(verdict)
    for line in wrong if verbose else wrong[:ENOUGH]:
        show(line, "    ")
    if len(wrong) > ENOUGH and not verbose:
        show(_("and {number} more that are wrong: --verbose", number=len(wrong) - ENOUGH))
    if found.broken:
        show(_("{number} of the processes that drive the SDK failed", number=found.broken))
    facts = _facts(found.here)
    show("")
    show(_("{right} of {requests} requests of {surfaces} surfaces right, {leaks} leaks, {unknown} "
           "unknown ways out",
           right=sum(row.shim for row in rows), requests=sum(row.requests for row in rows),
           surfaces=len(rows), leaks=sum(row.leaks for row in rows),
           unknown=sum(way.state == _audit.UNKNOWN for way in found.egress)))  # fmt: skip
    names = ("dashscope-ws-patch", "dashscope", "wrapt", "Python")
    show(", ".join(f"{name} {facts[name]}" for name in names))
    for finding in found.here.findings[1:]:
        show(f"{_(finding.name)}: {finding.found}", "    ")
        if finding.advice:
            show(f"  -> {finding.advice}", "     ")
    for line in _groups(rows):
        show(line)
    answered = sum(chapter["right"] for chapter in found.story)
    show(
        _(
            "accounts: {right} of {all} answers as the service gives them",
            right=answered,
            all=len(found.story),
        )
    )
    show(_("libraries: {names}", names=_covered(found.libraries)), "    ")
    for line in found.untried():
        show(line, "    ")
    if verbose:
        _print_all(found)


def _groups(rows: list[Row]) -> Iterator[str]:
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(row.surface.partition(":")[0], []).append(row)
    for name, members in groups.items():
        broken = sum(row.broken for row in members)
        yield _("  {name}: {right} of {requests} requests of {surfaces} surfaces",
                name=name, right=sum(row.shim for row in members),
                requests=sum(row.requests for row in members), surfaces=len(members)) + (
            _(", {broken} broken by the SDK itself", broken=broken) if broken else ""
        )  # fmt: skip


def _print_all(found: Findings) -> None:
    """Each call of the story, surface and seam."""
    show("")
    for chapter in found.story:
        show(f"{chapter['case']:<58}{chapter['answer']}", "    ")
    show(f"\n{_('surface'):<58}{_('requests'):>9}{_('native'):>9}{_('with the shim'):>15}")
    for row in found.rows:
        mark = "" if row.right else f"  {_('WRONG')} {row.error}"
        mark = f"  {_('the SDK itself fails')}: {row.error}" if row.broken else mark
        show(f"{row.surface:<58}{row.requests:>9}{row.native:>9}{row.shim:>15}{mark}", "    ")
    states = [_(seam["state"]) for seam in found.seams]
    counts = ", ".join(f"{states.count(state)} {state}" for state in sorted(set(states)))
    show(f"\n{_('seams')}: {counts}")
    for seam in found.seams:
        line = f"  {_(seam['state']):<9}{seam['module']}.{seam['attribute']}  {seam['reason']}"
        show(line.rstrip(), "    ")
    show(f"{_('audit')}: {_audit.summary(found.egress)}", "    ")


def _as_json(found: Findings, status: int, verdict: str) -> dict[str, Any]:
    here = found.here.verdict()
    return {
        "verdict": verdict,
        "status": status,
        "right": status == 0,
        "wrong": [*found.misfits(), *found.wrong(), *([here.said] if here.status == 1 else [])],
        "environment": [finding._asdict() for finding in found.here.findings],
        "facts": _facts(found.here),
        "story": found.story,
        "surfaces": [{**row._asdict(), "right": row.right} for row in found.rows],
        "leaks": sum(row.leaks for row in found.rows),
        "seams": found.seams,
        "audit": _audit.summary(found.egress),
        "not_passed": found.not_passed,
        "not_driven": found.not_driven,
        "libraries": found.libraries,
    }


def _covered(libraries: list[dict[str, Any]]) -> str:
    """The libraries beside the SDK, by which all that was sent was right, in one line."""
    names = [library["library"] for library in libraries if library["covered"]]
    return " ".join(names).replace("urllib.request", "urllib") or _("none")


def _uncovered(libraries: list[dict[str, Any]]) -> Iterator[str]:
    for library in libraries:
        if not library["covered"] and library["native"]:  # it works without us
            name = f"{library['library']}, {_('without the SDK')}"
            yield f"{_('WRONG')} {name} ({CLIENTS}=1): {library['reason']}"


@contextlib.contextmanager
def _progress(shown: bool) -> Iterator[Callable[..., None]]:
    """Tells on stderr how far it has come: a bar on a terminal, a line for each quarter elsewhere.

    Called with the number of surfaces driven and, the first time, how many there are.
    """
    stream: Any = sys.stderr
    bar = shown and stream is not None and stream.isatty()
    total = 1

    def progress(done: int, of: int | None = None) -> None:
        nonlocal total
        total = of or total
        if bar:
            said = _("{done} of {total} surfaces", done=done, total=total)
            # A row that is longer than the terminal is not written over.
            room = max(min(40, shutil.get_terminal_size().columns - columns(said) - 4), 0)
            full = room * done // total
            stream.write(f"\r[{'#' * full}{'.' * (room - full)}] {said}")
            stream.flush()
        elif shown and stream is not None and done and 4 * done // total > 4 * (done - 1) // total:
            said = _("{done} of {total} surfaces driven", done=done, total=total)
            print(said, file=stream, flush=True)

    try:
        yield progress
    finally:
        if bar:
            stream.write("\r\x1b[K")
            stream.flush()


def _facts(here: Prospect) -> dict[str, str]:
    shim = _("switched off") if switched_off() else _("not active")
    if here.active:
        shim = _("active, by {ways}", ways="; ".join(here.ways))
    named = masked(here.workspace) if here.workspace else _("none")
    return {
        "dashscope-ws-patch": _installed("dashscope-ws-patch"),
        "dashscope": _audit.sdk_version() or _installed("dashscope"),
        "wrapt": _installed("wrapt"),
        "Python": platform.python_version(),
        "the shim is": shim,
        "ambient workspace": f"{named} ({here.source})" if here.source else named,
        "without the SDK": beside_in_words(here.asks_for_libraries),
    }


def _installed(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return _("not installed")


def start_child(task: str, patched: bool, folder: str) -> subprocess.Popen[str]:
    # Nothing of the user's own settings, keys and proxies may reach the processes that send.
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.upper().startswith(("DASHSCOPE_", "AGENTSTUDIO_", "FC_", "BAILIAN_"))
        and not name.upper().endswith("_PROXY")
    }
    environment.update(DASHSCOPE_WORKSPACE=TENANT, DASHSCOPE_WS_PATCH=str(int(patched)))
    environment.update(TMPDIR=folder, TEMP=folder, TMP=folder)
    package = str(Path(__file__).resolve().parents[2])
    search = os.pathsep.join(filter(None, (_sdk, package, environment.get("PYTHONPATH"))))
    return subprocess.Popen(
        [sys.executable, "-m", "dashscope_ws_patch.selftest.doctor", task],
        env={**environment, "PYTHONPATH": search, "PYTHONIOENCODING": "utf-8"},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        encoding="utf-8",
    )


MARK = "dashscope-ws-patch doctor: "


def _results(process: subprocess.Popen[str]) -> Iterator[dict[str, Any]]:
    assert process.stdout is not None
    for line in process.stdout:  # the SDK prints on it too
        if line.startswith(MARK):
            yield json.loads(line[len(MARK) :])


# The processes that drive the SDK


def tell_story() -> None:
    """Call as a RAM sub-account and as a main account, writing a line of JSON for each answer."""
    from .. import patch, unpatch, use_workspace
    from ..hint.refusals import WORKSPACE_DENIED
    from . import libraries
    from . import surfaces as _surfaces
    from .accounts import Accounts
    from .loopback import Loopback, redirect

    del os.environ["DASHSCOPE_WORKSPACE"]
    hints: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: hints.append(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger("dashscope_ws_patch").addHandler(handler)
    accounts = Accounts(main=["sk-main"], members={"sk-sub-account": [TENANT]})
    with Loopback(policy=accounts) as loopback, redirect(loopback.port):
        _surfaces.prepare(_surfaces.Drive(loopback))
        from dashscope import Generation

        def call(case: str, key: str, denied: bool) -> None:
            hints.clear()
            reply: Any = Generation.call("qwen-turbo", prompt="hello", api_key=key)
            answer = reply.code if denied else str(reply.status_code)
            right = reply.code == WORKSPACE_DENIED.code if denied else reply.status_code == 200
            _write(case=case, answer="\n  ".join([answer or "200", *hints]), right=right)

        unpatch()
        call("sub-account's key, without the shim", "sk-sub-account", denied=True)
        patch()
        with use_workspace(TENANT):
            call("sub-account's key, with its workspace", "sk-sub-account", denied=False)
        with use_workspace("ws_somebody_else"):
            call("sub-account's key, with somebody else's", "sk-sub-account", denied=True)
        call("main account's key, with none", "sk-main", denied=False)
    with Loopback() as loopback, redirect(loopback.port):
        for library in libraries.drive(loopback, TENANT):
            _write(**library)


def drive_all() -> None:
    """Drive the surfaces of the installed SDK, writing a line of JSON for each, then the seams'."""
    from .. import _activation, use_workspace
    from . import surfaces as _surfaces
    from . import surfaces_v2 as _surfaces_v2
    from .loopback import Loopback, redirect

    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    is_patched = _activation.is_patched()
    unwatched: contextlib.AbstractContextManager[Any] = contextlib.nullcontext(set())
    watched = coverage.watching() if is_patched else unwatched
    with Loopback() as loopback, redirect(loopback.port), watched as ran:
        drive = _surfaces.Drive(loopback)
        _surfaces.prepare(drive)
        driven = [*_surfaces.surfaces(), *_surfaces_v2.surfaces()]
        _write(total=len(driven))
        for surface in driven:
            error = ""
            # A scope tells more than the environment, which the SDK reads too; what a command line
            # starts is in none.
            in_scope = is_patched and surface.group != "command line"
            os.environ["DASHSCOPE_WORKSPACE"] = ANOTHER if in_scope else TENANT
            try:
                with use_workspace(TENANT) if in_scope else contextlib.nullcontext():
                    surface.drive(drive)
            except Exception as raised:
                error = f"{type(raised).__name__}: {raised}".splitlines()[0]
            requests = loopback.drain()
            ours = [request for request in requests if not request.foreign]
            _write(
                surface=f"{surface.group}: {surface.name}",
                requests=len(ours),
                right=sum(_is_right(request) for request in ours),
                leaks=sum(bool(request.workspaces) for request in requests if request.foreign),
                error=error,
            )
    if not is_patched:
        _write(seams=[])
        return
    _write(
        seams=seam_states(),
        ran=coverage.functions_that_ran(ran),
        not_passed=coverage.rows_not_passed(ran),
        not_driven=coverage.classes_not_driven(ran),
    )


def _is_right(request: Request) -> bool:
    return request.workspaces == [TENANT] and named_in(request) <= {TENANT}


def named_in(request: Request) -> set[str]:
    """Every workspace that the host, the body and the messages of ``request`` name."""
    from .._hosts import workspace_in_host

    host: str | None = workspace_in_host(f"https://{request.host}")
    texts = [request.body.decode("latin-1"), *(m for m in request.messages if isinstance(m, str))]
    written = [found for text in texts for found in re.findall(r'"workspace_id": ?"(.+?)"', text)]
    return {workspace for workspace in (host, *written) if workspace}


def seam_states() -> list[dict[str, str]]:
    from .. import _activation

    seams = []
    for seam, *_rest in _activation.report():
        with contextlib.suppress(ImportError):  # absent in this release, or in need of an extra
            importlib.import_module(seam.module)
    for seam, state, reason in _activation.report():
        state = "absent" if state == _activation.WAITING else state
        seams.append(
            {"module": seam.module, "attribute": seam.attributes, "state": state, "reason": reason}
        )
    return seams


def _write(**result: object) -> None:
    print(MARK + json.dumps(result), flush=True)


if __name__ == "__main__":
    {"drive": drive_all, "story": tell_story}[sys.argv[1]]()
