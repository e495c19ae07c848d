"""P15: the switch, what is the service, and that what is not asked for is not touched."""

from __future__ import annotations

import asyncio
import copy
import json
import pickle
import subprocess
import sys
import textwrap
import threading
from importlib import import_module
from importlib.util import find_spec
from typing import Any
from unittest import mock

import aiohttp
import httpx
import pytest
import requests
from environments import clean
from hosts import ca_file
from library_calls import FOREIGN, URL, seen, trust
from record import environment
from sdk_calls import GENERATION, OBJECTS, need

import dashscope_ws_patch
from dashscope_ws_patch import (
    SeamError,
    WorkspaceError,
    _activation,
    _hosts,
    _http_libraries,
    _libraries,
    _websocket_libraries,
    use_workspace,
)
from dashscope_ws_patch._decision import HEADER
from dashscope_ws_patch.cli.install import SITEDIR
from dashscope_ws_patch.cli.status import Status
from dashscope_ws_patch.selftest import libraries
from dashscope_ws_patch.selftest.loopback import Loopback, redirect
from dashscope_ws_patch.selftest.surfaces import find

# What is the service


@pytest.mark.parametrize(
    "authority",
    [
        "dashscope.aliyuncs.com",
        "dashscope-intl.aliyuncs.com",
        "dashscope-us.aliyuncs.com",
        "dashscope-finance.aliyuncs.com",
        "dashscope-cn-beijing.aliyun-inc.com",
        "cn-hongkong.dashscope.aliyuncs.com",
        "vpc-cn-beijing.dashscope.aliyuncs.com",
        "coding-intl.dashscope.aliyuncs.com",
        "DashScope.Aliyuncs.COM",
        "dashscope.aliyuncs.com.",
        "dashscope.aliyuncs.com:8443",
        "dashscope.aliyuncs.com:",
        "user:secret@dashscope.aliyuncs.com",
        "evil.example@dashscope.aliyuncs.com",
        "dashscope.aliyuncs.com?x=@evil.example",
        "token-plan.cn-beijing.maas.aliyuncs.com",
        "Coding-Plan.ap-southeast-1.maas.aliyuncs.com",
    ],
)
def test_p15_hosts_of_the_service(authority: str) -> None:
    assert _hosts.is_unnamed(authority)
    assert _hosts.in_url(f"https://{authority}/api/v1")


@pytest.mark.parametrize(
    "authority",
    [
        "",
        "dashscope.aliyuncs.com.evil.example",
        "dashscope.aliyuncs.com@evil.example",
        "dashscope.aliyuncs.com:443@evil.example",
        "evil.example?@dashscope.aliyuncs.com",
        "evil.example#@dashscope.aliyuncs.com",
        "evil.example\\@dashscope.aliyuncs.com",
        "dashscope.aliyuncs.com\\@evil.example",
        "dashscope.aliyuncs.com..",
        "evil-dashscope.aliyuncs.com",
        "dashscope.aliyuncs.com.cn",
        "dashscope.aliyuncs%2ecom",
        "d\u0430shscope.aliyuncs.com",
        "xn--dshscope-2fg.aliyuncs.com",
        "[::1]",
        "[2001:db8::1]:443",
        "::1",
        "127.0.0.1",
        "localhost",
        "aliyuncs.com",
        "x.dashscope-cn-beijing.aliyun-inc.com",
        "dashscope-result-bj.oss-cn-beijing.aliyuncs.com",
        "dashscope.oss-cn-beijing.aliyuncs.com",
        "help-static-aliyun-doc.aliyuncs.com",
        "nls-gateway-cn-shanghai.aliyuncs.com",
        "bailian.cn-beijing.aliyuncs.com",
        "maas.aliyuncs.com",
        "cn-beijing.maas.aliyuncs.com",
        ".cn-beijing.maas.aliyuncs.com",
        "a.b.cn-beijing.maas.aliyuncs.com",
        # These name a workspace themselves.
        "ws_x.cn-beijing.maas.aliyuncs.com",
        "trial.cn-beijing.maas.aliyuncs.com",
        "x-token-plan.cn-beijing.maas.aliyuncs.com",
    ],
)
def test_p15_other_hosts(authority: str) -> None:
    assert not _hosts.is_unnamed(authority)
    assert not _hosts.in_url(f"https://{authority}/api/v1")


@pytest.mark.parametrize("url", [None, b"https://dashscope.aliyuncs.com/", "/api/v1", "", "x:y"])
def test_p15_what_is_no_url_is_foreign(url: object) -> None:
    assert not _hosts.in_url(url)


