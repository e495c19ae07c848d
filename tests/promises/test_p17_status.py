"""``status`` says what is so: it is held against what the very next program sends."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from importlib.machinery import PathFinder
from pathlib import Path

import pytest
from environments import BIN, ROOT, clean

from dashscope_ws_patch.cli.install import sealed
from dashscope_ws_patch.selftest.doctor import judged
from dashscope_ws_patch.selftest.loopback import Loopback
from dashscope_ws_patch.selftest.prospect import prospect

SITEDIR = str(ROOT / "dashscope_ws_patch" / "site")
#: What an interpreter of the environment finds, with -S too, where PYTHONPATH says so.
FOLDERS = (sysconfig.get_path("purelib"), str(ROOT))
PROGRAM = "import dashscope; dashscope.Generation.call('m', prompt='hi', api_key='sk-x')"


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The interpreter of a virtual environment that sees what this one has."""
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    python = str(folder / BIN / "python")
    purelib = "import sysconfig; print(sysconfig.get_path('purelib'))"
    site = subprocess.run([python, "-c", purelib], check=True, stdout=subprocess.PIPE, text=True)
    Path(site.stdout.strip(), "development.pth").write_text("\n".join(FOLDERS))
    return python


@pytest.fixture(scope="module")
def service() -> Iterator[Loopback]:
    with Loopback() as service:
        yield service


PATH = {"PYTHONPATH": SITEDIR}


@pytest.mark.parametrize(
    "before, switches, variables, sent, status",
    [
        ([], [], {}, [[]], 1),
        ([], [], PATH, [["ws_mine"]], 0),
        (["run", "--"], [], {}, [["ws_mine"]], 0),
        (["install"], ["-I"], {}, [["ws_mine"]], 0),
        ([], ["-E"], PATH, [[]], 1),
        ([], ["-S"], {"PYTHONPATH": ":".join((SITEDIR, *FOLDERS))}, [[]], 1),
        (["run", "--"], [], {"DASHSCOPE_WS_PATCH": "0"}, [[]], 1),
        ([], [], {**PATH, "DASHSCOPE_WORKSPACE": "not one"}, [], 1),
        ([], [], {**PATH, "DASHSCOPE_WS_PATCH_REQUIRE_SCOPE": "1"}, [], 0),
    ],
    ids=str,
)
def test_p17_status_says_what_the_next_program_does(
    before: list[str],
    switches: list[str],
    variables: dict[str, str],
    sent: list[list[str]],
    status: int,
    python: str,
    service: Loopback,
) -> None:
    environment = clean(**{"DASHSCOPE_WORKSPACE": "ws_mine", **variables})
    shim = [python, "-m", "dashscope_ws_patch"]
    start = [*shim, *before, python, *switches] if before == ["run", "--"] else [python, *switches]

    def output(command: list[str], **more: str) -> tuple[int, str]:
        done = subprocess.run(
            command, env={**environment, **more}, cwd="/", capture_output=True, text=True
        )
        return done.returncode, done.stdout

    if before == ["install"]:
        assert output([*shim, "install"])[0] == 0
    try:
        service.drain()
        output(
            [*start, "-c", PROGRAM],
            DASHSCOPE_HTTP_BASE_URL=service.address("127.0.0.1", "/api/v1"),
        )
        assert [request.workspaces for request in service.drain()] == sent
        code, said = output([*start, "-m", "dashscope_ws_patch", "status", "--json"])
    finally:
        if before == ["install"]:
            output([*shim, "uninstall"])
    found = json.loads(said)
    assert code == status
    assert (found["active"], found["wrong"]) == (sent != [[]], status == 1)
    assert found["status"] == status
    assert found["active"] or "import dashscope_ws_patch" in found["advice"][-1] or found["notes"]
    named = found["workspace"] if found["active"] else None
    assert named == (sent[0] or [None])[0] if sent else named is None


