"""The egress audit: reads the SDK's source and finds every place that opens a connection.

Each must be behind a seam of the table, be one that the rule of the edge covers (see ``_edge``), or
be listed below as foreign, with the reason why what it sends carries no workspace. It tells of a
way out that a new release of the SDK adds, and of the row that would cover it:

    python -m dashscope_ws_patch.selftest.audit [FOLDER OF THE PACKAGE]
"""

from __future__ import annotations

import ast
import functools
import re
import sys
from collections.abc import Iterator
from fnmatch import fnmatchcase
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple, Optional

from .._activation import SDK
from .._seams import SEAMS
from .._senders import SENDERS
from ..cli._language import _

SEAM, FOREIGN, UNKNOWN = "seam", "foreign", "unknown"


class Egress(NamedTuple):
    """A place in the SDK that opens a connection."""

    #: ``module:Class.method``, or ``module`` alone for what stands outside functions.
    place: str
    #: What it uses, such as ``requests.Session``.
    way: str
    line: int
    #: "seam", "foreign" (it does not lead to the service) or "unknown".
    state: str
    #: The seam, or the reason; nothing for an unknown one.
    why: str
    #: The row that would cover an unknown one, or what to do where none can.
    row: str = ""


_RL = "dashscope.finetune.reinforcement."

# Ways out: the names of a library that open a connection; none where any use of it may.
_VERBS = {"delete", "get", "head", "options", "patch", "post", "put", "request"}

OPENERS: dict[str, set[str]] = {
    "aiohttp": {"ClientSession", "request"},
    "anthropic": set(),
    "asyncio": {"create_subprocess_exec", "create_subprocess_shell", "open_connection"},
    "duckduckgo_search": set(),
    "ftplib": set(),
    "http.client": {"HTTPConnection", "HTTPSConnection"},
    "httpx": _VERBS | {"AsyncClient", "AsyncHTTPTransport", "Client", "HTTPTransport", "stream"},
    "openai": set(),
    "opentelemetry.exporter": set(),
    "os": {"popen", "system"},  # a program that is started may talk to the network
    "playwright": set(),
    "requests": _VERBS | {"Session", "session"},
    "smtplib": set(),
    "socket": {"create_connection", "socket"},
    "subprocess": {"Popen", "call", "check_call", "check_output", "getoutput", "run"},
    "urllib.request": set(),
    "urllib3": set(),
    "websocket": {"WebSocket", "WebSocketApp", "create_connection"},
    "websockets": {"connect", "unix_connect"},
    "xmlrpc": set(),
}

# The SDK's own: what opens their connections is covered where they are used.
OWN_OPENERS = {
    "dashscope.api_entities.aio_session": {"get_shared_aio_session"},
    "dashscope.api_entities.http_request": {
        "_create_shared_sync_session",
        "_get_shared_sync_session",
    },
    "dashscope.common.aio_session_manager": {"AioSessionManager"},  # 1.25.10 to 1.25.24
    "dashscope.common.session_manager": {"SessionManager"},
    "dashscope.v2.resources.audio.realtime": {"_default_connector"},
    "dashscope.v2.transport.ws": {"_connect", "_default_connector"},
}

# Ways out that lead elsewhere than to the service: patterns of place and way, and the reason.
ELSEWHERE = (
    ("dashscope.utils.*:OssUtils.upload", "requests.Session", "object storage"),
    (_RL + "common.utils:_sync_upload_to_oss", "requests.put", "object storage, by a signed URL"),
    (_RL + "component.observability.tracing:*", "opentelemetry.*", "the user's trace collector"),
    ("dashscope.acli.*", "*subprocess*", "programs on the user's machine"),
    ("dashscope.acli.cli.handlers_config:*", "os.system", "the user's editor"),
    ("dashscope.acli.extensions:build_http_tool.*", "httpx.AsyncClient", "the user's HTTP tools"),
    ("dashscope.acli.providers.anthropic:*", "anthropic*", "a provider that the user names"),
    ("dashscope.acli.providers.openai:*", "openai.*", "a provider that the user names"),
    ("dashscope.acli.skills.store:*", "urllib.request.urlopen", "the stores of skills"),
    ("dashscope.acli.tools.browser:*", "playwright.*", "web pages"),
    ("dashscope.acli.tools.web_search:*", "duckduckgo_search.*", "a search engine"),
)

