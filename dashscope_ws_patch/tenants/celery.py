"""Celery tasks in the scope of whoever published them: importing this module switches it on.

Both sides need it, the publishers and the workers: import it in the module that makes the app,
which both import. The workspace travels in a header of the message: retries, chains, groups,
chords, countdowns and what tasks publish in turn carry it, on every pool. A task published outside
any scope runs in none.
"""

from __future__ import annotations

from typing import Any

from celery.signals import before_task_publish, task_postrun, task_prerun

from .._carry import put, take_back
from .._workspace import scope, use_workspace

TASK_HEADER = "dashscope_workspace"


def _published(headers: Any = None, **_: Any) -> None:
    here = scope.get()
    if here is not None and isinstance(headers, dict):
        # The inner ones are those that a task publishes again, the outer those that it runs with.
        for each in headers, headers.get("headers"):
            if isinstance(each, dict):
                each.setdefault(TASK_HEADER, here.workspace or "")


def _begun(task: Any, **_: Any) -> None:
    request = task.request
    workspace = request.get(TASK_HEADER, (request.headers or {}).get(TASK_HEADER))
    if workspace is not None:
        request.dashscope_scope = [[scope, use_workspace(workspace or None)._entered(), None]]
    elif not request.is_eager:  # what runs at once runs in the scope of its caller
        request.dashscope_scope = [[scope, None, None]]
    else:
        return
    put(request.dashscope_scope)


def _done(task: Any, **_: Any) -> None:
    held = task.request.get("dashscope_scope")
    if held is not None:
        take_back(held)


before_task_publish.connect(_published, weak=False)
task_prerun.connect(_begun, weak=False)
task_postrun.connect(_done, weak=False)
