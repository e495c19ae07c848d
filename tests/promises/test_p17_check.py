"""``check``: two questions, each verdict, each way not to get one, and never the key.

The SDK is the installed one, and so is what reaches the socket: the suite runs on many releases.
What would become of a program started here is asked once for most tests, since it takes the start
of two interpreters; the tests at the end ask for it in each of their environments.
"""

from __future__ import annotations

import contextlib
import http.server
import json
import logging
import os
import socket
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable, NamedTuple

import pytest
from environments import ROOT
from hosts import server_context
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import dashscope_ws_patch as shim
from dashscope_ws_patch import _workspace
from dashscope_ws_patch.cli import _service
from dashscope_ws_patch.cli import check as _check
from dashscope_ws_patch.cli import main as cli
from dashscope_ws_patch.hint.neighbours import KEY as WRONG_KEY
from dashscope_ws_patch.hint.neighbours import NEIGHBOURS, SIBLINGS
from dashscope_ws_patch.hint.refusals import MODEL_DENIED, REFUSALS, UNPURCHASED, WORKSPACE_DENIED
from dashscope_ws_patch.selftest import prospect as _prospect
from dashscope_ws_patch.selftest.accounts import Accounts
from dashscope_ws_patch.selftest.loopback import Denial, Loopback, Policy, Request

SITEDIR = str(ROOT / "dashscope_ws_patch" / "site")
MAIN, SUB, IDLE = "sk-main-4f1c0d7e", "sk-sub-account-91ab", "sk-unpurchased-77aa"
ACCOUNTS = Accounts(
    main=[MAIN],
    members={SUB: ["ws_mine", "ws_narrow"]},
    models={"ws_narrow": ["qwen-max"]},
    unpurchased=[IDLE],
)
LANGUAGES = ("en", "zh")


class Said(NamedTuple):
    status: int
    out: str
    err: str

    @property
    def report(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.out)
        return found


Check = Callable[..., Said]


@pytest.fixture(scope="module")
def here() -> _prospect.Prospect:
    """What would become of a program started here, with nothing in its environment."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [*os.environ]:
            if name.startswith("DASHSCOPE"):
                patch.delenv(name)
        return _prospect.prospect()


@pytest.fixture
def check(
    here: _prospect.Prospect,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Iterator[Check]:
    """Runs the command in this process, with ``key`` for the SDK's."""
    import dashscope

    monkeypatch.setattr(dashscope, "base_http_api_url", dashscope.base_http_api_url)
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "DASHSCOPE_WORKSPACE"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)

    def run(*arguments: str, key: str = SUB) -> Said:
        monkeypatch.setenv("DASHSCOPE_API_KEY", key)
        monkeypatch.setattr(dashscope, "api_key", key)
        # A program that is started here sends what is asked for: the second question has its own
        # tests below.
        named = arguments[arguments.index("-w") + 1] if "-w" in arguments else None
        named = named or os.environ.get("DASHSCOPE_WORKSPACE")
        there = here._replace(active=True, workspace=named)
        monkeypatch.setattr(_prospect, "prospect", lambda timeout: there)
        with warnings.catch_warnings():
            status = cli.main(["check", *arguments])
        return Said(status, *capsys.readouterr())

    yield run
    logging.disable(logging.NOTSET)


@contextlib.contextmanager
def serving(policy: Policy = ACCOUNTS) -> Iterator[tuple[Loopback, str]]:
    with Loopback(policy=policy) as service:
        yield service, service.address("127.0.0.1", "/api/v1")


# The verdicts


