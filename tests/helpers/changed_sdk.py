"""Releases of the SDK that do not exist yet: copies of the installed one, changed by script.

``changed(folder, "transports moved", "by value")`` makes such a copy; with it first on PYTHONPATH
a process imports it in the place of the installed one. The public calls of a copy are those of the
installed release, whose insides have been renamed, moved or added to. Only "new module" adds
surfaces, which ``new_surfaces`` lists.
"""

from __future__ import annotations

import inspect
import re
import shutil
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Callable

from dashscope_ws_patch.selftest.surfaces import Drive, Surface


def changed(folder: Path, *changes: str) -> Path:
    """A copy of the installed SDK in ``folder``, changed; what goes on PYTHONPATH."""
    spec = find_spec("dashscope")
    assert spec is not None and spec.submodule_search_locations
    copy = folder / "dashscope"
    ignored = shutil.ignore_patterns("*.pyc", "__pycache__", "examples")
    shutil.copytree(spec.submodule_search_locations[0], copy, ignore=ignored)
    for change in changes:
        CHANGES[change](copy)
    return folder


def _sources(folder: Path) -> Iterator[tuple[Path, str]]:
    for path in sorted(folder.rglob("*.py")):
        yield path, path.read_text("utf-8")


def _replace(folder: Path, *pairs: tuple[str, str]) -> None:
    """Replace patterns in all modules below ``folder``, or in that file; each must occur."""
    unseen = {pattern for pattern, _ in pairs}
    files = [(folder, folder.read_text("utf-8"))] if folder.is_file() else [*_sources(folder)]
    for path, source in files:
        text = source
        for pattern, instead in pairs:
            text, count = re.subn(pattern, instead, text, flags=re.MULTILINE)
            unseen -= {pattern} if count else set()
        if text != source:
            path.write_text(text, "utf-8")
    assert not unseen, f"the SDK has no {unseen} any more"


def _rename(folder: Path, **names: str) -> None:
    _replace(folder, *((rf"\b{old}\b", new) for old, new in names.items()))


def _move(sdk: Path, old: str, new: str) -> None:
    """Move the module ``old`` of the SDK, and have all others import it from ``new``."""
    _path(sdk, old).rename(_path(sdk, new))
    pairs = [(rf"\bdashscope\.{re.escape(old)}\b", f"dashscope.{new}")]
    package, _, name = old.rpartition(".")
    from_package = rf"(from dashscope\.{re.escape(package)} import .*)\b{name}\b"
    if any(re.search(from_package, source) for _, source in _sources(sdk)):
        pairs.append((from_package, rf"\1{new.rpartition('.')[2]} as {name}"))
    _replace(sdk, *pairs)


def _path(sdk: Path, module: str) -> Path:
    return sdk.joinpath(*module.split(".")).with_suffix(".py")


# The changes


def _request_methods(sdk: Path) -> None:
    for name in ("base", "http", "websocket", "aiohttp"):
        definitions = (r"\bdef call\(", "def execute("), (r"\bdef aio_call\(", "def aio_execute(")
        _replace(sdk / f"api_entities/{name}_request.py", *definitions)
    _replace(
        sdk,
        (r"\brequest\.call\(\)", "request.execute()"),
        (r"\brequest\.aio_call\(\)", "request.aio_execute()"),
    )


def _request_classes(sdk: Path) -> None:
    _rename(sdk, HttpRequest="RestRequest", WebSocketRequest="SocketRequest")


def _builder(sdk: Path) -> None:
    _move(sdk, "api_entities.api_request_factory", "api_entities.requests_of_calls")
    _rename(sdk, _build_api_request="_request_of_call")


def _transports_moved(sdk: Path) -> None:
    _move(sdk, "v2.transport.ws_connection", "v2.transport.shared_socket")
    _move(sdk, "v2.transport.ws", "v2.transport.socket_session")
    _move(sdk, "v2.transport.http", "v2.transport.rest")


def _transports_renamed(sdk: Path) -> None:
    _rename(sdk / "v2", SyncTransport="BlockingTransport", AsyncTransport="AwaitedTransport")


def _agentstudio_renamed(sdk: Path) -> None:
    _rename(sdk / "agentstudio", SyncTransport="Pipe", AsyncTransport="AsyncPipe")


def _sessions_renamed(sdk: Path) -> None:
    _rename(sdk / "v2", WsSession="Socket", WsConnection="SharedSocket", RealtimeSession="Live")
    # Its name is public there.
    shown = "import SharedSocket as WsConnection, WsTask"
    _replace(sdk / "v2/__init__.py", ("import SharedSocket, WsTask", shown))
    _replace(sdk / "v2/__init__.py", ('"SharedSocket"', '"WsConnection"'))