# What else the SDK imports from outside the standard library. Any other import is a way out until
# somebody has looked at it.
HARMLESS = {
    "PIL", "attr", "certifi", "cryptography", "cv2", "fastapi", "httpx_sse", "numpy",
    "prompt_toolkit", "pydantic", "rich", "sounddevice", "tenacity", "textual", "tiktoken", "tomli",
    "tomllib", "typer", "typing_extensions", "uvicorn", "yaml",
}  # fmt: skip


def audit(folder: Optional[Path] = None) -> list[Egress]:
    """Every way out of the SDK whose package lies in ``folder``, or of the installed SDK.

    Nothing of it is imported. Raises ModuleNotFoundError where no SDK is installed.
    """
    folder = folder or sdk_folder()
    if folder is None:
        raise ModuleNotFoundError(f"no module named {SDK!r}", name=SDK)
    release = sdk_version(folder) or ""
    modules = {module.name: module for module in _modules(folder)}
    found: dict[tuple[str, str], Egress] = {}
    for module in modules.values():
        for node, scope in module.nodes:
            place = f"{module.name}:{'.'.join(scope)}" if scope else module.name
            for way, seen_as in _ways_out(node, scope, module, modules):
                state, why = _verdict(place, way, seen_as, module, scope)
                row = _suggested(way, module, scope, release) if state == UNKNOWN else ""
                egress = Egress(place, way, getattr(node, "lineno", 0), state, why, row)
                if state == UNKNOWN or (place, way) not in found:
                    found[place, way] = egress
    return list(found.values())


def sdk_folder() -> Optional[Path]:
    """Where the package of the SDK lies that this interpreter would import; None if nowhere."""
    spec = find_spec(SDK)
    places = list(spec.submodule_search_locations or ()) if spec else []
    return Path(places[0]) if places else None


def sdk_version(folder: Optional[Path] = None) -> Optional[str]:
    """The version of the SDK in ``folder``, or of the one that would be imported, by its own word;
    None without one."""
    folder = folder or sdk_folder()
    source = folder / "version.py" if folder else None
    if source is None or not source.is_file():
        return None
    found = re.search(r"__version__\s*=\s*['\"](.+?)['\"]", source.read_text("utf-8"))
    return found[1] if found else None


def summary(found: list[Egress]) -> str:
    """One line: how many ways out there are, in which states, and where the unknown ones are."""
    states = [egress.state for egress in found]
    unknown = [f"{egress.place} ({egress.way})" for egress in found if egress.state == UNKNOWN]
    said = _(
        "{ways} ways out of the SDK: {seams} behind seams, {others} not to the service, {unknown} "
        "unknown",
        ways=len(found), seams=states.count(SEAM), others=states.count(FOREIGN),
        unknown=len(unknown),
    )  # fmt: skip
    return said + (f": {', '.join(unknown)}" if unknown else "")


# The verdict


def _verdict(place: str, way: str, seen_as: str, module: _Module, scope: _Scope) -> tuple[str, str]:
    """State and reason; ``seen_as`` is the name, global in its module, of the library used."""
    name, _, function = place.partition(":")
    for owner, names in OWN_OPENERS.items():
        if name == owner and any(_within(function, opener) for opener in names):
            return SEAM, "by its users"
    for seam in SEAMS:
        for covered in seam.covers.split() if seam.module == name else ():
            if _within(function, covered):
                return SEAM, f"{seam.module}.{seam.attributes}"
    for places, ways, reason in ELSEWHERE:
        if fnmatchcase(place, places) and fnmatchcase(way, ways):
            return FOREIGN, reason
    if _leads_to_storage(module, scope):
        return FOREIGN, "object storage, by the names that it uses"
    library, _, last = way.partition(".")
    last = last.rpartition(".")[2]
    # A library that is handed on, or asked for a name that is made up, is the rule's too.
    covers = library in SENDERS and (not last or last in SENDERS[library])
    if covers and (seen_as or _is_given_request(module, scope)):
        return SEAM, "by the rule for what modules send by"
    return UNKNOWN, ""