@pytest.mark.parametrize(
    "variable, url, named",
    [
        ("DASHSCOPE_HTTP_BASE_URL", "https://llm-b.cn-beijing.maas.aliyuncs.com/api/v1", "llm-b"),
        ("DASHSCOPE_HTTP_BASE_URL", "https://[x.cn-beijing.maas.aliyuncs.com/api/v1", None),
        ("DASHSCOPE_WEBSOCKET_BASE_URL", "wss://llm-b.cn-beijing.maas.aliyuncs.com/", None),
        ("DASHSCOPE_BASE_URL", "https://llm-b.cn-beijing.maas.aliyuncs.com", None),
    ],
)
def test_p17_status_names_what_most_requests_carry(variable: str, url: str, named: object) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "dashscope_ws_patch", "status", "--json"],
        env=clean(**{**PATH, variable: url}),
        capture_output=True,
        text=True,
    )
    found = json.loads(done.stdout)
    # What is no URL is none that a program could send to.
    assert (found["workspace"], done.returncode) == (named, 0 if "llm-b" in url else 2)
    assert ("llm-b" if "llm-b" in url else "sends nothing") in str(found["notes"])


COMMANDS = (["status", "--json"], ["check", "--json"])


@pytest.mark.parametrize(
    "variables, wrong",
    [
        ({**PATH, "DASHSCOPE_WORKSPACE": "llm-a"}, ""),
        ({"DASHSCOPE_WORKSPACE": "llm-a"}, "not active"),
        ({**PATH, "DASHSCOPE_WORKSPACE": "not one"}, "'not one'"),
        ({"DASHSCOPE_WS_PATCH": "0"}, "DASHSCOPE_WS_PATCH switches it off"),
        ({**PATH, "DASHSCOPE_WORKSPACE": "llm-a", "DASHSCOPE_HTTP_BASE_URL":
          "https://llm-b.cn-beijing.maas.aliyuncs.com/api/v1"},
         "DASHSCOPE_HTTP_BASE_URL wins over llm-a"),
        ({**PATH, "DASHSCOPE_WORKSPACE": "llm-a", "DASHSCOPE_WS_PATCH_CLIENTS": "perhaps"},
         "DASHSCOPE_WS_PATCH_CLIENTS is 'perhaps'"),
    ],
)  # fmt: skip
def test_p17_status_check_and_doctor_agree_about_what_is_wrong(
    variables: dict[str, str], wrong: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And so do what they print and their exit status."""
    running = [
        subprocess.Popen(
            [sys.executable, "-m", "dashscope_ws_patch", *command],
            env=clean(LC_ALL="C", HOME=os.devnull, **variables),
            stdout=subprocess.PIPE,
            text=True,
        )
        for command in COMMANDS
    ]
    for name in [name for name in os.environ if name.startswith(("DASHSCOPE", "PYTHON"))]:
        monkeypatch.delenv(name)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    # What doctor says where the surfaces are right: it takes half a minute to drive them.
    doctor, verdict = judged(False, False, prospect())
    status, check = (json.loads(process.communicate()[0]) for process in running)
    codes = [process.returncode for process in running]
    assert codes == [status["status"], check["status"]]
    assert status["wrong"] == bool(wrong)
    # There is no key: whether the workspace works, check cannot say.
    assert [*codes, doctor] == ([1, 1, 1] if wrong else [0, 2, 0])
    assert check["here"]["answer"] == ("no" if wrong else "yes")
    assert ("NOT right here" in verdict) == bool(wrong)
    if wrong and status["active"]:
        for told in (status["notes"], check["here"]["said"], verdict):
            assert wrong in str(told)


def test_p17_status_knows_what_an_earlier_release_has_installed(python: str) -> None:
    """1.0.0 copied its start-up file into site-packages, by a name that is found first."""
    startup = """
import sys
class Finder:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name == "dashscope":
            import dashscope_ws_patch
sys.meta_path.insert(0, Finder)
"""
    found_by = "import sysconfig, sys; print(sysconfig.get_path('purelib'), sys.path, sep='\\n')"
    purelib, path = subprocess.run(
        [python, "-c", found_by], check=True, stdout=subprocess.PIPE, text=True
    ).stdout.splitlines()
    before = PathFinder.find_spec("sitecustomize", ast.literal_eval(path)[1:])
    if before is not None:
        pytest.skip(f"Debian's own comes first: {before.origin}")
    old = Path(purelib, "sitecustomize.py")
    old.write_bytes(sealed(startup))
    try:
        done = subprocess.run(
            [python, "-m", "dashscope_ws_patch", "status", "--json"],
            env=clean(DASHSCOPE_WORKSPACE="llm-a"), cwd="/", capture_output=True, text=True,
        )  # fmt: skip
    finally:
        old.unlink()
    found = json.loads(done.stdout)
    assert (done.returncode, found["active"]) == (0, True)
    assert found["ways"] == [f"install of an earlier release: {old}"]
