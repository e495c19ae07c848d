"""Scopes over time on the 2.x clients: objects made in one scope and used in another.

Sessions, streams, coroutines, derived and mounted clients, many tenants at once.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import threading
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Callable

import dashscope
import pytest
from one_voice import CLIENT, ENV, ENV_ID, HELLO, KEY, LEGACY, Cell, around, converse, host, voice
from record import environment

from dashscope_ws_patch import WorkspaceError, use_workspace
from dashscope_ws_patch.selftest.loopback import Loopback

if not hasattr(dashscope, "AsyncClient"):
    pytest.skip("this release has no 2.x clients", allow_module_level=True)

A, B = "ws-a", "ws-b"


def said(loopback: Loopback) -> list[tuple[Any, str]]:
    """What was said since the last time, to the service."""
    return [voice(request) for request in loopback.drain() if "oss-" not in request.host]


@pytest.fixture(autouse=True)
def _nothing_found() -> Iterator[None]:
    with around(Cell("chat")):
        yield


@pytest.fixture
def client() -> Iterator[Any]:
    """A client as at module level: made where nothing is ambient."""
    with dashscope.Client(api_key=KEY) as made:
        yield made


def chat(client: Any, **options: Any) -> Any:
    return client.chat.completions.create(model="qwen-plus", messages=HELLO, **options)


# --- sessions ------------------------------------------------------------------------------------

SESSIONS: dict[str, Callable[[Any], Any]] = {
    "recognition": lambda client: client.audio.asr.recognize(model="paraformer"),
    "synthesis": lambda client: client.audio.tts.connect(),
    "tingwu": lambda client: client.tingwu.realtime(model="m", app_id="a"),
    "realtime": lambda client: client.audio.realtime.connect(model="qwen3-omni-flash-realtime"),
}


def start(session: Any) -> None:
    if hasattr(session, "update_session"):
        with session:
            pass
    else:
        converse(session)


@pytest.mark.parametrize("kind", SESSIONS)
def test_session_follows_the_scope_that_starts_it(
    kind: str, client: Any, loopback: Loopback
) -> None:
    with use_workspace(A):
        session = SESSIONS[kind](client)
    with use_workspace(B):
        start(session)
    assert said(loopback) == [(B, host(B))]
    with use_workspace(A):
        session = SESSIONS[kind](client)
    with use_workspace(None):
        start(session)
    assert said(loopback) == [(None, LEGACY)]


@pytest.mark.parametrize("kind", SESSIONS)
def test_session_started_outside_scopes_has_that_of_its_making(
    kind: str, client: Any, loopback: Loopback
) -> None:
    with use_workspace(A):
        session = SESSIONS[kind](client)
    start(session)
    assert said(loopback) == [(A, host(A))]


@pytest.mark.parametrize("kind", [
    "recognition",
    "tingwu",
    "realtime",
])  # fmt: skip
def test_session_started_twice_follows_each_time(
    kind: str, client: Any, loopback: Loopback
) -> None:
    session = SESSIONS[kind](client)
    for workspace in (A, None, B):
        with use_workspace(workspace):
            start(session)
        assert said(loopback) == [(workspace, host(workspace))]
    with environment(DASHSCOPE_WORKSPACE_ID=ENV_ID):
        start(session)
    assert said(loopback) == [(ENV_ID, host(ENV_ID))]


@pytest.mark.parametrize("kind", SESSIONS)
def test_session_of_an_explicit_client_keeps_its_workspace(kind: str, loopback: Loopback) -> None:
    with use_workspace(A), dashscope.Client(api_key=KEY, workspace=CLIENT) as client:
        session = SESSIONS[kind](client)
        with use_workspace(B):
            start(session)
    assert said(loopback) == [(CLIENT, host(CLIENT))]


@pytest.mark.parametrize("kind", SESSIONS)
def test_session_started_in_a_thread_has_the_scope_of_its_making(
    kind: str, client: Any, loopback: Loopback
) -> None:
    with use_workspace(A):
        session = SESSIONS[kind](client)
        thread = threading.Thread(target=start, args=(session,))
        thread.start()
        thread.join()
    assert said(loopback) == [(A, host(A))]


def test_tingwu_names_the_handshakes_workspace_in_its_body(client: Any, loopback: Loopback) -> None:
    session = SESSIONS["tingwu"](client)
    for workspace in (A, B, None):
        with use_workspace(workspace):
            start(session)
        (request,) = loopback.drain()
        assert voice(request) == (workspace, host(workspace))
        assert [workspace_ids(frame) for frame in request.messages[:1]] == [workspace]


def test_tingwu_that_was_told_a_workspace_id_names_no_other(
    client: Any, loopback: Loopback
) -> None:
    with use_workspace(A):
        start(client.tingwu.realtime(model="m", app_id="a", workspace_id="ws-told"))
    (request,) = loopback.drain()
    assert workspace_ids(request.messages[0]) == "ws-told"
    assert voice(request)[0] in (None, "ws-told")


def workspace_ids(frame: Any) -> Any:
    return json.loads(frame)["payload"]["input"].get("workspace_id")


def test_connection_keeps_the_workspace_of_its_handshake_and_warns_once(
    client: Any, loopback: Loopback
) -> None:
    with use_workspace(A):
        connection = client.ws_connection()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for workspace in (A, B, B):
            with use_workspace(workspace):
                converse(client.audio.asr.recognize(model="m", connection=connection))
        converse(client.audio.asr.recognize(model="m", connection=connection))
    connection.close()
    shim = [str(each.message) for each in caught if "dashscope_ws_patch" in str(each.message)]
    assert len(shim) == 1 and repr(A) in shim[0] and repr(B) in shim[0]
    assert said(loopback) == [(A, host(A))]


def test_connection_in_no_other_scope_does_not_warn(client: Any, loopback: Loopback) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        with use_workspace(A):
            connection = client.ws_connection()
            converse(client.tingwu.realtime(model="m", app_id="a", connection=connection))
        converse(client.tingwu.realtime(model="m", app_id="a", connection=connection))
    connection.close()
    (request,) = loopback.drain()
    assert {workspace_ids(f) for f in request.messages if '"start"' in str(f)} == {A}


# --- streams and coroutines ----------------------------------------------------------------------


def test_stream_read_after_its_scope(client: Any, loopback: Loopback) -> None:
    with use_workspace(A):
        stream = chat(client, stream=True)
    with use_workspace(B):
        list(stream)
    assert said(loopback) == [(A, host(A))]


def test_lazy_generator_sends_in_the_scope_of_its_call(
    client: Any, loopback: Loopback, drive: Any
) -> None:
    with use_workspace(A):
        events = client.audio.asr.recognize_file(drive.audio, model="paraformer")
    with use_workspace(B):
        list(events)
    assert said(loopback) == [(A, host(A))]


@pytest.mark.parametrize("stream", [False, True])
def test_coroutine_awaited_after_its_scope(stream: bool, loopback: Loopback) -> None:
    async def main() -> None:
        async with dashscope.AsyncClient(api_key=KEY) as client:
            with use_workspace(A):
                coroutine = chat(client, stream=stream)
            with use_workspace(B):
                result = await coroutine
                if stream:
                    async for _ in result:
                        pass
                await chat(client)

    asyncio.run(main())
    assert said(loopback) == [(A, host(A)), (B, host(B))]


def test_pages_and_jobs_fetched_after_their_scope(client: Any, loopback: Loopback) -> None:
    """A page is a call of its own; a wait polls with the workspace of the one who waits."""
    with use_workspace(A):
        job = client.images.jobs.create(model="wanx-v1", prompt="hello")
    with use_workspace(B):
        client.images.jobs.wait(job, poll_interval=0.001)
    voices = said(loopback)
    assert voices[0] == (A, host(A)) and set(voices[1:]) == {(B, host(B))}


def test_p6_job_polls_with_the_calls_workspace(client: Any, loopback: Loopback) -> None:
    with use_workspace(A):
        client.images.generate(
            model="wanx-v1", prompt="hello", workspace="ws-call", poll_interval=0.001
        )
    assert {workspace for workspace, _ in said(loopback)} == {"ws-call"}


# --- many tenants --------------------------------------------------------------------------------


def numbered(number: int) -> dict[str, Any]:
    return {"model": "qwen-plus", "messages": [{"role": "user", "content": f"<{number}>"}]}


def each_spoke_as_itself(loopback: Loopback, tenants: int) -> None:
    requests = loopback.drain()
    assert len(requests) == tenants
    for request in requests:
        number = request.body.decode().split("<")[1].split(">")[0]
        assert voice(request) == (f"ws-{number}", host(f"ws-{number}"))


def test_p8_two_hundred_tasks_on_one_client(loopback: Loopback) -> None:
    async def tenant(client: Any, number: int) -> None:
        with use_workspace(f"ws-{number}"):
            await asyncio.sleep(0.001 * (number % 7))
            await client.chat.completions.create(**numbered(number))

    async def main() -> None:
        async with dashscope.AsyncClient(api_key=KEY) as client:
            await asyncio.gather(*(tenant(client, number) for number in range(200)))

    asyncio.run(main())
    each_spoke_as_itself(loopback, 200)


def test_p8_fifty_threads_on_one_client(client: Any, loopback: Loopback) -> None:
    barrier = threading.Barrier(50)

    def tenant(number: int) -> None:
        with use_workspace(f"ws-{number}"):
            barrier.wait()
            client.chat.completions.create(**numbered(number))

    with ThreadPoolExecutor(50) as pool:
        list(pool.map(tenant, range(50)))
    each_spoke_as_itself(loopback, 50)


# --- derived clients -----------------------------------------------------------------------------


def test_derived_client_shares_the_pool_and_follows_scopes(client: Any, loopback: Loopback) -> None:
    with environment(DASHSCOPE_WORKSPACE=ENV):
        found = dashscope.Client(api_key=KEY)
    for origin, workspace_of_none in ((client, None), (found, ENV)):
        derived = origin.with_options(max_retries=1)
        assert derived.transport.http_client is origin.transport.http_client
        for workspace in (A, B, None):
            with use_workspace(workspace):
                chat(derived)
                derived.models.list()
            assert said(loopback) == [(workspace, host(workspace))] * 2
        chat(derived)
        assert said(loopback) == [(workspace_of_none, host(workspace_of_none))]


def test_derived_client_in_an_environment_its_origin_did_not_have(
    client: Any, loopback: Loopback
) -> None:
    with environment(DASHSCOPE_WORKSPACE=ENV):
        derived = client.with_options(max_retries=1)
    with use_workspace(A):
        derived.models.list()
    assert said(loopback) == [(A, host(A))]


def test_derived_client_made_in_a_scope_is_not_bound_to_it(client: Any, loopback: Loopback) -> None:
    for options in ({"max_retries": 1}, {"timeout": 90.0}):
        with use_workspace(A):
            derived = client.with_options(**options)
        with use_workspace(B):
            chat(derived)
        chat(derived)
        chat(client)
        assert said(loopback) == [(B, host(B)), (A, host(A)), (None, LEGACY)]


def test_derived_client_is_as_explicit_as_its_origin(loopback: Loopback) -> None:
    with dashscope.Client(api_key=KEY, workspace=CLIENT) as client, use_workspace(A):
        for derived in (
            client.with_options(max_retries=1),
            client.with_options(timeout=90.0).with_options(max_retries=1),
        ):
            chat(derived)
            assert said(loopback) == [(CLIENT, host(CLIENT))]
        chat(client.with_options(workspace="ws-told"))
        assert said(loopback) == [("ws-told", host("ws-told"))]


def test_derived_client_told_a_workspace_keeps_it(client: Any, loopback: Loopback) -> None:
    derived = client.with_options(workspace="ws-told").with_options(max_retries=1)
    with use_workspace(A):
        chat(derived)
    assert said(loopback) == [("ws-told", host("ws-told"))]


def test_derived_client_keeps_the_scope_that_its_origin_was_made_in(loopback: Loopback) -> None:
    with use_workspace(A):
        client = dashscope.Client(api_key=KEY)
    chat(client.with_options(max_retries=1))
    chat(client.with_options(timeout=90.0))
    assert said(loopback) == [(A, host(A))] * 2


@pytest.mark.parametrize("protocol, path", [
    ("native", "/api/v1/"), ("openai", "/compatible-mode/v1/"), ("anthropic", "/apps/anthropic/"),
])  # fmt: skip
def test_derived_protocol_and_region_follow_the_scope(
    protocol: str, path: str, client: Any, loopback: Loopback
) -> None:
    with use_workspace(A):
        chat(client.with_options(protocol=protocol, region="us-east-1"))
    (request,) = loopback.drain()
    assert voice(request) == (A, host(A, "us-east-1")) and request.path.startswith(path)


# --- environment ---------------------------------------------------------------------------------


def test_environment_is_read_at_the_call(client: Any, loopback: Loopback) -> None:
    for name in ("DASHSCOPE_WORKSPACE", "DASHSCOPE_WORKSPACE_ID"):
        with environment(**{name: f"  {ENV}\n"}):
            chat(client)
        chat(client)
        assert said(loopback) == [(ENV, host(ENV)), (None, LEGACY)]


def test_quickstart_follows_scopes(loopback: Loopback) -> None:
    quickstart: Any = importlib.import_module("dashscope.v2._quickstart")
    quickstart._client = None
    for workspace in (A, B, None):
        with use_workspace(workspace):
            dashscope.chat("qwen-plus", "hello")
    quickstart._client = None
    assert said(loopback) == [(A, host(A)), (B, host(B)), (None, LEGACY)]


# --- calls through 1.x code ----------------------------------------------------------------------


def _upload(client: Any, drive: Any) -> None:
    with environment(DASHSCOPE_WORKSPACE=ENV):
        client.rl.upload_data(training_files=[drive.write("data.jsonl", b"{}\n")])


def test_p6_rl_carries_the_clients_workspace(loopback: Loopback, drive: Any) -> None:
    with dashscope.Client(api_key=KEY, workspace=CLIENT) as client:
        _upload(client, drive)
        assert {workspace for workspace, _ in said(loopback)} == {CLIENT}
        with use_workspace(A):
            _upload(client, drive)
        assert {workspace for workspace, _ in said(loopback)} == {CLIENT}


def test_p6_rl_follows_the_scope(client: Any, loopback: Loopback, drive: Any) -> None:
    for workspace in (A, B, None):
        with use_workspace(workspace):
            _upload(client, drive)
        assert {said_ for said_, _ in said(loopback)} == {workspace}


# --- bad input -----------------------------------------------------------------------------------

LONG = "w" * 64


@pytest.mark.parametrize("kind", [
    "chat", "async", "recognition", "synthesis", "tingwu", "agentstudio",
    "realtime",
])  # fmt: skip
def test_workspace_too_long_for_a_host_is_refused_before_sending(
    kind: str, client: Any, loopback: Loopback
) -> None:
    async def call() -> None:
        async with dashscope.AsyncClient(api_key=KEY) as made:
            await chat(made)

    with use_workspace(LONG), pytest.raises(WorkspaceError, match="63"):
        if kind == "async":
            asyncio.run(call())
        elif kind == "agentstudio":
            client.agentstudio.agents.list()
        elif kind == "chat":
            chat(client)
        else:
            start(SESSIONS[kind](client))
    assert loopback.drain() == []


def test_workspace_too_long_for_a_host_goes_to_a_private_gateway(loopback: Loopback) -> None:
    client = dashscope.Client(api_key=KEY, base_url="https://gateway.example.com/api/v1")
    with client, use_workspace(LONG):
        chat(client)
    assert said(loopback) == [(LONG, "gateway.example.com")]


def test_region_that_the_sdk_refuses(client: Any) -> None:
    with use_workspace(A):
        for make in (dashscope.Client, client.with_options):
            with pytest.raises(ValueError, match="invalid region 'mars'") as raised:
                make(api_key=KEY, region="mars")
            assert type(raised.value) is ValueError


def test_malformed_environment_is_refused_before_sending(client: Any, loopback: Loopback) -> None:
    with environment(DASHSCOPE_WORKSPACE_ID="not a workspace!"):
        with pytest.raises(WorkspaceError, match="DASHSCOPE_WORKSPACE_ID"):
            chat(client)
        for kind in SESSIONS:
            with pytest.raises(WorkspaceError, match="DASHSCOPE_WORKSPACE_ID"):
                start(SESSIONS[kind](client))
        with use_workspace(A):
            chat(client)
    assert said(loopback) == [(A, host(A))]


def test_malformed_environment_never_stops_a_client_from_being_made(loopback: Loopback) -> None:
    """P12: at the first request, never before."""
    with environment(DASHSCOPE_WORKSPACE_ID="not a workspace!"):
        dashscope.Client(api_key=KEY).close()


def test_malformed_environment_that_the_sdk_reads_too(loopback: Loopback) -> None:
    with environment(DASHSCOPE_WORKSPACE="not/a workspace"):
        client = dashscope.Client(api_key=KEY)
        with client, pytest.raises(WorkspaceError, match="DASHSCOPE_WORKSPACE"):
            chat(client)
    assert loopback.drain() == []


@pytest.mark.parametrize("value", [f" {ENV} ", "   "])
def test_blanks_of_the_environment_that_the_sdk_reads_too(value: str, loopback: Loopback) -> None:
    with environment(DASHSCOPE_WORKSPACE=value), dashscope.Client(api_key=KEY) as client:
        chat(client)
    workspace = value.strip() or None
    assert said(loopback) == [(workspace, host(workspace))]


# --- odd ways to name a workspace ----------------------------------------------------------------


@pytest.mark.parametrize("url", [
    "https://ws-client.cn-beijing.maas.aliyuncs.com:443/api/v1",
    "https://user@ws-client.cn-beijing.maas.aliyuncs.com/api/v1",
    "https://ws-client.cn-beijing.MAAS.aliyuncs.com/api/v1",
    "https://WS-Client.CN-Beijing.maas.aliyuncs.com/api/v1/",
])  # fmt: skip
def test_p1_client_at_a_workspace_host_however_written(url: str, loopback: Loopback) -> None:
    with use_workspace(A), dashscope.Client(api_key=KEY, base_url=url) as client:
        chat(client)
        chat(client.with_options(max_retries=1))
        chat(client.with_options(timeout=90.0))
    voices = [(workspace, name.lower()) for workspace, name in said(loopback)]
    assert voices == [(None, host(CLIENT))] * 3


def test_sockets_that_the_program_builds_itself(loopback: Loopback) -> None:
    from dashscope.v2 import WsConnection
    from dashscope.v2.transport.ws import WsSession

    for kind in (WsConnection, WsSession):
        for scope in (A, None):
            with use_workspace(scope):
                kind(api_key=KEY).close()
                kind(api_key=KEY, workspace=CLIENT).close()
                kind(api_key=KEY, headers={"x-dashscope-workspace": CLIENT}).close()
            told = [(scope, host(scope)), (CLIENT, host(CLIENT)), (CLIENT, LEGACY)]
            assert said(loopback) == told


def test_empty_workspace_of_a_call_names_none(client: Any, loopback: Loopback) -> None:
    with use_workspace(A):
        chat(client, workspace="")
    assert said(loopback) == [(A, host(A))]


@pytest.mark.parametrize("blank", ["", " "])
def test_blank_workspaces_of_clients_and_calls_name_none(blank: str, loopback: Loopback) -> None:
    with use_workspace(A), dashscope.Client(api_key=KEY, workspace=CLIENT) as told:
        with dashscope.Client(api_key=KEY, workspace=blank) as client:
            chat(client, workspace=blank)
            chat(client)
        chat(told.with_options(workspace=blank))
    with environment(DASHSCOPE_WORKSPACE_ID=B):
        with dashscope.Client(api_key=KEY, workspace=blank) as client:
            chat(client, workspace=blank)
            client.ws_connection().close()
    assert said(loopback) == [(A, host(A))] * 3 + [(B, host(B))] * 2


def test_p1_a_workspace_of_the_origin_beside_a_url_of_the_derived(loopback: Loopback) -> None:
    with use_workspace(A), dashscope.Client(api_key=KEY, workspace=CLIENT) as client:
        url = f"https://{host('ws-url')}/api/v1"
        derived = client.with_options(base_url=url)
        chat(derived)
        derived.ws_connection().close()
    assert said(loopback) == [(CLIENT, host("ws-url")), (CLIENT, host(CLIENT))]


def test_p1_a_workspace_host_of_a_pool_of_ones_own(loopback: Loopback) -> None:
    import httpx

    with httpx.Client(base_url=f"https://{host('ws-url')}/api/v1") as pool, use_workspace(A):
        dashscope.Client(api_key=KEY, workspace=CLIENT, http_client=pool).models.list()
    assert said(loopback) == [(None, host("ws-url"))]


def test_p11_a_base_url_that_is_no_str(loopback: Loopback) -> None:
    import httpx

    url = httpx.URL("https://gateway.dashscope.aliyuncs.com/api/v1")
    with use_workspace(A), dashscope.Client(api_key=KEY, base_url=url) as client:
        client.models.list()
    assert said(loopback) == [(A, "gateway.dashscope.aliyuncs.com")]


def test_explicit_none_is_no_name(loopback: Loopback) -> None:
    with use_workspace(A), dashscope.Client(api_key=KEY, workspace=None, base_url=None) as client:
        chat(client, workspace=None)
        with use_workspace(B):
            chat(client.with_options(workspace=None))
    assert said(loopback) == [(A, host(A)), (B, host(B))]


def test_callback_of_a_stream_may_call_in_another_scope(client: Any, loopback: Loopback) -> None:
    with use_workspace(A):
        for _ in chat(client, stream=True):
            with use_workspace(B):
                chat(client)
            chat(client)
            break
    assert said(loopback) == [(A, host(A)), (B, host(B)), (A, host(A))]


def test_retries_keep_the_calls_workspace(client: Any, loopback: Loopback) -> None:
    """The pool is shared: a request of another tenant in between leaves no trace in it."""
    for workspace in (A, B, None, A):
        with use_workspace(workspace):
            chat(client)
            client.models.list()
    expected = [w for w in (A, B, None, A) for _ in range(2)]
    assert said(loopback) == [(workspace, host(workspace)) for workspace in expected]
