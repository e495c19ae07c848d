"""What the SDK has now in the place of what a row of the table names: for the warning that the row
no longer fits."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from importlib.machinery import PathFinder
from types import ModuleType
from typing import Any

_WRAPPERS = (classmethod, staticmethod)


def without_module(package: ModuleType, seams: list[Any]) -> Iterator[tuple[Any, str]]:
    """Those of ``seams`` whose module the SDK has not, if it is loaded from files, and why."""
    found: dict[str, Any] = {package.__name__: package.__spec__}

    def spec(name: str) -> Any:
        if name not in found:
            above = getattr(spec(name.rpartition(".")[0]), "submodule_search_locations", None)
            found[name] = PathFinder.find_spec(name, above) if above else None
        return found[name]

    if spec(f"{package.__name__}.version") is not None:
        for seam in seams:
            name = seam.module.rpartition(".*")[0] or seam.module
            if spec(name) is None:
                yield seam, missing_module(name, seam.attributes)


def missing_attribute(module: ModuleType, path: str, name: str) -> str:
    """``Class has no `method`; it has `other```, for ``path.name`` or for a ``name`` of the module
    itself."""
    owner = getattr(module, path, None) if path else None
    if owner is not None:
        return _said(path, name, _nearest(name, vars(owner), module.__name__, ""))
    method = name if path else ""
    wanted = path or name
    return _said(module.__name__, wanted, _nearest(wanted, vars(module), module.__name__, method))


def missing_module(name: str, attribute: str) -> str:
    """``package has no `module`; package.other has `Class```, for the ``attribute`` of a row."""
    package, _, last = name.rpartition(".")
    wanted, _, method = attribute.partition(".")
    best: tuple[float, str, str] = 0.0, "", ""
    for other, module in list(sys.modules.items()):
        if other.startswith(f"{package}."):
            found = _nearest(wanted, getattr(module, "__dict__", {}), other, method)
            best = max(best, (_alike(wanted, found), other, found))
    return _said(package, last, best[2], best[1])


def _said(where: str, wanted: str, found: str, there: str = "it") -> str:
    return f"{where} has no `{wanted}`" + (f"; {there} has `{found}`" if found else "")


def _nearest(wanted: str, names: Any, module: str, method: str) -> str:
    """The name in ``names`` that is most like ``wanted``, and that no row names.

    Those of the same kind come first. A method that is renamed keeps its parameters, and those that
    send have none; a class that is renamed keeps its ``method``.
    """
    is_class = wanted.lstrip("_")[:1].isupper()
    taken = _in_rows(module) - {wanted}
    found = []
    for name, value in _defined(names, module):
        if name in taken or isinstance(value, type) is not is_class:
            continue
        if is_class:
            kind: Any = not issubclass(value, BaseException), method in vars(value)
        else:
            public = name.startswith("_") == wanted.startswith("_")
            parameters = 0 if wanted.startswith("_") else _required(value)
            kind = public, _is_coroutine(value) == _means_coroutine(wanted), -parameters
        found.append((kind, _alike(wanted, name), name))
    return max(found)[-1] if found else ""


def _defined(names: Any, module: str) -> Iterator[tuple[str, Any]]:
    for name, value in list(names.items()):
        function = value.__func__ if isinstance(value, _WRAPPERS) else value
        known = isinstance(function, type) or inspect.isfunction(inspect.unwrap(function))
        if known and not name.startswith("__") and function.__module__ == module:
            yield name, function


def _is_coroutine(function: Any) -> bool:
    function = inspect.unwrap(function)
    return inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)


def _means_coroutine(name: str) -> bool:
    return name.lower().lstrip("_").startswith(("aio", "async_", "a_"))


def _required(function: Any) -> int:
    code = inspect.unwrap(function).__code__
    return int(code.co_argcount - len(inspect.unwrap(function).__defaults__ or ()))


def _alike(wanted: str, name: str) -> float:
    from difflib import SequenceMatcher

    return SequenceMatcher(None, wanted.lower(), name.lower()).ratio() if name else 0.0


def _in_rows(module: str) -> set[str]:
    from .._seams import SEAMS

    rows = [path for seam in SEAMS if seam.module == module for path in seam.attributes.split()]
    return {part for path in rows for part in path.split(".")}
