"""The order of precedence on the 2.x clients, over everything that may name a workspace.

Each cell of the matrix is sent on TLS under the real host names, here and, without the shim, in a
second process; header and host are compared with an oracle written from the rules, all the rest
with what was sent natively. ``ONE_VOICE_CELLS=20000`` tests more cells, ``ONE_VOICE_SEED`` others
than those of today's date.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Optional

import dashscope
import one_voice
import pytest
from one_voice import (
    BASE,
    CALL,
    CLIENT,
    DRIVERS,
    ENV,
    LEGACY,
    SCOPE,
    Cell,
    cells,
    expected,
    host,
    label,
    names,
    send,
)
from record import comparable

from dashscope_ws_patch.selftest.loopback import Loopback

if not hasattr(dashscope, "AsyncClient"):
    pytest.skip("this release has no 2.x clients", allow_module_level=True)

NUMBER = int(os.environ.get("ONE_VOICE_CELLS", "450"))
SEED = int(os.environ["ONE_VOICE_SEED"])
CELLS = cells(NUMBER, SEED)

Sent = dict[str, Any]


@pytest.fixture(scope="module")
def natively() -> Iterator[dict[Cell, list[Sent]]]:
    """What the cells send without the shim, read as it comes."""
    reading, writing = os.pipe()
    script = str(Path(one_voice.__file__))
    process = subprocess.Popen(
        [sys.executable, script, str(writing), str(NUMBER), str(SEED)],
        env={**os.environ, "DASHSCOPE_WS_PATCH": "0"},
        stdout=subprocess.DEVNULL,
        pass_fds=(writing,),
    )
    os.close(writing)
    with process, open(reading) as lines:
        yield _Lines(zip(CELLS, lines))
        process.terminate()


class _Lines(dict[Cell, list[Sent]]):
    def __init__(self, coming: Iterator[tuple[Cell, str]]) -> None:
        self._coming = coming

    def __missing__(self, wanted: Cell) -> list[Sent]:
        for cell, line in self._coming:
            self[cell] = json.loads(line)
            if cell == wanted:
                return self[cell]
        raise KeyError(wanted)


Voice = tuple[Optional[str], str, Optional[str]]


def voice(sent: Sent) -> Voice:
    """The workspace in the header of a request, its host, and the workspace in its messages."""
    values = [value for name, value in sent["headers"] if name.lower() == "x-dashscope-workspace"]
    assert len(values) <= 1
    bodies = re.findall(r'"workspace_id": *"([^"]*)"', "".join(sent["messages"]))
    assert len(bodies) <= 1
    return (values or [None])[0], sent["target"][1], (bodies or [None])[0]


def rest(sent: Sent) -> Sent:
    """A request apart from what is its voice."""
    headers = [
        header for header in sent["headers"]
        if header[0].lower() not in ("x-dashscope-workspace", "host", "origin")
    ]  # fmt: skip
    messages = [re.sub(r', "workspace_id": *"[^"]*"', "", text) for text in sent["messages"]]
    scheme, _, _, method = sent["target"]
    return {**sent, "target": [scheme, method], "headers": headers, "messages": messages}


def allowed(cell: Cell, native: Voice) -> list[Voice]:
    """What a request may say, by what it says natively."""
    header, name, body = native
    named, wanted = names(cell), expected(cell)
    if "oss-" in name:  # P4
        return [native]
    if named in (header, label(name), body) if named else wanted is None:  # P1, rule 5
        return [native]
    if named:  # the calling code names it, but the SDK does not pass it on to this request
        said = [(named, to, written) for to in (name, host(named)) for written in (None, named)]
        return [native, *said]
    assert wanted is not None
    starts = DRIVERS[cell.driver].starts
    # In the SDK's own words a start message names no workspace, unless it was told.
    native_words = [(*wanted, None)] if wanted[0] == header or not starts else []
    return [*native_words, *([(*wanted, wanted[0])] if starts else [])]


def verdict(cell: Cell, sent: list[Sent], before: list[Sent]) -> str:
    """What is wrong with what was sent; empty if nothing."""
    if not before or [rest(request) for request in sent] != [rest(request) for request in before]:
        return f"another request: {sent} instead of {before}"
    for request, native in zip(sent, before):
        said, words = voice(request), voice(native)
        if said not in allowed(cell, words):
            return f"{request['path']}: {said}, not {allowed(cell, words)}; natively {words}"
        if said == words and request != native:
            return f"not byte for byte: {request} instead of {native}"
    return ""


@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_order_of_precedence(
    cell: Cell, loopback: Loopback, natively: dict[Cell, list[Sent]]
) -> None:
    sent = [comparable(request) for request in send(cell, loopback)]
    wrong = verdict(cell, sent, natively[cell])
    assert not wrong, f"{wrong} (again: ONE_VOICE_SEED={SEED} ONE_VOICE_CELLS={NUMBER})"


# Rule 5, and what is explicit, each at its smallest


def said(loopback: Loopback, driver: str, **levels: str) -> Voice:
    """What the only request of a cell says."""
    (request,) = send(Cell(driver, **levels), loopback)
    return voice(comparable(request))


def test_p5_configured_host_comes_before_the_environment(loopback: Loopback) -> None:
    for base in ("settings host", "config host", "environment host", "legacy host"):
        assert said(loopback, "models", base=base, environment="ID") == (None, host(BASE), None)


def test_p5_configured_websocket_host_comes_before_the_environment(loopback: Loopback) -> None:
    for sockets in ("settings host", "environment host"):
        words = said(loopback, "recognition", sockets=sockets, environment="ID")
        assert words == (None, host(BASE), None)


def test_p5_configured_host_is_native_with_a_pool_of_ones_own(loopback: Loopback) -> None:
    levels = {"client": "pool gateway", "base": "settings host", "environment": "WORKSPACE"}
    assert said(loopback, "decision", **levels) == (None, host(BASE), None)


def test_p5_start_message_is_native_at_a_configured_host(loopback: Loopback) -> None:
    words = said(loopback, "tingwu", sockets="settings host", environment="WORKSPACE")
    assert words == (ENV, host(BASE), None)


def test_p1_start_message_is_native_on_an_explicit_connection(loopback: Loopback) -> None:
    assert said(loopback, "connection", call="header") == (CALL, LEGACY, None)
    words = said(loopback, "connection", call="url", environment="WORKSPACE")
    assert words == (ENV, host(CALL), None)


@pytest.mark.parametrize("driver", ["recognition", "tingwu", "realtime", "connection"])
def test_p2_socket_of_a_client_on_a_workspace_host(driver: str, loopback: Loopback) -> None:
    assert said(loopback, driver, client="host", scope=SCOPE)[0] == CLIENT
