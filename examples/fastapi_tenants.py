"""FastAPI with one workspace for each tenant: whatever the endpoint calls, the scope holds.

pip install fastapi uvicorn dashscope-ws-patch; export DASHSCOPE_API_KEY=sk-...
uvicorn fastapi_tenants:app, then: curl -H "X-Tenant: blue" localhost:8000/ask
"""

from typing import Annotated

import dashscope
from dashscope.aigc.generation import AioGeneration
from fastapi import FastAPI, Header

from dashscope_ws_patch import use_workspace

#: From your database: which tenant has which workspace.
WORKSPACES = {"blue": "llm-blue", "green": "llm-green"}

app = FastAPI()


@app.get("/ask")
async def ask(x_tenant: Annotated[str, Header()]) -> str:
    with use_workspace(WORKSPACES[x_tenant]):
        return str(await AioGeneration.call("qwen-plus", prompt="hello"))


@app.get("/ask-in-thread")
def ask_in_thread(x_tenant: Annotated[str, Header()]) -> str:
    # An endpoint that is no coroutine function runs in a thread pool; nothing changes.
    with use_workspace(WORKSPACES[x_tenant]):
        return str(dashscope.Generation.call("qwen-plus", prompt="hello"))
