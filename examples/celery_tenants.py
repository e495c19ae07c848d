"""Celery: a task runs in another process, so that the workspace is handed over with it.

pip install celery dashscope-ws-patch; export DASHSCOPE_API_KEY=sk-...
"""

import dashscope
from celery import Celery

from dashscope_ws_patch import get_workspace, use_workspace

app = Celery("tenants", broker="memory://", backend="cache+memory://")


@app.task
def answer(question: str, workspace: "str | None") -> str:
    with use_workspace(workspace):
        return str(dashscope.Generation.call("qwen-plus", prompt=question))


def run(workspace: str) -> str:
    with use_workspace(workspace):
        return str(answer.delay("hello", get_workspace()).get())


if __name__ == "__main__":
    app.conf.task_always_eager = True  # without a worker; leave it out where there is one
    print(run("llm-x1y2"))
