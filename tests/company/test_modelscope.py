"""The real modelscope_agent, the framework in which users meet Workspace.AccessDenied.

It names no workspace anywhere: ``import dashscope_ws_patch`` alone gives each of its requests the
ambient one, and with the switch (P15) those too that three of its tools post by themselves. Runs in
the tox environment ``modelscope``, and is skipped elsewhere.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Callable

import pytest

from dashscope_ws_patch import patch, use_workspace
from dashscope_ws_patch.selftest.loopback import Loopback
from dashscope_ws_patch.selftest.surfaces import Drive

if not find_spec("modelscope_agent"):
    pytest.skip("modelscope_agent is not installed", allow_module_level=True)

# What a framework is warned of, it is warned of.
pytestmark = pytest.mark.filterwarnings("ignore")

KEY = "sk-loopback"
MESSAGES = [{"role": "user", "content": "你好"}]


@pytest.fixture(scope="module", autouse=True)
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where modelscope_agent works; it asks the environment, and writes logs, when imported."""
    folder = tmp_path_factory.mktemp("modelscope")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("CODE_INTERPRETER_WORK_DIR", str(folder))
        patch.setenv("DASHSCOPE_API_KEY", KEY)
        # The recognition tool converts its file with ffmpeg; the service takes it as it is.
        ffmpeg = folder / "ffmpeg"
        ffmpeg.write_text('#!/bin/sh\nfor last; do :; done\nexec cp "$3" "$last"\n')
        ffmpeg.chmod(0o755)
        patch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
        yield folder


def chat_model() -> Any:
    llm = import_module("modelscope_agent.llm")
    return llm.get_chat_model("qwen-max", "dashscope", api_key=KEY)


def tool(module: str, name: str, **arguments: str) -> Any:
    path = f"modelscope_agent.tools.dashscope_tools.{module}"
    return getattr(import_module(path), name)().call(json.dumps(arguments))


def chat(folder: Path, drive: Drive) -> Any:
    return chat_model().chat(messages=MESSAGES, stream=False)


def chat_stream(folder: Path, drive: Drive) -> Any:
    return "".join(chat_model().chat(messages=MESSAGES, stream=True))


def raw_prompt(folder: Path, drive: Drive) -> Any:
    return chat_model().chat_with_raw_prompt("你好")


def embedding(folder: Path, drive: Drive) -> Any:
    return import_module("modelscope_agent.rag.emb").DashscopeEmbedding().get_text_embedding("你好")


def upload(folder: Path, drive: Drive) -> Any:
    get_upload_url = import_module("modelscope_agent.utils.utils").get_upload_url
    return get_upload_url("qwen-vl-plus", f"file://{drive.file}", KEY)


def image_question(folder: Path, drive: Drive) -> Any:
    (folder / "photo.png").write_bytes(Path(drive.file).read_bytes())
    return tool("qwen_vl", "QWenVL", image_file_paths="photo.png", text="这是什么")


def image_generation(folder: Path, drive: Drive) -> Any:
    return tool("image_generation", "TextToImageTool", text="猫", resolution="1024*1024")


def image_generation_lite(folder: Path, drive: Drive) -> Any:
    return tool("image_generation_lite", "TextToImageLiteTool", text="猫", resolution="1024*1024")


def recognition(folder: Path, drive: Drive) -> Any:
    (folder / "speech.wav").write_bytes(Path(drive.audio).read_bytes())
    return tool("paraformer_asr_tool", "ParaformerAsrTool", audio_path="speech.wav")


def synthesis(folder: Path, drive: Drive) -> Any:
    return tool("sambert_tts_tool", "SambertTtsTool", text="你好")


def repaint(folder: Path, drive: Drive) -> Any:
    (folder / "photo.png").write_bytes(Path(drive.file).read_bytes())
    named = {"input.image_path": "photo.png", "input.style_index": "1"}
    return tool("style_repaint", "StyleRepaint", **named)


def enhancement(folder: Path, drive: Drive) -> Any:
    (folder / "photo.png").write_bytes(Path(drive.file).read_bytes())
    named = {"input.image_path": "photo.png", "parameters.upscale": "2"}
    return tool("image_enhancement", "ImageEnhancement", **named)


def word_art(folder: Path, drive: Drive) -> Any:
    named = {
        "input.text.text_content": "猫",
        "input.prompt": "水果",
        "input.texture_style": "material",
        "input.text.output_image_ratio": "1:1",
    }
    return tool("wordart_tool", "WordArtTexture", **named)


#: The tools that post and poll by requests; the SDK is asked to upload for two of them.
RAW = [repaint, enhancement, word_art]

Use = Callable[[Path, Drive], Any]

#: What the framework does through the SDK, and how many requests reach the service for it.
USES: dict[Use, int] = {
    chat: 1,
    chat_stream: 1,
    raw_prompt: 1,
    embedding: 1,
    upload: 1,
    image_question: 2,
    image_generation: 2,
    image_generation_lite: 2,
    recognition: 1,
    synthesis: 1,
}

uses = pytest.mark.parametrize("use", USES, ids=[use.__name__ for use in USES])


def workspaces(loopback: Loopback) -> list[list[str]]:
    """What each request to the service carries; others must carry nothing."""
    requests = loopback.drain()
    assert not any(request.workspaces for request in requests if request.foreign)
    return [request.workspaces for request in requests if not request.foreign]


@uses
def test_p02_the_environments_workspace(
    use: Use, folder: Path, loopback: Loopback, drive: Drive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DASHSCOPE_WORKSPACE", "ws_environment")
    assert use(folder, drive)
    assert workspaces(loopback) == [["ws_environment"]] * USES[use]


@uses
def test_p02_the_scopes_workspace(
    use: Use, folder: Path, loopback: Loopback, drive: Drive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DASHSCOPE_WORKSPACE", "ws_environment")
    with use_workspace("ws_scope"):
        assert use(folder, drive)
    assert workspaces(loopback) == [["ws_scope"]] * USES[use]


@uses
def test_p03_no_workspace(use: Use, folder: Path, loopback: Loopback, drive: Drive) -> None:
    assert use(folder, drive)
    assert workspaces(loopback) == [[]] * USES[use]


def test_p04_the_upload_goes_to_object_storage_without_the_header(
    folder: Path, loopback: Loopback, drive: Drive
) -> None:
    with use_workspace("ws_scope"):
        upload(folder, drive)
    certificate, stored = loopback.drain()
    assert (certificate.foreign, certificate.workspaces) == (False, ["ws_scope"])
    assert (stored.foreign, stored.workspaces) == (True, [])


def test_a_stream_keeps_the_scope_in_which_it_was_asked_for(
    folder: Path, loopback: Loopback, drive: Drive
) -> None:
    model = chat_model()
    with use_workspace("ws_asked"):
        answer = model.chat(messages=MESSAGES, stream=True)
    with use_workspace("ws_read"):
        assert "".join(answer)
    assert workspaces(loopback) == [["ws_asked"]]


@pytest.mark.parametrize("use", RAW)
def test_p15_the_raw_tools(use: Use, folder: Path, loopback: Loopback, drive: Drive) -> None:
    uploads = [["ws_scope"]] * (use is not word_art)
    with use_workspace("ws_scope"):
        use(folder, drive)
        assert workspaces(loopback) == [*uploads, [], []]  # the switch is off
        patch(clients=True)
        try:
            use(folder, drive)
        finally:
            patch(clients=False)
    assert workspaces(loopback) == [*uploads, ["ws_scope"], ["ws_scope"]]