def _is_given_request(module: _Module, scope: _Scope) -> bool:
    """Whether this is a function that imports a library itself, and is given a URL and headers."""
    node = module.definitions.get(scope)
    return len(scope) == 1 and {"url", "headers"} <= _parameters(node)


def _parameters(node: Any) -> set[str]:
    arguments = getattr(node, "args", None)
    return {argument.arg for argument in arguments.args} if arguments else set()


#: Words of code that sends to object storage, and of code that sends to the service.
_STORAGE = re.compile(r"(?<![a-z])oss(?![a-z])|(?:pre)?signed_?url|upload_(?:host|url)", re.I)
_SERVICE = re.compile(
    r"dashscope|base_(?:address|url|http_api|websocket_api|compatible_api)|maas\b", re.I
)


def _leads_to_storage(module: _Module, scope: _Scope) -> bool:
    """Whether a function, by its names and texts, sends to object storage, not to the service."""
    node = module.definitions.get(scope)
    if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
        return False
    words = {*_words(node)}
    words |= {module.constants[word] for word in words if word in module.constants}
    storage = {word for word in words if _STORAGE.search(word)}
    return bool(storage) and not any(_SERVICE.search(word) for word in words - storage)


def _words(node: ast.AST) -> Iterator[str]:
    for inner in ast.walk(node):
        if isinstance(inner, ast.Name):
            yield inner.id
        elif isinstance(inner, ast.Attribute):
            yield inner.attr
        elif isinstance(inner, ast.Constant) and isinstance(inner.value, str):
            yield inner.value


# The row that would cover a way out


def _suggested(way: str, module: _Module, scope: _Scope, release: str) -> str:
    """The row for an unknown way out of this ``release``, by the shape of what sends."""
    if way.startswith("import ") or way.partition(".")[0] not in SENDERS:
        return "look at what it sends: HARMLESS or ELSEWHERE in audit.py, or a way in _senders.py"
    if not _is_in_function(scope, module):
        return "it is sent while the module is imported: before any row can apply"
    owner: Any = module.definitions.get(scope[:1])
    covers = scope[0]
    if isinstance(owner, ast.ClassDef):
        attribute, adapter = _of_class(owner, way, scope)
    else:
        attribute, adapter = scope[0], "<an adapter of its own, as sdk.list_tasks>"
    return f'Seam("{module.name}", "{attribute}", {adapter}, "{release}", covers="{covers}")'


def _of_class(owner: ast.ClassDef, way: str, scope: _Scope) -> tuple[str, str]:
    methods = {node.name: node for node in owner.body if isinstance(node, _DEFINITIONS[1:])}
    kept = {
        node.attr
        for node in ast.walk(owner)
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)
    }
    public = [name for name in methods if not name.startswith("_")]
    senders = [name for name in public if _parameters(methods[name]) == {"self"}]
    if {"url", "headers"} <= kept and senders:  # a request object
        return " ".join(f"{owner.name}.{name}" for name in senders), "sdk.send"
    transports = [name for name in public if {"method", "path"} <= _parameters(methods[name])]
    if transports:
        return " ".join(f"{owner.name}.{name}" for name in transports), "clients.transport"
    init = methods.get("__init__")
    keywords = {argument.arg for argument in init.args.kwonlyargs} if init else set()
    if way.startswith("websocket") and {"url", "headers", "workspace"} <= keywords:
        return f"{owner.name}.__init__", "clients.socket"
    if way.startswith("websocket") and {"_url", "_headers"} <= kept:
        return f"{owner.name}.{scope[1]}", "clients.connect"
    return f"{owner.name}.{'.'.join(scope[1:2])}", "<an adapter of its own, as sdk.list_tasks>"


