"""Activation with no import in the program: each way, in each kind of process that Python starts.

Real virtual environments from the built wheel, real processes, and the header of a real SDK call as
a real socket saw it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import resource
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import zipapp
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable

import pytest
from environments import NEW_SDK, OLD_SDK, ROOT, Environment, build_wheel, clean, python

from dashscope_ws_patch.selftest.loopback import Loopback

WORKSPACE = "ws_ambient"

#: The program: it knows nothing of the shim.
CALL = """
import dashscope
dashscope.Generation.call(model="qwen-turbo", prompt="hello", api_key="sk-loopback")
"""

SERVERS = ("ipykernel", "jupyter_client", "uvicorn", "gunicorn", "pytest", "pytest-xdist")


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="session")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """An environment of this Python with the package, an SDK that loads fast, and the servers."""
    folder = tmp_path_factory.mktemp("environment")
    return Environment(folder, sys.executable, wheel, *OLD_SDK, *SERVERS)


@pytest.fixture
def service() -> Iterator[Loopback]:
    with Loopback() as loopback:
        yield loopback


@dataclass
class Way:
    """A way of activation: what stands before the command, and in its environment variables."""

    prefix: list[str] = field(default_factory=list)
    variables: dict[str, str] = field(default_factory=dict)


def shim(environment: Environment, *arguments: str, status: int = 0, **variables: str) -> str:
    """What the command line says, on stderr if it ends with another status than 0."""
    done = subprocess.run(
        [environment.python, "-m", "dashscope_ws_patch", *arguments],
        env=clean(**variables),
        cwd=os.sep,
        capture_output=True,
        text=True,
    )
    assert done.returncode == status, done
    return done.stderr if status == 2 else done.stdout


@contextlib.contextmanager
def launcher(environment: Environment) -> Iterator[Way]:
    yield Way([environment.script("dashscope-ws-patch"), "run", "--"])


@contextlib.contextmanager
def folder(environment: Environment) -> Iterator[Way]:
    yield Way(variables={"PYTHONPATH": shim(environment, "sitedir").strip()})


@contextlib.contextmanager
def installed(environment: Environment) -> Iterator[Way]:
    shim(environment, "install")
    assert (environment.site_packages / "dashscope_ws_patch.pth").is_file()
    assert not (environment.site_packages / "sitecustomize.py").exists()
    try:
        yield Way()
    finally:
        shim(environment, "uninstall")


@contextlib.contextmanager
def installed_beside(environment: Environment) -> Iterator[Way]:
    other = environment.site_packages / "sitecustomize.py"
    other.write_text("import os\nos.environ['NEIGHBOUR'] = 'ran'\n")
    shim(environment, "install")
    assert other.read_text().startswith("import os\n")
    try:
        yield Way()
    finally:
        shim(environment, "uninstall")
        other.unlink()


@contextlib.contextmanager
def own_import(environment: Environment) -> Iterator[Way]:
    own = environment.folder / "own"
    own.mkdir(exist_ok=True)
    (own / "sitecustomize.py").write_text("import dashscope_ws_patch\n")
    yield Way(variables={"PYTHONPATH": str(own)})


WAYS = [launcher, folder, installed, installed_beside, own_import]


@pytest.fixture(params=WAYS, ids=lambda way: way.__name__)
def any_way(request: pytest.FixtureRequest, environment: Environment) -> Iterator[Way]:
    with request.param(environment) as chosen:
        yield chosen


@pytest.fixture(params=[launcher, installed], ids=lambda way: way.__name__)
def main_way(request: pytest.FixtureRequest, environment: Environment) -> Iterator[Way]:
    with request.param(environment) as chosen:
        yield chosen


def variables(service: Loopback, **more: str) -> dict[str, str]:
    url = f"http://127.0.0.1:{service.port}/api/v1"
    return clean(DASHSCOPE_HTTP_BASE_URL=url, DASHSCOPE_WORKSPACE=WORKSPACE, **more)


def seen(service: Loopback) -> list[list[str]]:
    """The workspaces of each request since the last time."""
    return [request.workspaces for request in service.drain()]


def run(
    service: Loopback, way: Way, *command: str, cwd: Path, stdin: str = "", **more: str
) -> list[list[str]]:
    """Run ``command`` activated in ``way``; return what the requests carried."""
    done = subprocess.run(
        [*way.prefix, *command],
        input=stdin,
        env={**variables(service, **way.variables), **more},
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=1200,
    )
    assert done.returncode == 0 and "sitecustomize" not in done.stdout, done.stdout
    return seen(service)


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """A folder with the program in it, as ``call.py``."""
    (tmp_path / "call.py").write_text(CALL)
    return tmp_path


FILLED = [[WORKSPACE]]


# Each way


def test_without_activation_there_is_no_header(
    environment: Environment, service: Loopback, program: Path
) -> None:
    assert run(service, Way(), environment.python, "call.py", cwd=program) == [[]]


def test_each_way_reaches_a_script(
    any_way: Way, environment: Environment, service: Loopback, program: Path
) -> None:
    assert run(service, any_way, environment.python, "call.py", cwd=program) == FILLED


def test_each_way_can_be_switched_off(
    any_way: Way, environment: Environment, service: Loopback, program: Path
) -> None:
    command = (environment.python, "call.py")
    assert run(service, any_way, *command, cwd=program, DASHSCOPE_WS_PATCH="0") == [[]]


@pytest.mark.parametrize(
    "each", [installed, installed_beside, own_import], ids=lambda w: w.__name__
)
def test_two_ways_at_once_are_as_good_as_one(
    each: Callable[[Environment], contextlib.AbstractContextManager[Way]],
    environment: Environment,
    service: Loopback,
    program: Path,
) -> None:
    with each(environment) as way, launcher(environment) as other:
        both = Way(other.prefix, way.variables)
        assert run(service, both, environment.python, "call.py", cwd=program) == FILLED


def test_run_names_the_workspace(
    environment: Environment, service: Loopback, program: Path
) -> None:
    way = Way([environment.script("dashscope-ws-patch"), "run", "-w", "ws_named"])
    assert run(service, way, environment.python, "call.py", cwd=program) == [["ws_named"]]


# Each kind of start


def _plain(*arguments: str) -> Callable[[Environment, Path], list[str]]:
    return lambda environment, program: [environment.python, *arguments]


def _console_script(environment: Environment, program: Path) -> list[str]:
    return [environment.script("dashscope"), "generation.call", "-p", "hello", "-m", "qwen-turbo"]


def _zipapp(environment: Environment, program: Path) -> list[str]:
    (program / "app").mkdir()
    (program / "app" / "__main__.py").write_text(CALL)
    zipapp.create_archive(program / "app", program / "app.pyz")
    return [environment.python, "app.pyz"]


def _child(environment: Environment, program: Path) -> list[str]:
    # Two generations down, and started by what is not Python.
    code = "import subprocess, sys; subprocess.run(['sh', '-c', sys.executable + ' call.py'])"
    return [environment.python, "-c", code]


def _multiprocessing(method: str) -> Callable[[Environment, Path], list[str]]:
    def command(environment: Environment, program: Path) -> list[str]:
        (program / "workers.py").write_text(
            f"import multiprocessing\ndef work():\n{_indented(CALL)}\n"
            "if __name__ == '__main__':\n"
            f"    process = multiprocessing.get_context({method!r}).Process(target=work)\n"
            "    process.start()\n    process.join()\n    raise SystemExit(process.exitcode)\n"
        )
        return [environment.python, "workers.py"]

    return command


def _pool(environment: Environment, program: Path) -> list[str]:
    (program / "workers.py").write_text(
        f"import concurrent.futures\ndef work():\n{_indented(CALL)}\n"
        "if __name__ == '__main__':\n"
        "    with concurrent.futures.ProcessPoolExecutor(1) as pool:\n"
        "        pool.submit(work).result()\n"
    )
    return [environment.python, "workers.py"]


def _pytest(*arguments: str) -> Callable[[Environment, Path], list[str]]:
    def command(environment: Environment, program: Path) -> list[str]:
        (program / "test_call.py").write_text(f"def test_call():\n{_indented(CALL)}\n")
        (program / "pytest.ini").write_text("[pytest]\n")
        return [environment.script("pytest"), "-q", "-p", "no:cacheprovider", *arguments]

    return command


def _ipykernel(environment: Environment, program: Path) -> list[str]:
    (program / "notebook.py").write_text(
        "from jupyter_client.manager import start_new_kernel\n"
        "manager, client = start_new_kernel()\n"
        f"reply = client.execute_interactive({CALL!r}, timeout=600)\n"
        "client.stop_channels()\nmanager.shutdown_kernel()\n"
        "assert reply['content']['status'] == 'ok', reply\n"
    )
    return [environment.python, "notebook.py"]


def _indented(code: str) -> str:
    return "\n".join("    " + line for line in code.splitlines())


STARTS = {
    "script": _plain("call.py"),
    "module": _plain("-m", "call"),
    "code": _plain("-c", CALL),
    "interactive": _plain("-i"),
    "optimised": _plain("-OO", "call.py"),
    "console script": _console_script,
    "zipapp": _zipapp,
    "child process": _child,
    "fork": _multiprocessing("fork"),
    "spawn": _multiprocessing("spawn"),
    "forkserver": _multiprocessing("forkserver"),
    "process pool": _pool,
    "pytest": _pytest(),
    "pytest-xdist": _pytest("-n", "2"),
    "ipykernel": _ipykernel,
}


@pytest.mark.parametrize("kind", STARTS)
def test_each_kind_of_start_is_reached(
    kind: str, main_way: Way, environment: Environment, service: Loopback, program: Path
) -> None:
    command = STARTS[kind](environment, program)
    key = {"DASHSCOPE_API_KEY": "sk-loopback"}
    stdin = CALL if kind == "interactive" else ""
    assert run(service, main_way, *command, cwd=program, stdin=stdin, **key) == FILLED


WEB = {
    "uvicorn": (
        ["uvicorn", "--workers", "2", "--log-level", "warning", "web:app"],
        "async def app(scope, receive, send):\n"
        "    if scope['type'] != 'http':\n"
        "        return\n"
        f"{_indented(CALL)}\n"
        "    await send({'type': 'http.response.start', 'status': 200, 'headers': []})\n"
        "    await send({'type': 'http.response.body', 'body': b'ok'})\n",
    ),
    "gunicorn": (
        ["gunicorn", "--preload", "--workers", "2", "--log-level", "warning", "web:app"],
        # Imported in the master, called in a worker that was forked from it.
        "import dashscope\n"
        "def app(environ, start_response):\n"
        f"{_indented(CALL)}\n"
        "    start_response('200 OK', [])\n"
        "    return [b'ok']\n",
    ),
}


@pytest.mark.parametrize("server", WEB)
def test_the_workers_of_a_web_server_are_reached(
    server: str, main_way: Way, environment: Environment, service: Loopback, program: Path
) -> None:
    command, application = WEB[server]
    (program / "web.py").write_text(application)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = ["--port", str(port)] if server == "uvicorn" else ["--bind", f"127.0.0.1:{port}"]
    process = subprocess.Popen(
        [*main_way.prefix, environment.script(command[0]), *command[1:-1], *address, command[-1]],
        env=variables(service, **main_way.variables),
        cwd=program,
    )
    try:
        _ask(f"http://127.0.0.1:{port}/")
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(300)
    found = seen(service)
    assert found and all(workspaces == [WORKSPACE] for workspaces in found)


def _ask(url: str) -> None:
    for _attempt in range(1500):
        try:
            urllib.request.urlopen(url, timeout=300).close()
            return
        except urllib.error.HTTPError:
            raise
        except OSError:
            time.sleep(0.2)
    raise AssertionError(f"{url} does not answer")


@pytest.mark.parametrize("switch", ["-E", "-I"])
def test_only_install_reaches_an_isolated_interpreter(
    switch: str, main_way: Way, environment: Environment, service: Loopback, program: Path
) -> None:
    found = run(service, main_way, environment.python, switch, "call.py", cwd=program)
    assert found == ([[]] if main_way.prefix else FILLED)


def test_nothing_reaches_an_interpreter_without_site(
    main_way: Way, environment: Environment, service: Loopback, program: Path
) -> None:
    code = f"import sys; sys.path.append({str(environment.site_packages)!r})\n{CALL}"
    assert run(service, main_way, environment.python, "-S", "-c", code, cwd=program) == [[]]


def test_p18_a_sitecustomize_beside_the_installed_file_still_runs(environment: Environment) -> None:
    code = "import os, sitecustomize as s; print(os.environ.get('NEIGHBOUR'), s.__file__)"
    with installed_beside(environment):
        ours = environment.output("-c", code)
        native = environment.output("-c", code, DASHSCOPE_WS_PATCH="0")
    assert ours == native  # Debian's Pythons bring one that comes first
    assert ours.startswith("ran ") or "site-packages" not in ours


# From another environment


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """An environment with an SDK and wrapt, and without the package."""
    folder = tmp_path_factory.mktemp("elsewhere")
    return Environment(folder, sys.executable, *OLD_SDK, "wrapt")


def test_p18_run_lends_the_package_to_another_environment(
    bare: Environment, elsewhere: Environment, service: Loopback, program: Path
) -> None:
    (bare.site_packages / "only_in_the_launcher.py").touch()
    (program / "call.py").write_text(
        f"{CALL}\nimport dashscope_ws_patch.hint as there\nprint(there.__file__)\n"
        "try:\n    import only_in_the_launcher\nexcept ImportError:\n    pass\n"
        "else:\n    raise SystemExit(only_in_the_launcher.__file__)\n"
    )
    with launcher(bare) as way, folder(bare) as other:
        for each in (way, other):
            assert run(service, each, elsewhere.python, "call.py", cwd=program) == FILLED
        spawn = _multiprocessing("spawn")(elsewhere, program)
        assert run(service, way, *spawn, cwd=program) == FILLED


def test_p18_where_wrapt_is_missing_the_first_import_says_what_to_install(
    bare: Environment, service: Loopback, program: Path, tmp_path: Path
) -> None:
    there = Environment(tmp_path / "there", sys.executable, *OLD_SDK)
    for way in (bare.script("dashscope-ws-patch"), "run"), ():
        done = subprocess.run(
            [*way, there.python, "-W", "ignore", "call.py"],
            env=variables(service),
            cwd=program,
            capture_output=True,
            text=True,
        )
        assert (done.returncode, seen(service)) == (0, [[]])
        if way:
            (line,) = done.stderr.splitlines()
            assert f"{there.python} -m pip install 'wrapt>=1.14,<3'" in line
        else:
            assert done.stderr == ""
    strict = subprocess.run(
        [bare.script("dashscope-ws-patch"), "run", there.python, "call.py"],
        env=variables(service, DASHSCOPE_WS_PATCH_STRICT="1"),
        cwd=program,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert (strict.returncode, seen(service)) == (1, []) and "SeamError" in strict.stderr


# Each CPython, and the newest SDK


@pytest.mark.parametrize("minor", [9, 10, 11, 12, 13, 14, 15])
def test_each_python_is_reached(
    minor: int, wheel: Path, service: Loopback, program: Path, tmp_path: Path
) -> None:
    base = python(minor)
    if base is None:
        pytest.skip(f"there is no CPython 3.{minor} here")
    environment = Environment(tmp_path / "environment", base, wheel, *OLD_SDK)
    call = (environment.python, "call.py")
    assert run(service, Way(), *call, cwd=program) == [[]]
    for each in (launcher, installed, installed_beside):
        with each(environment) as way:
            assert run(service, way, *call, cwd=program) == FILLED
    spawn = _multiprocessing("spawn")(environment, program)
    with launcher(environment) as way:
        assert run(service, way, *spawn, cwd=program) == FILLED


def test_each_way_reaches_the_newest_sdk(
    wheel: Path, service: Loopback, program: Path, tmp_path: Path
) -> None:
    environment = Environment(tmp_path / "environment", sys.executable, wheel, *NEW_SDK)
    for each in WAYS:
        with each(environment) as way:
            assert run(service, way, environment.python, "call.py", cwd=program) == FILLED


# run


def test_run_becomes_the_command(environment: Environment) -> None:
    command = [environment.script("dashscope-ws-patch"), "run", "sh", "-c", "echo $$; exit 7"]
    process = subprocess.Popen(command, env=clean(), stdout=subprocess.PIPE, text=True)
    assert process.communicate()[0] == f"{process.pid}\n"
    assert process.returncode == 7


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGPIPE"])
def test_run_leaves_signals_to_the_command(name: str, environment: Environment) -> None:
    kill = f"kill -{name[3:]} $$; sleep 1; echo survived"
    command = [environment.script("dashscope-ws-patch"), "run", "--", "sh", "-c", kill]
    # A test run in the background has SIGINT ignored, and would hand that on.
    process = subprocess.Popen(
        command,
        env=clean(),
        stdout=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert (process.communicate()[0], process.returncode) == (b"", -getattr(signal, name))


def test_run_hands_arguments_on_as_they_are(environment: Environment) -> None:
    code = "import sys; print(sys.argv[1:])"
    arguments = ["-w", "--", "--help", "a b", ""]
    said = shim(environment, "run", environment.python, "-c", code, *arguments)
    assert said == f"{arguments}\n"


def test_run_keeps_what_is_on_pythonpath(environment: Environment) -> None:
    folder = shim(environment, "sitedir").strip()
    show = ("run", "sh", "-c", "echo $PYTHONPATH")
    assert shim(environment, *show) == f"{folder}\n"
    assert shim(environment, *show, PYTHONPATH="/a:/b") == f"{folder}:/a:/b\n"
    assert shim(environment, *show, PYTHONPATH=f"{folder}:/a") == f"{folder}:/a\n"


def test_run_of_a_command_that_does_not_exist(environment: Environment, tmp_path: Path) -> None:
    (tmp_path / "data").touch()
    command = [environment.script("dashscope-ws-patch"), "run"]
    for name, status in (("no-such-command", 127), ("", 127), (str(tmp_path / "data"), 126)):
        done = subprocess.run(
            [*command, name],
            env=clean(DASHSCOPE_WORKSPACE="ws_a"),
            stderr=subprocess.PIPE,
            text=True,
        )
        assert (done.returncode, done.stderr.count("\n")) == (status, 1)
        assert name in done.stderr


TOLD = {
    "-I": (["{python}", "-I", "-c", "pass"], "reads no PYTHONPATH"),
    "-E among others": (["{python}", "-sE", "-Xdev", "-c", "pass"], "reads no PYTHONPATH"),
    "-S": (["{python}", "-S", "-c", "pass"], "loads no site"),
    "env -i": (["env", "-i", "{python}", "-c", "pass"], "takes PYTHONPATH away"),
}
REACHED = {
    "plain": ["{python}", "-W", "ignore", "-c", "pass", "-I"],
    "a shell": ["sh", "-c", "true"],
    "env": ["env", "A=b", "{python}", "-c", "pass"],
    "a console script": ["{bin}/dashscope-ws-patch", "--version"],
    # What would take a look into a file, or a start of another interpreter.
    "a script": ["{folder}/isolated"],
    "no Python": ["true"],
}


@pytest.fixture
def commands(environment: Environment, tmp_path: Path) -> dict[str, str]:
    (tmp_path / "isolated").write_text(f"#!{environment.python} -I\n")
    (tmp_path / "isolated").chmod(0o755)
    bin_folder = os.path.dirname(environment.python)
    return {"python": environment.python, "folder": str(tmp_path), "bin": bin_folder}


def said_by_run(environment: Environment, command: list[str], words: dict[str, str]) -> str:
    done = subprocess.run(
        [
            environment.script("dashscope-ws-patch"),
            "run",
            "--",
            *(w.format(**words) for w in command),
        ],
        env=clean(DASHSCOPE_WORKSPACE="ws_a"),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    return "\n".join(line for line in done.stderr.splitlines() if "dashscope-ws-patch run" in line)


@pytest.mark.parametrize("kind", TOLD)
def test_p18_run_tells_what_it_cannot_reach(
    kind: str, environment: Environment, commands: dict[str, str]
) -> None:
    command, words = TOLD[kind]
    assert words in said_by_run(environment, command, commands)


@pytest.mark.parametrize("kind", REACHED)
def test_p18_run_says_nothing_of_what_it_reaches(
    kind: str, environment: Environment, commands: dict[str, str]
) -> None:
    assert said_by_run(environment, REACHED[kind], commands) == ""


def test_p18_run_says_nothing_of_what_install_reaches(
    environment: Environment, commands: dict[str, str]
) -> None:
    with installed(environment):
        assert said_by_run(environment, TOLD["-I"][0], commands) == ""


# The blocks of docs/activation.md and README, as they stand


def block(language: str, mark: str, page: str = "docs/activation.md") -> str:
    """The one block of a page in ``language`` that has ``mark`` in it."""
    text = (ROOT / page).read_text(encoding="utf-8")
    found = re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    (chosen,) = [each for each in found if mark in each]
    return chosen


def variable(text: str) -> dict[str, str]:
    """What a block sets DASHSCOPE_WORKSPACE to."""
    (value,) = re.findall(r"DASHSCOPE_WORKSPACE(?:=|: |\n +value: )\"?([\w-]+)", text)
    return {"DASHSCOPE_WORKSPACE": value}


def words(text: str, key: str) -> list[str]:
    """A list of a YAML block or a Dockerfile, in the form that is JSON too."""
    (found,) = re.findall(rf"^ *{key}:? (\[.*\])$", text, re.MULTILINE)
    result: list[str] = json.loads(found)
    return result


def from_dockerfile(program: Path) -> tuple[list[str], dict[str, str]]:
    text = block("dockerfile", "install")
    (command,) = re.findall(r"^RUN pip install git\+\S+ && (.*)$", text, re.MULTILINE)
    return ["sh", "-c", f'{command} && exec "$@"', "-", *words(text, "CMD")], variable(text)


def from_unit(program: Path) -> tuple[list[str], dict[str, str]]:
    text = block("ini", "[Service]")
    (command,) = re.findall(r"^ExecStart=(.*)$", text, re.MULTILINE)
    return command.replace("/srv/app/.venv/bin/", "").split(), variable(text)


def from_compose(program: Path) -> tuple[list[str], dict[str, str]]:
    text = block("yaml", "services:")
    return words(text, "entrypoint") + words(text, "command"), variable(text)


def from_pod(program: Path) -> tuple[list[str], dict[str, str]]:
    text = block("yaml", "kind: Pod")
    return words(text, "command") + words(text, "args"), variable(text)


def from_supervisor(program: Path) -> tuple[list[str], dict[str, str]]:
    text = block("ini", "[program:app]")
    (command,) = re.findall(r"^command=(.*)$", text, re.MULTILINE)
    return command.split(), variable(text)


def from_shell(program: Path) -> tuple[list[str], dict[str, str]]:
    text = block("sh", "export PYTHONPATH")
    return ["sh", "-ec", f"{text}python app.py"], {"DASHSCOPE_WORKSPACE": "llm-x1y2"}


def from_table(program: Path) -> tuple[list[str], dict[str, str]]:
    text = (ROOT / "docs/activation.md").read_text(encoding="utf-8")
    (command,) = re.findall(r"^\| one command \| `(.*?)` \|", text, re.MULTILINE)
    return command.split(), {"DASHSCOPE_WORKSPACE": ""}


def from_poetry(program: Path) -> tuple[list[str], dict[str, str]]:
    command = block("sh", "poetry run").split()
    assert command[:3] == ["poetry", "run", "--"]
    return command[3:], {"DASHSCOPE_WORKSPACE": ""}


def from_uv(program: Path) -> tuple[list[str], dict[str, str]]:
    words = block("sh", "uv run --with").split()
    assert words[:3] == ["uv", "run", "--with"]
    return words[4:], {"DASHSCOPE_WORKSPACE": ""}


def from_first_lines(program: Path) -> tuple[list[str], dict[str, str]]:
    shell = block("sh", "export DASHSCOPE_WORKSPACE", "README.md")
    python = block("python", "# once, anywhere", "README.md")
    (program / "app.py").write_text(f"{python}{CALL}")
    exported = re.sub(r"^pip install git\+\S+\n", "", shell)
    return ["sh", "-ec", f"{exported}python app.py"], {"DASHSCOPE_WORKSPACE": ""}


FROM_PAGES = [
    from_dockerfile,
    from_unit,
    from_compose,
    from_pod,
    from_supervisor,
    from_shell,
    from_table,
    from_poetry,
    from_uv,
    from_first_lines,
]


@pytest.mark.parametrize("read", FROM_PAGES, ids=lambda read: read.__name__)
def test_p18_what_the_pages_show_works(
    read: Callable[[Path], tuple[list[str], dict[str, str]]],
    environment: Environment,
    service: Loopback,
    program: Path,
) -> None:
    (program / "app.py").write_text(CALL)
    command, more = read(program)
    path = f"{os.path.dirname(environment.python)}{os.pathsep}{os.environ['PATH']}"
    found = run(service, Way(), *command, cwd=program, **{**more, "PATH": path})
    shim(environment, "uninstall")
    assert found == [["llm-x1y2"]]


# install, uninstall


@pytest.fixture
def bare(wheel: Path, tmp_path: Path) -> Environment:
    """An environment with the package alone: activation needs neither wrapt nor the SDK."""
    environment = Environment(tmp_path / "bare", sys.executable)
    environment.install("--no-deps", wheel)
    return environment


@pytest.mark.parametrize("beside", [False, True])
def test_p18_uninstall_leaves_the_files_as_they_were(beside: bool, bare: Environment) -> None:
    def start_all_levels() -> None:
        for switch in ("-b", "-O", "-OO"):
            bare.output(switch, "-c", "import dashscope_ws_patch")

    if beside:
        (bare.site_packages / "sitecustomize.py").touch()
    start_all_levels()
    before = own_files(bare)
    shim(bare, "install")
    start_all_levels()
    assert own_files(bare).keys() > before.keys()
    shim(bare, "uninstall")
    assert own_files(bare) == before
    assert beside or not (bare.site_packages / "__pycache__").exists()
    bare.uninstall("dashscope-ws-patch")
    (bare.site_packages / "sitecustomize.py").unlink(missing_ok=True)
    assert not [name for name in own_files(bare) if "dashscope" in name]


def own_files(environment: Environment) -> dict[str, bytes]:
    """The files of site-packages but what Python compiles of packages that it imports."""
    return {
        name: content
        for name, content in environment.files().items()
        if "__pycache__" not in name or name.startswith("__pycache__")
    }


def test_p18_install_and_uninstall_may_be_repeated(bare: Environment) -> None:
    assert "written: " in shim(bare, "install")
    files = own_files(bare)
    assert "already installed: " in shim(bare, "install")
    assert own_files(bare) == files
    assert "removed: " in shim(bare, "uninstall")
    assert "nothing to remove" in shim(bare, "uninstall")


def test_p18_a_sitecustomize_that_comes_first_keeps_install_from_nothing(bare: Environment) -> None:
    ahead = bare.folder / "ahead"
    ahead.mkdir()
    (ahead / "sitecustomize.py").touch()
    shim(bare, "install")
    told = shim(bare, "status", PYTHONPATH=str(ahead))
    assert f"by install: {bare.site_packages / 'dashscope_ws_patch.pth'}" in told


@pytest.mark.skipif(sys.version_info < (3, 15), reason="CPython 3.15 brings .start files")
def test_p18_install_writes_a_start_file_too(bare: Environment) -> None:
    """PEP 829: the line in the .pth file is not executed beside it, and nowhere from 3.18 on."""
    shim(bare, "install")
    assert (bare.site_packages / "dashscope_ws_patch.start").is_file()
    line = bare.site_packages / "dashscope_ws_patch.pth"
    assert status(bare, True, "-I")["ways"] == [f"install: {line}"]
    line.unlink()
    code = "import sys; print(any(hasattr(f, 'dashscope_ws_patch') for f in sys.meta_path))"
    assert bare.output("-I", "-c", code) == "True"


def test_p18_install_replaces_what_earlier_releases_wrote(bare: Environment) -> None:
    """1.0.0 copied its start-up file, or wrote a line that put its folder on sys.path."""
    for name, text in {
        "sitecustomize.py": b"import sys",
        "dashscope_ws_patch.pth": b"import os",
    }.items():
        digest = hashlib.sha256(text).hexdigest().encode()
        (bare.site_packages / name).write_bytes(text + b"  # dashscope_ws_patch " + digest + b"\n")
    told = shim(bare, "install")
    assert f"removed: {bare.site_packages / 'sitecustomize.py'}" in told
    assert f"written: {bare.site_packages / 'dashscope_ws_patch.pth'}" in told
    assert "install" in shim(bare, "status")
    shim(bare, "uninstall")
    names = ("sitecustomize.py", "dashscope_ws_patch.pth")
    assert not [name for name in names if (bare.site_packages / name).exists()]


def test_p18_a_new_release_of_the_package_needs_no_new_install(bare: Environment) -> None:
    shim(bare, "install")
    startup = Path(shim(bare, "sitedir").strip(), "sitecustomize.py")
    startup.write_text(startup.read_text() + "import sys\nsys.next_release = True\n")
    # It is run when dashscope is looked for, or at once where a variable asks it for something.
    looked_for = "import importlib.util as u; u.find_spec('dashscope'); "
    for code, variables in (looked_for, {}), ("", {"DASHSCOPE_WS_PATCH_CLIENTS": "1"}):
        code += "import sys; print(sys.next_release)"
        assert bare.output("-c", code, **variables) == "True"


def test_p18_a_file_that_somebody_has_changed_is_theirs(bare: Environment) -> None:
    shim(bare, "install")
    file = bare.site_packages / "dashscope_ws_patch.pth"
    file.write_text(f"import os\n{file.read_text()}")
    assert "was changed" in refused(bare, "uninstall")
    assert "is not ours" in refused(bare, "install")
    assert file.read_text().startswith("import os\n")


@pytest.mark.parametrize(
    ("place", "told"),
    [
        ("archive-v0/x", "uv throws away"),
        ("builds-v0/.tmpx", "uv throws away"),
        ("tool/uv-receipt.toml", "own environment"),
        ("tool/pipx_metadata.json", "own environment"),
    ],
)
def test_p18_install_refuses_an_environment_that_no_program_uses(
    place: str, told: str, wheel: Path, tmp_path: Path
) -> None:
    (tmp_path / "CACHEDIR.TAG").touch()
    folder = tmp_path / place
    receipt = folder.name if folder.suffix in (".toml", ".json") else None
    environment = Environment(folder.parent if receipt else folder, sys.executable)
    environment.install("--no-deps", wheel)
    if receipt:
        folder.touch()
    assert told in refused(environment, "install")


@pytest.mark.parametrize("each", [installed, installed_beside], ids=lambda way: way.__name__)
def test_after_pip_uninstall_interpreters_start_in_silence(
    each: Callable[[Environment], contextlib.AbstractContextManager[Way]], bare: Environment
) -> None:
    (bare.site_packages / "dashscope.py").touch()
    each(bare).__enter__()
    bare.uninstall("dashscope-ws-patch")
    done = subprocess.run(
        [bare.python, "-c", "import dashscope; print('ran')"],
        env=clean(),
        cwd=os.sep,
        capture_output=True,
        text=True,
    )
    assert (done.stdout, done.stderr) == ("ran\n", "")


# Bad input


def refused(environment: Environment, *arguments: str, **variables: str) -> str:
    """The one line on stderr, after status 2 and with no file changed."""
    environment.output("-c", "pass")  # compiles a foreign sitecustomize
    before = own_files(environment)
    (line,) = shim(environment, *arguments, status=2, **variables).splitlines()
    assert own_files(environment) == before
    return line


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "command"),
        (["frobnicate"], "'frobnicate'"),
        (["run"], "command"),
        (["run", "--"], "command"),
        (["run", "-w", "not/valid", "true"], "-w is 'not/valid'"),
        (["run", "-w", "", "true"], "-w is ''"),
        (["status", "--frobnicate"], "--frobnicate"),
        (["install", "here"], "here"),
    ],
)
def test_bad_arguments(arguments: list[str], told: str, environment: Environment) -> None:
    assert told in refused(environment, *arguments)


def test_a_foreign_file_in_the_way(bare: Environment) -> None:
    line = bare.site_packages / "dashscope_ws_patch.pth"
    line.write_text("# not ours\n")
    assert "dashscope_ws_patch.pth is not ours" in refused(bare, "install")
    line.unlink()
    line.symlink_to("nowhere")
    assert "dashscope_ws_patch.pth is not ours" in refused(bare, "install")


def test_a_site_packages_that_cannot_be_written(bare: Environment) -> None:
    """Nothing is left half done: here each write fails, after the file was opened."""
    before = own_files(bare)
    done = subprocess.run(
        [bare.python, "-m", "dashscope_ws_patch", "install"],
        env=clean(PYTHONDONTWRITEBYTECODE="1"),
        cwd=os.sep,
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0)),
    )
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "cannot write" in done.stderr
    assert own_files(bare) == before


def test_install_outside_a_virtual_environment(wheel: Path, environment: Environment) -> None:
    base = sys._base_executable
    for command in ("install", "uninstall"):
        done = subprocess.run(
            [base, "-m", "dashscope_ws_patch", command],
            env=clean(PYTHONPATH=str(wheel)),
            cwd=os.sep,
            capture_output=True,
            text=True,
        )
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
        assert "--system" in done.stderr


def test_install_where_the_package_is_not_installed(wheel: Path, tmp_path: Path) -> None:
    empty = Environment(tmp_path / "empty", sys.executable)
    assert "is not installed in" in refused(empty, "install", PYTHONPATH=str(wheel))


# status


def status(
    environment: Environment, active: bool, *flags: str, wrong: bool = False, **variables: str
) -> dict[str, Any]:
    done = subprocess.run(
        [environment.python, *flags, "-m", "dashscope_ws_patch", "status", "--json"],
        env=clean(**variables),
        cwd=os.sep,
        stdout=subprocess.PIPE,
        text=True,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    assert (done.returncode, found["active"]) == (0 if active and not wrong else 1, active)
    return found


NO_SDK = "dashscope is not installed here: there is nothing to patch"


def test_p17_status_tells_the_way(bare: Environment) -> None:
    folder = shim(bare, "sitedir").strip()
    line = bare.site_packages / "dashscope_ws_patch.pth"
    assert status(bare, False)["ways"] == []
    found = status(bare, True, PYTHONPATH=folder)
    assert (found["ways"], found["notes"]) == ([f"PYTHONPATH: {folder}"], [NO_SDK])
    assert status(bare, False, "-E", PYTHONPATH=folder)["notes"] == []
    with own_import(bare) as way:
        (told,) = status(bare, True, **way.variables)["ways"]
        assert told == f"import: {bare.folder / 'own' / 'sitecustomize.py'}"
        assert status(bare, False, "-I", **way.variables)["ways"] == []
    ahead = bare.folder / "ahead"
    ahead.mkdir()
    (ahead / "sitecustomize.py").touch()
    both = os.pathsep.join([str(ahead), folder])
    (note,) = status(bare, False, PYTHONPATH=both)["notes"]
    assert note.startswith(f"{ahead / 'sitecustomize.py'} comes first")
    with installed(bare):
        assert status(bare, True, "-I")["ways"] == [f"install: {line}"]
        ways = [f"install: {line}", f"PYTHONPATH: {folder}"]
        assert status(bare, True, PYTHONPATH=folder)["ways"] == ways
        assert status(bare, True, PYTHONPATH=both)["ways"] == ways[:1]
        (note,) = status(bare, False, DASHSCOPE_WS_PATCH="off")["notes"]
        assert note == "DASHSCOPE_WS_PATCH switches it off"


def test_p17_status_is_not_active_where_the_next_program_would_not_be(bare: Environment) -> None:
    """The package is alone here: wrapt, which it needs, is missing."""
    (bare.site_packages / "dashscope").mkdir()
    (bare.site_packages / "dashscope" / "__init__.py").write_text("import dashscope.version\n")
    (bare.site_packages / "dashscope" / "version.py").write_text("__version__ = '2.0.2'\n")
    folder = shim(bare, "sitedir").strip()
    (note,) = status(bare, False, PYTHONPATH=folder)["notes"]
    assert "dashscope is imported without it" in note
    (bare.site_packages / "dashscope" / "__init__.py").write_text("1 / 0\n")
    done = subprocess.run(
        [bare.python, "-m", "dashscope_ws_patch", "status", "--json"],
        env=clean(PYTHONPATH=folder),
        cwd=os.sep,
        stdout=subprocess.PIPE,
        text=True,
    )
    found = json.loads(done.stdout)
    # What it would send is not known.
    assert (done.returncode, found["status"], found["wrong"]) == (2, 2, False)
    assert "ZeroDivisionError" in found["notes"][0]


def test_p17_status_that_cannot_find_out_says_so(bare: Environment) -> None:
    ahead = bare.folder / "ahead"
    ahead.mkdir()
    (ahead / "sitecustomize.py").write_text(
        "import os, sys\nif '-c' in sys.orig_argv: os._exit(3)\n"
        if sys.version_info >= (3, 10)
        else "import sys\nif sys.flags.no_user_site == 0: sys.exit(3)\n"
    )
    told = shim(bare, "status", status=2, PYTHONPATH=str(ahead))
    assert "cannot find out" in told and told.count("\n") == 1


def test_status_tells_the_workspace(bare: Environment) -> None:
    def told(**variables: str) -> tuple[object, object]:
        found = status(bare, False, **variables)
        return found["workspace"], found["source"]

    assert told() == (None, None)
    assert told(DASHSCOPE_WORKSPACE=" ws_a ") == ("ws_a", "DASHSCOPE_WORKSPACE")
    assert told(DASHSCOPE_WORKSPACE_ID="ws_b") == ("ws_b", "DASHSCOPE_WORKSPACE_ID")
    assert told(DASHSCOPE_WORKSPACE="not/valid") == (None, None)
    assert "'not/valid'" in str(status(bare, False, DASHSCOPE_WORKSPACE="not/valid")["notes"])
    assert "workspace: ws_a, from DASHSCOPE_WORKSPACE\n" in shim(
        bare, "status", status=1, DASHSCOPE_WORKSPACE="ws_a"
    )


def test_p17_status_tells_of_a_base_url_that_wins(bare: Environment) -> None:
    host = "https://llm-b.cn-beijing.maas.aliyuncs.com/api/v1"
    folder = shim(bare, "sitedir").strip()
    found = status(bare, True, PYTHONPATH=folder, DASHSCOPE_HTTP_BASE_URL=host)
    assert (found["workspace"], found["source"]) == ("llm-b", "DASHSCOPE_HTTP_BASE_URL")
    assert any("a request would go there with no header" in note for note in found["notes"])
    both = {"DASHSCOPE_HTTP_BASE_URL": host, "DASHSCOPE_WORKSPACE": "llm-a"}
    found = status(bare, True, PYTHONPATH=folder, wrong=True, **both)
    assert found["workspace"] == "llm-b"
    shared = "https://dashscope.aliyuncs.com/api/v1"
    found = status(bare, True, PYTHONPATH=folder, DASHSCOPE_HTTP_BASE_URL=shared)
    assert (found["workspace"], found["notes"]) == (None, [NO_SDK])
