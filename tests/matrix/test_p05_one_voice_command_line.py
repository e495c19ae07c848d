"""The ``dashscope`` command and its assistant, in processes of their own.

The workspace is ambient there by way of the environment, or of a scope around the command.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import dashscope
import pytest
from environments import ROOT
from one_voice import voice

from dashscope_ws_patch.selftest.loopback import Loopback, Request

PACKAGE = Path(dashscope.__file__).parent
ENV, ENV_ID, CALL, SCOPE = "ws-env", "ws-id", "ws-call", "ws-scope"

PROGRAM = """
import sys, contextlib
port, scope, *words = sys.argv[1:]
from dashscope_ws_patch import use_workspace
from dashscope_ws_patch.selftest.loopback import redirect
with redirect(int(port)), use_workspace(scope) if scope else contextlib.nullcontext():
    if words[0] == "provider":
        import asyncio
        from dashscope.acli.providers.tongyi import TongyiProvider
        async def talk():
            provider = TongyiProvider(api_key="sk-loopback")
            messages = [{"role": "user", "content": "hello"}]
            await provider.chat(messages)
            async for _ in provider.chat_stream(messages):
                pass
        asyncio.run(talk())
    else:
        from dashscope.cli import main
        sys.argv = ["dashscope", *words]
        main()
"""


def run(
    loopback: Loopback, tmp_path: Path, words: str, scope: str = "", **variables: str
) -> list[Request]:
    """What a command sends to the service."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("DASHSCOPE_")}
    environment.update(
        HOME=str(tmp_path),
        PYTHONPATH=str(ROOT),
        DASHSCOPE_API_KEY="sk-loopback",
        **variables,
    )
    subprocess.run(
        [sys.executable, "-c", PROGRAM, str(loopback.port), scope, *words.split()],
        env=environment,
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=False,
        timeout=1200,
    )
    return [request for request in loopback.drain() if not request.foreign]


GENERATE = "generation create -m qwen-plus -p hello"
LEGACY = "dashscope.aliyuncs.com"
LABELLED = ".ap-southeast-1.maas.aliyuncs.com"

command = pytest.mark.skipif(not (PACKAGE / "cli").exists(), reason="has another command")
acli = pytest.mark.skipif(not (PACKAGE / "acli").exists(), reason="has no assistant")


@command
@pytest.mark.parametrize("words", ["files list", "models list", f"{GENERATE} --stream"])
def test_command_in_an_environment(words: str, loopback: Loopback, tmp_path: Path) -> None:
    if not (PACKAGE / "cli" / f"{words.split()[0]}.py").exists():
        pytest.skip("has no such command")
    sent = run(loopback, tmp_path, words, DASHSCOPE_WORKSPACE=ENV, DASHSCOPE_WORKSPACE_ID=ENV_ID)
    assert {voice(request) for request in sent} == {(ENV, LEGACY)}


@command
def test_command_in_a_scope(loopback: Loopback, tmp_path: Path) -> None:
    sent = run(loopback, tmp_path, GENERATE, SCOPE, DASHSCOPE_WORKSPACE=ENV)
    assert [voice(request) for request in sent] == [(SCOPE, LEGACY)]


@command
def test_command_that_is_told(loopback: Loopback, tmp_path: Path) -> None:
    source = PACKAGE / "cli" / "embeddings.py"
    if not source.exists() or "--workspace" not in source.read_text():
        pytest.skip("has no such option")
    words = f"embeddings create -m text-embedding-v1 --input hello --workspace {CALL}"
    sent = run(loopback, tmp_path, words, DASHSCOPE_WORKSPACE=ENV)
    assert [voice(request) for request in sent] == [(CALL, LEGACY)]


@command
@pytest.mark.skipif(not hasattr(dashscope, "set_region"), reason="has no regional hosts")
@pytest.mark.parametrize("variables, workspace", [
    ({"DASHSCOPE_WORKSPACE_ID": ENV_ID}, ENV_ID),
    ({"DASHSCOPE_WORKSPACE": ENV, "DASHSCOPE_WORKSPACE_ID": ENV_ID}, ENV),
])  # fmt: skip
def test_command_in_a_region(
    variables: dict[str, str], workspace: str, loopback: Loopback, tmp_path: Path
) -> None:
    variables = {**variables, "DASHSCOPE_API_REGION": "ap-southeast-1"}
    sent = run(loopback, tmp_path, GENERATE, **variables)
    assert [voice(request) for request in sent] == [(workspace, workspace + LABELLED)]


@acli
@pytest.mark.skipif(not importlib.util.find_spec("httpx"), reason="needs httpx")
def test_assistants_provider(loopback: Loopback, tmp_path: Path) -> None:
    for scope, workspace in (("", ENV), (SCOPE, SCOPE)):
        sent = run(loopback, tmp_path, "provider", scope, DASHSCOPE_WORKSPACE=ENV)
        assert len(sent) == 2
        assert {voice(request)[0] for request in sent} == {workspace}
