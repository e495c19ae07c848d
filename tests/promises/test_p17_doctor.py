"""What ``doctor`` calls right: its exit status is 0 only if every request is."""

from __future__ import annotations

import argparse
import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from changed_sdk import changed
from environments import ROOT
from sdk_calls import need

from dashscope_ws_patch.cli._console import columns, wrapped
from dashscope_ws_patch.selftest import audit as _audit
from dashscope_ws_patch.selftest import doctor as _doctor
from dashscope_ws_patch.selftest.audit import Egress, audit
from dashscope_ws_patch.selftest.doctor import Row, judged
from dashscope_ws_patch.selftest.prospect import Prospect, prospect

SITEDIR = str(ROOT / "dashscope_ws_patch" / "site")
OFF = "DASHSCOPE_WS_PATCH"
DOCTOR = [sys.executable, "-m", "dashscope_ws_patch", "doctor"]

SENT = Row("text: Generation.call", 2, 2, 0, 2, 0, "", "")
SILENT = SENT._replace(requests=0, natively=0, shim=0)


@pytest.mark.parametrize(
    "changed, right",
    [
        ({}, True),
        ({"native": 2}, True),
        ({"shim": 1}, False),
        ({"requests": 3, "shim": 3}, False),
        ({"natively": 3}, False),
        ({"leaks": 1}, False),
        # Our answers need not be to the SDK's taste.
        ({"error": "KeyError: 'output'"}, True),
    ],
    ids=str,
)
def test_p2_each_native_request_is_made_and_carries_the_workspace(
    changed: dict[str, Any], right: bool
) -> None:
    assert SENT._replace(**changed).right is right


@pytest.mark.parametrize(
    "error, natively, broken",
    [
        ("NameError: name 'Generation' is not defined",) * 2 + (True,),
        ("NameError: name 'Generation' is not defined", "", False),
        ("", "", False),
    ],
)
def test_p2_a_surface_is_silent_only_where_the_sdk_itself_fails(
    error: str, natively: str, broken: bool
) -> None:
    row = SILENT._replace(error=error, natively_error=natively)
    assert row.broken is row.right is broken


def environment(**variables: str) -> dict[str, str]:
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("DASHSCOPE", "PYTHON"))
    }
    return {**kept, **variables}


def test_p17_the_verdict_stands_first(tmp_path: Path) -> None:
    active = environment(PYTHONPATH=SITEDIR, DASHSCOPE_WORKSPACE="llm-x1y2", TMPDIR=str(tmp_path))
    ran = subprocess.run(DOCTOR, env=active, cwd=ROOT, capture_output=True, text=True, check=False)
    text, progress = ran.stdout, ran.stderr
    assert ran.returncode == 0, text + progress
    screen = text.splitlines()
    assert screen[0] == "every request is right"
    counts = re.search(
        r"^(\d+) of \1 requests of (\d+) surfaces right, 0 leaks, 0 unknown ways out$", text, re.M
    )
    assert counts and int(counts[1]) >= int(counts[2]) > 0
    assert re.search(r"^dashscope-ws-patch \S+, dashscope \S+, wrapt \S+, Python \S+$", text, re.M)
    # Whole, however long: wrapped to the width of the terminal.
    assert f"activation: active, by PYTHONPATH: {SITEDIR} " in " ".join(text.split()) + " "
    assert re.search(r"^workspace: llm-x1y2, from DASHSCOPE_WORKSPACE$", text, re.M)
    assert re.search(r"^libraries: .*requests .*aiohttp urllib3 urllib\b", text, re.M)
    assert "applied" not in text  # seams only where one failed
    # Progress, in plain lines: nobody looks on.
    quarters = re.findall(r"^(\d+) of (\d+) surfaces driven$", progress, re.M)
    assert quarters[-1] == (counts[2], counts[2]) and len(quarters) == 4
    assert [*tmp_path.iterdir()] == []


@pytest.fixture(scope="module")
def audited() -> list[Egress]:
    """It takes seconds."""
    return audit()


