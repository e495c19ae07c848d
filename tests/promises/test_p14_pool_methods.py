"""P8, P14: pools follow, and isolate, whoever else patches their methods, and when.

Each program is an interpreter of its own: what is looked at is the first scope of a process.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
from environments import ROOT

#: What each way to hand work over must show: the scope of the hand-over, or none.
PROGRAM = """
import asyncio, functools, json, multiprocessing, sys
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing.pool import Pool, ThreadPool
from dashscope_ws_patch import get_workspace, set_workspace, unpatch, use_workspace

METHODS = [(ThreadPoolExecutor, "submit"), (ProcessPoolExecutor, "submit"), (Executor, "map"),
           (ProcessPoolExecutor, "map"), (Future, "add_done_callback"), (Pool, "__init__")]
METHODS += [(Pool, name) for name in (
    "apply_async", "map", "map_async", "starmap", "starmap_async", "imap", "imap_unordered")]
NATIVE = {(owner, name): vars(owner)[name] for owner, name in METHODS}

def ambient(*_):
    return get_workspace()

class Dataset:
    # A lazy sequence with a length: what reads it is what is seen.
    def __len__(self):
        seen.append(get_workspace())
        return 2
    def __getitem__(self, at):
        if at >= 2:
            raise IndexError
        return (get_workspace(),)

class Keywords:
    # A lazy mapping, as the above.
    def keys(self):
        return ["value"]
    def __getitem__(self, name):
        return get_workspace()

seen = []

def first(value):
    return value[0]

def same(value):
    return value

def called_back(begin):
    future = Future()
    begin(lambda _: future.set_result(ambient()))
    return future.result()

def cancelled():
    future = Future()
    future.add_done_callback(lambda _: seen.append(get_workspace()))
    with use_workspace("ws_canceller"):
        future.cancel()
    return seen.pop()

def in_executor():
    async def main():
        return await asyncio.get_running_loop().run_in_executor(None, ambient)
    return asyncio.run(main())

def in_pool(pool):
    return {
        "apply": pool.apply(ambient),
        "apply_async": pool.apply_async(ambient, (), {}).get(),
        "an iterator of arguments": pool.apply_async(max, iter((1, 2))).get(),
        "arguments by name": pool.apply_async(max, args=iter((1, 2))).get(),
        "lazy keywords": pool.apply_async(same, (), Keywords()).get(),
        "lazy keywords by name": pool.apply(same, kwds=Keywords()),
        "map": pool.map(ambient, [1])[0],
        "map_async": pool.map_async(ambient, [1]).get()[0],
        "starmap": pool.starmap(ambient, [(1,)])[0],
        "starmap_async": pool.starmap_async(ambient, [(1,)]).get()[0],
        "imap": next(pool.imap(ambient, [1])),
        "imap_unordered": next(pool.imap_unordered(ambient, [1])),
        "callback": called_back(lambda call: pool.apply_async(int, (), {}, call)),
        "callback of map": called_back(lambda call: pool.map_async(int, "1", None, call)),
        "error": called_back(lambda call: pool.map_async(int, "x", error_callback=call)),
        "a dataset to map": pool.map(first, Dataset())[1],
        "a dataset to map_async": pool.map_async(first, Dataset(), 1).get()[1],
        "a dataset to starmap": pool.starmap(same, Dataset())[1],
        "a dataset to imap": list(pool.imap(first, Dataset()))[1],
        "a dataset in chunks": list(pool.imap_unordered(first, iterable=Dataset(), chunksize=2))[1],
    }

def drive():
    found = {}
    seen.clear()
    with ThreadPool(1) as pool:
        found["ThreadPool"] = in_pool(pool)
        found["lengths"] = sorted(set(map(str, seen)))
        pool.apply(set_workspace, ("ws_forgotten",))
        found["after it"] = pool.apply(ambient)
    if PROCESSES:
        with multiprocessing.get_context("fork").Pool(1) as pool:
            found["Pool"] = in_pool(pool)
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("fork")) as pool:
            found["in a process"] = pool.submit(ambient).result()
            found["map in a process"] = list(pool.map(ambient, [1, 2], chunksize=2))[1]
    with ThreadPoolExecutor(1) as pool:
        pool.submit(set_workspace, "ws_forgotten").result()
        found["submit"] = pool.submit(ambient).result()
        found["mapped"] = list(pool.map(ambient, [1]))[0]
    found["in_executor"] = in_executor()
    found["cancelled"] = cancelled()
    return found

def both():
    with use_workspace("ws_a"):
        scoped = drive()
    return [scoped, drive()]

def enter():
    with use_workspace("ws_first"):
        pass
"""

FUNCTION = """
calls = []
def wrap(owner, name):
    original = vars(owner)[name]
    def other(self, *args, **kwargs):
        calls.append(name)
        return original.__get__(self)(*args, **kwargs)
    setattr(owner, name, other)
    return lambda: setattr(owner, name, original)
"""
WRAPS = FUNCTION.replace("    def other", "    @functools.wraps(original)\n    def other")
DESCRIPTOR = """
calls = []
class Descriptor:
    def __init__(self, original, name):
        self.original, self.name = original, name
    def __get__(self, pool, owner=None):
        calls.append(self.name)
        return self.original.__get__(pool, owner)
