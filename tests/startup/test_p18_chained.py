"""P18: however the start-up file is reached, it raises nothing, leaves everything as it would be
without it, and works.

Each test starts real interpreters in which a ``sitecustomize`` of somebody else runs ours.
"""

from __future__ import annotations

import ast
import itertools
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
from environments import ROOT, clean, python

from dashscope_ws_patch.cli.run import SITEDIR

STARTUP = os.path.join(SITEDIR, "sitecustomize.py")

#: A tool's sitecustomize, which runs the next one, as it has been told where that is. Its names are
#: those that a start-up file might use too.
TOOL = '''"""The tool's."""
import os, sys
file = path = os.environ["NEXT"]
def text():
    with open(path, "rb") as opened:
        return opened.read()
spec = folder = name = find_spec = finder = finders = namespace = other = "the tool's"
{chain}
here = sorted(globals())
'''

_FOUND = "import importlib.util as u\nfound = u.spec_from_file_location({!r}, path)\n"
_MADE = "module = u.module_from_spec(found)\n"
_POPPED = "this = sys.modules.pop('sitecustomize')\n"
_QUIET = "import warnings; warnings.simplefilter('ignore')\n"
_BACK = "\nsys.modules['sitecustomize'] = this"
#: How tools run it.
CHAINS = {
    "exec": "exec(compile(text(), path, 'exec'))",
    "exec of a text": "exec(text().decode())",
    "exec in a function": "def run():\n    exec(compile(text(), path, 'exec'))\nrun()",
    "exec in a namespace": "exec(compile(text(), path, 'exec'), {})",
    "exec in a module of its own": """
exec(compile(text(), path, 'exec'), {'__name__': 'sitecustomize', '__file__': path})
""",
    "runpy": "import runpy; runpy.run_path(path)",
    "runpy by the same name": "import runpy; runpy.run_path(path, run_name='sitecustomize')",
    "importlib.util": _FOUND.format("sitecustomize") + _MADE + "found.loader.exec_module(module)",
    # PDM's PEP 582
    "importlib.util, popped": _POPPED
    + _FOUND.format("sitecustomize")
    + f"{_MADE}found.loader.exec_module(module){_BACK}",
    "importlib.util, in its place": _FOUND.format("sitecustomize")
    + f"{_MADE}{_POPPED}sys.modules['sitecustomize'] = module\n"
    + f"found.loader.exec_module(module)\nassert sys.modules['sitecustomize'] is module{_BACK}",
    "importlib.util, by another name": _FOUND.format("next_one")
    + f"{_MADE}sys.modules['next_one'] = module\nfound.loader.exec_module(module)",
    # newrelic-admin
    "load_module": _QUIET
    + _FOUND.format("sitecustomize")
    + "found.loader.load_module('sitecustomize')\nwarnings.resetwarnings()",
    "load_module, anew": _QUIET
    + _POPPED
    + _FOUND.format("sitecustomize")
    + f"found.loader.load_module('sitecustomize')\nwarnings.resetwarnings(){_BACK}",
    "twice": "for time in 1, 2:\n    exec(compile(text(), path, 'exec'))",
}

SEEN = """
import sys
s = sys.modules.get("sitecustomize")
module = s and (s.__doc__, sorted(vars(s)), getattr(s, "here", None))
ours = [f for f in sys.meta_path if hasattr(f, "dashscope_ws_patch")]
finders = [getattr(f, "__name__", type(f).__name__) for f in sys.meta_path if f not in ours]
print(ascii((module, sorted(sys.modules), sys.path, finders, len(ours))))
"""
PATCHED = """
import sys, dashscope
names = list(sys.modules)
early = names.index("dashscope_ws_patch") < names.index("dashscope.version")
a = sys.modules["dashscope_ws_patch._activation"]
print()
print(early and a.APPLIED in [row[1] for row in a.report()])
"""

CPYTHONS = [9, 10, 11, 12, 13, 14, 15]


def interpreter(minor: int) -> str:
    """A CPython 3.``minor`` of this machine with nothing installed that this test knows of."""
    found = python(minor)
    if found is None:
        pytest.skip(f"there is no CPython 3.{minor} here")
    return found


def tool(folder: Path, chain: str, minor: int = sys.version_info[1]) -> str:
    if "load_module(" in chain and minor >= 15:
        pytest.skip("CPython 3.15 has no load_module")
    folder.mkdir(exist_ok=True)
    (folder / "sitecustomize.py").write_text(TOOL.format(chain=chain), encoding="utf-8")
    return str(folder)