def test_p15_more_hosts(with_clients: Loopback) -> None:
    with environment(DASHSCOPE_WS_PATCH_HOSTS=" Gateway.corp.example, .internal.example,"):
        assert _hosts.is_unnamed("gateway.corp.example:8443")
        assert _hosts.is_unnamed("a.b.internal.example")
        assert not _hosts.is_unnamed("internal.example")
        assert not _hosts.is_unnamed("x.gateway.corp.example")
        assert _hosts.is_unnamed("dashscope.aliyuncs.com")
        with use_workspace("ws_a"):
            requests.get("https://gateway.corp.example/v1/models", timeout=300)
    assert not _hosts.is_unnamed("gateway.corp.example")
    assert seen(with_clients) == [["ws_a"]]


@pytest.mark.parametrize(
    "entry",
    ["https://gateway.corp.example", "gateway.corp.example:443", "*.corp.example", ".", "a b"],
)
def test_p12_a_malformed_host_is_refused(with_clients: Loopback, entry: str) -> None:
    with environment(DASHSCOPE_WS_PATCH_HOSTS=f"other.example,{entry}"), use_workspace("ws_a"):
        with pytest.raises(WorkspaceError, match="DASHSCOPE_WS_PATCH_HOSTS") as refused:
            requests.get(URL, timeout=300)
        assert repr(entry) in str(refused.value)
        assert seen(with_clients) == []
        requests.get(FOREIGN, timeout=300)  # none of its business
    assert seen(with_clients) == [[]]


# Off


def targets() -> dict[str, Any]:
    """The very objects that rows are put on, of the libraries that are installed."""
    found = {}
    for seam in _libraries.SEAMS:
        try:
            module: Any = import_module(seam.module)
        except ImportError:
            continue
        for attribute in seam.attributes.split():  # one of them, or more
            path, _, name = attribute.rpartition(".")
            owner = getattr(module, path, None) if path else module
            if owner is not None and name in vars(owner):
                found[f"{seam.module}.{attribute}"] = vars(owner)[name]
    return found


#: Rows that this release needs no patch for.
NEEDLESS = ("HTTPAdapter.send", "HTTPProxy.__init__", "ClientProtocol.send_request")


def test_p15_not_asked_for_nothing_is_touched() -> None:
    before = targets()
    dashscope_ws_patch.unpatch()
    assert targets() == before
    assert _activation.covered() == {}


def test_p10_the_very_objects_come_back() -> None:
    before = targets()
    dashscope_ws_patch.patch(clients=True)
    patched = {name for name in before if not name.endswith(NEEDLESS)}
    assert len(patched) > 10
    assert all(targets()[name] is not before[name] for name in patched)
    dashscope_ws_patch.patch()  # says nothing about it
    dashscope_ws_patch.patch(clients=True)
    assert all(vars(targets()[name])["__wrapped__"] is before[name] for name in patched)
    dashscope_ws_patch.patch(clients=False)
    assert targets() == before
    assert dashscope_ws_patch.is_patched()
    dashscope_ws_patch.patch(clients=True)
    dashscope_ws_patch.unpatch()
    assert targets() == before


def test_p8_what_was_sent_in_another_scope_is_sent_again(with_clients: Loopback) -> None:
    with requests.Session() as session, httpx.Client(verify=trust()) as client:
        with use_workspace("ws_a"):
            one, other = session.get(URL), client.get(URL)
        with use_workspace("ws_b"):
            session.send(one.request, verify=ca_file())
            session.get_adapter(URL).send(one.request, verify=ca_file())
            client.send(other.request)
        # It can be read where the shim is not, and does not show what was added.
        for answer in (one, other, pickle.loads(pickle.dumps(one)), copy.copy(other)):
            assert b"dashscope_ws_patch" not in pickle.dumps(answer)
            assert HEADER not in answer.request.headers
    assert seen(with_clients) == [["ws_a"], ["ws_a"], ["ws_b"], ["ws_b"], ["ws_b"]]


@pytest.mark.parametrize("given", [None, {"x-dashscope-workspace": None}])
def test_p15_what_a_session_names_is_not_filled_below(with_clients: Loopback, given: Any) -> None:
    with requests.Session() as session, use_workspace("ws_a"):
        session.headers[HEADER] = "ws_mine"
        session.verify = ca_file()
        if given:
            session.get(URL, headers=given)
        else:
            session.send(requests.Request("GET", URL).prepare())
        assert seen(with_clients) == [[]]  # as natively
        session.get(URL)
        requests.get(URL)
    assert seen(with_clients) == [["ws_mine"], ["ws_a"]]


