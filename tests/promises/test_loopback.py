"""The loopback service records raw, is reached by every client, and satisfies the real SDK."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import importlib
import json
import os
import socket
import ssl
import sys
import threading
import time
import urllib.request
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable

import aiohttp
import hosts
import pytest
import requests

from dashscope_ws_patch.selftest.loopback import Denial, Loopback, Request, redirect

SERVICE = "dashscope.aliyuncs.com"
WORKSPACE = "ws_x1y2.cn-beijing.maas.aliyuncs.com"
STORAGE = "bucket.oss-cn-beijing.aliyuncs.com"
FUNCTION = "functions.example.com"
REGIONS = ("cn-beijing", "ap-southeast-1", "us-east-1", "cn-hongkong", "eu-central-1")
DENIED = Denial(403, "Workspace.AccessDenied", "Workspace access denied.")

sdk: Any = importlib.import_module("dashscope")


@pytest.fixture
def plain() -> Iterator[Loopback]:
    with Loopback() as loopback:
        yield loopback


@pytest.fixture
def serving(monkeypatch: pytest.MonkeyPatch) -> Iterator[Loopback]:
    monkeypatch.setattr(sdk, "api_key", "sk-loopback")
    with hosts.serving() as loopback:
        yield loopback


def exchange(port: int, *messages: bytes) -> bytes:
    """Send the messages on one connection and return all that comes back."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        for message in messages:
            connection.sendall(message)
        received = b""
        while chunk := connection.recv(65536):
            received += chunk
    return received


def generate(**options: Any) -> Any:
    return sdk.Generation.call(model="qwen-plus", prompt="Say hello", **options)


# --- recording -----------------------------------------------------------------------------------


def test_a_request_is_recorded_as_on_the_wire(plain: Loopback) -> None:
    body = b'{"a":  1}\xff'
    head = (
        b"POST /api/v1/x%20y?q=%E4%B8%AD&q HTTP/1.1\r\nHost: DashScope.aliyuncs.com:8443\r\n"
        b"x-DASHSCOPE-workspace: one\r\nX-Multi: 1\r\nuser-agent: me\r\nX-Multi: 2\r\n"
        b"X-DashScope-WorkSpace: two\r\nContent-Length: 10\r\nConnection: close\r\n\r\n"
    )
    assert exchange(plain.port, head, body).startswith(b"HTTP/1.1 200 ")
    (request,) = plain.requests
    assert request == Request(
        scheme="http",
        host="DashScope.aliyuncs.com",
        sni=None,
        method="POST",
        path="/api/v1/x%20y?q=%E4%B8%AD&q",
        headers=[
            ("Host", "DashScope.aliyuncs.com:8443"),
            ("x-DASHSCOPE-workspace", "one"),
            ("X-Multi", "1"),
            ("user-agent", "me"),
            ("X-Multi", "2"),
            ("X-DashScope-WorkSpace", "two"),
            ("Content-Length", "10"),
            ("Connection", "close"),
        ],
        body=body,
    )
    assert request.workspaces == ["one", "two"]
    assert not request.foreign


def test_requests_are_drained_in_the_order_of_arrival(plain: Loopback) -> None:
    keep = b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n"
    last = b"GET /2 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    assert exchange(plain.port, keep % 0, keep % 1, last).count(b"HTTP/1.1 200") == 3
    assert [request.path for request in plain.drain()] == ["/0", "/1", "/2"]
    assert plain.drain() == plain.requests == []


def test_bodies_of_any_size_and_transfer_are_recorded(plain: Loopback) -> None:
    url = f"http://127.0.0.1:{plain.port}/api/v1/files"
    whole = os.urandom(5 << 20)
    requests.post(url, data=whole, timeout=60)
    requests.put(url, data=iter([b"one", b"two"]), timeout=60)
    assert [request.body for request in plain.drain()] == [whole, b"onetwo"]


def test_websocket_messages_are_recorded_live(serving: Loopback) -> None:
    async def talk() -> list[str | bytes]:
        url = f"wss://{SERVICE}/api-ws/v1/realtime?model=m"
        async with aiohttp.ClientSession() as session, session.ws_connect(url) as ws:
            await ws.receive_json()
            await ws.send_bytes(b"audio")
            await ws.send_json({"type": "session.update"})
            assert (await ws.receive_json())["type"] == "session.updated"
            return list(serving.requests[-1].messages)

    assert asyncio.run(talk()) == [b"audio", '{"type": "session.update"}']


