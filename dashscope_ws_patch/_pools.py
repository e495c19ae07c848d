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
#: What of their arguments is called, by name or by place.
_CALLED = {"func": 0, "callback": 3, "error_callback": 4}


def follow() -> None:
    """Patch the pools of the standard library: how they are given work, and make their workers."""
    if _made:
        return
    # Imported before the lock is taken: an import waits for other threads' imports.
    from concurrent.futures import ThreadPoolExecutor

    made: list[tuple[Any, str, Any]] = [(ThreadPoolExecutor, "submit", _submitting)]
    try:
        from concurrent.futures import ProcessPoolExecutor
        from multiprocessing.pool import Pool

        # map() of executors, and event loops, go by submit().
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
    from ._carry import VARIABLES, as_found, to_worker, without

    @functools.wraps(original)
    def submit(self: Any, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
        for _, get, nothing in VARIABLES:
            if get() is not nothing:
                return without(original, self, to_worker(fn), *args, **kwargs)
        return original(self, as_found, fn, *args, **kwargs)

    return submit


def _handing_over(original: Callable[..., Any]) -> Callable[..., Any]:
    """A method of a Pool that is given functions to call, in its workers or when they are done."""
    from ._carry import to_worker, without

    @functools.wraps(original)
    def hand_over(self: Any, /, *args: Any, **kwargs: Any) -> Any:
        given = list(args)
        for name, at in _CALLED.items():
            if kwargs.get(name) is not None:
                kwargs[name] = to_worker(kwargs[name])
            elif at < len(given) and given[at] is not None:
                given[at] = to_worker(given[at])
        return without(original, self, *given, **kwargs)

    return hand_over


def _clean(original: Callable[..., Any]) -> Callable[..., Any]:
    """A method that starts workers."""
    from . import _carry

    @functools.wraps(original)
    def clean(self: Any, /, *args: Any, **kwargs: Any) -> Any:
        return _carry.without(original, self, *args, **kwargs)

    return clean