def test_p4_another_patcher_that_keeps_ours_keeps_nothing_on(with_clients: Loopback) -> None:
    """One that wraps after us, and one that saves what is there and puts it back."""
    ours = requests.Session.send

    def theirs(self: Any, request: Any, **kwargs: Any) -> Any:
        return ours(self, request, **kwargs)

    with mock.patch.object(requests.Session, "send", theirs), use_workspace("ws_a"):
        requests.get(URL, timeout=300)
        dashscope_ws_patch.unpatch()
        requests.get(URL, timeout=300)
    try:
        assert requests.Session.send is ours  # put back by them
        with use_workspace("ws_a"):
            requests.get(URL, timeout=300)
    finally:
        requests.Session.send = ours.__wrapped__  # type: ignore[attr-defined, method-assign]
    assert seen(with_clients) == [["ws_a"], [], []]


# On

PROGRAM = """
import sys, warnings
warnings.simplefilter("always")
{early}
{activate}
{late}
from dashscope_ws_patch import _activation
names = sorted(name for name, (state, _) in _activation.covered().items() if state == "applied")
print([n for n in names if n in ("requests", "httpx", "aiohttp", "urllib3", "urllib.request")])
print("wrapt" in sys.modules, "dashscope" in sys.modules)
"""
LIBRARIES = "import requests, aiohttp, urllib3, urllib.request; from httpx import Client"
ALL = "['aiohttp', 'httpx', 'requests', 'urllib.request', 'urllib3']"


def run(program: str, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), *arguments],
        env=clean(**variables),
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize("early", [True, False])
@pytest.mark.parametrize(
    ("activate", "variables"),
    [
        ("import dashscope_ws_patch", {"DASHSCOPE_WS_PATCH_CLIENTS": "1"}),
        ("import dashscope_ws_patch as d; d.patch(clients=True)", {}),
        ("", {"DASHSCOPE_WS_PATCH_CLIENTS": "Yes", "PYTHONPATH": SITEDIR}),
    ],
)
def test_p9_late_and_early_imports_alike(
    early: bool, activate: str, variables: dict[str, str]
) -> None:
    """And wrapt, which only the SDK needs, is loaded for none of them (P13)."""
    places = (LIBRARIES, "") if early else ("", LIBRARIES)
    done = run(PROGRAM.format(early=places[0], activate=activate, late=places[1]), **variables)
    assert done.stdout.splitlines() == [ALL, "False False"], done.stderr


def test_p13_the_start_up_file_waits_only_where_asked() -> None:
    program = f"{LIBRARIES}; import sys; print('dashscope_ws_patch' in sys.modules)"
    assert run(program, PYTHONPATH=SITEDIR).stdout == "False\n"
    asked = {"PYTHONPATH": SITEDIR, "DASHSCOPE_WS_PATCH_CLIENTS": "1"}
    assert run(program, **asked).stdout == "True\n"
    assert run(program, DASHSCOPE_WS_PATCH="0", **asked).stdout == "False\n"
    idle = "import sys, json; print('dashscope_ws_patch' in sys.modules)"
    assert run(idle, **asked).stdout == "False\n"


@pytest.mark.parametrize("value", ["", "0", "off", "FALSE", "no", " "])
def test_p15_switched_off_by_the_environment(value: str) -> None:
    dashscope_ws_patch.unpatch()
    with environment(DASHSCOPE_WS_PATCH_CLIENTS=value):
        dashscope_ws_patch.patch()  # a warning would be an error
    assert _activation.covered() == {}


def test_p15_an_unknown_value_is_warned_about() -> None:
    dashscope_ws_patch.unpatch()
    with environment(DASHSCOPE_WS_PATCH_CLIENTS="requests"):
        with pytest.warns(RuntimeWarning, match=r"'requests'.*1, on, true, yes.*0, off, false, no"):
            dashscope_ws_patch.patch()
    assert _activation.covered() == {}


