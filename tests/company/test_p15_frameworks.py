"""P15 with the packages that frameworks send with, untouched: openai, anthropic, litellm; and with
frameworks that do: AgentScope 2, Qwen-Agent's ``oai`` mode, LightRAG.

Those that are not installed are left out; the tox environments ``clients-*`` and ``examples*`` have
them.
"""

from __future__ import annotations

import asyncio
from typing import Any, Callable

import pytest
from record import environment

from dashscope_ws_patch import use_workspace
from dashscope_ws_patch.selftest.loopback import Loopback

# What a framework is warned of, it is warned of.
pytestmark = pytest.mark.filterwarnings("ignore")

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


def agentscope_chat() -> None:
    pytest.importorskip("agentscope.credential")
    from agentscope.credential import DashScopeCredential
    from agentscope.message import TextBlock, UserMsg
    from agentscope.model import DashScopeChatModel

    async def main(stream: bool) -> None:
        model = DashScopeChatModel(DashScopeCredential(api_key=KEY), "qwen-plus", stream=stream)
        answer = await model([UserMsg(name="user", content=[TextBlock(text="hi")])])
        assert [part async for part in answer] if stream else answer.content

    asyncio.run(main(False))
    asyncio.run(main(True))


def qwen_agent_oai() -> None:
    get_chat_model = pytest.importorskip("qwen_agent.llm").get_chat_model
    for stream in (False, True):
        model = get_chat_model(
            {"model": "m", "model_type": "oai", "model_server": BASE, "api_key": KEY}
        )
        assert list(model.chat(messages=MESSAGES, stream=stream))


def lightrag_openai() -> None:
    lightrag = pytest.importorskip("lightrag.llm.openai")
    to = {"base_url": BASE, "api_key": KEY}
    asyncio.run(lightrag.openai_complete_if_cache("m", "hi", **to))
    embed = lightrag.openai_embed
    asyncio.run(getattr(embed, "func", embed)(["hi"], model="m", **to))


CALLS = [
    openai_call,
    openai_stream,
    openai_async,
    anthropic_call,
    anthropic_async_stream,
    litellm_call,
    litellm_async,
    agentscope_chat,
    qwen_agent_oai,
    lightrag_openai,
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
