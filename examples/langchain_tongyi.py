"""LangChain: ChatTongyi and DashScopeEmbeddings take no workspace; the scope gives it to both.

pip install langchain-community
pip install git+https://github.com/dashscope-ws-patch/dashscope-ws-patch
export DASHSCOPE_API_KEY=sk-...
"""

from langchain_community.chat_models import ChatTongyi
from langchain_community.embeddings import DashScopeEmbeddings

from dashscope_ws_patch import use_workspace


def run(workspace: str) -> str:
    with use_workspace(workspace):
        DashScopeEmbeddings(model="text-embedding-v3").embed_query("hello")
        return str(ChatTongyi(model="qwen-plus").invoke("hello").content)


if __name__ == "__main__":
    print(run("llm-x1y2"))
