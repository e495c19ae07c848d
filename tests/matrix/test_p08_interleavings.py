"""P8, P14, P16: whatever threads, tasks, pools and generators of several tenants do in turn, no
request carries a workspace that is not its own.

hypothesis makes up the turns. One actor moves at a time, so that a failure can be made smaller and
told; what is handed to a pool runs meanwhile. ``INTERLEAVINGS=1000`` makes up more programs.
"""

from __future__ import annotations

import asyncio
import functools
import gc
import inspect
import itertools
import multiprocessing.pool
import os
import queue
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent import futures
from typing import Any, Callable, Optional
from unittest import mock

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    precondition,
    rule,
    run_state_machine_as_test,
)
from record import environment
from sdk_calls import AIO_GENERATION, GENERATION, need

from dashscope_ws_patch import carry_workspace, get_workspace, set_workspace, use_workspace
from dashscope_ws_patch.selftest.loopback import Loopback, redirect
from dashscope_ws_patch.selftest.surfaces import find

PROGRAMS = int(os.environ.get("INTERLEAVINGS", "60"))

Tenant = Optional[str]
ENVIRONMENT = "ws_env"  # what a lost scope would become
#: Each has one manager, shared by all actors; and None, "no workspace here", is a tenant like any.
MANAGERS = {tenant: use_workspace(tenant) for tenant in ("ws_a", "ws_b", None)}
INHERITS = bool(getattr(sys.flags, "thread_inherit_context", False))
HERE = os.getpid()


def ask(prompt: str, **named: Any) -> None:
    if os.getpid() != HERE:  # a fork must not talk on its parent's connection
        vars(sys.modules["dashscope.api_entities.http_request"])["_shared_sync_session"] = None
    find(GENERATION).call("m", prompt, **named)


async def aask(prompt: str, **named: Any) -> None:
    await asyncio.sleep(0)
    await find(AIO_GENERATION).call("m", prompt, **named)


def ask_and_forget(prompt: str) -> None:
    ask(prompt)
    set_workspace("ws_forgotten")


def steps(prompts: Any) -> Iterator[None]:
    for prompt in prompts:
        yield ask(prompt)


async def asteps(prompts: Any) -> AsyncIterator[None]:
    for prompt in prompts:
        yield await aask(prompt)


class Left:
    """Says that the innermost block is left."""


class Actor:
    """A thread or task that does what it is told, in blocks of scopes that it enters and leaves;
    ``now`` is the workspace that must hold in it."""

    def __init__(self, now: Tenant) -> None:
        self.now = now
        self.outer: list[Tenant] = []

    def do(self, action: Any) -> Any:
        raise NotImplementedError

    def enter(self, tenant: Tenant) -> None:
        self.do(MANAGERS[tenant])
        self.outer.append(self.now)
        self.now = tenant

    def leave(self) -> None:
        self.do(Left)
        self.now = self.outer.pop()

    def end(self) -> None:
        while self.outer:
            self.leave()
        self.do(Left)


class Thread(Actor):
    def __init__(self, now: Tenant, by: Actor | None) -> None:
        super().__init__(now)
        self.told: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.done: queue.SimpleQueue[Any] = queue.SimpleQueue()
        thread = threading.Thread(target=self.run, daemon=True)
        by.do(thread.start) if by else thread.start()

    def run(self) -> None:
        self.block()
        self.done.put((None, None))

    def block(self) -> None:
        while (action := self.told.get()) is not Left:
            result = error = None
            if isinstance(action, use_workspace):
                with action:
                    self.done.put((None, None))
                    self.block()
            else:
                try:
                    result = action()
                except BaseException as raised:
                    error = raised
            self.done.put((result, error))

    def do(self, action: Any) -> Any:
        self.told.put(action)
        result, error = self.done.get()
        if error is not None:
            raise error
        return result


