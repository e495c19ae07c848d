"""P11 and P2 beside other patchers, on the SDK and below it, before ours and after.

The oracle is the same program, with the same neighbour, without the shim: with it each request has
the workspace besides, and is the same otherwise. NEIGHBOURS=all runs what a sample stands for.
"""

from __future__ import annotations

import contextlib
import functools
import os
import random
import warnings
from collections.abc import Iterator
from importlib import import_module
from typing import Any, Callable
from unittest import mock

import pytest
import wrapt
from record import AMBIENT, comparable, without_workspace
from sdk_calls import AIO_GENERATION, GENERATION, OBJECTS

from dashscope_ws_patch import patch, unpatch, use_workspace
from dashscope_ws_patch._activation import report
from dashscope_ws_patch.selftest.loopback import Loopback
from dashscope_ws_patch.selftest.surfaces import Drive, find, has

BASE = "dashscope.client.base_api"
IMAGES = "dashscope.aigc.image_synthesis:ImageSynthesis"
ENTITIES = "dashscope.api_entities."

# The ways in which the SDK sends


def _messages(drive: Drive) -> list[Any]:
    return [{"role": "user", "content": [{"image": drive.file_url}, {"text": "hi"}]}]


def _async_client(drive: Drive) -> None:
    async def call() -> None:
        async with find("dashscope:AsyncClient")() as client:
            await client.models.list()

    drive.run(call())


def _object(name: str) -> Callable[[Drive], object]:
    def drive_(drive: Drive) -> None:
        _, make, send = OBJECTS[name]
        send(make())

    return drive_


def _socket(drive: Drive) -> None:
    with find("dashscope:Client")() as client:
        client.ws_connection().close()


def _studio(drive: Drive) -> None:
    find("dashscope.agentstudio.client:Client")(api_key="sk", base_url=_URL).agents.list()


_URL = "https://dashscope.aliyuncs.com/api/v1/agentstudio"

#: name: (what the release must have, how it sends)
WAYS: dict[str, tuple[str, Callable[[Drive], Any]]] = {
    "call": (GENERATION, lambda drive: find(GENERATION).call("m", "hi")),
    "stream": (GENERATION, lambda drive: list(find(GENERATION).call("m", "hi", stream=True))),
    "websocket": (
        GENERATION,
        lambda drive: find(GENERATION).call("m", "hi", api_protocol="websocket"),
    ),
    "async call": (
        AIO_GENERATION,
        lambda drive: drive.run(find(AIO_GENERATION).call("m", "hi")),
    ),
    "public key": (
        f"{ENTITIES}encryption:Encryption",
        lambda drive: find(GENERATION).call("m", "hi", enable_encryption=True),
    ),
    "local file": (
        "dashscope.aigc.multimodal_conversation:MultiModalConversation",
        lambda drive: find("dashscope.aigc.multimodal_conversation:MultiModalConversation").call(
            "m", _messages(drive)
        ),
    ),
    "task": (f"{IMAGES}.call", lambda drive: find(IMAGES).call("m", "hi")),
    "polling": (
        f"{BASE}:BaseAsyncApi.fetch",
        lambda drive: find(f"{BASE}:BaseAsyncApi").fetch("t"),
    ),
    "list of tasks": (
        f"{BASE}:BaseAsyncAioApi.list",
        lambda drive: drive.run(find(f"{BASE}:BaseAsyncAioApi").list()),
    ),
    "management": ("dashscope:Models", lambda drive: find("dashscope:Models").list()),
    **{
        name: (OBJECTS[name][0], _object(name))
        for name in (
            "SpeechSynthesizer",
            "OmniRealtimeConversation",
            "Recognition",
            "TingWuRealtime",
        )
    },
    "client": ("dashscope:Client", lambda drive: find("dashscope:Client")().models.list()),
    "async client": ("dashscope:AsyncClient", _async_client),
    "client's socket": ("dashscope:Client.ws_connection", _socket),
    "agentstudio": ("dashscope.agentstudio.client:Client", _studio),
}

