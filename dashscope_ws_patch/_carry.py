"""Scopes follow work: what holds is put in place for each step of it, and taken back after it.

The one way in which what holds (a scope, a call) goes into a coroutine, a generator, an async
generator or a function that runs elsewhere. Nothing is left in a context between two steps, so the
steps may run in any thread and context, and nothing must be undone in order.
"""

from __future__ import annotations

import functools
import inspect
import sys
import types
from collections.abc import Awaitable, Generator
from contextvars import ContextVar, copy_context
from typing import Any, Callable

from ._workspace import scope

#: What holds for a call; nothing of it may stay in the worker of a pool. _decision adds its own.
VARIABLES: list[ContextVar[Any]] = [scope]

#: True while the garbage collector runs: see ``_step``.
_collecting = False

if sys.version_info < (3, 12):
    import gc

    def _collector(phase: str, info: object) -> None:
        global _collecting
        _collecting = phase == "start"

    gc.callbacks.append(_collector)


def carried(result: Any, *holding: tuple[ContextVar[Any], Any]) -> Any:
    """What a function has returned, so that it goes on where ``holding`` holds.

    A coroutine, generator or async generator (the very types) is wrapped in one that is driven, and
    drives it, as PEP 342, 492 and 525 say; anything else is returned as it is. A variable that it
    sets is as it has set it at its next step.
    """
    kind = type(result)
    if kind is types.CoroutineType:
        wrapped: Any = _coroutine(_Owned(result, _holding(holding)))
    elif kind is types.GeneratorType:
        flags = result.gi_code.co_flags
        steps = _awaitable_steps if flags & inspect.CO_ITERABLE_COROUTINE else _steps
        wrapped = steps(result, _holding(holding))
    elif kind is types.AsyncGeneratorType:
        wrapped = _async_generator(result, _holding(holding))
    else:
        return result
    wrapped.__name__, wrapped.__qualname__ = result.__name__, result.__qualname__
    return wrapped


def in_scope(fn: Callable[..., Any], *holding: tuple[ContextVar[Any], Any]) -> Callable[..., Any]:
    """A callable that runs ``fn`` where ``holding`` holds, and leaves its thread as it was."""

    @functools.wraps(fn, updated=())
    def in_scope(*args: Any, **kwargs: Any) -> Any:
        return _step(_holding(holding), functools.partial(fn, *args, **kwargs))

    return in_scope


_Held = list[list[Any]]  # of: the variable, its value in the work, its value around the work


def _holding(holding: tuple[tuple[ContextVar[Any], Any], ...]) -> _Held:
    return [[variable, value, None] for variable, value in holding]


def _step(held: _Held, step: Callable[..., Any], *value: Any) -> Any:
    # Values are set back, and nothing is reset: see _workspace.enter.
    for each in held:
        variable = each[0]
        each[2] = variable.get()
        variable.set(each[1])
    try:
        return step(*value)
    finally:
        value = ()  # an error that is thrown must not be kept by its own traceback
        for each in held:
            variable = each[0]
            each[1] = variable.get()
            variable.set(each[2])


def _steps(inner: Any, held: _Held) -> Generator[Any, Any, Any]:
    step, value = inner.send, None
    while True:
        try:
            if _collecting:
                # CPython up to 3.11: the collector may have interrupted a set of this context; one
                # more crashes.
                item = copy_context().run(_step, held, step, value)
            else:
                item = _step(held, step, value)
        except StopIteration as stop:
            return stop.value
        finally:
            value = None
        try:
            value = yield item
            step = inner.send
        except BaseException as error:
            step, value = inner.throw, error


#: The same for functions decorated by ``types.coroutine``.
_awaitable_steps = types.coroutine(types.FunctionType(_steps.__code__, globals()))


class _Owned(Awaitable[Any]):
    """A coroutine that nobody else will await: one that is not begun when its wrapper goes needs no
    warning of its own."""

    __slots__ = ("held", "inner")

    def __init__(self, inner: Any, held: _Held) -> None:
        self.inner = inner
        self.held = held

    def __await__(self) -> Generator[Any, Any, Any]:
        return _steps(self.inner, self.held)

    def __del__(self) -> None:
        self.inner.close()


async def _coroutine(owned: _Owned) -> Any:
    return await owned


async def _async_generator(inner: Any, held: _Held) -> Any:
    # The event loop closes this one, which closes the inner: it must not close that on its own.
    hooks = sys.get_asyncgen_hooks()
    sys.set_asyncgen_hooks(None, None)
    try:
        step = inner.__anext__()
    finally:
        sys.set_asyncgen_hooks(*hooks)
    while True:
        try:
            item = await _awaitable_steps(step, held)
        except StopAsyncIteration:
            return
        try:
            step = inner.asend((yield item))
        except BaseException as error:
            step = inner.athrow(error)
