"""P17 about P20: ``run``, ``status``, ``doctor``, ``check`` and the hint about the own host."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any, Callable, Optional

import dashscope
import pytest
from environments import ROOT, clean
from hosts import serving
from sdk_calls import GENERATION

from dashscope_ws_patch import use_workspace
from dashscope_ws_patch.cli import main as cli
from dashscope_ws_patch.hint.refusals import MODEL_DENIED
from dashscope_ws_patch.selftest import prospect as _prospect
from dashscope_ws_patch.selftest.doctor import judged
from dashscope_ws_patch.selftest.loopback import Denial, Request
from dashscope_ws_patch.selftest.surfaces import find

OWN_HOST = "DASHSCOPE_WS_PATCH_OWN_HOST"
SITEDIR = str(ROOT / "dashscope_ws_patch" / "site")
PATH = {"PYTHONPATH": SITEDIR, "DASHSCOPE_WORKSPACE": "llm-x1y2"}
SHARED = "dashscope.aliyuncs.com"
BEIJING = "llm-x1y2.cn-beijing.maas.aliyuncs.com"
FRANKFURT = "llm-x1y2.eu-central-1.maas.aliyuncs.com"


def said(*arguments: str, **variables: str) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-m", "dashscope_ws_patch", *arguments],
        env=clean(LC_ALL="C", HOME=os.devnull, **variables),
        capture_output=True,
        text=True,
    )
    return done.returncode, done.stdout, done.stderr


# run


CODE = f"import os; print(os.environ.get({OWN_HOST!r}))"
PROGRAM = [sys.executable, "-c", CODE]


@pytest.mark.parametrize(
    "options, value",
    [
        (["--own-host", "eu-central-1"], "eu-central-1"),
        (["--own-host=cn-x", "--"], "cn-x"),
        (["--own-host", "--"], "1"),
        (["--own-host", "-w", "llm-b"], "1"),
        (["--own-host", "--clients"], "1"),
    ],
)
def test_p17_run_sets_the_own_host_for_what_it_starts(options: list[str], value: str) -> None:
    assert said("run", *options, *PROGRAM, **PATH)[:2] == (0, f"{value}\n")


def test_p17_run_does_not_take_the_command_for_a_region() -> None:
    code, out, err = said("run", "--own-host", *PROGRAM, **PATH)
    assert (code, out) == (2, "")
    assert "is no region, such as eu-central-1" in err and "--own-host --" in err


# status and doctor


@pytest.mark.parametrize(
    "value, host", [("1", BEIJING), ("eu-central-1", FRANKFURT), ("0", SHARED), ("", None)]
)
def test_p17_status_says_where_a_request_goes(value: str, host: Optional[str]) -> None:
    variables = {**PATH, OWN_HOST: value} if value else PATH
    code, out, _ = said("status", "--json", **variables)
    found = json.loads(out)
    assert (code, found["workspace"], found["host"]) == (0, "llm-x1y2", host)
    for lang, word in (("en", "requests go to"), ("zh", "请求发往")):
        lines = said("status", "--lang", lang, PYTHONIOENCODING="utf-8", **variables)[1]
        assert (f"{word}: {host}" in lines) == bool(host)


@pytest.mark.parametrize("value", ["no region!", "a.b"])
def test_p17_a_malformed_own_host_is_wrong_everywhere(
    value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    variables = {**PATH, OWN_HOST: value}
    status, check = (said(command, "--json", **variables) for command in ("status", "check"))
    assert (status[0], check[0]) == (1, 1)
    for name, content in variables.items():
        monkeypatch.setenv(name, content)
    code, verdict = judged(False, False, _prospect.prospect())
    assert code == 1
    for told in (status[1], check[1], verdict):
        assert f"{OWN_HOST} (or own_host=) is '{value}'" in told


def test_p17_doctor_says_where_a_request_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, content in {**PATH, OWN_HOST: "eu-central-1"}.items():
        monkeypatch.setenv(name, content)
    here = _prospect.prospect()
    (trial,) = [each for each in here.findings if each.name == _prospect.TRIAL]
    assert trial.state == _prospect.OK
    assert trial.found.endswith(f"sent llm-x1y2, to {FRANKFURT}")


# The hint


def test_p17_the_hint_names_the_host_that_refused(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(OWN_HOST, "eu-central-1")
    monkeypatch.setattr(dashscope, "api_key", "sk-x")
    denial = Denial(403, MODEL_DENIED.code, MODEL_DENIED.message)
    with serving(lambda _: denial), use_workspace("llm-hint"), caplog.at_level(logging.WARNING):
        find(GENERATION).call("m-own-host", "hi")
    assert "llm-hint.eu-central-1.maas.aliyuncs.com' refused a request" in caplog.text


# check


NO_MODEL = Denial(403, MODEL_DENIED.code, MODEL_DENIED.message)
NO_KEY = Denial(401, "InvalidApiKey", "Invalid API-key provided.")
LIMIT = Denial(429, "Throttling.RateQuota", "Requests rate limit exceeded.")

Check = Callable[..., tuple[int, dict[str, Any], list[Request]]]


@pytest.fixture
def check(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Check]:
    """Runs the command in this process, where each host answers as ``refusals`` says."""
    finding = _prospect.Finding(_prospect.SDK, _prospect.OK, "")
    monkeypatch.setattr(dashscope, "base_http_api_url", f"https://{SHARED}/api/v1")
    monkeypatch.setenv("DASHSCOPE_API_KEY", "sk-0123456789abcdef")
    monkeypatch.setattr(dashscope, "api_key", "sk-0123456789abcdef")

    def run(*arguments: str, **refusals: Optional[Denial]) -> Any:
        def policy(request: Request) -> Optional[Denial]:
            return refusals.get("own" if ".maas." in request.host else "shared")

        named = arguments[arguments.index("-w") + 1] if "-w" in arguments else None
        named = named or os.environ.get("DASHSCOPE_WORKSPACE")
        here = _prospect.Prospect([finding], named, None, True, [])
        monkeypatch.setattr(_prospect, "prospect", lambda timeout: here)
        with serving(policy) as service:
            code = cli.main(["check", "--json", *arguments])
            return code, json.loads(capsys.readouterr().out), service.drain()

    yield run
    logging.disable(logging.NOTSET)


def reached(requests: list[Request]) -> list[tuple[str, list[str]]]:
    return [(request.host, request.workspaces) for request in requests]


HERE = ["llm-x1y2"]


@pytest.mark.parametrize(
    "value, refusals, status, told",
    [
        (None, {}, 0, f"It works on {SHARED}, and on {BEIJING}."),
        (None, {"shared": NO_MODEL}, 1,
         f"It works on {BEIJING}; the shared host has no such model."),
        (None, {"own": NO_KEY}, 0,
         f"It works on {SHARED}; the workspace's own host does not take the key."),
        (None, {"own": LIMIT}, 0, f"It works on {SHARED}; the workspace's own host says: "),
        (None, {"own": NO_MODEL, "shared": NO_MODEL}, 1,
         f"Nor does it work on {BEIJING}: it has no such model."),
        ("eu-central-1", {}, 0, f"It works on {FRANKFURT}, and on {SHARED}."),
        ("eu-central-1", {"shared": NO_MODEL}, 0,
         f"It works on {FRANKFURT}; the shared host has no such model."),
        ("eu-central-1", {"shared": NO_KEY}, 0,
         f"It works on {FRANKFURT}; the shared host does not take the key."),
        ("eu-central-1", {"own": NO_KEY}, 1,
         f"It works on {SHARED}; the workspace's own host does not take the key."),
    ],
)  # fmt: skip
def test_p17_check_asks_both_hosts(
    value: Optional[str], refusals: dict[str, Denial], status: int, told: str,
    check: Check, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("DASHSCOPE_WORKSPACE", "llm-x1y2")
    if value:
        monkeypatch.setenv(OWN_HOST, value)
    code, report, requests = check("--lang", "en", **refusals)
    assert (code, report["status"]) == (status, status)
    assert told in report["key"]["said"]
    own = FRANKFURT if value else BEIJING
    both = [(SHARED, HERE), (own, HERE)]
    assert reached(requests) == [(SHARED, []), *(both if not value else both[::-1])]
    assert len(report["requests"]) == 3
    if status and told.startswith("It works"):
        way = f"unset {OWN_HOST}" if value else f"export {OWN_HOST}=1"
        assert report["key"]["advice"] == way


def test_p17_check_says_it_in_chinese(check: Check) -> None:
    _, report, _ = check("-w", "llm-x1y2", "--lang", "zh", shared=NO_MODEL)
    assert f"{BEIJING} 可用；共享地址没有此模型。" in report["key"]["said"]


def test_p17_check_without_a_workspace_asks_one_host(check: Check) -> None:
    _, report, requests = check("--lang", "en")
    assert reached(requests) == [(SHARED, [])]
    assert "It works on" not in report["key"]["said"]


@pytest.mark.parametrize(
    "region, hosts",
    [
        ("eu-central-1", [FRANKFURT]),
        ("ap-northeast-1", ["llm-x1y2.ap-northeast-1.maas.aliyuncs.com"]),
        ("xx-new-7", ["llm-x1y2.xx-new-7.maas.aliyuncs.com"]),
        ("cn-hongkong", [
            "cn-hongkong.dashscope.aliyuncs.com", "cn-hongkong.dashscope.aliyuncs.com",
            "llm-x1y2.cn-hongkong.maas.aliyuncs.com",
        ]),
    ],
)  # fmt: skip
def test_p17_check_knows_regions_without_a_shared_host(
    region: str, hosts: list[str], check: Check
) -> None:
    code, _, requests = check("--region", region, "-w", "llm-x1y2", "--lang", "en")
    assert code == 0
    assert [request.host for request in requests] == hosts


def test_p17_check_of_a_workspaces_host_asks_the_shared_one_too(check: Check) -> None:
    url = f"https://{BEIJING}/compatible-mode/v1"
    _, report, requests = check("--base-url", url, "--lang", "en", own=NO_MODEL)
    assert reached(requests) == [(BEIJING, []), (SHARED, HERE)]
    told = f"It works on {SHARED}; the workspace's own host has no such model."
    assert told in report["key"]["said"]
