# Start-up: wait for the import of dashscope, and load dashscope_ws_patch before it.
#
# Python runs this file at every start because of its name, where its folder is on sys.path; what
# ``install`` writes runs it by its path, and so do other tools, each in a namespace of its own. All
# that it is made of stays inside one function, which its own frame tells who it is, and nothing but
# the finder is left behind: not even a docstring, which would replace the tool's. It imports
# nothing that is not loaded by then, not even ``__future__``.


def _dashscope_ws_patch():
    # type: () -> None
    # What the finder holds lives on into the interpreter's exit, and would take longer to clear
    # there than all this takes to run: sys and strings, nothing of the import system.
    import sys
    from os import environ
    from os.path import dirname

    # What functions take and return stands in comments: annotations are made at each start.
    TYPE_CHECKING = False
    if TYPE_CHECKING:
        from collections.abc import Iterator  # noqa: F401
        from importlib.machinery import ModuleSpec  # noqa: F401
        from typing import Any

    def finder(name, path=None, target=None):
        # type: (str, object, object) -> ModuleSpec | None
        """Find what is waited for as the finders after this one do; leave the rest alone."""
        if name not in waited:
            return None
        finders: list[Any] = sys.meta_path
        for after in finders[finders.index(finder) + 1 :] if finder in finders else []:
            found: Any = after.find_spec(name, path, target) if hasattr(after, "find_spec") else 0
            if found:
                # Nothing is imported before the loader is called: finders are called with the lock
                # of all imports held, and what the package needs may be half imported by another
                # thread.
                if hasattr(found.loader, "exec_module") or hasattr(found.loader, "get_code"):
                    found.loader = preceded(found.loader)
                return found  # type: ignore[no-any-return]
        return None

    def preceded(loader):
        # type: (Any) -> Any
        """Return what is like ``loader``, but loads the package before the module runs."""

        class Loader:
            def __getattr__(self, name):
                # type: (str) -> Any
                return getattr(loader, name)

            def create_module(self, spec):
                # type: (ModuleSpec) -> Any
                return loader.create_module(spec) if hasattr(loader, "create_module") else None

            def exec_module(self, module):
                # type: (Any) -> None
                module.__loader__ = module.__spec__.loader = loader
                load_package()
                if hasattr(loader, "exec_module"):
                    loader.exec_module(module)
                else:  # zipimport, up to CPython 3.9
                    exec(loader.get_code(module.__name__), vars(module))

        # Warnings count the frames of the import system for nothing, as those of no other file.
        code = Loader.exec_module.__code__.replace(co_filename=f"{file} (importlib._bootstrap)")
        Loader.exec_module.__code__ = code
        return Loader()

    def load_package():
        # type: () -> None
        """Leave the import system, and load the package; whatever fails, dashscope is imported."""
        from _frozen_importlib import _load as load  # type: ignore[attr-defined]
        from _frozen_importlib_external import PathFinder
        from contextlib import suppress
        from os.path import dirname

        # A new list: a thread that walks the old one for an import of its own must miss no finder.
        finders: list[Any] = sys.meta_path
        sys.meta_path = [other for other in finders if other is not finder]
        try:
            try:
                # A mere folder of that name, or what pip has left of one, has no patch.
                from dashscope_ws_patch import patch  # noqa: F401
            except ImportError as error:
                if error.name != "dashscope_ws_patch":
                    raise
                # The environment has none: the one that this file lies in lends its package, and no
                # more. A copy that has outlived the package has none to lend, and is silent.
                spec = PathFinder.find_spec(error.name, [dirname(dirname(folder))])
                if spec and spec.origin and dirname(spec.origin) == dirname(folder):
                    load(spec)
                    from dashscope_ws_patch.site import lent

                    lent.check()
        except Exception as error:
            with suppress(Exception):  # there may be no stderr
                sys.stderr.write(f"dashscope_ws_patch is not active: {error!r}\n")

    def neighbour(name):
        # type: (str) -> ModuleSpec | None
        """Find the module ``name`` that Python would have run without this one."""
        from _frozen_importlib_external import PathFinder
        from _imp import extension_suffixes
        from os import F_OK, access

        # The folder itself may stand there twice.
        rest = sys.path[sys.path.index(folder) :] if folder in sys.path else []
        rest = [entry for entry in rest if entry != folder]
        # Python's own search lists each folder, which takes more than all the rest of this file.
        names = [f"/{name}{suffix}" for suffix in ("", ".py", ".pyc", *extension_suffixes())]
        for position, entry in enumerate(rest):
            is_folder = access(f"{entry}/", F_OK)
            if any(access(f"{entry}{file}", F_OK) for file in (names if is_folder else ("",))):
                return PathFinder.find_spec(name, rest[position:])
        return None

    def callers():
        # type: () -> Iterator[Any]
        """The code of each frame that this file is run from, the innermost first."""
        frame = module.f_back
        while frame:  # which makes an object of each frame, and so walks no further than it must
            yield frame.f_code
            frame = frame.f_back

    module = sys._getframe(1)
    namespace = module.f_globals
    by = module.f_back.f_code.co_filename if module.f_back else ""
    # Who compiled this file may have known it by another name; who runs it with exec may have
    # another file's name in the namespace.
    file: str = namespace["__file__"] if by.startswith("<frozen ") else module.f_code.co_filename
    folder = dirname(file)
    waited: tuple[str, ...] = ("dashscope",)

    off = environ.get("DASHSCOPE_WS_PATCH", "").strip().lower() in ("0", "off", "false", "no")
    if not off and file not in [getattr(f, "dashscope_ws_patch", None) for f in sys.meta_path]:
        this: Any = finder  # to make a class would take a third as long as all the rest
        this.find_spec = finder
        this.dashscope_ws_patch = file
        sys.meta_path.insert(0, this)
        # What is unknown, the package warns of.
        asked = environ.get("DASHSCOPE_WS_PATCH_CLIENTS", "").strip().lower()
        if asked not in ("", "0", "off", "false", "no"):
            waited += "requests", "httpx", "httpx2", "aiohttp", "urllib3", "urllib.request"
            waited += "websocket", "websockets"
            if any(name in sys.modules for name in waited):  # a .pth file has been first
                load_package()

    # As what Python, or a tool in its place, looks for by name, this gives way to the next of the
    # name: everybody finds what there would be without this file.
    name, spec = namespace.get("__name__"), namespace.get("__spec__")
    if getattr(spec, "origin", "") != file or name not in ("sitecustomize", "usercustomize"):
        return
    other: Any = neighbour(name)
    zipped = by == "<frozen zipimport>"  # in CPython 3.9 alone this runs what is imported
    if zipped or getattr(spec, "_initializing", False):
        if other:
            from _frozen_importlib import _load as load  # type: ignore[attr-defined]

            del sys.modules[name]
            load(other)
        else:
            # The statement fails, as it would; a tool has found this file, and gets it.
            for code in callers():
                if code.co_filename == "<frozen importlib._bootstrap>":
                    if code.co_name == "_find_and_load":
                        raise ModuleNotFoundError(f"No module named {name!r}", name=name)
                    if code.co_name == "_load":
                        break
    elif other and other.loader and other.origin not in [c.co_filename for c in callers()]:
        # A tool holds this module, in sys.modules or not, and is not the next one itself: let what
        # it holds be the next.
        from _frozen_importlib import module_from_spec

        namespace.update(vars(module_from_spec(other)))
        exec(other.loader.get_code(name), namespace)


_dashscope_ws_patch()
del _dashscope_ws_patch
