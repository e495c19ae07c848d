"""Will requests from this environment carry a workspace? Asked of a new interpreter of it.

``check`` and ``doctor`` print the findings. This process has imported the shim, so that it proves
nothing; a new interpreter, started as this one was, is what the very next program will be.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any, NamedTuple

from .. import _activation, _workspace
from ..cli.status import activation, this_python
from ..hint.refusals import Text
from .newcomer import MARK

OK, WARNING, FAILED, UNKNOWN = "ok", "warning", "failed", "unknown"


class Finding(NamedTuple):
    """One line: what was looked at, its state, what was found and the one thing to do."""

    name: Text
    state: str
    found: Text
    advice: Text = Text("", "")


class Prospect(NamedTuple):
    """What a program started here would do."""

    findings: list[Finding]
    #: The workspace that its requests would carry once the shim is active, and where it comes from.
    workspace: str | None
    source: str | None
    #: Whether the shim would be active in it without an import of its own, and how.
    active: bool
    ways: list[str]

    def state(self, state: str) -> bool:
        """Whether a finding is in this state."""
        return any(finding.state == state for finding in self.findings)


SDK = Text("SDK and seams", "SDK 与接入点")
ACTIVATION = Text("activation", "激活")
WORKSPACE = Text("workspace", "业务空间")
RIVALS = Text("base URLs", "服务地址")
TRIAL = Text("loopback call", "回环调用")

_VARIABLES = {
    "base_http_api_url": "DASHSCOPE_HTTP_BASE_URL",
    "base_websocket_api_url": "DASHSCOPE_WEBSOCKET_BASE_URL",
    "base_compatible_api_url": "DASHSCOPE_COMPATIBLE_BASE_URL",
}


def prospect() -> Prospect:
    """Start a new interpreter of this environment, let it call the SDK on a loopback service, and
    say what would become of its requests. Nothing is sent to the service."""
    off = _activation.switched_off()
    told = _newcomer() if off else _newcomer("import")
    came = bool(told.get("came"))
    status = activation()
    came = came or ("broken" in told and status.active)
    findings = [_sdk(told), _activated(came, off, status.ways)]
    workspace, source = told.get("workspace"), told.get("source")
    malformed = told.get("malformed")
    if off or "broken" in told:  # nobody is there to ask: what the environment alone would say
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # what it says is among the findings
                workspace, source = _workspace.environment()
        except _workspace.WorkspaceError as error:
            malformed = str(error)
    findings.append(workspace_finding(workspace, source, malformed))
    winning = _winning(told, workspace)
    if winning:
        findings.append(winning)
    for base in told.get("bases", ()):
        if base["wins"] and base["name"] == "base_http_api_url":  # most requests go there
            workspace, source = base["names"], variable(base["name"])
    if "broken" not in told:
        findings.append(_trial(told, came, off, workspace))
    for position, each in enumerate(findings):
        if each.name != ACTIVATION:  # files
            findings[position] = each._replace(found=Text(*map(_workspace.masked, each.found)))
    return Prospect(findings, workspace, source, came, status.ways if came else [])


def _newcomer(*arguments: str) -> dict[str, Any]:
    """What ``newcomer`` tells, started as this interpreter was."""
    script = str(Path(__file__).with_name("newcomer.py"))
    start = f"import runpy; runpy.run_path({script!r}, run_name='__newcomer__')"
    environment = {k: v for k, v in os.environ.items() if k != "DASHSCOPE_API_KEY"}
    ran = subprocess.run(
        [*this_python(), "-c", start, *arguments],
        env={**environment, "PYTHONIOENCODING": "utf-8"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
    )
    for line in ran.stdout.splitlines():  # the SDK may print too
        if line.startswith(MARK):
            told: dict[str, Any] = json.loads(line[len(MARK) :])
            return told
    last = (ran.stderr.strip().splitlines() or ["no answer"])[-1]
    return {"broken": f"{Path(sys.executable).name}: {last}"}


def _sdk(told: dict[str, Any]) -> Finding:
    if "broken" in told:
        found = Text(told["broken"], told["broken"])
        return Finding(
            SDK,
            UNKNOWN,
            found,
            Text(
                "make `import dashscope` work here: pip install dashscope",
                "先让 `import dashscope` 在此环境可用：pip install dashscope",
            ),
        )
    release = f"dashscope {told['sdk']}"
    if told.get("failed"):
        seams = ", ".join(told["failed"])
        return Finding(
            SDK,
            FAILED,
            Text(
                f"{release}; seams that do not fit: {seams}", f"{release}；不适配的接入点：{seams}"
            ),
            Text("upgrade dashscope-ws-patch", "升级 dashscope-ws-patch"),
        )
    applied = told.get("applied", 0)
    return Finding(
        SDK,
        OK,
        Text(f"{release}, {applied} seams applied", f"{release}，已接入 {applied} 处")
        if applied
        else Text(release, release),
    )


def _activated(came: bool, off: bool, ways: list[str]) -> Finding:
    if off:
        return Finding(
            ACTIVATION,
            FAILED,
            Text("DASHSCOPE_WS_PATCH switches it off", "已被 DASHSCOPE_WS_PATCH 关闭"),
            Text("unset DASHSCOPE_WS_PATCH", "删除环境变量 DASHSCOPE_WS_PATCH"),
        )
    if came:
        how = "; ".join(ways) or "?"
        return Finding(ACTIVATION, OK, Text(f"active, by {how}", f"已激活：{how}"))
    return Finding(
        ACTIVATION,
        WARNING,
        Text(
            "not active: only in a program that imports dashscope_ws_patch",
            "未激活：仅在导入 dashscope_ws_patch 的程序中生效",
        ),
        Text(
            "import dashscope_ws_patch in it, or once: python -m dashscope_ws_patch install",
            "在程序中 import dashscope_ws_patch，或执行一次 python -m dashscope_ws_patch install",
        ),
    )


def workspace_finding(workspace: str | None, source: str | None, malformed: str | None) -> Finding:
    if malformed and _workspace.REQUIRE_SCOPE in malformed:
        return Finding(
            WORKSPACE,
            WARNING,
            Text(
                f"{_workspace.REQUIRE_SCOPE}: calls outside a scope are refused",
                f"{_workspace.REQUIRE_SCOPE}：作用域之外的调用会被拒绝",
            ),
            Text("call inside `with use_workspace(...)`", "在 `with use_workspace(...)` 中调用"),
        )
    if malformed:
        return Finding(WORKSPACE, FAILED, Text(malformed, malformed), Text("correct it", "请更正"))
    if workspace is None:
        return Finding(
            WORKSPACE,
            WARNING,
            Text("none is set", "未设置"),
            Text("export DASHSCOPE_WORKSPACE=ws_...", "export DASHSCOPE_WORKSPACE=ws_..."),
        )
    both = [(os.environ.get(name) or "").strip() for name in _workspace.VARIABLES]
    if all(both) and both[0] != both[1]:
        first, second = _workspace.VARIABLES
        return Finding(
            WORKSPACE,
            WARNING,
            Text(
                f"{workspace}, from {first}; {second} names another, {both[1]}",
                f"{workspace}，来自 {first}；{second} 指定了另一个：{both[1]}",
            ),
            Text("unset one of the two", "删除其中一个"),
        )
    found = Text(f"{workspace}, from {source}", f"{workspace}，来自 {source}")
    if workspace != _workspace.masked(workspace):
        return Finding(WORKSPACE, WARNING, found, Text("correct it", "请更正"))
    return Finding(WORKSPACE, OK, found)


def _winning(told: dict[str, Any], workspace: str | None) -> Finding | None:
    """The base URLs that name a workspace, if any does."""
    bases = [base for base in told.get("bases", ()) if base["wins"]]
    if not bases:
        return None
    names = ", ".join(f"{variable(base['name'])} ({base['names']})" for base in bases)
    if workspace is None or all(base["names"] == workspace for base in bases):
        return Finding(RIVALS, OK, Text(f"workspace named by {names}", f"由 {names} 指定业务空间"))
    return Finding(
        RIVALS,
        FAILED,
        Text(
            f"{names} wins: requests go there, not to {workspace}",
            f"{names} 优先：请求发往该地址，而不是 {workspace}",
        ),
        Text("unset it, or let it name no workspace", "删除该变量，或改用不含业务空间的地址"),
    )


def variable(base: str) -> str:
    """What a module-level base URL of the SDK is from."""
    name = _VARIABLES.get(base, base)
    return name if os.environ.get(name) else f"dashscope.{base}"


def _trial(told: dict[str, Any], came: bool, off: bool, workspace: str | None) -> Finding:
    carried, host = told.get("carried") or [], told.get("host")
    program = (
        Text("a program started here", "在此启动的程序")
        if came or off
        else Text("a program that imports dashscope_ws_patch", "导入 dashscope_ws_patch 的程序")
    )
    if told.get("error") and not host:
        error = str(told["error"]).splitlines()[0]
        state = FAILED if error.startswith("WorkspaceError") else UNKNOWN
        return Finding(
            TRIAL,
            WARNING if _workspace.REQUIRE_SCOPE in error else state,
            Text(f"{program.en} sends nothing: {error}", f"{program.zh}没有发送请求：{error}"),
        )
    shown = ", ".join(carried)
    if carried:
        found = Text(f"{program.en} sent {shown}", f"{program.zh}发送了 {shown}")
    else:
        found = Text(
            f"{program.en} sent no header to {host}", f"{program.zh}向 {host} 发送时没有请求头"
        )
    named = [base["names"] for base in told.get("bases", ())]
    right = carried == [workspace] or (not carried and (workspace is None or workspace in named))
    if "beside" in told:  # DASHSCOPE_WS_PATCH_CLIENTS
        beside = ", ".join(told["beside"])
        right = right and told["beside"] == [told["workspace"]] * bool(told["workspace"])
        found = Text(
            f"{found.en}, and {beside or 'none'} without the SDK",
            f"{found.zh}；不经 SDK 的请求：{beside or '无'}",
        )
    return Finding(TRIAL, OK if right and not off else FAILED, found)
