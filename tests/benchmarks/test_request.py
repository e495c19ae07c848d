"""The cost of a call of each kind, in each state, beside the native SDK doing the same.

Nothing is sent, but for the websocket's: what would send answers at once.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, Callable

import dashscope
import httpx
import pytest
import requests

from dashscope_ws_patch.selftest.loopback import Loopback

Compare = Callable[..., None]
MESSAGES = [{"role": "user", "content": [{"text": "hi"}]}]


@pytest.fixture(autouse=True)
def _nothing_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dashscope, "api_key", "sk-benchmark")
    answer = requests.Response()
    answer.status_code, answer._content = 200, b'{"output": {}, "request_id": "r"}'
    answer.headers["Content-Type"] = "application/json"
    monkeypatch.setattr("requests.Session.send", lambda self, request, **_: answer)
    # It reads netrc and proxies for each request.
    plain = {"proxies": {}, "stream": False, "verify": True, "cert": None}
    monkeypatch.setattr("requests.Session.merge_environment_settings", lambda self, *_: plain)
    chat = {"choices": [{"index": 0, "message": {"role": "assistant", "content": "x"}}], "id": "1"}
    sent = httpx.Request("POST", "https://dashscope.aliyuncs.com/")
    reply = httpx.Response(200, json=chat, request=sent)
    monkeypatch.setattr("httpx.Client.send", lambda self, request, **_: reply)


@pytest.fixture(scope="module")
def client() -> Any:
    return dashscope.Client(api_key="sk-benchmark")


@pytest.fixture(scope="module")
def service() -> Iterator[str]:
    with Loopback() as loopback:
        yield f"ws://127.0.0.1:{loopback.port}/api-ws/v1/inference"


def generation(client: Any, **named: str) -> Any:
    return dashscope.Generation.call("qwen-max", prompt="hello", stream=True, **named)


def embedding(client: Any, **named: str) -> Any:
    return dashscope.TextEmbedding.call("text-embedding-v3", input="hi", stream=True, **named)


def multimodal(client: Any, **named: str) -> Any:
    return dashscope.MultiModalConversation.call("qwen-vl", messages=MESSAGES, stream=True, **named)


def poll(client: Any, **named: str) -> Any:
    return dashscope.ImageSynthesis.fetch("task-1", **named)


def file(client: Any, **named: str) -> Any:
    return dashscope.Files.get("file-1", **named)


def async_generation(client: Any, **named: str) -> Any:
    coroutine = dashscope.AioGeneration.call("qwen-max", prompt="hello", stream=True, **named)
    with contextlib.suppress(StopIteration):
        coroutine.send(None)  # up to the stream, which sends when it is read


def chat(client: Any, **named: str) -> Any:
    return client.chat.completions.create(
        model="qwen-plus", messages=[{"role": "user", "content": "hi"}], **named
    )


CALLS = (generation, embedding, multimodal, poll, file, async_generation, chat)
STATES = ("none", "environment", "scope", "explicit")


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("call", CALLS, ids=[call.__name__ for call in CALLS])
def test_call(call: Any, state: str, client: Any, compare: Compare) -> None:
    explicit = {"workspace": "ws_x"}
    natively = {} if state == "none" else explicit
    named = explicit if state == "explicit" else {}
    compare(lambda: call(client, **natively), lambda: call(client, **named), state)


@pytest.mark.parametrize("state", STATES)
def test_websocket(state: str, service: str, compare: Compare) -> None:
    """A session of one task, on the loopback service."""

    def call(**named: str) -> None:
        result = dashscope.Generation.call(
            "qwen-max", prompt="hello", api_protocol="websocket", base_address=service, **named
        )
        assert result.status_code == 200, result

    explicit = {"workspace": "ws_x"}
    natively = {} if state == "none" else explicit
    named = explicit if state == "explicit" else {}
    compare(lambda: call(**natively), lambda: call(**named), state, rounds=20, number=5)
