"""P9: when and how the package and the SDK are imported makes no difference.

Each test runs in a process of its own, which prints the workspaces of the requests that it sent.
"""

from __future__ import annotations

import ast
import importlib.util
import os
import subprocess
import sys
import textwrap
import zipfile
from pathlib import Path

import pytest
from environments import ROOT

SITE = ROOT / "dashscope_ws_patch" / "site"

#: What a program does after its imports: requests of three kinds, and no seam left behind.
CHECK = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
import dashscope_ws_patch
from dashscope_ws_patch import _activation, use_workspace
from dashscope_ws_patch.selftest.loopback import Loopback, redirect
import dashscope
from dashscope.client.base_api import BaseAsyncApi
dashscope.api_key = "sk-loopback"
with Loopback() as loopback, redirect(loopback.port), use_workspace("ws_a"):
    base = loopback.address("dashscope.aliyuncs.com", "/api/v1")
    dashscope.base_http_api_url = base
    Generation = sys.modules["dashscope.aigc.generation"].Generation
    Generation.call("m", "hi")
    dashscope.base_websocket_api_url = loopback.address(
        "dashscope.aliyuncs.com", "/api-ws/v1/inference", True
    )
    Generation.call("m", "hi", api_protocol="websocket")
    BaseAsyncApi.fetch("task-1")
    found = [request.workspaces for request in loopback.drain()]
states = {{state for seam, state, reason in _activation.report()}}
failed = sorted(states - {{"applied", "absent", "waiting"}})
print(">", (found, failed, dashscope_ws_patch.is_patched()))
"""

#: Calls ``middle`` right before the code of a module of the SDK runs.
MIDDLE = """
import importlib.abc, importlib.machinery, sys
done = []
class Loader(importlib.machinery.SourceFileLoader):
    def exec_module(self, module):
        done.append(middle())
        super().exec_module(module)
