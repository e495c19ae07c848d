"""Resolution: scopes, environment, validation; properties over many values and shapes of calls."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import enum
import functools
import inspect
import re
import string
import threading
import warnings
from collections.abc import AsyncIterator, Iterator
from typing import Any, Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from record import environment
from sdk_calls import GENERATION, need, seen

from dashscope_ws_patch import (
    WorkspaceError,
    _workspace,
    get_workspace,
    reset_workspace,
    set_workspace,
    use_workspace,
)
from dashscope_ws_patch._decision import workspace_in_headers, workspace_in_host
from dashscope_ws_patch.selftest.loopback import Loopback
from dashscope_ws_patch.selftest.surfaces import find

RULE = re.compile(r"\A[A-Za-z0-9][A-Za-z0-9_-]{0,63}\Z")
ANY_EXAMPLE = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    max_examples=60,
)

workspaces = st.from_regex(RULE)
blanks = st.text(" \t\r\n", max_size=3)


def capitalised(name: str) -> st.SearchStrategy[str]:
    """``name`` with each letter in upper or lower case."""
    flips = st.lists(st.booleans(), min_size=len(name), max_size=len(name))
    return flips.map(
        lambda upper: "".join(c.upper() if u else c.lower() for c, u in zip(name, upper))
    )


# Values


@given(workspaces)
def test_well_formed_values_are_taken(value: str) -> None:
    with use_workspace(value) as entered:
        assert entered == get_workspace() == value


@given(st.text() | st.text(string.ascii_letters + string.digits + "_-", max_size=70))
def test_the_rule_is_that_of_the_sdk(value: str) -> None:
    if RULE.match(value):
        use_workspace(value)
    else:
        with pytest.raises(WorkspaceError):
            use_workspace(value)


@given(workspaces, blanks, blanks)
def test_the_environment_is_stripped(value: str, before: str, after: str) -> None:
    with environment(DASHSCOPE_WORKSPACE=before + value + after):
        assert get_workspace() == value


@given(blanks, workspaces | st.just(""))
def test_blank_is_unset(blank: str, other: str) -> None:
    with environment(DASHSCOPE_WORKSPACE=blank, DASHSCOPE_WORKSPACE_ID=other):
        assert get_workspace() == (other or None)


@given(workspaces, workspaces)
def test_the_first_variable_wins(first: str, second: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with environment(DASHSCOPE_WORKSPACE=first, DASHSCOPE_WORKSPACE_ID=second):
            assert get_workspace() == first


def test_two_that_differ_are_warned_about_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_workspace, "_warned", False)
    monkeypatch.setattr(_workspace, "last_read", (None, None, (None, None)))
    with pytest.warns(RuntimeWarning) as caught:
        for second in ("ws_b", "ws_c", "ws_b"):
            with environment(DASHSCOPE_WORKSPACE="ws_a", DASHSCOPE_WORKSPACE_ID=second):
                assert get_workspace() == "ws_a"
    (warning,) = caught
    assert "DASHSCOPE_WORKSPACE='ws_a'" in str(warning.message)
    assert "DASHSCOPE_WORKSPACE_ID='ws_b'" in str(warning.message)


def test_the_environment_is_read_anew_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    for value in ("ws_a", "ws_b", "", "ws_a"):
        monkeypatch.setenv("DASHSCOPE_WORKSPACE", value)
        assert get_workspace() == (value or None)
    monkeypatch.delenv("DASHSCOPE_WORKSPACE")
    assert get_workspace() is None


def test_an_environment_of_the_programs_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.environ", {"DASHSCOPE_WORKSPACE": "ws_a"})
    assert get_workspace() == "ws_a"


def test_subclasses_of_str_are_made_plain() -> None:
    class Workspace(str, enum.Enum):
        MINE = "ws_a"

    with use_workspace(Workspace.MINE):
        assert type(get_workspace()) is str and get_workspace() == "ws_a"


# Nesting


@given(st.lists(workspaces | st.none(), max_size=8), workspaces | st.just(""))
def test_the_innermost_scope_holds(nesting: list[str | None], outside: str) -> None:
    with environment(DASHSCOPE_WORKSPACE=outside):
        expected = [outside or None]
        with contextlib.ExitStack() as stack:
            for workspace in nesting:
                stack.enter_context(use_workspace(workspace))
                expected.append(workspace)
                assert get_workspace() == workspace
            while nesting and len(expected) > 1:
                token = set_workspace(expected[0])
                assert get_workspace() == expected[0]
                reset_workspace(token)
                assert get_workspace() == expected[-1]
                break
        assert get_workspace() == expected[0]


@given(st.lists(st.sampled_from("abc"), max_size=10))
def test_one_object_may_be_nested_in_itself(nesting: list[str]) -> None:
    objects = {name: use_workspace(f"ws_{name}") for name in "abc"}

    def enter(names: list[str]) -> None:
        before = get_workspace()
        if names:
            with objects[names[0]]:
                assert get_workspace() == f"ws_{names[0]}"
                enter(names[1:])
                assert get_workspace() == f"ws_{names[0]}"
        assert get_workspace() == before

    enter(nesting)


def test_a_scope_is_left_when_its_block_fails() -> None:
    with pytest.raises(ZeroDivisionError), use_workspace("ws_a"):
        raise ZeroDivisionError
    assert get_workspace() is None


def test_a_scope_forgotten_inside_goes_with_the_block() -> None:
    with use_workspace("ws_a"):
        set_workspace("ws_forgotten")
    assert get_workspace() is None


def test_tokens_are_those_of_contextvars() -> None:
    token = set_workspace("ws_a")
    assert isinstance(token, contextvars.Token)
    with pytest.raises(ValueError, match="different Context"):
        contextvars.copy_context().run(reset_workspace, token)
    reset_workspace(token)
    with pytest.raises(RuntimeError):
        reset_workspace(token)


def test_one_object_is_shared_between_threads_and_tasks() -> None:
    shared, barrier, found = use_workspace("ws_a"), threading.Barrier(8), []

    def enter() -> None:
        with shared:
            barrier.wait()
            found.append(get_workspace())
            barrier.wait()
        found.append(get_workspace())

    threads = [threading.Thread(target=enter) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(map(str, found)) == ["None"] * 8 + ["ws_a"] * 8

    async def task() -> str | None:
        with shared:
            await asyncio.sleep(0)
            return get_workspace()

    async def main() -> list[str | None]:
        return await asyncio.gather(*(task() for _ in range(8)))

    assert asyncio.run(main()) == ["ws_a"] * 8


# Decorator


def test_decorated_functions() -> None:
    @use_workspace("ws_a")
    def function(one: int, *, two: int) -> tuple[int, int, str | None]:
        """Says so."""
        return one, two, get_workspace()

    assert function(1, two=2) == (1, 2, "ws_a") and get_workspace() is None
    assert function.__name__ == "function" and function.__doc__ == "Says so."


def test_decorated_methods() -> None:
    class Things:
        @use_workspace("ws_a")
        def method(self) -> Any:
            return self, get_workspace()

        @classmethod
        @use_workspace("ws_b")
        def of_class(cls) -> Any:
            return cls, get_workspace()

        @staticmethod
        @use_workspace("ws_c")
        def static() -> Any:
            return get_workspace()

        @use_workspace("ws_d")
        @classmethod
        def outside_of_class(cls) -> Any:
            return cls, get_workspace()

        @use_workspace("ws_e")
        @staticmethod
        async def outside_static(one: int) -> Any:
            return one, get_workspace()

    things = Things()
    assert things.method() == (things, "ws_a")
    assert Things.of_class() == (Things, "ws_b") and Things.static() == "ws_c"
    assert things.outside_of_class() == (Things, "ws_d")
    assert inspect.iscoroutinefunction(things.outside_static)
    assert asyncio.run(things.outside_static(1)) == (1, "ws_e")


def test_decorated_recursion() -> None:
    @use_workspace("ws_a")
    def count(n: int) -> list[str | None]:
        return [get_workspace(), *(count(n - 1) if n else [])]

    assert count(3) == ["ws_a"] * 4 and get_workspace() is None


async def _ambient(*_: Any) -> str | None:
    await asyncio.sleep(0)
    return get_workspace()


class _Callable:
    async def __call__(self) -> str | None:
        return await _ambient()


@pytest.mark.parametrize(
    "function",
    [_ambient, functools.partial(_ambient, 1), lambda: _ambient(), _Callable()],
    ids=["function", "partial", "lambda", "object"],
)
def test_decorated_coroutine_functions(function: Callable[[], Any]) -> None:
    decorated = use_workspace("ws_a")(function)

    async def main() -> Any:
        with use_workspace("ws_b"):
            created = decorated()
        return await created, get_workspace()

    assert asyncio.run(main()) == ("ws_a", None)


def _generator() -> Iterator[str | None]:
    yield get_workspace()


async def _async_generator() -> AsyncIterator[str | None]:
    yield get_workspace()


@pytest.mark.parametrize(
    "function",
    [contextlib.contextmanager(_generator), contextlib.asynccontextmanager(_async_generator)],
    ids=["manager", "asyncmanager"],
)
def test_context_managers_are_refused(function: Callable[[], Any]) -> None:
    """Their body runs around the block of somebody else: never silently without effect."""
    with pytest.raises(TypeError, match=re.escape("with use_workspace('ws_a')")):
        use_workspace("ws_a")(function)


@pytest.mark.parametrize("thing", [int, "function", None, property(len), classmethod(int)])
def test_what_is_no_function_is_refused(thing: Any) -> None:
    if callable(thing) and not isinstance(thing, type):
        pytest.skip("callable here")
    with pytest.raises(TypeError):
        use_workspace("ws_a")(thing)


# What the calling code names


@given(capitalised("X-DashScope-WorkSpace"), workspaces, st.booleans())
def test_headers_compare_without_case(name: str, value: str, other: bool) -> None:
    headers = {"Other": "1", name: value} if other else {name: value}
    assert workspace_in_headers(headers) == value
    assert workspace_in_headers(list(headers.items())) == value
    assert workspace_in_headers([f"{n}: {v}" for n, v in headers.items()]) == value


def test_headers_of_bytes() -> None:
    """requests takes them; the value is also what the upload certificate is asked for with."""
    assert workspace_in_headers({b"X-DashScope-WorkSpace": b"ws_a"}) == "ws_a"


@pytest.mark.parametrize("headers", [None, {}, [], (), {"X-DashScope": "a"}])
def test_headers_that_name_none(headers: Any) -> None:
    assert workspace_in_headers(headers) is None


@given(
    st.from_regex(r"\A[a-z0-9][a-z0-9-]{0,20}\Z"),
    st.sampled_from(["cn-beijing", "ap-southeast-1", "us-east-1"]),
    st.sampled_from(["", ":443", ":8080"]),
    st.sampled_from(["/api/v1", "", "/api-ws/v1/inference?a=b"]),
    st.sampled_from(["https", "wss", "http"]),
)
def test_hosts_name_workspaces(ws: str, region: str, port: str, path: str, scheme: str) -> None:
    assert workspace_in_host(f"{scheme}://{ws}.{region}.maas.aliyuncs.com{port}{path}") == ws


@pytest.mark.parametrize(
    "url",
    [
        "https://dashscope.aliyuncs.com/api/v1",
        "https://cn-beijing.maas.aliyuncs.com",
        "https://a.b.cn-beijing.maas.aliyuncs.com",
        "https://example.com/ws.cn-beijing.maas.aliyuncs.com",
        "https://example.com?x=ws.cn-beijing.maas.aliyuncs.com",
        "https://ws.cn-beijing.maas.aliyuncs.com.example.com",
        "https://ws.cn-beijing.maas.aliyuncs.com@example.com",
        "https://{workspace_id}.cn-beijing.maas.aliyuncs.com",
        "",
        None,
        1,
    ],
)
def test_hosts_that_name_none(url: Any) -> None:
    assert workspace_in_host(url) is None


@ANY_EXAMPLE
@given(capitalised("X-DashScope-WorkSpace"), workspaces, workspaces)
def test_p1_headers_on_the_wire(loopback: Loopback, name: str, value: str, ambient: str) -> None:
    with use_workspace(ambient):
        find(GENERATION).call("m", "hi", headers={name: value})
    (request,) = loopback.drain()
    assert [pair for pair in request.headers if pair[0].lower() == name.lower()] == [(name, value)]


@ANY_EXAMPLE
@given(workspaces, st.integers(0, 7), workspaces)
def test_p1_positional_and_keyword_arguments(
    loopback: Loopback, value: str, positional: int, ambient: str
) -> None:
    import inspect

    need(f"{GENERATION}.call(workspace)")
    call = find(GENERATION).call
    arguments = {
        name: parameter.default
        for name, parameter in inspect.signature(call).parameters.items()
        if parameter.kind is parameter.POSITIONAL_OR_KEYWORD
    }
    arguments.update(model="m", prompt="hi", workspace=value)
    names = list(arguments)
    args = [arguments[name] for name in names[:positional]]
    with use_workspace(ambient):
        call(*args, **{name: arguments[name] for name in names[positional:]})
    assert seen(loopback) == [value]


@ANY_EXAMPLE
@given(workspaces)
def test_p2_any_workspace_on_the_wire(loopback: Loopback, value: str) -> None:
    with use_workspace(value):
        find(GENERATION).call("m", "hi")
    (request,) = loopback.drain()
    assert [pair for pair in request.headers if "workspace" in pair[0].lower()] == [
        ("X-DashScope-WorkSpace", value)
    ]
