"""Pools follow scopes: what is handed over runs in the scope of whoever hands it over, or in none.

By ``loop.run_in_executor`` frameworks reach a synchronous SDK from async code, and it, unlike
``asyncio.to_thread``, leaves the context behind. Workers are born where nothing holds: a forked one
would go on in the scope, and in the call, of whoever first needed it, and so would a thread of an
interpreter whose threads inherit their context (``-X thread_inherit_context=1``, CPython 3.14 on).

Installed by the first scope of a program, so one that uses only the environment has nothing of the
standard library patched; where threads inherit, by the first call that names a workspace as well.
"""

from __future__ import annotations

import functools
import inspect
import sys
import types
from collections.abc import Container, Iterator
from typing import Any, Callable

from ._carry import CONTEXT_VARIABLES, _run_in, carried, in_none, to_worker, workspace_here
from ._workspace import scope

#: The modules that have pools, once a program has used a scope. Activation calls follow() again
#: when one of them is imported after that.
awaited: Container[str] = ()
#: The classes that were found, and what stands in the place of each of their methods: our wrapper,
#: or what another patcher has put around it.
_classes: list[Any] = []
_standing: list[tuple[Any, str, Any]] = []

#: No code of the program runs when one of these is read.
_PLAIN = (list, tuple, range, str, bytes, dict, set, frozenset, type(None))

# What is bound to an object natively, by its ``__get__``: another patcher's may be anything. What
# has none, such as a mock, is left alone.
_Bind = Callable[[Any, Any], Callable[..., Any]]


def follow() -> None:
    """Patch the pools of the standard library: how they are given work, and make their workers.

    Called at each scope, since another patcher may have replaced our methods, or put back what it
    found before they came; in any thread, signal handler, forked process or program that ends. So
    nothing is imported and no lock is taken here, and two threads may both do it.
    """
    global awaited, _classes, _standing
    classes = [getattr(sys.modules.get(module), name, None) for module, name in _CLASSES]
    for owner, name, stands in _standing:
        if vars(owner).get(name) is not stands:
            break
    else:
        if classes == _classes:
            return
    awaited, standing = [module for module, _ in _CLASSES], []
    for module, kind, name, wrapper in _METHODS:
        owner = getattr(sys.modules.get(module), kind, None)
        method: Any = getattr(owner, "__dict__", {}).get(name)
        if method is not None:
            bind = getattr(type(method), "__get__", None)
            if bind and not _is_ours(inspect.unwrap(method, stop=_is_ours)):
                wrapped = wrapper(functools.partial(bind, method))
                setattr(owner, name, functools.wraps(method)(wrapped))
            standing.append((owner, name, vars(owner)[name]))
    _classes, _standing = classes, standing


def unfollow() -> None:
    """Put the methods back, but for those that somebody else has replaced since."""
    global awaited, _classes, _standing
    for owner, name, _ in _standing:
        while type(vars(owner)[name]) is types.FunctionType and _is_ours(vars(owner)[name]):
            setattr(owner, name, vars(owner)[name].__wrapped__)
    awaited, _classes, _standing = (), [], []


def _is_ours(method: Any) -> bool:
    return getattr(method, "__globals__", None) is globals()


