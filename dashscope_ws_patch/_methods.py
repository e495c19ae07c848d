"""What is put into the place of a function or method of the SDK, and passes for it."""

from __future__ import annotations

import functools
import inspect
import operator
import sys
import types
from importlib import import_module
from typing import Any, Callable

import wrapt

from ._carry import unseen

Adapter = Callable[[Any], Any]
_Make = Callable[[Callable[..., Any]], Callable[..., Any]]


def method(make: _Make) -> Adapter:
    """An adapter of functions and methods, class methods and static ones, from what makes the
    replacement of a function."""

    unseen({"make": make}, make.__module__)

    def adapter(original: Any) -> Any:
        if isinstance(original, types.MethodType):  # what another patcher has put back into a class
            return types.MethodType(adapter(original.__func__), original.__self__)
        for kind in (classmethod, staticmethod):
            if isinstance(original, kind):
                real = issubclass(type(original), kind)
                return kind(adapter(original.__func__ if real else _through(original, kind)))
        replacement = make(original)
        if replacement is original:
            return original
        functools.update_wrapper(replacement, original)
        # A disguise costs as much as all the rest of a call: only where it tells something.
        flags = original.__code__.co_flags ^ replacement.__code__.co_flags
        # Up to CPython 3.10 typing.get_type_hints reads defaults by the code.
        if flags & LAZY or original.__name__ == "__init__" or _OLD_TYPING:
            return disguised(original, replacement)
        return replacement

    return adapter


def disguised(original: Any, call: Callable[..., Any]) -> Any:
    """What passes for ``original``, and is called as ``call`` is, not by a __call__ that hands all
    on to it."""
    return type("Disguised", (_Disguised,), {"__call__": staticmethod(call)})(original)


def _through(proxy: Any, kind: type) -> Any:
    """The function of a class method or static one that another patcher's proxy stands for."""

    @functools.wraps(proxy.__func__)
    def through(*args: Any, **kwargs: Any) -> Any:
        if kind is classmethod:
            return proxy.__get__(None, args[0])(*args[1:], **kwargs)
        return proxy.__get__(None, object)(*args, **kwargs)

    return through


_OLD_TYPING = sys.version_info < (3, 11)
LAZY = inspect.CO_COROUTINE | inspect.CO_GENERATOR | inspect.CO_ASYNC_GENERATOR


class _ByReference:
    __slots__ = ()  # what wrapt's proxies have of their own would be hidden

    # wrapt's proxies refuse to be pickled or copied; functions are, by reference.
    def __reduce_ex__(self, protocol: Any) -> Any:
        original: Any = self.__wrapped__  # type: ignore[attr-defined]
        found = operator.attrgetter(original.__qualname__)(import_module(original.__module__))
        return original.__qualname__ if found is self else (_first, (original,))

    def __copy__(self, memo: Any = None) -> Any:
        return self

    __deepcopy__ = __copy__


class _Disguised(_ByReference, wrapt.ObjectProxy):  # type: ignore[misc]
    """A function or method that passes for the one in whose place it stands, coroutine function or
    not, up to its code and defaults; bound to an object it is a method like any other."""

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return self if instance is None else types.MethodType(self, instance)


class Wrapper(_ByReference, wrapt.FunctionWrapper):  # type: ignore[misc]
    """A function or class, and what is called in its place."""


def _first(value: Any) -> Any:
    return value


unseen(globals(), __name__)
