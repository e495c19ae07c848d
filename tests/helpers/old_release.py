"""Run by the Python of an environment with other releases of the libraries, with the port of a
service: sends by each of them, and prints what was wrong, a line each."""

import asyncio
import contextlib
import importlib
import inspect
import json
import socket
import sys
import warnings

import dashscope_ws_patch
from dashscope_ws_patch import _activation, use_workspace

HEADER = "X-DashScope-WorkSpace"
PORT = int(sys.argv[1])
SERVICE = f"http://dashscope.aliyuncs.com:{PORT}/api/v1/models"
FOREIGN = f"http://results.oss-cn-beijing.aliyuncs.com:{PORT}/a.png"

# The self-test's own way needs aiohttp; here every URL has the port of the service.
lookup = socket.getaddrinfo
socket.getaddrinfo = lambda host, *args, **kwargs: lookup("127.0.0.1", *args, **kwargs)
warnings.simplefilter("ignore")

WAYS = {}


def way(library):
    def add(function):
        with contextlib.suppress(ImportError):
            WAYS[function.__name__] = function, importlib.import_module(library)
        return function

    return add


def check(request, headers):
    """The program does not see what was added."""
    assert (HEADER in request.headers) == bool(headers), "the header shows"


@way("requests")
def requests_get(requests, url, headers):
    check(requests.get(url, headers=headers).request, headers)


@way("requests")
def requests_chunked(requests, url, headers):
    body = iter([b"a", b"b"])
    with requests.Session() as session:
        asked = requests.Request("POST", url, headers=headers, data=body)
        request = session.prepare_request(asked)
        assert session.send(request).request is request, "another request"
        check(request, headers)


@way("urllib3")
def urllib3(urllib3, url, headers):
    urllib3.PoolManager().request("GET", url, headers=headers)


@way("urllib.request")
def urllib_request(urllib, url, headers):
    urllib.urlopen(urllib.Request(url, headers=headers)).read()


def httpx_get(httpx, url, headers):
    with httpx.Client() as client:
        check(client.get(url, headers=headers).request, headers)


async def httpx_async(httpx, url, headers):
    async with httpx.AsyncClient() as client:
        check((await client.get(url, headers=headers)).request, headers)


way("httpx")(httpx_get)
way("httpx")(httpx_async)


@way("httpx2")
def httpx2_get(httpx, url, headers):
    httpx_get(httpx, url, headers)


@way("httpx2")
async def httpx2_async(httpx, url, headers):
    await httpx_async(httpx, url, headers)


@way("aiohttp")
async def aiohttp(aiohttp, url, headers):
    async with aiohttp.ClientSession() as session:
        async with session.get(url, headers=headers) as answer:
            await answer.read()
            check(answer.request_info, headers)


def socket_of(url):
    return f"ws://{url.split('/')[2]}/api-ws/v1/realtime?model=m"


@way("websocket")
def websocket(websocket, url, headers):
    lines = [f"{name}: {value}" for name, value in headers.items()]
    websocket.create_connection(socket_of(url), header=lines).close()


@way("websockets")
async def websockets(websockets, url, headers):
    release = int(websockets.version.version.partition(".")[0])
    name = "additional_headers" if release >= 14 else "extra_headers"
    more = {"proxy": None} if release >= 15 else {}
    async with websockets.connect(socket_of(url), **{name: headers}, **more) as connection:
        check(getattr(connection, "request", None) or Legacy(connection), headers)


class Legacy:
    def __init__(self, connection):
        self.headers = connection.request_headers


@way("websockets.sync.client")
def websockets_sync(library, url, headers):
    with library.connect(socket_of(url), additional_headers=headers) as connection:
        check(connection.request, headers)


# Imported before; moved to the workspace's own host; and left as they are by unpatch.
for mode in ("on", "own", "off"):
    dashscope_ws_patch.unpatch()
    dashscope_ws_patch.patch(clients=mode != "off", own_host=mode == "own")
    for name, (function, library) in WAYS.items():
        wrong = []
        for url in (SERVICE, FOREIGN):
            for headers in ({}, {HEADER: "ws_mine"}):
                try:
                    with use_workspace("ws_a"):
                        result = function(library, url, headers)
                        if inspect.isawaitable(result):
                            asyncio.run(result)
                except Exception as error:
                    wrong.append(f"{type(error).__name__}: {error}")
        print(json.dumps([name, mode, wrong]))
    states = _activation.covered().items()
    failed = {name: why for name, (state, why) in states if state == "failed"}
    print(json.dumps(["covered", mode, failed]))
