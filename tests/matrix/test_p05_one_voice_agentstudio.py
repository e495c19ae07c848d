"""agentstudio, standalone (from 1.26) and mounted on a 2.x client: header and host of each call."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any, Optional

import dashscope
import pytest
from one_voice import GATEWAY, KEY, host, scoped, voice
from record import environment

from dashscope_ws_patch import use_workspace
from dashscope_ws_patch.selftest.loopback import Loopback

agentstudio: Any = pytest.importorskip("dashscope.agentstudio")

HEADER = "X-DashScope-WorkSpace"
A, B, CLIENT, CALL, BASE, ENV, ENV_ID = (
    f"ws-{name}" for name in ("a", "b", "client", "call", "base", "env", "id")
)
CONSTRUCTORS = {
    "": {},
    "workspace": {"workspace": CLIENT},
    "host": {"base_url": f"https://{host(CLIENT)}/api/v1/agentstudio"},
    "gateway": {"base_url": f"https://{GATEWAY}/api/v1/agentstudio"},
}
ENVIRONMENTS = {
    "": {},
    "WORKSPACE": {"DASHSCOPE_WORKSPACE": ENV},
    "ID": {"DASHSCOPE_WORKSPACE_ID": ENV_ID},
    "both": {"DASHSCOPE_WORKSPACE": ENV, "DASHSCOPE_WORKSPACE_ID": ENV_ID},
}


def drive(asynchronous: bool, options: dict[str, Any], born: str, scope: str) -> None:
    """Make a client in one scope, and list agents in another."""
    with scoped(born):
        cls = agentstudio.AsyncClient if asynchronous else agentstudio.Client
        client = cls(api_key=KEY, **options)
    with scoped(scope):
        if not asynchronous:
            client.agents.list()
            client.close()
            return

        async def call() -> None:
            await client.agents.list()
            await client.aclose()

        asyncio.run(call())


def expected(
    constructor: str, variables: str, born: str, scope: str
) -> Optional[tuple[Optional[str], Optional[str]]]:
    """Header and host by the rules; None: natively; a host of None: whatever there is."""
    if constructor in ("workspace", "host"):
        return None
    first = scope or born
    ambient = None if first == "None" else first or {"": None, "ID": ENV_ID}.get(variables, ENV)
    return ambient, GATEWAY if constructor == "gateway" else host(ambient) if ambient else None


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize("scope", ["", A, "None"])
@pytest.mark.parametrize("born", ["", B, "None"])
@pytest.mark.parametrize("variables", ENVIRONMENTS)
@pytest.mark.parametrize("constructor", CONSTRUCTORS)
def test_order_of_precedence(
    constructor: str, variables: str, born: str, scope: str, asynchronous: bool, loopback: Loopback
) -> None:
    wanted = expected(constructor, variables, born, scope)
    with environment(**ENVIRONMENTS[variables]):
        native_host = constructor or variables in ("WORKSPACE", "both")
        at_birth = born not in ("", "None") or (not born and variables)
        if not native_host and not at_birth:
            with pytest.raises(ValueError, match="workspace is required"):  # the SDK's own
                drive(asynchronous, CONSTRUCTORS[constructor], born, scope)
            return
        drive(asynchronous, CONSTRUCTORS[constructor], born, scope)
    (request,) = loopback.drain()
    if wanted is None:  # in the SDK's own words the host alone names it
        assert voice(request) == (None, host(CLIENT))
    else:
        header, name = wanted
        assert voice(request) == (header, name or request.host)


def test_p2_environment_that_only_the_shim_reads(loopback: Loopback) -> None:
    with environment(DASHSCOPE_WORKSPACE_ID=ENV_ID):
        drive(False, {}, "", "")
    assert [voice(request) for request in loopback.drain()] == [(ENV_ID, host(ENV_ID))]


def test_environment_that_names_the_url(
    loopback: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rule 5 for DASHSCOPE_AGENTSTUDIO_URL: native without a scope, the scope's host in one."""
    monkeypatch.setenv("DASHSCOPE_AGENTSTUDIO_URL", f"https://{host(BASE)}/api/v1/agentstudio")
    for variables in ({}, {"DASHSCOPE_WORKSPACE": ENV}, {"DASHSCOPE_WORKSPACE_ID": ENV_ID}):
        with environment(**variables):
            drive(False, {}, "", "")
            drive(False, {}, "", A)
            drive(False, {}, B, "")
            drive(False, {"workspace": CLIENT}, B, A)
        assert [voice(request) for request in loopback.drain()] == [
            (None, host(BASE)), (A, host(A)), (B, host(B)), (None, host(BASE)),
        ]  # fmt: skip


def test_header_of_the_call(loopback: Loopback) -> None:
    with agentstudio.Client(api_key=KEY, workspace=CLIENT) as client, use_workspace(A):
        client.transport.request("GET", "/agents", extra_headers={HEADER.lower(): CALL})
    assert [voice(request) for request in loopback.drain()] == [(CALL, host(CLIENT))]


def test_stream_read_after_its_scope(loopback: Loopback) -> None:
    with use_workspace(B):
        client = agentstudio.Client(api_key=KEY)
    with use_workspace(A):
        stream = client.sessions.events.stream("session-1")
    with use_workspace(B), stream as events:
        for _ in events:
            pass
    assert {voice(request) for request in loopback.drain()} == {(A, host(A))}


def test_p8_a_coroutine_goes_out_in_the_scope_of_the_call(loopback: Loopback) -> None:
    async def main() -> None:
        client = agentstudio.AsyncClient(api_key=KEY)
        with use_workspace(A):
            call = client.agents.list()
        with use_workspace(B):
            await call
        await client.aclose()

    with use_workspace(CLIENT):
        asyncio.run(main())
    assert [voice(request) for request in loopback.drain()] == [(A, host(A))]


