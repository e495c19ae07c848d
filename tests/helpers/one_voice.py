"""Cells of the matrix of precedence of the 2.x clients: what is around a call, and what it sends.

A ``Cell`` is one combination of all that may name a workspace; ``send`` drives the real SDK in it;
``expected`` is the oracle, written from the rules of precedence alone. As a program it sends the
cells natively and writes what they sent to a file descriptor, one line each:

    DASHSCOPE_WS_PATCH=0 python tests/helpers/one_voice.py FD NUMBER SEED
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import itertools
import json
import os
import random
import sys
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable, Optional
from unittest import mock

from environments import ROOT

sys.path.insert(0, str(ROOT))

from record import comparable

from dashscope_ws_patch import use_workspace
from dashscope_ws_patch.selftest.loopback import Loopback, Request

KEY = "sk-loopback"
LEGACY = "dashscope.aliyuncs.com"
GATEWAY = "gateway.example.com"
HEADER = "X-DashScope-WorkSpace"

#: A workspace for each place that may name one.
CALL, CLIENT, SCOPE, BORN = "ws-call", "ws-client", "ws-scope", "ws-born"
ENV, ENV_ID, SETTING, CONFIG, BASE = "ws-env", "ws-id", "ws-setting", "ws-config", "ws-base"


def host(workspace: Optional[str], region: str = "cn-beijing") -> str:
    """The default host for a workspace."""
    return f"{workspace}.{region}.maas.aliyuncs.com" if workspace else LEGACY


def voice(request: Request) -> tuple[Optional[str], str]:
    """The workspace in the header of a request, and its host."""
    (workspace,) = request.workspaces or [None]
    return workspace, request.host


def label(name: str) -> Optional[str]:
    """The workspace that a host names."""
    return name.partition(".")[0] if name.endswith(".maas.aliyuncs.com") else None


# --- drivers -------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Driver:
    """A call of a client. ``accepts`` are the ways to name a workspace in it; ``reaches`` is the
    base URL it is sent under: the client's ("base"), one that the SDK passes with the call, which a
    connection pool cannot change ("absolute"), that of websockets or that of realtime ones."""

    call: Callable[..., Any]
    accepts: tuple[str, ...] = ("workspace",)
    reaches: str = "base"
    asynchronous: bool = False
    starts: bool = False  # sends a start message that has a place for the workspace
    options: tuple[tuple[str, Any], ...] = ()


HELLO = [{"role": "user", "content": "hello"}]


@contextlib.contextmanager
def picture() -> Iterator[str]:
    """The path of a local file."""
    with tempfile.TemporaryDirectory() as folder:  # the name of the file is sent
        path = Path(folder, "picture.png")
        path.write_bytes(b"\x89PNG")
        yield str(path)


def _chat(client: Any, **named: Any) -> None:
    client.chat.completions.create(model="qwen-plus", messages=HELLO, **named)


def _stream(client: Any, **named: Any) -> None:
    list(client.chat.completions.create(model="qwen-plus", messages=HELLO, stream=True, **named))


def _upload(client: Any, **named: Any) -> None:
    with picture() as path:
        messages = [{"role": "user", "content": [{"type": "image", "url": path}]}]
        client.chat.completions.create(model="qwen-vl-plus", messages=messages, **named)


def _job(client: Any, **named: Any) -> None:
    client.images.generate(model="wanx-v1", prompt="hello", poll_interval=0.001, **named)


async def _async_chat(client: Any, **named: Any) -> None:
    await client.chat.completions.create(model="qwen-plus", messages=HELLO, **named)


async def _async_stream(client: Any, **named: Any) -> None:
    stream = await client.chat.completions.create(
        model="qwen-plus", messages=HELLO, stream=True, **named
    )
    async for _ in stream:
        pass


async def _async_job(client: Any, **named: Any) -> None:
    await client.images.generate(model="wanx-v1", prompt="hello", poll_interval=0.001, **named)


def _decide(client: Any, **named: Any) -> None:
    client.decision.create(
        model="m", state="hello", questions={"question": {"type": "noul"}}, **named
    )


def _recognize(client: Any, **named: Any) -> None:
    converse(client.audio.asr.recognize(model="paraformer", **named))


def _speak(client: Any, **named: Any) -> None:
    converse(client.audio.tts.connect(**named))


def _tingwu(client: Any, **named: Any) -> None:
    converse(client.tingwu.realtime(model="m", app_id="a", **named))


def _realtime(client: Any, **named: Any) -> None:
    if "ws_url" in named:
        named["ws_url"] = named["ws_url"].replace("inference", "realtime")
    with client.audio.realtime.connect(model="qwen3-omni-flash-realtime", **named):
        pass


def _connection(client: Any, **named: Any) -> None:
    named = {"url" if name == "ws_url" else name: value for name, value in named.items()}
    connection = client.ws_connection(**named)
    converse(client.tingwu.realtime(model="m", app_id="a", connection=connection))
    connection.close()


def converse(session: Any) -> None:
    """Open a session of any kind, and end it."""
    with session:
        (session.stop if hasattr(session, "stop") else session.end_session)()
        for _ in session.events():
            pass


_SESSION = ("workspace", "header", "url")
DRIVERS = {
    "models": Driver(lambda client, **named: client.models.list(**named)),
    "phrases": Driver(
        lambda client, **named: client.audio.phrases.list(**named), ("workspace", "header")
    ),
    "chat": Driver(_chat, reaches="absolute"),
    "stream": Driver(_stream, reaches="absolute"),
    "upload": Driver(_upload, reaches="absolute"),
    "job": Driver(_job),
    "decision": Driver(_decide, reaches="absolute"),
    "openai": Driver(_chat, reaches="absolute", options=(("protocol", "openai"),)),
    "anthropic": Driver(_stream, reaches="absolute", options=(("protocol", "anthropic"),)),
    "async chat": Driver(_async_chat, reaches="absolute", asynchronous=True),
    "async stream": Driver(_async_stream, reaches="absolute", asynchronous=True),
    "async job": Driver(_async_job, asynchronous=True),
    "recognition": Driver(_recognize, _SESSION, "websocket"),
    "synthesis": Driver(_speak, _SESSION, "websocket"),
    "tingwu": Driver(_tingwu, ("workspace", "url"), "websocket", starts=True),
    "realtime": Driver(_realtime, _SESSION, "realtime"),
    "connection": Driver(_connection, ("header", "url"), "websocket", starts=True),
}


# --- cells ---------------------------------------------------------------------------------------

#: The levels of each axis; "" is nothing there.
AXES = {
    "client": ("", "", "workspace", "host", "gateway", "pool header", "pool host", "pool gateway"),
    "call": ("", "", "", "workspace", "header", "url"),
    "scope": ("", SCOPE, "None"),
    "born": ("", BORN, "None"),
    "environment": ("", "WORKSPACE", "ID", "WORKSPACE ID"),
    "settings": ("", "", SETTING),
    "config": ("", "", CONFIG),
    "base": ("", "", *map(" ".join, itertools.product(
        ("settings", "config", "environment", "legacy"), ("host", "gateway")))),
    "sockets": ("", "settings host", "settings gateway", "environment host"),
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Cell:
    """What is around one call of a client; the names of the fields are the axes."""

    driver: str
    client: str = ""
    call: str = ""
    scope: str = ""
    born: str = ""
    environment: str = ""
    settings: str = ""
    config: str = ""
    base: str = ""
    sockets: str = ""

    def __str__(self) -> str:
        axes = dataclasses.asdict(self).items()
        return ", ".join(f"{axis}={level}" for axis, level in axes if level)

    @property
    def valid(self) -> bool:
        driver = DRIVERS[self.driver]
        return (not self.call or self.call in driver.accepts) and (
            not self.sockets or driver.reaches == "websocket"
        )


def cells(number: int, seed: int) -> list[Cell]:
    """So many different cells: for each driver one without anything, the others at random."""
    chosen = dict.fromkeys(Cell(driver) for driver in DRIVERS)
    rng = random.Random(seed)
    while len(chosen) < number:
        driver = list(DRIVERS)[len(chosen) % len(DRIVERS)]
        cell = Cell(driver, **{axis: rng.choice(levels) for axis, levels in AXES.items()})
        if cell.valid:
            chosen[cell] = None
    return list(chosen)


def _url(place: str) -> str:
    return f"https://{host(BASE) if place.endswith('host') else GATEWAY}/api/v1"


def _ws_url(place: str) -> str:
    return f"wss://{host(BASE) if place.endswith('host') else GATEWAY}/api-ws/v1/inference"


@contextlib.contextmanager
def around(cell: Cell) -> Iterator[None]:
    """Environment, settings and config.toml, as the cell has them."""
    import dashscope

    variables = {"DASHSCOPE_API_KEY": KEY}
    lines = []
    if "WORKSPACE" in cell.environment.split():
        variables["DASHSCOPE_WORKSPACE"] = ENV
    if "ID" in cell.environment.split():
        variables["DASHSCOPE_WORKSPACE_ID"] = ENV_ID
    if cell.base.startswith("environment"):
        variables["DASHSCOPE_BASE_URL"] = _url(cell.base)
    if cell.base.startswith("legacy"):
        variables["DASHSCOPE_HTTP_BASE_URL"] = _url(cell.base)
    if cell.sockets.startswith("environment"):
        variables["DASHSCOPE_WEBSOCKET_BASE_URL"] = _ws_url(cell.sockets)
    if cell.base.startswith("config"):
        lines.append(f"base_url = {_url(cell.base)!r}")
    if cell.config:
        lines.append(f"workspace = {cell.config!r}")
    with tempfile.NamedTemporaryFile("w", suffix=".toml") as config, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        config.write("\n".join(lines))
        config.flush()
        with mock.patch.dict(os.environ, {**variables, "DASHSCOPE_CONFIG": config.name}):
            if cell.settings:
                dashscope.settings.workspace = cell.settings
            if cell.base.startswith("settings"):
                dashscope.settings.base_url = _url(cell.base)
            if cell.sockets.startswith("settings"):
                dashscope.settings.websocket_base_url = _ws_url(cell.sockets)
            try:
                yield
            finally:
                dashscope.settings.clear()


def scoped(name: str) -> Any:
    """The scope of an axis' level."""
    if not name:
        return contextlib.nullcontext()
    return use_workspace(None if name == "None" else name)