def start(
    code: str, *folders: object, base: str = sys.executable, flags: Any = (), **variables: str
) -> str:
    """What ``code`` prints in a new interpreter that has ``folders`` on PYTHONPATH.

    The interpreter must end well and say nothing on stderr.
    """
    done = subprocess.run(
        [base, *flags, "-c", code],
        env=clean(PYTHONPATH=os.pathsep.join(map(str, folders)), **variables),
        cwd=os.sep,  # -c would find the package in the working directory too
        capture_output=True,
        encoding="utf-8",
    )
    assert (done.stderr, done.returncode) == ("", 0)
    return done.stdout


def seen(*folders: object, **options: Any) -> Any:
    """What a program finds after its start, without our finder, and how many of ours there are."""
    *rest, ours = ast.literal_eval(start(SEEN, *folders, **options))
    return rest, ours


@pytest.fixture(scope="module")
def nothing(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What would be the next sitecustomize, were we not there."""
    file = tmp_path_factory.mktemp("nothing") / "sitecustomize.py"
    file.touch()
    return str(file)


@pytest.mark.parametrize("chain", CHAINS)
@pytest.mark.parametrize("minor", CPYTHONS)
def test_p18_a_tool_that_runs_it_finds_all_as_it_would_be(
    minor: int, chain: str, nothing: str, tmp_path: Path
) -> None:
    base, folder = interpreter(minor), tool(tmp_path / "tool", CHAINS[chain], minor)
    native, _none = seen(folder, base=base, NEXT=nothing)
    assert seen(folder, base=base, NEXT=STARTUP) == (native, 1)
    assert seen(folder, base=base, NEXT=STARTUP, DASHSCOPE_WS_PATCH="0") == (native, 0)


@pytest.mark.parametrize("chain", CHAINS)
def test_p18_run_by_a_tool_it_works(chain: str, tmp_path: Path) -> None:
    folder = tool(tmp_path / "tool", CHAINS[chain])
    done = start(PATCHED, folder, ROOT, flags=["-W", "ignore"], NEXT=STARTUP)
    assert done.endswith("\nTrue\n")


FLAGS = [
    ["-O"], ["-OO"], ["-B"], ["-b"], ["-s"], ["-P"], ["-W", "error"], ["-X", "dev"],
    ["-X", "utf8=0"], ["-X", "frozen_modules=off"],
]  # fmt: skip


@pytest.mark.parametrize(
    "flags, chain", [*zip(FLAGS, itertools.cycle(["exec", "importlib.util", "runpy"]))], ids=str
)
def test_p18_with_each_switch_of_the_interpreter(
    flags: list[str], chain: str, nothing: str, tmp_path: Path
) -> None:
    if flags == ["-P"] and sys.version_info < (3, 11):
        pytest.skip("-P came with CPython 3.11")
    folder = tool(tmp_path / "tool", CHAINS[chain])
    options: Any = {"flags": flags, "LC_ALL": "C", "PYTHONCOERCECLOCALE": "0"}
    native, _none = seen(folder, NEXT=nothing, **options)
    assert seen(folder, NEXT=STARTUP, **options) == (native, 1)
    without, _none = seen(**options)
    assert seen(SITEDIR, **options)[1] == 1
    assert [without[0], without[1]] == [seen(SITEDIR, **options)[0][n] for n in (0, 1)]


def test_p18_importtime_shows_it_and_goes_on() -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", PATCHED],
        env=clean(PYTHONPATH=f"{SITEDIR}{os.pathsep}{ROOT}"),
        cwd=os.sep,
        capture_output=True,
        text=True,
    )
    assert done.stdout.endswith("\nTrue\n"), done
    assert "dashscope_ws_patch._seams" in done.stderr


# Where it lies


def _copied(folder: Path, base: str) -> str:
    shutil.copy(STARTUP, folder)
    return str(folder)


def _sourceless(folder: Path, base: str) -> str:
    # Compiled in a place that is gone.
    built = folder / "built.py"
    shutil.copy(STARTUP, built)
    code = "import py_compile, sys; py_compile.compile(sys.argv[1], cfile=sys.argv[2])"
    subprocess.run([base, "-c", code, built, folder / "sitecustomize.pyc"], check=True, env=clean())
    built.unlink()
    return str(folder)


def _zipped(folder: Path, base: str) -> str:
    with zipfile.ZipFile(folder / "library.zip", "w") as archive:
        archive.write(STARTUP, "sitecustomize.py")
    return str(folder / "library.zip")


def _zipped_compiled(folder: Path, base: str) -> str:
    _sourceless(folder, base)
    with zipfile.ZipFile(folder / "library.zip", "w") as archive:
        archive.write(folder / "sitecustomize.pyc", "sitecustomize.pyc")
    (folder / "sitecustomize.pyc").unlink()
    return str(folder / "library.zip")


def _chinese(folder: Path, base: str) -> str:
    return _copied(_made(folder / "业务 空间 'x\""), base)


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _read_only(folder: Path, base: str) -> str:
    _copied(folder, base)
    folder.chmod(0o555)
    return str(folder)


PLACES = [_copied, _sourceless, _zipped, _zipped_compiled, _chinese, _read_only]


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.__name__)
@pytest.mark.parametrize("minor", CPYTHONS)
def test_p18_wherever_it_lies(minor: int, place: Any, tmp_path: Path) -> None:
    base = interpreter(minor)
    entry, next_one = place(_made(tmp_path / "ours"), base), _made(tmp_path / "next")
    (next_one / "sitecustomize.py").write_text("here = '!'\n")
    for rest in (), (next_one,):
        (module, modules, _path, finders), _none = seen(*rest, base=base)
        found, ours = seen(entry, *rest, base=base)
        assert (found[0], found[1], found[3], ours) == (module, modules, finders, 1)
        assert seen(entry, *rest, base=base, LC_ALL="C", PYTHONUTF8="0")[1] == 1


@pytest.mark.parametrize("name", ["usercustomize", "a_name_of_its_own"])
def test_p18_copied_to_another_name_it_is_a_module_like_others(name: str, tmp_path: Path) -> None:
    shutil.copy(STARTUP, tmp_path / f"{name}.py")
    code = f"try:\n    import {name}\nexcept ModuleNotFoundError as error:\n    print(error.name)\n"
    said = start(f"{code}{PATCHED}", tmp_path, ROOT, flags=["-W", "ignore"])
    assert said.endswith("\nTrue\n") and ("usercustomize" in said) == (name == "usercustomize")


def test_p18_imported_by_its_full_name_it_is_a_module_like_others() -> None:
    """As tools do that import all that a package has."""
    said = start(
        f"import dashscope_ws_patch.site.sitecustomize\n{PATCHED}", ROOT, flags=["-Wignore"]
    )
    assert said.endswith("\nTrue\n")


# Neighbours


_OFF_PATH = "sys.path.remove(os.path.dirname(__file__))\n"
#: How tools look for it.
FINDS = {
    # ddtrace-run
    "import": f"""
{_OFF_PATH}{_POPPED}
try:
    import sitecustomize
except ImportError:
    sys.modules["sitecustomize"] = this
""",
    # newrelic-admin
    "load_module": f"""
{_OFF_PATH}{_QUIET}
from importlib.machinery import PathFinder
found = PathFinder.find_spec("sitecustomize", sys.path)
if found:
    found.loader.load_module("sitecustomize")
warnings.resetwarnings()
""",
    # PDM's PEP 582
    "exec_module": f"""
{_OFF_PATH}{_POPPED}
import importlib.util as u
found, module = u.find_spec("sitecustomize"), None
if found:
    module = u.module_from_spec(found)
    found.loader.exec_module(module)
{_BACK}
""",
}
COUNTS = "import os; os.environ['RUNS'] = os.environ.get('RUNS', '') + 'x'\nhere = 'next'\n"
RUNS = """
import os, sys
print(os.environ.get("RUNS", ""), getattr(sys.modules.get("sitecustomize"), "here", None))
"""


@pytest.mark.parametrize("finds", FINDS)
@pytest.mark.parametrize("off", ["", "0"])
def test_p18_a_tool_that_looks_for_the_next_one_runs_it_once(
    finds: str, off: str, tmp_path: Path
) -> None:
    folder, next_one = tool(tmp_path / "tool", FINDS[finds]), _made(tmp_path / "next")
    options = {"NEXT": "", "DASHSCOPE_WS_PATCH": off}
    native = start(RUNS, folder, **options)
    assert (
        start(RUNS, folder, SITEDIR, **options) == start(RUNS, SITEDIR, folder, **options) == native
    )
    (next_one / "sitecustomize.py").write_text(COUNTS)
    native = start(RUNS, folder, next_one, **options)
    assert native.startswith("x ")
    assert start(RUNS, folder, SITEDIR, next_one, **options) == native
    assert start(RUNS, SITEDIR, folder, next_one, **options) == native


def test_p18_a_tool_that_leaves_itself_out_of_the_search_is_not_run_again(tmp_path: Path) -> None:
    chain = (
        "from importlib.machinery import PathFinder as f; import importlib.util as u\n"
        "rest = [entry for entry in sys.path if entry != os.path.dirname(__file__)]\n"
        "found = f.find_spec('sitecustomize', rest)\n"
        "os.environ['RUNS'] = os.environ.get('RUNS', '') + 't'\n"
        "if found: found.loader.exec_module(u.module_from_spec(found))"
    )
    folder = tool(tmp_path / "tool", chain)
    assert start(RUNS, folder, NEXT="").split()[0] == "t"
    assert start(RUNS, SITEDIR, folder, NEXT="").split()[0] == "t"
    assert start(RUNS, folder, SITEDIR, NEXT="").split()[0] == "t"
