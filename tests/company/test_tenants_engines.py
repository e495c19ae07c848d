"""P16: engines follow scopes, or what README says to write, with real workers and brokers.

Each needs its engine: ``tox -e engines`` installs them.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import queue
import shutil
import subprocess
import sys
import textwrap
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from environments import ROOT

from dashscope_ws_patch import carry_workspace, get_workspace, set_workspace, use_workspace

TENANTS = ("ws_a", "ws_b", "ws_c")


def _environment(folder: Path) -> dict[str, str]:
    return {
        **os.environ,
        "PYSPARK_PYTHON": sys.executable,
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(folder)]),
        "DASHSCOPE_WORKSPACE": "ws_env",  # what a lost scope would become
    }


# Celery

CELERY = """
import os, time
from celery import Celery, Task, chain, chord, group
import dashscope_ws_patch.tenants.celery
from dashscope_ws_patch import get_workspace, use_workspace

folder = os.path.dirname(__file__)
app = Celery("tasks")
app.conf.update(
    broker_url="filesystem://",
    broker_transport_options={
        "data_folder_in": folder + "/queue",
        "data_folder_out": folder + "/queue",
        "control_folder": folder + "/control",
    },
    result_backend=os.environ.get("RESULT_BACKEND", "file://" + folder + "/results"),
    broker_connection_retry_on_startup=True,
    worker_prefetch_multiplier=1,
    result_chord_retry_interval=0.1,
)

def seen(*label):
    # One line is written at once: what each task saw, under the name of its tenant.
    line = " ".join([*label, str(get_workspace())]) + "\\n"
    file = os.open(folder + "/seen", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, line.encode())
    os.close(file)

@app.task
def plain(tenant, kind="plain"):
    seen(tenant, kind)
    return tenant

@app.task
def link(previous, tenant, kind):
    seen(tenant, kind)
    return tenant

@app.task(bind=True, max_retries=2)
def retried(self, tenant):
    seen(tenant, f"retry{self.request.retries}")
    if self.request.retries < 2:
        raise self.retry(countdown=0.1)

@app.task(autoretry_for=(ZeroDivisionError,), max_retries=1, default_retry_delay=0)
def failing(tenant):
    seen(tenant, "failing")
    1 / 0

@app.task
def nesting(tenant):
    seen(tenant, "nesting")
    plain.delay(tenant, "nested")
    with use_workspace("ws_other"):
        plain.delay("ws_other", "othernested")
    with use_workspace(None):
        plain.delay("None", "nonenested")

@app.task
def forgetful(tenant):
    from dashscope_ws_patch import set_workspace
    seen(tenant, "forgetful")
    set_workspace("ws_forgotten")

@app.task
def forgetting(tenant):
    from dashscope_ws_patch import set_workspace
    set_workspace("ws_forgotten")

@app.task(bind=True, max_retries=1)
def retried_elsewhere(self, tenant):
    seen(tenant, "elsewhere")
    if self.request.retries < 1:
        with use_workspace("ws_other"):
            raise self.retry(countdown=0)

@app.task(bind=True)
def handing_on(self, tenant):
    with use_workspace("ws_other"):
        plain.apply_async(("ws_other", "handedon"), headers=self.request.headers)

@app.task
def errback_called(request, error, traceback, tenant, kind):
    seen(tenant, kind + "called")

@app.task
def errback_queued(request_id, *, tenant, kind):
    seen(tenant, kind + "queued")

@app.task
def errback_forgetting(request, error, traceback):
    from dashscope_ws_patch import set_workspace
    set_workspace("ws_forgotten")

class Handled(Task):
    def handle(self, when, args):
        from dashscope_ws_patch import set_workspace
        seen(args[0], "handled" + when)
        plain.delay(args[0], "handled" + when)
        set_workspace("ws_forgotten")

    def before_start(self, task_id, args, kwargs):
        self.handle("before", args)

    def on_success(self, result, task_id, args, kwargs):
        self.handle("success", args)

    def on_failure(self, error, task_id, args, kwargs, info):
        self.handle("failure", args)

    def after_return(self, status, result, task_id, args, kwargs, info):
        self.handle("after", args)

