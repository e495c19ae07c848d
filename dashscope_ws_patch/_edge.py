"""The edge: whatever a module of the SDK sends by, passes ``settle``.

A rule, not a list: every global of a module that is a library which sends, or was taken from one by
name (``from requests import Session``), is replaced by what sends for that module, and so are those
in its classes, default values and closures; sessions that the module has made already, and classes
that it derives from theirs, are guarded as they are. The libraries themselves are never changed,
and what others put into them is used.
"""

from __future__ import annotations

import dis
import functools
import inspect
from collections.abc import Iterator
from types import CodeType, FunctionType, ModuleType
from typing import Any

from ._carry import unseen
from ._methods import Wrapper
from ._senders import SENDERS, WORKERS, Service, Way, placed
from .hint.watch import watched


class Library(ModuleType):
    """A library as a module of the SDK sees it: what sends is ours, the rest is the library's own,
    as it is then."""

    def __init__(self, library: ModuleType, service: Service) -> None:
        super().__init__(library.__name__, library.__doc__)
        vars(self).update(__wrapped__=library, __service__=service)
        if library.__name__ == "threading":  # locks are made for each call
            vars(self).update((name, vars(library)[name]) for name in library.__all__)
        for name, way in _ways_of(library).items():
            if name in vars(library):  # another patcher's may stand there, and be put back
                current = functools.partial(vars(library).get, name, vars(library)[name])
                call = functools.partial(way.call, service, current)
                setattr(self, name, Wrapper(vars(library)[name], call))

    def __getattr__(self, name: str) -> Any:
        value = getattr(self.__wrapped__, name)
        if isinstance(value, ModuleType):  # requests.api, websockets.sync, concurrent.futures
            ways = _ways_of(value)
            inner = ways and (hasattr(value, "__path__") or not ways.keys().isdisjoint(vars(value)))
            return Library(value, self.__service__) if inner else value
        return sender(value, self.__service__) or value  # websockets imports what it is asked for


def sender(original: Any, service: Service) -> Any:
    """What stands for ``original``, a function or class of a library that sends; None for any
    other."""
    way = _way_of(original)
    return way and Wrapper(original, functools.partial(way.call, service, None))


def replaced(module: ModuleType, service: Service) -> Iterator[tuple[Any, str, Any]]:
    """What of ``module`` sends: whose it is, its name, and what is to stand there. Sessions that it
    has made already are guarded as they are."""
    return _held(module, module, service)


def _held(owner: Any, module: ModuleType, service: Service) -> Iterator[tuple[Any, str, Any]]:
    """The same of what a module, or a class or an object of its own, holds."""
    for name, value in list(vars(owner).items()):
        instead, function = _instead(value, service), _function_of(value)
        if instead is not None:
            yield owner, name, instead
        elif isinstance(function, FunctionType):
            # Another patcher's has that patcher's globals: what it holds is no matter of the SDK.
            if function.__globals__ is vars(module):
                sends = _sending(function, service) if value is function else None
                if sends is not None:
                    yield owner, name, sends
                yield from _held_by_function(function, service)
        elif getattr(value, "__module__", None) != module.__name__:
            continue
        elif isinstance(value, type):
            if _guard_of(value) is not None:  # derived from a session's
                init: Any = value.__init__  # type: ignore[misc]
                yield value, "__init__", _guarding(init, _guard_of(value), service)
            yield from _held(value, module, service) if owner is module else ()
        elif owner is module and hasattr(value, "__dict__"):
            yield from _held(value, module, service)


def _function_of(value: Any) -> Any:
    """The function of a class method, a static one or a property; else ``value`` itself. No other
    attribute is asked for: an object that loads what it stands for, when asked, must not do so."""
    if isinstance(value, (classmethod, staticmethod)):
        return value.__func__
    return value.fget if isinstance(value, property) else value


