"""P9 of the 2.x clients: one that was made before the shim came follows the rules from then on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

dashscope = pytest.importorskip("dashscope")
if not hasattr(dashscope, "AsyncClient"):
    pytest.skip("this release has no 2.x client", allow_module_level=True)

import hosts  # noqa: E402

from dashscope_ws_patch import patch, unpatch, use_workspace  # noqa: E402
from dashscope_ws_patch.selftest.loopback import Loopback  # noqa: E402


@pytest.fixture
def loopback() -> Iterator[Loopback]:
    with hosts.serving() as service:
        yield service


def made_before(monkeypatch: pytest.MonkeyPatch, variable: str, **options: Any) -> Any:
    for name in ("DASHSCOPE_WORKSPACE", "DASHSCOPE_WORKSPACE_ID"):
        monkeypatch.delenv(name, raising=False)
    if variable:
        monkeypatch.setenv("DASHSCOPE_WORKSPACE", variable)
    unpatch()
    client = dashscope.Client(api_key="sk-test", **options)
    patch()
    return client


@pytest.mark.parametrize("workspace", ["", "ws-env"])
def test_p9_follows_the_scope(
    workspace: str, loopback: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = made_before(monkeypatch, workspace)
    with use_workspace("ws-a"):
        client.models.list()
        client.chat.completions.create(model="qwen-plus", messages=["hi"])
    found = [(request.workspaces, request.host) for request in loopback.drain()]
    assert found == [(["ws-a"], "ws-a.cn-beijing.maas.aliyuncs.com")] * 2


def test_p9_keeps_what_it_was_told(loopback: Loopback, monkeypatch: pytest.MonkeyPatch) -> None:
    client = made_before(monkeypatch, "ws-env", workspace="ws-told")
    with use_workspace("ws-a"):
        client.models.list()
    (request,) = loopback.drain()
    assert (request.workspaces, request.host) == (
        ["ws-told"],
        "ws-told.cn-beijing.maas.aliyuncs.com",
    )
