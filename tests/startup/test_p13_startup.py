"""P11 and P13 at interpreter start: the start-up file waits, and is not noticed otherwise.

Each test starts real interpreters with the start-up file's folder on PYTHONPATH, and compares with
what a start without it does.
"""

from __future__ import annotations

import ast
import os
import py_compile
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any, Callable

import pytest
from environments import ROOT, clean

from dashscope_ws_patch.cli.run import SITEDIR

STARTUP = Path(SITEDIR, "sitecustomize.py")

#: An interpreter that has neither the SDK nor this package, and runs usercustomize.
# Up to CPython 3.10 it is the virtual environment's own.
BASE = sys._base_executable if sys.version_info >= (3, 11) else os.path.realpath(sys.executable)


def start(
    code: str,
    *folders: object,
    python: str = sys.executable,
    package: bool = True,
    **variables: str,
) -> subprocess.CompletedProcess[str]:
    """Run ``code`` in a new interpreter, with ``folders`` and the package on PYTHONPATH."""
    path = os.pathsep.join(map(str, [*folders, *([ROOT] if package else [])]))
    return subprocess.run(
        [python, "-W", "ignore", "-c", code],
        env=clean(PYTHONPATH=path, **variables),
        cwd=os.sep,  # -c would find the package in the working directory too
        capture_output=True,
        text=True,
        timeout=1200,
    )


def printed(code: str, *folders: object, **options: Any) -> Any:
    """The Python value that ``code`` prints last; whatever it says on stderr is an error."""
    done = start(code, *folders, **options)
    assert (done.stderr, done.returncode) == ("", 0)
    return ast.literal_eval(done.stdout.splitlines()[-1])


MODULES = "import sys; print(sorted(sys.modules))"
#: Prints whether seams are applied, and the package came before the modules that have them.
PATCHED = (
    "import sys\nnames = list(sys.modules)\na = sys.modules['dashscope_ws_patch._activation']\n"
    "early = names.index('dashscope_ws_patch') < names.index('dashscope.version')\n"
    "print()\nprint(early and a.APPLIED in [row[1] for row in a.report()])"
)
USED = "import dashscope; print(bool(dashscope.__file__))"
FINDERS = "import sys; print([getattr(f, '__name__', type(f).__name__) for f in sys.meta_path])"


def test_p13_an_idle_start_loads_nothing() -> None:
    assert printed(MODULES, SITEDIR) == printed(MODULES)


def test_p13_other_imports_load_nothing() -> None:
    code = "import json, requests, importlib.metadata, dashscope_nothing_of_the_kind as x"
    code = f"try:\n    {code}\nexcept ImportError:\n    pass\n{MODULES}"
    assert printed(code, SITEDIR) == printed(code)


def test_p13_looking_for_the_sdk_loads_nothing() -> None:
    """As programs do that ask whether it is installed."""
    code = f"import importlib.util; spec = importlib.util.find_spec('dashscope'); {MODULES}"
    assert printed(code, SITEDIR) == printed(code)
    code = (
        "import importlib.util; s = importlib.util.find_spec('dashscope'); print(({}, {}))".format(
            "s.origin, s.submodule_search_locations", "s.loader.path, s.loader.is_package(s.name)"
        )
    )
    assert printed(code, SITEDIR) == printed(code)


def test_p13_what_is_found_is_as_it_was() -> None:
    code = "import dashscope as d; print((type(d.__loader__).__name__, d.__spec__.loader is {}))"
    code = code.format("d.__loader__, type(d.__spec__).__name__, d.__file__, d.__path__")
    assert printed(code, SITEDIR) == printed(code)


@pytest.mark.parametrize("statement", ["import dashscope", "import dashscope.assistants as x"])
def test_p11_what_the_sdk_warns_of_while_imported_points_where_it_did(statement: str) -> None:
    """The Assistants of 2.x do; a warning is shown, or not, for the place that it points to."""
    code = (
        "import warnings\nwith warnings.catch_warnings(record=True) as all:\n"
        f"    warnings.simplefilter('always')\n    {statement}\n"
        "print(sorted({(w.filename, w.lineno) for w in all if 'Assistants' in str(w.message)}))"
    )
    native = printed(code)
    assert printed(code, SITEDIR) == native
    assert printed(f"import dashscope_ws_patch\n{code}") == [
        (file, line + (file == "<string>")) for file, line in native
    ]


def test_p13_the_finders_stand_as_they_stood() -> None:
    assert printed(FINDERS, SITEDIR) == ["finder", *printed(FINDERS)]
    woken = f"import dashscope; {FINDERS}"
    assert printed(woken, SITEDIR) == ["Finder", *printed(woken)]


