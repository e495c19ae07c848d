"""The hint: when the service refuses, the user learns why, once; the program sees nothing of it."""

from __future__ import annotations

import asyncio
import contextlib
import http.server
import importlib
import json
import logging
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any, Callable

import pytest
from environments import ROOT
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import dashscope_ws_patch as shim
from dashscope_ws_patch.hint import refusals as _denied
from dashscope_ws_patch.hint import say, watch
from dashscope_ws_patch.hint.say import hint
from dashscope_ws_patch.selftest import surfaces as _surfaces
from dashscope_ws_patch.selftest import surfaces_v2 as _surfaces_v2
from dashscope_ws_patch.selftest.accounts import Accounts
from dashscope_ws_patch.selftest.loopback import Denial, Loopback, Policy, Request, redirect
from dashscope_ws_patch.selftest.surfaces import API_KEY, Drive, Surface, has

KINDS = ("Workspace.AccessDenied", "Model.AccessDenied", "AccessDenied.Unpurchased")
HOST = "dashscope.aliyuncs.com"

# The command line runs in a process of its own, where its user reads the hint on stderr.
SURFACES = {
    surface.name: surface
    for surface in [*_surfaces.surfaces(), *_surfaces_v2.surfaces()]
    if surface.group != "command line"
}


def needs(what: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(not has(what), reason=f"this SDK release has no {what}")


V2 = needs("dashscope.v2:DashScopeError")


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    """No workspace, English, and no hint given yet."""
    for name in ("DASHSCOPE_WORKSPACE", "DASHSCOPE_WORKSPACE_ID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LC_ALL", "C")
    say._hinted.clear()


@pytest.fixture(autouse=True, scope="module")
def seams() -> Iterator[None]:
    """The table applied, and failing where a row does not fit."""
    with pytest.MonkeyPatch.context() as patch:
        shim.unpatch()
        patch.setenv("DASHSCOPE_WS_PATCH_STRICT", "1")
        shim.patch()
        yield
        shim.unpatch()
    shim.patch()


class Hints(logging.Handler):
    """What the shim has logged."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)

    @property
    def texts(self) -> list[str]:
        return [record.getMessage() for record in self.records]

    def only(self) -> str:
        """The text of the one hint that there is."""
        assert len(self.records) == 1, self.texts
        assert self.records[0].levelno == logging.WARNING
        return self.texts[0]


@pytest.fixture()
def hints() -> Iterator[Hints]:
    handler, logger = Hints(), logging.getLogger("dashscope_ws_patch")
    logger.addHandler(handler)
    yield handler
    logger.removeHandler(handler)


@contextlib.contextmanager
def serving(policy: Policy) -> Iterator[Drive]:
    """The SDK against a loopback service with ``policy``."""
    with Loopback(policy=policy) as loopback, redirect(loopback.port):
        drive = Drive(loopback)
        with _surfaces.prepare(drive):
            yield drive


class Refusing:
    """A policy that refuses everybody: a websocket at its first task, or at its ``handshake``."""

    def __init__(self, code: str = KINDS[0], handshake: bool = False) -> None:
        message = next(r.message for r in _denied.REFUSALS if r.code == code)
        self._denial = Denial(403, code, message)
        self._handshake = handshake
        self.refused: list[Request] = []

    def __call__(self, request: Request) -> Denial | None:
        opening = request.header("Upgrade") and not request.messages
        if request.foreign or (opening and not self._handshake):
            return None
        self.refused.append(request)
        return self._denial


def generate(**kwargs: Any) -> Any:
    from dashscope import Generation

    return Generation.call(**{"model": "qwen-turbo", "prompt": "hello", **kwargs})


def client(**kwargs: Any) -> Any:
    from dashscope import Client

    return Client(**{"api_key": API_KEY, **kwargs})


# --- every surface -------------------------------------------------------------------------------


def outcome(drive: Drive, surface: Surface) -> str:
    """What the calling code sees of a surface."""
    try:
        seen = repr(surface.drive(drive))
    except Exception as error:
        seen = f"{type(error)} {error} {error.args} {vars(error)}"
    return constant(seen)


def constant(seen: str) -> str:
    """What was seen, but for what differs from call to call."""
    for varying in (
        r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
        r"\b[0-9a-f]{32}\b",
        r"0x[0-9a-f]+",
        r"\w{3}, \d\d \w{3} \d{4} [\d:]{8} GMT",
        r"\d{4}-\d\d-\d\dT[\d:.]+",
    ):
        seen = re.sub(varying, "*", seen)
    return seen


# The refusal comes in a thread of the SDK: what the caller sees first is a matter of luck.
RACING = re.compile(r"\.start$|tts_v2|SpeechSynthesizerObjectPool|Realtime$|Dialog$|Conversation$")


@pytest.fixture(scope="module")
def refusing() -> Iterator[tuple[Drive, Refusing]]:
    """A service that refuses everybody, and its policy."""
    policy = Refusing()
    with serving(policy) as drive:
        yield drive, policy


@pytest.fixture
def drive(refusing: tuple[Drive, Refusing]) -> Drive:
    """The SDK against it; nothing refused yet."""
    drive, policy = refusing
    policy.refused.clear()
    drive.named = {}
    return drive


@pytest.fixture(scope="module")
def native(seams: None, refusing: tuple[Drive, Refusing]) -> dict[str, str]:
    """What each surface does with a refusal where the SDK is not patched."""
    drive, _ = refusing
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DASHSCOPE_WORKSPACE", "ws_ambient")
        shim.unpatch()
        try:
            return {surface.name: outcome(drive, surface) for surface in SURFACES.values()}
        finally:
            shim.patch()


@pytest.mark.parametrize("name", SURFACES)
def test_every_surface_hints_and_shows_what_it_would_natively(
    name: str,
    native: dict[str, str],
    refusing: tuple[Drive, Refusing],
    drive: Drive,
    hints: Hints,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DASHSCOPE_WORKSPACE", "ws_ambient")
    seen = outcome(drive, SURFACES[name])
    if not RACING.search(name):
        assert seen == native[name]
    sent = {told(request) for request in refusing[1].refused}
    assert bool(hints.texts) == bool(sent)
    assert len(set(hints.texts)) == len(hints.texts)
    for text in hints.texts:
        assert text.startswith(f"Workspace.AccessDenied: '{HOST}' refused a request")
        assert any(each in text for each in sent)


@pytest.mark.parametrize("name", SURFACES)
def test_every_surface_tells_what_is_named_from_what_is_ambient(
    name: str, refusing: tuple[Drive, Refusing], drive: Drive, hints: Hints
) -> None:
    drive.named = {"workspace": "ws_named"}
    with shim.use_workspace("ws_scope"):
        outcome(drive, SURFACES[name])
    assert bool(hints.texts) == bool(refusing[1].refused)
    explicit = ("the calling code",)
    for text in hints.texts:
        sources = explicit if "'ws_named'" in text else ("the scope (use_workspace)",)
        assert any(f"', from {source}." in text for source in sources), text


@needs("dashscope.audio.tts_v2:SpeechSynthesizer")
@pytest.mark.parametrize("handshake", [False, True])
def test_a_websocket_callback_sees_what_it_would_natively(handshake: bool, hints: Hints) -> None:
    from dashscope.audio import tts_v2

    def callbacks() -> list[str]:
        seen: list[str] = []
        over = threading.Event()

        class Callback(tts_v2.ResultCallback):
            def on_open(self) -> None:
                seen.append("on_open")

            def on_error(self, message: Any) -> None:
                seen.append(constant(f"on_error {message!r}"))

            def on_close(self) -> None:
                seen.append("on_close")
                over.set()

        with serving(Refusing(handshake=handshake)), contextlib.suppress(Exception):
            synthesizer = tts_v2.SpeechSynthesizer(
                model="cosyvoice-v2", voice="longwan", callback=Callback()
            )
            try:
                synthesizer.streaming_call("hello")
            except Exception as error:
                seen.append(f"{type(error)} {error}")
            over.wait(0 if handshake else 60)
        return seen

    patched = callbacks()
    shim.unpatch()
    try:
        native = callbacks()
    finally:
        shim.patch()
    assert [call for call in patched if "on_" in call] == [call for call in native if "on_" in call]
    assert "for the model 'cosyvoice-v2'. It named no workspace." in hints.only()


def told(request: Request) -> str:
    """What the hint must say of the workspace that ``request`` carried."""
    if not request.workspaces:
        return "It named no workspace."
    return f"It named the workspace {request.workspaces[0]!r}"


# --- what it says --------------------------------------------------------------------------------


@pytest.mark.parametrize("code", KINDS)
def test_the_hint_says_what_was_sent_and_what_to_do(code: str, hints: Hints) -> None:
    refusal = next(r for r in _denied.REFUSALS if r.code == code)
    with serving(Refusing(code)):
        assert generate().code == code
    assert hints.only() == (
        f"{code}: '{HOST}' refused a request for the model 'qwen-turbo'. It named no workspace. "
        f"{refusal.meaning.en} {refusal.advice.en} {_denied.MAIN_ACCOUNT.en} "
        "To ask the service what is wrong: python -m dashscope_ws_patch check"
    )


def test_the_hint_is_in_the_language_of_the_locale(
    hints: Hints, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LC_ALL", "zh_CN.UTF-8")
    monkeypatch.setenv("DASHSCOPE_WORKSPACE", "ws_a")
    with serving(Refusing()):
        generate()
    text = hints.only()
    assert "请求指定的业务空间是 'ws_a'，来自DASHSCOPE_WORKSPACE。" in text
    assert _denied.WORKSPACE_DENIED.advice.zh in text


def test_a_hint_is_given_once_for_each_code_workspace_and_model(hints: Hints) -> None:
    with serving(Refusing()):
        for _ in range(3):
            for model in ("qwen-turbo", "qwen-max"):
                for workspace in ("ws_a", "ws_b"):
                    with shim.use_workspace(workspace):
                        generate(model=model)
    assert len(hints.texts) == len(set(hints.texts)) == 4


def test_p8_two_tenants_get_a_hint_each(hints: Hints) -> None:
    gate = threading.Barrier(2)

    def tenant(workspace: str) -> None:
        with shim.use_workspace(workspace):
            gate.wait()
            for _ in range(5):
                generate()

    with serving(Refusing()):
        threads = [threading.Thread(target=tenant, args=(name,)) for name in ("ws_a", "ws_b")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(hints.texts) == 2
    assert all("from the scope (use_workspace)." in text for text in hints.texts)
    assert {name for name in ("ws_a", "ws_b") for text in hints.texts if name in text} == {
        "ws_a",
        "ws_b",
    }


def test_a_success_gives_no_hint(hints: Hints) -> None:
    with serving(lambda request: None):
        assert generate().status_code == 200
        assert all(part.status_code == 200 for part in generate(stream=True))
        # What a model writes is no refusal.
        assert watch._code({"status_code": 200, "output": {"text": "Model.AccessDenied"}}) is None
        assert watch._code(json.dumps({"type": "text", "delta": "Model.AccessDenied"})) is None
    assert hints.texts == []


def test_another_error_gives_no_hint(hints: Hints) -> None:
    with serving(lambda request: Denial(400, "DataInspectionFailed", "Access denied.")):
        assert generate().status_code == 400
    assert hints.texts == []


# --- where the workspace came from ---------------------------------------------------------------


NAMING = needs("dashscope.client.base_api:_workspace_header")
HEADER = {"X-DashScope-WorkSpace": "ws_a"}


@NAMING
@pytest.mark.parametrize(
    "named, source",
    [
        ({"workspace": "ws_a"}, "the calling code"),
        ({"headers": HEADER}, "the calling code"),
    ],
)
def test_names_the_argument_or_the_header(
    named: dict[str, Any], source: str, hints: Hints, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DASHSCOPE_WORKSPACE", "ws_ambient")
    models: Any = importlib.import_module("dashscope.models")
    with serving(Refusing()):
        (vars(models).get("Models") or models.Model).list(**named)
    assert f"the workspace 'ws_a', from {source}." in hints.only()


@NAMING
@pytest.mark.parametrize(
    "named, source",
    [
        ({"workspace": "ws_a"}, "the calling code"),
        ({"headers": HEADER}, "the calling code"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_names_the_argument_or_the_header_of_a_request_object(
    named: dict[str, Any],
    source: str,
    stream: bool,
    hints: Hints,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DASHSCOPE_WORKSPACE", "ws_ambient")
    with serving(Refusing()):
        answer = generate(stream=stream, **named)
        if stream:
            list(answer)
    assert f"the workspace 'ws_a', from {source}." in hints.only()


def test_names_the_scope_that_was_left_before_the_stream_was_read(hints: Hints) -> None:
    with serving(Refusing()):
        with shim.use_workspace("ws_a"):
            answer = generate(stream=True)
        list(answer)
    assert "the workspace 'ws_a', from the scope" in hints.only()


@pytest.mark.parametrize("variable", ["DASHSCOPE_WORKSPACE", "DASHSCOPE_WORKSPACE_ID"])
def test_names_the_variable(variable: str, hints: Hints, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, "ws_a")
    with serving(Refusing()):
        generate()
    assert f"the workspace 'ws_a', from {variable}." in hints.only()


def test_names_the_scope(hints: Hints, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DASHSCOPE_WORKSPACE", "ws_ambient")
    with serving(Refusing()), shim.use_workspace("ws_a"):
        list(generate(stream=True))
    assert "the workspace 'ws_a', from the scope (use_workspace)." in hints.only()


def test_names_the_scope_of_a_websocket_which_runs_in_a_thread(
    hints: Hints, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DASHSCOPE_WORKSPACE", "ws_ambient")
    with serving(Refusing()):
        with shim.use_workspace("ws_a"):
            answer = generate(api_protocol="websocket", stream=True)
        list(answer)
    assert "the workspace 'ws_a', from the scope (use_workspace)." in hints.only()


def test_names_none_where_a_scope_hides_the_environment(
    hints: Hints, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DASHSCOPE_WORKSPACE", "ws_ambient")
    with serving(Refusing()), shim.use_workspace(None):
        generate()
    assert "It named no workspace." in hints.only()


def test_names_the_host(hints: Hints, monkeypatch: pytest.MonkeyPatch) -> None:
    import dashscope

    monkeypatch.setenv("DASHSCOPE_WORKSPACE", "ws_ambient")
    host = "ws-a.cn-beijing.maas.aliyuncs.com"
    with serving(Refusing()) as drive:
        base_url = drive.loopback.address(host, "/api/v1")
        with monkeypatch.context() as pointed:  # put back before the drive is
            pointed.setattr(dashscope, "base_http_api_url", base_url)
            generate()
    assert f"'{host}' refused a request" in hints.only()
    assert "the workspace 'ws-a', from the host." in hints.only()


@needs("dashscope.audio.tts_v2:SpeechSynthesizer")
def test_names_the_object(hints: Hints, monkeypatch: pytest.MonkeyPatch) -> None:
    from dashscope.audio.tts_v2 import SpeechSynthesizer

    monkeypatch.setenv("DASHSCOPE_WORKSPACE", "ws_ambient")
    with serving(Refusing()):
        synthesizer = SpeechSynthesizer(model="cosyvoice-v2", voice="longwan", workspace="ws_a")
        with contextlib.suppress(Exception):
            synthesizer.call("hello")
    assert "the workspace 'ws_a', from the calling code." in hints.only()


@V2
def test_names_the_client(hints: Hints, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DASHSCOPE_WORKSPACE", "ws_ambient")
    with serving(Refusing()) as drive:
        base_url = drive.loopback.address(HOST, "/api/v1")
        with pytest.raises(Exception, match="Workspace access denied"):
            client(workspace="ws_a", base_url=base_url).models.list()
    assert "the workspace 'ws_a', from the calling code." in hints.only()


# --- every kind of refusal -----------------------------------------------------------------------


class Answering(http.server.BaseHTTPRequestHandler):
    """Gives each request the same answer."""

    status = 200
    content_type = "application/json"
    body = ""

    def answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = self.body.encode()
        self.send_response(self.status)
        self.send_header("Content-Type", self.content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = answer

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextlib.contextmanager
def answered(**answer: Any) -> Iterator[str]:
    """The base URL of a service that gives one ``answer``, to which the SDK's own leads too."""
    import dashscope

    handler = type("Handler", (Answering,), answer)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        base_url = f"http://127.0.0.1:{server.server_port}/api/v1"
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(dashscope, "base_http_api_url", base_url)
            yield base_url
        server.shutdown()
        thread.join()


@pytest.fixture(params=[200, 403])
def events(request: pytest.FixtureRequest) -> Iterator[str]:
    """The base URL of a service whose streams begin with an error, as its gateways write it."""
    refusal = _denied.MODEL_DENIED
    error = {"code": refusal.code, "message": refusal.message, "request_id": "r-1"}
    body = f"id:1\nevent:error\nstatus:403\ndata:{json.dumps(error)}\n\n"
    content_type = "text/event-stream;charset=UTF-8"
    with answered(status=request.param, content_type=content_type, body=body) as base_url:
        yield base_url


def failed_task(code: str, message: str) -> str:
    task = {"task_id": "task-1", "task_status": "FAILED", "code": code, "message": message}
    return json.dumps({"request_id": "r-1", "output": task})


@needs("dashscope.aigc.image_synthesis:ImageSynthesis.fetch")
def test_a_task_that_has_failed_since(hints: Hints) -> None:
    images: Any = importlib.import_module("dashscope.aigc.image_synthesis")
    task = failed_task(KINDS[1], "Model access denied.")
    with answered(body=task), shim.use_workspace("ws_a"):
        assert images.ImageSynthesis.fetch("task-1", api_key=API_KEY).status_code == 200
    assert hints.only().startswith("Model.AccessDenied: '127.0.0.1' refused a request. ")
    assert "the workspace 'ws_a', from the scope" in hints.only()


@needs("dashscope.aigc.image_synthesis:AioImageSynthesis.fetch")
def test_a_task_that_has_failed_since_async(hints: Hints) -> None:
    images: Any = importlib.import_module("dashscope.aigc.image_synthesis")
    with answered(body=failed_task(KINDS[1], "Model access denied.")):
        with shim.use_workspace("ws_a"):
            fetching = images.AioImageSynthesis.fetch("task-1", api_key=API_KEY)
        assert Drive(Loopback()).run(fetching).status_code == 200
    assert "the workspace 'ws_a', from the scope" in hints.only()


@needs("dashscope.aigc.image_synthesis:ImageSynthesis.fetch")
def test_no_hint_for_a_task_that_has_failed_for_another_reason(hints: Hints) -> None:
    images: Any = importlib.import_module("dashscope.aigc.image_synthesis")
    with answered(body=failed_task("InvalidParameter", "The image is too large.")):
        images.ImageSynthesis.fetch("task-1", api_key=API_KEY)
    assert hints.texts == []


@pytest.mark.usefixtures("events")
def test_an_error_in_a_1x_stream(hints: Hints) -> None:
    parts = list(generate(stream=True, api_key=API_KEY))
    assert [part.status_code for part in parts] == [403]
    text = hints.only()
    assert text.startswith("Model.AccessDenied: '127.0.0.1' refused a request for the model 'qwen-")


@needs("dashscope:AioGeneration")
@pytest.mark.usefixtures("events")
def test_an_error_in_a_1x_async_stream(hints: Hints) -> None:
    sdk: Any = importlib.import_module("dashscope")

    async def call() -> list[Any]:
        given = {"model": "qwen-turbo", "prompt": "hello", "api_key": API_KEY}
        stream = await sdk.AioGeneration.call(**given, stream=True)
        return [part async for part in stream]

    parts = Drive(Loopback()).run(call())
    assert [part.status_code for part in parts] == [403]
    assert hints.only().startswith("Model.AccessDenied: '127.0.0.1' refused a request for the mod")


@V2
@pytest.mark.parametrize("raising", [True, False])
def test_an_error_in_a_2x_stream(events: str, raising: bool, hints: Hints) -> None:
    from dashscope.v2.errors import DashScopeError

    sdk: Any = importlib.import_module("dashscope")
    given: dict[str, Any] = {"base_url": events, "raise_on_error": raising}
    messages = [{"role": "user", "content": "hello"}]
    chat: dict[str, Any] = {"model": "qwen-turbo", "messages": messages, "stream": True}
    calls: list[Callable[[], Any]] = [
        lambda: list(client(**given).chat.completions.create(**chat)),
        lambda: list(client(**given).apps.completions.create(app_id="a", prompt="b", stream=True)),
    ]
    if has("dashscope.v2.resources.audio.http_tts:HttpTts"):
        voice = {"model": "qwen-turbo", "voice": "Cherry"}
        calls.append(lambda: list(client(**given).audio.tts.http.stream("hello", **voice)))
    for call in calls:
        say._hinted.clear()
        with contextlib.suppress(DashScopeError):
            call()
        assert hints.only().startswith("Model.AccessDenied: '127.0.0.1' refused a request")
        hints.records.clear()

    async def asynchronous() -> None:
        async with sdk.AsyncClient(api_key=API_KEY, **given) as own:
            async for _ in await own.chat.completions.create(**chat):
                pass

    say._hinted.clear()
    with contextlib.suppress(DashScopeError):
        Drive(Loopback()).run(asynchronous())
    assert hints.only().startswith("Model.AccessDenied: '127.0.0.1' refused a request for the mod")


@V2
def test_a_2x_response_that_does_not_raise(hints: Hints) -> None:
    with serving(Refusing()) as drive:
        own = client(base_url=drive.loopback.address(HOST, "/api/v1"), raise_on_error=False)
        assert own.embeddings.create(model="qwen-turbo", input="hello").is_error
    assert "for the model 'qwen-turbo'. It named no workspace." in hints.only()


def test_a_handshake_refused_to_aiohttp(hints: Hints) -> None:
    with serving(Refusing(handshake=True)), shim.use_workspace("ws_a"):
        response = generate(api_protocol="websocket")
    assert (response.status_code, response.code) == (403, 403)
    text = hints.only()
    assert text.startswith(f"HTTP 403: '{HOST}' refused a request for the model 'qwen-turbo'. It ")
    assert "'ws_a', from the scope" in text
    assert _denied.HANDSHAKE.meaning.en in text


@V2
def test_a_handshake_refused_to_websocket_client(hints: Hints) -> None:
    from websocket import WebSocketBadStatusException

    with serving(Refusing(handshake=True)) as drive:
        url = drive.loopback.address(HOST, "/api-ws/v1/realtime", websocket=True)
        session = client(workspace="ws_a").audio.realtime.connect(model="qwen-omni", ws_url=url)
        with pytest.raises(WebSocketBadStatusException):
            session.connect()
    assert "for the model 'qwen-omni'. It named the workspace 'ws_a'" in hints.only()


@V2
def test_an_error_event_of_a_realtime_session(hints: Hints) -> None:
    from dashscope.v2.errors import DashScopeError

    with serving(Refusing()) as drive:
        url = drive.loopback.address(HOST, "/api-ws/v1/realtime", websocket=True)
        own = client(workspace="ws_a").audio.realtime
        with own.connect(model="qwen3-omni-flash-realtime", ws_url=url) as session:
            session.update_session(output_modalities=["text"])
            with pytest.raises(DashScopeError):
                list(session.events())
    assert "'qwen3-omni-flash-realtime'. It named the workspace 'ws_a'" in hints.only()


def test_a_hint_for_an_upload(hints: Hints) -> None:
    with serving(Refusing()) as drive, contextlib.suppress(Exception):
        names = [name for name in SURFACES if name in ("Files", "File")]
        SURFACES[names[0]].drive(drive)
    assert "refused a request. It named no workspace." in hints.only()


# --- harmless ------------------------------------------------------------------------------------


def test_nothing_that_an_adapter_meets_breaks_the_program(hints: Hints) -> None:
    class Hostile(dict):  # type: ignore[type-arg]
        url = property(lambda self: 1 / 0)
        request = property(lambda self: 1 / 0)

    hostile = Hostile(code="Model.AccessDenied", status_code=403)
    for url in ("http://[", "http://\x00/", None, 1):
        assert watch.watched(hostile, (url, None, None, hostile)) is hostile  # type: ignore[arg-type]


def test_a_stream_is_closed_as_natively() -> None:
    closed = []

    def items() -> Iterator[int]:
        try:
            yield from range(3)
        finally:
            closed.append("sync")

    async def aitems() -> Any:
        try:
            for item in range(3):
                yield item
        finally:
            closed.append("async")

    async def left_alone() -> None:
        watched = watch.watched(aitems(), ("https://h/", None, None, None))
        assert await watched.__anext__() == 0
        await watched.aclose()

    watched = watch.watched(items(), ("https://h/", None, None, None))
    assert next(watched) == 0
    del watched
    asyncio.run(left_alone())
    assert closed == ["sync", "async"]


def test_remembers_a_bounded_number_of_hints(hints: Hints) -> None:
    for number in range(2 * say.REMEMBERED):
        hint(KINDS[0], workspace=f"ws_{number}", source=None, host=HOST, model="m" * 10**4)
    assert len(hints.texts) == 2 * say.REMEMBERED
    assert len(say._hinted) == say.REMEMBERED
    assert all(len(text) < 1000 for text in hints.texts)


def test_a_hint_is_one_line_whatever_the_values(hints: Hints) -> None:
    hint(KINDS[1], workspace="a\nb\x1b[31m", source="x", host="h\r\n", model="\u202em\x00%s")
    text = hints.only()
    assert text.isprintable()
    assert "%s" in text


SECRET = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=12, max_size=40)


