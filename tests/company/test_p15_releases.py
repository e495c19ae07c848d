"""P15 on the oldest and on odd releases of the libraries, on the oldest Python that we support.

Each in an environment of its own, installed from the package index; run where it is named.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from environments import HELPERS, ROOT, Environment, clean, python

from dashscope_ws_patch.selftest.loopback import Loopback

RELEASES = {
    "2018": (
        "requests==2.19.1", "urllib3==1.23", "httpx==0.13.3", "websockets==8.1",
        "websocket-client==0.48.0",
    ),
    "2020": (
        "requests==2.25.1", "urllib3==1.26.2", "httpx==0.16.1", "websockets==9.1",
        "websocket-client==0.57.0",
    ),
    "2021": (
        "requests==2.29.0", "urllib3==1.26.15", "httpx==0.18.2", "websockets==10.4",
        "websocket-client==1.2.1",
    ),
    "httpx 0.17": ("httpx==0.17.1",),
    "httpx 0.19": ("httpx==0.19.0", "websockets==11.0.3"),
    "httpx 0.21": ("httpx==0.21.3", "websockets==12.0"),
    "httpx 0.23": ("httpx==0.23.3", "websockets==13.1"),
    "aiohttp 3.6": ("aiohttp==3.6.3",),
    "aiohttp 3.8": ("aiohttp==3.8.6",),
    "newest": (
        "requests", "urllib3", "httpx", "aiohttp", "websockets", "websocket-client",
    ),
}  # fmt: skip
SHARED, FOREIGN = "dashscope.aliyuncs.com", "results.oss-cn-beijing.aliyuncs.com"
OWN = "{}.cn-beijing.maas.aliyuncs.com"
#: The hosts and workspaces of what each way sends, by the mode that is on.
SENT = {
    "on": [(SHARED, ["ws_a"]), (SHARED, ["ws_mine"])],
    "own": [(OWN.format("ws_a"), ["ws_a"]), (OWN.format("ws_mine"), ["ws_mine"])],
    "off": [(SHARED, []), (SHARED, ["ws_mine"])],
}
ELSEWHERE = [(FOREIGN, []), (FOREIGN, ["ws_mine"])]


@pytest.fixture(scope="module")
def service() -> Iterator[Loopback]:
    with Loopback() as loopback:
        yield loopback


@pytest.mark.parametrize("name", RELEASES)
def test_p15_each_release_is_covered(name: str, service: Loopback, tmp_path: Path) -> None:
    base = python(9)
    if base is None:
        pytest.skip("no CPython 3.9")
    environment = Environment(tmp_path / "environment", base, "wrapt", *RELEASES[name])
    command = [environment.python, f"{HELPERS}/old_release.py", str(service.port)]
    variables = clean(PYTHONPATH=str(ROOT))
    done = subprocess.run(command, env=variables, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    told: list[Any] = [json.loads(line) for line in done.stdout.splitlines()]
    sent = [(request.host.partition(":")[0], request.workspaces) for request in service.drain()]
    expected: list[tuple[str, list[str]]] = []
    for way, mode, wrong in told:
        assert not wrong, (way, wrong)
        if way != "covered":
            expected += SENT[mode] + ELSEWHERE
    assert len(told) >= 6
    assert sent == expected, (told, sys.version)
