"""The loopback service, the surfaces, and what they sent, with the shim and natively.

Surfaces are driven once in each setting, and natively in a second process; all promises look at the
same recordings.
"""

from __future__ import annotations

import functools
import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any, Callable

import pytest

if "SDK" in os.environ:  # an unpacked release is tested, by this process and those it starts
    sys.path.insert(0, os.environ["SDK"])
    _others = filter(None, [os.environ.get("PYTHONPATH")])
    os.environ["PYTHONPATH"] = os.pathsep.join([os.environ["SDK"], *_others])

from environments import HELPERS
from hosts import serving
from hypothesis import settings
from record import OF_COMMANDS, SETTINGS, Sent, environment, record
from ways import ways

import dashscope_ws_patch
from dashscope_ws_patch import _hosts, _workspace
from dashscope_ws_patch.selftest import surfaces as _surfaces
from dashscope_ws_patch.selftest import surfaces_v2 as _surfaces_v2
from dashscope_ws_patch.selftest.loopback import Loopback
from dashscope_ws_patch.selftest.surfaces import Drive, Surface

#: With CLIENTS=1 in the environment every test runs while the other libraries are patched too: P15,
#: what the SDK sends by them is decided once.
CLIENTS = True if os.environ.get("CLIENTS") == "1" else None

#: Minutes each, with environments of their own: run where they are named, as CI does.
collect_ignore = [
    "company/test_p15_libraries.py",
    "company/test_p15_releases.py",
    "startup/test_p18_activation.py",
]

#: Other cells of the matrix of the 2.x clients each day; the workers of xdist inherit it.
SEED = os.environ.setdefault("ONE_VOICE_SEED", time.strftime("%Y%m%d"))

# The SDK leaves sessions of aiohttp to the collector, which would tell so between pytest's dots.
logging.getLogger("asyncio").addHandler(logging.NullHandler())

# Where a shell has started pytest in the background, programs would not be ended by it.
signal.signal(signal.SIGINT, signal.default_int_handler)

# How long an example takes says how busy the machine is.
settings.register_profile("tests", deadline=None)
settings.load_profile("tests")

SURFACES = [*_surfaces.surfaces(), *_surfaces_v2.surfaces()]
WAYS = ways()

Recorder = Callable[[Surface, str], list[Sent]]
#: The same without the shim, each request as ``comparable`` makes it.
Native = Callable[[Surface, str], list[dict[str, Any]]]


def pytest_report_header() -> str:
    return f"to have the same cells again: ONE_VOICE_SEED={SEED}"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Feed the one list of surfaces to each test that takes a ``surface``."""
    for name, values in {"surface": SURFACES, "way": WAYS}.items():
        if name in metafunc.fixturenames:
            metafunc.parametrize(name, values, ids=[value.name for value in values])


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Give all tests of a surface to one worker, which drives it once, and all others by file."""
    # Not by marks and --dist loadgroup: with pytest 9.2, xdist 3.8 takes no notice of them.
    from xdist.scheduler import LoadScopeScheduling

    names = {surface.name for surface in SURFACES}

    class BySurface(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file, _, test = nodeid.partition("::")
            parameters = test.partition("[")[2].rstrip("]").split("-")
            starts = ("-".join(parameters[:end]) for end in range(1, len(parameters) + 1))
            # Only the promises' tests look at the same recordings.
            shared = any(promise in file for promise in ("test_p0", "test_p19", "test_p20"))
            return next((start for start in starts if shared and start in names), file)

    return BySurface(config, log)


@pytest.fixture(autouse=True)
def _nothing_ambient() -> Iterator[None]:
    """Each test begins, and leaves the next one, with no workspace and the SDK patched."""
    token = _workspace.scope.set(None)
    if CLIENTS:
        dashscope_ws_patch.patch(clients=True)
    with environment():
        yield
    _workspace.scope.reset(token)
    _hosts.asked = None
    dashscope_ws_patch.patch(clients=CLIENTS)


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


def _by_surface(sent: Callable[[Surface, str], list[Any]]) -> Callable[[Surface, str], list[Any]]:
    """``sent`` once for each surface and setting."""
    once = functools.cache(sent)

    def of_setting(surface: Surface, setting: str) -> list[Any]:
        command = surface.group == "command line"
        return once(surface, OF_COMMANDS.get(setting, setting) if command else setting)

    return of_setting


@pytest.fixture(scope="session")
def recorded(_loopback: Loopback) -> Recorder:
    """What a surface sends with the shim in one of the ``SETTINGS``."""

    @_by_surface
    def sent(surface: Surface, setting: str) -> list[Sent]:
        return record(_loopback, surface, SETTINGS[setting])

    return sent


@pytest.fixture(scope="session")
def native() -> Iterator[Native]:
    """What a surface sends in one of the ``SETTINGS`` without the shim, in a second process."""
    answers, fd = os.pipe()
    process = subprocess.Popen(
        [sys.executable, str(HELPERS / "native_process.py"), str(fd)],
        env={**os.environ, "DASHSCOPE_WS_PATCH": "0"},
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        pass_fds=(fd,),
    )
    os.close(fd)

    @_by_surface
    def sent(surface: Surface, setting: str) -> list[dict[str, Any]]:
        print(json.dumps([setting, surface.name]), file=process.stdin, flush=True)
        found: list[dict[str, Any]] = json.loads(answered.readline())
        return found

    with process, open(answers) as answered:
        yield sent
        process.stdin.close()


@pytest.fixture
def with_clients(loopback: Loopback) -> Iterator[Loopback]:
    """The loopback service, while libraries that do without the SDK are patched too (P15)."""
    dashscope_ws_patch.patch(clients=True)
    yield loopback
    dashscope_ws_patch.patch(clients=bool(CLIENTS))


@pytest.fixture
def drive(loopback: Loopback) -> Drive:
    """What tests that call the SDK themselves take files and event loops from."""
    return Drive(loopback, plain=False)