@given(SECRET, st.sampled_from(["workspace", "host", "model"]), st.text(max_size=5))
def test_what_looks_like_a_key_is_not_shown(secret: str, where: str, before: str) -> None:
    values = {"workspace": "ws_a", "host": HOST, "model": "qwen-turbo"}
    values[where] = f"{before} sk-{secret}"
    handler, logger = Hints(), logging.getLogger("dashscope_ws_patch")
    logger.addHandler(handler)
    say._hinted.clear()
    hint(KINDS[0], source="named", **values)
    logger.removeHandler(handler)
    assert secret not in handler.only()


#: Between tildes, of which no hint has any: hypothesis tries words of our own sources, too.
APART = SECRET.map("~{}~".format)


@pytest.fixture(scope="module")
def refused() -> Iterator[Drive]:
    with serving(Refusing()) as drive:
        yield drive


@settings(max_examples=30, suppress_health_check=list(HealthCheck))
@given(key=APART, prompt=APART, value=APART, stream=st.booleans())
def test_no_secret_reaches_the_log(
    refused: Drive, key: str, prompt: str, value: str, stream: bool
) -> None:
    handler, logger = Hints(), logging.getLogger("dashscope_ws_patch")
    logger.addHandler(handler)
    say._hinted.clear()
    headers = {"X-Custom": value}
    answer = generate(api_key=key, prompt=prompt, headers=headers, stream=stream)
    if stream:
        list(answer)
    logger.removeHandler(handler)
    text = handler.only()
    assert not any(secret in text for secret in (key, prompt, value))


