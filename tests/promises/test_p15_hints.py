"""P15: the hint for what these libraries are refused, in what the program has read, no more."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterator
from typing import Any

import aiohttp
import httpx
import pytest
import requests
import urllib3
from hosts import serving
from library_calls import NAMES, WAYS, Way, trust
from record import environment

import dashscope_ws_patch
from dashscope_ws_patch import use_workspace
from dashscope_ws_patch.hint import say
from dashscope_ws_patch.selftest.loopback import Denial, Loopback, Request

HOST = "https://dashscope.aliyuncs.com"
FOREIGN = "https://api.example.com"
PATH = "/compatible-mode/v1/chat/completions"
SOCKET = "/api-ws/v1/realtime?model=qwen-x"


def refuse(request: Request) -> Denial:
    return Denial(403, "Workspace.AccessDenied", "Workspace access denied.")


@pytest.fixture(scope="module")
def refusing() -> Iterator[Loopback]:
    with serving(refuse) as service:
        yield service


@pytest.fixture
def service(refusing: Loopback, monkeypatch: pytest.MonkeyPatch) -> Iterator[Loopback]:
    monkeypatch.setenv("LC_ALL", "C")
    say._hinted.clear()
    dashscope_ws_patch.patch(clients=True)
    yield refusing
    dashscope_ws_patch.patch(clients=False)
    refusing.drain()


def send(sender: Way, service: Loopback, host: str) -> None:
    try:
        sender.send(service.address(host[8:], SOCKET if sender.websocket else PATH))
    except Exception as error:  # each library's own way to say 403
        assert "403" in str(error) or sender.library == "urllib.request", error


def hinted(caplog: pytest.LogCaptureFixture) -> str:
    texts = [r.getMessage() for r in caplog.records if r.name == "dashscope_ws_patch"]
    caplog.clear()
    return "|".join(texts)


#: These read piece by piece; urllib.request raises before anything is read.
UNREAD = ("stream", "built", "aiohttp_session", "urllib_")
READ = [way for way in WAYS if not any(name in way.name for name in UNREAD)]


@pytest.mark.parametrize("sender", READ, ids=[way.name for way in READ])
def test_p15_a_refusal_is_explained(
    service: Loopback, sender: Way, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "dashscope_ws_patch"), use_workspace("ws_a"):
        send(sender, service, HOST)
    (text,) = hinted(caplog).split("|")
    body_unread = sender.name in ("aiohttp_websocket", "websockets_legacy")
    code = "HTTP 403" if body_unread else "Workspace.AccessDenied"
    assert text.startswith(f"{code}: 'dashscope.aliyuncs.com' refused a request"), text
    assert "It named the workspace 'ws_a', from the scope (use_workspace)." in text
    assert ("for the model 'qwen-x'" in text) == sender.websocket


@pytest.mark.parametrize("sender", WAYS, ids=NAMES)
def test_p15_what_others_refuse_is_their_business(
    service: Loopback, sender: Way, caplog: pytest.LogCaptureFixture
) -> None:
    with use_workspace("ws_a"):
        send(sender, service, FOREIGN)
        dashscope_ws_patch.patch(clients=False)
        send(sender, service, HOST)
    assert not hinted(caplog)


def test_p15_streams_stay_unread(service: Loopback, caplog: pytest.LogCaptureFixture) -> None:
    """Until the program reads them, whole."""

    async def main() -> None:
        async with aiohttp.ClientSession() as session, session.get(HOST + PATH) as answer:
            assert answer._body is None
            assert not hinted(caplog)
            assert await answer.json()
            assert "Workspace.AccessDenied" in hinted(caplog)
        say._hinted.clear()
        async with httpx.AsyncClient(verify=trust()) as client:
            async with client.stream("GET", HOST + PATH) as reply:
                assert not reply.is_stream_consumed and not hinted(caplog)
                await reply.aread()
            assert "Workspace.AccessDenied" in hinted(caplog)
        say._hinted.clear()

    asyncio.run(main())
    with httpx.Client(verify=trust()) as client, client.stream("GET", HOST + PATH) as reply:
        assert not reply.is_stream_consumed and not hinted(caplog)
        assert list(reply.iter_bytes())
        assert not hinted(caplog)
    with requests.get(HOST + PATH, stream=True, timeout=300) as streamed:
        assert streamed._content is False  # type: ignore[attr-defined]
    with urllib3.PoolManager(ssl_context=trust()) as manager:
        raw = manager.request("GET", HOST + PATH, preload_content=False)
        assert not hinted(caplog)
        assert raw.read()


def test_p15_says_where_the_workspace_is_from(
    service: Loopback, caplog: pytest.LogCaptureFixture
) -> None:
    body = {"model": "qwen-y"}
    with environment(DASHSCOPE_WORKSPACE="ws_env"):
        requests.post(HOST + PATH, json=body, timeout=300)
        text = hinted(caplog)
        assert "'ws_env', from DASHSCOPE_WORKSPACE" in text and "the model 'qwen-y'" in text
        httpx.post(
            HOST + PATH, json=body, verify=trust(), headers={"X-DashScope-WorkSpace": "ws_mine"}
        )
        assert "'ws_mine', from the calling code" in hinted(caplog)
        httpx.post(f"https://ws_host.cn-beijing.maas.aliyuncs.com{PATH}", verify=trust())
        assert "'ws_host', from the host" in hinted(caplog)
    requests.post(HOST + PATH, json=body, timeout=300)
    assert "It named no workspace." in hinted(caplog)


def test_p11_no_hint_breaks_a_program(
    service: Loopback, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(say, "_hint", lambda *_: 1 / 0)
    with use_workspace("ws_a"):
        assert requests.get(HOST + PATH, timeout=300).status_code == 403
        assert httpx.get(HOST + PATH, verify=trust()).json()["error"]
    assert not hinted(caplog)


def test_p15_a_task_that_was_polled(caplog: pytest.LogCaptureFixture, service: Loopback) -> None:
    """As modelscope_agent's raw tools do: the refusal stands in an answer with the status 200."""
    from dashscope_ws_patch.hint.libraries import answered

    failed = {"task_status": "FAILED", "code": "Model.AccessDenied", "message": "Model access d."}
    answer = requests.Response()
    answer.status_code = 200
    answer.request = requests.Request("GET", f"{HOST}/api/v1/tasks/1").prepare()
    answered(json.dumps({"output": failed}).encode(), answer, None)
    assert "Model.AccessDenied" in hinted(caplog)
    harmless = {"output": {"text": "What does Model.AccessDenied mean? Access denied."}}
    answered(json.dumps(harmless).encode(), answer, None)
    answered(b"Model.AccessDenied, and no JSON", answer, None)
    assert not hinted(caplog)


def test_p15_openai_reads_and_the_user_learns_why(
    service: Loopback, caplog: pytest.LogCaptureFixture
) -> None:
    openai = pytest.importorskip("openai")
    arguments: Any = {"model": "qwen-z", "messages": [{"role": "user", "content": "hi"}]}
    for stream in (False, True):
        say._hinted.clear()
        with openai.OpenAI(api_key="sk-x", base_url=f"{HOST}/compatible-mode/v1") as client:
            with use_workspace("ws_a"), pytest.raises(openai.PermissionDeniedError):
                client.chat.completions.create(stream=stream, **arguments)
        text = hinted(caplog)
        assert "Workspace.AccessDenied" in text and "'qwen-z'" in text and "'ws_a'" in text
