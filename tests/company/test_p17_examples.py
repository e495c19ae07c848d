"""The recipes in ``examples`` do what they say, each where its framework is installed."""

from __future__ import annotations

import asyncio
import importlib
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from environments import ROOT

from dashscope_ws_patch.selftest.loopback import Loopback

FOLDER = ROOT / "examples"

#: Each recipe, the modules that it needs, and how many requests it makes.
RECIPES = {
    "modelscope_agent_chat": ("modelscope_agent", 1),
    "langchain_tongyi": ("langchain_community", 2),
    "llama_index_dashscope": ("llama_index.llms.dashscope", 1),
    "qwen_agent_chat": ("qwen_agent", 1),
    "agentscope_1": ("agentscope", 1),
    "agentscope_2": ("agentscope", 1),
    "celery_tenants": ("celery", 1),
    "fastapi_tenants": ("fastapi", 0),
}


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a framework writes where it is imported, such as the logs of modelscope_agent."""
    monkeypatch.chdir(tmp_path)


def loaded(name: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The recipe as a module, or skipped where its framework is not installed."""
    needs, _ = RECIPES[name]
    top = needs.partition(".")[0]
    try:
        found = find_spec(needs)
    except ModuleNotFoundError:  # not even what it is part of
        found = None
    if found is None:
        pytest.skip(f"{needs} is not installed")
    if top == "agentscope":
        from importlib.metadata import version

        if version("agentscope").partition(".")[0] != name[-1]:
            pytest.skip(f"agentscope {version('agentscope')} is installed")
    monkeypatch.syspath_prepend(str(FOLDER))
    monkeypatch.setenv("DASHSCOPE_API_KEY", "sk-loopback")
    monkeypatch.delitem(sys.modules, name, raising=False)
    return importlib.import_module(name)


def test_p17_each_recipe_is_listed() -> None:
    recipes = {path.stem for path in FOLDER.glob("*.py")}
    assert recipes == set(RECIPES)
    listed = (FOLDER / "README.md").read_text("utf-8")
    assert all(f"]({name}.py)" in listed for name in recipes)


@pytest.mark.parametrize("name", [name for name in RECIPES if name != "fastapi_tenants"])
def test_p17_a_recipe_sends_its_workspace(
    name: str, loopback: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = loaded(name, monkeypatch)
    if name == "celery_tenants":
        recipe.app.conf.task_always_eager = True
    for workspace in ("llm-x1", "llm-x2"):
        assert "hello" in recipe.run(workspace)
        sent = [request.workspaces for request in loopback.drain() if not request.foreign]
        assert sent == [[workspace]] * RECIPES[name][1]


@pytest.mark.parametrize("path", ["/ask", "/ask-in-thread"])
def test_p17_each_tenant_of_the_web_recipe_has_its_own(
    path: str, loopback: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    httpx = pytest.importorskip("httpx")
    recipe = loaded("fastapi_tenants", monkeypatch)

    async def asked(tenant: str) -> str:
        web = httpx.ASGITransport(app=recipe.app)
        async with httpx.AsyncClient(transport=web, base_url="http://localhost") as client:
            return str((await client.get(path, headers={"X-Tenant": tenant})).text)

    for tenant in ("blue", "green", "blue"):
        assert "hello" in asyncio.run(asked(tenant))
        (sent,) = loopback.drain()
        assert sent.workspaces == [f"llm-{tenant}"]
