"""P8: under use_workspace a generator is as it was, step by step, and in its scope at each of them.

PEP 342 and PEP 525 are the oracle by way of the same function undecorated: both are driven by one
script of operations, and what they say, and what was ambient when they said it, is compared.
"""

from __future__ import annotations

import asyncio
import contextvars
import gc
import inspect
import sys
import threading
import types
import warnings
from collections.abc import AsyncIterator, Iterator
from typing import Any, Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashscope_ws_patch import carry_workspace, get_workspace, set_workspace, use_workspace
from dashscope_ws_patch._carry import carried
from dashscope_ws_patch._workspace import Scope, scope

decorate = use_workspace("ws_in")

# What is done to a generator, and how it answers: by what is sent, or thrown, it is told how.
ANSWERS = ["yield", "return", "raise", "stop", "within", "set"]
OPERATIONS = ["next", "send", "throw", "throwstop", "throwexit", "close"]
scripts = st.lists(st.tuples(st.sampled_from(OPERATIONS), st.sampled_from(ANSWERS)), max_size=6)


class Told(Exception):
    pass


def body(trace: list[Any]) -> Iterator[Any]:
    told: Any = "yield"
    inner = None
    while True:
        trace.append(("here", get_workspace(), told))
        try:
            if told == "return":
                return "returned"
            if told == "raise":
                raise ValueError("raised")
            if told == "stop":
                raise StopIteration("by hand")
            if told == "set":
                set_workspace("ws_set")
            if told == "within" and inner is None:
                with use_workspace("ws_within"):
                    trace.append(("within", get_workspace()))
                    told = yield "within"
                    trace.append(("still within", get_workspace()))
            else:
                told = yield told
        except Told as error:
            told = error.args[0]
        except GeneratorExit:
            trace.append(("exit", get_workspace()))
            if told == "set":
                told = yield "ignored"
            raise
        told = told or "yield"


async def async_body(trace: list[Any]) -> AsyncIterator[Any]:
    told: Any = "yield"
    while True:
        await asyncio.sleep(0)
        trace.append(("here", get_workspace(), told))
        try:
            if told == "return":
                return
            if told == "raise":
                raise ValueError("raised")
            if told == "stop":
                raise StopAsyncIteration("by hand")
            if told == "set":
                set_workspace("ws_set")
            if told == "within":
                with use_workspace("ws_within"):
                    await asyncio.sleep(0)
                    trace.append(("within", get_workspace()))
                    told = yield "within"
                    trace.append(("still within", get_workspace()))
            else:
                told = yield told
        except Told as error:
            told = error.args[0]
        except GeneratorExit:
            await asyncio.sleep(0)
            trace.append(("exit", get_workspace()))
            if told == "set":
                told = yield "ignored"
            raise
        told = told or "yield"


def said(error: BaseException) -> Any:
    cause = type(error.__cause__).__name__, type(error.__context__).__name__
    return type(error).__name__, str(error), cause


def operate(generator: Any, operation: str, told: str) -> Any:
    try:
        if operation == "next":
            return next(generator)
        if operation == "send":
            return generator.send(told)
        if operation == "throw":
            return generator.throw(Told(told))
        if operation == "throwstop":
            return generator.throw(StopIteration("thrown"))
        if operation == "throwexit":
            return generator.throw(GeneratorExit())
        return generator.close()
    except BaseException as error:
        return said(error), getattr(error, "value", None)


def drive(function: Callable[..., Any], script: list[tuple[str, str]]) -> list[Any]:
    trace: list[Any] = []
    generator = function(trace)
    for operation, told in [*script, ("close", "")]:
        trace.append(operate(generator, operation, told))
        trace.append(("between", get_workspace()))
        trace.append(inspect.getgeneratorstate(generator))
    return trace


