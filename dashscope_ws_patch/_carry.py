"""Scopes follow work: what holds is put in place for each step of it, and taken back after it.

The one way in which what holds (a scope, a call) goes into a coroutine, a generator, an async
generator or a function that runs elsewhere. Nothing is left in a context between two steps, so the
steps may run in any thread and context, and nothing must be undone in order.
"""

from __future__ import annotations

import builtins
import contextlib
import functools
import gc
import inspect
import sys
import types
from _thread import get_ident
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextvars import ContextVar, copy_context
from typing import Any, Callable, Union, cast

from . import _workspace
from ._workspace import F, scope, use_workspace


def unseen(namespace: Mapping[str, Any], of: str) -> None:
    """Let warnings count the frames of the functions that module ``of`` defines for nothing, as
    they do those of the import system, which they know by the name of their file: what the SDK
    warns of means whoever calls it."""
    for value in list(namespace.values()):
        if isinstance(value, types.FunctionType) and value.__module__ == of:
            if " (importlib." not in value.__code__.co_filename:
                with contextlib.suppress(Exception):  # a compiled function's code cannot be set
                    value.__code__ = _unseen(value.__code__)
        elif isinstance(value, type) and value.__module__ == of:
            unseen(vars(value), of)


def _unseen(code: types.CodeType) -> types.CodeType:
    inner = (_unseen(each) if isinstance(each, types.CodeType) else each for each in code.co_consts)
    file = f"{code.co_filename} (importlib._bootstrap)"
    return code.replace(co_filename=file, co_consts=tuple(inner))


#: What may hold, each None where it does not. None of it may stay in the worker of a pool.
CONTEXT_VARIABLES: list[Any] = [scope]


def variable(name: str) -> Any:
    """A variable of what holds for a call."""
    made: Any = ContextVar(name, default=None)
    if getattr(sys.flags, "thread_inherit_context", False):
        made = _Inherited(made)
    CONTEXT_VARIABLES.append(made)
    return made


class _Inherited:
    """A variable of an interpreter whose threads inherit the context of whoever starts them
    (CPython 3.14 on). A worker that is started during a call would keep what holds for that call,
    so the first call that sets the variable has the pools followed."""

    def __init__(self, variable: ContextVar[Any]) -> None:
        self.get, self._set = variable.get, variable.set

    def set(self, value: Any) -> None:
        if value is not None and _workspace.on_scope is not None:
            _workspace.on_scope()
        self._set(value)


def carried(result: Any, holding: Holding) -> Any:
    """What a function has returned, so that it goes on where ``holding`` holds.

    A coroutine, generator or async generator (the very types) is wrapped in one that is driven, and
    drives it, as PEP 342, 492 and 525 say; anything else is returned as it is. A variable that it
    sets is as it has set it at its next step.
    """
    kind = type(result)
    if kind is types.CoroutineType:
        wrapped: Any = coroutine(Owned((result, holding)))
    elif kind is types.GeneratorType:
        steps = _awaitable_steps if result.gi_code.co_flags & _AWAITABLE else _steps
        wrapped = steps(result, _held(holding))
    elif kind is types.AsyncGeneratorType:
        wrapped = _async_generator(result, _held(holding))
    else:
        return result
    wrapped.__name__, wrapped.__qualname__ = result.__name__, result.__qualname__
    return wrapped


def in_scope(fn: Callable[..., Any], *holding: tuple[ContextVar[Any], Any]) -> Callable[..., Any]:
    """A callable that runs ``fn``, and what it returns to run later, where ``holding`` holds, and
    leaves its thread as it was."""
    return functools.partial(_run_in, holding, fn)


