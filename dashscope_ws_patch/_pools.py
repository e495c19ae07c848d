"""Thread pools follow scopes: what is handed to a pool runs in the scope of whoever hands it over.

By ``loop.run_in_executor`` frameworks reach a synchronous SDK from async code, and it, unlike
``asyncio.to_thread``, leaves the context behind. Installed by the first scope of a program, so one
that uses only the environment has nothing of the standard library patched.
"""

from __future__ import annotations

import functools
import threading
from typing import Any, Callable, NamedTuple

from ._workspace import scope


class _Submit(NamedTuple):
    original: Callable[..., Any]
    replacement: Callable[..., Any]


_lock = threading.Lock()
_made: _Submit | None = None


def follow() -> None:
    """Patch ``ThreadPoolExecutor.submit``, through which ``map`` and event loops go too."""
    global _made
    if _made is not None:
        return
    from concurrent.futures import ThreadPoolExecutor

    with _lock:
        if _made is None:  # else another thread was first
            original: Callable[..., Any] = ThreadPoolExecutor.submit

            @functools.wraps(original)
            def submit(self: Any, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
                return original(self, _in_scope(fn), *args, **kwargs)

            ThreadPoolExecutor.submit = submit  # type: ignore[method-assign]
            _made = _Submit(original, submit)


def unfollow() -> None:
    """Put ``ThreadPoolExecutor.submit`` back, unless somebody else has replaced it since."""
    global _made
    if _made is not None:
        from concurrent.futures import ThreadPoolExecutor

        with _lock:
            if _made is not None and ThreadPoolExecutor.submit is _made.replacement:
                ThreadPoolExecutor.submit = _made.original  # type: ignore[method-assign]
            _made = None


def _in_scope(fn: Callable[..., Any]) -> Callable[..., Any]:
    entered = scope.get()
    if entered is None:
        return fn

    def in_scope(*args: Any, **kwargs: Any) -> Any:
        before = scope.get()
        scope.set(entered)
        try:
            return fn(*args, **kwargs)
        finally:
            scope.set(before)

    return in_scope
