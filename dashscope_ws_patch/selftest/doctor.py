"""``doctor``: what is installed, what is patched, and every surface of the SDK driven for real.

Drives the surfaces twice against the embedded loopback service, in two processes of their own: once
natively and once with the shim, both with the workspace in the environment. Needs neither a key nor
the internet.
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
import subprocess
import sys
import warnings
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from . import audit as _audit

if TYPE_CHECKING:
    from .loopback import Request

#: The workspace that both processes have in their environment.
WORKSPACE = "ws_doctor"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``doctor``."""
    parser.add_argument("--json", action="store_true", help="one JSON object instead of the table")


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
    """Print the report. 0 if every request is right, 1 if one is not, 2 without an SDK."""
    if find_spec("dashscope") is None:
        print("dashscope is not installed: pip install dashscope", file=sys.stderr)
        return 2
    say = (lambda *_: None) if options.json else print
    facts = _facts()
    for name, value in facts.items():
        say(f"{name:<24}{value}")
    story, native, shim = _child("story"), _child("drive", patched=False), _child("drive")
    say()
    told = list(_results(story))
    for chapter in told:
        say(f"{chapter['case']:<58}{chapter['answer']}")
    say(f"\n{'surface':<58}{'requests':>9}{'native':>9}{'with the shim':>15}")
    rows = []
    for before, after in zip(_results(native), _results(shim)):
        if "seams" in after:
            seams = after["seams"]
            break
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
        mark = "" if row.right else f"  WRONG {row.error}"
        mark = f"  the SDK's own error: {row.error}" if row.broken else mark
        say(f"{row.surface:<58}{row.requests:>9}{row.native:>9}{row.shim:>15}{mark}")
    else:
        seams = []
    broken = [process for process in (story, native, shim) if process.wait() != 0]
    for process in broken:
        print(f"a process that drives the SDK failed: {process.args!r}", file=sys.stderr)
    failed = [seam for seam in seams if seam["state"] == "failed"]
    egress = _audit.audit()
    right = (
        bool(rows)
        and all(row.right for row in rows)
        and all(chapter["right"] for chapter in told)
        and not (failed or broken or any(way.state == _audit.UNKNOWN for way in egress))
    )
    requests = sum(row.requests for row in rows)
    say(
        f"{'total: ' + str(len(rows)) + ' surfaces':<58}{requests:>9}"
        f"{sum(row.native for row in rows):>9}{sum(row.shim for row in rows):>15}"
    )
    leaks = sum(row.leaks for row in rows)
    say(f"\nleaks to foreign hosts: {leaks}")
    states = [seam["state"] for seam in seams]
    counts = ", ".join(f"{states.count(state)} {state}" for state in sorted(set(states)))
    say(f"seams: {counts}")
    for seam in seams:
        say(f"  {seam['state']:<9}{seam['module']}.{seam['attribute']}  {seam['reason']}".rstrip())
    say(f"audit: {_audit.summary(egress)}")
    say("\nevery request is right" if right else "\nNOT every request is right")
    if options.json:
        report = {
            "facts": facts,
            "story": told,
            "surfaces": [{**row._asdict(), "right": row.right} for row in rows],
            "leaks": leaks,
            "seams": seams,
            "audit": _audit.summary(egress),
            "right": right,
        }
        print(json.dumps(report, ensure_ascii=False, indent=2))
    return 0 if right else 1


def _facts() -> dict[str, str]:
    from .. import _activation, _workspace

    workspace, source = None, None
    try:
        workspace, source = _workspace.environment()
    except ValueError as error:
        source = str(error)
    return {
        "dashscope-ws-patch": _installed("dashscope-ws-patch"),
        "dashscope": _installed("dashscope"),
        "wrapt": _installed("wrapt"),
        "Python": platform.python_version(),
        "the shim is": "active" if _activation.is_patched() else "switched off",
        "ambient workspace": f"{_workspace.masked(workspace or 'none')}"
        f" ({source or 'nothing in the environment'})",
    }