def test_logging_is_loaded_by_a_refusal_only() -> None:
    program = (
        "import sys, wrapt; sys.modules.pop('logging', None); "
        "import dashscope_ws_patch.hint.watch; "
        "sys.exit('logging' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False)
    assert ran.returncode == 0


# --- the accounts --------------------------------------------------------------------------------

MAIN, MEMBER, POOR = "sk-main", "sk-member", "sk-poor"
ACCOUNTS: dict[str, Any] = {
    "main": (MAIN,),
    "members": {MEMBER: ("ws_mine", "ws_small")},
    "models": {"ws_small": ("qwen-max",)},
    "unpurchased": (POOR,),
}


@NAMING
@pytest.mark.parametrize(
    "key, workspace, expected",
    [
        (MAIN, None, None),
        (MAIN, "ws_other", None),
        (MEMBER, "ws_mine", None),
        (MEMBER, None, _denied.WORKSPACE_DENIED),
        (MEMBER, "ws_other", _denied.WORKSPACE_DENIED),
        (MEMBER, "ws_small", _denied.MODEL_DENIED),
        (POOR, None, _denied.UNPURCHASED),
        (POOR, "ws_mine", _denied.UNPURCHASED),
    ],
)
@pytest.mark.parametrize(
    "how", [{}, {"stream": True}, {"api_protocol": "websocket"}], ids=["HTTP", "SSE", "websocket"]
)
def test_the_accounts_answer_as_the_service_does(
    key: str, workspace: str | None, expected: _denied.Refusal | None, how: dict[str, Any]
) -> None:
    with serving(Accounts(**ACCOUNTS)):
        answer = generate(api_key=key, workspace=workspace, **how)
        answer = next(iter(answer)) if how.get("stream") else answer
    if expected is None:
        assert answer.status_code == 200
    else:
        status = 44 if "api_protocol" in how else 403
        assert (answer.status_code, answer.code, answer.message) == (
            status,
            expected.code,
            expected.message,
        )
        assert answer.request_id


def test_an_unknown_key_is_no_account() -> None:
    with serving(Accounts(**ACCOUNTS)):
        answer = generate(api_key="sk-unknown")
    assert (answer.status_code, answer.code) == (401, "InvalidApiKey")


def test_the_accounts_can_refuse_the_handshake() -> None:
    with serving(Accounts(**ACCOUNTS, handshake=True)):
        answer = generate(api_key=MEMBER, api_protocol="websocket")
        assert answer.status_code == 403
        answer = generate(api_key=MAIN, api_protocol="websocket")
        assert answer.status_code == 200


def test_the_story_of_doctor(hints: Hints) -> None:
    with serving(Accounts(**ACCOUNTS)):
        assert generate(api_key=MEMBER).code == "Workspace.AccessDenied"
        with shim.use_workspace("ws_mine"):
            assert generate(api_key=MEMBER).status_code == 200
        hints.records.clear()
        with shim.use_workspace("ws_other"):
            assert generate(api_key=MEMBER).code == "Workspace.AccessDenied"
        assert "the workspace 'ws_other', from the scope" in hints.only()
        assert generate(api_key=MAIN).status_code == 200