@pytest.mark.parametrize("lang", LANGUAGES)
@pytest.mark.parametrize(
    "key, arguments, verdict, status, codes",
    [
        (MAIN, [], "This key needs no workspace.|不需要业务空间。", 0, [""]),
        (MAIN, ["-w", "ws_any"],
         "ws_any works with this key. It works without|可以使用 ws_any。", 0, ["", ""]),
        (SUB, ["-w", "ws_mine"], "ws_mine works with this key.|该 API Key 可以使用 ws_mine。", 0,
         [WORKSPACE_DENIED.code, ""]),
        (SUB, [], "needs a workspace, and none is named.|需要业务空间，但没有指定。", 1,
         [WORKSPACE_DENIED.code]),
        (SUB, ["-w", "ws_else"],
         "not a member of the workspace ws_else.|不是业务空间 ws_else 的成员。",
         1, [WORKSPACE_DENIED.code] * 2),
        (SUB, ["-w", "ws_narrow"],
         "qwen-plus is not granted to the workspace ws_narrow.|未获授权使用模型 qwen-plus。", 1,
         [WORKSPACE_DENIED.code, MODEL_DENIED.code]),
        (SUB, ["-w", "ws_narrow", "-m", "qwen-max"],
         "ws_narrow works with this key.|可以使用 ws_narrow。", 0, [WORKSPACE_DENIED.code, ""]),
        (MAIN, ["-w", "ws_narrow"],
         "Without a workspace the key works.|不带业务空间时该 API Key 可用。", 1,
         ["", MODEL_DENIED.code]),
        (IDLE, ["-w", "ws_mine"], "not activated|未开通", 1, [UNPURCHASED.code]),
        ("sk-nobody-000000000", ["-w", "ws_mine"], "The key is wrong.|API Key 有误。", 1,
         [WRONG_KEY.code]),
    ],
)  # fmt: skip
def test_p17_each_verdict(
    key: str,
    arguments: list[str],
    verdict: str,
    status: int,
    codes: list[str],
    lang: str,
    check: Check,
) -> None:
    with serving() as (service, base):
        said = check("--base-url", base, "--json", "--lang", lang, *arguments, key=key)
        requests = service.drain()
    report = said.report
    assert verdict.split("|")[lang == "zh"] in report["key"]["said"]
    assert report["verdict"].startswith(report["key"]["said"])
    assert report["key"]["answer"] == ("no" if status else "yes")
    assert (said.status, report["status"]) == (status, status)
    assert [request["code"] for request in report["requests"]] == codes
    # What is told is what reached the service.
    named = [request["header"] for request in report["requests"]]
    assert named == [next(iter(request.workspaces), None) for request in requests]
    assert all(request["request_id"] for request in report["requests"])
    # The advice is the one that explain gives.
    known = {entry.code: entry for entry in REFUSALS}
    if status and codes[-1] in known:
        assert report["key"]["advice"].startswith(known[codes[-1]].advice.to(lang))


def test_p17_the_request_is_the_smallest_there_is(check: Check) -> None:
    with serving() as (service, base):
        check("--base-url", base, "-w", "ws_mine")
        requests = service.drain()
    assert [request.json()["parameters"]["max_tokens"] for request in requests] == [1, 1]
    assert {request.json()["model"] for request in requests} == {_check.DEFAULT_MODEL}


def test_p17_the_cost_is_said_before_anything_is_sent(
    check: Check, capsys: pytest.CaptureFixture[str]
) -> None:
    before: list[str] = []

    def policy(request: Request) -> None:
        before.append(capsys.readouterr().err)

    with serving(policy) as (_, base):
        check("--base-url", base, "--lang", "en")
    assert "fraction of a cent" in before[0]


