"""P20 with the frameworks of ``examples``, untouched: the variable moves what they send.

Each where its framework is installed. Those that send by other libraries than the SDK move with the
switch of P15.
"""

from __future__ import annotations

import contextlib
import random
from typing import Any, Callable

import pytest
from record import comparable, environment
from test_p15_frameworks import CALLS
from test_p17_examples import RECIPES, in_a_folder_of_its_own, loaded  # noqa: F401  a fixture

from dashscope_ws_patch import use_workspace
from dashscope_ws_patch.selftest.loopback import Loopback, Request

# What a framework is warned of, it is warned of.
pytestmark = pytest.mark.filterwarnings("ignore")

OWN_HOST = "DASHSCOPE_WS_PATCH_OWN_HOST"
SHARED = "dashscope.aliyuncs.com"
REGIONS = {"": None, "0": None, "1": "cn-beijing", "eu-central-1": "eu-central-1"}
#: It sends with the openai package.
BY_OPENAI = "agentscope_2"


@pytest.fixture(params=[name for name in RECIPES if name != "fastapi_tenants"])
def recipe(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    made = loaded(request.param, monkeypatch)
    if request.param == "celery_tenants":
        made.app.conf.task_always_eager = True
    if request.param == BY_OPENAI:
        request.getfixturevalue("with_clients")
    return made


def sent(loopback: Loopback) -> list[Request]:
    """The requests to the service."""
    return [request for request in loopback.drain() if not request.foreign]


def goes(value: str, workspace: str) -> tuple[str, str, list[str]]:
    """Host, name of TLS and workspaces of a request for ``workspace``."""
    region = REGIONS[value]
    host = f"{workspace}.{region}.maas.aliyuncs.com" if region else SHARED
    return host, host, [workspace]


def all_but_host(request: Request) -> dict[str, Any]:
    """Method, path, body and headers."""
    found = comparable(request)
    found["target"][1:3] = []
    others = [pair for pair in found["headers"] if pair[0].lower() != "host"]
    return {**found, "headers": others}


@pytest.mark.parametrize("place", ["scope", "environment"])
def test_p20_a_recipe_goes_to_its_workspaces_own_host(
    place: str, recipe: Any, loopback: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And says there, in method, path, headers and body, what it says to the shared host."""
    _, count = RECIPES[recipe.__name__]
    if place == "environment":  # the framework alone
        monkeypatch.setattr(recipe, "use_workspace", lambda _: contextlib.nullcontext())
    for workspace in ("llm-x1", "llm-x2"):
        said = []
        for value in REGIONS:
            ambient = {"DASHSCOPE_WORKSPACE": workspace} if place == "environment" else {}
            random.seed(0)  # Qwen-Agent sends a seed of its own
            with environment(**{OWN_HOST: value, **ambient}):
                assert "hello" in recipe.run(workspace)
            requests = sent(loopback)
            found = [(request.host, request.sni, request.workspaces) for request in requests]
            assert found == [goes(value, workspace)] * count
            said.append([all_but_host(request) for request in requests])
        assert said == [said[0]] * len(REGIONS)


@pytest.mark.parametrize("path", ["/ask", "/ask-in-thread"])
def test_p20_each_tenant_of_the_web_recipe_has_its_own_host(
    path: str, loopback: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = pytest.importorskip("fastapi.testclient").TestClient
    web = client(loaded("fastapi_tenants", monkeypatch).app)
    for value in REGIONS:
        with environment(**{OWN_HOST: value}):
            for tenant in ("blue", "green", "blue"):
                assert "hello" in web.get(path, headers={"X-Tenant": tenant}).text
                (request,) = sent(loopback)
                found = request.host, request.sni, request.workspaces
                assert found == goes(value, f"llm-{tenant}")
            assert "hello" in web.get(path).text
            (request,) = sent(loopback)
            assert (request.host, request.workspaces) == (SHARED, [])


@pytest.mark.parametrize("call", CALLS)
def test_p20_frameworks_that_do_without_the_sdk(
    call: Callable[[], Any], with_clients: Loopback
) -> None:
    for value in REGIONS:
        with environment(**{OWN_HOST: value, "DASHSCOPE_WORKSPACE": "llm-env"}):
            for workspace, scope in (
                ("llm-env", contextlib.nullcontext()),
                ("llm-scope", use_workspace("llm-scope")),
            ):
                with scope:
                    call()
                found = [(r.host, r.sni, r.workspaces) for r in sent(with_clients)]
                assert found and all(each == goes(value, workspace) for each in found)