@pytest.mark.parametrize(
    ("host", "foreign"),
    [
        (SERVICE, False),
        ("dashscope-intl.aliyuncs.com", False),
        ("cn-hongkong.dashscope.aliyuncs.com", False),
        ("dashscope-cn-beijing.aliyun-inc.com", False),
        (WORKSPACE, False),
        (STORAGE, True),
        ("dashscope-instant.oss-cn-beijing.aliyuncs.com", True),
        (FUNCTION, True),
        ("dashscope.aliyuncs.com.example.com", True),
    ],
)
def test_foreign_is_what_is_no_service_host(host: str, foreign: bool) -> None:
    assert Request("https", host, None, "GET", "/", []).foreign is foreign


def test_addresses(plain: Loopback, serving: Loopback) -> None:
    assert plain.address(SERVICE, "/api/v1") == f"http://{SERVICE}:{plain.port}/api/v1"
    assert plain.address(SERVICE, websocket=True) == f"ws://{SERVICE}:{plain.port}"
    assert serving.address(SERVICE, "/x", True) == f"wss://{SERVICE}:{serving.port}/x"
    serving.port = 443
    assert serving.address(SERVICE, "/x") == f"https://{SERVICE}/x"


# --- redirection and TLS -------------------------------------------------------------------------


def by_requests(host: str) -> None:
    requests.get(f"https://{host}/path", timeout=60).raise_for_status()


def by_urllib(host: str) -> None:
    # An opener of its own: urlopen() keeps its first one, and from 3.12 on its certificates.
    urllib.request.build_opener().open(f"https://{host}/path", timeout=60).close()


def by_aiohttp(host: str) -> None:
    async def get() -> None:
        async with aiohttp.ClientSession(trust_env=True) as session:
            (await session.get(f"https://{host}/path")).raise_for_status()

    asyncio.run(get())


def by_httpx(host: str) -> None:
    pytest.importorskip("httpx").get(f"https://{host}/path").raise_for_status()


def by_httpx_async(host: str) -> None:
    async def get() -> None:
        async with pytest.importorskip("httpx").AsyncClient() as client:
            (await client.get(f"https://{host}/path")).raise_for_status()

    asyncio.run(get())


def by_websocket_client(host: str) -> None:
    pytest.importorskip("websocket").create_connection(f"wss://{host}/path").close()


def by_aiohttp_websocket(host: str) -> None:
    async def connect() -> None:
        url = f"wss://{host}/path"
        async with aiohttp.ClientSession(trust_env=True) as session, session.ws_connect(url):
            pass

    asyncio.run(connect())


CLIENTS = [
    by_requests,
    by_urllib,
    by_aiohttp,
    by_aiohttp_websocket,
    by_httpx,
    by_httpx_async,
    by_websocket_client,
]


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("host", [SERVICE, WORKSPACE, STORAGE, FUNCTION])
def test_every_client_reaches_every_host_name_over_tls(
    serving: Loopback, monkeypatch: pytest.MonkeyPatch, client: Callable[[str], None], host: str
) -> None:
    for proxy in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(proxy, "http://proxy.example.com:3128")
    client(host)
    (request,) = serving.requests
    assert (request.scheme, request.host, request.sni) == ("https", host, host)
    assert (request.method, request.path) == ("GET", "/path")


@pytest.mark.parametrize("region", REGIONS)
def test_certificates_are_valid_for_the_workspace_hosts_of_every_region(
    serving: Loopback, region: str
) -> None:
    by_requests(f"llm-x1y2.{region}.maas.aliyuncs.com")
    assert serving.requests[0].sni == f"llm-x1y2.{region}.maas.aliyuncs.com"


def test_a_certificate_is_for_its_name_alone(serving: Loopback) -> None:
    with socket.create_connection((SERVICE, 443)) as raw:
        context = ssl.create_default_context()
        context.check_hostname = False
        with context.wrap_socket(raw, server_hostname=WORKSPACE) as connection:
            names: Any = connection.getpeercert()
    assert names["subjectAltName"] == (("DNS", WORKSPACE),)


