"""The order of precedence, rules 2 to 7, and how long a scope holds (rules 3 and 4)."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable
from unittest import mock

import pytest
from record import AMBIENT, NAMED, POINTED, POINTED_HOST, environment, pointed
from sdk_calls import (
    AIO_GENERATION,
    FINE_TUNES,
    GENERATION,
    OBJECTS,
    RUNS,
    STREAMS,
    in_new_process,
    make_conversation,
    need,
    reached,
    seen,
)

from dashscope_ws_patch import reset_workspace, set_workspace, use_workspace
from dashscope_ws_patch.selftest.loopback import Loopback
from dashscope_ws_patch.selftest.surfaces import Drive, find

ASYNC_TASKS = "dashscope.client.base_api:BaseAsyncAioApi"


@pytest.fixture(params=OBJECTS)
def kind(request: pytest.FixtureRequest) -> tuple[Callable[..., Any], Callable[[Any], object]]:
    name, make, send = OBJECTS[request.param]
    need(name)
    return make, send


Kind = tuple[Callable[..., Any], Callable[[Any], object]]


def _named(make: Callable[..., Any]) -> Any:
    try:
        return make(workspace=NAMED)
    except TypeError:
        pytest.skip("this constructor takes no workspace")


def test_rule_2_the_constructors_workspace_beats_the_scope(kind: Kind, loopback: Loopback) -> None:
    make, send = kind
    if make is make_conversation:
        pytest.skip("this constructor takes no workspace")
    need(f"{GENERATION}.call(workspace)")  # up to 1.16 it is a parameter like any other
    made = _named(make)
    with use_workspace(AMBIENT):
        send(made)
    assert set(seen(loopback)) == {NAMED}


def test_rule_3_the_scope_at_the_call_beats_that_of_the_constructor(
    kind: Kind, loopback: Loopback
) -> None:
    make, send = kind
    with use_workspace("ws_born"):
        made = make()
    with use_workspace(AMBIENT):
        send(made)
    assert set(seen(loopback)) == {AMBIENT}


def test_rule_3_no_workspace_here_beats_the_constructors_scope(
    kind: Kind, loopback: Loopback
) -> None:
    make, send = kind
    with use_workspace("ws_born"):
        made = make()
    with environment(DASHSCOPE_WORKSPACE=AMBIENT), use_workspace(None):
        send(made)
    assert set(seen(loopback)) == {"-"}


def test_rule_4_the_scope_of_the_constructor_beats_the_environment(
    kind: Kind, loopback: Loopback, request: pytest.FixtureRequest
) -> None:
    make, send = kind
    with use_workspace("ws_born"):
        made = make()
    with environment(DASHSCOPE_WORKSPACE=AMBIENT):
        send(made)
    assert set(seen(loopback)) == {"ws_born"}


def test_rule_4_no_workspace_at_the_constructor_beats_the_environment(
    kind: Kind, loopback: Loopback, request: pytest.FixtureRequest
) -> None:
    make, send = kind
    with use_workspace(None):
        made = make()
    with environment(DASHSCOPE_WORKSPACE=AMBIENT):
        send(made)
    assert set(seen(loopback)) == {"-"}


def test_rule_6_the_environment_is_read_at_the_call(kind: Kind, loopback: Loopback) -> None:
    make, send = kind
    with environment(DASHSCOPE_WORKSPACE="ws_before"):
        made = make()
    with environment(DASHSCOPE_WORKSPACE_ID=AMBIENT):
        send(made)
    assert set(seen(loopback)) == {AMBIENT}


def test_rule_4_agentic_rl(
    drive: Drive, loopback: Loopback, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    need("dashscope.finetune.agentic_rl:AgenticRL.register_functions")
    import dashscope.finetune.reinforcement as rl

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DASHSCOPE_API_KEY", "sk-loopback")
    (tmp_path / "requirements.txt").write_text("requests")
    (tmp_path / "processor.py").write_text("class Processor: pass")
    with use_workspace(AMBIENT):
        tuning = find("dashscope.finetune.agentic_rl:AgenticRL")()
    code = rl.FunctionComponentModel(classpath="processor.Processor")
    tuning.tuning.functions = [rl.RewardFunctionComponent(fcmodel=code)]
    with environment(DASHSCOPE_WORKSPACE="ws_other"), contextlib.suppress(Exception):
        drive.run(tuning.register_functions())
    assert set(seen(loopback)) == {AMBIENT}


# How long a scope holds


@pytest.fixture(params=STREAMS)
def stream(request: pytest.FixtureRequest) -> Callable[[], Any]:
    name, begin = STREAMS[request.param]
    need(name)
    return begin


@pytest.mark.parametrize("around", ["nothing", "another scope", "no workspace"])
def test_rule_3_a_stream_holds_the_scope_it_was_begun_in(
    stream: Callable[[], Any], around: str, loopback: Loopback
) -> None:
    with use_workspace(AMBIENT):
        begun = stream()
    others = {"another scope": "ws_other", "no workspace": None}
    with use_workspace(others[around]) if around in others else contextlib.nullcontext():
        assert list(begun)
    assert set(seen(loopback)) == {AMBIENT}


def test_rule_3_a_stream_leaves_its_consumer_alone(
    stream: Callable[[], Any], loopback: Loopback
) -> None:
    from dashscope_ws_patch import get_workspace

    with use_workspace(AMBIENT):
        begun = stream()
    with use_workspace("ws_consumer"):
        for _ in begun:
            assert get_workspace() == "ws_consumer"
            assert find(GENERATION).call("qwen-turbo", "hi")
    workspaces = seen(loopback)
    assert workspaces.count(AMBIENT) == 1 and set(workspaces) == {AMBIENT, "ws_consumer"}


COROUTINES: dict[str, dict[str, Any]] = {
    f"{AIO_GENERATION}.call": {"model": "m", "prompt": "hi"},
    f"{AIO_GENERATION}.call, a stream": {"model": "m", "prompt": "hi", "stream": True},
    "dashscope.aigc.chat_completion:AioGeneration.call": {"model": "m", "prompt": "hi"},
    "dashscope.aigc.multimodal_conversation:AioMultiModalConversation.call": {
        "model": "m", "messages": [{"role": "user", "content": [{"text": "hi"}]}],
    },
    "dashscope.aigc.image_synthesis:AioImageSynthesis.call": {"model": "m", "prompt": "hi"},
    "dashscope.aigc.image_synthesis:AioImageSynthesis.fetch": {"task": "task-1"},
    "dashscope.aigc.image_generation:AioImageGeneration.cancel": {"task": "task-1"},
    "dashscope.aigc.video_synthesis:AioVideoSynthesis.wait": {"task": "task-1"},
    "dashscope.embeddings.multimodal_embedding:AioMultiModalEmbedding.call": {
        "model": "m", "input": [{"text": "hi"}],
    },
    "dashscope.rerank.text_rerank:AioTextReRank.call": {
        "model": "m", "query": "hi", "documents": ["hi"],
    },
}  # fmt: skip


@pytest.mark.parametrize("which", COROUTINES)
def test_rule_3_a_coroutine_holds_the_scope_it_was_created_in(
    which: str, drive: Drive, loopback: Loopback
) -> None:
    target = which.partition(",")[0]
    need(target)

    async def call() -> None:
        with use_workspace(AMBIENT):
            coroutine = find(target)(**COROUTINES[which])
        with use_workspace("ws_other"):
            result = await coroutine
            if inspect.isasyncgen(result):
                async for _ in result:
                    pass

    drive.run(call())
    assert set(seen(loopback)) == {AMBIENT}


# Rule 5


@contextlib.contextmanager
def _region() -> Iterator[None]:
    import dashscope

    bases = {name: value for name, value in vars(dashscope).items() if name.startswith("base_")}
    with mock.patch.multiple(dashscope, **bases):
        dashscope.set_region("cn-beijing", POINTED)
        yield


@pytest.mark.parametrize("protocol", ["https", "websocket"])
def test_rule_5_set_region_beats_the_environment(loopback: Loopback, protocol: str) -> None:
    need("dashscope:set_region")
    with _region(), environment(DASHSCOPE_WORKSPACE=AMBIENT):
        find(GENERATION).call("qwen-turbo", "hi", api_protocol=protocol)
    assert reached(loopback.drain()) == [(POINTED_HOST, "")]


@pytest.mark.parametrize("protocol", ["https", "websocket"])
def test_rule_5_a_scope_beats_set_region(loopback: Loopback, protocol: str) -> None:
    need("dashscope:set_region")
    with _region(), use_workspace(AMBIENT):
        find(GENERATION).call("qwen-turbo", "hi", api_protocol=protocol)
    host = POINTED_HOST.replace(POINTED, AMBIENT)
    assert reached(loopback.drain()) == [(host, AMBIENT)]


def test_rule_5_no_workspace_here_leaves_the_pointed_host(loopback: Loopback) -> None:
    with pointed(POINTED_HOST), use_workspace(AMBIENT), use_workspace(None):
        find(GENERATION).call("qwen-turbo", "hi")
    assert reached(loopback.drain()) == [(POINTED_HOST, "")]


#: One call of each class of methods that send by themselves, and the argument that takes a URL.
_ADDRESSED: dict[str, Callable[..., Any]] = {
    f"{GENERATION}.call": lambda call, **url: call("m", "hi", **url),
    "dashscope.app.application:Application.call": lambda call, **url: call("app-1", "hi", **url),
    "dashscope.multimodal.tingwu.tingwu:TingWu.call": lambda call, **url: call("m", {}, **url),
    "dashscope.audio.http_tts.http_speech_synthesizer:HttpSpeechSynthesizer.call": (
        lambda call, base_address: call("m", "hi", "voice", url=base_address)
    ),
    "dashscope.embeddings.batch_text_embedding:BatchTextEmbedding.async_call": (
        lambda call, **url: call("m", "https://example.com/text", **url)
    ),
    **dict.fromkeys(
        (
            "dashscope.files:Files.list",
            "dashscope.models:Models.list",
            "dashscope.assistants:Assistants.list",
            "dashscope.threads:Threads.create",
        ),
        lambda call, **url: call(**url),
    ),
    **dict.fromkeys(
        (
            "dashscope.files:Files.get",
            "dashscope.files:Files.delete",
            "dashscope.models:Models.get",
            f"{FINE_TUNES}.get",
            f"{FINE_TUNES}.cancel",
            f"{FINE_TUNES}.logs",
            "dashscope.finetune:FineTune.logs",
            f"{FINE_TUNES}.stream_events",
            "dashscope.assistants:Assistants.update",
        ),
        lambda call, **url: call("an-id", **url),
    ),
    "dashscope.files:Files.upload": (
        lambda call, **url: call(__file__, purpose="assistants", **url)
    ),
    "dashscope:Deployments.scale": lambda call, **url: call("d-1", 2, **url),
    f"{RUNS}.wait": lambda call, **url: call("run-1", thread_id="t-1", **url),
}


@pytest.mark.parametrize("target", _ADDRESSED)
def test_rule_3_the_module_level_url_given_again_follows_the_scope(
    target: str, loopback: Loopback, drive: Drive
) -> None:
    """``base_address=dashscope.base_http_api_url`` is no URL of the calling code."""
    import dashscope

    if target != f"{GENERATION}.call":
        need(target, "dashscope.files:Files")  # where the classes of before take no URL
    with pointed(POINTED_HOST), use_workspace(AMBIENT):
        sent = _ADDRESSED[target](find(target), base_address=dashscope.base_http_api_url)
        if inspect.isgenerator(sent):
            assert list(sent)
    host = POINTED_HOST.replace(POINTED, AMBIENT)
    assert set(reached(loopback.drain())) == {(host, AMBIENT)}


# What the SDK reads from the environment when it is imported

HONGKONG = "cn-hongkong.maas.aliyuncs.com"
_CALLS = [f"Generation.call('m', 'hi', api_protocol={name!r})" for name in ("https", "websocket")]


def _in_scope(call: str) -> str:
    return f"with use_workspace('ws-s'): {call}"


def test_rule_5_base_urls_of_the_environment() -> None:
    """``DASHSCOPE_HTTP_BASE_URL`` and its like."""
    found = in_new_process(
        *_CALLS,
        *map(_in_scope, _CALLS),
        DASHSCOPE_WORKSPACE="ws_env",
        DASHSCOPE_HTTP_BASE_URL=f"https://{POINTED_HOST}/api/v1",
        DASHSCOPE_WEBSOCKET_BASE_URL=f"wss://{POINTED_HOST}/api-ws/v1/inference",
    )
    assert found == [[f"{POINTED_HOST} "]] * 2 + [["ws-s.cn-beijing.maas.aliyuncs.com ws-s"]] * 2


_LATER = "os.environ['DASHSCOPE_WORKSPACE_ID'] = 'ws-later'; "
_GONE = "del os.environ['DASHSCOPE_WORKSPACE_ID']; "


@pytest.mark.parametrize(
    "variables, steps",
    [
        (
            {"DASHSCOPE_WORKSPACE_ID": "ws-id"},
            {
                "": "ws-id ws-id",
                "with use_workspace('ws-s'): ": "ws-s ws-s",
                "with use_workspace(None): ": "ws-id ",
                _LATER: "ws-later ws-later",
                _GONE: "ws-id ",
            },
        ),
        (
            {"DASHSCOPE_WORKSPACE": "ws-w"},
            {"": "ws-w ws-w", "with use_workspace('ws-s'): ": "ws-s ws-s"},
        ),
        (
            {"DASHSCOPE_WORKSPACE": "ws-w", "DASHSCOPE_WORKSPACE_ID": "ws-id"},
            {"": "ws-w ws-w", "with use_workspace(None): ": "ws-id "},
        ),
    ],
    ids=["DASHSCOPE_WORKSPACE_ID", "DASHSCOPE_WORKSPACE", "both"],
)
def test_rule_6_hosts_built_from_the_environment(
    variables: dict[str, str], steps: dict[str, str]
) -> None:
    """Regional hosts, from 1.27.5 on."""
    need("dashscope.common.env:resolve_base_url")
    found = in_new_process(
        *(step + "; ".join(_CALLS) for step in steps),
        DASHSCOPE_API_REGION="cn-hongkong",
        **variables,
    )
    expected = [value.replace(" ", f".{HONGKONG} ") for value in steps.values()]
    assert found == [[value] * len(_CALLS) for value in expected]


# Tokens


def test_rule_3_set_workspace_until_reset(loopback: Loopback) -> None:
    token = set_workspace(AMBIENT)
    find(GENERATION).call("m", "hi")
    reset_workspace(token)
    find(GENERATION).call("m", "hi")
    assert seen(loopback) == [AMBIENT, "-"]


def test_rule_7_an_empty_argument_names_nothing(loopback: Loopback) -> None:
    need(f"{GENERATION}.call(workspace)")
    with use_workspace(AMBIENT):
        find(GENERATION).call("m", "hi", workspace="")
        find(GENERATION).call("m", "hi", workspace=None)
    assert seen(loopback) == [AMBIENT] * 2


def test_rule_7_a_blank_argument_of_the_list_of_tasks(drive: Drive, loopback: Loopback) -> None:
    need(f"{ASYNC_TASKS}.list(workspace)")
    with use_workspace(AMBIENT):
        drive.run(find(ASYNC_TASKS).list(workspace=" "))
    assert seen(loopback) == [AMBIENT]


def test_rule_7_an_empty_header_names_nothing(loopback: Loopback) -> None:
    with use_workspace(AMBIENT):
        find(GENERATION).call("m", "hi", headers={"x-dashscope-workspace": ""})
    assert seen(loopback) == [AMBIENT]


def test_rule_7_an_empty_header_names_nothing_async(drive: Drive, loopback: Loopback) -> None:
    need(AIO_GENERATION)
    with use_workspace(AMBIENT):
        drive.run(find(AIO_GENERATION).call("m", "hi", headers={"x-dashscope-workspace": ""}))
    assert seen(loopback) == [AMBIENT]
