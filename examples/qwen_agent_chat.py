"""Qwen-Agent with the model type qwen_dashscope, which calls the SDK from deep inside.

pip install qwen-agent
pip install git+https://github.com/dashscope-ws-patch/dashscope-ws-patch
export DASHSCOPE_API_KEY=sk-...
"""

from qwen_agent.llm import get_chat_model

from dashscope_ws_patch import use_workspace


def run(workspace: str) -> str:
    llm = get_chat_model({"model": "qwen-plus", "model_type": "qwen_dashscope"})
    with use_workspace(workspace):
        # The answer is streamed: it is read to its end while the workspace holds.
        *_, last = llm.chat(messages=[{"role": "user", "content": "hello"}])
    return str(last[-1]["content"])


if __name__ == "__main__":
    print(run("llm-x1y2"))
