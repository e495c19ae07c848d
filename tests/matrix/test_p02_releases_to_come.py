"""P2 on releases that do not exist yet: copies of the SDK whose insides were renamed, moved or
added to, while the public calls are what they were.

By default a third of the copies is made, and a third of the surfaces driven on each, others each
day; ``CHANGED=all`` drives them all, in each setting.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable

import pytest
from changed_sdk import COPIES, changed
from environments import HELPERS, clean
from record import AMBIENT, NAMED
from sdk_calls import need

ALL = os.environ.get("CHANGED") == "all"

#: What is around a call, and what of the native process is compared with it.
SETTINGS = {
    "scope": "environment",
    "environment": "environment",
    "named in a scope": "named",
    "nothing": "nothing",
    "no workspace here": "nothing",
}

#: What of each change does not fit the table, and the nearest name that the SDK has now.
TOLD = {
    "request methods": ("HttpRequest has no `call`; it has `execute`",
                        "HttpRequest has no `aio_call`; it has `aio_execute`"),
    "request classes": ("http_request has no `HttpRequest`; it has `RestRequest`",),
    "builder": ("api_entities has no `api_request_factory`; "
                "dashscope.api_entities.requests_of_calls has `_request_of_call`",),
    "transports moved": ("dashscope.v2.transport.rest has `SyncTransport`",
                         "dashscope.v2.transport.socket_session has `WsSession`"),
    "transports renamed": ("transport.http has no `SyncTransport`; it has `BlockingTransport`",),
    "sessions renamed": ("has no `WsSession`; it has `Socket`",
                         "has no `WsConnection`; it has `SharedSocket`"),
    "mixins renamed": ("has no `StreamEventMixin`; it has `CanStreamEvent`",),
    "resolver renamed": ("has no `resolve_base_url`; it has `base_url_for`",),
    "config renamed": ("v2._config has no `_legacy_fallback`",),
}  # fmt: skip

#: Drives a surface in a setting: what it sent.
Ask = Callable[[str, str], list[dict[str, Any]]]


@contextlib.contextmanager
def process(copy: Path, patched: bool) -> Iterator[tuple[dict[str, Any], Ask]]:
    """A process that imports the copy: what it says of itself, and how to ask it."""
    answers, fd = os.pipe()
    with subprocess.Popen(
        [sys.executable, str(HELPERS / "changed_process.py"), str(fd)],
        env=clean(PYTHONPATH=str(copy), DASHSCOPE_WS_PATCH=str(int(patched))),
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        pass_fds=(fd,),
    ) as running, open(answers) as answered:
        os.close(fd)

        def ask(setting: str, name: str) -> list[dict[str, Any]]:
            print(json.dumps([setting, name]), file=running.stdin, flush=True)
            sent: list[dict[str, Any]] = json.loads(answered.readline())
            return sent

        try:
            yield json.loads(answered.readline()), ask
        finally:
            assert running.stdin is not None
            running.stdin.close()


@pytest.fixture(scope="module")
def native(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ask]:
    """What a surface sends natively: the same on all copies, whose public calls are the same."""
    need("dashscope:Client")
    known: dict[tuple[str, str], Any] = {}
    with process(changed(tmp_path_factory.mktemp("native"), "new module"), False) as (_, ask):

        def asked(setting: str, name: str) -> list[dict[str, Any]]:
            if (setting, name) not in known:
                known[setting, name] = ask(setting, name)
            return known[setting, name]  # type: ignore[no-any-return]

        yield asked


def is_right(sent: dict[str, Any], natively: dict[str, Any], setting: str) -> bool:
    """Whether a request is what the contract has it be in this setting."""
    if sent["request"]["foreign"] or SETTINGS[setting] == "nothing" or natively["named"]:
        return bool(sent["request"] == natively["request"])
    workspace = NAMED if sent["naming"] else AMBIENT
    return sent["workspaces"] == [workspace] and set(sent["voices"]) <= {workspace}


@pytest.mark.parametrize("number", range(len(COPIES)), ids=[" + ".join(c) for c in COPIES])
def test_p2_a_release_to_come_is_filled(number: int, native: Ask, tmp_path: Path) -> None:
    if not ALL and (number + int(os.environ["ONE_VOICE_SEED"])) % 3:
        pytest.skip("on another day")
    changes = COPIES[number]
    wrong = []
    with process(changed(tmp_path, *changes), True) as (start, ask):
        for index, (name, group) in enumerate(start["surfaces"]):
            if group == "command line":  # processes of their own, by the same ways out
                continue
            everywhere = ALL or group == "new module"
            if not everywhere and (index + number // 3 + int(os.environ["ONE_VOICE_SEED"])) % 3:
                continue
            turn = [*SETTINGS][(index + number) // 3 % len(SETTINGS)]
            for setting in SETTINGS if everywhere else (turn,):
                # agentstudio has no host without a workspace, and keeps what it was built with.
                if "agentstudio" in name and setting == "no workspace here":
                    continue
                # The key is asked for while the builder runs: its row knows what the call names.
                if "builder" in changes and "encrypted" in name and setting.startswith("named"):
                    continue
                sent, before = ask(setting, name), native(SETTINGS[setting], name)
                pairs = zip(sent, before)
                if len(sent) != len(before) or not all(is_right(*p, setting) for p in pairs):
                    wrong.append((setting, name, [one["workspaces"] for one in sent]))
    assert not wrong, "\n".join(map(str, wrong))
    told = [text for change in changes for text in TOLD.get(change, ())]
    if len(changes) == 1:
        assert len(start["warned"]) == bool(told)
    for text in told if len(changes) == 1 else ():
        assert text in start["warned"][0]
    assert len(start["warned"]) <= 1