def in_context_of_the_body(function: Callable[..., Any], workspace: str) -> Callable[..., Any]:
    """The oracle: a generator of which each step runs in the one context of its own."""

    class Stepped:
        def __init__(self, trace: list[Any]) -> None:
            self.context = contextvars.copy_context()
            self.context.run(set_workspace, workspace)
            self.generator = function(trace)

        def __next__(self) -> Any:
            return self.context.run(next, self.generator)

        def send(self, value: Any) -> Any:
            return self.context.run(self.generator.send, value)

        def throw(self, error: BaseException) -> Any:
            return self.context.run(self.generator.throw, error)

        def close(self) -> Any:
            return self.context.run(self.generator.close)

        gi_frame = property(lambda self: self.generator.gi_frame)

    return Stepped


@given(scripts)
def test_p08_a_generator_answers_as_undecorated(script: list[tuple[str, str]]) -> None:
    expected = drive_oracle(in_context_of_the_body(body, "ws_in"), script)
    assert drive(decorate(body), script) == expected


def drive_oracle(function: Callable[..., Any], script: list[tuple[str, str]]) -> list[Any]:
    trace: list[Any] = []
    stepped = function(trace)
    for operation, told in [*script, ("close", "")]:
        trace.append(operate(stepped, operation, told))
        trace.append(("between", None))
        trace.append(inspect.getgeneratorstate(stepped.generator))
    return trace


async def aoperate(generator: Any, operation: str, told: str) -> Any:
    try:
        if operation == "next":
            return await generator.__anext__()
        if operation == "send":
            return await generator.asend(told)
        if operation == "throw":
            return await generator.athrow(Told(told))
        if operation == "throwstop":
            return await generator.athrow(StopAsyncIteration("thrown"))
        if operation == "throwexit":
            return await generator.athrow(GeneratorExit())
        return await generator.aclose()
    except BaseException as error:
        return said(error)


def adrive(function: Callable[..., Any], script: list[tuple[str, str]], own: bool) -> list[Any]:
    """Drive it; as the oracle, in tasks of one context of its own."""

    trace: list[Any] = []
    generator = function(trace)
    coroutines = [aoperate(generator, *each) for each in [*script, ("close", "")]]
    answers: list[Any] = []

    async def main() -> None:
        for coroutine in coroutines:
            trace.append(await coroutine)
        answers.extend(trace)

    def steps() -> None:
        loop = asyncio.new_event_loop()
        try:
            loop.run_until_complete(main())
            loop.run_until_complete(loop.shutdown_asyncgens())
        finally:
            loop.close()

    if own:
        context = contextvars.copy_context()
        context.run(set_workspace, "ws_in")
        context.run(steps)
    else:
        steps()
    return answers


@given(scripts)
def test_p08_an_async_generator_answers_as_undecorated(script: list[tuple[str, str]]) -> None:
    before = get_workspace()
    decorated = adrive(decorate(async_body), script, own=False)
    assert get_workspace() == before
    assert decorated == adrive(async_body, script, own=True)


def test_p08_nothing_holds_between_the_steps_of_an_async_generator() -> None:
    @decorate
    async def generator() -> AsyncIterator[str | None]:
        for _ in range(3):
            await asyncio.sleep(0)
            yield get_workspace()

    async def main() -> list[Any]:
        return [(item, get_workspace()) async for item in generator()]

    assert asyncio.run(main()) == [("ws_in", None)] * 3


def test_p08_nor_between_the_steps_of_tasks_that_share_a_context() -> None:
    seen = []

    @decorate
    async def inside() -> None:
        for _ in range(3):
            seen.append(("inside", get_workspace()))
            await asyncio.sleep(0)

    async def beside() -> None:
        for _ in range(3):
            seen.append(("beside", get_workspace()))
            await asyncio.sleep(0)

    async def main() -> None:
        loop, context = asyncio.get_running_loop(), contextvars.copy_context()
        tasks = [context.run(loop.create_task, each()) for each in (inside, beside)]
        if sys.version_info >= (3, 11):
            for task in tasks:
                task.cancel()
            seen.clear()
            tasks = [loop.create_task(each(), context=context) for each in (inside, beside)]
        await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(main())
    assert seen == [("inside", "ws_in"), ("beside", None)] * 3


