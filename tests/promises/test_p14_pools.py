"""P14: what a program hands to a thread pool runs in the scope of whoever handed it over."""

from __future__ import annotations

import asyncio
import inspect
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from environments import ROOT
from record import environment
from sdk_calls import GENERATION, seen

from dashscope_ws_patch import get_workspace, reset_workspace, set_workspace, use_workspace
from dashscope_ws_patch.selftest.loopback import Loopback
from dashscope_ws_patch.selftest.surfaces import find


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as pool:
        yield pool


def test_p14_submit_and_map(pool: ThreadPoolExecutor) -> None:
    with use_workspace("ws_a"):
        assert pool.submit(get_workspace).result() == "ws_a"
        assert list(pool.map(lambda _: get_workspace(), range(3))) == ["ws_a"] * 3
    assert pool.submit(get_workspace).result() is None


def test_p14_the_scope_of_the_hand_over_holds(pool: ThreadPoolExecutor) -> None:
    gate = threading.Event()
    with use_workspace("ws_a"):
        pool.submit(gate.wait)
        future = pool.submit(get_workspace)
    with use_workspace("ws_b"):
        gate.set()
        assert future.result() == "ws_a"


def test_p14_a_callback_is_nobodys_who_cancels(pool: ThreadPoolExecutor) -> None:
    gate, found = threading.Event(), []
    pool.submit(gate.wait)
    with use_workspace("ws_a"):
        scoped = pool.submit(int)
        scoped.add_done_callback(lambda _: found.append(get_workspace()))
    unscoped = pool.submit(int)
    unscoped.add_done_callback(lambda _: found.append(get_workspace()))
    with use_workspace("ws_b"):
        assert scoped.cancel() and unscoped.cancel()
        assert get_workspace() == "ws_b"
    gate.set()
    assert found == ["ws_a", None]


def test_p14_no_workspace_is_a_scope_too(pool: ThreadPoolExecutor) -> None:
    with environment(DASHSCOPE_WORKSPACE="ws_env"):
        with use_workspace(None):
            assert pool.submit(get_workspace).result() is None
        assert pool.submit(get_workspace).result() == "ws_env"


def test_p14_run_in_executor(loopback: Loopback) -> None:
    async def main() -> list[str | None]:
        loop = asyncio.get_running_loop()
        with use_workspace("ws_a"):
            await loop.run_in_executor(None, lambda: find(GENERATION).call("m", "hi"))
            inside = await loop.run_in_executor(None, get_workspace)
        return [inside, await loop.run_in_executor(None, get_workspace)]

    assert asyncio.run(main()) == ["ws_a", None]
    assert seen(loopback) == ["ws_a"]


def test_p14_what_a_worker_has_set_holds_for_nobody() -> None:
    """Be it in its initializer, or in work that fails, or that sets a scope and forgets it."""
    with ThreadPoolExecutor(1, initializer=set_workspace, initargs=("ws_worker",)) as pool:
        assert pool.submit(get_workspace).result() is None
        with use_workspace("ws_a"):
            assert pool.submit(get_workspace).result() == "ws_a"
            with pytest.raises(ZeroDivisionError):
                pool.submit(lambda: 1 / 0).result()
            pool.submit(set_workspace, "ws_forgotten").result()
        pool.submit(set_workspace, "ws_forgotten").result()
        assert pool.submit(get_workspace).result() is None


def test_p14_tokens_and_subclasses() -> None:
    class Mine(ThreadPoolExecutor):
        def submit(self, fn, /, *args, **kwargs):  # type: ignore[no-untyped-def]
            return super().submit(fn, *args, **kwargs)

    token = set_workspace("ws_a")
    try:
        with Mine(1) as pool:
            assert pool.submit(get_workspace).result() == "ws_a"
    finally:
        reset_workspace(token)


