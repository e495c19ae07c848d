"""FastAPI with one workspace for each tenant: no endpoint knows of it.

pip install fastapi uvicorn
pip install git+https://github.com/dashscope-ws-patch/dashscope-ws-patch
export DASHSCOPE_API_KEY=sk-...
uvicorn fastapi_tenants:app, then: curl -H "X-Tenant: blue" localhost:8000/ask
"""

from typing import Any, Optional

import dashscope
from dashscope.aigc.generation import AioGeneration
from fastapi import FastAPI

from dashscope_ws_patch.tenants.web import ASGIMiddleware

#: From your database: which tenant has which workspace.
WORKSPACES = {"blue": "llm-blue", "green": "llm-green"}


def workspace_of(scope: Any) -> Optional[str]:
    """The workspace of a request, by whatever tells your tenants apart."""
    return WORKSPACES.get(dict(scope["headers"]).get(b"x-tenant", b"").decode())


app = FastAPI()
app.add_middleware(ASGIMiddleware, workspace=workspace_of)


@app.get("/ask")
async def ask() -> str:
    return str(await AioGeneration.call("qwen-plus", prompt="hello"))


@app.get("/ask-in-thread")
def ask_in_thread() -> str:
    # An endpoint that is no coroutine function runs in a thread pool; nothing changes.
    return str(dashscope.Generation.call("qwen-plus", prompt="hello"))
