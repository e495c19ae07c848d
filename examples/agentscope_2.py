"""AgentScope 2: its chat model sends with the openai package, which takes headers of its own.

pip install "agentscope>=2"
pip install git+https://github.com/dashscope-ws-patch/dashscope-ws-patch
export DASHSCOPE_API_KEY=sk-...
Its embeddings and speech call the SDK, as in the recipe of AgentScope 1.
"""

import asyncio
import os
from typing import Any

from agentscope.credential import DashScopeCredential
from agentscope.message import TextBlock, UserMsg
from agentscope.model import DashScopeChatModel

from dashscope_ws_patch import get_workspace, use_workspace


async def ask() -> Any:
    model = DashScopeChatModel(
        credential=DashScopeCredential(api_key=os.environ["DASHSCOPE_API_KEY"]),
        model="qwen-plus",
        stream=False,
        client_kwargs={"default_headers": {"X-DashScope-WorkSpace": get_workspace()}},
    )
    return await model([UserMsg(name="user", content=[TextBlock(text="hello")])])


def run(workspace: str) -> str:
    with use_workspace(workspace):
        return str(asyncio.run(ask()).content)


if __name__ == "__main__":
    print(run("llm-x1y2"))