def _within(name: str, outer: str) -> bool:
    return name == outer or name.startswith(outer + ".")


# The source


_Scope = tuple[str, ...]


class _Module(NamedTuple):
    name: str
    package: _Scope
    nodes: list[tuple[ast.AST, _Scope]]
    #: What its imports and definitions bind, by scope: (("Class", "method"), "Session") ->
    #: ["requests.Session"].
    names: dict[tuple[_Scope, str], list[str]]
    #: Its classes and functions, by scope.
    definitions: dict[_Scope, ast.AST]
    #: Its global names for texts.
    constants: dict[str, str]

    def lookup(self, name: str, scope: _Scope = ()) -> tuple[list[str], _Scope]:
        """What ``name`` may stand for, as seen from ``scope``, and the scope that binds it."""
        for depth in range(len(scope), -1, -1):
            if (scope[:depth], name) in self.names:
                return self.names[scope[:depth], name], scope[:depth]
        return [f"{origin}.{name}" for origin in self.names.get(((), "*"), ())], ("*",)


def _modules(folder: Path) -> Iterator[_Module]:
    for path in sorted(folder.rglob("*.py")):
        package = (SDK, *path.relative_to(folder).parent.parts)
        if package[1:2] == ("examples",):  # programs that use the SDK
            continue
        try:
            tree = ast.parse(path.read_bytes(), str(path))
        except SyntaxError:  # this Python cannot import it either
            continue
        name = ".".join(package if path.stem == "__init__" else (*package, path.stem))
        nodes: list[tuple[ast.AST, _Scope]] = []
        definitions: dict[_Scope, ast.AST] = {}
        _collect(tree, (), nodes, definitions)
        names: dict[tuple[_Scope, str], list[str]] = {}
        for node, scope in nodes:
            for bound, target in _imported(node, package):
                names.setdefault((scope, bound), []).append(target)
        for node in tree.body:
            if isinstance(node, _DEFINITIONS):
                names.setdefault(((), node.name), []).append(f"{name}.{node.name}")
        constants = {
            target.id: node.value.value
            for node in tree.body
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
            for target in node.targets
            if isinstance(target, ast.Name) and isinstance(node.value.value, str)
        }
        yield _Module(name, package, nodes, names, definitions, constants)


def _collect(
    node: ast.AST,
    scope: _Scope,
    nodes: list[tuple[ast.AST, _Scope]],
    definitions: dict[_Scope, ast.AST],
) -> None:
    """Note the nodes from ``node`` on that may tell of a way out, and the scopes they stand in,
    without those that are but types."""
    if isinstance(node, _TELLING):
        nodes.append((node, scope))
    elif isinstance(node, _DEFINITIONS):
        scope = (*scope, node.name)
        definitions[scope] = node
    for field in node._fields:
        if field in ("annotation", "returns", "type", "ctx"):  # "type" of an except clause
            continue
        value: Any = getattr(node, field, None)
        if field == "value" and _name(node):  # a.b of a.b.c
            continue
        if field == "args" and isinstance(node, ast.Call):
            if _name(node.func) == "isinstance":
                value = value[:1]
            elif _name(node):
                value = value[2:]
        for child in value if isinstance(value, list) else (value,):
            if isinstance(child, ast.AST):
                _collect(child, scope, nodes, definitions)