DAMAGED = """
import asyncio, functools, importlib, sys, warnings
warnings.simplefilter("always")

def hide(path):
    # As a release that has renamed it, and works by the new name.
    module, owner, name = path.rsplit(".", 2)
    owner = getattr(importlib.import_module(module), owner)
    kept = vars(owner)[name]
    delattr(owner, name)
    look = owner.__getattribute__
    owner.__getattribute__ = lambda self, asked: (
        kept.__get__(self) if asked == name else look(self, asked)
    )

for path in sys.argv[1:]:
    hide(path)
import dashscope_ws_patch as d
from dashscope_ws_patch import _activation
from dashscope_ws_patch.selftest.libraries import DRIVERS
from dashscope_ws_patch.selftest.loopback import Loopback, redirect
for _ in range(2):
    d.unpatch()
    d.patch(clients=True)
with Loopback() as service, redirect(service.port), d.use_workspace("ws_a"):
    for name in ("requests", "urllib.request", "httpx", "aiohttp"):
        url = service.address("dashscope.aliyuncs.com", "/api/v1/models")
        result = DRIVERS[name](importlib.import_module(name), url)
        if asyncio.iscoroutine(result):
            asyncio.run(result)
        state, reason = _activation.covered()[name]
        print(name, state, [request.workspaces for request in service.drain()], reason, sep="|")
"""
HIDDEN = [
    "urllib.request.AbstractHTTPHandler.do_open",
    "httpcore._sync.connection_pool.ConnectionPool.handle_request",
    "aiohttp.client_reqrep.ClientResponse.read",
]


def test_p11_insides_that_do_not_fit() -> None:
    """The library works on, the others are covered, and the user is told once."""
    for hidden in (HIDDEN, HIDDEN[1:]):
        done = run(DAMAGED, *hidden)
        told = {name: rest for name, *rest in (x.split("|") for x in done.stdout.splitlines())}
        assert len(told) == 4, done.stderr
        for path in HIDDEN:
            module, attribute = path.rsplit(".", 2)[0], ".".join(path.rsplit(".", 2)[1:])
            name = module if module == "urllib.request" else module.partition(".")[0]
            name = name.replace("httpcore", "httpx")
            state, sent, reason = told[name]
            assert state == ("failed" if path in hidden else "applied")
            assert (attribute in reason) == (path in hidden)
            # Of aiohttp only what reads an answer is damaged.
            carried = path not in hidden or name == "aiohttp"
            assert sent == ("[['ws_a']]" if carried else "[[]]"), name
            assert done.stderr.count(f"{path} ") == (path in hidden)
        assert done.stderr.count("cannot patch ") == 1
        strict = run(DAMAGED, *hidden, DASHSCOPE_WS_PATCH_STRICT="1")
        assert "SeamError: cannot patch " in strict.stderr and not strict.stdout
    assert SeamError.__name__ == "SeamError"


@pytest.mark.parametrize(
    ("adapter", "theirs"),
    [
        (_http_libraries.httpcore, lambda self, other: None),
        (_http_libraries.urllib3, lambda self, method, target, body, headers: None),
        (_http_libraries.aiohttp, lambda self, transport: None),
        (_http_libraries.urllib_request, lambda self, req: None),
        (_websocket_libraries.websockets, lambda self, headers: None),
    ],
)
def test_p11_a_release_that_takes_other_arguments_is_left_alone(adapter: Any, theirs: Any) -> None:
    with pytest.raises(LookupError, match="it takes"):
        adapter(theirs)


