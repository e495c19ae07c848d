"""P15 with the packages that frameworks send with, untouched: openai, anthropic, litellm.

Those that are not installed are left out; the tox environments ``clients-*`` have them.
"""

from __future__ import annotations

import asyncio
from typing import Any, Callable

import pytest
from _record import environment

from dashscope_ws_patch import use_workspace
from dashscope_ws_patch.selftest.loopback import Loopback

KEY = "sk-loopback"
HOST = "https://dashscope.aliyuncs.com"
BASE = f"{HOST}/compatible-mode/v1"
MESSAGES = [{"role": "user", "content": "hi"}]


def openai_call() -> None:
    with pytest.importorskip("openai").OpenAI(api_key=KEY, base_url=BASE) as client:
        client.chat.completions.create(model="m", messages=MESSAGES)


def openai_stream() -> None:
    with pytest.importorskip("openai").OpenAI(api_key=KEY, base_url=BASE) as client:
        assert list(client.chat.completions.create(model="m", messages=MESSAGES, stream=True))


def openai_async() -> None:
    async def main() -> None:
        async with openai.AsyncOpenAI(api_key=KEY, base_url=BASE) as client:
            await client.embeddings.create(model="m", input="hi", encoding_format="float")

    openai = pytest.importorskip("openai")
    asyncio.run(main())


def anthropic_call() -> None:
    anthropic = pytest.importorskip("anthropic")
    with anthropic.Anthropic(api_key=KEY, base_url=f"{HOST}/apps/anthropic") as client:
        client.messages.create(model="m", max_tokens=9, messages=MESSAGES)


def anthropic_async_stream() -> None:
    async def main() -> None:
        kwargs = {"api_key": KEY, "base_url": f"{HOST}/apps/anthropic"}
        async with anthropic.AsyncAnthropic(**kwargs) as client:
            stream = await client.messages.create(
                model="m", max_tokens=9, messages=MESSAGES, stream=True
            )
            assert [event async for event in stream]

    anthropic = pytest.importorskip("anthropic")
    asyncio.run(main())


def litellm_call() -> None:
    litellm = pytest.importorskip("litellm")
    for model in ("dashscope/qwen-plus", "openai/qwen-plus"):
        litellm.completion(model=model, messages=MESSAGES, api_key=KEY, api_base=BASE)


def litellm_async() -> None:
    litellm = pytest.importorskip("litellm")
    arguments = {"messages": MESSAGES, "api_key": KEY, "api_base": BASE}
    asyncio.run(litellm.acompletion(model="dashscope/qwen-plus", **arguments))


CALLS = [
    openai_call,
    openai_stream,
    openai_async,
    anthropic_call,
    anthropic_async_stream,
    litellm_call,
    litellm_async,
]


@pytest.mark.parametrize("call", CALLS)
def test_p15_frameworks_carry_the_workspace(
    with_clients: Loopback, call: Callable[[], Any]
) -> None:
    with environment(DASHSCOPE_WORKSPACE="ws_env"):
        call()
        found = [request.workspaces for request in with_clients.drain() if not request.foreign]
        assert found and all(each == ["ws_env"] for each in found)
        with use_workspace("ws_scope"):
            call()
        found = [request.workspaces for request in with_clients.drain() if not request.foreign]
        assert found and all(each == ["ws_scope"] for each in found)


def test_p15_default_headers_of_a_client_stay(with_clients: Loopback) -> None:
    openai = pytest.importorskip("openai")
    mine = {"x-dashscope-workspace": "ws_mine"}
    with use_workspace("ws_scope"):
        with openai.OpenAI(api_key=KEY, base_url=BASE, default_headers=mine) as client:
            client.chat.completions.create(model="m", messages=MESSAGES)
        with openai.OpenAI(api_key=KEY, base_url=BASE) as client:
            client.chat.completions.create(model="m", messages=MESSAGES, extra_headers=mine)
    assert [request.workspaces for request in with_clients.drain()] == [["ws_mine"]] * 2