@app.task(base=Handled)
def handled(tenant, fails):
    if fails:
        raise ZeroDivisionError

@app.task
def dying(how):
    if how == "limit":
        time.sleep(600)
    if how == "killed":
        os.kill(os.getpid(), 9)
    raise ZeroDivisionError

def publish_errors(tenant, processes):
    for kind in ["error"] + ["limit", "killed"] * processes:
        options = {"time_limit": 1} if kind == "limit" else {}
        dying.apply_async((kind,), link_error=[
            errback_forgetting.s(), errback_called.s(tenant, kind),
            errback_queued.s(tenant=tenant, kind=kind)], **options)

#: One dict of the program's for all messages.
HEADERS = {"other": "1"}

def publish(tenant):
    plain.apply_async((tenant, "shared"), headers=HEADERS)
    assert HEADERS == {"other": "1"}, HEADERS
    chain(forgetting.si(tenant), plain.si(tenant, "afterforgetting")).delay()
    forgetting.apply_async((tenant,), link=plain.si(tenant, "linkforgetting"))
    retried_elsewhere.delay(tenant)
    handing_on.delay(tenant)
    plain.delay(tenant)
    plain.apply_async((tenant, "headers"), headers={"other": "1"})
    plain.apply_async((tenant, "countdown"), countdown=0.5)
    plain.apply_async((tenant, "linked"), link=link.s(tenant, "callback"))
    chain(plain.s(tenant, "chain1"), link.s(tenant, "chain2"), link.s(tenant, "chain3")).delay()
    group(plain.s(tenant, f"group{n}") for n in range(3)).delay()
    chord([plain.s(tenant, f"chord{n}") for n in range(2)])(link.s(tenant, "chorddone"))
    retried.delay(tenant)
    failing.delay(tenant)
    nesting.delay(tenant)
    forgetful.delay(tenant)
    handled.delay(tenant, False)
    handled.delay(tenant, True)
