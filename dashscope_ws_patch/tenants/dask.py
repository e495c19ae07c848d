"""Dask tasks in the scope of whoever submitted them: ``follow(client)`` switches it on.

Whatever is computed in a scope (``submit``, ``map``, graphs, delayed objects, collections) has the
workspace in the keys of its tasks, and as an annotation of them: equal work of two tenants is two
tasks, and no tenant is given another's result. Workers that join later follow too, and what tasks
submit in turn. A task submitted outside any scope runs in none. Methods of actors,
``client.run`` and ``client.run_on_scheduler`` are no tasks, and not followed: see docs/tenants.md.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
import inspect
from collections.abc import Mapping
from typing import Any

import dask
import distributed
from dask.highlevelgraph import HighLevelGraph, MaterializedLayer

from .._carry import carried, carry_workspace
from ._holding import holding, named_here

ANNOTATION = "dashscope_workspace"
BARRIER = "shuffle-barrier-"  # as distributed.shuffle._core has it


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
            named = (worker.state.tasks[key].annotations or {}).get(ANNOTATION)
            return await carried(execute(key, **kwargs), holding(named))

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
            key, named = kwargs.get("key"), named_here()
            if key is not None and named is not None:
                keys = [_own(each, named) for each in key] if isinstance(key, list) else None
                kwargs["key"] = keys or _own(key, named)
            return original(self, carry_workspace(func), *args, **kwargs)

        return hand_over

    def renaming(original: Any) -> Any:
        signature = inspect.signature(original)

        @functools.wraps(original)
        def renamed(self: Any, *args: Any, **kwargs: Any) -> Any:
            named = named_here()
            if named is None:
                return original(self, *args, **kwargs)
            # The graph's name has changed with Dask's releases.
            kwargs = dict(signature.bind(self, *args, **kwargs).arguments)
            graph, keys = (kwargs.pop(name) for name in list(kwargs)[1:3])
            del kwargs[next(iter(kwargs))]
            graph, own = _of_tenant(graph, list(keys), named)
            for name in ("internal_priority", "actors"):
                if isinstance(kwargs.get(name), dict):
                    kwargs[name] = {own.get(key, key): at for key, at in kwargs[name].items()}
                elif isinstance(kwargs.get(name), (list, tuple, set)):
                    kwargs[name] = [own.get(key, key) for key in self._expand_key(kwargs[name])]
            with dask.annotate(**{ANNOTATION: named}):
                futures = original(self, graph, [own[key] for key in keys], **kwargs)
            return {key: futures[own[key]] for key in keys}

        return renamed

    def leaving(original: Any) -> Any:
        @functools.wraps(original)
        def insert_futures(self: Any, graph: Any, keys: Any) -> Any:
            # Futures of the same keys are nobody's: those of tenants have keys of their own.
            return graph if named_here() is not None else original(self, graph, keys)

        return insert_futures

    client.submit, client.map = carrying(client.submit), carrying(client.map)
    client._graph_to_futures = renaming(client._graph_to_futures)
    client._optimize_insert_futures = leaving(client._optimize_insert_futures)


def _own(key: Any, named: str) -> Any:
    """The key of a task of the tenant's, of the same kind and prefix."""
    if isinstance(key, tuple) and key:
        return (_own(key[0], named), *key[1:])
    return f"{key}-@{named}"


def _of_tenant(graph: Any, keys: list[Any], named: str) -> tuple[Any, dict[Any, Any]]:
    """``graph``, whatever Dask's release makes of it, with keys of the tenant's, and these."""
    if isinstance(graph, Mapping):  # up to 2024
        graph = copy.copy(graph)  # Client.map() sees to it that its own is not expanded
        tasks, annotated = dask.utils.ensure_dict(graph), _annotations(graph)
    else:
        from dask._task_spec import convert_legacy_graph

        tasks, annotated = convert_legacy_graph(graph.__dask_graph__()), {}
        for name, values in graph.__dask_annotations__().items():
            for key, value in values.items():
                annotated.setdefault(key, {})[name] = value
    own = {key: _own(key, named) for key in [*tasks, *keys]}
    # The scheduler finds the barrier of a shuffle between workers (P2P) by a key that ends in the
    # shuffle's id. Its tasks have that as an argument: the tenant's shuffle has an id of its own.
    barriers = [key for key in tasks if isinstance(key, str) and key.startswith(BARRIER)]
    shuffles = {key[len(BARRIER) :]: own[key][len(BARRIER) :] for key in barriers}
    # A layer for all tasks of equal annotations.
    layers: dict[str, tuple[dict[Any, Any], Any]] = {}
    for key, task in tasks.items():
        annotations = annotated.get(key)
        layer, _ = layers.setdefault(repr(annotations), ({}, annotations))
        if shuffles:
            task = _of_own_shuffles(task, shuffles)
        layer[own[key]] = _renamed(task, own, own[key])
    made = HighLevelGraph(
        {
            str(number): MaterializedLayer(layer, annotations=annotations)
            for number, (layer, annotations) in enumerate(layers.values())
        },
        {str(number): set() for number in range(len(layers))},
    )
    if isinstance(graph, Mapping):
        return made, own
    from dask._expr import HLGExpr

    return HLGExpr(dsk=made, output_keys=[own[key] for key in keys]), own


def _annotations(graph: Any) -> dict[Any, dict[str, Any]]:
    found: dict[Any, dict[str, Any]] = {}
    for layer in getattr(graph, "layers", {"": graph}).values():
        for name, value in (getattr(layer, "annotations", None) or {}).items():
            for key in layer:
                found.setdefault(key, {})[name] = value(key) if callable(value) else value
    return found


def _of_own_shuffles(task: Any, shuffles: dict[str, str]) -> Any:
    """``task`` with the ids of ``shuffles`` renamed, also in the tasks that Dask fused in it."""
    if isinstance(task, str):
        return shuffles.get(task, task)
    if type(task) in (tuple, list, dict):
        parts = task.values() if type(task) is dict else task
        made = [_of_own_shuffles(each, shuffles) for each in parts]
        return dict(zip(task, made)) if type(task) is dict else type(task)(made)
    if hasattr(task, "substitute") and hasattr(task, "args"):  # from 2024.10 on
        task = copy.copy(task)
        task.args = _of_own_shuffles(task.args, shuffles)
        if hasattr(task, "spec"):  # of a barrier
            task.spec = dataclasses.replace(task.spec, id=shuffles[task.spec.id])
    return task


def _renamed(task: Any, own: dict[Any, Any], key: Any = None) -> Any:
    """``task`` with the keys that it needs renamed, as dask.core knows them in it."""
    if hasattr(task, "substitute") and hasattr(task, "dependencies"):  # from 2024.10 on
        return task.substitute({each: own[each] for each in task.dependencies if each in own}, key)
    if type(task) is tuple and task and callable(task[0]):
        return (task[0], *(_renamed(each, own) for each in task[1:]))
    if type(task) is list:
        return [_renamed(each, own) for each in task]
    if type(task) in (str, bytes, int, float, tuple):
        try:
            return own.get(task, task)
        except TypeError:  # a tuple of what cannot be a key
            return task
    return task