def test_redirect_leaves_local_addresses_alone_and_puts_everything_back(plain: Loopback) -> None:
    before = socket.getaddrinfo, dict(vars(socket.socket)), dict(os.environ)
    with Loopback() as other, redirect(plain.port):
        requests.get(f"http://127.0.0.1:{other.port}/", timeout=60)
        requests.get(f"http://localhost:{other.port}/", timeout=60)
        requests.get("http://dashscope.aliyuncs.com:1/elsewhere", timeout=60)
        with pytest.raises(socket.gaierror):
            socket.getaddrinfo(SERVICE, 443, socket.AF_INET6)
        assert len(other.requests) == 2
    assert [request.path for request in plain.requests] == ["/elsewhere"]
    assert (socket.getaddrinfo, dict(vars(socket.socket)), dict(os.environ)) == before


# --- shutdown ------------------------------------------------------------------------------------


@pytest.mark.parametrize("tls", [False, True])
def test_shutdown_is_bounded_and_leaves_nothing_behind(tls: bool) -> None:
    head = b"GET /api-ws/v1/inference HTTP/1.1\r\nHost: localhost\r\n"
    upgrade = (
        b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
    )
    context = ssl.create_default_context(cafile=hosts.ca_file())
    gc.collect()  # what other tests have left
    threads = threading.active_count()
    with warnings.catch_warnings(record=True) as caught, contextlib.ExitStack() as stack:
        warnings.simplefilter("always")
        with Loopback(hosts.server_context() if tls else None) as loopback:
            for more in (upgrade, upgrade, b"X-Kept: alive\r\n"):
                peer = stack.enter_context(socket.create_connection(("127.0.0.1", loopback.port)))
                if tls:
                    peer = context.wrap_socket(peer, server_hostname="localhost")
                    stack.enter_context(peer)
                peer.sendall(head + more + b"\r\n")
                assert peer.recv(65536).startswith(b"HTTP/1.1 ")
            stack.enter_context(socket.create_connection(("127.0.0.1", loopback.port)))
            begin = time.perf_counter()
        seconds = time.perf_counter() - begin
        gc.collect()
    assert len(loopback.requests) == 3
    assert seconds < 30  # aiohttp's own patience with whom it serves is a minute
    assert [str(warning.message) for warning in caught] == []
    assert threading.active_count() <= threads  # those of other tests may end meanwhile


def test_a_service_that_cannot_start_says_so() -> None:
    with pytest.raises(AttributeError), Loopback("no context"):  # type: ignore[arg-type]
        pass


# --- the real SDK --------------------------------------------------------------------------------


def test_the_sdk_generates(serving: Loopback) -> None:
    response = generate()
    assert (response.status_code, response.output.text) == (200, "hello")
    assert response.usage.output_tokens == 2
    stream = generate(stream=True)
    assert [event.output.text for event in stream] == ["hello"] * 2
    over_websocket = generate(api_protocol="websocket")
    assert over_websocket.output.text == "hello"
    assert [request.foreign for request in serving.requests] == [False] * 3
    assert json.loads(serving.requests[-1].messages[0])["payload"]["model"] == "qwen-plus"


def test_the_sdk_submits_a_task_and_waits_for_it(serving: Loopback) -> None:
    task = sdk.audio.asr.Transcription.async_call(
        model="paraformer-v1", file_urls=["https://files.example.com/a.wav"]
    )
    assert task.output["task_status"] == "PENDING"
    assert sdk.audio.asr.Transcription.wait(task).output["task_status"] == "SUCCEEDED"
    assert [request.method for request in serving.requests] == ["POST", "GET"]


def test_the_sdk_uploads_a_local_file(serving: Loopback, tmp_path: Path) -> None:
    oss = pytest.importorskip("dashscope.utils.oss_utils")
    file = tmp_path / "picture.png"
    file.write_bytes(b"picture")
    assert "oss://" in str(oss.OssUtils.upload(model="m", file_path=str(file)))
    policy, upload = serving.requests
    assert "action=getPolicy" in policy.path
    assert upload.foreign
    assert b"picture" in upload.body


