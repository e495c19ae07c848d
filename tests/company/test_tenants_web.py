"""P16: web requests follow their tenant, with real servers and frameworks.

Each needs its server and framework: ``tox -e web`` installs them.
"""

from __future__ import annotations

import concurrent.futures
import functools
import http.client
import importlib.util
import io
import itertools
import json
import os
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
import wsgiref.util
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from environments import HELPERS, ROOT
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dashscope_ws_patch import get_workspace
from dashscope_ws_patch.selftest.loopback import Loopback
from dashscope_ws_patch.tenants.web import ASGIMiddleware, WSGIMiddleware

TENANTS = ("ws_a", "ws_b", "ws_c")
TIMES = 7  # of each tenant at once, for each path

#: What is asked of an application, and how many requests to the service that makes.
STREAMS = {"stream-sync": 3, "stream-async": 3}
ASGI = {"plain": 1, "sync": 1, "executor": 1, **STREAMS}
PATHS = {
    "fastapi": {**ASGI, "background": 2, "dependency": 2, "socket": 2},
    "starlette": {**ASGI, "background": 1, "socket": 2},
    "flask": {"sync": 1, "stream-sync": 3, "stream-context": 3, "close": 1},
    "django_wsgi": {"sync": 1, "plain": 1, "stream-sync": 3, "file": 1},
    "django_asgi": {"sync": 1, "plain": 1, **STREAMS},
    "gunicorn_files": {"read": 1, "close": 1, "imported": 1, "wrapped": 1},
}
APP = "tenant_apps:app"
GUNICORN = ["gunicorn", "-b", "fd://{fd}", "--log-level", "error", APP, "-w", "2"]
_UVICORN = ["uvicorn", "--fd", "{fd}", "--log-level", "error", APP]
SERVERS = {
    "uvicorn": ["uvicorn", "--fd", "{fd}", "--log-level", "error", APP],
    "hypercorn": ["hypercorn", "--bind", "fd://{fd}", "--log-level", "error", APP],
    "gunicorn-uvicorn": [*GUNICORN, "-k", "uvicorn.workers.UvicornWorker"],
    "gunicorn-sync": [*GUNICORN, "-k", "sync"],
    "gunicorn-preload": [*GUNICORN, "-k", "gthread", "--threads", "4", "--preload"],
    "gunicorn-gevent": [*GUNICORN, "-k", "gevent"],
}
#: The servers of one connection: all that README names, with each loop and parser.
CONNECTIONS = {
    **{
        f"uvicorn-{loop}-{http}": [*_UVICORN, "--loop", loop, "--http", http]
        for loop in ("asyncio", "uvloop")
        for http in ("h11", "httptools")
    },
    "hypercorn": SERVERS["hypercorn"],
    "gunicorn-sync": [*GUNICORN[:-1], "1", "-k", "sync"],
    "gunicorn-gthread": [*GUNICORN[:-1], "1", "-k", "gthread", "--threads", "1"],
    "gunicorn-gevent": [*GUNICORN[:-1], "1", "-k", "gevent"],
}
_ASGI = ("uvicorn", "hypercorn", "gunicorn-uvicorn", "fastapi", "starlette", "django_asgi")
PAIRS = [(s, app) for s in SERVERS for app in PATHS if (s in _ASGI) == (app in _ASGI)]


def _served(server: str, app: str, service: Loopback, **variables: str) -> Iterator[str]:
    needed = {*server.split("-"), app.split("_")[0]} - {"sync", "preload", "gthread", "connection"}
    for module in needed | {"websockets"}:
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"{module} is not installed")
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
        words = SERVERS[server] if app in PATHS else CONNECTIONS[server]
        command = [word.format(fd=listener.fileno()) for word in words]
        process = subprocess.Popen(
            [sys.executable, "-m", *command],
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join([str(ROOT), str(HELPERS)]),
                "TENANT_APP": app,
                "DASHSCOPE_WORKSPACE": "ws_env",  # what a lost scope would become
                "DASHSCOPE_HTTP_BASE_URL": service.address("127.0.0.1", "/api/v1"),
                **variables,
            },
            pass_fds=[listener.fileno()],
        )
        try:
            yield f"127.0.0.1:{listener.getsockname()[1]}"
        finally:
            process.terminate()
            process.wait()


