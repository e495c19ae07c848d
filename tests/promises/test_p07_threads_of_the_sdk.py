"""P7: what the SDK sends from a thread that it starts itself follows the caller's context.

The new thread's own context is empty: without the shim's hand-over there would be no header.
"""

from __future__ import annotations

import contextlib
from concurrent.futures import ThreadPoolExecutor
from inspect import signature
from typing import Any, Callable

import pytest
from record import AMBIENT, NAMED, environment
from sdk_calls import OBJECTS, TTS_V2, need, seen, start_and_stop

from dashscope_ws_patch import WorkspaceError, use_workspace
from dashscope_ws_patch.selftest.loopback import Loopback
from dashscope_ws_patch.selftest.surfaces import Drive, find

#: Their ``start()`` makes the thread that builds the request.
RECOGNIZERS = ("Recognition", "TranslationRecognizerRealtime", "TranslationRecognizerChat")


@pytest.fixture(params=RECOGNIZERS)
def recognizer(request: pytest.FixtureRequest) -> Callable[..., Any]:
    needs, make, _ = OBJECTS[request.param]
    need(needs)
    return make


def test_p7_the_scope_at_start(recognizer: Callable[..., Any], loopback: Loopback) -> None:
    session = recognizer()
    with environment(DASHSCOPE_WORKSPACE="ws_env"), use_workspace(AMBIENT):
        start_and_stop(session)
    assert seen(loopback) == [AMBIENT]


def test_p7_the_scope_at_construction(recognizer: Callable[..., Any], loopback: Loopback) -> None:
    with use_workspace(AMBIENT):
        session = recognizer()
    with environment(DASHSCOPE_WORKSPACE="ws_env"):
        start_and_stop(session)
    assert seen(loopback) == [AMBIENT]


def test_p7_no_workspace_here(recognizer: Callable[..., Any], loopback: Loopback) -> None:
    session = recognizer()
    with environment(DASHSCOPE_WORKSPACE="ws_env"), use_workspace(None):
        start_and_stop(session)
    assert seen(loopback) == ["-"]


def test_p7_what_the_caller_names(recognizer: Callable[..., Any], loopback: Loopback) -> None:
    session = recognizer()
    if all(
        each.kind is not each.VAR_KEYWORD for each in signature(session.start).parameters.values()
    ):
        pytest.skip("this release takes no headers here")
    with use_workspace(AMBIENT):
        start_and_stop(session, headers={"X-DashScope-WorkSpace": NAMED})
    assert seen(loopback) == [NAMED]


@pytest.mark.parametrize(
    ("variable", "value"),
    [("DASHSCOPE_WORKSPACE", "not one"), ("DASHSCOPE_WS_PATCH_OWN_HOST", "no region")],
)
def test_p12_what_is_malformed_is_told_to_the_caller(
    variable: str, value: str, recognizer: Callable[..., Any], loopback: Loopback
) -> None:
    """And not to the thread, of which nobody hears."""
    session = recognizer()
    with environment(**{"DASHSCOPE_WORKSPACE": "ws_env", variable: value}):
        with pytest.raises(WorkspaceError, match=value):
            session.start()
    assert seen(loopback) == []


def test_p7_two_sessions_at_once(recognizer: Callable[..., Any], loopback: Loopback) -> None:
    def work(workspace: str) -> None:
        with use_workspace(workspace):
            start_and_stop(recognizer())

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(work, ("ws_a", "ws_b")))
    assert sorted(seen(loopback)) == ["ws_a", "ws_b"]


def test_p7_a_pool_reconnects_as_it_was_made(drive: Drive, loopback: Loopback) -> None:
    """SpeechSynthesizerObjectPool renews its connections from a thread of its own."""
    need(f"{TTS_V2}:SpeechSynthesizerObjectPool")
    cls = find(f"{TTS_V2}:SpeechSynthesizerObjectPool")
    with use_workspace(AMBIENT):
        pool = cls(max_size=1)
    try:
        with environment(DASHSCOPE_WORKSPACE="ws_other"):
            synthesizer = pool._pool[0].synthesizer
            pool._pool[0].connect_time = 0
            drive.until(lambda: len(loopback.requests) >= 2 and all(pool._avaliable))
        for connected in (synthesizer, pool._pool[0].synthesizer):
            connected.ws.sock.send_close()
            if hasattr(connected, "thread"):
                connected.thread.join(60)
    finally:
        pool.shutdown()
        del cls._instance
    assert seen(loopback) == [AMBIENT] * 2


def test_p8_a_pool_lends_what_was_opened_for_the_borrower(drive: Drive, loopback: Loopback) -> None:
    """A connection keeps the workspace of its handshake: nobody speaks over another's."""
    need(f"{TTS_V2}:SpeechSynthesizerObjectPool")
    cls, used = find(f"{TTS_V2}:SpeechSynthesizerObjectPool"), []

    def borrow(workspace: str | None) -> Any:
        with use_workspace(workspace) if workspace else contextlib.nullcontext():
            used.append(pool.borrow_synthesizer("cosyvoice-v1", "longxiaochun"))
            used[-1].call("hi")
            return used[-1]

    with use_workspace("ws_a"):
        pool = cls(max_size=2)
    try:
        one, other = (each.synthesizer for each in pool._pool)
        assert borrow("ws_a") is one
        with environment(DASHSCOPE_WORKSPACE="ws_env"):
            new = borrow("ws_b")  # the other one stays where it is
            assert new not in (one, other)
            pool.return_synthesizer(new)
            assert "connected:True" in str(other) and "connected:True" in str(new)
            assert borrow("ws_b") is new
            assert borrow("") is other  # rule 4: it was made for ws_a
    finally:
        for each in {*used, one, other}:
            each.ws.sock.send_close()
            if hasattr(each, "thread"):
                each.thread.join(60)
        pool.shutdown()
        del cls._instance
    assert seen(loopback) == ["ws_a", "ws_a", "ws_b"]


def test_p1_a_pool_that_was_told_its_workspace_lends_to_all(loopback: Loopback) -> None:
    need(f"{TTS_V2}:SpeechSynthesizerObjectPool")
    cls = find(f"{TTS_V2}:SpeechSynthesizerObjectPool")
    pool = cls(max_size=1, workspace=NAMED)
    try:
        (one,) = (each.synthesizer for each in pool._pool)
        with use_workspace("ws_b"):
            assert pool.borrow_synthesizer("cosyvoice-v1", "longxiaochun") is one
    finally:
        one.ws.sock.send_close()
        if hasattr(one, "thread"):
            one.thread.join(60)
        pool.shutdown()
        del cls._instance
    assert seen(loopback) == [NAMED]
