"""P11, P14: pools are followed from the first scope on, wherever that is entered.

A first scope may be entered by a thread that outlives the main one, at exit, in a signal handler
that interrupts another first scope, in a child that was forked meanwhile. Each program is an
interpreter of its own.
"""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

import pytest
from environments import ROOT


def run(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(code)],
        env={"PATH": os.environ.get("PATH", ""), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_p11_a_first_scope_after_the_main_thread_has_ended() -> None:
    code = """
        import threading
        from dashscope_ws_patch import get_workspace, use_workspace
        {imports}
        def work():
            threading.main_thread().join()
            for _ in range(2):
                with use_workspace("ws_a"):
                    print(get_workspace())
            {check}
        threading.Thread(target=work).start()
    """
    assert run(code.format(imports="", check="")) == "ws_a\nws_a\n"
    # What is imported by then is followed.
    imports = "from concurrent.futures import ThreadPoolExecutor"
    check = "print(hasattr(ThreadPoolExecutor.submit, '__wrapped__'))"
    assert run(code.format(imports=imports, check=check)) == "ws_a\nws_a\nTrue\n"


def test_p11_a_first_scope_at_exit() -> None:
    code = """
        import atexit
        from dashscope_ws_patch import get_workspace, use_workspace
        @atexit.register
        def flush():
            with use_workspace("ws_a"):
                print(get_workspace())
    """
    assert run(code) == "ws_a\n"


FORK = """
def interrupt():
    def fork():
        child = os.fork()
        if not child:
            enter()
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
    thread = threading.Thread(target=fork)
    thread.start()
    thread.join()
"""


@pytest.mark.parametrize(
    "interrupt",
    [
        pytest.param("def interrupt(): enter()", id="by a signal handler or finalizer"),
        pytest.param(
            FORK,
            id="by a fork in another thread",
            marks=pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork"),
        ),
    ],
)
@pytest.mark.parametrize("imports", ["", "import concurrent.futures.thread, multiprocessing.pool"])
def test_p11_a_first_scope_that_is_interrupted(interrupt: str, imports: str) -> None:
    """At each call of a function in it: where a lock were held, this would wait for good."""
    code = f"""
import os, sys, threading
from dashscope_ws_patch import unpatch, use_workspace
{imports}

def enter():
    with use_workspace("ws_b"):
        pass

{interrupt}

def profile(frame, event, arg):
    global interruptions
    if event == "call":
        sys.setprofile(None)
        interruptions += 1
        interrupt()
        sys.setprofile(profile)

interruptions = 0
scope = use_workspace("ws_a")
sys.setprofile(profile)
scope.__enter__()
sys.setprofile(None)
assert interruptions > 2
from concurrent.futures import ThreadPoolExecutor
assert hasattr(ThreadPoolExecutor.submit, "__wrapped__")
unpatch()
assert not hasattr(ThreadPoolExecutor.submit, "__wrapped__")
"""
    assert run(code) == ""


def test_p14_what_is_imported_after_the_last_scope_was_entered_is_followed() -> None:
    code = """
        import sys
        from dashscope_ws_patch import get_workspace, unpatch, use_workspace
        before = set(sys.modules)
        with use_workspace("ws_a"):
            assert set(sys.modules) == before
            from concurrent.futures import ThreadPoolExecutor
            from multiprocessing.pool import ThreadPool
            with ThreadPoolExecutor(1) as pool:
                print(pool.submit(get_workspace).result())
            with ThreadPool(1) as pool:
                print(pool.apply(get_workspace))
            from concurrent.futures import ProcessPoolExecutor
            print(hasattr(ProcessPoolExecutor.submit, "__wrapped__"))
        unpatch()
        print(hasattr(ProcessPoolExecutor.submit, "__wrapped__"))
    """
    assert run(code) == "ws_a\nws_a\nTrue\nFalse\n"


def test_p14_a_first_scope_while_a_pool_is_being_imported() -> None:
    """Its classes are not there yet, and the import began when nothing was waited for."""
    code = """
        import sys
        from dashscope_ws_patch import get_workspace, use_workspace
        def enter(*_):
            with use_workspace("ws_a"):
                pass
        def profile(frame, event, arg):
            if frame.f_globals.get("__name__") == "concurrent.futures.thread":
                sys.setprofile(None)
                assert "ThreadPoolExecutor" not in frame.f_globals
                enter()
        sys.setprofile(profile)
        from concurrent.futures import ThreadPoolExecutor
        sys.setprofile(None)
        with use_workspace("ws_b"), ThreadPoolExecutor(1) as pool:
            print(pool.submit(get_workspace).result())
    """
    assert run(code) == "ws_b\n"
