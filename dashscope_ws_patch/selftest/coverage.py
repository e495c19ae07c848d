"""What the surfaces have passed through: rows of the table, and ways out of the SDK.

``doctor`` notes which functions of the SDK run while it drives the surfaces. A row through which
none of them goes is not tried, and a public class or function that sends and never ran has no
surface yet: both are listed, for whoever brings the table and the surfaces up to date.
"""

from __future__ import annotations

import contextlib
import inspect
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import CodeType
from typing import Any

from .. import _activation
from .._activation import APPLIED, SDK
from ..cli._language import _ as in_language
from .audit import FOREIGN, Egress


def folder_for(path: str) -> str:
    """What goes on the import path for an unpacked release: ``path``, its ``src``, or what holds
    it, if it is the package itself. Raises FileNotFoundError if no SDK is there."""
    given = Path(path).resolve()
    for folder in (given, given / "src", given.parent):
        is_there = (folder / SDK / "version.py").is_file()
        if is_there and (folder != given.parent or given.name == SDK):
            return str(folder)
    raise FileNotFoundError(in_language("no package {name} in {path}", name=SDK, path=path))


@contextlib.contextmanager
def watching() -> Iterator[set[CodeType]]:
    """Inside, the code of each function that is called is noted, in whatever thread."""
    ran: set[CodeType] = set()
    monitoring: Any = getattr(sys, "monitoring", None)
    if monitoring is not None:  # CPython 3.12 on: each is told once, and costs nothing after that

        def started(code: CodeType, offset: int) -> Any:
            ran.add(code)
            return monitoring.DISABLE

        tool, event = monitoring.COVERAGE_ID, monitoring.events.PY_START
        monitoring.use_tool_id(tool, "dashscope-ws-patch")
        monitoring.register_callback(tool, event, started)
        monitoring.set_events(tool, event)
        try:
            yield ran
        finally:
            monitoring.set_events(tool, 0)
            monitoring.free_tool_id(tool)
        return

    def profile(frame: Any, event: str, _: Any) -> None:
        if event == "call":
            ran.add(frame.f_code)

    threading.setprofile(profile)
    sys.setprofile(profile)
    try:
        yield ran
    finally:
        sys.setprofile(None)
        threading.setprofile(None)


def rows_not_passed(ran: set[CodeType]) -> list[str]:
    """The rows that are applied and through which nothing has gone."""
    by_place = {(id(owner), name): old for owner, name, old, _ in _activation._patches}
    missed = []
    for seam, state, _ in _activation.report():
        if state == APPLIED and not any(
            _code(by_place.get((id(owner), name))) in ran for owner, name in _places(seam)
        ):
            missed.append(f"{seam.module}.{seam.attributes}")
    return missed


def _places(seam: Any) -> Iterator[tuple[Any, str]]:
    package = seam.module.rpartition(".*")[0]
    for name, module in list(sys.modules.items()):
        if name == seam.module or (package and name.rpartition(".")[0] == package):
            with contextlib.suppress(LookupError):
                yield from _activation._targets(seam, module)


def _code(original: Any) -> Any:
    """The code of a function, method or property, also of one that a replacement stands for."""
    function = getattr(original, "fget", getattr(original, "__func__", original))
    return getattr(inspect.unwrap(function), "__code__", None) if callable(function) else None


def functions_that_ran(ran: set[CodeType]) -> list[str]:
    """The functions of the SDK that ran, as ``module:name``."""
    files = {
        getattr(module, "__file__", None): name
        for name, module in list(sys.modules.items())
        if name == SDK or name.startswith(f"{SDK}.")
    }
    return sorted(
        {f"{files[code.co_filename]}:{code.co_name}" for code in ran if code.co_filename in files}
    )


def not_driven(egress: list[Egress], functions: list[str]) -> list[str]:
    """The public classes and functions that send and of which nothing ran, as ``module:name``."""
    ran = set(functions)
    groups: dict[str, bool] = {}
    for way in egress:
        module, _, function = way.place.partition(":")
        top = function.partition(".")[0]
        if module.startswith(f"{SDK}.acli"):  # a command, which runs in a process of its own
            continue
        if way.state != FOREIGN and top and not top.startswith("_"):
            here = f"{module}:{function.rpartition('.')[2]}" in ran
            groups[f"{module}:{top}"] = groups.get(f"{module}:{top}", False) or here
    return sorted(name for name, driven in groups.items() if not driven)


def classes_not_driven(ran: set[CodeType]) -> list[str]:
    """The public classes of the SDK that are made of those which send, and of whose own public
    methods none ran."""
    missed = []
    for name, module in list(sys.modules.items()):
        if not name.startswith(f"{SDK}.") or any(part.startswith("_") for part in name.split(".")):
            continue
        for key, kind in list(vars(module).items()):
            if not isinstance(kind, type) or kind.__module__ != name or key.startswith("_"):
                continue
            sends = any(base.__module__ == f"{SDK}.client.base_api" for base in kind.__mro__[1:])
            own = [
                _code(value)
                for attribute, value in vars(kind).items()
                if not attribute.startswith("_") and _code(value) is not None
            ]
            if sends and own and ran.isdisjoint(own):
                missed.append(f"{name}:{key}")
    return sorted(missed)