def _installed(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def _child(task: str, patched: bool = True) -> subprocess.Popen[str]:
    # Nothing of the user's own settings, keys and proxies may reach the processes that send.
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.upper().startswith(("DASHSCOPE_", "AGENTSTUDIO_", "FC_", "BAILIAN_"))
        and not name.upper().endswith("_PROXY")
    }
    environment.update(DASHSCOPE_WORKSPACE=WORKSPACE, DASHSCOPE_WS_PATCH=str(int(patched)))
    package = str(Path(__file__).resolve().parents[2])
    search = os.pathsep.join(filter(None, (package, environment.get("PYTHONPATH"))))
    return subprocess.Popen(
        [sys.executable, "-m", "dashscope_ws_patch.selftest.doctor", task],
        env={**environment, "PYTHONPATH": search, "PYTHONIOENCODING": "utf-8"},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        encoding="utf-8",
    )


_MARK = "dashscope-ws-patch doctor: "


def _results(process: subprocess.Popen[str]) -> Iterator[dict[str, Any]]:
    assert process.stdout is not None
    for line in process.stdout:  # the SDK prints on it too
        if line.startswith(_MARK):
            yield json.loads(line[len(_MARK) :])


# The processes that drive the SDK


def tell_story() -> None:
    """Call as a RAM sub-account and as a main account, writing a line of JSON for each answer."""
    from .. import patch, unpatch, use_workspace
    from ..hint.refusals import WORKSPACE as DENIED
    from . import surfaces as _surfaces
    from .accounts import Accounts
    from .loopback import Loopback, redirect

    del os.environ["DASHSCOPE_WORKSPACE"]
    hints: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: hints.append(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger("dashscope_ws_patch").addHandler(handler)
    accounts = Accounts(main=["sk-main"], members={"sk-sub-account": [WORKSPACE]})
    with Loopback(policy=accounts) as loopback, redirect(loopback.port):
        _surfaces.prepare(_surfaces.Drive(loopback))
        from dashscope import Generation

        def call(case: str, key: str, denied: bool) -> None:
            hints.clear()
            reply: Any = Generation.call("qwen-turbo", prompt="hello", api_key=key)
            answer = reply.code if denied else str(reply.status_code)
            right = reply.code == DENIED.code if denied else reply.status_code == 200
            _write(case=case, answer="\n  ".join([answer or "200", *hints]), right=right)

        unpatch()
        call("sub-account's key, without the shim", "sk-sub-account", denied=True)
        patch()
        with use_workspace(WORKSPACE):
            call("sub-account's key, with its workspace", "sk-sub-account", denied=False)
        with use_workspace("ws_somebody_else"):
            call("sub-account's key, with somebody else's", "sk-sub-account", denied=True)
        call("main account's key, with none", "sk-main", denied=False)


def drive_all() -> None:
    """Drive the surfaces of the installed SDK, writing a line of JSON for each, then the seams'."""
    from .. import _activation
    from . import surfaces as _surfaces
    from . import surfaces_v2 as _surfaces_v2
    from .loopback import Loopback, redirect

    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    with Loopback() as loopback, redirect(loopback.port):
        drive = _surfaces.Drive(loopback)
        _surfaces.prepare(drive)
        for surface in [*_surfaces.surfaces(), *_surfaces_v2.surfaces()]:
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
    _write(seams=_seams() if _activation.is_patched() else [])


def _is_right(request: Request) -> bool:
    return request.workspaces == [WORKSPACE] and named_in(request) <= {WORKSPACE}


def named_in(request: Request) -> set[str]:
    """Every workspace that the host, the body and the messages of ``request`` name."""
    from .._decision import workspace_in_host

    host: str | None = workspace_in_host(f"https://{request.host}")
    texts = [request.body.decode("latin-1"), *(m for m in request.messages if isinstance(m, str))]
    written = [found for text in texts for found in re.findall(r'"workspace_id": ?"(.+?)"', text)]
    return {workspace for workspace in (host, *written) if workspace}


def _seams() -> list[dict[str, str]]:
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
    print(_MARK + json.dumps(result), flush=True)


if __name__ == "__main__":
    {"drive": drive_all, "story": tell_story}[sys.argv[1]]()
