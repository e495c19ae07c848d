"""Waiting in the import system: a module is handed over right after its code has run, before
anybody can take a name from it by value.

Nothing is imported for that.
"""

from __future__ import annotations

import sys
import threading
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, Callable


class Finder:
    """Finds the modules that are ``wanted`` as everybody else would, and hands them over when their
    code has run, with the names of the modules that began to run meanwhile. ``done`` is called when
    an import is through that may have run several of them."""

    def __init__(
        self,
        wanted: Callable[[str], bool],
        ran: Callable[[ModuleType, list[str]], None],
        done: Callable[[], None],
    ) -> None:
        self.wanted, self.ran, self.done = wanted, ran, done
        #: The modules in the order in which their code began to run.
        self.begun: list[str] = []
        self._thread = threading.local()

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        # Another hook on meta_path may ask all finders again, and so us: the first time counts.
        if not self.wanted(name) or getattr(self._thread, "asking", False):
            return None
        self._thread.asking = True
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
            self._thread.asking = False

    def execute(self, loader: Any, module: ModuleType) -> None:
        """Run the code of ``module``, and hand it over."""
        begun, depth = len(self.begun), getattr(self._thread, "depth", 0)
        self.begun.append(module.__name__)
        self._thread.depth = depth + 1
        try:
            if hasattr(loader, "exec_module"):
                loader.exec_module(module)
            else:  # zipimport, up to CPython 3.9
                exec(loader.get_code(module.__name__), vars(module))
            self.ran(module, self.begun[begun:])
        finally:
            self._thread.depth = depth
        if not depth:
            self.done()

    def is_running(self, module: Any) -> bool:
        """Whether the code of a module that was not found by us is still to run, or running: it is
        handed over then."""
        if type(module).__name__ == "_LazyModule":  # a look at it would run it
            spec = object.__getattribute__(module, "__spec__")
            if not isinstance(spec.loader, Loader):
                spec.loader = Loader(spec.loader, self)
            return True
        spec = getattr(module, "__spec__", None)
        if not getattr(spec, "_initializing", False):
            return False
        if type(spec) is ModuleSpec:
            spec.__class__ = _WatchedSpec
            vars(spec)["_dashscope_ws_patch"] = lambda: self.ran(module, list(sys.modules))
        return True


class Loader:
    """The module's own loader, for the moment in which the module is executed."""

    def __init__(self, loader: Any, finder: Finder) -> None:
        self._loader, self._finder = loader, finder

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # a copy is asked before it has any
            raise AttributeError(name)
        return getattr(self._loader, name)

    def __deepcopy__(self, memo: Any) -> Loader:
        return self

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        create = getattr(self._loader, "create_module", None)
        created: ModuleType | None = create and create(spec)
        return created

    def exec_module(self, module: ModuleType) -> None:
        module.__loader__ = self._loader
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        self._finder.execute(self._loader, module)


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


# A module that warns while it is imported means whoever imports it. The warnings module counts the
# frames of the import system for nothing, and knows them by the name of their file.
for _method in (Loader.exec_module, Finder.execute):
    try:
        _code: Any = _method
        _code.__code__ = _code.__code__.replace(co_filename=f"{__file__} (importlib._bootstrap)")
    except (AttributeError, TypeError):  # compiled, by Nuitka or Cython
        pass