#: What others patch: "module:attribute" (by the SDK's own view, where the module is its own, of a
#: library), and the ways that pass there.
HTTP = ("call", "stream", "task", "polling", "public key", "local file", "management")
SOCKETS = ("SpeechSynthesizer", "OmniRealtimeConversation", "TingWuRealtime")
PLACES: dict[str, tuple[str, ...]] = {
    # below the SDK
    "requests:get": HTTP,
    "requests:post": HTTP,
    "requests:request": HTTP,
    "requests:Session": HTTP,
    "requests:Session.request": HTTP,
    "requests:Session.get": HTTP,
    "requests:Session.send": HTTP,
    "aiohttp:ClientSession": ("async call", "websocket", "list of tasks", "Recognition"),
    "aiohttp:ClientSession.get": ("async call", "list of tasks", "polling"),
    "aiohttp:ClientSession.post": ("async call",),
    "aiohttp:ClientSession.ws_connect": ("websocket", "Recognition"),
    "aiohttp:ClientSession._request": ("async call", "list of tasks"),
    "threading:Thread": ("SpeechSynthesizer", "OmniRealtimeConversation"),
    "websocket:WebSocketApp": (*SOCKETS, "client's socket"),
    "websocket:WebSocketApp.__init__": SOCKETS,
    "websocket:create_connection": ("client's socket",),
    "httpx:Client": ("client", "agentstudio"),
    "httpx:Client.request": ("client", "agentstudio"),
    "httpx:Client.send": ("client", "agentstudio"),
    "httpx:AsyncClient": ("async client",),
    "httpx:AsyncClient.send": ("async client",),
    # by the SDK's view of it
    f"{BASE}:requests.get": HTTP,
    f"{BASE}:requests.Session": HTTP,
    f"{BASE}:requests.Session.request": HTTP,
    f"{ENTITIES}http_request:requests.Session": HTTP,
    f"{ENTITIES}encryption:requests.get": HTTP,
    f"{ENTITIES}http_request:aiohttp.ClientSession": ("async call",),
    "dashscope.audio.tts_v2.speech_synthesizer:websocket.WebSocketApp": ("SpeechSynthesizer",),
    "dashscope.audio.qwen_omni.omni_realtime:websocket.WebSocketApp": ("OmniRealtimeConversation",),
    "dashscope.audio.qwen_omni.omni_realtime:threading.Thread": ("OmniRealtimeConversation",),
    # on the SDK
    f"{ENTITIES}api_request_factory:_build_api_request": ("call", "websocket", "task"),
    f"{BASE}:_build_api_request": ("call", "stream", "task"),
    f"{ENTITIES}http_request:HttpRequest": HTTP,
    f"{ENTITIES}http_request:HttpRequest.call": HTTP,
    f"{ENTITIES}http_request:HttpRequest.__init__": HTTP,
    f"{ENTITIES}http_request:HttpRequest.aio_call": ("async call",),
    f"{ENTITIES}websocket_request:WebSocketRequest.call": ("websocket", "Recognition"),
    f"{BASE}:BaseApi.call": ("call", "stream", "websocket"),
    f"{BASE}:BaseAsyncApi.fetch": ("polling", "task"),
    f"{BASE}:BaseAsyncApi._get": ("polling", "task"),
    f"{BASE}:BaseAsyncAioApi.list": ("list of tasks",),
    "dashscope.aigc.generation:Generation.call": ("call", "stream", "public key"),
    "dashscope.aigc.generation:AioGeneration.call": ("async call",),
    "dashscope.aigc.image_synthesis:ImageSynthesis.call": ("task",),
    "dashscope.utils.oss_utils:OssUtils.upload": ("local file",),
    "dashscope.common.env:resolve_base_url": ("call", "websocket", "polling"),
    "dashscope.audio.tts_v2.speech_synthesizer:SpeechSynthesizer.__init__": ("SpeechSynthesizer",),
    "dashscope.audio.asr.recognition:Recognition.start": ("Recognition",),
    "dashscope.v2.client:Client.__init__": ("client", "client's socket"),
    "dashscope.v2.transport.http:SyncTransport.request": ("client",),
    "dashscope.v2.transport.http:AsyncTransport.request": ("async client",),
    "dashscope.v2.transport.ws_connection:WsConnection.__init__": ("client's socket",),
    "dashscope.agentstudio.transport:SyncTransport.request": ("agentstudio",),
}  # fmt: skip


# Patchers: each is given owner, name and what it found there, and says what it puts there.


def _function(original: Any) -> Any:
    """The function of a method, and what makes a method of a function."""
    if isinstance(original, (classmethod, staticmethod)):
        return original.__func__, type(original)
    return original, lambda function: function


def plain(owner: Any, name: str, original: Any) -> Any:
    function, again = _function(original)

    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return again(wrapper)


def wraps(owner: Any, name: str, original: Any) -> Any:
    function, again = _function(original)
    return again(functools.wraps(function)(plain(owner, name, function)))


def by_wrapt(owner: Any, name: str, original: Any) -> Any:
    return wrapt.FunctionWrapper(
        original, lambda wrapped, _, args, kwargs: wrapped(*args, **kwargs)
    )


def by_mock(owner: Any, name: str, original: Any) -> Any:
    return mock.MagicMock(side_effect=original)


