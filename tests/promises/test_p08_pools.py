"""P8, P14: no worker of a pool goes on in a scope, or on behalf of a call, that is not its own.

Every pool of the standard library, with every start method that the platform has, made before,
inside and after a scope, by every way to hand work over, on every setting of the interpreter.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import subprocess
import sys
from pathlib import Path

import pytest
from environments import ROOT
from sdk_calls import AIO_GENERATION, need

EXECUTORS = ("executor", "map", "run_in_executor", "done_callback")
if sys.version_info >= (3, 14):
    EXECUTORS += ("map buffered",)
POOLS = ("apply", "apply_async", "map", "map_async", "starmap", "starmap_async")
POOLS += ("imap", "imap_unordered", "keyword", "callback", "callbacks", "error_callback")
POOLS += ("items", "items of chunks", "items of imap")
METHODS = multiprocessing.get_all_start_methods()
KINDS = {
    "ThreadPoolExecutor": EXECUTORS,
    "ThreadPool": POOLS,
    **{f"ProcessPoolExecutor-{method}": EXECUTORS for method in METHODS},
    **{f"Pool-{method}": POOLS for method in METHODS},
}
if sys.version_info >= (3, 14):
    KINDS["InterpreterPoolExecutor"] = EXECUTORS

#: CPython 3.14 on: whether threads inherit the context in which they are started.
INHERIT = (
    [["-X", f"thread_inherit_context={setting}"] for setting in (0, 1)]
    if sys.version_info >= (3, 14)
    else [[]]
)

#: The work, in a module that a worker can import.
WORK = """
from dashscope_ws_patch import _carry, get_workspace, set_workspace

# As the variable of calls: what holds while the SDK works, and never in a worker.
call = _carry.variable("call")

def ambient(*_):
    return get_workspace(), call.get()

def forget(*_):
    set_workspace("ws_forgotten")
    return ambient()
"""

PROGRAM = """
import asyncio, json, sys, time
from concurrent import futures
import multiprocessing, multiprocessing.pool

from dashscope_ws_patch import use_workspace
from work import ambient, call, forget

def make(kind):
    name, _, method = kind.partition("-")
    if name == "ThreadPoolExecutor" or name == "InterpreterPoolExecutor":
        return getattr(futures, name)(1)
    if name == "ProcessPoolExecutor":
        return futures.ProcessPoolExecutor(1, mp_context=multiprocessing.get_context(method))
    if name == "ThreadPool":
        return multiprocessing.pool.ThreadPool(1)
    return multiprocessing.get_context(method).Pool(1)

def run_in_executor(pool):
    async def main():
        return await asyncio.get_running_loop().run_in_executor(pool, ambient)
    return asyncio.run(main())

def buffered(pool):
    results = pool.map(ambient, range(3), buffersize=1)
    with use_workspace("ws_reader"):
        return list(results)[-1]

def items():
    # Read by this thread, or by one of the pool.
    yield ambient()

WAYS = {
    "executor": lambda pool: pool.submit(ambient).result(),
    "map": lambda pool: list(pool.map(ambient, [1]))[0],
    "run_in_executor": run_in_executor,
    "map buffered": buffered,
    "done_callback": lambda pool: called_back(
        lambda call: pool.submit(time.sleep, 0.01).add_done_callback(call)
    ),
    "apply": lambda pool: pool.apply(ambient),
    "apply_async": lambda pool: pool.apply_async(ambient).get(),
    "map_async": lambda pool: pool.map_async(ambient, [1]).get()[0],
    "starmap": lambda pool: pool.starmap(ambient, [(1,)])[0],
    "starmap_async": lambda pool: pool.starmap_async(ambient, [(1,)]).get()[0],
    "imap": lambda pool: next(pool.imap(ambient, [1])),
    "imap_unordered": lambda pool: next(pool.imap_unordered(ambient, [1])),
    "items": lambda pool: pool.map(list, items())[0],
    "items of chunks": lambda pool: pool.starmap_async(list, zip(items()), chunksize=2).get()[0],
    "items of imap": lambda pool: next(pool.imap(list, iterable=items())),
    "keyword": lambda pool: pool.apply_async(func=ambient, args=()).get(),
    "callback": lambda pool: called_back(lambda call: pool.apply_async(int, callback=call)),
    "callbacks": lambda pool: called_back(lambda call: pool.map_async(int, "1", None, call)),
    "error_callback": lambda pool: called_back(
        lambda call: pool.starmap_async(int, ["x"], error_callback=call)
    ),
}

def called_back(begin):
    # What it finds is found in this process, by a thread of the pool.
    seen = futures.Future()
    begin(lambda _: seen.set_result(ambient()))
    begin(lambda _: forget())
    return seen.result()