def _get(address: str, path: str, tenant: str) -> None:
    if path == "socket":
        from websockets.sync.client import connect

        with connect(f"ws://{address}/socket", additional_headers={"X-Tenant": tenant}) as session:
            for _ in range(2):
                session.send(tenant)
                assert session.recv() == tenant
        return
    request = urllib.request.Request(
        f"http://{address}/{path}?tenant={tenant}", headers={"X-Tenant": tenant}
    )
    with urllib.request.urlopen(request) as response:
        assert response.status == 200
        response.read()


@pytest.mark.parametrize("server, app", PAIRS, ids=lambda value: value)
def test_p16_no_tenant_is_crossed(server: str, app: str) -> None:
    with Loopback() as service:
        for address in _served(server, app, service):
            for path, requests in PATHS[app].items():
                if (server, path) == ("gunicorn-gevent", "plain"):
                    continue  # Django runs no async views among greenlets
                with concurrent.futures.ThreadPoolExecutor(3 * TIMES) as clients:
                    list(clients.map(functools.partial(_get, address, path), TENANTS * TIMES))
                found: Counter[tuple[str, str]] = Counter()
                # What runs in the background, or when all is sent, runs after the answer.
                while sum(found.values()) < 3 * TIMES * requests:
                    for each in service.drain():
                        asked = each.json()["input"]
                        tenant = asked.get("prompt") or asked["messages"][-1]["content"]
                        found[tenant, ",".join(each.workspaces)] += 1
                assert found == {(tenant, tenant): TIMES * requests for tenant in TENANTS}, path
            with pytest.raises(urllib.error.HTTPError) as refused:
                _get(address, "sync", "not%20a%20workspace")
            assert refused.value.code == 400
            reason = refused.value.read().decode()
            assert "'not%20a%20workspace'" in reason and "1 to 64" in reason
            assert service.drain() == []