def _submitting(bind: _Bind) -> Callable[..., Any]:
    """``submit`` of an executor of threads, or of interpreters (CPython 3.14 on). What these are
    given runs in another interpreter, where no _WorkItem.run of this one isolates it."""

    def submit(self: Any, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
        bound = bind(self, type(self))
        for variable in CONTEXT_VARIABLES:
            if variable.get() is not None:
                return in_none(bound, *to_worker(), fn, *args, **kwargs)
        interpreters = sys.modules.get("concurrent.futures.interpreter")
        if isinstance(self, getattr(interpreters, "InterpreterPoolExecutor", ())):
            return bound(in_none, fn, *args, **kwargs)
        return bound(fn, *args, **kwargs)

    return submit


def _submit(bound: Any, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
    """``submit`` of an executor of processes. Event loops, and its ``map``, go by it."""
    return in_none(bound, *to_worker(), fn, *args, **kwargs)


def _running(bind: _Bind) -> Callable[..., Any]:
    """``run`` of a piece of work, which a thread calls: in no scope, even where the work was handed
    over before pools were followed. A scope that the work sets and does not reset ends with it."""

    def run(self: Any, *args: Any) -> Any:
        found = scope.get()
        if found is not None:
            scope.set(None)
        call = [bind(self, type(self))]
        # As CPython's own `run` does: what failed is not kept alive by its own traceback.
        self = None
        try:
            return call.pop()(*args)
        finally:
            if scope.get() is not found:
                scope.set(found)

    return run


def _calling_back(bind: _Bind) -> Callable[..., Any]:
    """``add_done_callback`` of a future, which a worker calls, or whoever cancels it."""

    def add_done_callback(self: Any, fn: Any) -> Any:
        handed = fn if scope.get() is None else functools.partial(*to_worker(), fn)
        return bind(self, type(self))(functools.partial(in_none, handed))

    return add_done_callback


def _around(hand_over: Callable[..., Any]) -> Callable[..., Any]:
    """A method that calls ``hand_over`` with what has stood in its place."""

    def wrapper(bind: _Bind) -> Callable[..., Any]:
        def method(self: Any, /, *args: Any, **kwargs: Any) -> Any:
            return hand_over(bind(self, type(self)), *args, **kwargs)

        return method

    return wrapper


def _map(bound: Any, /, *args: Any, **kwargs: Any) -> Any:
    """``map`` of an executor. With a ``chunksize`` a process calls the function many times for one
    piece of work; with a ``buffersize`` (CPython 3.14 on) it hands over the rest while its results
    are read, by whoever does."""
    if args and kwargs.get("chunksize", 1) != 1:
        args = (functools.partial(*to_worker(), args[0]), *args[1:])
    results = bound(*args, **kwargs)
    return carried(results, [(scope, scope.get())]) if kwargs.get("buffersize") else results


def _hand_over(bound: Any, /, *args: Any, **named: Any) -> Any:
    """A method of a Pool that is given functions to call, in its workers or when they are done, and
    what the worker or a thread of the pool reads. All of them have the same order of arguments."""
    handed = [_handed(place, value) for place, value in enumerate(args)]
    named = {name: _handed(name, value) for name, value in named.items()}
    return in_none(bound, *handed, **named)


_FUNCTIONS = (0, 3, 4, "func", "callback", "error_callback")
_READ = (1, "iterable", "args")


def _handed(place: Any, value: Any) -> Any:
    if place in _FUNCTIONS and value is not None:
        return functools.partial(*to_worker(), value)
    if place in _READ and type(value) not in _PLAIN:
        run = functools.partial(_run_in, workspace_here())
        return (_Sized if hasattr(value, "__len__") else _Read)(run, value)
    # Keywords, which are read at once; a chunk size has none.
    return dict(value) if place in (2, "kwds") and hasattr(value, "keys") else value


class _Read:
    """What a pool reads, in the scope in which it was handed over; picklable if it is."""

    def __init__(self, run: Any, items: Any) -> None:
        self.run, self.items = run, items

    def __iter__(self) -> Any:
        return self.run(_each, self.items)


class _Sized(_Read):
    def __len__(self) -> Any:
        return self.run(len, self.items)


def _each(items: Any) -> Iterator[Any]:
    yield from items


_POOL = ("apply_async", "map", "map_async", "starmap", "starmap_async", "imap", "imap_unordered")
#: The methods, by module and class, and what is put around each.
_METHODS: list[tuple[str, str, str, Callable[[Any], Any]]] = [
    ("concurrent.futures._base", "Executor", "map", _around(_map)),
    ("concurrent.futures._base", "Future", "add_done_callback", _calling_back),
    ("concurrent.futures.thread", "ThreadPoolExecutor", "submit", _submitting),
    ("concurrent.futures.thread", "_WorkItem", "run", _running),  # a name of CPython's own
    ("concurrent.futures.process", "ProcessPoolExecutor", "submit", _around(_submit)),
    ("concurrent.futures.process", "ProcessPoolExecutor", "map", _around(_map)),
    ("multiprocessing.pool", "Pool", "__init__", _around(in_none)),
    # A ThreadPool is a Pool, and apply() goes by apply_async().
    *(("multiprocessing.pool", "Pool", name, _around(_hand_over)) for name in _POOL),
]
_CLASSES = dict.fromkeys((module, kind) for module, kind, _, _ in _METHODS)