def _constructor(cell: Cell) -> dict[str, Any]:
    import httpx

    pool: Any = httpx.AsyncClient if DRIVERS[cell.driver].asynchronous else httpx.Client
    gateway = f"https://{GATEWAY}/api/v1"
    kinds: dict[str, Callable[[], dict[str, Any]]] = {
        "": dict,
        "workspace": lambda: {"workspace": CLIENT},
        "host": lambda: {"base_url": f"https://{host(CLIENT)}/api/v1"},
        "gateway": lambda: {"base_url": gateway},
        "pool header": lambda: {
            "http_client": pool(base_url=gateway, headers={HEADER.lower(): CLIENT})
        },
        "pool host": lambda: {"http_client": pool(base_url=f"https://{host(CLIENT)}/api/v1")},
        "pool gateway": lambda: {"http_client": pool(base_url=gateway)},
    }
    return kinds[cell.client]()


_NAMED: dict[str, dict[str, Any]] = {
    "": {},
    "workspace": {"workspace": CALL},
    "header": {"headers": {HEADER.lower(): CALL}},
    "url": {"ws_url": f"wss://{host(CALL)}/api-ws/v1/inference"},
}


def send(cell: Cell, loopback: Loopback) -> list[Request]:
    """Make the call of the cell, and return what was sent."""
    import dashscope

    driver = DRIVERS[cell.driver]
    loopback.drain()
    with around(cell):
        options = {**dict(driver.options), **_constructor(cell)}
        with scoped(cell.born):
            cls: Any = dashscope.AsyncClient if driver.asynchronous else dashscope.Client
            client = cls(api_key=KEY, **options)
        with scoped(cell.scope):
            if driver.asynchronous:
                asyncio.run(_await(driver, client, cell.call, options.get("http_client")))
            else:
                driver.call(client, **_NAMED[cell.call])
                client.close()
                if "http_client" in options:
                    options["http_client"].close()
    return loopback.drain()


