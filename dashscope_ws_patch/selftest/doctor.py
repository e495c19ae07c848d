"""``doctor``: what is installed, what is patched, and every surface of the SDK driven for real.

Drives the surfaces twice against the embedded loopback service, in two processes of their own: once
natively and once with the shim, both with the workspace in the environment. Needs neither a key nor
the internet.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import importlib
import json
import logging
import os
import platform
import re
import subprocess
import sys
import unicodedata
import warnings
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, NamedTuple

from .. import _workspace
from .._activation import CLIENTS, asked_for_libraries, switched_off
from ..cli.status import clients_in_words
from . import audit as _audit
from . import coverage
from . import prospect as prospects
from .prospect import FAILED, UNKNOWN, Prospect, prospect

if TYPE_CHECKING:
    from .loopback import Request

#: The workspace that both processes have in their environment.
TENANT = "ws_doctor"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``doctor``."""
    parser.add_argument("--json", action="store_true", help="one JSON object instead of the report")
    parser.add_argument("--verbose", action="store_true", help="each surface and each seam")
    parser.add_argument("--sdk", metavar="PATH", help="an unpacked release of the SDK to try")


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


def main(options: argparse.Namespace) -> int:
    """Print the report. 0 if every request is right, and would be in a program started here; 1 if
    not; 2 where that could not be found out."""
    if getattr(options, "sdk", None):
        try:
            _use_sdk(options.sdk)
        except FileNotFoundError as error:
            print(error, file=sys.stderr)
            return 2
    if find_spec("dashscope") is None:
        print("dashscope is not installed: pip install dashscope", file=sys.stderr)
        return 2
    children = start_child("story"), start_child("drive", patched=False), start_child("drive")
    try:
        return _report(options, *children)
    finally:  # a reader may have had enough
        for process in children:
            if process.poll() is None:
                process.terminate()
                process.wait()


#: What goes first on the import path: an unpacked release of the SDK that is tried.
_sdk: str | None = None


def _use_sdk(path: str) -> None:
    """Have this process, and those that it starts, find the SDK in ``path``."""
    global _sdk
    _sdk = coverage.folder_for(path)
    sys.path.insert(0, _sdk)
    others = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (_sdk, others)))


def _report(
    options: argparse.Namespace,
    story: subprocess.Popen[str],
    native: subprocess.Popen[str],
    shim: subprocess.Popen[str],
) -> int:
    say = functools.partial(print, flush=True)
    quiet = options.json or not options.verbose
    tell: Callable[..., None] = (lambda *_: None) if quiet else say
    here = prospect()
    facts = _facts(here)
    if not options.json:
        heading = [
            *(_heading(facts, here) if quiet else map("{0[0]:<24}{0[1]}".format, facts.items()))
        ]
        for line in heading:
            say(line)
    tell()
    results = list(_results(story))
    told = [chapter for chapter in results if "case" in chapter]
    libraries = [library for library in results if "library" in library]
    for chapter in told:
        tell(f"{chapter['case']:<58}{chapter['answer']}")
    tell(f"\n{'surface':<58}{'requests':>9}{'native':>9}{'with the shim':>15}")
    rows: list[Row] = []
    seams: list[dict[str, str]] = []
    not_passed: list[str] = []
    functions: list[str] = []
    classes: list[str] = []
    with _progress(quiet and not options.json) as progress:
        for before, after in zip(_results(native), _results(shim)):
            if "seams" in after:
                seams, not_passed = after["seams"], after.get("not_passed", [])
                functions, classes = after.get("functions", []), after.get("classes", [])
                break
            if "total" in after:
                progress(0, after["total"])
                continue
            row = Row(
                after["surface"],
                after["requests"],
                before["requests"],
                before["right"],
                after["right"],
                after["leaks"],
                after["error"],
                before["error"],
            )
            rows.append(row)
            progress(len(rows))
            mark = "" if row.right else f"  WRONG {row.error}"
            mark = f"  the SDK's own error: {row.error}" if row.broken else mark
            tell(f"{row.surface:<58}{row.requests:>9}{row.native:>9}{row.shim:>15}{mark}")
    broken = [process for process in (story, native, shim) if process.wait() != 0]
    for process in broken:
        print(_cut(f"a process that drives the SDK failed: {process.args!r}"), file=sys.stderr)
    egress = _audit.audit()
    unknown = [way for way in egress if way.state == _audit.UNKNOWN]
    failed = [seam for seam in seams if seam["state"] == "failed"]
    undriven = sorted({*coverage.not_driven(egress, functions), *classes}) if functions else []
    wrong = (
        any(not row.right for row in rows)
        or any(_uncovered(libraries))
        or any(not chapter["right"] for chapter in told)
        or bool(failed or unknown)
    )
    status, verdict = judged(wrong, not rows or bool(broken), here)
    if failed and not unknown and all(row.right for row in rows):
        verdict = f"every request is right, but {len(failed)} seams no longer fit the SDK"
    requests, carried = (sum(getattr(row, name) for row in rows) for name in ("requests", "shim"))
    leaks = sum(row.leaks for row in rows)
    if quiet and not options.json:
        say(
            f"\n{carried} of {requests} requests of {len(rows)} surfaces right, {leaks} leaks, "
            f"{len(unknown)} unknown ways out\n{_cut(verdict)}\n"
        )
        for line in _untried(not_passed, undriven)[:2]:
            say(_cut(line))
        # Below stand an empty line, the counts, the verdict, an empty line and the shell's prompt.
        room = 24 - len(heading) - 5 - len(broken) - len(_untried(not_passed, undriven)[:2])
        for line in _details(rows, told, libraries, failed, unknown, room):
            say(_cut(line))
    tell(
        f"{'total: ' + str(len(rows)) + ' surfaces':<58}{requests:>9}"
        f"{sum(row.native for row in rows):>9}{carried:>15}"
    )
    tell(f"\nleaks to foreign hosts: {leaks}")
    states = [seam["state"] for seam in seams]
    counts = ", ".join(f"{states.count(state)} {state}" for state in sorted(set(states)))
    tell(f"seams: {counts}")
    for seam in seams:
        tell(f"  {seam['state']:<9}{seam['module']}.{seam['attribute']}  {seam['reason']}".rstrip())
    tell(f"audit: {_audit.summary(egress)}")
    for way in unknown:
        tell(f"  {way.place} ({way.way}): {way.row}")
    for name in not_passed:
        tell(f"  no surface passes {name}")
    for name in undriven:
        tell(f"  no surface drives {name}")
    tell(f"with {CLIENTS}=1, without the SDK: {_covered(libraries)}")
    for line in _uncovered(libraries):
        tell(f"  {line}")
    tell(f"\n{verdict}")
    if options.json:
        report = {
            "facts": facts,
            "story": told,
            "surfaces": [{**row._asdict(), "right": row.right} for row in rows],
            "leaks": leaks,
            "seams": seams,
            "audit": _audit.summary(egress),
            "not passed": not_passed,
            "not driven": undriven,
            "libraries": libraries,
            "right": status == 0,
        }
        print(json.dumps(report, ensure_ascii=False, indent=2))
    return status


