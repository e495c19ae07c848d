"""Applications of several frameworks in which each request calls the SDK, for test_tenants_web.

Every endpoint sends the tenant as its prompt, so that the service can tell whose request it got.
"""

# Annotations are evaluated: FastAPI must find those that only exist in a function.

import asyncio
import gc
import io
import json
import os
import sys
from collections.abc import AsyncIterator, Iterator
from typing import Any

import dashscope
from dashscope.aigc.generation import AioGeneration, Generation

from dashscope_ws_patch import WorkspaceError, carry_workspace, get_workspace, set_workspace
from dashscope_ws_patch.tenants.web import ASGIMiddleware, WSGIMiddleware

dashscope.api_key = "sk-0"
HEADER = "X-Tenant"
STEPS = 3


def ask(tenant: str) -> str:
    Generation.call("m", tenant)
    return tenant


async def aask(tenant: str) -> str:
    await AioGeneration.call("m", tenant)
    return tenant


def stream(tenant: str) -> Iterator[str]:
    for _ in range(STEPS):
        yield ask(tenant)


async def astream(tenant: str) -> AsyncIterator[str]:
    for _ in range(STEPS):
        yield await aask(tenant)


def fastapi() -> Any:
    from fastapi import BackgroundTasks, Depends, FastAPI, WebSocket
    from fastapi.responses import StreamingResponse

    app = FastAPI()

    @app.get("/plain")
    async def plain(tenant: str) -> Any:
        return await aask(tenant)

    @app.get("/sync")
    def sync(tenant: str) -> Any:
        return ask(tenant)

    @app.get("/stream-sync")
    def stream_sync(tenant: str) -> Any:
        return StreamingResponse(stream(tenant))

    @app.get("/stream-async")
    async def stream_async(tenant: str) -> Any:
        return StreamingResponse(astream(tenant))

    @app.get("/background")
    async def background(tenant: str, tasks: BackgroundTasks) -> Any:
        tasks.add_task(ask, tenant)
        tasks.add_task(aask, tenant)

    @app.get("/executor")
    async def executor(tenant: str) -> Any:
        return await asyncio.get_running_loop().run_in_executor(None, ask, tenant)

    def dependency(tenant: str) -> Iterator[str]:
        yield ask(tenant)
        ask(tenant)

    @app.get("/dependency")
    def depending(asked: str = Depends(dependency)) -> Any:
        return asked

    @app.websocket("/socket")
    async def socket(websocket: WebSocket) -> None:
        await websocket.accept()
        async for tenant in websocket.iter_text():
            await websocket.send_text(await aask(tenant))

    return ASGIMiddleware(app, workspace=HEADER)


def starlette() -> Any:
    from starlette.applications import Starlette
    from starlette.background import BackgroundTask
    from starlette.middleware import Middleware
    from starlette.middleware.base import BaseHTTPMiddleware
    from starlette.responses import PlainTextResponse, StreamingResponse
    from starlette.routing import Route, WebSocketRoute

    def tenant_of(request: Any) -> str:
        return str(request.query_params["tenant"])

    async def plain(request: Any) -> Any:
        return PlainTextResponse(await aask(tenant_of(request)))

    def sync(request: Any) -> Any:
        return PlainTextResponse(ask(tenant_of(request)))

    async def stream_sync(request: Any) -> Any:
        return StreamingResponse(stream(tenant_of(request)))

    async def stream_async(request: Any) -> Any:
        return StreamingResponse(astream(tenant_of(request)))

    async def background(request: Any) -> Any:
        tenant = tenant_of(request)
        return PlainTextResponse(tenant, background=BackgroundTask(ask, tenant))

    async def executor(request: Any) -> Any:
        loop = asyncio.get_running_loop()
        return PlainTextResponse(await loop.run_in_executor(None, ask, tenant_of(request)))

    async def socket(websocket: Any) -> None:
        await websocket.accept()
        async for tenant in websocket.iter_text():
            await websocket.send_text(await aask(tenant))

    async def through(request: Any, call_next: Any) -> Any:
        return await call_next(request)

    endpoints = [plain, sync, stream_sync, stream_async, background, executor]
    routes: list[Any] = [Route("/" + f.__name__.replace("_", "-"), f) for f in endpoints]
    routes.append(WebSocketRoute("/socket", socket))
    # By the framework's own way to add it, with another below it that starts tasks of its own.
    middleware = [
        Middleware(ASGIMiddleware, workspace=HEADER),
        Middleware(BaseHTTPMiddleware, dispatch=through),
    ]
    return Starlette(routes=routes, middleware=middleware)