def wrap(owner, name):
    original = vars(owner)[name]
    setattr(owner, name, Descriptor(original, name))
    return lambda: setattr(owner, name, original)
"""
WRAPT = """
import wrapt
calls = []
def wrap(owner, name):
    original = vars(owner)[name]
    def wrapper(wrapped, instance, args, kwargs):
        assert isinstance(instance, owner)
        calls.append(name)
        return wrapped(*args, **kwargs)
    wrapt.wrap_function_wrapper(owner, name, wrapper)
    return lambda: setattr(owner, name, original)
"""
PATCHERS = {
    "function": FUNCTION,
    "functools.wraps": WRAPS,
    "descriptor": DESCRIPTOR,
    "wrapt": WRAPT,
}
GO = """
undo = []
def come():
    undo.extend(wrap(owner, name) for owner, name in METHODS)
def go():
    while undo:
        undo.pop()()
"""
OPENTELEMETRY = """
from opentelemetry.instrumentation.threading import ThreadingInstrumentor
calls = ["everything"]
come = ThreadingInstrumentor().instrument
go = ThreadingInstrumentor().uninstrument
"""
WHEN = {
    "before": "come()\nfound = both()",
    "after": "enter()\ncome()\nfound = both()",
    "around": "come()\nenter()\ngo()\nfound = both()",
    "gone": "enter()\ncome()\nenter()\ngo()\nfound = both()",
    "again": "enter()\ncome()\ngo()\ncome()\nenter()\nfound = both()",
}
EXPECTED_VALUES = {"an iterator of arguments": 2, "arguments by name": 2}


def run(tmp_path: Path, code: str, *, processes: bool = True, **variables: str) -> Any:
    program = f"PROCESSES = {processes}\n" + textwrap.dedent(PROGRAM) + code
    (tmp_path / "program.py").write_text(program)
    root = str(ROOT)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(tmp_path / "program.py")],
        env={"PATH": os.environ.get("PATH", ""), "PYTHONPATH": root, **variables},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def _right(found: dict[str, Any], workspace: str | None) -> None:
    assert found.pop("lengths") == [str(workspace)]
    for name in ("ThreadPool", "Pool"):
        assert {key: found[name].pop(key) for key in EXPECTED_VALUES} == EXPECTED_VALUES
        assert found[name] == dict.fromkeys(found[name], workspace), name
        del found[name]
    assert found == dict.fromkeys(found, workspace)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("when", WHEN)
@pytest.mark.parametrize("patcher", ["nobody", *PATCHERS, "opentelemetry"])
def test_p14_whoever_patches_pools_they_follow(patcher: str, when: str, tmp_path: Path) -> None:
    if patcher == "opentelemetry":
        pytest.importorskip("opentelemetry.instrumentation.threading")
    code = "come = go = lambda: None\ncalls = [1]\n"
    if patcher != "nobody":
        code = OPENTELEMETRY if patcher == "opentelemetry" else PATCHERS[patcher] + GO
    code += WHEN[when] + "\ngo()\nunpatch()\n"
    code += "left = [m for m in METHODS if 'dashscope' in repr(vars(m[0])[m[1]])]\n"
    code += "print(json.dumps([found, bool(calls), len(left)]))\n"
    (scoped, unscoped), called, left = run(tmp_path, code)
    assert called == (when not in ("around", "gone") or bool(called))
    assert left == 0
    _right(scoped, "ws_a")
    _right(unscoped, None)


def test_p8_the_first_scope_is_entered_in_a_worker_and_never_left(tmp_path: Path) -> None:
    """Also for work that was handed over before it, when nothing followed yet."""
    code = """
import threading
gate = threading.Event()
def work():
    gate.wait()
    set_workspace("ws_a")
with ThreadPoolExecutor(1) as pool:
    pool.submit(work)
    before = [pool.submit(ambient), *[pool.submit(ambient) for _ in range(2)]]
    gate.set()
    found = [future.result() for future in before]
    found += [pool.submit(ambient).result(), list(pool.map(ambient, [1]))[0]]
print(json.dumps(found))
"""
    assert run(tmp_path, code, DASHSCOPE_WORKSPACE="ws_env") == ["ws_env"] * 5


def test_p14_in_no_scope_it_costs_a_frame_on_either_side(tmp_path: Path) -> None:
    code = """
import gc, threading
enter()
gc.disable()  # up to CPython 3.11 it calls a function of ours
frames = {}
def profile(frame, event, arg):
    if event == "call" and "dashscope_ws_patch" in frame.f_code.co_filename:
        frames.setdefault(threading.current_thread() is threading.main_thread(), []).append(
            frame.f_code.co_name)
threading.setprofile(profile)
with ThreadPoolExecutor(1) as pool:
    sys.setprofile(profile)
    future = pool.submit(int)
    sys.setprofile(None)
    assert future.result() == 0
submitted, frames = frames, {}
async def main():
    sys.setprofile(profile)
    await asyncio.get_running_loop().run_in_executor(None, int)
    sys.setprofile(None)
asyncio.run(main())
print(json.dumps([submitted[True], submitted[False], len(sum(frames.values(), []))]))
"""
    mine, workers, looked_up = run(tmp_path, code)
    # The work, and the future's callback, are handed over.
    assert mine == ["submit"] and len(workers) == 1 and looked_up <= 4