async def _await(driver: Driver, client: Any, call: str, pool: Any) -> None:
    await driver.call(client, **_NAMED[call])
    await client.aclose()
    if pool is not None:
        await pool.aclose()


# --- the oracle ----------------------------------------------------------------------------------


def names(cell: Cell) -> Optional[str]:
    """Rules 1 and 2: the workspace that the calling code names."""
    if cell.call:
        return CALL
    return CLIENT if cell.client in ("workspace", "host", "pool header", "pool host") else None


def ambient(cell: Cell) -> tuple[bool, Optional[str]]:
    """Whether a scope holds, and the workspace by rules 3, 4, 7 and 6, for who names none."""
    for scope in (cell.scope, cell.born):
        if scope:
            return True, None if scope == "None" else scope
    found = cell.settings or (ENV if "WORKSPACE" in cell.environment.split() else cell.config)
    return False, found or (ENV_ID if cell.environment else None)


def configured(cell: Cell) -> str:
    """The host that the program, not the SDK, has chosen; "" where it has left that to the SDK."""
    driver = DRIVERS[cell.driver]
    if driver.reaches == "realtime":
        return ""
    if driver.reaches == "websocket":
        place = cell.sockets
    elif cell.client == "gateway" or (cell.client == "pool gateway" and driver.reaches == "base"):
        return GATEWAY
    else:
        place = cell.base
    return "" if not place else host(BASE) if place.endswith("host") else GATEWAY


def expected(cell: Cell) -> Optional[tuple[Optional[str], str]]:
    """Header and host of a request for which the calling code names no workspace; None: native."""
    scope, workspace = ambient(cell)
    chosen = configured(cell)
    if label(chosen):
        if not scope:  # rule 5
            return None
        return workspace, host(workspace) if workspace else chosen
    return workspace, chosen or host(workspace)


# --- native --------------------------------------------------------------------------------------


def main() -> None:
    """Send the cells natively."""
    from hosts import serving

    from dashscope_ws_patch import is_patched

    assert not is_patched(), "DASHSCOPE_WS_PATCH=0 is missing"
    fd, number, seed = map(int, sys.argv[1:])
    with serving() as loopback, open(fd, "w") as output:
        for cell in cells(number, seed):
            sent = [comparable(request) for request in send(cell, loopback)]
            print(json.dumps(sent), file=output)


if __name__ == "__main__":
    main()
