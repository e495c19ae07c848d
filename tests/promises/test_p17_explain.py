"""``explain`` and the README's troubleshooting: one table, found in whatever text people paste."""

from __future__ import annotations

import importlib
import io
import json
import os
import re
import subprocess
import sys
import traceback
from typing import Any

import pytest
from environments import ROOT
from hypothesis import given
from hypothesis import strategies as st

from dashscope_ws_patch.cli import explain as _explain
from dashscope_ws_patch.cli import main as cli
from dashscope_ws_patch.hint.neighbours import (
    _WORDS,
    NEIGHBOURS,
    PAGE,
    SIBLINGS,
    VAGUE,
    Neighbour,
)
from dashscope_ws_patch.hint.neighbours import known as codes_in
from dashscope_ws_patch.hint.refusals import REFUSALS, Refusal

README = ROOT / "README.md"
LANGUAGES = ("en", "zh")


@pytest.fixture(autouse=True)
def english(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "C")
    monkeypatch.delenv("COLUMNS", raising=False)


@pytest.fixture(params=REFUSALS, ids=lambda refusal: refusal.code)
def refusal(request: pytest.FixtureRequest) -> Refusal:
    found: Refusal = request.param
    return found


def explain(*arguments: str) -> int:
    return cli.main(["explain", *arguments])


def written(refusal: Refusal, spelling: str) -> str:
    """The code of ``refusal`` in a spelling that the service or a client has for it."""
    words = re.findall("[A-Z][a-z]+", refusal.code)
    return {
        "as is": refusal.code,
        "lower case": refusal.code.lower(),
        "snake case": "_".join(words).lower(),
        "joined": "".join(words),
    }[spelling]


