"""Celery: a task runs in the workspace of whoever published it, in whatever process.

pip install celery
pip install git+https://github.com/dashscope-ws-patch/dashscope-ws-patch
export DASHSCOPE_API_KEY=sk-...
"""

import dashscope
from celery import Celery

import dashscope_ws_patch.tenants.celery  # noqa: F401  both publishers and workers import it here
from dashscope_ws_patch import use_workspace

app = Celery("tenants", broker="memory://", backend="cache+memory://")


@app.task
def answer(question: str) -> str:
    return str(dashscope.Generation.call("qwen-plus", prompt=question))


def run(workspace: str) -> str:
    with use_workspace(workspace):
        return str(answer.delay("hello").get())


if __name__ == "__main__":
    app.conf.task_always_eager = True  # without a worker; leave it out where there is one
    print(run("llm-x1y2"))