def drive(pool, ways):
    found = {}
    for way in ways:
        work = WAYS[way]
        found[way] = []
        for tenant in ("ws_a", "ws_b", "", None, "forget"):
            if tenant is None:
                found[way].append(work(pool))
            elif tenant == "forget":  # in no scope either: the next way must not find it
                # Waited for: a worker that is ended while it answers leaves a lock held.
                if hasattr(pool, "submit"):
                    pool.submit(forget).result()
                else:
                    pool.apply_async(forget).get()
            else:
                with use_workspace(tenant or None):
                    call.set(tenant)
                    found[way].append(work(pool))
                    call.set(None)
    return found

if __name__ == "__main__":
    found = {}
    for kind, ways in json.loads(sys.argv[1]).items():
        before = make(kind)
        with use_workspace("ws_maker"):
            call.set("a call")
            inside = make(kind)
            first = WAYS[ways[0]](inside)
            call.set(None)
        after = make(kind)
        call.set("a call")
        unscoped = make(kind)
        first_outside = WAYS[ways[0]](unscoped)
        call.set(None)
        found[kind] = {"first": first, "first outside": first_outside}
        pools = dict(before=before, inside=inside, after=after, unscoped=unscoped)
        for when, pool in pools.items():
            found[kind][when] = drive(pool, ways)
            getattr(pool, "shutdown", None) and pool.shutdown()
            getattr(pool, "terminate", None) and pool.terminate()
    print(json.dumps(found))
"""


def run(tmp_path: Path, arguments: list[str], **env: str) -> str:
    (tmp_path / "work.py").write_text(WORK)
    (tmp_path / "program.py").write_text(PROGRAM)
    done = subprocess.run(
        [sys.executable, *arguments],
        env={
            "PATH": os.environ.get("PATH", ""),
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(tmp_path)]),
            **env,
        },
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("options", INHERIT, ids=" ".join)
@pytest.mark.parametrize("kind", KINDS)
def test_p08_a_worker_keeps_no_scope_and_no_call(
    kind: str, options: list[str], tmp_path: Path
) -> None:
    ways = json.dumps({kind: KINDS[kind]})
    command = [*options, str(tmp_path / "program.py"), ways]
    found = json.loads(run(tmp_path, command, DASHSCOPE_WORKSPACE="ws_env"))[kind]
    no_call = None
    assert found.pop("first") == ["ws_maker", no_call]
    assert found.pop("first outside") == ["ws_env", no_call]
    expected = [["ws_a", no_call], ["ws_b", no_call], [None, no_call], ["ws_env", no_call]]
    assert found == {when: {way: expected for way in KINDS[kind]} for when in found}


CALLS = """
import asyncio, json, sys
from concurrent.futures import ThreadPoolExecutor

import dashscope
from dashscope.aigc.generation import AioGeneration, Generation
import dashscope_ws_patch
from dashscope_ws_patch.selftest.loopback import Loopback

native = ThreadPoolExecutor.submit

async def main():
    loop = asyncio.get_running_loop()
    await AioGeneration.call("m", "own")
    patched = [ThreadPoolExecutor.submit is not native]
    # The name of the host is looked up in a thread that is born in this call, which holds while it
    # runs, since all that it may request shall carry its workspace.
    await AioGeneration.call(
        "m", "named", workspace="ws_a", base_address=dashscope.base_http_api_url
    )
    await loop.run_in_executor(None, Generation.call, "m", "own")
    return patched + [ThreadPoolExecutor.submit is not native]

with Loopback() as service:
    dashscope.base_http_api_url = f"http://localhost:{service.port}/api/v1"
    loop = asyncio.new_event_loop()
    loop.set_default_executor(ThreadPoolExecutor(1))
    patched = loop.run_until_complete(main())
    sent = [request.workspaces for request in service.drain()]
dashscope_ws_patch.unpatch()
assert ThreadPoolExecutor.submit is native
print(json.dumps([patched, sent]))
"""


@pytest.mark.parametrize("options", INHERIT, ids=" ".join)
def test_p08_a_worker_born_in_a_call_keeps_it_not(options: list[str], tmp_path: Path) -> None:
    """Nor is anything patched (P14) for what comes without a scope, unless a thread can inherit."""
    need(AIO_GENERATION)
    (tmp_path / "calls.py").write_text(CALLS)
    variables = {"DASHSCOPE_WORKSPACE": "ws_env", "DASHSCOPE_API_KEY": "sk-0"}
    command = [*options, "-W", "ignore", str(tmp_path / "calls.py")]
    patched, sent = json.loads(run(tmp_path, command, **variables))
    assert sent == [["ws_env"], ["ws_a"], ["ws_env"]]
    assert patched == [False, options[-1:] == ["thread_inherit_context=1"]]
