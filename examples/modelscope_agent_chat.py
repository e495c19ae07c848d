"""modelscope_agent: its chat models, embeddings and most of its tools call the SDK.

pip install modelscope_agent
pip install git+https://github.com/dashscope-ws-patch/dashscope-ws-patch
export DASHSCOPE_API_KEY=sk-...
"""

import os

from modelscope_agent.llm import get_chat_model

from dashscope_ws_patch import use_workspace


def run(workspace: str) -> str:
    llm = get_chat_model("qwen-max", "dashscope", api_key=os.environ["DASHSCOPE_API_KEY"])
    with use_workspace(workspace):
        return str(llm.chat(messages=[{"role": "user", "content": "hello"}], stream=False))


if __name__ == "__main__":
    print(run("llm-x1y2"))
