"""P18 with the tools that people really start their programs with, each where it is installed.

``tox -e tools`` has them all.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from environments import OLD_SDK, QUIET, Environment, build_wheel, clean

from dashscope_ws_patch.selftest.loopback import Loopback

BIN = os.path.dirname(sys.executable)
CALL = """
import dashscope
dashscope.Generation.call(model="qwen-turbo", prompt="hello", api_key="sk-loopback")
"""
RUN = [os.path.join(BIN, "dashscope-ws-patch"), "run", "--"]

#: Each tool, how it is called, and whether its sitecustomize runs the next one.
TOOLS = {
    "opentelemetry-instrument": ([], False),
    "ddtrace-run": ([], True),
    "elasticapm-run": ([], False),
    "newrelic-admin": (["run-program"], True),
}


def tool(name: str) -> str:
    found = shutil.which(name, path=BIN)
    if found is None:
        pytest.skip(f"{name} is not installed here")
    return found


@pytest.fixture
def program(tmp_path: Path) -> Path:
    (tmp_path / "call.py").write_text(CALL)
    return tmp_path


@pytest.fixture
def service() -> Iterator[Loopback]:
    with Loopback() as loopback:
        yield loopback


def sent(
    service: Loopback, program: Path, *command: str, **more: str
) -> tuple[list[list[str]], str]:
    """What the requests of ``command`` carried, and what it said."""
    url = f"http://127.0.0.1:{service.port}/api/v1"
    path = f"{BIN}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        command,
        env=clean(
            DASHSCOPE_HTTP_BASE_URL=url, DASHSCOPE_WORKSPACE="ws_a", PATH=path, **QUIET, **more
        ),
        cwd=program,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    return [request.workspaces for request in service.drain()], done.stdout


@pytest.fixture
def installed(name: str) -> Iterator[None]:
    """In this very environment, whose other tests see it too: not where the tool is missing."""
    tool(name)
    for command in ("install", "uninstall"):
        subprocess.run(
            [sys.executable, "-m", "dashscope_ws_patch", command],
            check=True,
            env=clean(),
            cwd=os.sep,
        )
        if command == "install":
            yield


@pytest.mark.parametrize("name", TOOLS)
def test_p18_run_after_a_tool(name: str, service: Loopback, program: Path) -> None:
    command = [tool(name), *TOOLS[name][0]]
    assert sent(service, program, *command, *RUN, sys.executable, "call.py")[0] == [["ws_a"]]


@pytest.mark.parametrize("name", TOOLS)
def test_p18_run_before_a_tool_works_or_says_that_it_does_not(
    name: str, service: Loopback, program: Path
) -> None:
    arguments, runs_the_next = TOOLS[name]
    command = [*RUN, tool(name), *arguments, sys.executable, "call.py"]
    found, said = sent(service, program, *command)
    assert found == ([["ws_a"]] if runs_the_next else [[]])
    assert ("runs no other" in said) != runs_the_next


@pytest.mark.parametrize("name", TOOLS)
def test_p18_install_works_beneath_a_tool(
    name: str, installed: None, service: Loopback, program: Path
) -> None:
    command = [tool(name), *TOOLS[name][0], sys.executable, "call.py"]
    assert sent(service, program, *command)[0] == [["ws_a"]]
    found, said = sent(service, program, *RUN, *command)
    assert found == [["ws_a"]] and "runs no other" not in said


def test_p18_coverage(service: Loopback, program: Path) -> None:
    (program / ".coveragerc").write_text("[run]\nparallel = True\npatch = subprocess\n")
    (program / "parent.py").write_text(
        "import subprocess, sys\nsubprocess.run([sys.executable, 'call.py'], check=True)\n"
    )
    for script in ("call.py", "parent.py"):
        found, _said = sent(service, program, *RUN, tool("coverage"), "run", script)
        assert found == [["ws_a"]]
    assert len(list(program.glob(".coverage.*"))) == 3


def test_p18_debugpy(service: Loopback, program: Path) -> None:
    tool("debugpy")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    command = [sys.executable, "-m", "debugpy", "--listen", address, "call.py"]
    assert sent(service, program, *RUN, *command)[0] == [["ws_a"]]


@pytest.mark.parametrize("first", ["ours", "pdm's"])
def test_p18_pep_582_mode_of_pdm(first: str, service: Loopback, program: Path) -> None:
    tool("pdm")
    spec = importlib.util.find_spec("pdm")
    assert spec is not None and spec.submodule_search_locations
    theirs = os.path.join(spec.submodule_search_locations[0], "pep582")
    sitedir = subprocess.check_output(
        [sys.executable, "-m", "dashscope_ws_patch", "sitedir"], text=True, env=clean(), cwd=os.sep
    ).strip()
    folders = [sitedir, theirs] if first == "ours" else [theirs, sitedir]
    lib = program / "__pypackages__" / "{}.{}".format(*sys.version_info) / "lib"
    lib.mkdir(parents=True)
    (lib / "only_in_pypackages.py").touch()
    (program / "call.py").write_text(f"import only_in_pypackages\n{CALL}")
    more = {"PYTHONPATH": os.pathsep.join(folders)}
    assert sent(service, program, sys.executable, "call.py", **more)[0] == [["ws_a"]]


@pytest.mark.parametrize("imported", [False, True])
def test_p18_pyinstaller(imported: bool, service: Loopback, program: Path) -> None:
    """A frozen program reads no PYTHONPATH, which run cannot see; an import in it works."""
    (program / "call.py").write_text("import dashscope_ws_patch\n" * imported + CALL)
    # Other tools of this environment would be frozen too, for hooks that name them.
    others = [f"--exclude-module={name}" for name in ("ddtrace", "numpy", "IPython", "tkinter")]
    subprocess.run(
        [tool("pyinstaller"), "--onefile", "--log-level", "ERROR", *others, "call.py"],
        cwd=program,
        check=True,
        env=clean(),
    )
    found, _ = sent(service, program, *RUN, str(program / "dist" / "call"))
    assert found == ([["ws_a"]] if imported else [[]])


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    return Environment(tmp_path_factory.mktemp("elsewhere"), sys.executable, *OLD_SDK, "wrapt")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel(tmp_path_factory.mktemp("wheel"))


@pytest.mark.parametrize("name", ["uv", "pipx"])
def test_p18_from_a_tools_own_environment(
    name: str, wheel: Path, elsewhere: Environment, service: Loopback, program: Path
) -> None:
    commands = {
        "uv": ["tool", "install", "--quiet", "--python", sys.executable],
        "pipx": ["install", "--quiet", "--python", sys.executable],
    }
    variables = ("UV_TOOL_DIR", "UV_TOOL_BIN_DIR", "PIPX_HOME", "PIPX_BIN_DIR")
    homes = {variable: str(program / variable) for variable in variables}
    subprocess.run([tool(name), *commands[name], str(wheel)], check=True, env=clean(**homes))
    (script,) = (path for path in program.glob("*_BIN_DIR/dashscope-ws-patch"))
    found, said = sent(service, program, str(script), "run", "--", elsewhere.python, "call.py")
    assert (found, said) == ([["ws_a"]], "")
    done = subprocess.run([script, "install"], stderr=subprocess.PIPE, text=True, env=clean())
    assert done.returncode == 2 and "own environment" in done.stderr


def test_p18_uv_run_with(
    wheel: Path, elsewhere: Environment, service: Loopback, program: Path
) -> None:
    """An environment for one command: run works from it, install is refused."""
    uv_run = [
        tool("uv"),
        "run",
        "--quiet",
        "--isolated",
        "--no-project",
        "--python",
        sys.executable,
    ]
    command = [*uv_run, "--with", str(wheel), "dashscope-ws-patch"]
    found, _said = sent(service, program, *command, "run", "--", elsewhere.python, "call.py")
    assert found == [["ws_a"]]
    done = subprocess.run([*command, "install"], stderr=subprocess.PIPE, text=True, env=clean())
    assert done.returncode == 2 and "uv throws away" in done.stderr
