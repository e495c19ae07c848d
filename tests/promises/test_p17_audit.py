"""The egress audit: green on the installed SDK, red as soon as a way out is added to it."""

from __future__ import annotations

import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from sdk_calls import need

from dashscope_ws_patch.selftest import audit as _audit
from dashscope_ws_patch.selftest.audit import FOREIGN, SEAM, UNKNOWN, Egress, audit, summary

#: Those that the rule of the edge covers: what a module holds of a library, under any name.
BY_THE_RULE = {
    "plain", "method", "alias", "by_value", "submodule", "star", "subclass", "callback", "named",
    "unnamed", "websocket", "passed_on", "relative", "given",
}  # fmt: skip

# Modules that a release of the SDK might add, and what of each must be found.
WAYS_OUT = {
    "plain": ("import requests\ndef f(): requests.get('u')", "f", "requests.get"),
    "at_import": ("import requests\nrequests.get('u')", "", "requests.get"),
    "method": (
        "import requests\nclass A:\n  def f(self):\n    with requests.Session() as s: s.get('u')",
        "A.f",
        "requests.Session",
    ),
    "alias": ("import requests as r\ndef f(): r.post('u')", "f", "requests.post"),
    "by_value": ("from requests import put as p\ndef f(): p('u')", "f", "requests.put"),
    "submodule": ("from requests import sessions\ndef f(): sessions.Session()", "f",
                  "requests.sessions.Session"),
    "local": ("def f():\n  import httpx\n  return httpx.stream('GET', 'u')", "f", "httpx.stream"),
    "star": ("from requests import *\ndef f(): get('u')", "f", "requests.get"),
    "subclass": ("import aiohttp\nclass A(aiohttp.ClientSession): pass", "A",
                 "aiohttp.ClientSession"),
    "callback": ("import httpx\ndef f(g): g(send=httpx.post)", "f", "httpx.post"),
    "named": ("import httpx\ndef f(): getattr(httpx, 'AsyncClient')()", "f", "httpx.AsyncClient"),
    "unnamed": ("import requests\ndef f(m): getattr(requests, m)('u')", "f", "requests"),
    "imported": ("from importlib import import_module\ndef f(): import_module('httpx').get('u')",
                 "f", "httpx"),
    "websocket": ("from websocket import create_connection\nasync def f(): create_connection('u')",
                  "f", "websocket.create_connection"),
    "urllib": ("import urllib.request\ndef f(): urllib.request.urlopen('u')", "f",
               "urllib.request.urlopen"),
    "http": ("from http import client\ndef f(): client.HTTPSConnection('h')", "f",
             "http.client.HTTPSConnection"),
    "socket": ("import socket\ndef f(): socket.create_connection(('h', 1))", "f",
               "socket.create_connection"),
    "openai": ("from openai import OpenAI\ndef f(): OpenAI(api_key='k')", "f", "openai.OpenAI"),
    "curl": ("import subprocess\ndef f(): subprocess.run(['curl', 'u'])", "f", "subprocess.run"),
    "passed_on": ("from dashscope.plain import requests as r\ndef f(): r.get('u')", "f",
                  "requests.get"),
    "relative": ("from .passed_on import r\ndef f(): r.get('u')", "f", "requests.get"),
    "given": ("def f(url, headers):\n  import httpx\n  return httpx.get(url, headers=headers)", "f",
              "httpx.get"),
}  # fmt: skip

HARMLESS = """
import http, json, requests, aiohttp
from typing import Optional
def f(session: Optional[requests.Session] = None) -> aiohttp.ClientSession:
    kept: requests.Session = session
    try:
        return isinstance(session, requests.Session) and http.HTTPStatus.OK
    except requests.Timeout:
        return aiohttp.FormData()
"""


def places(found: list[Egress]) -> set[tuple[str, str, str]]:
    return {(egress.place, egress.way, egress.state) for egress in found}


