"""AgentScope 1: DashScopeChatModel calls the SDK.

pip install "agentscope<2"
pip install git+https://github.com/dashscope-ws-patch/dashscope-ws-patch
export DASHSCOPE_API_KEY=sk-...
"""

import asyncio
import os
from typing import Any

from agentscope.model import DashScopeChatModel

from dashscope_ws_patch import use_workspace


async def ask(workspace: str) -> Any:
    model = DashScopeChatModel(
        model_name="qwen-plus", api_key=os.environ["DASHSCOPE_API_KEY"], stream=False
    )
    with use_workspace(workspace):
        return await model([{"role": "user", "content": "hello"}])


def run(workspace: str) -> str:
    return str(asyncio.run(ask(workspace)).content)


if __name__ == "__main__":
    print(run("llm-x1y2"))
