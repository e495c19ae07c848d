"""The cost of one request: natively with an explicit workspace, and with the ambient one.

Nothing is sent: ``Generation.call(stream=True)`` returns a generator that sends at its first step.
"""

from __future__ import annotations

from typing import Any, Callable

import dashscope
import pytest
from dashscope.client import base_api

Compare = Callable[..., None]

ARGUMENTS: dict[str, Any] = {
    "model": "qwen-max",
    "input": {"prompt": "hello"},
    "task_group": "aigc",
    "task": "text-generation",
    "function": "generation",
    "api_key": "sk-benchmark",
}


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dashscope, "api_key", "sk-benchmark")


def generation(**named: str) -> Callable[[], Any]:
    call = dashscope.Generation.call
    return lambda: call("qwen-max", prompt="hello", stream=True, **named)


def build(**named: Any) -> Callable[[], Any]:
    # By its module: patching replaces the name there.
    return lambda: base_api._build_api_request(**ARGUMENTS, **named)


def test_generation(compare: Compare) -> None:
    """A call, to where it would send."""
    compare(generation(workspace="ws_x"), generation())


def test_generation_explicit(compare: Compare) -> None:
    """A call that names its workspace, with the shim and without."""
    compare(generation(workspace="ws_x"), generation(workspace="ws_x"))


def test_build(compare: Compare) -> None:
    """The request object alone, the SDK's ``_build_api_request``."""
    compare(build(headers={"X-DashScope-WorkSpace": "ws_x"}), build())