def test_p08_the_steps_may_run_in_any_thread() -> None:
    @decorate
    def generator() -> Iterator[Any]:
        while True:
            yield threading.get_ident(), get_workspace()

    steps, found = generator(), []

    def step() -> None:
        with use_workspace("ws_other"):
            found.append(next(steps)[1])
            found.append(get_workspace())

    for _ in range(3):
        thread = threading.Thread(target=step)
        thread.start()
        thread.join()
    found.append(contextvars.copy_context().run(next, steps)[1])
    assert found == ["ws_in", "ws_other"] * 3 + ["ws_in"]


def test_p08_it_is_of_the_kind_that_it_was() -> None:
    generator_function = decorate(body)
    assert inspect.isgeneratorfunction(generator_function)
    assert inspect.isasyncgenfunction(decorate(async_body))
    generator, async_generator = generator_function([]), decorate(async_body)([])
    assert isinstance(generator, types.GeneratorType) and generator.__name__ == "body"
    assert isinstance(async_generator, types.AsyncGeneratorType)
    assert async_generator.__qualname__ == "async_body"
    with pytest.raises(TypeError):
        next(generator_function())


def test_p08_coroutines_of_the_old_kind() -> None:
    @decorate
    @types.coroutine
    def old() -> Any:
        yield from asyncio.sleep(0).__await__()
        return get_workspace()

    async def main() -> Any:
        return await old(), get_workspace()

    assert asyncio.run(main()) == ("ws_in", None)


async def _sleeping() -> str | None:
    await asyncio.sleep(0)
    return get_workspace()


@pytest.mark.parametrize("end", ["close", "throw", "cancel", "forget"])
@pytest.mark.parametrize(
    "wrap", [lambda c: c, lambda c: carried(c, [(scope, None)])], ids=["native", "ours"]
)
def test_p08_a_coroutine_that_never_begins_warns_as_natively(wrap: Any, end: str) -> None:
    gc.collect()  # what other tests have left behind warns of itself here, or not at all
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warnings.simplefilter("ignore", ResourceWarning)
        coroutine = wrap(_sleeping())
        if end == "close":
            coroutine.close()
        elif end == "throw":
            with pytest.raises(ZeroDivisionError):
                coroutine.throw(ZeroDivisionError())
        elif end == "cancel":

            async def main(coroutine: Any) -> None:
                task = asyncio.ensure_future(coroutine)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task

            asyncio.run(main(coroutine))
        del coroutine
        gc.collect()
    expected = ["coroutine '_sleeping' was never awaited"] if end == "forget" else []
    # The collector may find what other tests have left.
    told = [str(each.message) for each in caught if each.category is RuntimeWarning]
    assert told == expected


def test_p08_generators_that_the_collector_closes_end_in_their_own_scope() -> None:
    trace = []

    def generator(kind: str) -> Iterator[None]:
        try:
            yield
        finally:
            trace.append((kind, get_workspace()))

    async def async_generator(kind: str) -> AsyncIterator[None]:
        try:
            yield
        finally:
            await asyncio.sleep(0)
            trace.append((kind, get_workspace()))

    async def main() -> None:
        with use_workspace("ws_in"):
            everything: list[Any] = [
                generator("bare"),
                decorate(generator)("sync"),
                carry_workspace(generator)("sync"),
            ]
            everything += [
                decorate(async_generator)("async"),
                carry_workspace(async_generator)("async"),
            ]
        with use_workspace("ws_other"):
            for each in everything:
                await each.__anext__() if inspect.isasyncgen(each) else next(each)
            del each
            everything.append(everything)
            del everything
            gc.collect()
            assert get_workspace() == "ws_other"
            for _ in range(9):
                await asyncio.sleep(0)

    asyncio.run(main())
    if sys.version_info >= (3, 12):
        assert ("bare", None) in trace
    own = sorted(each for each in trace if each[0] != "bare")
    assert own == [("async", "ws_in")] * 2 + [("sync", "ws_in")] * 2