def test_p11_insides_that_do_not_fit_while_it_sends(
    with_clients: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No request fails; the user is told once, and so are ``status`` and ``doctor``."""
    monkeypatch.setattr(_http_libraries, "settled", lambda *_: 1 / 0)
    with use_workspace("ws_a"):
        with pytest.warns(RuntimeWarning, match="insides of this release of httpx do not fit"):
            httpx.get(URL, verify=trust())
        httpx.get(URL, verify=trust())
    assert seen(with_clients) == [[], []]
    assert _activation.covered()["httpx"] == ("failed", "ZeroDivisionError: division by zero")
    dashscope_ws_patch.patch(clients=False)
    dashscope_ws_patch.patch(clients=True)
    assert _activation.covered()["httpx"][0] == "applied"


@pytest.mark.parametrize(
    ("value", "on", "notes"),
    [("1", True, 0), ("", False, 0), ("off", False, 0), ("requests", False, 1)],
)
def test_p17_status_says_whether_the_switch_is_on(value: str, on: bool, notes: int) -> None:
    asked = {"PYTHONPATH": SITEDIR, "DASHSCOPE_WS_PATCH_CLIENTS": value}
    done = subprocess.run(
        [sys.executable, "-m", "dashscope_ws_patch", "status", "--json"],
        env=clean(**asked),
        capture_output=True,
        text=True,
    )
    found = json.loads(done.stdout)
    assert (found["clients"], len(found["notes"]), done.returncode) == (on, notes, notes)
    line = "the same, by" if on else "left alone, no"
    assert str(Status(**found)).endswith(f"without the SDK: {line} DASHSCOPE_WS_PATCH_CLIENTS")


def test_p17_doctor_drives_the_libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    def driven() -> dict[str, Any]:
        with Loopback() as plain, redirect(plain.port):
            return {found["library"]: found for found in libraries.drive(plain, "ws_a")}

    found = driven()
    assert set(found) == {name for name in libraries.DRIVERS if find_spec(name.split(".")[0])}
    assert all(library["covered"] and not library["reason"] for library in found.values()), found
    for module in (_http_libraries, _websocket_libraries):
        monkeypatch.setattr(module, "settled", lambda *_: None)
    found = driven()
    assert not any(library["covered"] for library in found.values())
    assert found["requests"]["on"] == [[], []] and found["requests"]["reason"]


# In use


def test_p15_results_fetched_by_the_same_session(with_clients: Loopback) -> None:
    """As ms-agent's tools do: post, poll, fetch from object storage."""

    async def main() -> None:
        async with aiohttp.ClientSession() as session:
            for method, url in (("POST", URL), ("GET", URL), ("GET", FOREIGN)):
                async with session.request(method, url) as answer:
                    await answer.read()

    with use_workspace("ws_a"):
        asyncio.run(main())
    assert seen(with_clients) == [["ws_a"], ["ws_a"], []]


@pytest.mark.parametrize("name", [*OBJECTS, "Generation over a websocket"])
def test_p15_the_sdk_connects_in_its_threads_as_its_caller_says(
    name: str, with_clients: Loopback
) -> None:
    """A library that is asked in a new thread would find the environment where a scope holds."""
    needs, *how = OBJECTS.get(name, (GENERATION,))
    need(needs)
    with environment(DASHSCOPE_WORKSPACE="ws_env"), use_workspace(None):
        if how:
            make, send = how
            send(make())
        else:
            find(GENERATION).call("qwen-turbo", "hi", api_protocol="websocket")
    found = [request.workspaces for request in with_clients.drain() if not request.foreign]
    assert found and not any(found)


def test_p8_tenants_share_a_client(with_clients: Loopback) -> None:
    async def ask(client: Any, tenant: str, number: int) -> None:
        with use_workspace(tenant):
            await asyncio.sleep(0)
            answer = await client.post(URL, json={"tenant": tenant, "number": number})
            assert answer.status_code == 200

    async def main() -> None:
        async with httpx.AsyncClient(verify=trust(), timeout=600) as client:
            await asyncio.gather(*(ask(client, f"ws_{n % 2}", n) for n in range(100)))

    asyncio.run(main())
    requests_ = with_clients.drain()
    assert len(requests_) == 100
    assert all(request.workspaces == [request.json()["tenant"]] for request in requests_)


def test_p8_threads_that_send_one_prepared_request(with_clients: Loopback) -> None:
    prepared = requests.Request("GET", URL).prepare()

    def ask(tenant: str) -> None:
        with use_workspace(tenant), requests.Session() as session:
            for _ in range(10):
                answer = session.send(prepared, verify=ca_file())
                assert answer.request is prepared

    threads = [threading.Thread(target=ask, args=(f"ws_{n}",)) for n in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = [value for values in seen(with_clients) for value in values]
    assert sorted(found) == ["ws_0"] * 10 + ["ws_1"] * 10
    assert "X-DashScope-WorkSpace" not in prepared.headers


@pytest.mark.skipif(not find_spec("openai"), reason="openai is not installed")
def test_p8_tenants_share_an_openai_client(with_clients: Loopback) -> None:
    import openai

    async def ask(client: Any, number: int) -> None:
        with use_workspace(f"ws_{number % 2}"):
            await client.chat.completions.create(
                model="m", messages=[{"role": "user", "content": f"ws_{number % 2}"}]
            )

    async def main() -> None:
        base = URL.rpartition("/")[0]
        async with openai.AsyncOpenAI(api_key="sk-loopback", base_url=base) as client:
            await asyncio.gather(*(ask(client, number) for number in range(200)))

    asyncio.run(main())
    asked = with_clients.drain()
    assert len(asked) == 200
    for request in asked:
        assert request.workspaces == [request.json()["messages"][0]["content"]]


def test_p15_run_clients() -> None:
    program = f"{LIBRARIES}\nfrom dashscope_ws_patch import _activation as a, get_workspace\n"
    program += "print(get_workspace(), a.covered()['requests'][0])"
    command = ["dashscope_ws_patch", "run", "--clients", "-w", "ws_a", "--", sys.executable]
    done = subprocess.run(
        [sys.executable, "-m", *command, "-c", program],
        env=clean(),
        capture_output=True,
        text=True,
    )
    assert done.stdout == "ws_a applied\n", done.stderr