def _base_api_moved(sdk: Path) -> None:
    old, new = sdk / "client/base_api.py", sdk / "client/_calls.py"
    old.rename(new)
    names = re.findall(r"^(?:class|def|async def) (_\w+)", new.read_text("utf-8"), re.MULTILINE)
    imported = f"from dashscope.client._calls import {', '.join(names)}\n"
    old.write_text("from dashscope.client._calls import *\n" + imported)


def _mixins_renamed(sdk: Path) -> None:
    _replace(sdk, (r"\b(\w+)Mixin\b", r"Can\1"))


def _by_value(sdk: Path) -> None:
    """``from requests import Session as requests_Session``, and its like."""
    for path, source in _sources(sdk):
        text = source
        for library in ("requests", "aiohttp", "httpx", "websocket"):
            statement = re.compile(rf"^import {library}\b(?! as)", re.MULTILINE)
            use = re.compile(rf"(?<![\w.])(?<!from ){library}\.(\w+)")
            used = sorted(set(use.findall(text)))
            if not statement.search(text) or not used:
                continue
            names = ", ".join(f"{name} as {library}_{name}" for name in used)
            text = use.sub(rf"{library}_\1", text)
            text = statement.sub(f"from {library} import {names}", text)
        if text != source:
            path.write_text(text, "utf-8")


def _other_names(sdk: Path) -> None:
    """``import requests as http_of_requests``, and its like."""
    for path, source in _sources(sdk):
        text = source
        for library in ("requests", "aiohttp", "httpx", "websocket"):
            statement = re.compile(rf"^(\s*)import {library}\b(?! as)", re.MULTILINE)
            if statement.search(text):
                text = re.sub(
                    rf"(?<![\w.])(?<!from ){library}\.(?=\w)", f"http_of_{library}.", text
                )
                text = statement.sub(rf"\1import {library} as http_of_{library}", text)
        if text != source:
            path.write_text(text, "utf-8")


def _resolver_renamed(sdk: Path) -> None:
    _rename(sdk, resolve_base_url="base_url_for")


def _config_renamed(sdk: Path) -> None:
    _rename(sdk / "v2", resolve_config="settle_config", _legacy_fallback="_older_host")


def _uploads_moved(sdk: Path) -> None:
    _move(sdk, "utils.oss_utils", "utils.storage")
    old = "from dashscope.utils.storage import *\nfrom dashscope.utils.storage import OssUtils\n"
    (sdk / "utils/oss_utils.py").write_text(old)


def _sessions_kept(sdk: Path) -> None:
    """One session for all that the mixins send, made when their module is imported."""
    base = sdk / "client/base_api.py"
    text = base.read_text("utf-8").replace(
        "with requests.Session() as session:", "if session := _S:"
    )
    text = text.replace("import requests\n", "import requests\n\n_S = requests.Session()\n", 1)
    base.write_text(text, "utf-8")


def _session_subclassed(sdk: Path) -> None:
    """A session of the SDK's own kind."""
    base = sdk / "client/base_api.py"
    text = base.read_text("utf-8").replace("requests.Session()", "_Session()")
    own = "import requests\n\n\nclass _Session(requests.Session):\n    pass\n"
    base.write_text(text.replace("import requests\n", own, 1), "utf-8")


def _attributes_renamed(sdk: Path) -> None:
    """What adapters look at: of request objects, 2.x clients and sessions."""
    for name in ("base", "http", "websocket", "aiohttp"):
        _replace(sdk / f"api_entities/{name}_request.py", (r"\bself\.(url|headers)\b", r"self._\1"))
    _rename(sdk / "v2", _transport="_wire", _owns_client="_made_pool")
    _replace(sdk / "v2/resources/audio/realtime.py", (r"\bself\._(url|headers)\b", r"self._ws_\1"))
    for name in ("audio/asr", "audio/tts", "tingwu"):
        _rename(sdk / f"v2/resources/{name}.py", _session_kwargs="_ws_options")