@pytest.mark.parametrize(
    "statement",
    [
        "import dashscope",
        "import dashscope.common.error",
        "from dashscope import Generation",
        "import importlib; importlib.import_module('dashscope.aigc.generation')",
        "import runpy; runpy.run_module('dashscope.version')",
        "import threading; t = threading.Thread(target=__import__, args=['dashscope']); t.start();"
        "t.join()",
    ],
)
def test_p9_any_import_of_the_sdk_wakes_it(statement: str) -> None:
    done = start(f"{statement}\n{PATCHED}", SITEDIR)
    assert done.stdout.endswith("\nTrue\n"), done


def test_p13_the_package_waits_when_imported_itself() -> None:
    code = "import sys, dashscope_ws_patch; print(sorted(sys.modules))"
    assert {"dashscope", "wrapt"}.isdisjoint(printed(code))


# Neighbours

#: What a neighbour can see of itself, and a program of it; it counts its runs in the environment.
NEIGHBOUR = """
import os, sys
os.environ["RUNS"] = os.environ.get("RUNS", "") + {mark!r}
seen = (__name__, __file__, __package__, __spec__.name, __spec__.origin, type(__loader__).__name__)
whole = sys.modules[__name__].__dict__ is globals()
"""
SEEN = (
    "import os, sys, sitecustomize as s\n"
    "print((os.environ['RUNS'], s.seen, s.whole, s is sys.modules['sitecustomize'], s.__file__))"
)


def _module(folder: Path, text: str) -> Path:
    (folder / "sitecustomize.py").write_text(text)
    return folder


def _package(folder: Path, text: str) -> Path:
    (folder / "sitecustomize").mkdir()
    (folder / "sitecustomize" / "__init__.py").write_text(text)
    return folder


def _compiled(folder: Path, text: str) -> Path:
    source = folder / "source.py"
    source.write_text(text)
    py_compile.compile(str(source), cfile=str(folder / "sitecustomize.pyc"))
    return folder


def _archive(folder: Path, text: str) -> Path:
    with zipfile.ZipFile(folder / "library.zip", "w") as archive:
        archive.writestr("sitecustomize.py", text)
    return folder / "library.zip"


KINDS = [_module, _package, _compiled, _archive]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("off", ["", "0"])
def test_p11_a_neighbour_runs_once_as_if_we_were_not_there(
    kind: Callable[[Path, str], Path], off: str, tmp_path: Path
) -> None:
    folder = kind(tmp_path, NEIGHBOUR.format(mark="x"))
    native = printed(SEEN, folder)
    assert native[0] == "x"
    assert printed(SEEN, SITEDIR, folder, DASHSCOPE_WS_PATCH=off) == native


def test_p11_of_two_neighbours_the_first_runs(tmp_path: Path) -> None:
    folders = []
    for mark in "ab":
        (tmp_path / mark).mkdir()
        folders.append(_module(tmp_path / mark, NEIGHBOUR.format(mark=mark)))
    native = printed(SEEN, *folders)
    assert native[0] == "a"
    assert printed(SEEN, SITEDIR, *folders) == native