def in_none(fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    """Call ``fn`` where nothing holds, and leave this context as it was found.

    One frame, and no set where nothing holds here either: asyncio looks up names this way.
    """
    found = []
    for variable in CONTEXT_VARIABLES:
        value = variable.get()
        if value is not None:
            found.append((variable, value))
            variable.set(None)
    try:
        return fn(*args, **kwargs)
    finally:
        if scope.get() is not None:  # ``fn`` has set one and not reset it
            scope.set(None)
        for variable, value in found:
            variable.set(value)


_AWAITABLE = inspect.CO_ITERABLE_COROUTINE

#: What holds in some work: pairs of a variable and its value there; a ``use_workspace``, which is
#: entered for the work, or None for no scope.
Holding = Union[Iterable[Sequence[Any]], use_workspace, None]
#: The same for one piece of work. While that runs, each pair has the value around the work.
Held = list[list[Any]]


def _held(holding: Any) -> Held:
    if holding is None or isinstance(holding, use_workspace):
        return [[scope, holding and holding._entered()]]
    return [[variable, value] for variable, value in holding]


def exchange(held: Held) -> None:
    """Put what is held in place, or take it back: what the work has set is held for its next step.

    Values are set back, and nothing is reset: see _workspace.enter.
    """
    for each in held:
        variable, value = each
        each[1] = variable.get()
        variable.set(value)


#: The thread in which the garbage collector runs, or 0. Up to CPython 3.11 it may have interrupted
#: a set of this very context, where one more set crashes: what it closes is closed in a context of
#: its own. Steps in other threads keep theirs.
_collecting = 0
#: What holds where the collector runs (CPython 3.12 on); there is but one at a time.
_interrupted: Held = []


def _collector(phase: str, info: object) -> None:
    """The collector runs in the context of whoever happens to allocate memory, and closes what
    others have left: a generator whose reader is gone goes on to its ``finally``. Nothing holds
    while it does so; what is to end in a scope brings that along (see ``decorated``)."""
    global _collecting, _interrupted
    if not _SETS_ARE_SAFE:
        _collecting = get_ident() if phase == "start" else 0
        return
    if phase == "start":
        _interrupted = [[each, None] for each in CONTEXT_VARIABLES if each.get() is not None]
    exchange(_interrupted)


_SETS_ARE_SAFE = sys.version_info >= (3, 12)
gc.callbacks.append(_collector)


def run(held: Held, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    exchange(held)
    try:
        return fn(*args, **kwargs)
    finally:
        exchange(held)


def _step(held: Held, step: Callable[..., Any], value: Any) -> Any:
    if _collecting and _collecting == get_ident():
        return copy_context().run(run, held, step, value)
    exchange(held)
    try:
        return step(value)
    finally:
        value = None  # an error that is thrown must not be kept by its own traceback
        exchange(held)


def _generator_function(begin: Callable[..., Any]) -> Callable[..., Generator[Any, Any, Any]]:
    """A generator function; ``begin`` gives the inner generator, or what ``__await__`` returns, and
    what holds."""
    step_in = _step  # no globals: see decorated()

    def in_scope(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        inner, held = begin(*args, **kwargs)
        step, value = inner.send, None
        while True:
            try:
                item = step_in(held, step, value)
            except StopIteration as stop:
                return stop.value
            finally:
                value = None
            try:
                value = yield item
                step = inner.send
            except BaseException as error:
                step, value = inner.throw, error

    return in_scope


def _as_given(*begun: Any) -> Any:
    return begun


_steps = _generator_function(_as_given)
_awaitable_steps: Any = types.coroutine(_generator_function(_as_given))


class Owned(tuple):  # type: ignore[type-arg]
    """A coroutine, and what holds in it. Nobody else will await it: where its wrapper goes before
    it was begun, it needs no warning of its own."""

    __slots__ = ()

    def __del__(self) -> None:
        self[0].close()


async def coroutine(owned: Owned) -> Any:
    """The coroutine that drives the one in ``owned``."""
    inner, holding = owned
    for each in holding:
        if each[0].get() is not each[1]:
            return await _awaitable_steps(inner, _held(holding))
    return await inner  # it holds here as well


def first_step(inner: Any) -> Any:
    """The first step of an async generator that another one drives. The event loop knows the outer
    one alone and closes it, and the outer one closes this one: the garbage collector, which may
    find both at once, must not close it before."""
    hooks = sys.get_asyncgen_hooks()
    sys.set_asyncgen_hooks(None, lambda generator: None)
    try:
        return inner.__anext__()
    finally:
        sys.set_asyncgen_hooks(*hooks)


def _async_generator_function(begin: Callable[..., Any]) -> Callable[..., Any]:
    """An async generator function; ``begin`` gives the inner async generator and what holds."""
    first, awaited = first_step, _awaitable_steps  # no globals: see decorated()

    async def in_scope(*args: Any, **kwargs: Any) -> Any:
        inner, held = begin(*args, **kwargs)
        step = first(inner)
        while True:
            try:
                item = await awaited(step, held)
            except StopAsyncIteration:
                return
            try:
                step = inner.asend((yield item))
            except BaseException as error:
                step = inner.athrow(error)

    return in_scope


_async_generator = _async_generator_function(_as_given)


# Functions


def decorated(manager: use_workspace, function: Callable[..., Any]) -> Callable[..., Any]:
    """``function`` in the scope of ``manager``: of the kind that it was, for those that ask.

    Raises TypeError for what is no function, and for the functions that contextlib makes, whose
    callers' blocks are no steps of theirs.
    """
    if isinstance(function, (classmethod, staticmethod)):
        return type(function)(decorated(manager, function.__func__))
    if not callable(function) or inspect.isclass(function):
        raise TypeError(f"{manager!r} decorates functions, not {function!r}")
    if getattr(function, "__globals__", None) is vars(contextlib):
        why = "it would hold at the steps of a generator and not in the block of the caller"
        do = f"write `with {manager!r}:` around that block, or decorate the generator function"
        raise TypeError(f"{manager!r} cannot decorate {function!r}: {why}; {do} itself")
    call = functools.partial(_run_in, manager, function)
    begin = functools.partial(_begin, manager, function)

    def plain(*args: Any, **kwargs: Any) -> Any:
        return call(*args, **kwargs)

    async def awaited(*args: Any, **kwargs: Any) -> Any:
        return await call(*args, **kwargs)

    kinds: dict[Any, Any] = {
        _run_in: plain,
        _await_in: awaited,
        _iterate_in: _generator_function(begin),
        _iterate_async_in: _async_generator_function(begin),
    }
    made = kinds[_kind(function)]
    if type(made) is types.FunctionType:  # not compiled
        # A function of a program is pickled by value (dill, cloudpickle) with all its globals; ours
        # hold context variables, which cannot be pickled.
        names = {"__name__": __name__, "__builtins__": builtins}
        made = types.FunctionType(made.__code__, names, made.__name__, None, made.__closure__)
    return functools.wraps(function)(made)


def carry_workspace(fn: F) -> F:
    """``fn`` in the scope that holds here, wherever it is called: in a thread, process or machine.

    Picklable if ``fn`` is, and a coroutine function, generator function or async generator function
    if it is one; where it is unpickled, the shim is activated. Without a scope, and so where only
    the environment names a workspace, it is ``fn`` itself. Raises TypeError for what is not
    callable.
    """
    if not callable(fn):
        raise TypeError(f"carry_workspace(fn) takes a function, not {type(fn).__name__}")
    here = workspace_here()
    # A partial of functions that can be imported: pickled by every engine, and known by all of them
    # for the kind of function that it is.
    return fn if here is None else cast("F", functools.partial(_kind(fn), here, fn))


def workspace_here() -> use_workspace | None:
    """The workspace of the scope that holds here, to be entered elsewhere; None for no scope."""
    entered = scope.get()
    return None if entered is None else use_workspace(entered.workspace)


def to_worker() -> Any:
    """What calls a function in a worker: in the scope that holds here, or in none; in either case
    it leaves the worker as it found it.

    Returns a function and its first arguments. Whoever hands work over puts them in front of the
    function to be called and its arguments: one callable made of them all would have to be pickled
    on its way to another interpreter.
    """
    here = workspace_here()
    return (in_none,) if here is None else (_run_in, here)


def _kind(function: Any) -> Callable[..., Any]:
    while isinstance(function, functools.partial):
        function = function.func
    for each in function, type(function).__call__:  # an object's may be of any kind
        if inspect.iscoroutinefunction(each):
            return _await_in
        # What types.coroutine makes is called by who awaits it.
        if inspect.isgeneratorfunction(each) and not each.__code__.co_flags & _AWAITABLE:
            return _iterate_in
        if inspect.isasyncgenfunction(each):
            return _iterate_async_in
    return _run_in


def _begin(holding: Holding, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    held = _held(holding)
    return run(held, fn, *args, **kwargs), held


def _run_in(holding: Holding, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
    return carried(*_begin(holding, fn, *args, **kwargs))


async def _await_in(holding: Holding, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
    return await _run_in(holding, fn, *args, **kwargs)


_iterate_in = _generator_function(_begin)
_iterate_in.__qualname__ = _iterate_in.__name__ = "_iterate_in"
_iterate_async_in = _async_generator_function(_begin)
_iterate_async_in.__qualname__ = _iterate_async_in.__name__ = "_iterate_async_in"


unseen(globals(), __name__)