def test_p08_an_abandoned_async_generator_is_closed_in_the_turn_in_which_it_natively_is() -> None:
    def turns(function: Callable[[], Any]) -> int:
        closed = []

        async def generator() -> AsyncIterator[int]:
            try:
                yield 1
            finally:
                await asyncio.sleep(0)
                closed.append(get_workspace())

        async def main() -> int:
            steps = function(generator)()
            await steps.__anext__()
            del steps
            for turn in range(10):
                if closed:
                    return turn
                await asyncio.sleep(0)
            return 10

        return asyncio.run(main())

    assert turns(decorate) == turns(lambda function: function) < 10


def test_p08_what_the_loop_closes_at_its_end_is_closed_once() -> None:
    trouble, closed = [], []

    @decorate
    async def generator() -> AsyncIterator[int]:
        try:
            yield 1
        finally:
            await asyncio.sleep(0)
            closed.append(get_workspace())

    async def main() -> Any:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: trouble.append(context))
        steps = generator()
        await steps.__anext__()
        return steps

    steps = asyncio.run(main())
    assert (trouble, closed) == ([], ["ws_in"]) and steps.ag_frame is None


def test_p08_a_generator_that_is_closed_ends_no_block_but_its_own() -> None:
    shared = use_workspace("ws_shared")

    def generator() -> Iterator[None]:
        with shared:
            yield

    steps = generator()
    with use_workspace("ws_outer"):
        next(steps)
        steps.close()
        assert get_workspace() == "ws_outer"


def test_p08_a_shared_object_entered_and_left_by_other_functions() -> None:
    import contextlib

    shared = use_workspace("ws_shared")

    class Session:
        async def __aenter__(self) -> None:
            shared.__enter__()

        async def __aexit__(self, *error: Any) -> None:
            shared.__exit__(None, None, None)

    async def main() -> list[str | None]:
        found = []
        async with Session():
            found.append(get_workspace())
            async with contextlib.AsyncExitStack() as stack:
                stack.enter_context(shared)
                found.append(get_workspace())
            found.append(get_workspace())
        return [*found, get_workspace()]

    assert asyncio.run(main()) == ["ws_shared"] * 3 + [None]


def test_p08_scopes_set_and_never_reset_keep_nothing() -> None:
    def set_many() -> int:
        for number in range(1000):
            set_workspace(f"ws_{number}")
        return sum(isinstance(each, Scope) for each in gc.get_objects())

    assert contextvars.copy_context().run(set_many) < 100


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="the collector runs between instructions")
def test_p11_collected_generators_do_not_break_the_context_that_they_interrupt() -> None:
    """CPython up to 3.11: a set in the finalizer, inside a set of the same context, crashes."""
    import subprocess

    code = """
import gc
from contextvars import ContextVar
from dashscope_ws_patch import use_workspace
variables = [ContextVar(f"v{n}", default=None) for n in range(2000)]
@use_workspace("ws_a")
def generator():
    itself = yield
    yield
def abandon():
    steps = generator()
    next(steps)
    steps.send(steps)
gc.set_threshold(7)
for _ in range(20):
    for variable in variables:
        abandon()
        variable.set(object())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, (done.returncode, done.stderr)


def test_p11_a_step_keeps_its_context_while_another_thread_collects() -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")

    @decorate
    def setting() -> Iterator[None]:
        variable.set("set")
        yield

    collecting, done = threading.Event(), threading.Event()

    def pause(phase: str, info: object) -> None:
        if phase == "start" and threading.current_thread() is collector:
            collecting.set()
            done.wait()

    def step() -> str:
        next(setting())
        return variable.get()

    collector = threading.Thread(target=gc.collect)
    gc.callbacks.append(pause)
    try:
        collector.start()
        collecting.wait()
        assert contextvars.Context().run(step) == "set"
    finally:
        done.set()
        collector.join()
        gc.callbacks.remove(pause)