class Connection:
    """One client's: what is sent at once is answered in order."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.socket: socket.socket | None = None

    def ask(self, requests: list[bytes]) -> list[bytes]:
        """The bodies of the answers to ``requests``, which are sent in one piece."""
        if self.socket is None:
            host, port = self.address.split(":")
            self.socket = socket.create_connection((host, int(port)))
            self.file = self.socket.makefile("rb")
        sending = threading.Thread(target=self.socket.sendall, args=(b"".join(requests),))
        sending.start()
        answers = [self._answer() for _ in requests]
        sending.join()
        return answers

    def _answer(self) -> bytes:
        status = self.file.readline()
        assert b" 200" in status, status
        headers = http.client.parse_headers(self.file)
        if "chunked" in headers.get("transfer-encoding", ""):
            body = b""
            while size := int(self.file.readline(), 16):
                body += self.file.read(size)
                self.file.readline()
            self.file.readline()
        elif "content-length" in headers:
            body = self.file.read(int(headers["content-length"]))
        else:
            body = self.file.read()
        if headers.get("connection", "").lower() == "close":
            self.close()
        return body

    def close(self) -> None:
        if self.socket is not None:
            self.file.close()
            self.socket.close()
            self.socket = None


#: A request: who asks, the sizes of its body and of the answer, its kind, and whether the one after
#: it is sent with it.
asked = st.tuples(
    st.sampled_from([None, "ws_a", "ws_b"]),
    st.sampled_from([0, 10, 3_000_000]),
    st.sampled_from([0, 300_000]),
    st.sampled_from(["plain", "stream", "background", "forgetful", "file"]),
    st.booleans(),
)


@pytest.mark.parametrize("required", ["", "1"], ids=["", "required"])
@pytest.mark.parametrize("server", CONNECTIONS)
def test_p8_on_one_connection_nobodys_is_nobodys(server: str, required: str) -> None:
    asgi = server in _ASGI or server.startswith("uvicorn")
    variables = {"DASHSCOPE_WS_PATCH_REQUIRE_SCOPE": required}
    with Loopback() as service:
        app = "connection_asgi" if asgi else "connection_wsgi"
        for address in _served(server, app, service, **variables):
            _one_connection(address, service, asgi, bool(required))


GET = b"GET /seen/0/0 HTTP/1.1\r\nHost: x\r\n\r\n"


def _one_connection(address: str, service: Loopback, asgi: bool, required: bool) -> None:
    numbers = itertools.count()
    seen = Connection(address)
    if asgi:
        assert json.loads(seen.ask([GET])[0])[0] == ["lifespan", "ws_env"]

    def is_sent(workspace: str | None) -> str:
        return "sent" if workspace or not required else "refused"

    @settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(asked, min_size=2, max_size=5))
    def one_connection(plan: list[Any]) -> None:
        connection, together = Connection(address), []
        found, expected, later, sent = [], [], [], {}
        for tenant, size, answer, kind, pipelined in plan:
            name = f"n{next(numbers)}"
            header = f"X-Tenant: {tenant}\r\n" if tenant else ""
            head = f"POST /{kind}/{name}/{answer} HTTP/1.1\r\nHost: x\r\n{header}"
            together.append(f"{head}Content-Length: {size}\r\n\r\n".encode() + b"x" * size)
            if not (pipelined and asgi):
                found += connection.ask(together)
                together = []
            # A body of WSGI is read where its application has left off.
            here = "ws_forgotten" if kind == "forgetful" and not asgi else tenant
            times = 3 if kind == "stream" or (kind == "file" and not asgi) else 1
            expected.append([[is_sent(here), here or "ws_env"]] * times)
            sent[name] = {here or "ws_env"} if here or not required else set()
            if kind == "background":
                later.append([name, is_sent(tenant), tenant or "ws_env"])
        if together:
            found += connection.ask(together)
        connection.close()
        assert [[json.loads(line) for line in body.splitlines()] for body in found] == expected
        noted: list[Any] = []
        around: list[Any] = []
        while len(noted) < len(later):
            for each in json.loads(seen.ask([GET])[0]):
                (around if each[0] == "around" else noted).append(each)
        assert sorted(noted) == sorted(later)
        assert {each[1] for each in around} <= {"ws_env"}
        requests = service.drain()
        for name, workspaces in sent.items():
            mine = [each for each in requests if f'"{name}"' in json.dumps(each.json()["input"])]
            assert {",".join(each.workspaces) for each in mine} == workspaces

    one_connection()
    seen.close()


@pytest.mark.parametrize(
    "kind, ends_in",
    [
        pytest.param(
            "bare",
            "ws_env",
            marks=pytest.mark.skipif(sys.version_info < (3, 12), reason="docs/tenants.md"),
        ),
        ("carried", "ws_a"),
    ],
)
@pytest.mark.parametrize("server", [server for server in CONNECTIONS if "gunicorn" not in server])
def test_p8_a_stream_whose_client_has_gone_ends_in_no_other_scope(
    server: str, kind: str, ends_in: str
) -> None:
    with Loopback() as service:
        for address in _served(server, "starlette_left", service):
            host, port = address.split(":")
            with socket.create_connection((host, int(port))) as client:
                client.sendall(
                    f"GET /{kind} HTTP/1.1\r\nHost: x\r\nX-Tenant: ws_a\r\n\r\n".encode()
                )
                assert b" 200" in client.recv(100)
            seen: list[Any] = []
            while not seen:
                collect = urllib.request.Request(
                    f"http://{address}/collect", headers={"X-Tenant": "ws_b"}
                )
                with urllib.request.urlopen(collect) as response:
                    seen, around = json.load(response)
            assert (seen, around) == ([[kind, ends_in]], "ws_b")


def test_p16_there_is_no_default_header() -> None:
    for middleware in (ASGIMiddleware, WSGIMiddleware):
        with pytest.raises(TypeError):
            middleware(lambda: None)  # type: ignore[call-arg, arg-type, return-value]
        for workspace in (None, "", 1):
            with pytest.raises(TypeError):
                middleware(lambda: None, workspace=workspace)  # type: ignore[arg-type]


def _file_wrapper(file: Any, size: int = 8192) -> Iterator[bytes]:
    return iter(lambda: file.read(size), b"")


@pytest.mark.parametrize("wrapper", [None, wsgiref.util.FileWrapper, _file_wrapper])
def test_p16_a_server_of_wsgi_may_wrap_files_by_any_callable(wrapper: Any) -> None:
    """PEP 3333 asks for a callable; that of uWSGI is no class."""

    def app(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        if environ["PATH_INFO"] == "/file":
            return wrapper(io.BytesIO(b"file"))  # type: ignore[no-any-return]
        return (str(get_workspace()).encode() for _ in range(2))

    served = WSGIMiddleware(app, workspace=lambda environ: "ws_a")
    environ = {"wsgi.file_wrapper": wrapper, "PATH_INFO": "/"}
    assert list(served(environ, print)) == [b"ws_a", b"ws_a"]
    if wrapper is not None:
        body = served({**environ, "PATH_INFO": "/file"}, print)
        assert b"".join(body) == b"file"
        assert isinstance(body, wsgiref.util.FileWrapper) == isinstance(wrapper, type)