"""

#: What each tenant's tasks are expected to say, and how often.
KINDS = ["plain", "headers", "countdown", "linked", "callback", "chain1", "chain2", "chain3"]
KINDS += ["group0", "group1", "group2", "retry0", "retry1", "retry2", "failing", "failing"]
KINDS += ["nesting", "nested", "forgetful", "chord0", "chord1", "chorddone"]
KINDS += ["shared", "afterforgetting", "linkforgetting", "elsewhere", "elsewhere"]
KINDS += ["handledbefore", "handledafter"] * 4 + ["handledsuccess", "handledfailure"] * 2
OTHERS = [("ws_other", "othernested", "ws_other"), ("None", "nonenested", "None")]
OTHERS += [("ws_other", "handedon", "ws_other")]


QUIET = ["--without-gossip", "--without-mingle", "--without-heartbeat", "-l", "CRITICAL"]


def _wait_for(file: Path, expected: list[tuple[str, ...]], worker: subprocess.Popen[Any]) -> Any:
    """What is seen beside ``expected`` when all of that is. (Celery calls the error callbacks of a
    task that meets its hard time limit twice.)"""
    while worker.poll() is None:
        lines = file.read_text().splitlines() if file.exists() else []
        found = [tuple(line.split()) for line in lines]
        if not Counter(expected) - Counter(found):
            return [each for each in Counter(found) - Counter(expected) if "limit" not in each[1]]
        time.sleep(0.05)
    raise AssertionError(f"the worker ended with status {worker.returncode}")


@pytest.fixture
def celery_folder(tmp_path: Path) -> Path:
    for name in ("queue", "control", "results"):
        (tmp_path / name).mkdir()
    (tmp_path / "tasks.py").write_text(CELERY)
    return tmp_path


@pytest.mark.parametrize("pool", ["prefork", "threads", "solo", "gevent"])
def test_p16_celery(pool: str, celery_folder: Path) -> None:
    pytest.importorskip("celery")
    if pool == "gevent":
        pytest.importorskip("gevent")
    environment = _environment(celery_folder)
    publish = "import tasks\nfrom dashscope_ws_patch import use_workspace\n"
    publish += f"for tenant in {TENANTS}:\n    with use_workspace(tenant):\n"
    processes = int(pool == "prefork")
    publish += f"        tasks.publish(tenant)\n        tasks.publish_errors(tenant, {processes})\n"
    publish += "tasks.plain.apply_async(('ws_env', 'shared'), headers=tasks.HEADERS)\n"
    publish += "task = tasks.plain.apply_async(('bad',), headers={'dashscope_workspace': 'not a'},"
    publish += "    link_error=tasks.errback_called.s('None', 'malformed'))\n"
    publish += "try:\n    task.get()\nexcept ValueError as error:\n"
    publish += "    assert 'not a' in str(error)\n"
    publish += "else:\n    raise AssertionError\n"
    worker = subprocess.Popen(
        [sys.executable, "-m", "celery", "-A", "tasks", "worker", "-P", pool, "-c", "2", *QUIET],
        env=environment,
        cwd=celery_folder,
    )
    try:
        subprocess.run([sys.executable, "-c", publish], env=environment, check=True)
        expected = [(tenant, kind, tenant) for tenant in TENANTS for kind in KINDS]
        deaths = ["error", *["limit", "killed"] * processes]
        errors = [death + how for death in deaths for how in ("called", "queued")]
        expected += [(tenant, error, tenant) for tenant in TENANTS for error in errors]
        expected += OTHERS * len(TENANTS) + [("ws_env", "shared", "ws_env")]
        expected += [("None", "malformedcalled", "None")]
        assert _wait_for(celery_folder / "seen", expected, worker) == []
    finally:
        worker.terminate()
        worker.wait()


def test_p16_callbacks_of_results_of_celery(celery_folder: Path) -> None:
    """They run when anybody asks for results, in the scopes in which they were handed over."""
    pytest.importorskip("celery")
    socket, server = _redis_server(celery_folder)
    environment = _environment(celery_folder)
    environment["RESULT_BACKEND"] = f"redis+socket://{socket}"
    program = """
        import tasks
        from dashscope_ws_patch import get_workspace, set_workspace, use_workspace

        def callback(tenant, label):
            def callback(result):
                tasks.seen(tenant, label)
                tasks.plain.delay(tenant, label + "published")
                set_workspace("ws_forgotten")
            return callback

        def follow(tenant):
            one, two = tasks.plain.delay(tenant), tasks.plain.delay(tenant)
            group = tasks.group(tasks.plain.si(tenant) for _ in range(2)).delay()
            one.then(callback(tenant, "first"))
            two.then(callback(tenant, "second"))
            two.then(callback(tenant, "another"))
            group.then(callback(tenant, "group"))
            # This one has its result.
            tasks.plain.apply((tenant,)).then(callback(tenant, "eager"))
            return [one, two, group]

        results = follow("ws_env")
        for tenant in TENANTS:
            with use_workspace(tenant):
                results += follow(tenant)
        with use_workspace("ws_other"):
            for result in results:
                result.get()
            assert get_workspace() == "ws_other"
    """
    program = f"TENANTS = {TENANTS}\n" + textwrap.dedent(program)
    worker = subprocess.Popen(
        [sys.executable, "-m", "celery", "-A", "tasks", "worker", "-P", "solo", *QUIET],
        env=environment,
        cwd=celery_folder,
    )
    try:
        subprocess.run([sys.executable, "-c", program], env=environment, check=True)
        called = ["first", "second", "another", "group", "eager"]
        labels = ["plain"] * 5 + called + [each + "published" for each in called]
        expected = [(each, label, each) for each in (*TENANTS, "ws_env") for label in labels]
        assert _wait_for(celery_folder / "seen", expected, worker) == []
    finally:
        worker.terminate()
        worker.wait()
        server.terminate()
        server.wait()


# Dask

DASK = """
from dashscope_ws_patch import get_workspace

