"""Thread pools follow scopes: what is handed to a pool runs in the scope of whoever hands it over.

By ``loop.run_in_executor`` frameworks reach a synchronous SDK from async code, and it, unlike
``asyncio.to_thread``, leaves the context behind. Installed by the first scope of a program, so one
that uses only the environment has nothing of the standard library patched.
"""

from __future__ import annotations

import functools
from typing import Any, Callable

from ._workspace import scope

_original: Callable[..., Any] | None = None
_replacement: Callable[..., Any] | None = None


def follow() -> None:
    """Patch ``ThreadPoolExecutor.submit``, through which ``map`` and event loops go too."""
    global _original, _replacement
    if _original is not None:
        return
    from concurrent.futures import ThreadPoolExecutor

    _original = original = ThreadPoolExecutor.submit

    @functools.wraps(original)  # type: ignore[arg-type]
    def submit(self: Any, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        return original(self, _in_scope(fn), *args, **kwargs)

    ThreadPoolExecutor.submit = _replacement = submit  # type: ignore[method-assign]


def unfollow() -> None:
    """Put ``ThreadPoolExecutor.submit`` back, unless somebody else has replaced it since."""
    global _original
    if _original is not None:
        from concurrent.futures import ThreadPoolExecutor

        if ThreadPoolExecutor.submit is _replacement:
            ThreadPoolExecutor.submit = _original  # type: ignore[method-assign]
        _original = None


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