@pytest.mark.parametrize("asynchronous", [False, True])
def test_p8_a_page_remembers_the_scope_that_it_was_made_in(
    loopback: Loopback, asynchronous: bool
) -> None:
    async def main() -> None:
        client = (agentstudio.AsyncClient if asynchronous else agentstudio.Client)(api_key=KEY)

        async def done(result: Any) -> Any:
            return await result if asynchronous else result

        with use_workspace(A):
            page = await done(client.agents.list())
        page.next_page = "more"
        await done(page.get_next())
        with use_workspace(B):
            await done(page.get_next())
        await done(client.aclose() if asynchronous else client.close())

    with environment(DASHSCOPE_WORKSPACE=ENV):
        asyncio.run(main())
    sent = [voice(request) for request in loopback.drain()]
    assert sent == [(A, host(A)), (A, host(A)), (B, host(B))]


# --- mounted -------------------------------------------------------------------------------------

mounted = pytest.mark.skipif(not hasattr(dashscope, "Client"), reason="has no 2.x clients")


@mounted
def test_mounted_in_one_tenants_scope_used_in_anothers(loopback: Loopback) -> None:
    with dashscope.Client(api_key=KEY) as client:
        with use_workspace(A):
            client.agentstudio.agents.list()
        with use_workspace(B):
            client.agentstudio.agents.list()
    assert [voice(request) for request in loopback.drain()] == [(A, host(A)), (B, host(B))]


@mounted
def test_p8_mounted_in_a_tenants_scope_used_in_none(loopback: Loopback) -> None:
    """Where nothing is ambient any more, the tenant's host is not a place to go."""
    with dashscope.Client(api_key=KEY) as client:
        with use_workspace(A):
            client.agentstudio.agents.list()
        loopback.drain()
        with environment(DASHSCOPE_WORKSPACE_ID=ENV_ID):
            client.agentstudio.agents.list()
        with contextlib.suppress(ValueError):
            client.agentstudio.agents.list()
        with use_workspace(None), contextlib.suppress(ValueError):
            client.agentstudio.agents.list()
    voices = [voice(request) for request in loopback.drain()]
    assert voices[0] == (ENV_ID, host(ENV_ID))
    assert host(A) not in [name for _, name in voices]


@mounted
def test_mounted_asynchronously_by_many_tenants(loopback: Loopback) -> None:
    async def tenant(client: Any, number: int) -> None:
        with use_workspace(f"ws-{number}"):
            await asyncio.sleep(0)
            await client.agentstudio.agents.retrieve(f"agent-{number}")

    async def main() -> None:
        async with dashscope.AsyncClient(api_key=KEY) as client:
            await asyncio.gather(*(tenant(client, number) for number in range(50)))

    asyncio.run(main())
    requests = loopback.drain()
    assert len(requests) == 50
    for request in requests:
        number = request.endpoint.rpartition("-")[2]
        assert voice(request) == (f"ws-{number}", host(f"ws-{number}"))


@mounted
def test_p6_mounted_has_the_clients_workspace_not_the_environments(loopback: Loopback) -> None:
    with environment(DASHSCOPE_WORKSPACE=ENV):
        choices: tuple[dict[str, Any], ...] = (
            {"workspace": CLIENT},
            {"base_url": f"https://{host(CLIENT)}/api/v1", "workspace": CLIENT},
        )
        for options in choices:
            with dashscope.Client(api_key=KEY, **options) as client:
                for scope in (contextlib.nullcontext(), use_workspace(A), use_workspace(None)):
                    with scope:
                        client.agentstudio.agents.list()
    sent = [voice(request) for request in loopback.drain()]
    assert len(sent) == 6 and set(sent) <= {(None, host(CLIENT)), (CLIENT, host(CLIENT))}


@mounted
def test_p6_mounted_on_a_client_at_a_workspace_host(loopback: Loopback) -> None:
    with dashscope.Client(api_key=KEY, base_url=f"https://{host(CLIENT)}/api/v1") as client:
        for scope in (A, None):
            with use_workspace(scope):
                client.agentstudio.agents.list()
    assert {request.host for request in loopback.drain()} == {host(CLIENT)}


@mounted
def test_mounted_where_nothing_is_known_raises_the_sdks_own_error(loopback: Loopback) -> None:
    with dashscope.Client(api_key=KEY) as client:
        with pytest.raises(ValueError, match="workspace is required"):
            client.agentstudio  # noqa: B018
        with use_workspace(None), pytest.raises(ValueError, match="workspace is required"):
            client.agentstudio  # noqa: B018
        with use_workspace(A):
            client.agentstudio.agents.list()
    assert [voice(request) for request in loopback.drain()] == [(A, host(A))]


@mounted
def test_mounted_none_hides_the_environment(loopback: Loopback) -> None:
    """The host of the environment's workspace stays, because there is no other."""
    with environment(DASHSCOPE_WORKSPACE=ENV), dashscope.Client(api_key=KEY) as client:
        client.agentstudio.agents.list()
        with use_workspace(None):
            client.agentstudio.agents.list()
    assert [request.workspaces for request in loopback.drain()] == [[ENV], []]


@pytest.mark.skipif(
    not hasattr(agentstudio.client, "validate_region"), reason="1.26 takes any region"
)
def test_region_that_the_sdk_refuses() -> None:
    with use_workspace(A), pytest.raises(ValueError) as raised:
        agentstudio.Client(api_key=KEY, region="mars/..")
    assert type(raised.value) is ValueError