def test_p11_a_folder_that_stands_for_a_neighbour_is_one(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize").mkdir()
    code = (
        # Debian's Python has a sitecustomize of its own, a module, which beats a folder.
        "import sitecustomize as s\nprint((list(getattr(s, '__path__', ())), s.__spec__.origin))"
    )
    assert printed(code, SITEDIR, tmp_path) == printed(code, tmp_path)


def test_p11_without_a_neighbour_there_is_no_sitecustomize() -> None:
    code = (
        "import sys\nbefore = sorted(sys.modules)\ntry:\n    import sitecustomize\n"
        "except ImportError as error:\n    print((str(error), error.name, before))\n"
        "else:\n    print((sitecustomize.__file__, before))"  # Debian's own
    )
    assert printed(code, SITEDIR) == printed(code)


@pytest.mark.parametrize(
    "error",
    [
        "raise ValueError('broken')",
        "import nothing_of_the_kind",
        "raise ImportError('broken', name='sitecustomize')",
        "raise SystemExit(3)",
        "this is no Python",
    ],
)
def test_p11_errors_of_a_neighbour_are_what_they_were(error: str, tmp_path: Path) -> None:
    folder = _module(tmp_path, error)
    code = "import sys; print('sitecustomize' in sys.modules)"
    native, ours = start(code, folder), start(code, SITEDIR, folder)
    assert (ours.returncode, ours.stdout) == (native.returncode, native.stdout)
    # Where Python shows a traceback, our frame stands in it.
    frame = re.compile(f'  File "{re.escape(str(STARTUP))}".*\n    .*\n(    [~^]*\n)?')
    assert frame.sub("", ours.stderr) == native.stderr


def test_p9_a_neighbour_that_imports_the_sdk_gets_it_patched(tmp_path: Path) -> None:
    folder = _module(tmp_path, "import dashscope")
    if start("pass", folder).returncode:
        pytest.skip("this Python cannot import the SDK so early, be we there or not")  # 3.15.0
    assert start(PATCHED, SITEDIR, folder).stdout == "\nTrue\n"


def test_p11_usercustomize_runs_as_it_did(tmp_path: Path) -> None:
    site = subprocess.run(
        [BASE, "-c", "import site; print(site.getusersitepackages())"],
        env=clean(PYTHONUSERBASE=str(tmp_path)),
        stdout=subprocess.PIPE,
        text=True,
    ).stdout.strip()
    Path(site).mkdir(parents=True)
    Path(site, "usercustomize.py").write_text(NEIGHBOUR.format(mark="u"))
    code = (
        "import os, sys; s = sys.modules['usercustomize']\n"
        "print((os.environ['RUNS'], s.seen, s.whole))"
    )
    native = printed(code, python=BASE, PYTHONUSERBASE=str(tmp_path))
    assert native[0] == "u"
    assert printed(code, SITEDIR, python=BASE, PYTHONUSERBASE=str(tmp_path)) == native


@pytest.mark.parametrize("copies", [1, 3])
def test_p11_several_of_ours_do_not_chase_each_other(copies: int, tmp_path: Path) -> None:
    # An installed copy beside the folder on PYTHONPATH, and the folder named twice in a row.
    folders: list[object] = [SITEDIR]
    for number in range(copies):
        (tmp_path / str(number)).mkdir()
        shutil.copy(STARTUP, tmp_path / str(number))
        folders += [tmp_path / str(number), tmp_path / str(number)]
    again = tmp_path / "again"
    again.mkdir()
    _module(again, NEIGHBOUR.format(mark="x"))
    native = printed(SEEN, again)
    assert printed(SEEN, *folders, SITEDIR, again) == native
    assert "finder" not in printed(f"import dashscope; {FINDERS}", *folders)


# Switched off


def test_p11_switched_off_it_is_not_there() -> None:
    values = ["0", "off", "FALSE", " no "]
    for code, tried in ((FINDERS, values), (f"import dashscope; {MODULES}", values[:1])):
        natively = printed(code)
        for value in tried:
            assert printed(code, SITEDIR, DASHSCOPE_WS_PATCH=value) == natively


@pytest.mark.parametrize("value", ["", "1", "yes"])
def test_p13_anything_else_leaves_it_on(value: str) -> None:
    assert "finder" in printed(FINDERS, SITEDIR, DASHSCOPE_WS_PATCH=value)


# Other hooks, and threads


@pytest.fixture
def sdk(tmp_path: Path) -> Path:
    """A folder with a module in the SDK's place, where it is only looked for."""
    (tmp_path / "dashscope.py").write_text("here = __file__")
    return tmp_path


HOOK = """
import sys
class Hook:
    def find_spec(self, name, path=None, target=None):
        {body}
"""


def test_p11_a_hook_that_comes_later_sees_dashscope_too() -> None:
    """Some hooks, wrapt's among them, ask the other finders themselves."""
    code = (
        "import wrapt\nseen = []\nwrapt.register_post_import_hook(seen.append, 'dashscope')\n"
        f"import dashscope\nassert seen == [dashscope]\n{PATCHED}"
    )
    done = start(code, SITEDIR)
    assert done.stdout.endswith("\nTrue\n"), done


def test_p11_dashscope_may_come_from_another_finder(sdk: Path) -> None:
    """As it does from an editable install, whose finder is one of its own."""
    package = sdk / "dashscope.py"
    body = (
        f"if name == 'dashscope':\n            from importlib.util import spec_from_file_location\n"
        f"            return spec_from_file_location(name, {str(package)!r})"
    )
    code = f"{HOOK.format(body=body)}\nsys.meta_path.insert(1, Hook())\nimport dashscope\n"
    assert printed(
        f"{code}print((dashscope.here, 'dashscope_ws_patch' in sys.modules))", SITEDIR
    ) == (
        str(package),
        True,
    )


def test_p11_an_import_under_way_misses_no_finder(sdk: Path) -> None:
    """Another thread may wake the package while this one walks the finders for another module."""
    body = "name == 'json.tool' and __import__('dashscope')"
    code = (
        f"{HOOK.format(body=body)}\nimport json, os\n"
        # Switched off by now, or the package's own finder would fill the gap that ours could leave.
        "os.environ['DASHSCOPE_WS_PATCH'] = '0'\n"
        # The finder behind it is the one that would be skipped.
        "names = [getattr(finder, '__name__', '') for finder in sys.meta_path]\n"
        "sys.meta_path.insert(names.index('PathFinder'), Hook())\n"
        "import json.tool\nprint('dashscope_ws_patch' in sys.modules)"
    )
    assert printed(code, SITEDIR, sdk) is True


def test_p11_nothing_waits_with_the_lock_of_all_imports_held(sdk: Path) -> None:
    """Another thread may hold what the package needs, and need that lock to go on."""
    (sdk / "contextvars.py").write_text(
        "import sys, time\nsys.modules['__main__'].begun.set()\ntime.sleep(0.5)\n"
        "import colorsys\nfrom _contextvars import *\n"
    )
    code = (
        "import threading\nbegun = threading.Event()\n"
        "other = threading.Thread(target=__import__, args=['contextvars'])\n"
        "other.start()\nbegun.wait()\nimport dashscope\nother.join()\n"
        "import sys; print('dashscope_ws_patch' in sys.modules)"
    )
    assert printed(code, SITEDIR, sdk) is True


def test_p11_threads_that_import_at_once() -> None:
    code = """
import sys, threading
sys.setswitchinterval(1e-6)
names = ["json", "csv", "email.message", "xml.dom.minidom", "sqlite3", "http.client", "zipfile",
    "wave", "tarfile", "pdb", "unittest", "difflib", "cgi" if sys.version_info < (3, 12) else "ast"]
failed, barrier = [], threading.Barrier(2 * len(names))
def work(name):
    barrier.wait()
    try:
        __import__(name)
    except BaseException as error:
        failed.append((name, repr(error)))
threads = [threading.Thread(target=work, args=[n]) for n in [*names, *["dashscope"] * len(names)]]
for t in threads: t.start()
for t in threads: t.join()
import dashscope, dashscope_ws_patch
print((failed, dashscope_ws_patch.is_patched()))
"""
    done = start(code, SITEDIR)
    assert done.stdout.endswith("([], True)\n"), done


# Failures


def _broken(folder: Path, text: str) -> Path:
    """A copy of the start-up file beside a package that does ``text``."""
    shutil.copytree(SITEDIR, folder / "dashscope_ws_patch" / "site")
    (folder / "dashscope_ws_patch" / "__init__.py").write_text(text)
    (folder / "dashscope_ws_patch" / "_activation.py").touch()
    return folder


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("raise RuntimeError('one\\ntwo')", r"RuntimeError('one\ntwo')"),
        ("import a_dependency_that_is_missing", "a_dependency_that_is_missing"),
        ("this is no Python", "SyntaxError"),
    ],
)
def test_p11_a_broken_package_costs_one_line(
    text: str, told: str, sdk: Path, tmp_path: Path
) -> None:
    folder = _broken(tmp_path, text)
    done = start(USED, folder / "dashscope_ws_patch" / "site", folder, sdk, package=False)
    (line,) = done.stderr.splitlines()
    assert line.startswith("dashscope_ws_patch is not active: ") and told in line
    assert done.returncode == 0 and done.stdout


def test_p11_a_copy_that_outlives_the_package_is_silent(sdk: Path) -> None:
    shutil.copy(STARTUP, sdk)
    assert printed(USED, sdk, python=BASE, package=False) is True


def test_p11_with_stderr_closed_the_import_goes_on(sdk: Path) -> None:
    folder = _broken(sdk, "raise RuntimeError")
    done = subprocess.run(
        ["sh", "-c", f"{sys.executable} -c '{USED}' 2>&-"],
        env=clean(PYTHONPATH=f"{folder / 'dashscope_ws_patch' / 'site'}{os.pathsep}{folder}"),
        cwd=os.sep,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert done.returncode == 0 and done.stdout.count("\n") == 1


def test_p11_a_missing_sdk_is_missing_as_before() -> None:
    code = "import dashscope"
    native, ours = (start(code, *folders, python=BASE) for folders in ((), (SITEDIR,)))
    assert ours.stderr == native.stderr and "No module named 'dashscope'" in native.stderr