def _held_by_function(function: Any, service: Service) -> Iterator[tuple[Any, str, Any]]:
    """The same of a function's default values, and of what it was closed over."""
    defaults = function.__defaults__ or ()
    placed = tuple(_instead(value, service) or value for value in defaults)
    if any(new is not old for new, old in zip(placed, defaults)):
        yield function, "__defaults__", placed
    for cell in function.__closure__ or ():
        instead = _instead(_content(cell), service)
        if instead is not None:
            yield cell, "cell_contents", instead


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # empty yet
        return None


def _instead(value: Any, service: Service) -> Any:
    """What is to stand for ``value``, if that sends by a library; a session is guarded."""
    kind = type(value)
    if kind is Wrapper:  # already
        return None
    if kind is ModuleType:
        return Library(value, service) if _ways_of(value) else None
    if kind is functools.partial:
        instead = sender(value.func, service)
        return instead and functools.partial(instead, *value.args, **value.keywords)
    guard = None if isinstance(value, type) else _guard_of(kind)
    if guard is not None:
        guard(service, value)
    return sender(value, service)


def sends_beside(module: ModuleType, covered: set[str]) -> bool:
    """Whether a function or class of ``module`` sends that is neither one of those ``covered`` nor
    used by them."""
    uses = {
        name: set(_names_used_by(value))
        for name, value in vars(module).items()
        if getattr(value, "__module__", None) == module.__name__
    }
    libraries = {name for name, value in vars(module).items() if _is_library(value)}
    reached, found = set[str](), covered
    while found:
        reached |= found
        found = set().union(*(uses.get(name, ()) for name in found)) - reached
    libraries |= SENDERS.keys() - WORKERS  # imported in a function
    beside = (names for name, names in uses.items() if name not in reached)
    return any(used.partition(".")[0] in libraries for names in beside for used in names)


def _is_library(value: Any) -> bool:
    if type(value) is ModuleType:
        return value.__name__ not in WORKERS and bool(_ways_of(value))
    return _way_of(value) is not None


def _names_used_by(value: Any) -> Iterator[str]:
    """The names in the code of a function or class."""
    for each in vars(value).values() if isinstance(value, type) else (value,):
        function = _function_of(each)
        codes = [inspect.unwrap(function).__code__] if isinstance(function, FunctionType) else []
        for code in codes:
            if isinstance(code, CodeType):
                yield from code.co_names
                codes += code.co_consts


def _ways_of(library: ModuleType) -> dict[str, Way]:
    return SENDERS.get(library.__name__.partition(".")[0], {})


def _way_of(value: Any) -> Way | None:
    top = str(getattr(value, "__module__", "")).partition(".")[0]
    return SENDERS[top].get(getattr(value, "__name__", "")) if top in SENDERS else None


def _guard_of(kind: type) -> Any:
    """What guards the objects of a class of sessions, or of one that is derived from it."""
    ways = filter(None, map(_way_of, kind.__mro__))
    return next((way.guard for way in ways if way.guard), None)


def _guarding(function: Any, guard: Any, service: Service) -> Any:
    @functools.wraps(function)
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        function(self, *args, **kwargs)
        guard(service, self, kwargs)

    return __init__


def _sending(function: FunctionType, service: Service) -> Any:
    """What stands for a function of the SDK that is given a URL and headers, and sends by a
    library; or that imports a library itself, and makes a session."""
    code = function.__code__
    names = code.co_varnames[: code.co_argcount]
    named = {name for name in code.co_names if name.partition(".")[0] in SENDERS}
    if not named or type(function) is Wrapper:
        return None
    is_given_request = {"url", "headers"} <= set(names)
    steps = dis.get_instructions(code)
    imports = (step.argval for step in steps if step.opname == "IMPORT_NAME")
    of_module = is_given_request and function.__qualname__ == function.__name__
    if not of_module and named.isdisjoint(imports):
        return None

    def call(wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
        if not is_given_request:
            made = wrapped(*args, **kwargs)
            _instead(made, service)
            return made
        given = {**dict(zip(names, (instance, *args) if instance else args)), **kwargs}
        _, given, sent = placed(service, 0, "headers", (), given)
        if instance is not None:
            del given[names[0]]
        return watched(wrapped(**given), sent)

    return Wrapper(function, call)


unseen(globals(), __name__)
