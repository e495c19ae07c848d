"""P9 and P10 as histories: imports, patch, unpatch, drops, scopes and calls, in any order.

A model says what each request carries; the real SDK, the real service and the shim say what it did.
HISTORIES=500 runs that many; the default is small.
"""

from __future__ import annotations

import os
import sys
from typing import Any, Optional

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from record import environment
from sdk_calls import GENERATION, need

import dashscope_ws_patch
from dashscope_ws_patch import patch, reset_workspace, set_workspace, unpatch, use_workspace
from dashscope_ws_patch.selftest.loopback import Loopback
from dashscope_ws_patch.selftest.surfaces import API_KEY, find, has

NAMES = st.sampled_from(["ws_a", "ws_b", "ws_c"])
SERVICE = "dashscope.audio.asr.vocabulary:VocabularyService"


class Histories(RuleBasedStateMachine):
    """``scopes`` is the stack of what was entered, each None, or a workspace."""

    loopback: Loopback
    services = Bundle("services")

    def __init__(self) -> None:
        super().__init__()
        self.scopes: list[tuple[Any, Optional[str]]] = []
        self.patched = True
        self.variable: Optional[str] = None
        self.environ = environment()
        self.environ.__enter__()
        self.dropped: list[dict[str, Any]] = []
        self.born = False
        unpatch()
        patch()
        self.loopback.drain()

    def ambient(self, born: Any = ()) -> Optional[str]:
        if not self.patched:
            return None
        if self.scopes:
            return self.scopes[-1][1]
        return born[0] if born else self.variable

    def carried(self, send: Any, expected: Optional[str]) -> None:
        sys.modules["dashscope"].api_key = API_KEY  # type: ignore[attr-defined]
        self.loopback.drain()
        send()
        found = [request.workspaces for request in self.loopback.drain()]
        assert found and all(each == ([expected] if expected else []) for each in found), (
            found,
            expected,
        )

    @rule(name=NAMES | st.none())
    def enter(self, name: Optional[str]) -> None:
        entered = use_workspace(name)
        entered.__enter__()
        self.scopes.append((lambda: entered.__exit__(None, None, None), name))

    @rule(name=NAMES | st.none())
    def set(self, name: Optional[str]) -> None:
        token = set_workspace(name)
        self.scopes.append((lambda: reset_workspace(token), name))

    @precondition(lambda self: self.scopes)
    @rule()
    def leave(self) -> None:
        self.scopes.pop()[0]()

    @rule(name=NAMES | st.none())
    def setenv(self, name: Optional[str]) -> None:
        os.environ.pop("DASHSCOPE_WORKSPACE_ID", None)
        self.variable = name
        if name:
            os.environ["DASHSCOPE_WORKSPACE_ID"] = name

    @rule()
    def patch(self) -> None:
        patch()
        self.patched = True

    @rule()
    def unpatch(self) -> None:
        unpatch()
        self.patched = False

    @rule(all_=st.booleans())
    def drop(self, all_: bool) -> None:
        """All of the SDK, or what sends, is dropped; the next call imports it anew."""
        for name in [name for name in sys.modules if name.split(".")[0] == "dashscope"]:
            if all_ or name.startswith(("dashscope.client", "dashscope.aigc", "dashscope.audio")):
                del sys.modules[name]
        import dashscope  # noqa: F401

    @rule(name=NAMES | st.none(), stream=st.booleans())
    def call(self, name: Optional[str], stream: bool) -> None:
        named = {"workspace": name} if name and has(f"{GENERATION}.call(workspace)") else {}
        generation = find(GENERATION)
        self.carried(
            lambda: (
                list(generation.call("m", "hi", stream=True, **named))
                if stream
                else generation.call("m", "hi", **named)
            ),
            named.get("workspace") or self.ambient(),
        )

    @rule()
    def poll(self) -> None:
        fetch = find("dashscope.client.base_api:BaseAsyncApi").fetch
        self.carried(lambda: fetch("task-1"), self.ambient())

    @precondition(lambda self: has(SERVICE))
    @rule(target=services, name=NAMES | st.none())
    def make(self, name: Optional[str]) -> Any:
        named = {"workspace": name} if name and has(f"{SERVICE}.__init__(workspace)") else {}
        service = find(SERVICE)(**named)
        # While the shim is away nobody keeps the scope in which an object is made (rule 4).
        born = [self.scopes[-1][1]] if self.scopes and self.patched else []
        return service, named.get("workspace"), born

    @rule(made=services)
    def use(self, made: Any) -> None:
        service, named, born = made
        expected = named or self.ambient(born)
        self.carried(service.list_vocabularies, expected)

    @invariant()
    def says_so(self) -> None:
        assert dashscope_ws_patch.is_patched() is self.patched

    def teardown(self) -> None:
        while self.scopes:
            self.scopes.pop()[0]()
        self.environ.__exit__(None, None, None)
        patch()


def test_p9_p10_histories(loopback: Loopback) -> None:
    need(GENERATION)
    unpatch()
    kept = {name: each for name, each in sys.modules.items() if name.split(".")[0] == "dashscope"}
    # What is imported anew is set in packages that stay, and takes names from them by value.
    held = {name: dict(vars(each)) for name, each in kept.items()}
    patch()
    machine = type("Machine", (Histories,), {"loopback": loopback})
    try:
        run_state_machine_as_test(
            machine,
            settings=settings(
                max_examples=int(os.environ.get("HISTORIES", "4")),
                stateful_step_count=20,
                derandomize="HISTORIES" not in os.environ,
                suppress_health_check=list(HealthCheck),
            ),
        )
    finally:
        unpatch()
        for name in [name for name in sys.modules if name.split(".")[0] == "dashscope"]:
            del sys.modules[name]
        sys.modules.update(kept)
        for name, names in held.items():
            vars(kept[name]).clear()
            vars(kept[name]).update(names)
        patch()
