"""LlamaIndex: the DashScope LLM takes no workspace; the scope gives it.

pip install llama-index-llms-dashscope
pip install git+https://github.com/dashscope-ws-patch/dashscope-ws-patch
export DASHSCOPE_API_KEY=sk-...
"""

import os

from llama_index.llms.dashscope import DashScope

from dashscope_ws_patch import use_workspace


def run(workspace: str) -> str:
    llm = DashScope(model_name="qwen-plus", api_key=os.environ["DASHSCOPE_API_KEY"])
    with use_workspace(workspace):
        return str(llm.complete("hello"))


if __name__ == "__main__":
    print(run("llm-x1y2"))