@pytest.mark.parametrize("spelling", ["as is", "lower case", "snake case", "joined"])
def test_explains_a_code(
    refusal: Refusal, spelling: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert explain(written(refusal, spelling)) == 0
    said = capsys.readouterr().out
    assert refusal.code in said
    assert refusal.meaning.en in said
    assert refusal.advice.en in said


def test_explains_a_message_without_its_code(
    refusal: Refusal, capsys: pytest.CaptureFixture[str]
) -> None:
    assert explain(f"[API Error: 403 {refusal.message}]") == 0
    assert capsys.readouterr().out.startswith(refusal.code)


def bodies(refusal: Refusal) -> dict[str, object]:
    plain = {"code": refusal.code, "message": refusal.message, "request_id": "r-1"}
    vague = {"code": "access_denied", "type": "access_denied", "message": refusal.message}
    failed = {"event": "task-failed", "error_code": refusal.code, "error_message": "refused"}
    return {
        "native": plain,
        "openai": {"error": {**plain, "type": refusal.code, "param": None}, "id": "chatcmpl-1"},
        "openai, by its message": {"error": vague},
        "anthropic": {"type": "error", "error": {"type": refusal.code, "message": "refused"}},
        "websocket": {"header": {"task_id": "t-1", **failed}, "payload": {}},
    }


@pytest.mark.parametrize("shape", bodies(REFUSALS[0]))
@pytest.mark.parametrize("indent", [None, 2])
def test_explains_a_json_body(
    refusal: Refusal, shape: str, indent: int | None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert explain(json.dumps(bodies(refusal)[shape], indent=indent)) == 0
    said = capsys.readouterr().out
    assert [r for r in REFUSALS if r.code in said] == [refusal]


def test_explains_the_repr_of_a_1x_response(
    refusal: Refusal, capsys: pytest.CaptureFixture[str]
) -> None:
    from dashscope.api_entities.dashscope_response import DashScopeAPIResponse

    response = DashScopeAPIResponse(
        request_id="r-1", status_code=403, code=refusal.code, message=refusal.message
    )
    for text in (repr(response), str(response)):
        assert explain(text) == 0
        assert capsys.readouterr().out.startswith(refusal.code)


def errors(refusal: Refusal) -> list[Exception]:
    """What the installed SDK raises for a refusal, and what programs make of a response."""
    common: Any = importlib.import_module("dashscope.common.error")
    fields = {"code": refusal.code, "message": refusal.message, "request_id": "r-1"}
    found: list[Exception] = [
        RuntimeError(f"Error code: {refusal.code}, error message: {refusal.message}"),
        common.RequestFailure("r-1", refusal.message, refusal.code, 403),
    ]
    try:
        from dashscope.agentstudio.exceptions import from_response
    except ImportError:
        pass
    else:
        found.append(from_response(status_code=403, body={"error": fields}))
        found.append(from_response(status_code=403, body=fields))
    try:
        from dashscope.v2 import errors
    except ImportError:
        pass
    else:
        found.append(errors.error_from_status(403, message="refused", body=fields))
        found.append(errors.error_from_status(403, message="", body={"error": fields}))
        found.append(errors.error_from_business_code(message=refusal.message, body=fields))
    return found


def test_explains_a_traceback(refusal: Refusal, capsys: pytest.CaptureFixture[str]) -> None:
    for error in errors(refusal):
        try:
            raise error
        except Exception:
            text = traceback.format_exc()
        assert explain(text) == 0, text
        assert capsys.readouterr().out.startswith(refusal.code), text


def test_explains_each_code_once_in_the_order_of_the_text(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert explain("Model.AccessDenied then", "Workspace.AccessDenied, Model access denied.") == 0
    said = capsys.readouterr().out
    assert re.findall(r"^(\S+) \(HTTP", said, re.M) == [
        "Model.AccessDenied",
        "Workspace.AccessDenied",
    ]


@pytest.mark.parametrize(
    "locale, marker",
    [
        ({"LC_ALL": "zh_CN.UTF-8", "LANG": "en_US.UTF-8"}, "zh"),
        ({"LC_ALL": "", "LC_MESSAGES": "zh_TW", "LANG": "en_US.UTF-8"}, "zh"),
        ({"LC_ALL": "", "LC_MESSAGES": "", "LANG": "zh_CN.GBK"}, "zh"),
        ({"LC_ALL": "C", "LC_MESSAGES": "zh_CN", "LANG": "zh_CN"}, "en"),
        ({"LC_ALL": "", "LC_MESSAGES": "", "LANG": "de_DE.UTF-8"}, "en"),
        ({"LC_ALL": "", "LC_MESSAGES": "", "LANG": ""}, "en"),
    ],
)
def test_speaks_the_language_of_the_locale(
    locale: dict[str, str],
    marker: str,
    refusal: Refusal,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, value in locale.items():
        monkeypatch.setenv(name, value)
    assert explain(refusal.code) == 0
    assert getattr(refusal.meaning, marker) in capsys.readouterr().out


@pytest.mark.parametrize("lang", LANGUAGES)
def test_speaks_the_language_that_is_asked_for(
    lang: str, refusal: Refusal, capsys: pytest.CaptureFixture[str]
) -> None:
    assert explain("--lang", lang, refusal.code) == 0
    said = capsys.readouterr().out
    assert refusal.meaning.to(lang) in said
    assert refusal.advice.to(lang) in said


def test_reads_stdin(
    refusal: Refusal, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    body = json.dumps(bodies(refusal)["native"]).encode()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\xff\xfe" + body), "utf-8"))
    assert explain() == 0
    assert capsys.readouterr().out.startswith(refusal.code)


def test_the_command_writes_to_a_terminal_that_has_no_chinese(refusal: Refusal) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "dashscope_ws_patch", "explain", "--lang", "zh", refusal.code],
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        cwd=README.parent,
        capture_output=True,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (0, b"")
    assert ran.stdout.startswith(refusal.code.encode())


@pytest.mark.parametrize(
    "text",
    [
        "Flow.NotPublished",
        "botocore: com.amazonaws.bedrock.model.AccessDeniedException",
        "botocore.errorfactory.ThrottlingException: Rate exceeded",
        "Endpoint.AccessDenied",
        "200 OK",
    ],
)
@pytest.mark.parametrize("lang", LANGUAGES)
def test_an_unknown_code_is_one_line_and_status_2(
    text: str, lang: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert explain("--lang", lang, text) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert all(entry.code in err for entry in (*REFUSALS, *NEIGHBOURS))
    assert PAGE.to(lang) in err


@pytest.mark.parametrize("text", ["", " \n\t"])
def test_empty_input_is_one_line_and_status_2(
    text: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(text))
    assert explain() == 2
    assert explain(text) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 2


@given(st.text(), st.sampled_from(REFUSALS), st.booleans(), st.sampled_from(LANGUAGES))
def test_repeats_nothing_of_what_is_pasted(
    rest: str, refusal: Refusal, known: bool, lang: str
) -> None:
    secret = "sk-0123456789abcdef"
    text = f"{rest} api_key={secret} {refusal.code if known else ''} {rest}"
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdout", out)
        patch.setattr(sys, "stderr", err)
        explain("--lang", lang, "--", text)
    assert secret not in out.getvalue() + err.getvalue()
    assert (err.getvalue() == "") == bool(codes_in(text))


@pytest.fixture(params=(*NEIGHBOURS, *SIBLINGS), ids=lambda neighbour: neighbour.code)
def neighbour(request: pytest.FixtureRequest) -> Neighbour:
    found: Neighbour = request.param
    return found


@pytest.mark.parametrize("lang", LANGUAGES)
@pytest.mark.parametrize("spelling", ["as is", "lower case", "snake case", "joined"])
def test_p17_explains_a_neighbour_and_what_a_workspace_has_to_do_with_it(
    neighbour: Neighbour, spelling: str, lang: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = re.findall("[A-Z]+[a-z]*", neighbour.code)
    code = {
        "as is": neighbour.code,
        "lower case": neighbour.code.lower(),
        "snake case": "_".join(words).lower(),
        "joined": "".join(words),
    }[spelling]
    if neighbour.code in _WORDS:
        code = neighbour.code  # in any other spelling they are words
    assert explain("--lang", lang, f"Error code: {code} - refused") == 0
    said = capsys.readouterr().out
    assert said.startswith(f"{neighbour.code} (HTTP {neighbour.status}")
    assert all(
        text.to(lang) in said for text in (neighbour.meaning, neighbour.advice, neighbour.bearing)
    )
    assert ("DASHSCOPE_WORKSPACE=" in said) == neighbour.by_workspace


def test_p17_explains_a_neighbour_by_its_message_alone(
    neighbour: Neighbour, capsys: pytest.CaptureFixture[str]
) -> None:
    body = {"code": neighbour.code, "message": neighbour.message, "request_id": "r-1"}
    alone = [f"[API Error: {neighbour.message}]"] if neighbour.message else []
    for text in (*alone, json.dumps(body)):
        assert explain(text) == 0
        assert neighbour.code in capsys.readouterr().out


def test_p17_the_more_exact_code_tells(refusal: Refusal) -> None:
    assert codes_in("AccessDenied: Access denied.") == [VAGUE]
    assert codes_in(f"access_denied: {refusal.message}") == [refusal]


def test_p17_explains_without_a_standard_input() -> None:
    ran = subprocess.run(
        ["sh", "-c", f"{sys.executable} -m dashscope_ws_patch explain <&-"],
        cwd=README.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stderr.count("\n")) == (2, 1), ran.stderr


@pytest.mark.parametrize("lang", LANGUAGES)
def test_the_readme_rows_are_a_table(lang: str) -> None:
    table, _, note = _explain.readme_rows(lang).partition("\n\n")
    rows = table.splitlines()
    assert len(rows) == 2 + len(REFUSALS)
    assert all(re.fullmatch(r"\|( [^|]+ \|){3}", row) for row in rows)
    assert note


def test_explaining_loads_no_sdk() -> None:
    program = "import sys, dashscope_ws_patch.hint.refusals as d; d.recognise('x'); " + (
        "sys.exit(any(name in sys.modules for name in ('dashscope', 'wrapt', 'logging')))"
    )
    ran = subprocess.run([sys.executable, "-S", "-c", program], cwd=README.parent, check=False)
    assert ran.returncode == 0


@pytest.mark.parametrize(
    "text, codes",
    [
        ("Model.NotExist: Model not exist.", ["Model.NotExist"]),
        ('{"code": "NotSupported"}', ["NotSupported"]),
        ('{"code":"Conflict","message":"Model instance m already exists"}', ["Conflict"]),
        ("BadRequest.ResourceNotExist", ["BadRequest.ResourceNotExist"]),
        ("UnsupportedOperation", ["UnsupportedOperation"]),
        ("The operation is unsupported on the referee object.", ["UnsupportedOperation"]),
        # Words of any error message.
        ("io.UnsupportedOperation: not readable", []),
        ("a merge conflict; this is not supported, an unsupported operation", []),
    ],
)
def test_p17_words_of_any_message_are_codes_only_as_the_service_spells_them(
    text: str, codes: list[str]
) -> None:
    assert [entry.code for entry in codes_in(text)] == codes


def test_p17_explain_names_the_import_among_the_ways(capsys: pytest.CaptureFixture[str]) -> None:
    assert explain("Workspace.AccessDenied") == 0
    assert "    import dashscope_ws_patch" in capsys.readouterr().out
