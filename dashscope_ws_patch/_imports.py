"""Waiting in the import system: a module is handed over right after its code has run, before
anybody can take a name from it by value.
"""

from __future__ import annotations

import sys
import threading
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, Callable

from ._carry import unseen


class Finder:
    """Finds the modules that are ``wanted`` as everybody else would, and hands them over when their
    code has run. ``done`` is called when an import is through that may have run several of them."""

    def __init__(
        self,
        wanted: Callable[[str], bool],
        ran: Callable[[ModuleType], None],
        done: Callable[[], None],
    ) -> None:
        self.wanted, self.ran, self.done = wanted, ran, done
        self.thread = threading.local()

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        # Another hook on meta_path may ask all finders again, and so us: the first time counts.
        if not self.wanted(name) or getattr(self.thread, "asking", False):
            return None
        self.thread.asking = True
        try:
            for finder in sys.meta_path:
                find = getattr(finder, "find_spec", None)
                spec = None if finder is self or find is None else find(name, path, target)
                if spec is not None:
                    if hasattr(spec.loader, "exec_module") or hasattr(spec.loader, "get_code"):
                        spec.loader = Loader(spec.loader, self)
                    return spec  # type: ignore[no-any-return]
            return None
        finally:
            self.thread.asking = False

    def is_running(self, module: Any) -> bool:
        """Whether the code of a module that was not found by us is still running: the module is
        handed over as soon as it is done."""
        spec = getattr(module, "__spec__", None)
        if not getattr(spec, "_initializing", False):
            return False
        if type(spec) is ModuleSpec:
            spec.__class__ = _WatchedSpec
            vars(spec)["_dashscope_ws_patch"] = lambda: self.ran(module)
        return True


class Loader:
    """The module's own loader, for the moment in which the module is executed."""

    def __init__(self, loader: Any, finder: Finder) -> None:
        self._loader, self._finder = loader, finder

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def __deepcopy__(self, memo: Any) -> Loader:
        return self

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        create: Any = getattr(self._loader, "create_module", lambda _: None)
        return create(spec)  # type: ignore[no-any-return]

    def exec_module(self, module: ModuleType) -> None:
        loader, finder = self._loader, self._finder
        module.__loader__ = loader
        if module.__spec__ is not None:
            module.__spec__.loader = loader
        depth = getattr(finder.thread, "depth", 0)
        finder.thread.depth = depth + 1
        try:
            if hasattr(loader, "exec_module"):
                loader.exec_module(module)
            else:  # zipimport, up to CPython 3.9
                exec(loader.get_code(module.__name__), vars(module))
            finder.ran(module)
        finally:
            finder.thread.depth = depth
        if not depth:
            finder.done()


class _WatchedSpec(ModuleSpec):
    # importlib sets _initializing to False when it is done with a module; nothing else tells.
    @property
    def _initializing(self) -> bool:
        return True

    @_initializing.setter
    def _initializing(self, value: bool) -> None:
        if not value:
            self.__class__ = ModuleSpec  # type: ignore[assignment]
            self._initializing = False
            vars(self).pop("_dashscope_ws_patch")()


# A module that warns while it is imported means whoever imports it.
unseen(globals(), __name__)