def judged(wrong: bool, unfinished: bool, here: Prospect) -> tuple[int, str]:
    """The exit status and the verdict, in one line."""
    for state, status in ((FAILED, 1), (UNKNOWN, 2)):
        for finding in here.findings:
            if finding.state == state and not wrong:
                return status, f"NOT right here: {finding.name.en}: {finding.found.en}"
    if wrong:
        return 1, "NOT every request is right"
    if unfinished:
        return 2, "NOT found out: a process that drives the SDK failed"
    here_too = "" if here.active else ", in programs that import dashscope_ws_patch"
    named = "" if here.workspace else ", once a workspace is set"
    return 0, f"every request is right{here_too}{named}"


def _heading(facts: dict[str, str], here: Prospect) -> Iterator[str]:
    names = ("dashscope-ws-patch", "dashscope", "wrapt", "Python")
    yield _cut(", ".join(f"{name} {facts[name]}" for name in names))
    for finding in here.findings[1:]:
        yield _cut(f"{finding.name.en + ':':<15}{finding.found.en}")


def _details(
    rows: list[Row],
    told: list[dict[str, Any]],
    libraries: list[dict[str, Any]],
    failed: list[dict[str, str]],
    unknown: list[_audit.Egress],
    room: int,
) -> list[str]:
    """A line for each group of surfaces, then what is wrong; ``room`` lines at most."""
    wrong = [
        # What no longer fits is the reason for all else that is wrong.
        *(f"FAILED seam {seam['module']}.{seam['attribute']}: {seam['reason']}" for seam in failed),
        *_uncovered(libraries),
        *(
            f"WRONG {row.surface}: {row.shim} of {row.requests} requests {row.error}"
            for row in rows
            if not row.right
        ),
        *(f"UNKNOWN way out: {way.place} ({way.way}): {way.row}" for way in unknown),
    ]
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(row.surface.partition(":")[0], []).append(row)
    if wrong:  # those that are right take one line
        right = [name for name, members in groups.items() if all(row.right for row in members)]
        others = [row for name in right for row in groups.pop(name)]
        groups.update({"the other groups": others} if others else {})
    lines = []
    for name, members in groups.items():
        requests, carried = (sum(getattr(r, n) for r in members) for n in ("requests", "shim"))
        broken = sum(row.broken for row in members)
        lines.append(
            f"  {name:<17}{carried:>4} of {requests:>3} requests of {len(members):>2} surfaces"
            + (f", {broken} broken by the SDK itself" if broken else "")
        )
    answered = sum(chapter["right"] for chapter in told)
    lines.append(
        f"  {'accounts':<17}{answered:>4} of {len(told):>3} answers as the service gives them"
    )
    if libraries:
        lines.append(f"  libraries: {_covered(libraries)}")
    left = wrong[max(room - len(lines) - 1, 0) :]
    more = f"and {len(left)} more that are wrong; " if left else ""
    return [*lines, *wrong[: len(wrong) - len(left)], f"{more}each surface and seam: --verbose"]