def told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, audited: list[Egress], *lines: dict[str, Any]
) -> None:
    """What the processes that drive the SDK say is not of interest here: they say these."""
    said = tmp_path / "said"
    said.write_text("\n".join(_doctor.MARK + json.dumps(line) for line in lines))

    def child(task: str, patched: bool, folder: str) -> subprocess.Popen[str]:
        says = f"print(open({str(said)!r}).read())" if task == "drive" else ""
        return subprocess.Popen([sys.executable, "-c", says], stdout=subprocess.PIPE, text=True)

    monkeypatch.setattr(_doctor, "start_child", child)
    monkeypatch.setattr(_audit, "audit", lambda: audited)


@pytest.fixture(scope="module")
def wrong() -> Prospect:
    """Where as much as can be is wrong."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", SITEDIR)
        patch.setenv("DASHSCOPE_WORKSPACE", "ws-a")
        patch.setenv("DASHSCOPE_HTTP_BASE_URL", "https://llm-b.cn-beijing.maas.aliyuncs.com/api/v1")
        return prospect()


@pytest.mark.parametrize("width", [40, 80, 200])
def test_p17_lines_are_wrapped_to_the_width_and_never_cut(
    width: int,
    wrong: Prospect,
    audited: list[Egress],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    """However much is wrong, and in however long words."""
    error = "请求没有带业务空间" * 9 + " and more"
    row = {"surface": "text: 表面", "requests": 2, "right": 1, "leaks": 1, "error": error}
    seam = {"module": "dashscope.x", "attribute": "y" * 90, "state": "failed", "reason": "no"}
    told(monkeypatch, tmp_path, audited, {"total": 20}, *[row] * 20, {"seams": [seam] * 6})
    monkeypatch.setattr(_doctor, "prospect", lambda: wrong)
    monkeypatch.setenv("COLUMNS", str(width))
    assert _doctor.main(argparse.Namespace(json=False, verbose=False, sdk=None)) == 1
    screen = capsys.readouterr().out.splitlines()
    assert screen[0] == "NOT every request is right"
    assert screen[1].startswith("FAILED seam")
    assert [line for line in screen if columns(line) > width and " " in line.strip()] == []
    whole = "".join(line.strip() for line in screen).replace(" ", "")
    assert error.replace(" ", "") in whole
    assert "and18morethatarewrong:--verbose" in whole


def test_p17_a_row_ends_between_words_and_after_any_chinese_character() -> None:
    assert wrapped("one two three", 7, "  ") == ["one two", "  three"]
    assert wrapped("/a/long/path of it", 6, "") == ["/a/long/path", "of it"]
    assert wrapped("业务空间", 4, "") == ["业务", "空间"]
    assert wrapped("  indented as it was", 80, "") == ["  indented as it was"]


@pytest.mark.skipif(os.name == "nt", reason="ends it as no Windows would")
@pytest.mark.parametrize("command", ["doctor", "check", "status", "explain"])
@pytest.mark.parametrize("seconds", [0.6, 2])
def test_p17_ctrl_c_is_one_line_and_leaves_nothing(
    command: str, seconds: float, tmp_path: Path
) -> None:
    process = subprocess.Popen(
        [*DOCTOR[:-1], command],
        env=environment(TMPDIR=str(tmp_path), LC_ALL="C"),
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    with process:
        time.sleep(seconds)
        if process.poll() is not None and command != "explain":
            pytest.skip("it was quicker")
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: all that it has started too
        assert process.stderr is not None
        err = process.stderr.read()
    if process.returncode in (0, 1, 2):
        pytest.skip("it was quicker")
    assert process.returncode == 130
    assert err.splitlines()[-1:] == ["dashscope-ws-patch: interrupted"] and "Traceback" not in err
    assert [*tmp_path.iterdir()] == []


def test_p17_a_terminal_has_a_bar() -> None:
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        DOCTOR, env=environment(), cwd=ROOT, stdout=subprocess.DEVNULL, stderr=theirs
    ) as process:
        os.close(theirs)
        shown = b""
        while not re.search(rb"\r\[#*\.+\] \d+ of \d+ surfaces", shown):
            shown += os.read(ours, 1024)
        process.send_signal(signal.SIGINT)  # it has shown what is asked here
    os.close(ours)


@pytest.mark.parametrize(
    "variables, said",
    [
        ({"DASHSCOPE_WS_PATCH": "0"}, "activation: DASHSCOPE_WS_PATCH switches it off"),
        ({"DASHSCOPE_WORKSPACE": "not one"}, "workspace: .*'not one'"),
        (
            {"DASHSCOPE_HTTP_BASE_URL": "https://llm-b.cn-beijing.maas.aliyuncs.com/api/v1"},
            "base URLs: DASHSCOPE_HTTP_BASE_URL wins over llm-a",
        ),
    ],
)
def test_p17_nothing_is_right_where_the_next_program_would_not_be(
    variables: dict[str, str], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DASHSCOPE_WORKSPACE", "llm-a")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    status, verdict = judged(False, False, prospect())
    assert status == 1
    assert re.match(f"NOT right here: {said}", verdict), verdict


def test_p17_where_it_cannot_be_found_out_the_status_is_2(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    here = prospect()
    assert judged(False, True, here)[0] == 2
    assert judged(True, True, here)[0] == 1
    assert judged(False, False, here) == (
        0,
        "every request is right, in programs that import dashscope_ws_patch, "
        "once a workspace is set",
    )
    broken = tmp_path / "dashscope"
    broken.mkdir()
    (broken / "__init__.py").write_text("raise ImportError('half installed')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    status, verdict = judged(False, False, prospect())
    assert (status, "half installed" in verdict) == (2, True), verdict


def test_p17_json_has_the_keys_that_it_had(
    audited: list[Egress],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    row = {"surface": "text: one", "requests": 1, "right": 1, "leaks": 0, "error": ""}
    told(monkeypatch, tmp_path, audited, {"total": 1}, row, {"seams": []})
    # A workspace that the next program would not send is wrong, too.
    for variables, shim, status in (({}, "not active", 1), ({OFF: "0"}, "switched off", 1)):
        monkeypatch.setenv("DASHSCOPE_WORKSPACE", "llm-x1y2")
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        options = argparse.Namespace(json=True, verbose=False, sdk=None)
        assert _doctor.main(options) == status
        out, err = capsys.readouterr()
        report = json.loads(out)
        assert (report["right"], err) == (status == 0, "")
        keys = ["facts", "story", "surfaces", "leaks", "seams", "audit", "libraries", "right"]
        new = ["verdict", "status", "wrong", "environment", "not_passed", "not_driven"]
        assert {*report} == {*keys, *new}
        assert report["status"] == status and "NOT right here" in report["verdict"]
        assert report["facts"]["the shim is"] == shim
        assert report["facts"]["ambient workspace"] == "llm-x1y2 (DASHSCOPE_WORKSPACE)"
        assert [row["right"] for row in report["surfaces"]] == [True]


def test_p17_a_release_that_is_not_installed_can_be_tried(tmp_path: Path) -> None:
    """What no longer fits comes first, each with the nearest name that the release has now."""
    need("dashscope:Client")
    copy = changed(tmp_path, "request methods", "new module")
    (copy / "dashscope" / "version.py").write_text('__version__ = "9.8.7"\n')
    command = [*DOCTOR, "--sdk", str(copy / "dashscope")]
    wide = environment(COLUMNS="200")
    ran = subprocess.run(command, env=wide, cwd=ROOT, capture_output=True, text=True)
    assert ran.returncode == 1, ran.stdout + ran.stderr
    verdict, *screen = ran.stdout.splitlines()
    fits = re.fullmatch(r"every request is right, but (\d+) seams no longer fit the SDK", verdict)
    assert fits, ran.stdout
    failed, rest = screen[: int(fits[1])], screen[int(fits[1]) :]
    assert rest[0] == "" and all(line.startswith("FAILED seam dashscope.") for line in failed)
    assert any(line.endswith(": HttpRequest has no `call`; it has `execute`") for line in failed)
    assert "no surface drives dashscope.novelties:by_functions" in rest
    assert not [line for line in rest if line.startswith("no surface passes dashscope.v2.client.")]
    assert ", dashscope 9.8.7, " in ran.stdout and ", 0 unknown ways out\n" in ran.stdout


def test_p17_a_path_without_an_sdk_is_told(tmp_path: Path) -> None:
    command = [*DOCTOR, "--sdk", str(tmp_path)]
    ran = subprocess.run(command, env=environment(), cwd=ROOT, capture_output=True, text=True)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr == f"dashscope-ws-patch doctor: no package dashscope in {tmp_path}\n"
