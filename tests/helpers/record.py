"""Drives surfaces and keeps what they sent, in the shapes that the promises are about.

A ``Setting`` says what is around a call (scope, environment, base URLs, explicit naming);
``record`` drives one surface in it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import re
from collections.abc import Iterator, Mapping
from typing import Any, Callable, Optional
from unittest import mock

from dashscope_ws_patch import use_workspace
from dashscope_ws_patch._hosts import workspace_in_host
from dashscope_ws_patch.selftest.loopback import Loopback, Request
from dashscope_ws_patch.selftest.surfaces import API_KEY, Drive, Surface
from dashscope_ws_patch.selftest.surfaces_v2 import environment_variables

AMBIENT = "ws_ambient"
NAMED = "ws_named"
POINTED = "ws-pointed"
POINTED_HOST = f"{POINTED}.cn-beijing.maas.aliyuncs.com"

VARIABLES = ("DASHSCOPE_WORKSPACE", "DASHSCOPE_WORKSPACE_ID")
BASES = ("base_http_api_url", "base_websocket_api_url", "base_compatible_api_url")


@dataclasses.dataclass(frozen=True)
class Setting:
    """What is around a call. ``scope`` is "" where there is none."""

    scope: Optional[str] = ""
    environment: Mapping[str, str] = dataclasses.field(default_factory=dict)
    named: Optional[str] = None
    host: Optional[str] = None

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """Environment, base URLs and scope, as this setting has them."""
        with contextlib.ExitStack() as stack:
            stack.enter_context(environment(**self.environment))
            if self.host is not None:
                stack.enter_context(pointed(self.host))
            if self.scope != "":
                stack.enter_context(use_workspace(self.scope))
            yield


_SET = {VARIABLES[0]: AMBIENT}
#: Must never be looked at where a scope holds. (What reads it by itself is not given it.)
_MALFORMED = {VARIABLES[0]: "not a workspace!"}

SETTINGS = {
    "nothing": Setting(),
    "no workspace here": Setting(scope=None, environment=_SET),
    "environment": Setting(environment=_SET),
    "scope": Setting(scope=AMBIENT, environment=_MALFORMED),
    "named": Setting(named=NAMED),
    "named in a scope": Setting(named=NAMED, scope=AMBIENT, environment=_MALFORMED),
    "pointed": Setting(host=POINTED_HOST),
    "pointed, environment": Setting(host=POINTED_HOST, environment=_SET),
    "pointed, scope": Setting(host=POINTED_HOST, scope=AMBIENT, environment=_MALFORMED),
}


#: The settings of a command: what is ambient comes by the environment of its process.
OF_COMMANDS = {
    "no workspace here": "nothing",
    "scope": "environment",
    "pointed": "nothing",
    "pointed, environment": "environment",
    "pointed, scope": "environment",
}


@contextlib.contextmanager
def environment(**variables: str) -> Iterator[None]:
    """The variables that name a workspace are these, and no others."""
    with environment_variables(**variables):
        for name in VARIABLES:
            if name not in variables:
                os.environ.pop(name, None)
        yield


@contextlib.contextmanager
def pointed(host: str) -> Iterator[None]:
    """The module-level base URLs of the SDK lead to ``host``, as a program would have them."""
    import dashscope

    values = (
        f"https://{host}/api/v1",
        f"wss://{host}/api-ws/v1/inference",
        f"https://{host}/compatible-mode/v1",
    )
    with contextlib.ExitStack() as stack:
        for name, value in zip(BASES, values):
            if hasattr(dashscope, name):
                stack.enter_context(mock.patch.object(dashscope, name, value))
        yield


@dataclasses.dataclass
class Sent:
    """A request of a surface, and whether the call it was made for named a workspace."""

    request: Request
    naming: bool


class RecordingDrive(Drive):
    """A drive that notes which calls had a parameter to name a workspace with."""

    def __init__(self, loopback: Loopback, named: Optional[str]) -> None:
        super().__init__(loopback, {"workspace": named} if named else {}, plain=False)
        self._object = False
        self._since: list[tuple[int, bool]] = [(0, False)]

    def naming(self, accepts: Callable[..., object]) -> dict[str, str]:
        naming = super().naming(accepts)
        owner = getattr(accepts, "__self__", None)
        if isinstance(accepts, type):
            self._object = bool(naming)
        elif owner is None or isinstance(owner, type):
            self._object = False
        self._since.append((len(self.loopback.requests), self._object or bool(naming)))
        return naming

    def sent(self) -> list[Sent]:
        """The requests since the last time, in the order of their arrival."""
        marks, self._since, self._object = self._since, [(0, False)], False
        return [
            Sent(request, [naming for begin, naming in marks if begin <= index][-1])
            for index, request in enumerate(self.loopback.drain())
        ]


def record(loopback: Loopback, surface: Surface, setting: Setting) -> list[Sent]:
    """What ``surface`` sends in ``setting``, in the order of its arrival."""
    import dashscope

    loopback.drain()
    dashscope.api_key = API_KEY
    if setting.environment is _MALFORMED and surface.group in ("2.x", "agentstudio"):
        setting = dataclasses.replace(setting, environment={})
    drive = RecordingDrive(loopback, setting.named)
    with setting.entered(), contextlib.suppress(Exception):
        # What the SDK makes of an answer is not what is looked at, but what it asked.
        surface.drive(drive)
    return drive.sent()


# What differs between two runs of the same program

#: Ids, temporary folders, times, the loopback's port.
_RANDOM = re.compile(
    r"[0-9a-f]{8}(-?[0-9a-f]{4}){3}-?[0-9a-f]{12}|[0-9a-f]{24,}|(?<=[-_])[0-9a-f]{8}\b"
    r"|dashscope-ws-patch-\w+|20\d\d-\d\d-\d\d[T ][\d:.]+Z?|\b(2\d{13}|1[6-9]\d{8,11})\b"
    r"|(?<=\.com):\d+"
)
_ANEW = ("sec-websocket-key", "x-dashscope-encryptionkey", "date")


def comparable(request: Request) -> dict[str, Any]:
    """``request`` as JSON, without what two native runs have different."""
    # Cipher text and archives, which hold the time of their making.
    anew = request.header("X-DashScope-EncryptionKey") or request.body.startswith(b"PK")
    return {
        "target": [request.scheme, request.host, request.sni, request.method],
        "foreign": request.foreign,
        "path": _RANDOM.sub("*", request.path),
        "headers": [
            [name, "*" if name.lower() in _ANEW else _RANDOM.sub("*", value)]
            for name, value in request.headers
        ],
        "body": "*" if anew else _RANDOM.sub("*", request.body.decode("latin-1")),
        # How much sound a session still gets to send before it is stopped differs too.
        "messages": [_RANDOM.sub("*", text) for text in request.messages if isinstance(text, str)],
    }


def without_workspace(request: dict[str, Any]) -> dict[str, Any]:
    """A request but for its workspace header, and the ambient workspace in its messages (P5)."""
    others = [pair for pair in request["headers"] if pair[0].lower() != "x-dashscope-workspace"]
    return {**request, "headers": others, "messages": [*map(_unnamed, request["messages"])]}


def _unnamed(message: str) -> Any:
    def kept(found: dict[str, Any]) -> dict[str, Any]:
        named = found.get("workspace_id") in (AMBIENT, None)
        return {key: found[key] for key in found if key != "workspace_id" or not named}

    return json.loads(message, object_hook=kept) if message.startswith("{") else message


def names_workspace(request: dict[str, Any]) -> bool:
    """Whether header or host of a request name one."""
    headers = {name.lower() for name, _ in request["headers"]}
    host = f"https://{request['target'][1]}"
    return "x-dashscope-workspace" in headers or workspace_in_host(host) is not None


def voices(request: Request) -> set[str]:
    """The workspaces that header, host and messages name."""
    named = {*request.workspaces, workspace_in_host(f"https://{request.host}")}
    bodies = [request.body.decode("latin-1"), *map(str, request.messages)]
    named |= {name for name in (AMBIENT, NAMED, POINTED) for body in bodies if name in body}
    return {name for name in named if name}