def test_p17_the_ambient_workspace_is_asked_for(
    check: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DASHSCOPE_WORKSPACE", "ws_mine")
    with serving() as (service, base):
        assert check("--base-url", base).status == 0
        assert [request.workspaces for request in service.drain()] == [[], ["ws_mine"]]


# The compatible mode


@pytest.fixture
def clients(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The environment asks for requests that do without the SDK, and knows this service."""
    monkeypatch.setenv("DASHSCOPE_WS_PATCH_CLIENTS", "1")
    monkeypatch.setenv("DASHSCOPE_WS_PATCH_HOSTS", "127.0.0.1")
    shim.unpatch()
    yield
    monkeypatch.undo()
    shim.unpatch()
    shim.patch()


def _refusing(path: str, status: int = 403, code: str = MODEL_DENIED.code) -> Policy:
    def policy(request: Request) -> Denial | None:
        return Denial(status, code, "no") if path in request.path else ACCOUNTS(request)

    return policy


@pytest.mark.parametrize("lang", LANGUAGES)
@pytest.mark.parametrize(
    "key, arguments, policy, sent, verdict, status",
    [
        (MAIN, [], ACCOUNTS, [None, None], "This key needs no|该 API Key 不需要", 0),
        (SUB, ["-w", "ws_mine"], ACCOUNTS, [None, "ws_mine", "ws_mine"],
         "ws_mine works with this key.|该 API Key 可以使用 ws_mine。", 0),
        (SUB, ["-w", "ws_else"], ACCOUNTS, [None, "ws_else", "ws_else"],
         "This key is not a member of|该 API Key 不是", 1),
        (SUB, ["-w", "ws_mine"], _refusing("compatible"), [None, "ws_mine", "ws_mine"],
         "The model qwen-plus is not granted to|业务空间 ws_mine 未获授权", 1),
        (SUB, ["-w", "ws_mine"], _refusing("compatible", 503, "ServiceUnavailable"),
         [None, "ws_mine", "ws_mine"], "It could not be found out|无法得出结论", 2),
        (SUB, ["-w", "ws_mine"], _refusing("/api/v1"), [None, "ws_mine", "ws_mine"],
         "ws_mine works with this key.|该 API Key 可以使用 ws_mine。", 1),
        # What has the same answer in any case is not asked again.
        ("sk-nobody-000000000", ["-w", "ws_mine"], ACCOUNTS, [None], "", 1),
    ],
)  # fmt: skip
def test_p17_compatible_mode_is_asked_where_clients_is_on(
    key: str, arguments: list[str], policy: Policy, sent: list[str | None], verdict: str,
    status: int, lang: str, check: Check, clients: None,
) -> None:  # fmt: skip
    with serving(policy) as (service, base):
        said = check("--base-url", base, "--json", "--lang", lang, *arguments, key=key)
        requests = service.drain()
    report = said.report
    found = report.get("compatible_mode", {}).get("said")
    before = ("Compatible mode: ", "兼容模式：")[lang == "zh"]
    assert (
        found is None
        if not verdict
        else found.startswith(before + verdict.split("|")[lang == "zh"])
    )
    assert said.status == status
    assert [request["header"] for request in report["requests"]] == sent
    assert [next(iter(request.workspaces), None) for request in requests] == sent
    asked = ["compatible-mode/v1/chat/completions" in request.path for request in requests]
    assert asked == [False] * (len(sent) - bool(verdict)) + [True] * bool(verdict)
    if verdict:
        assert requests[-1].json()["max_tokens"] == 1


def test_p17_compatible_mode_is_told_of_beforehand_and_after(
    check: Check, clients: None, capsys: pytest.CaptureFixture[str]
) -> None:
    before: list[str] = []

    def policy(request: Request) -> None:
        before.append(capsys.readouterr().err)

    with serving(policy) as (_, base):
        said = check("--base-url", base, "--lang", "en", "-w", "ws_mine", key=MAIN)
    assert "two to four times" in before[0]
    assert "Compatible mode: ws_mine works with this key." in said.out
    assert "compatible mode: to 127.0.0.1, X-DashScope-WorkSpace: ws_mine" in said.out


def test_p17_compatible_mode_of_an_unknown_host_is_no_yes(
    check: Check, clients: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DASHSCOPE_WS_PATCH_HOSTS")
    with serving() as (_, base):
        said = check("--base-url", base, "--lang", "en", "--json", "-w", "ws_mine")
    assert "went without ws_mine" in said.report["compatible_mode"]["said"]
    assert said.report["compatible_mode"]["advice"] == "export DASHSCOPE_WS_PATCH_HOSTS=127.0.0.1"
    assert said.status == 1


@pytest.mark.parametrize("lang", LANGUAGES)
def test_p17_compatible_mode_is_not_asked_otherwise(check: Check, lang: str) -> None:
    with serving() as (service, base):
        said = check("--base-url", base, "--json", "--lang", lang, "-w", "ws_mine")
        assert [r.path for r in service.drain() if "compatible" in r.path] == []
    assert "compatible_mode" not in said.report


@pytest.mark.parametrize("neighbour", (*NEIGHBOURS, *SIBLINGS), ids=lambda entry: entry.code)
def test_p17_a_neighbour_is_told_with_its_advice(neighbour: Any, check: Check) -> None:
    denial = Denial(neighbour.status, neighbour.code, neighbour.message)
    with serving(lambda request: denial) as (_, base):
        said = check("--base-url", base, "--json", "--lang", "en", key=MAIN)
    assert said.status == (2 if neighbour.meaning in _service._TRY_LATER else 1)
    assert said.report["key"]["advice"] == neighbour.advice.en


@pytest.mark.parametrize("lang", LANGUAGES)
@pytest.mark.parametrize("status", [400, 404, 409, 422])
def test_p17_a_code_that_is_not_known_is_told_as_the_services(
    status: int, lang: str, check: Check
) -> None:
    denial = Denial(status, "Brand.New", "no\x1b[31m such\r\nthing\u202e here")
    with serving(lambda request: denial) as (_, base):
        said = check("--base-url", base, "--json", "--lang", lang, "-w", "ws_mine")
        shown = check("--base-url", base, "--lang", lang, "-w", "ws_mine")
    assert (said.status, shown.status) == (2, 2)
    told = said.report["key"]["said"]
    assert ("not known here" if lang == "en" else "此处未收录") in told
    request_id = said.report["requests"][-1]["request_id"]
    for part in ("Brand.New", "no [31m such  thing  here", f"HTTP {status}", request_id):
        assert request_id and part in told, part
    for text in (*said.report["requests"][-1].values(), told, *shown.out.splitlines()):
        assert not isinstance(text, str) or text.isprintable()
    assert "the service's" not in told


@pytest.mark.parametrize("code", ["NotSupported", "UnsupportedOperation", "Conflict",
                                  "BadRequest.ResourceNotExist", "Model.NotExist"])  # fmt: skip
def test_p17_these_codes_are_known(code: str, check: Check) -> None:
    with serving(lambda request: Denial(400, code, "no")) as (_, base):
        said = check("--base-url", base, "--json", "--lang", "en", key=MAIN)
    assert said.report["key"]["advice"] and "not known" not in said.report["verdict"]


def test_p17_the_verdicts_come_first_and_whole(check: Check) -> None:
    with serving() as (_, base):
        said = check("--base-url", base, "--lang", "en", "-w", "ws_mine")
    assert said.out.splitlines()[:2] == [
        "ws_mine works with this key.",
        "A program started here sends ws_mine.",
    ]


# The ways not to get an answer


class _Answering(http.server.BaseHTTPRequestHandler):
    answer = (200, b"<html>Welcome to the hotel</html>", "text/html")

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"] or 0))
        status, body, kind = self.answer
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_CONNECT = do_POST

    def log_message(self, *_: object) -> None:
        pass


@contextlib.contextmanager
def answering(status: int, body: bytes, kind: str = "text/html") -> Iterator[str]:
    """A server that gives this answer to everything; its address."""
    handler = type("Handler", (_Answering,), {"answer": (status, body, kind)})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize("lang", LANGUAGES)
@pytest.mark.parametrize(
    "status, body, word",
    [
        (200, b"<html>Welcome to the hotel</html>", "not the service's|不是百炼服务的格式"),
        (200, b'{"hello": "world"}', "not the service's|不是百炼服务的格式"),
        (200, b"[]", "not the service's|不是百炼服务的格式"),
        (200, b'{"code": "New200", "message": "no"}', "not known here|此处未收录"),
        (404, b'{"message": "no", "request_id": "r"}', "not known here|此处未收录"),
        (404, b"not here", "not the service's|不是百炼服务的格式"),
        (404, b"{}", "not the service's|不是百炼服务的格式"),
        (500, b"oops", "service itself failed|服务自身出错"),
        (500, b'{"code": "Whatever", "message": "oops"}', "service itself failed|服务自身出错"),
        (502, b"<html>bad gateway</html>", "service itself failed|服务自身出错"),
        (407, b"who are you?", "proxy|代理"),
    ],
)
def test_p17_what_is_no_answer_of_the_service_is_status_2(
    status: int, body: bytes, word: str, lang: str, check: Check
) -> None:
    with answering(status, body) as address:
        said = check("--base-url", f"{address}/api/v1", "--json", "--lang", lang)
    assert said.status == 2
    assert word.split("|")[lang == "zh"] in said.report["verdict"]


@contextlib.contextmanager
def refused() -> Iterator[tuple[str, dict[str, str]]]:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    yield f"http://127.0.0.1:{port}", {}


@contextlib.contextmanager
def silent() -> Iterator[tuple[str, dict[str, str]]]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}", {}


@contextlib.contextmanager
def unknown_name() -> Iterator[tuple[str, dict[str, str]]]:
    yield "https://dashscope.invalid", {}


@contextlib.contextmanager
def untrusted() -> Iterator[tuple[str, dict[str, str]]]:
    with Loopback(server_context()) as service:
        yield service.address("localhost"), {}


@contextlib.contextmanager
def plain_behind_https() -> Iterator[tuple[str, dict[str, str]]]:
    with Loopback() as service:
        yield f"https://127.0.0.1:{service.port}", {}


@contextlib.contextmanager
def dead_proxy() -> Iterator[tuple[str, dict[str, str]]]:
    with refused() as (address, _):
        proxy = address.replace("//", "//user:pr0xy-passw0rd@")
        yield "https://dashscope.aliyuncs.com", {"HTTPS_PROXY": proxy}


@contextlib.contextmanager
def unnamed_proxy() -> Iterator[tuple[str, dict[str, str]]]:
    yield "http://dashscope.aliyuncs.com", {"HTTP_PROXY": "http://proxy.invalid:3128"}


@contextlib.contextmanager
def denying_proxy() -> Iterator[tuple[str, dict[str, str]]]:
    with answering(407, b"who are you?") as address:
        yield "https://dashscope.aliyuncs.com", {"HTTPS_PROXY": address}


_NATIVE = [
    (owner, attribute, getattr(owner, attribute))
    for owner, attribute in (
        (socket, "getaddrinfo"),
        (socket.socket, "connect"),
        (socket.socket, "connect_ex"),
    )
]


@pytest.mark.parametrize("lang", LANGUAGES)
@pytest.mark.parametrize(
    "failing, words",
    [
        (refused, "connection: 127.0.0.1|连接：无法连接 127.0.0.1"),
        (silent, "timeout: 127.0.0.1|超时：127.0.0.1"),
        (unknown_name, "DNS: the name dashscope.invalid|DNS：无法解析 dashscope.invalid"),
        (untrusted, "TLS: no secure connection to localhost|TLS：无法与 localhost"),
        (plain_behind_https, "TLS: no secure connection to 127.0.0.1|TLS：无法与 127.0.0.1"),
        (dead_proxy, "proxy: the proxy in front of dashscope|代理：无法使用到 dashscope"),
        (unnamed_proxy, "proxy: the proxy in front of dashscope|代理：无法使用到 dashscope"),
        (denying_proxy, "proxy: the proxy in front of dashscope|代理：无法使用到 dashscope"),
    ],
)
def test_p17_no_network_is_told_apart_and_status_2(
    failing: Any, words: str, lang: str, check: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The loopback service of other tests may answer for every name by now.
    for owner, attribute, native in _NATIVE:
        monkeypatch.setattr(owner, attribute, native)
    with failing() as (address, variables):
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        for name in ("NO_PROXY", "no_proxy", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"):
            monkeypatch.delenv(name, raising=False)
        said = check("--base-url", f"{address}/api/v1", "--json", "--lang", lang, "--timeout", "1")
    assert said.status == 2
    assert words.split("|")[lang == "zh"] in said.report["verdict"]
    assert "pr0xy-passw0rd" not in said.out + said.err


class _Dripping(_Answering):
    """Sends its answer byte by byte, for longer than anybody waits."""

    def do_POST(self) -> None:
        with contextlib.suppress(OSError):
            self.send_response(200)
            for _ in range(600):
                self.wfile.write(b"x")
                self.wfile.flush()
                time.sleep(0.1)


def test_p17_the_time_is_for_the_whole(check: Check) -> None:
    """A server that drips bytes never keeps anybody waiting for a byte."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Dripping)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        base = f"http://127.0.0.1:{server.server_port}/api/v1"
        said = check("--base-url", base, "--timeout", "3", "--lang", "en", "-w", "ws_mine")
    finally:
        server.shutdown()
        server.server_close()
    assert said.status == 2
    assert "timeout: 127.0.0.1 did not answer in time" in said.out
    assert "waiting for the answer: without a workspace" in said.err


@pytest.mark.parametrize("sleep", [0, 60])
def test_p17_the_time_is_for_the_import_too(sleep: int, tmp_path: Path) -> None:
    """An SDK that is slow to import, or no time at all: nobody was asked, and it says so."""
    seconds = "2" if sleep else "0.001"
    if sleep:
        (tmp_path / "dashscope.py").write_text(f"import time; time.sleep({sleep})")
    begin = time.monotonic()
    variables = {"PYTHONPATH": os.pathsep.join((str(tmp_path), SITEDIR))}
    said = command("--timeout", seconds, "-w", "ws_mine", DASHSCOPE_API_KEY=SUB, **variables)
    assert said.status == 2 and time.monotonic() - begin < 30
    assert "give it a longer --timeout" in said.out
    for untrue in ("asking", "pip install", "?"):
        assert untrue not in said.out + said.err


# The key


# What an environment variable can hold.
ANY = st.characters(blacklist_categories=["Cs"], blacklist_characters="\0")


@given(
    key=st.text(ANY, min_size=1, max_size=60).map(lambda tail: f"sk-{tail}")
    | st.text("abcdef0123456789", min_size=16, max_size=40),
    lang=st.sampled_from(LANGUAGES),
    as_json=st.booleans(),
)
@settings(max_examples=60, suppress_health_check=list(HealthCheck))
def test_p17_the_key_is_never_shown_but_for_its_last_four_characters(
    key: str, lang: str, as_json: bool, check: Check
) -> None:
    # A service that repeats what it was sent, in whatever field, and a user who puts it anywhere.
    def echo(request: Request) -> Denial:
        sent = request.header("Authorization").partition(" ")[2]
        return Denial(401, "InvalidApiKey", f"{'x' * 180} {sent} is no key {sent}")

    with serving(echo) as (_, base):
        more = ["--json"] if as_json else []
        said = check(f"--base-url={base}", f"--model={key}", "--lang", lang, *more, key=key)
    secret = key.strip()[:-4]
    if len(secret) > 4:
        shown = said.out + said.err
        assert secret not in shown
        if as_json:
            assert secret not in json.dumps(json.loads(said.out), ensure_ascii=False)
    assert said.status in (1, 2)


#: One of a gateway, which nothing but its length tells from a workspace.
GATEWAYS = "gw_abcdefghijklmnopqrstuvwxyz012345"


@pytest.mark.parametrize("before", [150, 172, 190])
def test_p12_not_half_of_a_key_is_shown(before: int, check: Check) -> None:
    """However long the message is in which the service repeats it, and where it is cut."""
    denial = Denial(400, "Brand.New", f"{'x' * before} {GATEWAYS}")
    with serving(lambda request: denial) as (_, base):
        said = check("--base-url", base, "--lang", "en", "-w", "ws_mine", key=GATEWAYS)
    out = " ".join(said.out.split())
    assert "not known here" in out and GATEWAYS[:8] not in out + said.err


@pytest.mark.parametrize("lang", LANGUAGES)
@pytest.mark.parametrize(
    "arguments",
    [
        ["--region", "eu-central-1", "-w", GATEWAYS],
        ["--base-url", GATEWAYS],
        ["--base-url", f"http://user:{GATEWAYS}@h:bad/"],
        [GATEWAYS],
    ],
)
def test_p12_a_gateways_key_is_shown_nowhere(
    arguments: list[str],
    lang: str,
    check: Check,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LC_ALL", "zh_CN.UTF-8" if lang == "zh" else "C")
    out, err = "", ""
    try:
        _, out, err = check(*arguments, "--timeout", "5")
    except SystemExit:
        out, err = capsys.readouterr()
    assert GATEWAYS[:8] not in out + err
    if not out:  # refused: in a whole sentence
        assert ("可能是 API Key" if lang == "zh" else "an API key?") in err and len(err) > 60


def test_p17_a_key_that_no_header_may_hold_is_told(check: Check) -> None:
    with serving() as (service, base):
        said = check("--base-url", base, "--lang", "en", key="sk-0123456789\nabcdef")
        assert service.drain() == []
    assert said.status == 1
    assert "cannot send the key" in said.out
    assert "0123456789" not in said.out + said.err


# The command, in environments of its own


def command(*arguments: str, **variables: str) -> Said:
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("DASHSCOPE", "PYTHON"))
    }
    kept.update({"HOME": os.devnull, "LC_ALL": "C", **variables})
    ran = subprocess.run(
        [sys.executable, "-m", "dashscope_ws_patch", "check", *arguments],
        env=kept,
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    return Said(ran.returncode, ran.stdout, ran.stderr)


def states(said: Said) -> dict[str, str]:
    return {finding["name"]: finding["state"] for finding in said.report["environment"]}


def test_p17_without_a_key_it_answers_for_this_environment() -> None:
    said = command("--json", PYTHONPATH=SITEDIR, DASHSCOPE_WORKSPACE="ws_mine")
    assert said.status == 2
    assert (said.report["key"]["answer"], said.report["here"]["answer"]) == ("unknown", "yes")
    assert said.report["here"]["said"] == "A program started here sends ws_mine."
    assert set(states(said).values()) == {"ok", "warning"}
    assert states(said)["API key"] == "warning"
    assert said.report["requests"] == []


def test_p17_what_does_without_the_sdk_is_tried_too() -> None:
    on = {"DASHSCOPE_WS_PATCH_CLIENTS": "1", "DASHSCOPE_WORKSPACE": "ws_mine"}
    said = command("--json", PYTHONPATH=SITEDIR, **on)
    assert states(said)["loopback call"] == "ok"
    assert said.report["environment"][-2]["found"].endswith(
        "sent ws_mine, and ws_mine without the SDK"
    )


def test_p17_a_program_that_is_not_activated_is_no_yes() -> None:
    said = command("--json", DASHSCOPE_WORKSPACE="ws_mine")
    assert said.status == 1
    assert said.report["here"]["answer"] == "no"
    assert said.report["here"]["advice"].startswith("import dashscope_ws_patch")
    assert states(said)["activation"] == "warning"
    assert states(said)["loopback call"] == "ok"


#: The environment of a program, the workspace that is asked for, and what ``here`` answers.
NOWHERE: dict[str, str] = {}
ACTIVE = {"PYTHONPATH": SITEDIR}


@pytest.mark.parametrize(
    "variables, asked, answer, todo",
    [
        ({**ACTIVE, "DASHSCOPE_WORKSPACE": "ws_mine"}, ["-w", "ws_mine"], "yes", ""),
        ({**ACTIVE, "DASHSCOPE_WORKSPACE": "ws_mine"}, [], "yes", ""),
        ({"DASHSCOPE_WORKSPACE": "ws_mine"}, [], "no", "import dashscope_ws_patch"),
        (NOWHERE, ["-w", "ws_mine"], "no",
         "export DASHSCOPE_WORKSPACE=ws_mine, and import dashscope_ws_patch"),
        (ACTIVE, ["-w", "ws_mine"], "no", "export DASHSCOPE_WORKSPACE=ws_mine"),
        ({**ACTIVE, "DASHSCOPE_WORKSPACE": "ws_else"}, ["-w", "ws_mine"], "no",
         "export DASHSCOPE_WORKSPACE=ws_mine"),
        ({**ACTIVE, "DASHSCOPE_WS_PATCH_REQUIRE_SCOPE": "1"}, ["-w", "ws_mine"], "yes", ""),
    ],
)  # fmt: skip
def test_p17_a_workspace_that_works_and_is_not_sent_is_two_answers(
    variables: dict[str, str], asked: list[str], answer: str, todo: str
) -> None:
    with serving() as (_, base):
        said = command("--json", "--base-url", base, *asked, DASHSCOPE_API_KEY=SUB, **variables)
    report = said.report
    assert report["key"]["said"] == "ws_mine works with this key."
    assert (report["here"]["answer"], said.status) == (answer, int(answer == "no"))
    assert report["here"]["advice"].startswith(todo) and bool(todo) == bool(
        report["here"]["advice"]
    )
    assert report["verdict"] == f"{report['key']['said']} {report['here']['said']}"


@pytest.mark.parametrize(
    "variables, failed",
    [
        ({"DASHSCOPE_WS_PATCH": "off"}, "activation"),
        ({"DASHSCOPE_WORKSPACE": "not a workspace"}, "workspace"),
        (
            {"DASHSCOPE_HTTP_BASE_URL": "https://llm-b.cn-beijing.maas.aliyuncs.com/api/v1"},
            "base URLs",
        ),
        (
            {
                "DASHSCOPE_WS_PATCH_CLIENTS": "1",
                "DASHSCOPE_WS_PATCH_HOSTS": "https://gateway.example/?key=sk-0123456789abcdef",
            },
            "loopback call",
        ),
    ],
)
def test_p17_what_is_wrong_here_is_status_1_though_the_key_works(
    variables: dict[str, str], failed: str
) -> None:
    environment = {"PYTHONPATH": SITEDIR, "DASHSCOPE_WORKSPACE": "ws_mine", **variables}
    with serving() as (_, base):
        said = command("--json", "--base-url", base, DASHSCOPE_API_KEY=MAIN, **environment)
    assert said.status == 1 and states(said)[failed] == "failed"


def test_p17_a_url_of_websockets_names_nothing_for_http() -> None:
    url = "wss://llm-b.cn-beijing.maas.aliyuncs.com/api-ws/v1/inference"
    said = command("--json", PYTHONPATH=SITEDIR, DASHSCOPE_WEBSOCKET_BASE_URL=url)
    assert said.status == 1 and said.report["here"]["said"].endswith("none is set.")
    assert states(said)["base URLs"] == "ok"


def test_p17_what_is_no_url_is_told() -> None:
    said = command("--json", DASHSCOPE_HTTP_BASE_URL="http://[::1/", DASHSCOPE_API_KEY=SUB)
    assert said.status == 1
    assert "DASHSCOPE_HTTP_BASE_URL is no http or https URL." in said.report["key"]["said"]
    for url in ("https://[x.cn-beijing.maas.aliyuncs.com", "here", "wss://dashscope.aliyuncs.com"):
        assert not _check._is_url(url)


def test_p17_an_sdk_that_is_missing_is_told_and_activation_is_not_denied(tmp_path: Path) -> None:
    for name in ("aiohttp", "dashscope"):  # what the loopback service is made with is gone too
        (tmp_path / f"{name}.py").write_text(f"raise ModuleNotFoundError('no {name}')")
    said = command("--json", PYTHONPATH=os.pathsep.join((SITEDIR, str(tmp_path))))
    assert said.status == 2 and "import dashscope: ModuleNotFoundError" in said.report["verdict"]
    assert (states(said)["SDK and seams"], states(said)["activation"]) == ("unknown", "ok")


def test_p12_a_key_in_the_place_of_a_workspace_is_not_shown() -> None:
    key = "sk-0123456789abcdef"
    url = f"https://{key}.cn-beijing.maas.aliyuncs.com/api/v1"
    for arguments, variables in (
        (["--json"], {"DASHSCOPE_WORKSPACE": key}),
        ([], {"DASHSCOPE_WORKSPACE": f"key={key}"}),
        (["--json"], {"DASHSCOPE_WORKSPACE": "ws_mine", "DASHSCOPE_HTTP_BASE_URL": url}),
    ):
        said = command(*arguments, PYTHONPATH=SITEDIR, **variables)
        assert key[5:] not in said.out + said.err and "an API key?" in said.out
        assert said.status == (2 if variables["DASHSCOPE_WORKSPACE"] == key else 1)
    assert _prospect._named(key, "DASHSCOPE_WORKSPACE", None, False).state == "warning"


def test_p17_a_program_that_requires_scopes_is_told_so() -> None:
    """It is no fault that nothing is sent outside a scope where the user has asked for that."""
    error = f"WorkspaceError: ..., which {_workspace.REQUIRE_SCOPE} forbids"
    found = _prospect._named(None, None, error, True)
    assert found.state == "warning" and _workspace.REQUIRE_SCOPE in found.found


def test_p17_the_variables_of_the_key_are_the_sdks(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(f"{SUB}\n")
    with serving() as (_, base):
        said = command(
            "--base-url", base, "-w", "ws_mine", "--json",
            DASHSCOPE_API_KEY_FILE_PATH=str(tmp_path / "key"),
        )  # fmt: skip
        assert said.report["key"]["said"] == "ws_mine works with this key."
    (found,) = (f["found"] for f in said.report["environment"] if f["name"] == "API key")
    assert found == f"...{SUB[-4:]}, from DASHSCOPE_API_KEY_FILE_PATH"
    said = command("--json", DASHSCOPE_API_KEY_FILE_PATH=str(tmp_path / "nothing"))
    assert (said.status, states(said)["API key"]) == (1, "failed")


@pytest.mark.parametrize(
    "arguments",
    [
        ["-w", "no workspace"],
        ["-w", "Bearer sk-0123456789"],
        ["-m", ""],
        ["--region", "Peking!"],
        ["--base-url", "ftp://x"],
        ["--base-url", "http://[::1/"],
        ["--base-url", "http://127.0.0.1:99999/"],
        ["--timeout", "-1"],
        ["--timeout", "nan"],
        ["--timeout", "1e9"],
        ["sk-0123456789"],
    ],
)
def test_p17_bad_arguments_are_one_line_and_status_2(
    arguments: list[str], check: Check, capsys: pytest.CaptureFixture[str]
) -> None:
    with warnings.catch_warnings(), pytest.raises(SystemExit) as ended:
        cli.main(["check", *arguments])
    out, err = capsys.readouterr()
    assert (ended.value.code, out, err.count("\n")) == (2, "", 1)
    assert "0123456789" not in err and err.count("an API key?") <= 1