def starlette_left() -> Any:
    """The garbage collector runs in the endpoint ``collect`` alone."""
    from starlette.applications import Starlette
    from starlette.responses import JSONResponse, StreamingResponse
    from starlette.routing import Route

    def endless(kind: str) -> Iterator[bytes]:
        try:
            while True:
                yield b"x" * 100_000
        finally:
            SEEN.append([kind, get_workspace()])

    async def bare(request: Any) -> Any:
        return StreamingResponse(endless("bare"))

    async def carried(request: Any) -> Any:
        return StreamingResponse(carry_workspace(endless)("carried"))

    async def collect(request: Any) -> Any:
        gc.collect()
        return JSONResponse([SEEN, get_workspace()])

    gc.disable()
    routes = [Route("/" + f.__name__, f) for f in (bare, carried, collect)]
    return ASGIMiddleware(Starlette(routes=routes), workspace=HEADER)


def flask() -> Any:
    from flask import Flask, Response, request, stream_with_context

    app = Flask(__name__)

    @app.get("/sync")
    def sync() -> Any:
        return ask(request.args["tenant"])

    @app.get("/stream-sync")
    def stream_sync() -> Any:
        return Response(stream(request.args["tenant"]))

    @app.get("/stream-context")
    def stream_context() -> Any:
        return Response(stream_with_context(stream(request.args["tenant"])))

    @app.get("/close")
    def close() -> Any:
        tenant = request.args["tenant"]
        response = Response("done")
        response.call_on_close(lambda: ask(tenant))
        return response

    return WSGIMiddleware(app, workspace=HEADER)


def _django() -> None:
    from django.conf import settings
    from django.http import FileResponse, HttpResponse, StreamingHttpResponse
    from django.urls import path

    if settings.configured:
        return

    def sync(request: Any) -> Any:
        return HttpResponse(ask(request.GET["tenant"]))

    async def plain(request: Any) -> Any:
        return HttpResponse(await aask(request.GET["tenant"]))

    def stream_sync(request: Any) -> Any:
        return StreamingHttpResponse(stream(request.GET["tenant"]))

    async def stream_async(request: Any) -> Any:
        return StreamingHttpResponse(astream(request.GET["tenant"]))

    class Closing(FileResponse):
        def close(self) -> None:
            ask(self.headers["tenant"])
            super().close()

    def file(request: Any) -> Any:
        return Closing(open(__file__, "rb"), headers={"tenant": request.GET["tenant"]})

    sys.modules[__name__].urlpatterns = [  # type: ignore[attr-defined]
        path("file", file),
        path("sync", sync),
        path("plain", plain),
        path("stream-sync", stream_sync),
        path("stream-async", stream_async),
    ]
    settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], SECRET_KEY="0")


def django_asgi() -> Any:
    from django.core.asgi import get_asgi_application

    _django()
    return ASGIMiddleware(get_asgi_application(), workspace=HEADER)


def django_wsgi() -> Any:
    from django.core.wsgi import get_wsgi_application

    _django()
    # By a callable, as an operator would look a tenant up.
    return WSGIMiddleware(
        get_wsgi_application(), workspace=lambda environ: environ.get("HTTP_X_TENANT")
    )


