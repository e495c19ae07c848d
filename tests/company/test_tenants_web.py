"""P16: web requests follow their tenant, with real servers and frameworks.

Each needs its server and framework: ``tox -e web`` installs them.
"""

from __future__ import annotations

import concurrent.futures
import functools
import importlib.util
import io
import os
import socket
import subprocess
import sys
import urllib.error
import urllib.request
import wsgiref.util
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from environments import HELPERS, ROOT

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
    "django_wsgi": {"sync": 1, "plain": 1, "stream-sync": 3},
    "django_asgi": {"sync": 1, "plain": 1, **STREAMS},
}
APP = "tenant_apps:app"
GUNICORN = ["gunicorn", "-b", "fd://{fd}", "--log-level", "error", APP, "-w", "2"]
SERVERS = {
    "uvicorn": ["uvicorn", "--fd", "{fd}", "--log-level", "error", APP],
    "hypercorn": ["hypercorn", "--bind", "fd://{fd}", "--log-level", "error", APP],
    "gunicorn-uvicorn": [*GUNICORN, "-k", "uvicorn.workers.UvicornWorker"],
    "gunicorn-sync": [*GUNICORN, "-k", "sync"],
    "gunicorn-preload": [*GUNICORN, "-k", "gthread", "--threads", "4", "--preload"],
    "gunicorn-gevent": [*GUNICORN, "-k", "gevent"],
}
_ASGI = ("uvicorn", "hypercorn", "gunicorn-uvicorn", "fastapi", "starlette", "django_asgi")
PAIRS = [(s, app) for s in SERVERS for app in PATHS if (s in _ASGI) == (app in _ASGI)]


def _served(server: str, app: str, service: Loopback) -> Iterator[str]:
    for module in {*server.split("-"), app.split("_")[0]} - {"sync", "preload"} | {"websockets"}:
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"{module} is not installed")
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
        command = [word.format(fd=listener.fileno()) for word in SERVERS[server]]
        process = subprocess.Popen(
            [sys.executable, "-m", *command],
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join([str(ROOT), str(HELPERS)]),
                "TENANT_APP": app,
                "DASHSCOPE_WORKSPACE": "ws_env",  # what a lost scope would become
                "DASHSCOPE_HTTP_BASE_URL": service.address("127.0.0.1", "/api/v1"),
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