@pytest.fixture(scope="module")
def sdk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the installed SDK with ways out added."""
    spec = find_spec("dashscope")
    assert spec is not None and spec.submodule_search_locations is not None
    folder = tmp_path_factory.mktemp("audit") / "dashscope"
    shutil.copytree(spec.submodule_search_locations[0], folder,
                    ignore=shutil.ignore_patterns("*.pyc", "*.tiktoken"))  # fmt: skip
    for name, (source, _, _) in WAYS_OUT.items():
        (folder / f"{name}.py").write_text(source)
    (folder / "harmless.py").write_text(HARMLESS)
    (folder / "unseen.py").write_text("def f():\n  import grpc\n  return grpc.aio")
    # In a module in which `requests` is stood in for: what the stand-in is not asked for.
    base_api = folder / "client" / "base_api.py"
    added = "\ndef local():\n  import requests\n  requests.get('u')\ndef head(): requests.head('u')"
    base_api.write_text(base_api.read_text("utf-8") + added, "utf-8")
    return folder


@pytest.fixture(scope="module")
def found(sdk: Path) -> set[tuple[str, str, str]]:
    return places(audit(sdk))


@pytest.fixture(scope="module")
def installed() -> list[Egress]:
    return audit()


def test_every_way_out_of_the_installed_sdk_is_known(installed: list[Egress]) -> None:
    assert [egress for egress in installed if egress.state == UNKNOWN] == []
    assert {egress.state for egress in installed} <= {SEAM, FOREIGN}
    assert all(egress.why for egress in installed)
    assert summary(installed).endswith(" 0 unknown")


def test_the_audit_sees_where_the_sdk_sends(installed: list[Egress]) -> None:
    found = places(installed)
    handshake = "dashscope.api_entities.websocket_request:WebSocketRequest._connection_handler"
    ways = {(place, state) for place, _, state in found}
    assert (handshake.replace("_connection", "connection"), SEAM) in ways
    assert ("dashscope.client.base_api:AsyncTaskGetMixin._get", "requests.Session", SEAM) in found


@pytest.mark.parametrize("name", WAYS_OUT)
def test_an_added_way_out_is_by_the_rule_or_unknown(
    name: str, found: set[tuple[str, str, str]]
) -> None:
    _, function, way = WAYS_OUT[name]
    place = f"dashscope.{name}:{function}" if function else f"dashscope.{name}"
    assert (place, way, SEAM if name in BY_THE_RULE else UNKNOWN) in found


#: What a release might add, and the row that the audit suggests for it.
SHAPES = {
    "request_object": (
        "class Request:\n"
        "  def __init__(self): self.url, self.headers = '', {}\n"
        "  def execute(self):\n    import requests\n    requests.post(self.url)",
        '"Request.execute", sdk.send, "',
    ),
    "transport": (
        "class Pipe:\n  def request(self, method, path):\n    import httpx\n    httpx.Client()",
        '"Pipe.request", clients.transport, "',
    ),
    "socket_session": (
        "class Session:\n"
        "  def __init__(self, *, url, workspace, headers):\n"
        "    import websocket\n    self.ws = websocket.create_connection(url)",
        '"Session.__init__", clients.socket, "',
    ),
    "lonely": ("def f():\n  import requests\n  requests.get('u')", '"f", <an adapter of its own'),
}


@pytest.mark.parametrize("name", SHAPES)
def test_an_unknown_way_out_comes_with_a_row(name: str, tmp_path: Path) -> None:
    source, row = SHAPES[name]
    (tmp_path / f"{name}.py").write_text(source)
    (unknown,) = audit(tmp_path)
    assert unknown.state == UNKNOWN
    assert unknown.row.startswith(f'Seam("dashscope.{name}", {row}')


def test_object_storage_is_told_from_the_service(tmp_path: Path) -> None:
    (tmp_path / "storage.py").write_text(
        "import requests\n"
        "URL = 'https://bucket.oss-cn-beijing.aliyuncs.com/'\n"
        "def put(data): requests.put(URL, data=data)\n"
        "def signed(answer): requests.put(answer['signed_url'])\n"
        "def certificate(): requests.get(dashscope.base_http_api_url + '/uploads?oss=1')\n"
    )
    states = {egress.place.partition(":")[2]: egress.state for egress in audit(tmp_path)}
    assert states == {"put": FOREIGN, "signed": FOREIGN, "certificate": SEAM}


def test_types_and_errors_are_no_ways_out(found: set[tuple[str, str, str]]) -> None:
    assert not [place for place, _, _ in found if place.startswith("dashscope.harmless")]


def test_the_rule_covers_what_a_module_holds_and_no_import_inside(
    found: set[tuple[str, str, str]],
) -> None:
    assert ("dashscope.client.base_api:local", "requests.get", UNKNOWN) in found
    assert ("dashscope.client.base_api:head", "requests.head", SEAM) in found


@pytest.mark.skipif(sys.version_info < (3, 10), reason="needs sys.stdlib_module_names")
def test_a_library_that_nobody_has_looked_at_is_unknown(found: set[tuple[str, str, str]]) -> None:
    assert ("dashscope.unseen:f", "import grpc", UNKNOWN) in found


def test_a_place_whose_row_is_taken_away_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    need("dashscope.v2.transport.http:SyncTransport")
    kept = [seam for seam in _audit.SEAMS if seam.covers != "BaseAsyncAioApi.list"]
    monkeypatch.setattr(_audit, "SEAMS", kept)
    unknown = {egress.place for egress in audit() if egress.state == UNKNOWN}
    assert unknown == {"dashscope.client.base_api:BaseAsyncAioApi.list"}


def test_the_summary_names_what_is_unknown() -> None:
    found = [Egress("a:f", "requests.get", 1, UNKNOWN, ""), Egress("b:g", "x", 1, SEAM, "b.g")]
    assert summary(found) == (
        "2 ways out of the SDK: 1 behind seams, 0 not to the service, 1 unknown: a:f (requests.get)"
    )


def test_without_an_sdk_the_audit_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_audit, "SDK", "dashscope_that_is_not_there")
    with pytest.raises(ModuleNotFoundError, match="dashscope_that_is_not_there"):
        audit()