@pytest.mark.parametrize("stream", [False, True])
def test_the_sdk_encrypts_and_decrypts(serving: Loopback, stream: bool) -> None:
    pytest.importorskip("dashscope.api_entities.encryption")
    response = generate(enable_encryption=True, stream=stream)
    last = list(response)[-1] if stream else response
    assert last.output.text == "hello"
    key, call = serving.requests
    assert key.path.endswith("/public-keys/latest")
    assert b"Say hello" not in call.body


def test_there_is_no_public_key_without_cryptography(
    plain: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "cryptography", None)
    url = f"http://127.0.0.1:{plain.port}/api/v1/public-keys/latest"
    assert requests.get(url, timeout=60).status_code == 404


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_sdk_runs_an_assistant(serving: Loopback) -> None:
    if not hasattr(sdk, "Runs"):
        pytest.skip("this release has no assistants")
    run = sdk.Runs.create("thread-1", assistant_id="assistant-1")
    assert sdk.Runs.wait(run.id, thread_id="thread-1").status == "completed"


def test_the_sdk_synthesizes_speech(serving: Loopback) -> None:
    tts = pytest.importorskip("dashscope.audio.tts_v2")
    assert tts.SpeechSynthesizer(model="cosyvoice-v2", voice="v").call("hello") == bytes(128)


def test_the_2x_clients_speak_every_protocol(serving: Loopback) -> None:
    if not hasattr(sdk, "Client"):
        pytest.skip("this release has no 2.x client")
    for protocol in ("native", "openai", "anthropic"):
        with sdk.Client(api_key="k", workspace="ws_x", protocol=protocol) as client:
            ask: Any = {"model": "qwen-plus", "messages": [{"role": "user", "content": "hello"}]}
            assert client.chat.completions.create(**ask).output_text == "hello"
            assert list(client.chat.completions.create(**ask, stream=True))
    assert {request.sni for request in serving.requests} == {"ws_x.cn-beijing.maas.aliyuncs.com"}
    assert len(serving.requests) == 6


def test_the_assistant_of_the_command_line_calls_tools(serving: Loopback) -> None:
    mcp = pytest.importorskip("dashscope.acli.platforms.bailian.mcp")

    async def call() -> str:
        client = mcp.MCPClient("loopback", "sk-loopback")
        assert await client.initialize(), client.last_error
        assert [tool["name"] for tool in await client.list_tools()] == ["tool"]
        answer = await client.call_tool("tool", {})
        await client.close()
        return str(answer)

    assert asyncio.run(call()) == "hello"


# --- refusals ------------------------------------------------------------------------------------


@pytest.fixture
def refusing(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Request]]:
    """A service that refuses every request; the list is what its policy was asked about."""
    asked: list[Request] = []

    def policy(request: Request) -> Denial:
        asked.append(request)
        return DENIED

    monkeypatch.setattr(sdk, "api_key", "sk-loopback")
    with hosts.serving(policy):
        yield asked


@pytest.mark.parametrize("stream", [False, True])
def test_the_sdk_is_refused(refusing: list[Request], stream: bool) -> None:
    response = generate(stream=stream)
    (last,) = list(response) if stream else [response]
    assert (last.status_code, last.code, last.message) == (403, DENIED.code, DENIED.message)
    assert last.request_id
    assert len(refusing) == 1


def test_the_sdk_is_refused_a_handshake(refusing: list[Request]) -> None:
    response = generate(api_protocol="websocket")
    assert response.status_code == 403
    assert refusing[0].messages == []


def test_the_sdk_is_refused_a_task(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sdk, "api_key", "sk-loopback")
    with hosts.serving(lambda request: DENIED if request.messages else None):
        response = generate(api_protocol="websocket")
    assert (response.code, response.message) == (DENIED.code, DENIED.message)


def test_the_2x_client_is_refused(refusing: list[Request]) -> None:
    if not hasattr(sdk, "Client"):
        pytest.skip("this release has no 2.x client")
    errors = importlib.import_module("dashscope.v2.errors")
    for protocol in ("native", "openai", "anthropic"):
        with sdk.Client(api_key="k", protocol=protocol, max_retries=0) as client:
            with pytest.raises(errors.DashScopeError) as raised:
                client.chat.completions.create(
                    model="qwen-plus", messages=[{"role": "user", "content": "hello"}]
                )
            assert (raised.value.code, raised.value.status_code) == (DENIED.code, 403)