def ambient(*_):
    return get_workspace()

def shown(*_):
    return str(get_workspace())

def pair(*values):
    return [get_workspace(), *values]

def shown_rows(rows):
    return rows.assign(seen=shown())

def shown_block(block):
    import numpy
    return numpy.full(block.shape, shown())

async def ambient_later(*_):
    return get_workspace()

def forget():
    from dashscope_ws_patch import set_workspace
    set_workspace("ws_forgotten")

def nested(*_):
    from distributed import worker_client
    with worker_client() as client:
        return client.submit(ambient, "nested", pure=False).result()
"""


@pytest.fixture
def dask_client(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Any]:
    distributed = pytest.importorskip("distributed")
    from dashscope_ws_patch.tenants import dask as tenants

    (tmp_path / "dask_tasks.py").write_text(DASK)
    sys.path.insert(0, str(tmp_path))
    os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), str(tmp_path)])
    try:
        # A worker that is made in a scope must not go on in it.
        with use_workspace("ws_maker"):
            cluster = distributed.LocalCluster(
                n_workers=1,
                threads_per_worker=2,
                processes=request.param,
                protocol="tcp://",
                host="127.0.0.1",
                dashboard_address=None,
            )
        with cluster, distributed.Client(cluster) as client:
            tenants.follow(client)
            yield client
    finally:
        sys.path.remove(str(tmp_path))
        sys.modules.pop("dask_tasks", None)
        del os.environ["PYTHONPATH"]


@pytest.mark.parametrize("dask_client", [True, False], ids=["processes", "threads"], indirect=True)
def test_p16_dask(dask_client: Any) -> None:
    import dask
    import dask_tasks

    found = {}
    for tenant in TENANTS:
        with use_workspace(tenant):
            futures = {
                "submit": dask_client.submit(dask_tasks.ambient),
                "again": dask_client.submit(dask_tasks.ambient),
                "async": dask_client.submit(dask_tasks.ambient_later, 1),
                "map": dask_client.map(dask_tasks.ambient, [1])[0],
                "nested": dask_client.submit(dask_tasks.nested),
                "lambda": dask_client.submit(lambda: dask_tasks.ambient(), pure=False),
                "delayed": dask_client.compute(dask.delayed(dask_tasks.ambient)(2)),
                "persisted": dask_client.compute(
                    dask_client.persist(dask.delayed(dask_tasks.ambient)(3))
                ),
            }
        # Begun, and gathered, when the scope is left.
        found[tenant] = futures
    with use_workspace(None):
        found["none"] = {"submit": dask_client.submit(dask_tasks.ambient)}
    found["outside"] = {"submit": dask_client.submit(dask_tasks.ambient, 5)}
    for tenant, futures in found.items():
        expected = tenant if tenant in TENANTS else None
        seen = {kind: future.result() for kind, future in futures.items()}
        assert seen == dict.fromkeys(futures, expected), tenant


@pytest.mark.parametrize("dask_client", [True, False], ids=["processes", "threads"], indirect=True)
def test_p16_what_is_no_task_of_dask_is_carried(dask_client: Any) -> None:
    """As docs/tenants.md says to write, whatever scope an earlier run has set and left."""
    import dask_tasks

    dask_client.run(dask_tasks.forget)
    for tenant in TENANTS:
        with use_workspace(tenant):
            for work in (dask_tasks.ambient, dask_tasks.ambient_later):
                carried = carry_workspace(work)
                assert list(dask_client.run(carried).values()) == [tenant]
                assert dask_client.run_on_scheduler(carried) == tenant


@pytest.mark.parametrize("dask_client", [False], ids=["threads"], indirect=True)
def test_p16_equal_work_of_two_tenants_is_two_tasks_of_dask(dask_client: Any) -> None:
    """Of objects made once, while the futures of all live, in any order and outside scopes too."""
    import dask
    import dask_tasks

    delayed = dask.delayed(dask_tasks.ambient)(1)
    after = dask.delayed(dask_tasks.pair)(delayed, dask.delayed(dask_tasks.ambient, pure=True)(2))
    listed = dask.delayed(list)([delayed, {"nested": "value"}, [delayed]])
    graph = {"x": (dask_tasks.ambient, 1), ("y", 0): (dask_tasks.pair, "x", ["x", 1]), "z": "x"}
    data = dask_client.scatter(7)
    with dask.annotate(retries=3):
        annotated = dask.delayed(dask_tasks.ambient)(4)

    def work() -> dict[str, Any]:
        return {
            "delayed": dask_client.compute(delayed),
            "after": dask_client.compute(after),
            "listed": dask_client.compute(listed),
            "annotated": dask_client.compute(annotated),
            "graph": dask_client.get(graph, [("y", 0), "z"], sync=False),
            "key": dask_client.submit(dask_tasks.ambient, key="k"),
            "keys": dask_client.map(dask_tasks.ambient, [1, 2], key=["k1", "k2"]),
            "tasks": dask_client.map(dask_tasks.ambient, [1, 2]),
            "pure": dask_client.submit(dask_tasks.ambient, 3, pure=True),
            "of a future": dask_client.submit(dask_tasks.pair, data, 1),
            "persisted": dask_client.compute(dask_client.persist(after)),
            "computed": dask.compute(after, delayed),
            "bag": _bag(dask_tasks),
        }

    def of(workspace: str | None) -> dict[str, Any]:
        pair = [workspace, workspace, workspace]
        return {
            "delayed": workspace,
            "after": pair,
            "listed": [workspace, {"nested": "value"}, [workspace]],
            "annotated": workspace,
            "graph": [[workspace, workspace, [workspace, 1]], workspace],
            "key": workspace,
            "keys": [workspace] * 2,
            "tasks": [workspace] * 2,
            "pure": workspace,
            "of a future": [workspace, 7, 1],
            "persisted": pair,
            "computed": (pair, workspace),
            "bag": [workspace] * 2,
        }

    held, found = [], []
    for tenant in (None, "ws_a", "ws_b", None, "", "ws_a"):
        if tenant is None:
            futures = work()
        else:
            with use_workspace(tenant or None):
                futures = work()
        held.append(futures)
        found.append(dask_client.gather(futures))
    here = [None, "ws_a", "ws_b", None, None, "ws_a"]
    for workspace, seen in zip(here, found):
        assert seen == of(workspace)
    assert held[1]["delayed"].key == held[-1]["delayed"].key  # a tenant's own is one task


def _bag(tasks: Any) -> Any:
    bag = pytest.importorskip("dask.bag")
    return bag.from_sequence([1, 2], npartitions=2).map(tasks.ambient).compute()


@pytest.mark.parametrize("dask_client", [True, False], ids=["processes", "threads"], indirect=True)
def test_p16_shuffles_of_dask(dask_client: Any) -> None:
    """Shuffles between workers (P2P), whose tasks find each other by an id: a tenant's own."""
    pytest.importorskip("pyarrow")
    pandas = pytest.importorskip("pandas")
    import dask.array as arrays
    import dask.dataframe as frames
    import dask_tasks
    import numpy

    rows = pandas.DataFrame({"k": list(range(20)) * 5, "v": range(100)})
    frame = frames.from_pandas(rows, npartitions=4)
    seen_rows = frame.map_partitions(
        dask_tasks.shown_rows, meta={"k": "int64", "v": "int64", "seen": "object"}
    )
    array = arrays.ones((20, 20), chunks=(5, 20))
    seen_blocks = array.map_blocks(dask_tasks.shown_block, dtype="U8")

    def work() -> dict[str, Any]:
        applied = frame.groupby("k").v.apply(dask_tasks.shown, meta=("v", "object"))
        return {
            "shuffle": seen_rows.shuffle("k").seen,
            "merge": frame.merge(seen_rows, on="k", npartitions=4).seen,
            "index": seen_rows.set_index("k").seen,
            "apply": applied,
            "array": seen_blocks.rechunk((20, 5), method="p2p"),
            "blocks": array.rechunk((20, 5), method="p2p").map_blocks(
                dask_tasks.shown_block, dtype="U8"
            ),
        }

    lengths = {"shuffle": 100, "merge": 500, "index": 100, "apply": 20, "array": 20, "blocks": 20}
    held = []  # the results of all tenants are there at once
    for tenant in (None, "ws_a", "ws_b", None, "ws_a"):
        with use_workspace(tenant) if tenant else contextlib.nullcontext():
            held.append({name: each.persist() for name, each in work().items()})
            persisted = {name: each.compute() for name, each in held[-1].items()}
            computed = {name: each.compute() for name, each in work().items()}
        for found in (persisted, computed):
            assert {name: len(each) for name, each in found.items()} == lengths
            seen = {name: set(numpy.ravel(each).tolist()) for name, each in found.items()}
            assert seen == {name: {str(tenant)} for name in lengths}


