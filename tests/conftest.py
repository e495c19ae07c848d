"""The loopback service, the surfaces, and what they sent, with the shim and natively.

Surfaces are driven once in each setting; all promises look at the same recordings. The native ones
are made in a second process, from the start of the session on.
"""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable

import pytest
from _record import NATIVE, SETTINGS, Sent, environment, record
from _ways import ways
from hosts import serving

import dashscope_ws_patch
from dashscope_ws_patch import _workspace
from dashscope_ws_patch.selftest import surfaces as _surfaces
from dashscope_ws_patch.selftest.loopback import Loopback
from dashscope_ws_patch.selftest.surfaces import Drive, Surface

SURFACES = _surfaces.surfaces()
WAYS = ways()

Native = dict[str, dict[str, list[dict[str, Any]]]]
Recorder = Callable[[Surface, str], list[Sent]]

_native: dict[str, Any] = {}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Feed the one list of surfaces to each test that takes a ``surface``."""
    if "surface" in metafunc.fixturenames:
        metafunc.parametrize("surface", SURFACES, ids=[surface.name for surface in SURFACES])
    if "way" in metafunc.fixturenames:
        metafunc.parametrize("way", WAYS, ids=[way.name for way in WAYS])


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave to the end what waits for the native recording."""
    items.sort(key=lambda item: "native" in getattr(item, "fixturenames", ()))


def pytest_collection_finish(session: pytest.Session) -> None:
    """Start the native recording, if a test will ask for it."""
    if not any("native" in getattr(item, "fixturenames", ()) for item in session.items):
        return
    _native["output"] = output = tempfile.TemporaryFile("w+")  # noqa: SIM115
    script = str(Path(__file__).with_name("_native.py"))
    _native["process"] = subprocess.Popen(
        [sys.executable, script, str(output.fileno()), *NATIVE],
        env={**os.environ, "DASHSCOPE_WS_PATCH": "0"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        pass_fds=(output.fileno(),),
    )


@pytest.fixture(autouse=True)
def _nothing_ambient() -> Iterator[None]:
    """Each test begins, and leaves the next one, with no workspace and the SDK patched."""
    token = _workspace.scope.set(None)
    with environment():
        yield
    _workspace.scope.reset(token)
    dashscope_ws_patch.patch()


@pytest.fixture(scope="session")
def _loopback() -> Iterator[Loopback]:
    with serving() as service:
        _surfaces.prepare(Drive(service, plain=False))
        yield service


@pytest.fixture
def loopback(_loopback: Loopback) -> Loopback:
    """The loopback service over TLS, under every host name; nothing recorded yet."""
    _loopback.drain()
    return _loopback


@pytest.fixture(scope="session")
def recorded(_loopback: Loopback) -> Recorder:
    """What a surface sends with the shim in one of the ``SETTINGS``."""

    @functools.cache
    def sent(surface: Surface, setting: str) -> list[Sent]:
        return record(_loopback, surface, SETTINGS[setting])

    return sent


@pytest.fixture(scope="session")
def native() -> Native:
    """What every surface sends without the shim, by setting and name of the surface."""
    assert _native["process"].wait(300) == 0
    _native["output"].seek(0)
    found: Native = json.load(_native["output"])
    return found


@pytest.fixture
def drive(loopback: Loopback) -> Drive:
    """What tests that call the SDK themselves take files and event loops from."""
    return Drive(loopback, plain=False)
