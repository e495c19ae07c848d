"""Celery tasks in the scope of whoever published them: importing this module switches it on.

Both sides need it, the publishers and the workers: import it in the module that makes the app,
which both import. The workspace travels in a header of the message. What Celery publishes on behalf
of a message carries that one's, on every pool: retries, chains, callbacks, error callbacks, also
those of a task that meets its hard time limit or whose process died. What an error callback or a
handler of a task (``on_failure``) sets and does not reset is gone after it. Groups, chords,
countdowns and what tasks publish in turn carry the scope in which they were sent. A callback that
is handed to ``result.then`` runs in the scope in which it was handed over, or in none. A task
published outside any scope runs in none. A task whose message names a malformed workspace fails.
"""

from __future__ import annotations

import functools
from contextvars import ContextVar
from typing import Any, Callable

from celery.app.task import Task
from celery.app.trace import TraceInfo
from celery.canvas import Signature
from celery.result import AsyncResult, EagerResult, ResultSet
from celery.signals import before_task_publish
from celery.worker.request import Request
from vine import Thenable

from .._carry import Held, run, to_worker
from .._workspace import scope
from ._holding import holding, holding_beside, named_here

TASK_HEADER = "dashscope_workspace"

#: What the message says whose task this thread runs.
_named: ContextVar[Any] = ContextVar("dashscope_ws_patch.celery", default=None)


def _published(headers: Any = None, **_: Any) -> None:
    """Address a message. ``headers`` are its own: Celery has copied those of the program."""
    if isinstance(headers, dict):
        # The program may hand on those of another message.
        named = named_here(headers.pop(TASK_HEADER, None))
        if named is not None:
            headers[TASK_HEADER] = named


def _of(request: Any) -> Any:
    """What the message of ``request`` says (messages of protocol 1 have headers inside)."""
    inner = request.get("headers")
    return request.get(TASK_HEADER, inner.get(TASK_HEADER) if isinstance(inner, dict) else None)


def _on_behalf(named: Any) -> Held:
    """What holds for what Celery does with a message, beside running its task."""
    return [*holding_beside(named), [_named, named]]


_HANDLERS = {"task_before_start", "task_on_success", "task_after_return"}


class _Tracer:
    """What Celery calls to run a task, publish what follows it and store its result."""

    def __init__(self, tracer: Any) -> None:
        self.tracer = tracer
        cells = dict(zip(tracer.__code__.co_freevars, tracer.__closure__ or ()))
        self.fails = "fun" in cells
        if self.fails:  # a private name: the task itself
            cells["fun"].cell_contents = _alone(cells["fun"].cell_contents)
        for handler in _HANDLERS & cells.keys():  # private names too, and None in most tasks
            if cells[handler].cell_contents is not None:
                cells[handler].cell_contents = _kept(cells[handler].cell_contents)

    def __call__(self, uuid: Any, args: Any, kwargs: Any, request: Any = None) -> Any:
        named = _of(request or {})
        if not self.fails:
            holding(named)
        return run(_on_behalf(named), functools.partial(self.tracer, uuid, args, kwargs, request))


def _alone(task: Callable[..., Any]) -> Callable[..., Any]:
    """``task``, so that what it sets and does not reset is gone when Celery goes on. Raises
    WorkspaceError, as the task's own error, where its message names a malformed workspace."""

    @functools.wraps(task, updated=())
    def alone(*args: Any, **kwargs: Any) -> Any:
        return run(holding(_named.get()), functools.partial(task, *args, **kwargs))

    return alone


def _kept(original: Callable[..., Any]) -> Callable[..., Any]:
    """``original``, so that what the program sets in it and does not reset is gone after it."""

    @functools.wraps(original, updated=())
    def kept(*args: Any, **kwargs: Any) -> Any:
        return run([[scope, scope.get()]], functools.partial(original, *args, **kwargs))

    return kept


class _Trace:
    """``__trace__`` of tasks: wherever a worker makes and keeps the tracer of a task."""

    def __get__(self, task: Any, owner: Any = None) -> Any:
        if task is not None and not isinstance(vars(task).get("__trace__"), _Tracer):
            self.__set__(task, vars(task).get("__trace__"))
        return None if task is None else vars(task)["__trace__"]

    def __set__(self, task: Any, tracer: Any) -> None:
        vars(task)["__trace__"] = None if tracer is None else _Tracer(tracer)


def _retrying(original: Any) -> Any:
    @functools.wraps(original)
    def retry(self: Any, *args: Any, **kwargs: Any) -> Any:
        bound = functools.partial(original, self, *args, **kwargs)
        if self.request.called_directly or self.request.is_eager:
            return bound()  # what runs at once runs in the scope of its caller
        return run(_on_behalf(_of(self.request)), bound)

    return retry


def _answering(original: Any) -> Any:
    """A method by which the worker's main process learns how a task has ended."""

    @functools.wraps(original)
    def answer(self: Any, *args: Any, **kwargs: Any) -> Any:
        bound = functools.partial(original, self, *args, **kwargs)
        return run(_on_behalf(_of(self._request_dict)), bound)

    return answer


def _following(original: Any) -> Any:
    @functools.wraps(original)
    def then(self: Any, callback: Any, on_error: Any = None, **kwargs: Any) -> Any:
        own = [
            # Celery's own, and other promises, are told of an error by a method.
            functools.partial(*to_worker(), each)
            if callable(each) and not isinstance(each, Thenable)
            else each
            for each in (callback, on_error)
        ]
        return original(self, *own, **kwargs)

    return then


before_task_publish.connect(_published, weak=False)
Task.__trace__ = _Trace()
Task.retry = _retrying(Task.retry)
for _name in ("on_timeout", "on_failure", "on_success", "on_retry", "_announce_revoked"):
    setattr(Request, _name, _answering(getattr(Request, _name)))
Signature.__call__ = _kept(Signature.__call__)  # Celery calls error callbacks one after another
TraceInfo.handle_error_state = _kept(TraceInfo.handle_error_state)
for _result in (AsyncResult, EagerResult, ResultSet):
    _result.then = _following(_result.then)