_TELLING = (ast.Name, ast.Attribute, ast.Call, ast.Import, ast.ImportFrom)
_DEFINITIONS = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def _name(node: ast.AST) -> str:
    """``a.b.c`` of a name or of attributes of a name, got with getattr() or without, else ""."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        owner, attribute = _name(node.value), node.attr
    elif (
        isinstance(node, ast.Call)
        and _name(node.func) in ("getattr", "hasattr")
        and isinstance(node.args[1], ast.Constant)
    ):
        owner, attribute = _name(node.args[0]), str(node.args[1].value)
    else:
        return ""
    return f"{owner}.{attribute}" if owner else ""


def _imported(node: ast.AST, package: _Scope) -> Iterator[tuple[str, str]]:
    """The names that an import binds ("*": all of a module), and what they stand for."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            top = alias.name.partition(".")[0]
            yield (alias.asname, alias.name) if alias.asname else (top, top)
    elif isinstance(node, ast.ImportFrom):
        above = package[: len(package) + 1 - node.level] if node.level else ()
        origin = ".".join((*above, node.module) if node.module else above)
        for alias in node.names:
            star = alias.name == "*"
            yield alias.asname or alias.name, origin if star else f"{origin}.{alias.name}"


def _ways_out(
    node: ast.AST, scope: _Scope, module: _Module, modules: dict[str, _Module]
) -> Iterator[tuple[str, str]]:
    """The ways out that ``node`` uses, each with the global name through which it does."""
    for _imported_as, target in _imported(node, module.package):
        top = target.partition(".")[0]
        if _STANDARD and top not in _STANDARD and top not in _LOOKED_AT:
            yield f"import {top}", ""
    if isinstance(node, ast.Call) and _name(node.func).endswith(("import_module", "__import__")):
        for argument in node.args:
            if isinstance(argument, ast.Constant) and _opens(str(argument.value)):
                yield str(argument.value), ""
    if isinstance(node, ast.Call) and not _is_in_function(scope, module):
        # What is called while its module is imported is gone before the rule applies.
        first, dot, rest = _name(node.func).partition(".")
        for target in module.lookup(first, scope)[0] if first else ():
            way = _followed(target + dot + rest, modules)
            if _opens(way) and way.rpartition(".")[2] in _VERBS | {"create_connection", "stream"}:
                yield way, ""
    first, dot, rest = _name(node).partition(".")
    if first and isinstance(getattr(node, "ctx", ast.Load()), ast.Load):
        targets, bound_in = module.lookup(first, scope)
        for target in targets:
            way = _followed(target + dot + rest, modules)
            if _opens(way):
                yield way, first if bound_in in ((), ("*",)) else ""


def _is_in_function(scope: _Scope, module: _Module) -> bool:
    return any(
        isinstance(module.definitions.get(scope[:end]), (ast.FunctionDef, ast.AsyncFunctionDef))
        for end in range(1, len(scope) + 1)
    )


def _followed(name: str, modules: dict[str, _Module]) -> str:
    """``name`` where it is defined, if modules of the SDK pass it on to each other."""
    for _again in range(9):  # import cycles
        parts = name.split(".")
        owner = next(
            (depth for depth in range(len(parts) - 1, 0, -1) if ".".join(parts[:depth]) in modules),
            None,
        )
        if owner is None:
            break
        targets, _scope = modules[".".join(parts[:owner])].lookup(parts[owner])
        if not targets:
            break
        name = ".".join((targets[0], *parts[owner + 1 :]))
    return name


@functools.cache
def _opens(name: str) -> bool:
    for library, names in (*OPENERS.items(), *OWN_OPENERS.items()):
        if _within(name, library):
            parts = name[len(library) + 1 :].split(".")
            return not names or parts == [""] or not names.isdisjoint(parts)
    return False


_STANDARD: frozenset[str] = getattr(sys, "stdlib_module_names", frozenset())  # 3.10 on
_LOOKED_AT = {name.partition(".")[0] for name in OPENERS} | HARMLESS | {SDK}


def main() -> int:
    """Print each unknown way out with the row that would cover it, then the counts."""
    found = audit(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
    for egress in found:
        if egress.state == UNKNOWN:
            print(f"{egress.place}, line {egress.line}: {egress.way}\n    {egress.row}")
    print(summary(found))
    return int(any(egress.state == UNKNOWN for egress in found))


if __name__ == "__main__":
    sys.exit(main())
