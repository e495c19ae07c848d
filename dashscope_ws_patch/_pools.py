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
import threading
from typing import Any, Callable, NamedTuple


class _Method(NamedTuple):
    owner: Any
    name: str
    original: Callable[..., Any]
    replacement: Callable[..., Any]


_lock = threading.Lock()
_made: list[_Method] = []

#: The ways to hand work to a multiprocessing.Pool or ThreadPool; apply() goes by apply_async().
_POOL = ("apply_async", "map", "map_async", "starmap", "starmap_async", "imap", "imap_unordered")
#: What of their arguments is called or read, by name and place.
_HANDED = {"func": 0, "iterable": 1, "callback": 3, "error_callback": 4}


def follow() -> None:
    """Patch the pools of the standard library: how they are given work, and make their workers."""
    if _made:
        return
    # Imported before the lock is taken: an import waits for other threads' imports.
    from concurrent.futures import Executor, Future, ThreadPoolExecutor

    made: list[tuple[Any, str, Any]] = [
        (ThreadPoolExecutor, "submit", _submitting),
        (Executor, "map", _mapping),
        (Future, "add_done_callback", _calling_back),
    ]
    try:
        from concurrent.futures import ProcessPoolExecutor
        from multiprocessing.pool import Pool

        # Event loops, and map() of executors, go by submit().
        made.append((ProcessPoolExecutor, "submit", _submitting))
        made += [(Pool, "__init__", _clean), *((Pool, name, _handing_over) for name in _POOL)]
    except ImportError:  # no processes on this platform
        pass
    with _lock:
        if not _made:  # else another thread was first
            for owner, name, wrapper in made:
                original = vars(owner)[name]
                replacement = wrapper(original)
                setattr(owner, name, replacement)
                _made.append(_Method(owner, name, original, replacement))


def unfollow() -> None:
    """Put the methods back, but for those that somebody else has replaced since."""
    with _lock:
        for owner, name, original, replacement in _made:
            if vars(owner)[name] is replacement:
                setattr(owner, name, original)
        _made.clear()


def _submitting(original: Callable[..., Any]) -> Callable[..., Any]:
    """``submit`` of an executor."""
    from ._carry import CONTEXT_VARIABLES, as_found, to_worker, without

    @functools.wraps(original)
    def submit(self: Any, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
        for _, get, nothing in CONTEXT_VARIABLES:
            if get() is not nothing:
                return without(original, self, to_worker(fn), *args, **kwargs)
        return original(self, as_found, fn, *args, **kwargs)

    return submit


def _mapping(original: Callable[..., Any]) -> Callable[..., Any]:
    """``map`` of an executor: with a ``buffersize`` (CPython 3.14 on) it hands over the rest while
    its results are read, by whoever does."""
    from ._carry import carried
    from ._workspace import scope

    @functools.wraps(original)
    def map(self: Any, /, *args: Any, **kwargs: Any) -> Any:
        results = original(self, *args, **kwargs)
        return carried(results, [(scope, scope.get())]) if kwargs.get("buffersize") else results

    return map


def _calling_back(original: Callable[..., Any]) -> Callable[..., Any]:
    """``add_done_callback`` of a future, which a worker calls, or whoever cancels it."""
    from ._carry import handed_over, without

    @functools.wraps(original)
    def add_done_callback(self: Any, fn: Any) -> None:
        original(self, functools.partial(without, handed_over(fn)))

    return add_done_callback


def _handing_over(original: Callable[..., Any]) -> Callable[..., Any]:
    """A method of a Pool that is given functions to call, in its workers or when they are done, and
    what a thread of it may read."""
    from ._carry import carried, to_worker, without
    from ._workspace import scope

    def items(iterable: Any) -> Any:
        yield from iterable

    @functools.wraps(original)
    def hand_over(self: Any, /, *args: Any, **kwargs: Any) -> Any:
        given: dict[Any, Any] = {**dict(enumerate(args)), **kwargs}
        for name, at in _HANDED.items():
            key = name if name in kwargs else at
            value = given.get(key)
            if value is None:
                continue
            if name != "iterable":
                given[key] = to_worker(value)
            elif not hasattr(value, "__len__"):  # else it is there already
                given[key] = carried(items(value), [(scope, scope.get())])
        args = tuple(given.pop(at) for at in range(len(args)))
        return without(original, self, *args, **given)

    return hand_over


def _clean(original: Callable[..., Any]) -> Callable[..., Any]:
    """A method that starts workers."""
    from . import _carry

    @functools.wraps(original)
    def clean(self: Any, /, *args: Any, **kwargs: Any) -> Any:
        return _carry.without(original, self, *args, **kwargs)

    return clean
