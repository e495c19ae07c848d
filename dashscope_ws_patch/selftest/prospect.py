"""What would a program started here send? Asked of a new interpreter of this environment.

``status``, ``check`` and ``doctor`` print what is found, and so agree about what is wrong. This
process has imported the shim, so that it proves nothing; a new interpreter, started as this one
was, is what the very next program will be.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import warnings
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any, NamedTuple

from .. import _activation, _hosts, _workspace
from .._workspace import masked
from ..cli._language import _, joined, of_shim
from ..cli.install import STARTUP, is_current, is_ours, may_be_ours
from ..cli.run import SITEDIR
from .newcomer import MARK, OF_CLIENTS

OK, WARNING, FAILED, UNKNOWN = "ok", "warning", "failed", "unknown"


class Finding(NamedTuple):
    """One line: what was looked at, its state, what was found and the one thing to do."""

    #: English, whatever the reader's language: a name for programs too.
    name: str
    state: str
    found: str
    advice: str = ""


class Verdict(NamedTuple):
    """The answer to a question: its exit status, a sentence, and what to do."""

    status: int
    said: str
    advice: str = ""


#: Exit statuses.
RIGHT, WRONG, NOT_FOUND_OUT = 0, 1, 2

SDK, ACTIVATION, WORKSPACE = "SDK and seams", "activation", "workspace"
RIVALS, BESIDE, TRIAL = "base URLs", "without the SDK", "loopback call"

_VARIABLES = {
    "base_http_api_url": "DASHSCOPE_HTTP_BASE_URL",
    "base_websocket_api_url": "DASHSCOPE_WEBSOCKET_BASE_URL",
    "base_compatible_api_url": "DASHSCOPE_COMPATIBLE_BASE_URL",
    OF_CLIENTS: OF_CLIENTS,
}


class Prospect(NamedTuple):
    """What a program started here would do."""

    findings: list[Finding]
    #: The workspace that its requests would carry once the shim is active, and where it comes from.
    workspace: str | None
    source: str | None
    #: Whether the shim would be active in it without an import of its own, and how.
    active: bool
    ways: list[str]
    #: Whether requests outside a scope are refused, because the environment asks for that.
    scopes_only: bool = False
    #: What stands in the way of being activated.
    obstacles: tuple[str, ...] = ()
    #: False where there is no SDK that could be patched.
    has_sdk: bool = True
    #: The host that a request would go to, where DASHSCOPE_WS_PATCH_OWN_HOST asks for its own.
    host: str | None = None

    @property
    def asks_for_libraries(self) -> bool:
        """Whether DASHSCOPE_WS_PATCH_CLIENTS asks for what is sent without the SDK."""
        return any(finding.name == BESIDE and finding.state == OK for finding in self.findings)

    def first(self, state: str) -> Finding | None:
        """The first finding in this state."""
        return next((finding for finding in self.findings if finding.state == state), None)

    def verdict(self, wanted: str | None = None) -> Verdict:
        """Would a program started here send the workspace ``wanted``, by default the environment's?

        With neither there is nothing to be wrong about: the status is 0.
        """
        for state, status in ((FAILED, WRONG), (UNKNOWN, NOT_FOUND_OUT)):
            finding = self.first(state)
            if finding is not None:
                said = f"{_(finding.name)}: {finding.found}"
                if wanted:
                    said = (
                        _("A program started here would not send it: {said}", said=said)
                        if status == WRONG
                        else _(
                            "What a program started here would send is unknown: {said}", said=said
                        )
                    )
                return Verdict(status, said, finding.advice)
        todo = []
        if not self.active:
            todo.append(_(_ACTIVATE))
        if self.scopes_only and self.active:
            said = _(
                "A program started here sends a workspace only inside `with use_workspace(...)`: "
                "{name} has other calls refused.",
                name=_workspace.REQUIRE_SCOPE,
            )
            return Verdict(RIGHT, said)
        wanted = wanted or self.workspace
        if wanted != self.workspace:
            shown = masked(wanted or "")
            export = f"export DASHSCOPE_WORKSPACE={shown}"
            todo.insert(0, export if shown == wanted else _("see that it is no API key"))
        if wanted is None:
            todo.insert(0, "export DASHSCOPE_WORKSPACE=ws_...")
            said = _("A program started here sends no workspace: none is set.")
            return Verdict(RIGHT, said, _(", and ").join(todo))
        if not todo:
            said = _("A program started here sends {workspace}.", workspace=masked(wanted))
            return Verdict(RIGHT, said)
        if self.active and self.workspace:
            said = _(
                "A program started here would send {other} instead.", other=masked(self.workspace)
            )
        else:
            said = _("A program started here would not send it yet.")
        return Verdict(WRONG, said, _(", and ").join(todo))


MORE_TIME = "give it a longer --timeout"
_ACTIVATE = "import dashscope_ws_patch in the program, or run: python -m dashscope_ws_patch install"


def prospect(timeout: float | None = None) -> Prospect:
    """Start a new interpreter of this environment, let it call the SDK on a loopback service, and
    say what would become of its requests. Nothing is sent to the service.

    Raises ValueError where that interpreter does not even start.
    """
    off = _activation.switched_off()
    told = _newcomer(timeout)
    ways, notes = _ways(told)
    has_sdk = not told.get("missing")
    came = bool(told.get("came")) or ("broken" in told and bool(ways))
    findings = [_sdk(told), _activated(came, off, ways, notes)]
    workspace, source, malformed = told.get("workspace"), told.get("source"), told.get("malformed")
    if "workspace" not in told and not malformed:
        # Nobody was there to ask: what the environment alone would say.
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # what it says is among the findings
                workspace, source = _workspace.environment()
        except _workspace.WorkspaceError as error:
            malformed = str(error)
    scopes_only = _scopes_only()
    findings.append(_named(workspace, source, malformed, scopes_only))
    bases = told.get("bases") or _bases_of_the_environment()
    rival = _winning(bases, workspace)
    findings += [rival] if rival else []
    for base in bases:
        if base["wins"] and base["name"] == "base_http_api_url":  # most requests go there
            workspace, source = base["names"], variable(base["name"])
    findings += _beside(told)
    if "broken" not in told and "bare" not in told:
        findings.append(_trial(told, came, off, workspace, [base["names"] for base in bases]))
    ways = ways if came else []
    host = told.get("host") if _workspace.variable(_workspace.OWN_HOST) else None
    return Prospect(
        findings, workspace, source, came, ways, scopes_only, tuple(notes), has_sdk, host
    )


def this_python() -> list[str]:
    """The command that starts an interpreter as this one was started."""
    switches = {"isolated": "-I", "ignore_environment": "-E", "no_site": "-S", "no_user_site": "-s"}
    flags = [switch for name, switch in switches.items() if getattr(sys.flags, name)]
    return [sys.executable, *flags]


def _newcomer(timeout: float | None) -> dict[str, Any]:
    """What ``newcomer`` tells, started as this interpreter was."""
    script = str(Path(__file__).with_name("newcomer.py"))
    start = f"import runpy; runpy.run_path({script!r}, run_name='__newcomer__')"
    environment = {k: v for k, v in os.environ.items() if k != "DASHSCOPE_API_KEY"}
    try:
        ran = subprocess.run(
            [*this_python(), "-c", start],
            env={**environment, "PYTHONIOENCODING": "utf-8"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=timeout,
        )
    except subprocess.TimeoutExpired:
        late = _("a program started here does not come to its end in time")
        return {"broken": late, "advice": _(MORE_TIME)}
    except OSError as error:
        raise ValueError(str(error)) from error
    for line in ran.stdout.splitlines():  # the SDK may print too
        if line.startswith(MARK):
            told: dict[str, Any] = json.loads(line[len(MARK) :])
            said = [line for line in ran.stderr.splitlines() if " is not active: " in line]
            if said and not told.get("came"):
                told["bare"] = said[0].partition(" is not active: ")[2]
            return told
    last = (ran.stderr.strip().splitlines() or [f"status {ran.returncode}"])[-1]
    raise ValueError(f"{Path(sys.executable).name}: {last}")


def _ways(told: dict[str, Any]) -> tuple[list[str], list[str]]:
    """What activates the interpreter that has ``told``, each with the file that does; and what
    stands in the way."""
    ways, notes = [], []
    waiting, path = told.get("waiting", []), told.get("path", [])
    line = os.path.join(sysconfig.get_path("purelib"), "dashscope_ws_patch.pth")
    if is_ours(line) and STARTUP in waiting:
        ways.append(f"install: {line}")
    elif is_ours(line) and not is_current(line):
        notes.append(_("{file} names a package that is not here: say install again", file=line))
    first = PathFinder.find_spec("sitecustomize", [entry for entry in path if entry])
    if SITEDIR in path:
        if STARTUP in waiting and (not ways or (first and first.origin == STARTUP)):
            ways.append(f"PYTHONPATH: {SITEDIR}")
        elif first and first.origin != STARTUP:
            notes.append(
                _(
                    "{first} comes first, and keeps {startup} from running",
                    first=first.origin,
                    startup=STARTUP,
                )
            )
    older = [file for file in may_be_ours(sysconfig.get_path("purelib")) if is_ours(file)]
    for file in waiting:
        if file in older:
            ways.append(f"install of an earlier release: {file}")
        elif file != STARTUP or not ways:
            ways.append(f"another copy: {file}")
    if told.get("imported"):
        ways.append("import: " + (", ".join(told["customize"]) or "a .pth file"))
    if told.get("came") and not ways:
        ways += [f"install of an earlier release: {file}" for file in older] or ["?"]
    if sys.flags.no_site:
        notes.append(_("-S loads no site: nothing but an import in the program reaches it"))
    return ways, notes


# The findings


def _sdk(told: dict[str, Any]) -> Finding:
    if told.get("missing"):
        return Finding(SDK, UNKNOWN, _(NO_SDK), "pip install dashscope")
    if "broken" in told:
        advice = _("make `import dashscope` work here: pip install dashscope")
        return Finding(SDK, UNKNOWN, told["broken"], told.get("advice", advice))
    release = f"dashscope {told['sdk']}"
    if "bare" in told:
        found = _("dashscope is imported without it: {reason}", reason=told["bare"])
        return Finding(SDK, FAILED, found, _("upgrade dashscope-ws-patch"))
    failed = [*told.get("failed", ()), *told.get("failed_libraries", ())]
    if failed:
        found = _(
            "{release}; seams that do not fit: {seams}", release=release, seams=joined(failed)
        )
        return Finding(SDK, FAILED, found, _("upgrade dashscope-ws-patch"))
    applied = told.get("applied")
    found = _("{release}, {applied} seams applied", release=release, applied=applied)
    return Finding(SDK, OK, found if applied else release)


NO_SDK = "dashscope is not installed here: there is nothing to patch"


def _activated(came: bool, off: bool, ways: list[str], notes: list[str]) -> Finding:
    if off:
        found = _("DASHSCOPE_WS_PATCH switches it off")
        return Finding(ACTIVATION, FAILED, found, _("unset DASHSCOPE_WS_PATCH"))
    if came:
        return Finding(ACTIVATION, OK, _("active, by {ways}", ways="; ".join(ways)))
    found = _("not active: only in a program that imports dashscope_ws_patch")
    return Finding(ACTIVATION, WARNING, "; ".join([found, *notes]), _(_ACTIVATE))


def _scopes_only() -> bool:
    try:
        _workspace.require_scope()
    except _workspace.WorkspaceError:
        return True
    return False


def _named(
    workspace: str | None, source: str | None, malformed: str | None, scopes_only: bool
) -> Finding:
    if scopes_only and (malformed is None or _workspace.REQUIRE_SCOPE in malformed):
        found = _("{name}: calls outside a scope are refused", name=_workspace.REQUIRE_SCOPE)
        return Finding(WORKSPACE, WARNING, found, _("call inside `with use_workspace(...)`"))
    if malformed:
        return Finding(WORKSPACE, FAILED, of_shim(malformed), _("correct it"))
    if workspace is None:
        return Finding(WORKSPACE, WARNING, _("none is set"), "export DASHSCOPE_WORKSPACE=ws_...")
    found = _("{workspace}, from {source}", workspace=masked(workspace), source=source)
    both = [(os.environ.get(name) or "").strip() for name in _workspace.VARIABLES]
    if all(both) and both[0] != both[1]:
        other = _(
            "{name} names another, {other}", name=_workspace.VARIABLES[1], other=masked(both[1])
        )
        return Finding(WORKSPACE, WARNING, f"{found}; {other}", _("unset one of the two"))
    if workspace != masked(workspace):
        return Finding(WORKSPACE, WARNING, found, _("see that it is no API key"))
    return Finding(WORKSPACE, OK, found)


def _bases_of_the_environment() -> list[dict[str, Any]]:
    """The base URLs that name a workspace, as far as the variables alone tell."""
    found = []
    for name, variable in _VARIABLES.items():
        label = _hosts.workspace_in_host(os.environ.get(variable))
        if label:
            found.append({"name": name, "names": label, "wins": True})
    return found


def _winning(bases: list[dict[str, Any]], workspace: str | None) -> Finding | None:
    """The base URLs that name a workspace, if any does."""
    said, rivals = [], []
    for base in bases:
        if not base["wins"]:
            continue
        name, label = variable(base["name"]), masked(base["names"])
        said.append(
            _(
                "{name} names {label} in its host: requests of 2.x clients go there",
                name=name,
                label=label,
            )
            if name == OF_CLIENTS  # natively with a header that names another
            else _(
                "{name} names {label} in its host: a request would go there with no header",
                name=name,
                label=label,
            )
        )
        if workspace and base["names"] != workspace:
            rivals.append(_("{name} wins over {workspace}", name=name, workspace=masked(workspace)))
    if rivals:
        advice = _("unset it, or let it name no workspace")
        return Finding(RIVALS, FAILED, "; ".join([*rivals, *said]), advice)
    return Finding(RIVALS, OK, "; ".join(said)) if said else None


def variable(base: str) -> str:
    """What a module-level base URL of the SDK is from."""
    name = _VARIABLES.get(base, base)
    return name if os.environ.get(name) else f"dashscope.{base}"


def _beside(told: dict[str, Any]) -> list[Finding]:
    """Whether requests that do without the SDK carry the workspace too, where that was asked."""
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        asked = _activation.asked_for_libraries()
    wrong = [str(warning.message).partition(": ")[2] for warning in warned]
    if asked:
        try:
            _hosts.in_url("https://dashscope.aliyuncs.com/")
        except _workspace.WorkspaceError as error:
            wrong.append(str(error))
    if wrong:
        return [Finding(BESIDE, FAILED, of_shim("; ".join(wrong)), _("correct it"))]
    return [Finding(BESIDE, OK, beside_in_words(True))] if asked else []


def beside_in_words(asked: bool) -> str:
    """What becomes of requests that are sent without the SDK."""
    said = _("the same, by") if asked else _("left alone, no")
    return f"{said} {_activation.CLIENTS}"


def _trial(
    told: dict[str, Any], came: bool, off: bool, workspace: str | None, bases: list[str]
) -> Finding:
    carried, host = told.get("carried") or [], told.get("host")
    program = (
        _("a program started here")
        if came or off
        else _("a program that imports dashscope_ws_patch")
    )
    if told.get("error") and not host:
        error = str(told["error"]).splitlines()[0]
        state = FAILED if error.startswith("WorkspaceError") else UNKNOWN
        state = WARNING if _workspace.REQUIRE_SCOPE in error else state
        found = _("{program} sends nothing: {error}", program=program, error=error)
        return Finding(TRIAL, state, found, _("correct it") if state == FAILED else "")
    if carried:
        names = joined(map(masked, carried))
        found = _("{program} sent {workspaces}", program=program, workspaces=names)
        if _workspace.variable(_workspace.OWN_HOST):
            found = _("{found}, to {host}", found=found, host=host_shown(host))
    else:
        found = _("{program} sent no header to {host}", program=program, host=host_shown(host))
    right = carried == [workspace] or (not carried and (workspace is None or workspace in bases))
    if "beside" in told:  # DASHSCOPE_WS_PATCH_CLIENTS
        right = right and told["beside"] == [told["workspace"]] * bool(told["workspace"])
        names = joined(map(masked, told["beside"])) or _("none")
        found = _("{found}, and {workspaces} without the SDK", found=found, workspaces=names)
    return Finding(TRIAL, OK if right and not off else FAILED, found)


def host_shown(host: str | None) -> str:
    """``host`` for a reader."""
    from ..hint.say import host_for_a_reader

    return host_for_a_reader(host or "?")
