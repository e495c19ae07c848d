"""Dask tasks in the scope of whoever submitted them: ``follow(client)`` switches it on.

``client.submit`` and ``client.map`` hand over the function with its scope, so two tenants' calls of
one function are two tasks, and no tenant is given another's result; whatever else is computed has
the workspace as an annotation of its tasks. Workers that join later follow too, and what tasks
submit in turn. A task submitted outside any scope runs in none. Methods of actors are not followed.
"""

from __future__ import annotations

import functools
from typing import Any

import dask
import distributed

from .._carry import carried, handed_over
from .._workspace import Scope, scope, use_workspace

ANNOTATION = "dashscope_workspace"


def follow(client: distributed.Client) -> Any:
    """Let the tasks of ``client`` follow scopes; for an asynchronous client, to be awaited."""
    return client.register_plugin(Workspaces(), name="dashscope_ws_patch")


class Workspaces(distributed.WorkerPlugin):  # type: ignore[misc]
    """The worker plugin that ``follow`` registers."""

    def __init__(self) -> None:
        _follow_clients()

    def setup(self, worker: Any) -> None:
        _follow_clients()
        execute = worker.execute

        async def in_scope(key: Any, **kwargs: Any) -> Any:
            # A task is a coroutine, awaited here, or runs in a thread in a copy of this context, in
            # which the scope in which the worker itself was made may hold.
            workspace = (worker.state.tasks[key].annotations or {}).get(ANNOTATION)
            entered = None if workspace is None else use_workspace(workspace or None)._entered()
            return await carried(execute(key, **kwargs), [(scope, entered)])

        worker.execute = in_scope
        self._undo = functools.partial(setattr, worker, "execute", execute)

    def teardown(self, worker: Any) -> None:
        self._undo()


@functools.cache
def _follow_clients() -> None:
    """In this process, tasks' own clients (``worker_client()``) included."""
    client = distributed.Client

    def carrying(original: Any) -> Any:
        @functools.wraps(original)
        def hand_over(self: Any, func: Any, *args: Any, **kwargs: Any) -> Any:
            return original(self, handed_over(func), *args, **kwargs)

        return hand_over

    def annotating(original: Any) -> Any:
        @functools.wraps(original)
        def annotated(*args: Any, **kwargs: Any) -> Any:
            here: Scope | None = scope.get()
            if here is None:
                return original(*args, **kwargs)
            with dask.annotate(**{ANNOTATION: here.workspace or ""}):
                return original(*args, **kwargs)

        return annotated

    client.submit, client.map = carrying(client.submit), carrying(client.map)
    client._graph_to_futures = annotating(client._graph_to_futures)