def _calls_grown(sdk: Path) -> None:
    """The SDK gives its request objects, and its own functions, one argument more."""
    for name in ("base", "http", "websocket", "aiohttp"):
        grown = (r"def (call|aio_call)\(self\)", r"def \1(self, *, trace=None)")
        _replace(sdk / f"api_entities/{name}_request.py", grown)
    _replace(sdk, (r"\brequest\.(call|aio_call)\(\)", r"request.\1(trace=None)"))
    _replace(sdk / "v2/_quickstart.py", (r"_get_client\(\)( ->|\.)", r"_get_client(kind=None)\1"))
    _replace(
        sdk / "v2/resources/audio/realtime.py", (r"def connect\(self\)", "def connect(self, *_)")
    )


def _classes_beside(sdk: Path) -> None:
    """What sends is new, and the old stays beside it, for compatibility."""
    http = sdk / "v2/transport/http.py"
    text = http.read_text("utf-8")
    old = text[text.index("class SyncTransport:") : text.index("\ndef _sleep(")]
    new = old.replace("class SyncTransport", "class Wire").replace("class Async", "class AsyncWire")
    http.write_text(text + "\n\n" + new.replace("AsyncWireTransport", "AsyncWire"), "utf-8")
    _rename(sdk / "v2/client.py", SyncTransport="Wire", AsyncTransport="AsyncWire")
    package = sdk / "v2/transport/__init__.py"
    exported = "\nfrom dashscope.v2.transport.http import AsyncWire, Wire\n"
    package.write_text(package.read_text("utf-8") + exported, "utf-8")
    request = sdk / "api_entities/http_request.py"
    text = request.read_text("utf-8")
    own = text[text.index("class HttpRequest(") :].replace("HttpRequest", "RestRequest", 1)
    request.write_text(text + "\n\n" + own, "utf-8")
    _rename(sdk / "api_entities/api_request_factory.py", HttpRequest="RestRequest")


def _prepared(sdk: Path) -> None:
    """Requests are prepared before they are sent; sessions are made by what imports requests."""
    base = sdk / "client/base_api.py"
    text = base.read_text("utf-8").replace("await session.get(", "await session.get (")
    text = re.sub(r"session\.(get|post|put|patch|delete)\(", r'_sent(session, "\1".upper(), ', text)
    text = text.replace("requests.Session()", "_session()").replace("import requests\n", "", 1)
    text = f"from __future__ import annotations\n{text}\n\n{_PREPARED}"
    base.write_text(text, "utf-8")


_PREPARED = """
def _session():
    import requests

    return requests.Session()


def _sent(session, method, url, *, timeout=None, stream=False, allow_redirects=True, **more):
    from requests import Request

    prepared = session.prepare_request(Request(method, url, **more))
    settings = session.merge_environment_settings(prepared.url, {}, stream, None, None)
    return session.send(prepared, timeout=timeout, **settings)
"""


def _new_module(sdk: Path) -> None:
    shutil.copy(Path(__file__).with_name("new_module.py"), sdk / "novelties.py")


CHANGES: dict[str, Callable[[Path], None]] = {
    "request methods": _request_methods,
    "request classes": _request_classes,
    "builder": _builder,
    "transports moved": _transports_moved,
    "transports renamed": _transports_renamed,
    "agentstudio renamed": _agentstudio_renamed,
    "sessions renamed": _sessions_renamed,
    "base_api moved": _base_api_moved,
    "mixins renamed": _mixins_renamed,
    "by value": _by_value,
    "other names": _other_names,
    "resolver renamed": _resolver_renamed,
    "config renamed": _config_renamed,
    "uploads moved": _uploads_moved,
    "session kept": _sessions_kept,
    "session subclassed": _session_subclassed,
    "attributes renamed": _attributes_renamed,
    "calls grown": _calls_grown,
    "classes beside": _classes_beside,
    "prepared": _prepared,
    "new module": _new_module,
}

#: What is tried: each change alone, and some together.
COPIES: tuple[tuple[str, ...], ...] = (
    *((change,) for change in CHANGES),
    ("request methods", "transports moved", "new module"),
    ("builder", "base_api moved", "by value"),
    ("request classes", "request methods", "transports renamed", "sessions renamed"),
)


# The surfaces of the new module


def new_surfaces() -> list[Surface]:
    """What the new module of a copy sends by; each takes ``workspace=`` as the SDK's calls do."""
    try:
        import dashscope.novelties as module  # type: ignore[import-not-found]
    except ImportError:
        return []

    def surface(name: str) -> Surface:
        function: Any = getattr(module, name)

        def drive_(drive: Drive) -> object:
            result = function(**drive.naming(function))
            return drive.run(result) if inspect.iscoroutine(result) else result

        return Surface(name, "new module", (), drive_)

    return [surface(name) for name in module.SURFACES]