def subclass(owner: Any, name: str, original: Any) -> Any:
    warnings.simplefilter("ignore", DeprecationWarning)  # aiohttp's, of such classes

    class Sub(original):  # type: ignore[misc]
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)

    return Sub


def partial(owner: Any, name: str, original: Any) -> Any:
    return functools.partial(original)


PATCHERS = {each.__name__: each for each in (plain, wraps, by_wrapt, by_mock, subclass, partial)}


def _need(place: str) -> tuple[Any, str]:
    """The owner and the name of a place, where this release and this environment have it."""
    module, _, path = place.partition(":")
    try:
        owner: Any = import_module(module)
        *owners, name = path.split(".")
        for each in owners:
            owner = getattr(owner, each)
        getattr(owner, name)
    except (ImportError, AttributeError):
        pytest.skip(f"there is no {place}")
    return owner, name


@contextlib.contextmanager
def neighbour(place: str, patcher: str) -> Iterator[None]:
    """What ``monkeypatch.setattr`` does, and its undo."""
    owner, name = _need(place)
    found = vars(owner).get(name) if isinstance(owner, type) else getattr(owner, name)
    if found is None:
        pytest.skip("inherited")
    setattr(owner, name, PATCHERS[patcher](owner, name, found))
    try:
        yield
    finally:
        setattr(owner, name, found)


Sent = list[tuple[str, list[Any]]]


def _sent(place: str, loopback: Loopback, drive: Drive) -> Sent:
    """What each of the ways that pass at ``place`` sends, or its error."""
    found: Sent = []
    for name in PLACES[place]:
        needs, send = WAYS[name]
        if not has(needs):
            continue
        loopback.drain()
        error = ""
        try:
            send(drive)
        except Exception as raised:
            error = f"{type(raised).__name__}: {raised}"
        found.append((f"{name} {error}", loopback.drain()))
    return found


def _fits(place: str, patcher: str) -> bool:
    """Whether a patcher is one for functions, classes or methods, as a place holds."""
    *owner, name = place.partition(":")[2].split(".")
    if any(each[0].isupper() for each in owner):  # a method
        return patcher in ("plain", "wraps", "by_wrapt")
    return patcher in (
        ("by_wrapt", "by_mock", "subclass", "partial")
        if name[0].isupper()
        else ("plain", "wraps", "by_wrapt", "by_mock", "partial")
    )


def _check(shimmed: Sent, native: Sent) -> None:
    def bare(sent: Sent) -> list[Any]:
        return [(name, [without_workspace(comparable(r)) for r in rs]) for name, rs in sent]

    assert [(name, len(requests)) for name, requests in shimmed] == [
        (name, len(requests)) for name, requests in native
    ]
    for name, requests in shimmed:
        for request in requests:
            expected = [] if request.foreign else [AMBIENT]
            assert request.workspaces == expected, (name, request.path)
    if not any(r.host.endswith("maas.aliyuncs.com") for _, rs in shimmed for r in rs):
        assert bare(shimmed) == bare(native)


CELLS = [
    (place, patcher, order)
    for place in PLACES
    for patcher in PATCHERS
    for order in ("ours first", "theirs first")
    if _fits(place, patcher)
]
if os.environ.get("NEIGHBOURS") != "all":
    CELLS = sorted(random.Random(10).sample(CELLS, len(CELLS) // 5))


#: What stands for a class, and shows none of it: said of the seam (P11).
NO_CLASS = ("by_mock", "partial")


@pytest.mark.parametrize(("place", "patcher", "order"), CELLS)
def test_p11_beside_another_patcher(
    place: str, patcher: str, order: str, loopback: Loopback, drive: Drive
) -> None:
    _need(place)
    unpatch()
    with neighbour(place, patcher):
        native = _sent(place, loopback, drive)
        if order == "theirs first":
            patch()
            failed = [row for row in report() if row[1] == "failed"]
            assert not failed or patcher in NO_CLASS, failed
            if not failed:
                with use_workspace(AMBIENT):
                    _check(_sent(place, loopback, drive), native)
            unpatch()
            _check_native(_sent(place, loopback, drive), native)
    patch()
    if order == "ours first":
        with neighbour(place, patcher), use_workspace(AMBIENT):
            _check(_sent(place, loopback, drive), native)
    # Both are gone, or theirs: nothing of them is left.
    unpatch()
    native = _sent(place, loopback, drive)
    patch()
    with use_workspace(AMBIENT):
        _check(_sent(place, loopback, drive), native)


def _check_native(shimmed: Sent, native: Sent) -> None:
    assert [(name, [comparable(r) for r in rs]) for name, rs in shimmed] == [
        (name, [comparable(r) for r in rs]) for name, rs in native
    ]