def gunicorn_files() -> Any:
    """Files that are the interpreter's, and run code of the program."""
    from gunicorn.http.wsgi import FileWrapper

    class Raw(io.RawIOBase):
        def __init__(self, tenant: str) -> None:
            self.tenant = tenant

        def readable(self) -> bool:
            return True

        def readinto(self, buffer: Any) -> int:
            tenant, self.tenant = self.tenant, ""
            if tenant:
                buffer[: len(tenant)] = ask(tenant).encode()
            return len(tenant)

    def ask_when_closed(file: Any, tenant: str) -> Any:
        close = file.close

        def ask_and_close() -> None:
            ask(tenant)
            close()

        file.close = ask_and_close
        return file

    def app(environ: Any, start_response: Any) -> Any:
        tenant = environ["HTTP_X_TENANT"]
        wrapper = environ["wsgi.file_wrapper"]
        start_response("200 OK", [])
        if environ["PATH_INFO"] == "/read":
            return wrapper(io.BufferedReader(Raw(tenant)))
        file = io.BufferedReader(io.FileIO(__file__))
        if environ["PATH_INFO"] == "/close":
            return wrapper(ask_when_closed(file, tenant))
        if environ["PATH_INFO"] == "/imported":
            return FileWrapper(ask_when_closed(file, tenant))
        return ask_when_closed(wrapper(file), tenant)

    return WSGIMiddleware(app, workspace=HEADER)


# What was seen at each step, for requests that name a tenant and for those that do not, in the
# background and around the middleware.

SEEN: list[Any] = []


def tried(name: str) -> str:
    """Call the SDK; the loopback service knows the request by ``name``."""
    try:
        Generation.call("m", name)
    except WorkspaceError:
        return "refused"
    return "sent"


def steps(name: str, kind: str, size: int) -> Iterator[bytes]:
    for _ in range(STEPS if kind == "stream" else 1):
        yield json.dumps([tried(name), get_workspace()]).encode() + b" " * (size // 3) + b"\n"


def connection_asgi() -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            SEEN.append(["lifespan", get_workspace()])
            while True:
                message = await receive()
                await send({"type": message["type"] + ".complete"})
                if message["type"] == "lifespan.shutdown":
                    return
        _, kind, name, size = scope["path"].split("/")
        more = True
        while more:
            more = (await receive()).get("more_body", False)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        if kind == "seen":
            body = json.dumps(SEEN).encode()
            await send({"type": "http.response.body", "body": body})
            SEEN.clear()
            return
        for step in steps(name, kind, int(size)):
            await send({"type": "http.response.body", "body": step, "more_body": True})
            await asyncio.sleep(0)
        await send({"type": "http.response.body", "body": b""})
        if kind == "background":
            await asyncio.sleep(0)
            SEEN.append([name, tried(name), get_workspace()])
        if kind == "forgetful":
            set_workspace("ws_forgotten")

    followed = ASGIMiddleware(app, workspace=HEADER)

    async def around(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            SEEN.append(["around", get_workspace()])
        await followed(scope, receive, send)

    return around


def connection_wsgi() -> Any:
    class Body(list):  # type: ignore[type-arg]
        """No plain list: it computes when it is read."""

        def __init__(self, *arguments: Any) -> None:
            super().__init__()
            self.steps = steps(*arguments)

        def __iter__(self) -> Any:
            return self.steps

        def __len__(self) -> int:
            return STEPS

    class File:
        def __init__(self, *arguments: Any) -> None:
            self.steps = steps(*arguments)

        def read(self, size: int = -1) -> bytes:
            return next(self.steps, b"")

    def closing(name: str) -> Iterator[bytes]:
        try:
            yield from steps(name, "background", 0)
        finally:
            SEEN.append([name, tried(name), get_workspace()])

    def app(environ: Any, start_response: Any) -> Any:
        _, kind, name, size = environ["PATH_INFO"].split("/")
        while environ["wsgi.input"].read(65536):
            pass
        start_response("200 OK", [])
        if kind == "seen":
            body = json.dumps(SEEN).encode()
            SEEN.clear()
            return [body]
        if kind == "background":
            return closing(name)
        if kind == "forgetful":
            set_workspace("ws_forgotten")
        if kind == "file":
            return environ["wsgi.file_wrapper"](File(name, "stream", int(size)))
        return Body(name, kind, int(size)) if kind == "stream" else steps(name, kind, int(size))

    followed = WSGIMiddleware(app, workspace=HEADER)

    def around(environ: Any, start_response: Any) -> Any:
        SEEN.append(["around", get_workspace()])
        return followed(environ, start_response)

    return around


if "TENANT_APP" in os.environ:
    app = globals()[os.environ["TENANT_APP"]]()
