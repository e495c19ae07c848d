"""P10: unpatch() puts the very original objects back, patch() patches again."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType
from typing import Any

from sdk_calls import GENERATION, seen

from dashscope_ws_patch import is_patched, patch, unpatch, use_workspace
from dashscope_ws_patch.selftest.loopback import Loopback
from dashscope_ws_patch.selftest.surfaces import find, surfaces


def _everything() -> dict[tuple[str, ...], Any]:
    """What every module and class of the SDK holds, by its very object."""
    held: dict[tuple[str, ...], Any] = {}
    for name, module in sorted(sys.modules.items()):
        if name.split(".")[0] != "dashscope" or not isinstance(module, ModuleType):
            continue
        for key, value in list(vars(module).items()):
            if key == "__builtins__":
                continue
            held[name, key] = value
            if isinstance(value, type) and value.__module__ == name:
                held.update({(name, key, own): of for own, of in vars(value).items()})
    return held


def _differences(one: dict[Any, Any], other: dict[Any, Any]) -> set[Any]:
    return {key for key in one.keys() | other.keys() if one.get(key) is not other.get(key)}


def test_p10_everything_is_put_back_and_taken_again() -> None:
    surfaces()
    submit = None
    with use_workspace("ws_a"):
        patched = _everything()
        assert ThreadPoolExecutor.submit.__module__ == "concurrent.futures.thread"
        submit = ThreadPoolExecutor.submit
    unpatch()
    assert not is_patched()
    native = _everything()
    assert ThreadPoolExecutor.submit is not submit
    assert "dashscope_ws_patch" not in ThreadPoolExecutor.submit.__code__.co_filename
    taken = _differences(patched, native)
    assert taken
    for value in native.values():
        code = getattr(getattr(value, "__func__", value), "__code__", None)
        assert "dashscope_ws_patch" not in getattr(code, "co_filename", "")
        assert type(value).__module__.partition(".")[0] not in ("dashscope_ws_patch", "wrapt")
    patch()
    again = _everything()
    assert _differences(again, native) == taken
    unpatch()
    assert _differences(_everything(), native) == set()


def test_p10_libraries_are_the_real_ones() -> None:
    import dashscope.client.base_api as base_api
    import requests

    assert base_api.requests is not requests
    unpatch()
    assert base_api.requests is requests


def test_p10_unpatched_requests_are_native(loopback: Loopback) -> None:
    with use_workspace("ws_a"):
        find(GENERATION).call("m", "hi")
        unpatch()
        unpatch()
        find(GENERATION).call("m", "hi")
        patch()
        patch()
        find(GENERATION).call("m", "hi")
    assert seen(loopback) == ["ws_a", "-", "ws_a"]


def test_p10_what_others_wrapped_meanwhile_stays(loopback: Loopback) -> None:
    import dashscope.client.base_api as base_api

    unpatch()
    original = vars(base_api.BaseAsyncApi)["fetch"]
    patch()
    theirs = classmethod(lambda cls, *args, **kwargs: "theirs")
    base_api.BaseAsyncApi.fetch = theirs
    try:
        unpatch()
        assert vars(base_api.BaseAsyncApi)["fetch"] is theirs
    finally:
        base_api.BaseAsyncApi.fetch = original