class Task(Actor):
    def __init__(self, now: Tenant, by: Actor, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(now)
        self.loop = loop
        self.told: asyncio.Queue[Any] = asyncio.Queue()
        self.task = by.do(lambda: [loop.create_task(self.run())])

    async def run(self) -> None:
        await self.block()
        self.done.set_result(None)

    async def block(self) -> None:
        while (action := await self.told.get()) is not Left:
            result = None
            if isinstance(action, use_workspace):
                with action:
                    self.done.set_result(None)
                    await self.block()
            else:
                try:
                    result = action()
                    if inspect.isawaitable(result):
                        result = await result
                except BaseException as error:
                    self.done.set_exception(error)
                    continue
            self.done.set_result(result)

    def do(self, action: Any) -> Any:
        self.done = self.loop.create_future()
        self.told.put_nowait(action)
        return self.loop.run_until_complete(self.done)


# Pools, and the ways to hand them work


def _executor(kind: Any) -> dict[str, Callable[..., Any]]:
    return {
        "make": kind,
        "submit": lambda pool, *work: pool.submit(*work).result,
        "map": lambda pool, work, *args: functools.partial(
            list, pool.map(work, *([arg] for arg in args))
        ),
    }


def _pool(kind: Any) -> dict[str, Callable[..., Any]]:
    return {
        "make": kind,
        "apply_async": lambda pool, work, *args: pool.apply_async(work, args).get,
        "called back": lambda pool, work, *args: _called_back(pool, work, *args),
        "imap": lambda pool, work, arg: functools.partial(list, pool.imap(work, [arg])),
        "starmap_async": lambda pool, work, *args: pool.starmap_async(work, [args]).get,
    }


def _called_back(pool: Any, work: Any, *args: Any) -> Any:
    """The work is done in this process, when the pool has done some other."""
    done: futures.Future[None] = futures.Future()

    def call_back(_: object) -> None:
        try:
            done.set_result(work(*args))
        except BaseException as error:
            done.set_exception(error)

    pool.apply_async(int, callback=call_back)
    return done.result


POOLS = {
    "executor": _executor(functools.partial(futures.ThreadPoolExecutor, 2)),
    "pool": _pool(functools.partial(multiprocessing.pool.ThreadPool, 2)),
}
if "fork" in multiprocessing.get_all_start_methods():
    forking = multiprocessing.get_context("fork")
    POOLS["forked executor"] = _executor(
        functools.partial(futures.ProcessPoolExecutor, 1, mp_context=forking)
    )
    POOLS["forked pool"] = _pool(functools.partial(forking.Pool, 1))

tenants = st.sampled_from(list(MANAGERS))
#: Stands for one of those that there are by then.
some = st.integers(0, 7)


class Interleavings(RuleBasedStateMachine):
    service: Loopback

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        asyncio.set_event_loop(self.loop)
        self.numbers = itertools.count()
        self.expected: dict[str, Tenant] = {}
        self.actors: list[Actor] = [Thread(ENVIRONMENT, None), Thread(ENVIRONMENT, None)]
        self.pools: list[tuple[str, Any]] = []
        self.pending: list[Callable[[], Any]] = []
        self.coroutines: list[Any] = []
        self.generators: list[Any] = []
        #: And the workspace that it must have; a number stands for that of whoever calls it.
        self.carried: list[tuple[Any, Any]] = []

    def prompt(self, tenant: Tenant) -> str:
        """The next one, and whose it is."""
        prompt = f"request {next(self.numbers)}"
        self.expected[prompt] = tenant
        return prompt

    def actor(self, number: int) -> Actor:
        return self.actors[number % len(self.actors)]

    def task(self, number: int) -> Actor:
        tasks = [each for each in self.actors if isinstance(each, Task)]
        return tasks[number % len(tasks)]

    def has_task(self) -> bool:
        return any(isinstance(each, Task) for each in self.actors)

    @rule(by=some)
    def start_a_thread(self, by: int) -> None:
        starter = self.actor(by)
        self.actors.append(Thread(starter.now if INHERITS else ENVIRONMENT, starter))

    @rule(by=some)
    def start_a_task(self, by: int) -> None:
        starter = self.actor(by)
        self.actors.append(Task(starter.now, starter, self.loop))

    @rule(by=some, tenant=tenants)
    def enter(self, by: int, tenant: Tenant) -> None:
        self.actor(by).enter(tenant)

    @rule(by=some)
    def leave(self, by: int) -> None:
        if self.actor(by).outer:
            self.actor(by).leave()

    @rule(by=some, tenant=tenants)
    def set_and_never_reset(self, by: int, tenant: Tenant) -> None:
        self.actor(by).do(functools.partial(set_workspace, tenant))
        self.actor(by).now = tenant

    # Requests

    @rule(by=some)
    def ask_plainly(self, by: int) -> None:
        actor = self.actor(by)
        actor.do(functools.partial(ask, self.prompt(actor.now)))

    @rule(by=some)
    def ask_by_name(self, by: int) -> None:
        action = functools.partial(ask, self.prompt("ws_named"), workspace="ws_named")
        self.actor(by).do(action)

    @precondition(has_task)
    @rule(by=some, name=st.booleans())
    def ask_and_await(self, by: int, name: bool) -> None:
        task = self.task(by)
        named = {"workspace": "ws_named"} if name else {}
        prompt = self.prompt("ws_named" if name else task.now)
        task.do(functools.partial(aask, prompt, **named))

    @rule(by=some, tenant=tenants, decorated=st.booleans())
    def begin_a_coroutine(self, by: int, tenant: Tenant, decorated: bool) -> None:
        actor = self.actor(by)
        prompt = f"request {next(self.numbers)}"
        if decorated:
            begin = functools.partial(MANAGERS[tenant](aask), prompt)
        else:  # the SDK's own, in the scope of whoever calls
            begin = functools.partial(find(AIO_GENERATION).call, "m", prompt)
        coroutine = actor.do(lambda: [begin()])[0]
        self.coroutines.append((coroutine, prompt, tenant if decorated else actor.now))

    @precondition(lambda self: self.coroutines and self.has_task())
    @rule(by=some, which=some)
    def await_a_coroutine(self, by: int, which: int) -> None:
        begun = self.coroutines.pop(which % len(self.coroutines))
        coroutine, prompt, self.expected[prompt] = begun
        self.task(by).do(lambda: coroutine)

    # Generators

    @rule(by=some)
    def begin_a_stream(self, by: int) -> None:
        actor = self.actor(by)
        # The request is made when it is first read.
        prompt = f"request {next(self.numbers)}"
        stream = actor.do(lambda: find(GENERATION).call("m", prompt, stream=True))
        self.generators.append((stream, iter([(prompt, actor.now)]), None))

    @rule(by=some, tenant=tenants, kind=st.sampled_from([steps, asteps]))
    def begin_a_generator(self, by: int, tenant: Tenant, kind: Any) -> None:
        prompts: queue.SimpleQueue[str] = queue.SimpleQueue()
        begin = functools.partial(MANAGERS[tenant](kind), iter(prompts.get, ""))
        asks = ((f"request {next(self.numbers)}", tenant) for _ in itertools.count())
        self.generators.append((self.actor(by).do(begin), asks, prompts))

    @precondition(lambda self: self.generators)
    @rule(by=some, which=some)
    def step(self, by: int, which: int) -> None:
        generator, asks, prompts = self.generators[which % len(self.generators)]
        asynchronous = inspect.isasyncgen(generator)
        if asynchronous and not self.has_task():
            return
        for prompt, tenant in itertools.islice(asks, 1):
            self.expected[prompt] = tenant
            if prompts is not None:
                prompts.put(prompt)
            if asynchronous:
                self.task(by).do(generator.__anext__)
            else:
                self.actor(by).do(lambda: next(generator, None))

    @precondition(lambda self: self.generators)
    @rule(by=some)
    def forget_a_generator(self, by: int) -> None:
        generator, _, _ = self.generators.pop()
        if not inspect.isasyncgen(generator):
            self.actor(by).do(generator.close)
        elif self.has_task():
            self.task(by).do(generator.aclose)

    # Work that is handed over

    @precondition(lambda self: len(self.pools) < 3)
    @rule(by=some, kind=st.sampled_from(list(POOLS)))
    def make_a_pool(self, by: int, kind: str) -> None:
        self.settle()  # what is locked in another thread stays locked in a fork
        self.pools.append((kind, self.actor(by).do(POOLS[kind]["make"])))

    def hand_over(self, by: int, which: int, way: int, work: Any, prompt: str) -> None:
        kind, pool = self.pools[which % len(self.pools)]
        ways = [name for name in POOLS[kind] if name != "make"]
        hand = POOLS[kind][ways[way % len(ways)]]
        if kind.startswith("forked"):
            self.settle()
        self.pending.append(self.actor(by).do(lambda: hand(pool, work, prompt)))

    @precondition(lambda self: self.pools)
    @rule(by=some, which=some, way=some, work=st.sampled_from([ask, ask_and_forget]))
    def hand_to_a_pool(self, by: int, which: int, way: int, work: Any) -> None:
        self.hand_over(by, which, way, work, self.prompt(self.actor(by).now))

    @precondition(lambda self: self.pools and self.has_task())
    @rule(by=some, which=some)
    def run_in_executor(self, by: int, which: int) -> None:
        kind, pool = self.pools[which % len(self.pools)]
        task = self.task(by)
        work = ask, self.prompt(task.now)
        self.settle()
        if "executor" not in kind:
            task.do(lambda: asyncio.to_thread(*work))
        else:
            task.do(lambda: self.loop.run_in_executor(pool, *work))

    @rule(by=some)
    def carry(self, by: int) -> None:
        actor = self.actor(by)
        scoped = actor.do(lambda: carry_workspace(ask))
        self.carried.append((scoped, None if scoped is ask else [actor.now]))

    @precondition(lambda self: self.carried)
    @rule(by=some, which=some)
    def call_what_is_carried(self, by: int, which: int) -> None:
        work, whose = self.carried[which % len(self.carried)]
        actor = self.actor(by)
        prompt = self.prompt(whose[0] if whose else actor.now)
        actor.do(functools.partial(work, prompt))

    @precondition(lambda self: self.carried and self.pools)
    @rule(by=some, to=some, which=some, way=some)
    def hand_over_what_is_carried(self, by: int, to: int, which: int, way: int) -> None:
        work, whose = self.carried[which % len(self.carried)]
        prompt = self.prompt(whose[0] if whose else self.actor(by).now)
        self.hand_over(by, to, way, work, prompt)

    @rule()
    def collect(self) -> None:
        gc.collect()

    # What came of it

    def settle(self) -> None:
        for result in self.pending:
            result()
        self.pending.clear()

    def teardown(self) -> None:
        while self.coroutines:
            # From CPython 3.13 on what is closed before its first step keeps its frame, and so an
            # inner coroutine, which the collector must not find in a cycle with it.
            self.coroutines.pop()[0].close()
        try:
            self.settle()
            for actor in reversed(self.actors):
                found = actor.do(get_workspace)
                assert found == actor.now
                actor.end()
        finally:
            for kind, pool in self.pools:
                pool.shutdown() if "executor" in kind else pool.close()
                # A worker that is left would keep open what it was forked with.
                getattr(pool, "join", int)()
            shared = sys.modules.get("dashscope.api_entities.aio_session")  # one for each loop
            if shared is not None:
                self.loop.run_until_complete(shared.close_shared_aio_session())
            self.loop.run_until_complete(self.loop.shutdown_asyncgens())
            self.loop.run_until_complete(self.loop.shutdown_default_executor())
            asyncio.set_event_loop(None)
            self.loop.close()
        found: dict[str, set[Tenant]] = {}
        for request in self.service.drain():
            asked = request.json()["input"]
            prompt = asked.get("prompt") or asked["messages"][-1]["content"]
            # Twice, where a connection that was kept is found to be closed.
            found.setdefault(prompt, set()).add(",".join(request.workspaces) or None)
        expected = {prompt: {tenant} for prompt, tenant in self.expected.items()}
        wrong = [prompt for prompt in {**found, **expected}]
        wrong = [each for each in wrong if found.get(each) != expected.get(each)]
        assert wrong == [], [(each, found.get(each), expected.get(each)) for each in wrong]


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_p08_no_turn_of_events_crosses_tenants(loopback: Loopback) -> None:
    need(AIO_GENERATION)
    import dashscope

    chosen = settings(
        max_examples=PROGRAMS,
        stateful_step_count=40,
        database=None,
        print_blob=False,
        suppress_health_check=list(HealthCheck),
    )
    # Plain HTTP: a handshake takes longer than all the rest.
    with Loopback() as service, redirect(service.port):
        base = service.address("dashscope.aliyuncs.com", "/api/v1")
        with (
            mock.patch.object(dashscope, "base_http_api_url", base),
            environment(DASHSCOPE_WORKSPACE=ENVIRONMENT),
        ):
            machine = type("Served", (Interleavings,), {"service": service})
            gc.freeze()  # what there is already would make each collection slow
            try:
                run_state_machine_as_test(machine, settings=chosen)
            finally:
                gc.unfreeze()
