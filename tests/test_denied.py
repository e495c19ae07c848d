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
from pathlib import Path
from typing import Any, Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import dashscope_ws_patch as shim
from dashscope_ws_patch import _adapters, _denied, _seams, _surfaces, _surfaces_v2
from dashscope_ws_patch._denied import Accounts, hint
from dashscope_ws_patch._loopback import Denial, Loopback, Policy, Request, redirect
from dashscope_ws_patch._surfaces import API_KEY, Drive, Surface

KINDS = ("Workspace.AccessDenied", "Model.AccessDenied", "AccessDenied.Unpurchased")
HOST = "dashscope.aliyuncs.com"

# The command line runs in a process of its own, where its user reads the hint on stderr.
SURFACES = {
    surface.name: surface
    for surface in [*_surfaces.surfaces(), *_surfaces_v2.surfaces()]
    if surface.group != "command line"
}


def has(needs: str) -> bool:
    """Whether the installed SDK has ``package.module:attribute``."""
    module, _, path = needs.partition(":")
    try:
        found: Any = importlib.import_module(module)
        for name in path.split("."):
            found = getattr(found, name)
    except (ImportError, AttributeError):
        return False
    return True


def needs(what: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(not has(what), reason=f"this SDK release has no {what}")


V2 = needs("dashscope.v2:DashScopeError")


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    """No workspace, English, and no hint given yet."""
    for name in ("DASHSCOPE_WORKSPACE", "DASHSCOPE_WORKSPACE_ID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LC_ALL", "C")
    _denied._hinted.clear()


@pytest.fixture(autouse=True, scope="module")
def seams() -> Iterator[None]:
    """The rows of ``_denied.SEAMS``, in the table."""
    rows = [
        _seams.Seam(module, attribute, _adapters.method(adapter), *releases)
        for module, attribute, adapter, *releases in _denied.SEAMS
    ]
    if any(seam.attribute == rows[0].attribute for seam in _seams.SEAMS):
        rows = []
    with pytest.MonkeyPatch.context() as patch:
        shim.unpatch()
        patch.setenv("DASHSCOPE_WS_PATCH_STRICT", "1")
        patch.setattr(_seams, "SEAMS", (*_seams.SEAMS, *rows))
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
        _surfaces.prepare(drive)
        yield drive


def refusing(code: str, handshake: bool = False) -> Policy:
    """A policy that refuses everybody; a websocket at its task, or at its ``handshake``."""
    message = next(r.message for r in _denied.REFUSALS if r.code == code)

    def policy(request: Request) -> Denial | None:
        opening = request.header("Upgrade") and not request.messages
        if request.foreign or (opening and not handshake):
            return None
        return Denial(403, code, message)

    return policy


def generate(**kwargs: Any) -> Any:
    from dashscope import Generation

    return Generation.call(**{"model": "qwen-turbo", "prompt": "hello", **kwargs})


def client(**kwargs: Any) -> Any:
    from dashscope import Client

    return Client(**{"api_key": API_KEY, **kwargs})


# --- every surface -------------------------------------------------------------------------------


def outcome(drive: Drive, surface: Surface) -> str:
    """What the calling code sees of a surface, but for what differs from call to call."""
    try:
        seen = repr(surface.drive(drive))
    except Exception as error:
        seen = f"{type(error)} {error} {error.args} {vars(error)}"
    for varying in (
        r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
        r"\b[0-9a-f]{32}\b",
        r"0x[0-9a-f]+",
        r"\w{3}, \d\d \w{3} \d{4} [\d:]{8} GMT",
        r"\d{4}-\d\d-\d\dT[\d:.]+",
    ):
        seen = re.sub(varying, "*", seen)
    return seen


@pytest.fixture(scope="module")
def native(seams: None) -> dict[str, str]:
    """What each surface does with a refusal where the SDK is not patched."""
    with pytest.MonkeyPatch.context() as patch, serving(refusing(KINDS[0])) as drive:
        patch.setenv("DASHSCOPE_WORKSPACE", "ws_ambient")
        shim.unpatch()
        seen = {surface.name: outcome(drive, surface) for surface in SURFACES.values()}
        shim.patch()
        return seen


@pytest.fixture(scope="module")
def refused() -> Iterator[Drive]:
    with serving(refusing(KINDS[0])) as drive:
        yield drive


@pytest.mark.parametrize("name", SURFACES)
def test_every_surface_hints_and_shows_what_it_would_natively(
    name: str,
    native: dict[str, str],
    refused: Drive,
    hints: Hints,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DASHSCOPE_WORKSPACE", "ws_ambient")
    refused.loopback.drain()
    seen = outcome(refused, SURFACES[name])
    assert seen == native[name]
    sent = {told(request) for request in refused.loopback.drain() if refusing(KINDS[0])(request)}
    assert bool(hints.texts) == bool(sent)
    assert len(set(hints.texts)) == len(hints.texts)
    for text in hints.texts:
        assert text.startswith(f"Workspace.AccessDenied: '{HOST}' refused a request")
        assert any(each in text for each in sent)


def told(request: Request) -> str:
    """What the hint must say of the workspace that ``request`` carried."""
    if not request.workspaces:
        return "It named no workspace."
    return f"It named the workspace {request.workspaces[0]!r}, from "