# Dramatiq


def _redis_server(folder: Path) -> tuple[Path, subprocess.Popen[Any]]:
    """A redis-server of our own, on a socket in the test's folder."""
    pytest.importorskip("redis")
    server = shutil.which("redis-server")
    if server is None:
        pytest.skip("redis-server is not installed")
    socket = folder / "redis.sock"
    process = subprocess.Popen(
        [server, "--port", "0", "--unixsocket", str(socket), "--save", ""],
        cwd=folder,
        stdout=subprocess.DEVNULL,
    )
    while not socket.exists():
        assert process.poll() is None
        time.sleep(0.01)
    return socket, process


def _redis(folder: Path) -> tuple[Any, subprocess.Popen[Any]]:
    socket, process = _redis_server(folder)
    from dramatiq.brokers.redis import RedisBroker
    from redis import ConnectionPool

    pool = ConnectionPool.from_url(f"unix://{socket}")
    return RedisBroker(connection_pool=pool), process


@pytest.mark.parametrize("kind", ["memory", "redis"])
def test_p16_dramatiq(kind: str, tmp_path: Path) -> None:
    dramatiq = pytest.importorskip("dramatiq")
    from dramatiq.brokers.stub import StubBroker
    from dramatiq.middleware.asyncio import AsyncIO

    from dashscope_ws_patch.tenants import dramatiq as tenants

    broker, server = (StubBroker(), None) if kind == "memory" else _redis(tmp_path)
    # Among others of the user's, added before it and after.
    broker.add_middleware(AsyncIO())
    tenants.follow(broker)
    tenants.follow(broker)
    seen: list[tuple[str, str, str | None]] = []
    done: queue.SimpleQueue[None] = queue.SimpleQueue()

    def see(tenant: str, label: str) -> None:
        seen.append((tenant, label, get_workspace()))
        done.put(None)

    @dramatiq.actor(broker=broker)
    def plain(tenant: str, label: str = "plain") -> None:
        see(tenant, label)

    @dramatiq.actor(broker=broker)
    def following(message: Any, result: object) -> None:
        see(message["args"][0], "callback")

    @dramatiq.actor(broker=broker)
    async def later(tenant: str) -> None:
        await asyncio.sleep(0)
        see(tenant, "async")

    @dramatiq.actor(broker=broker, max_retries=1, min_backoff=1, max_backoff=1)
    def failing(tenant: str) -> None:
        see(tenant, "failing")
        raise ZeroDivisionError

    @dramatiq.actor(broker=broker)
    def nesting(tenant: str) -> None:
        plain.send(tenant, "nested")
        with use_workspace(None):
            plain.send("", "nestednone")

    @dramatiq.actor(broker=broker, max_retries=1, min_backoff=1, max_backoff=1)
    def forgetful(tenant: str, fails: bool = False) -> None:
        if fails:
            see(tenant, "forgetting")
        set_workspace("ws_forgotten")
        if fails:
            raise ZeroDivisionError

    @dramatiq.actor(broker=broker, max_retries=1, min_backoff=1, max_backoff=1)
    def malformed() -> None:
        see("", "malformed")

    @dramatiq.actor(broker=broker)
    def failed(message: Any, error: Any) -> None:
        see("", error["type"])

    # Of the program's, and used by all tenants, and outside.
    shared = plain.message("", "shared")
    pipes = [plain.message_with_options(args=("", f"p{n}"), pipe_ignore=True) for n in range(2)]
    pipeline = dramatiq.pipeline(pipes, broker=broker)
    group = dramatiq.group([plain.message("", "g0"), plain.message("", "g1")], broker=broker)
    options = [dict(each.options) for each in [shared, *pipeline.messages, *group.children]]

    def all_again() -> None:
        broker.enqueue(shared)
        pipeline.run()
        group.run()

    # A worker that is made in a scope must not go on in it.
    with use_workspace("ws_maker"):
        worker = dramatiq.Worker(broker, worker_timeout=10, worker_threads=2)
        worker.start()
    try:
        for tenant in TENANTS:
            with use_workspace(tenant):
                forgetful.send(tenant)
                plain.send(tenant)
                later.send(tenant)
                failing.send(tenant)
                nesting.send(tenant)
                plain.send_with_options(args=(tenant, "delayed"), delay=10)
                first = plain.message_with_options(args=(tenant, "pipe1"))
                second = plain.message_with_options(args=(tenant, "pipe2"), pipe_ignore=True)
                dramatiq.pipeline([first, second], broker=broker).run()
                plain.send_with_options(args=(tenant, "called"), on_success=following)
                all_again()
                broker.enqueue(broker.enqueue(plain.message(tenant, "twice")))
                forgetful.send(tenant, fails=True)
                forgotten = forgetful.message(tenant)
                after = plain.message_with_options(args=(tenant, "after"), pipe_ignore=True)
                dramatiq.pipeline([forgotten, after], broker=broker).run()
        all_again()
        malformed.send_with_options(dashscope_workspace="not a workspace", on_failure=failed)
        plain.send("", "outside")
        again = ["shared", "p0", "p1", "g0", "g1"]
        labels = ["plain", "async", "failing", "failing", "nested", "delayed", "pipe1", "pipe2"]
        labels += ["called", "callback", "twice", "twice", "forgetting", "forgetting", "after"]
        expected = [(tenant, label, tenant) for tenant in TENANTS for label in labels]
        expected += [("", "nestednone", None)] * len(TENANTS) + [("", "outside", None)]
        expected += [("", label, tenant) for tenant in [*TENANTS, None] for label in again]
        expected += [("", "WorkspaceError", None)] * 2
        for _ in expected:
            done.get()
        assert options == [
            dict(each.options) for each in [shared, *pipeline.messages, *group.children]
        ]
        assert sorted(seen, key=str) == sorted(expected, key=str)
    finally:
        worker.stop()
        if server is not None:
            server.terminate()
            server.wait()