def _untried(not_passed: list[str], undriven: list[str]) -> list[str]:
    """A line for the rows that no surface passes through, and one for what no surface drives."""
    found = (("no surface passes", not_passed), ("no surface drives", undriven))
    return [f"{len(names)} {what}: {', '.join(names)}" for what, names in found if names]


def _covered(libraries: list[dict[str, Any]]) -> str:
    """The libraries beside the SDK, by which all that was sent was right, in one line."""
    names = [library["library"] for library in libraries if library["covered"]]
    return " ".join(names).replace("urllib.request", "urllib") or "none"


def _uncovered(libraries: list[dict[str, Any]]) -> Iterator[str]:
    for library in libraries:
        if not library["covered"] and library["native"]:  # it works without us
            yield f"WRONG {library['library']}, without the SDK: {library['reason']}"


def _cut(line: str, columns: int = 80) -> str:
    """``line`` in one row of a screen; what is left out is in its middle, where paths are long."""
    # Chinese characters take two columns.
    wide = [2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in line]
    if sum(wide) <= columns:
        return line
    half = (columns - 3) // 2
    begin = end = 0
    while sum(wide[: begin + 1]) <= columns - 3 - half:
        begin += 1
    while sum(wide[len(wide) - end - 1 :]) <= half:
        end += 1
    return f"{line[:begin]}...{line[len(line) - end :]}"


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
            full = 40 * done // total
            stream.write(f"\r[{'#' * full}{'.' * (40 - full)}] {done} of {total} surfaces")
            stream.flush()
        elif shown and stream is not None and done and 4 * done // total > 4 * (done - 1) // total:
            print(f"{done} of {total} surfaces driven", file=stream, flush=True)

    try:
        yield progress
    finally:
        if bar:
            stream.write(f"\r{'':<70}\r")
            stream.flush()


def _facts(here: Prospect) -> dict[str, str]:
    shim = "switched off" if switched_off() else "not active"
    if here.active:
        shim = f"active ({'; '.join(here.ways)})"
    found = next(finding for finding in here.findings if finding.name == prospects.WORKSPACE)
    named = _workspace.masked(here.workspace or "none")
    source = here.source or (
        found.found.en if found.state == FAILED else "nothing in the environment"
    )
    return {
        "dashscope-ws-patch": _installed("dashscope-ws-patch"),
        "dashscope": coverage.sdk_version() or _installed("dashscope"),
        "wrapt": _installed("wrapt"),
        "Python": platform.python_version(),
        "the shim is": shim,
        "ambient workspace": f"{named} ({source})",
        "without the SDK": clients_in_words(asked_for_libraries()),
    }


def _installed(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def start_child(task: str, patched: bool = True) -> subprocess.Popen[str]:
    # Nothing of the user's own settings, keys and proxies may reach the processes that send.
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.upper().startswith(("DASHSCOPE_", "AGENTSTUDIO_", "FC_", "BAILIAN_"))
        and not name.upper().endswith("_PROXY")
    }
    environment.update(DASHSCOPE_WORKSPACE=TENANT, DASHSCOPE_WS_PATCH=str(int(patched)))
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
    from .. import _activation
    from . import surfaces as _surfaces
    from . import surfaces_v2 as _surfaces_v2
    from .loopback import Loopback, redirect

    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    with Loopback() as loopback, redirect(loopback.port), contextlib.ExitStack() as stack:
        is_patched = _activation.is_patched()
        ran = stack.enter_context(coverage.watching()) if is_patched else set()
        drive = _surfaces.Drive(loopback)
        _surfaces.prepare(drive)
        driven = [*_surfaces.surfaces(), *_surfaces_v2.surfaces()]
        _write(total=len(driven))
        for surface in driven:
            error = ""
            try:
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
        seams = seam_states() if is_patched else []
    _write(
        seams=seams,
        not_passed=coverage.rows_not_passed(ran) if is_patched else [],
        functions=coverage.functions_that_ran(ran),
        classes=coverage.classes_not_driven(ran) if is_patched else [],
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
    for seam, _, _ in _activation.report():
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