class Hook(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == "dashscope.client.base_api":
            spec = importlib.machinery.PathFinder.find_spec(name, path)
            spec.loader = Loader(name, spec.origin)
            return spec
sys.meta_path.insert(0, Hook())
"""

ORDERS = {
    "before": "import dashscope_ws_patch; import dashscope",
    "after": "import dashscope; import dashscope_ws_patch",
    "after, from import": """
        from dashscope import Generation
        from dashscope.client.base_api import BaseApi
        import dashscope_ws_patch
    """,
    "between": """
        import dashscope.common.constants
        import dashscope_ws_patch
        from dashscope.audio.asr import Transcription
    """,
    "importlib": """
        import importlib
        importlib.import_module("dashscope_ws_patch")
        importlib.import_module("dashscope.client.base_api")
    """,
    "__import__": "__import__('dashscope.aigc.generation'); __import__('dashscope_ws_patch')",
    "twice": """
        import dashscope_ws_patch
        dashscope_ws_patch.patch()
        import dashscope
        dashscope_ws_patch.patch()
        import importlib; importlib.reload(dashscope_ws_patch)
    """,
    "off and on": """
        import os; os.environ["DASHSCOPE_WS_PATCH"] = "off"
        import dashscope_ws_patch, dashscope
        assert not dashscope_ws_patch.is_patched()
        dashscope_ws_patch.patch()
    """,
    "in the middle, from below": """
        {middle}
        def middle():
            import dashscope_ws_patch
        import dashscope
        assert done
    """,
    "in the middle, from a thread": """
        {middle}
        import threading
        def middle():
            def late():
                import dashscope_ws_patch
            thread = threading.Thread(target=late)
            thread.start()
            thread.join()
        import dashscope
        assert done
    """,
    "dropped and imported anew": """
        import sys, dashscope, dashscope_ws_patch
        for _ in range(2):
            for name in [name for name in sys.modules if name.split(".")[0] == "dashscope"]:
                del sys.modules[name]
            import dashscope
    """,
    "one module dropped": """
        import sys, dashscope, dashscope_ws_patch
        del sys.modules["dashscope.api_entities.api_request_factory"]
        del sys.modules["dashscope.client.base_api"], sys.modules["dashscope.aigc.generation"]
        import dashscope.client.base_api, dashscope.aigc.generation
    """,
    "reloaded": """
        import importlib, dashscope, dashscope_ws_patch
        import dashscope.api_entities.api_request_factory, dashscope.client.base_api
        importlib.reload(dashscope.api_entities.api_request_factory)
        importlib.reload(dashscope.client.base_api)
        importlib.reload(dashscope.aigc.generation)
    """,
    "threads at once": """
        import importlib, sys, threading
        sys.setswitchinterval(1e-5)
        names = ["dashscope_ws_patch", "dashscope"] * 8
        barrier, failed = threading.Barrier(len(names)), []
        def load(name):
            barrier.wait()
            try:
                importlib.import_module(name)
            except BaseException as error:
                failed.append(error)
        threads = [threading.Thread(target=load, args=(name,)) for name in names]
        [thread.start() for thread in threads]
        [thread.join(600) for thread in threads]
        assert not failed, failed
    """,
    "lazily": """
        import importlib.util, sys, dashscope_ws_patch
        import dashscope.common.constants
        name = "dashscope.aigc.conversation"
        del sys.modules[name]
        spec = importlib.util.find_spec(name)
        spec.loader = loader = importlib.util.LazyLoader(spec.loader)
        module = sys.modules[name] = importlib.util.module_from_spec(spec)
        loader.exec_module(module)
        assert module.Conversation
    """,
    "a failed import": """
        import importlib.abc, sys, dashscope_ws_patch
        class Hook(importlib.abc.MetaPathFinder):
            def find_spec(self, name, path, target=None):
                if name == "dashscope.aigc.generation":
                    sys.meta_path.remove(self)
                    raise ImportError("for once")
        sys.meta_path.insert(0, Hook())
        try:
            import dashscope
        except ImportError:
            pass
        else:
            raise AssertionError
        for name in [name for name in sys.modules if name.split(".")[0] == "dashscope"]:
            del sys.modules[name]
        import dashscope
    """,
}


def run(code: str, warnings: str = "ignore", **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", warnings, "-c", code],
        env={**os.environ, "PYTHONPATH": str(ROOT), **variables},
        capture_output=True,
        text=True,
        timeout=1200,
    )


def _program(order: str) -> str:
    return textwrap.dedent(ORDERS[order]).replace("{middle}", MIDDLE)


@pytest.mark.parametrize("order", ORDERS)
def test_p9_order_does_not_matter(order: str) -> None:
    done = run(_program(order) + CHECK, DASHSCOPE_WS_PATCH_STRICT="1")
    assert done.returncode == 0, done.stderr
    (line,) = [line[2:] for line in done.stdout.splitlines() if line.startswith("> ")]
    assert ast.literal_eval(line) == ([["ws_a"]] * 3, [], True)


#: Finders that are put in front of ours, and ask Python's own instead of all the others.
FINDERS = {
    "ten lines": """
        class Hook:
            def find_spec(self, name, path=None, target=None):
                if name.startswith("dashscope."):
                    return importlib.machinery.PathFinder.find_spec(name, path, target)
        sys.meta_path.insert(0, Hook())
    """,
    "ten lines, for one module": """
        class Hook:
            def find_spec(self, name, path=None, target=None):
                if name == "dashscope.client.base_api":
                    return importlib.machinery.PathFinder.find_spec(name, path, target)
        sys.meta_path.insert(0, Hook())
    """,
    "typeguard": """
        import typeguard
        typeguard.config.typecheck_fail_callback = lambda *about: None  # the SDK's own mistakes
        typeguard.install_import_hook("dashscope")
    """,
}


@pytest.mark.parametrize("by", ["scope", "environment"])
@pytest.mark.parametrize("finder", FINDERS)
def test_p9_a_finder_in_front_that_does_not_ask_ours(finder: str, by: str) -> None:
    if finder == "typeguard":
        pytest.importorskip("typeguard")
    program = "import importlib.machinery, sys, dashscope_ws_patch\n"
    program += textwrap.dedent(FINDERS[finder]) + "import dashscope\n"
    check, variables = CHECK, {}
    if by == "environment":
        check = CHECK.replace('use_workspace("ws_a")', "contextlib.nullcontext()")
        program += "import contextlib\n"
        variables["DASHSCOPE_WORKSPACE"] = "ws_a"
    done = run(program + check, "default::RuntimeWarning", **variables)
    assert done.returncode == 0, done.stderr
    (line,) = [line[2:] for line in done.stdout.splitlines() if line.startswith("> ")]
    assert ast.literal_eval(line) == ([["ws_a"]] * 3, [], True), done.stderr


@pytest.mark.parametrize("by", ["import", "start-up file"])
def test_p9_an_sdk_in_an_archive(by: str, tmp_path: Path) -> None:
    """Up to CPython 3.9 zipimport knows only load_module()."""
    (sdk,) = importlib.util.find_spec("dashscope").submodule_search_locations  # type: ignore[union-attr,misc]
    with zipfile.ZipFile(tmp_path / "sdk.zip", "w") as archive:
        for file in Path(sdk).rglob("*"):
            if file.suffix not in (".pyc", ".so"):
                archive.write(file, file.relative_to(Path(sdk).parent))
    program = f"""
import sys
sys.path.insert(0, {str(tmp_path / "sdk.zip")!r})
{"import dashscope_ws_patch" if by == "import" else ""}
import dashscope, zipimport
assert "dashscope_ws_patch" in sys.modules
for module in (dashscope, sys.modules["dashscope.client.base_api"]):
    assert "sdk.zip" in module.__file__, module
    assert type(module.__loader__) is zipimport.zipimporter is type(module.__spec__.loader)
assert "sdk.zip" in dashscope.__path__[0]
"""
    path = [str(ROOT), *([] if by == "import" else [str(SITE)])]
    done = run(program + CHECK, PYTHONPATH=os.pathsep.join(path), DASHSCOPE_WS_PATCH_STRICT="1")
    assert done.returncode == 0, done.stderr
    (line,) = [line[2:] for line in done.stdout.splitlines() if line.startswith("> ")]
    assert ast.literal_eval(line) == ([["ws_a"]] * 3, [], True)


#: The package dropped from sys.modules, by a suite that drops all that begins with "dashscope".
DROP = """
for name in [name for name in sys.modules if name.startswith({prefix!r})]:
    del sys.modules[name]
"""


@pytest.mark.parametrize("prefix", ["dashscope_ws_patch", "dashscope"])
@pytest.mark.parametrize("sdk", ["before", "after"])
def test_p9_the_package_itself_is_dropped_and_imported_anew(prefix: str, sdk: str) -> None:
    """The second copy takes over from the first; who holds names of the first goes on with them."""
    program = """
    import contextlib, sys, dashscope_ws_patch
    first = dashscope_ws_patch
    {before}
    with first.use_workspace("ws_old"):
        pass
    {drop}
    {after}
    import dashscope, dashscope_ws_patch
    assert dashscope_ws_patch is not first
    assert dashscope_ws_patch.is_patched() and not first.is_patched()
    from concurrent.futures import ThreadPoolExecutor
    with ThreadPoolExecutor(1) as pool, first.use_workspace("ws_a"):
        assert dashscope_ws_patch.get_workspace() == "ws_a"
        assert pool.submit(first.get_workspace).result() == "ws_a"
        {check}
    {check}
    dashscope_ws_patch.unpatch()
    assert not [each for each in sys.meta_path if "dashscope" in type(each).__module__]
    Generation = sys.modules["dashscope.aigc.generation"].Generation
    for function in (Generation.call, BaseAsyncApi.fetch, ThreadPoolExecutor.submit):
        assert "dashscope_ws_patch" not in function.__code__.co_filename, function
    assert sys.modules["dashscope.client.base_api"].requests is sys.modules["requests"]
    """
    parts = {
        "before": "import dashscope" if sdk == "before" else "",
        "drop": DROP.format(prefix=prefix),
        "after": "import dashscope" if sdk == "after" else "",
    }
    program = textwrap.dedent(program)
    program = program.replace("    {check}", textwrap.indent(CHECK.replace("ws_a", "ws_x"), "    "))
    program = program.replace("{check}", CHECK)
    for name, text in parts.items():
        program = program.replace(f"{{{name}}}", text)
    done = run(program, DASHSCOPE_WS_PATCH_STRICT="1")
    assert done.returncode == 0, done.stderr
    lines = [line[2:] for line in done.stdout.splitlines() if line.startswith("> ")]
    assert [ast.literal_eval(line) for line in lines] == [
        ([[name]] * 3, [], True) for name in ("ws_x", "ws_a")
    ]


def test_p9_a_module_that_is_being_searched() -> None:
    """Its spec is found already, by others; it is not yet in sys.modules."""
    program = """
    import importlib.abc, sys
    class Hook(importlib.abc.MetaPathFinder):
        def find_spec(self, name, path, target=None):
            if name == "dashscope.client.base_api":
                import dashscope_ws_patch
    sys.meta_path.insert(0, Hook())
    import dashscope
    """
    done = run(textwrap.dedent(program) + CHECK)
    assert done.returncode == 0, done.stderr
    (line,) = [line[2:] for line in done.stdout.splitlines() if line.startswith("> ")]
    assert ast.literal_eval(line)[0] == [["ws_a"]] * 3


def test_p9_patching_while_others_import() -> None:
    """sys.modules grows and shrinks in other threads at any time."""
    done = run(
        textwrap.dedent(
            """
            import sys, threading
            from dashscope_ws_patch import patch, unpatch
            sys.setswitchinterval(1e-6)
            stop = threading.Event()
            def load():
                while not stop.is_set():
                    for index in range(200):
                        sys.modules[f"module_{index}"] = sys
                    for index in range(200):
                        del sys.modules[f"module_{index}"]
            thread = threading.Thread(target=load)
            thread.start()
            try:
                for _ in range(300):
                    unpatch()
                    patch()
            finally:
                stop.set()
                thread.join()
            """
        )
    )
    assert done.returncode == 0, done.stderr


def test_p9_patching_twice_patches_once() -> None:
    import dashscope.client.base_api as base_api

    import dashscope_ws_patch

    before = dict(vars(base_api.BaseAsyncApi))
    dashscope_ws_patch.patch()
    assert dict(vars(base_api.BaseAsyncApi)) == before


def test_p9_both_orders_patch_the_same() -> None:
    code = """
    import sys
    {imports}
    import importlib, pkgutil
    from dashscope_ws_patch.selftest.surfaces import surfaces
    surfaces()
    {after}
    found = []
    for name, module in sorted(sys.modules.items()):
        if name.split(".")[0] == "dashscope":
            for key, value in sorted(vars(module).items()):
                owners = [(key, value)]
                if isinstance(value, type) and value.__module__ == name:
                    owners += [(key + "." + own, of) for own, of in vars(value).items()]
                for path, of in owners:
                    code = getattr(getattr(of, "__func__", of), "__code__", None)
                    kind = type(of).__module__, getattr(of, "__module__", "")
                    if "dashscope_ws_patch" in str(kind) + getattr(code, "co_filename", ""):
                        found.append(name + ":" + path)
    print(">", found)
    """
    found = []
    for imports, after in (
        ("import dashscope_ws_patch", ""),
        ("import os; os.environ['DASHSCOPE_WS_PATCH'] = '0'; import dashscope_ws_patch",
         "dashscope_ws_patch.patch()"),
    ):  # fmt: skip
        done = run(textwrap.dedent(code).format(imports=imports, after=after))
        assert done.returncode == 0, done.stderr
        found += [line for line in done.stdout.splitlines() if line.startswith("> ")]
    before, later = map(set, (ast.literal_eval(line[2:]) for line in found))
    assert before and before == later