# Those that have no module of ours, as README says what to write. Each program prints what the work
# of two tenants saw, carried and not.

RECIPES = {
    "joblib": """
        import joblib
        for backend in ("loky", "threading", "multiprocessing"):
            for tenant in TENANTS:
                with use_workspace(tenant):
                    for work in (carry_workspace(seen), seen):
                        show(joblib.Parallel(2, backend)(joblib.delayed(work)() for _ in range(1)))
    """,
    "rq": """
        import redis, rq
        connection = redis.Redis(unix_socket_path=SOCKET)
        queue = rq.Queue(connection=connection)
        jobs = []
        for tenant in TENANTS:
            with use_workspace(tenant):
                jobs += [queue.enqueue(carry_workspace(seen)), queue.enqueue(seen)]
        rq.Worker([queue], connection=connection).work(burst=True, logging_level="ERROR")
        for job in jobs:
            show([job.return_value()])
    """,
    "arq": """
        import asyncio, arq
        async def task(context, carried, workspace):
            with use_workspace(workspace):
                return [carried(), seen()]
        async def main():
            settings = arq.connections.RedisSettings(unix_socket_path=SOCKET)
            pool = await arq.create_pool(settings)
            jobs = []
            for tenant in TENANTS:
                with use_workspace(tenant):
                    work = carry_workspace(seen)
                jobs.append(await pool.enqueue_job("task", work, tenant))
            worker = arq.Worker([task], redis_pool=pool, burst=True, handle_signals=False)
            await worker.async_run()
            for job in jobs:
                show(await job.result())
            await worker.close()
        asyncio.run(main())
    """,
    "ray": """
        import ray
        hook = {"worker_process_setup_hook": "dashscope_ws_patch.patch"}
        ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False, runtime_env=hook,
                 _node_ip_address="127.0.0.1")
        @ray.remote
        def call(work):
            return work()
        @ray.remote
        def own(workspace):
            with use_workspace(workspace):
                return seen()
        for tenant in TENANTS:
            with use_workspace(tenant):
                work = [call.remote(carry_workspace(seen)), own.remote(tenant), call.remote(seen)]
            show(ray.get(work))
    """,
    "pyspark": """
        import pyspark
        conf = pyspark.SparkConf().setMaster("local[1]").set("spark.driver.host", "127.0.0.1")
        conf.set("spark.driver.bindAddress", "127.0.0.1").set("spark.ui.enabled", "false")
        context = pyspark.SparkContext(conf=conf)
        for tenant in TENANTS:
            with use_workspace(tenant):
                carried, bare = carry_workspace(seen), context.parallelize([1]).map(seen)
            show(context.parallelize([1]).map(carried).collect() + bare.collect())
    """,
}
A, B, ENVIRONMENT = ["ws_a"], ["ws_b"], ["ws_env"]
SHOWN = {
    # Its threads and processes are those of multiprocessing.pool, which follow by themselves.
    "joblib": [A, ENVIRONMENT, B, ENVIRONMENT, *[A, A, B, B] * 2],
    "rq": [A, ENVIRONMENT, B, ENVIRONMENT],
    "arq": [A * 2, B * 2],
    "ray": [A * 2 + ENVIRONMENT, B * 2 + ENVIRONMENT],
    "pyspark": [A + ENVIRONMENT, B + ENVIRONMENT],
}


@pytest.mark.parametrize("engine", RECIPES)
def test_p16_recipes(engine: str, tmp_path: Path) -> None:
    pytest.importorskip(engine)
    if engine == "pyspark" and shutil.which("java") is None:
        pytest.skip("Java is not installed")
    (tmp_path / "work.py").write_text(
        "from dashscope_ws_patch import get_workspace\ndef seen(*_):\n    return get_workspace()\n"
    )
    socket, server = _redis_server(tmp_path) if engine in ("rq", "arq") else (None, None)
    program = f"""
import json
from dashscope_ws_patch import carry_workspace, use_workspace
from work import seen
TENANTS, SOCKET, shown = ["ws_a", "ws_b"], {str(socket)!r}, []
show = shown.append
if __name__ == "__main__":
    {textwrap.dedent(RECIPES[engine]).replace(chr(10), chr(10) + "    ")}
    print(json.dumps(shown))
"""
    (tmp_path / "program.py").write_text(program)
    try:
        done = subprocess.run(
            [sys.executable, str(tmp_path / "program.py")],
            env=_environment(tmp_path),
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        assert json.loads(done.stdout.splitlines()[-1]) == SHOWN[engine]
    finally:
        if server is not None:
            server.terminate()
            server.wait()