def test_p14_submit_looks_as_it_did() -> None:
    before = inspect.signature(inspect.unwrap(ThreadPoolExecutor.submit))
    with use_workspace("ws_a"):
        assert inspect.signature(ThreadPoolExecutor.submit) == before
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(dict, fn=1, self=2).result() == {"fn": 1, "self": 2}
            with pytest.raises(TypeError):
                pool.submit()  # type: ignore[call-arg]


def run(code: str, **variables: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        env={"PYTHONPATH": str(ROOT), **variables},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def test_p14_nothing_is_patched_for_the_environment_alone() -> None:
    run(
        """
        from dashscope_ws_patch import get_workspace
        import sys
        assert get_workspace() == "ws_env"
        assert "concurrent.futures.thread" not in sys.modules
        from concurrent.futures import ThreadPoolExecutor
        assert ThreadPoolExecutor.submit.__code__.co_filename.endswith("thread.py")
        """,
        DASHSCOPE_WORKSPACE="ws_env",
    )


def test_p14_left_out_on_demand() -> None:
    run(
        """
        from dashscope_ws_patch import get_workspace, use_workspace
        from concurrent.futures import ThreadPoolExecutor
        with use_workspace("ws_a"), ThreadPoolExecutor(1) as pool:
            assert pool.submit(get_workspace).result() is None
        assert ThreadPoolExecutor.submit.__code__.co_filename.endswith("thread.py")
        """,
        DASHSCOPE_WS_PATCH_THREADS="0",
    )


@pytest.mark.skipif(sys.version_info < (3, 14), reason="needs InterpreterPoolExecutor")
def test_p14_an_interpreter_is_handed_what_cannot_be_pickled() -> None:
    run(
        """
        from concurrent.futures import InterpreterPoolExecutor
        from dashscope_ws_patch import use_workspace
        with InterpreterPoolExecutor(1) as pool:
            assert pool.submit(lambda: 1).result() == 1
            with use_workspace("ws_a"):
                assert pool.submit(lambda: 1).result() == 1
                assert list(pool.map(lambda value: value, [1])) == [1]
            assert pool.submit(lambda: 1).result() == 1
        """
    )


def test_p14_first_scopes_at_once() -> None:
    """Many threads enter the first scope of the program: submit is replaced once, and put back."""
    run(
        """
        import sys, threading
        from dashscope_ws_patch import get_workspace, patch, unpatch, use_workspace
        sys.setswitchinterval(1e-6)
        def enter(barrier):
            barrier.wait()
            with use_workspace("ws_a"):
                from concurrent.futures import ThreadPoolExecutor
                with ThreadPoolExecutor(1) as pool:
                    found.append(pool.submit(get_workspace).result())
        found = []
        for _ in range(50):
            # As at the start of a program: nobody has imported it yet.
            for name in [name for name in sys.modules if name.startswith("concurrent")]:
                del sys.modules[name]
            barrier = threading.Barrier(8)
            threads = [threading.Thread(target=enter, args=(barrier,)) for _ in range(8)]
            [thread.start() for thread in threads]
            [thread.join() for thread in threads]
            unpatch()
            from concurrent.futures import ThreadPoolExecutor
            assert ThreadPoolExecutor.submit.__code__.co_filename.endswith("thread.py")
            patch()
        assert found == ["ws_a"] * 400
        """
    )


def test_p14_a_failed_piece_of_work_is_not_kept_by_its_traceback() -> None:
    """What its caller holds, as the SDK's shared session, ends with the call: no cycle waits for
    the collector."""
    run(
        """
        import asyncio, gc, weakref
        from dashscope_ws_patch import use_workspace

        class Held: pass

        def fail(): raise LookupError

        async def request(held):
            try:
                await asyncio.to_thread(fail)
            except LookupError:
                pass

        async def main():
            held = Held()
            await request(held)
            return weakref.ref(held)

        gc.disable()
        with use_workspace("ws_a"):
            assert asyncio.run(main())() is None
        """
    )
