"""P16: carry_workspace hands a function over with the scope in which it was asked to."""

from __future__ import annotations

import asyncio
import functools
import inspect
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, Callable

import pytest
from environments import ROOT
from record import environment

from dashscope_ws_patch import carry_workspace, get_workspace, use_workspace


def plain(*args: Any, **kwargs: Any) -> Any:
    return get_workspace(), args, kwargs


async def later(*args: Any, **kwargs: Any) -> Any:
    await asyncio.sleep(0)
    return plain(*args, **kwargs)


def steps(*args: Any, **kwargs: Any) -> Iterator[Any]:
    yield plain(*args, **kwargs)
    yield plain(*args, **kwargs)


async def async_steps(*args: Any, **kwargs: Any) -> AsyncIterator[Any]:
    for item in steps(*args, **kwargs):
        await asyncio.sleep(0)
        yield item


class Callable_:
    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        return plain(*args, **kwargs)


def _all(function: Callable[..., Any]) -> list[Any]:
    """What it returns, or yields, called with arguments whose names ours must not take."""
    result = function(1, manager=2, fn=3, self=4)
    if inspect.iscoroutine(result):
        return [asyncio.run(result)]
    if inspect.isgenerator(result):
        return list(result)
    if inspect.isasyncgen(result):

        async def main() -> list[Any]:
            return [item async for item in result]

        return asyncio.run(main())
    return [result]


KINDS = {
    "function": plain,
    "coroutine": later,
    "generator": steps,
    "async generator": async_steps,
    "partial": functools.partial(plain),
    "async partial": functools.partial(later),
    "object": Callable_(),
}


@pytest.mark.parametrize("function", list(KINDS.values()), ids=list(KINDS))
@pytest.mark.parametrize("workspace", ["ws_a", None])
def test_p16_it_runs_in_the_scope_of_the_hand_over(function: Any, workspace: Any) -> None:
    with environment(DASHSCOPE_WORKSPACE="ws_env"):
        with use_workspace(workspace):
            carried = carry_workspace(function)
        travelled = pickle.loads(pickle.dumps(carried))
        for each in carried, travelled:
            with use_workspace("ws_other"):
                found = _all(each)
                assert get_workspace() == "ws_other"
            assert set(map(repr, found)) == {
                repr((workspace, (1,), {"manager": 2, "fn": 3, "self": 4}))
            }
    for asks in (
        inspect.iscoroutinefunction,
        inspect.isgeneratorfunction,
        inspect.isasyncgenfunction,
    ):
        assert asks(carried) == asks(travelled) == asks(function)


def test_p16_without_a_scope_it_is_the_function_itself() -> None:
    with environment(DASHSCOPE_WORKSPACE="ws_env"):
        assert carry_workspace(plain) is plain


def test_p16_functions_that_cannot_be_pickled_may_be_carried_too() -> None:
    with use_workspace("ws_a"):
        carried = carry_workspace(lambda: get_workspace())
    found = []
    thread = threading.Thread(target=lambda: found.append(carried()))
    thread.start()
    thread.join()
    assert found == ["ws_a"] and get_workspace() is None


def test_p16_what_is_no_function_is_refused() -> None:
    with pytest.raises(TypeError):
        carry_workspace("plain")  # type: ignore[type-var]


def test_p16_unpickling_activates_the_shim_in_another_process(tmp_path: Path) -> None:
    (tmp_path / "work.py").write_text(
        "import sys\n"
        "def work():\n"
        "    shim = sys.modules['dashscope_ws_patch']\n"
        "    return shim.is_patched(), shim.get_workspace()\n"
    )
    sys.path.insert(0, str(tmp_path))
    try:
        import work

        with use_workspace("ws_a"):
            data = pickle.dumps(carry_workspace(work.work))
    finally:
        sys.path.remove(str(tmp_path))
        sys.modules.pop("work", None)
    done = subprocess.run(
        [sys.executable, "-c", f"import pickle; print(pickle.loads({data!r})())"],
        env={"PYTHONPATH": os.pathsep.join([str(ROOT), str(tmp_path)])},
        capture_output=True,
        text=True,
    )
    assert done.stdout.strip() == "(True, 'ws_a')", done.stderr


class Awaited:
    async def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        return await later(*args, **kwargs)


@pytest.mark.parametrize("made", [Awaited(), functools.partial(Awaited())])
def test_p16_an_object_with_an_async_call_is_a_coroutine_function(made: Any) -> None:
    with use_workspace("ws_a"):
        carried = carry_workspace(made)
        decorated = use_workspace("ws_a")(made)
    for each in carried, pickle.loads(pickle.dumps(carried)), decorated:
        assert inspect.iscoroutinefunction(each)
        assert asyncio.run(each(1)) == ("ws_a", (1,), {})


def test_p16_starlette_awaits_what_was_carried() -> None:
    background = pytest.importorskip("starlette.background")
    found = []

    class Noting:
        async def __call__(self) -> None:
            found.append(get_workspace())

    with use_workspace("ws_a"):
        task = background.BackgroundTask(carry_workspace(Noting()))
    asyncio.run(task())
    assert found == ["ws_a"]


MAIN = """
import asyncio, inspect, pickle, sys
import {by}
from dashscope_ws_patch import carry_workspace, get_workspace, use_workspace

@use_workspace("ws_a")
def plain(): return get_workspace()
@use_workspace("ws_a")
async def later(): return get_workspace()
@use_workspace("ws_a")
def steps(): yield get_workspace()
@use_workspace("ws_a")
async def async_steps(): yield get_workspace()
class Class:
    @use_workspace("ws_a")
    def method(self): return get_workspace()
    @use_workspace("ws_a")
    @classmethod
    def of_class(cls): return get_workspace()
def bare(): return get_workspace()
with use_workspace("ws_a"):
    carried = carry_workspace(bare)
    iterated = carry_workspace(steps.__wrapped__)
sys.stdout.buffer.write({by}.dumps(
    [plain, later, steps, async_steps, Class().method, Class.of_class, carried, iterated]))
"""
LOADED = """
import asyncio, sys
import {by}
# dill leaves the globals of __main__ behind.
from dashscope_ws_patch import get_workspace
plain, later, steps, async_steps, method, of_class, carried, iterated = {by}.load(sys.stdin.buffer)
async def main():
    return [await later(), [each async for each in async_steps()]]
found = [plain(), list(steps()), method(), of_class(), carried(), list(iterated())]
print([*found, asyncio.run(main())])
"""


@pytest.mark.parametrize("by", ["cloudpickle", "dill"])
def test_p11_decorated_functions_of_a_program_are_pickled_by_value(by: str, tmp_path: Path) -> None:
    pytest.importorskip(by)
    env = {"PYTHONPATH": str(ROOT)}
    (tmp_path / "main.py").write_text(MAIN.format(by=by))
    data = subprocess.run(
        [sys.executable, str(tmp_path / "main.py")], env=env, stdout=subprocess.PIPE, check=True
    ).stdout
    code = LOADED.format(by=by)
    done = subprocess.run(
        [sys.executable, "-c", code], env=env, input=data, stdout=subprocess.PIPE, check=True
    )
    a = ["ws_a"]
    assert done.stdout.decode().strip() == str([*a, a, *a, *a, *a, a, [*a, a]])
