"""A program like anybody's: calls the SDK once, on a loopback service, and tells what was sent.

``prospect`` runs it by its path in a new interpreter, with nothing of the package imported, so that
it is activated, or not, as the very next program would be; where it was not, it imports the package
after that has been seen.
Nothing leaves the machine: whatever host the environment points the SDK at, this process reaches
its own service instead.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import sys
import warnings
from types import ModuleType
from typing import Any

MARK = "dashscope-ws-patch newcomer: "
BASES = ("base_http_api_url", "base_websocket_api_url", "base_compatible_api_url")
#: The variable that the clients of the 2.x SDK ask before the others.
OF_CLIENTS = "DASHSCOPE_BASE_URL"


def at_start() -> dict[str, Any]:
    """What the start of this interpreter has left of ours: the files of the finders that wait,
    whether the package is in force by now, and what may have imported it."""
    waiting = [getattr(finder, "dashscope_ws_patch", None) for finder in sys.meta_path]
    customize = [sys.modules.get(name) for name in ("sitecustomize", "usercustomize")]
    return {
        "waiting": [file for file in waiting if file],
        "imported": _patched(),
        "customize": [file for file in (getattr(m, "__file__", None) for m in customize) if file],
        "path": sys.path[:],
    }


def tell(told: dict[str, Any]) -> None:
    """Make one call and note in ``told`` what became of it, and what the shim decides."""
    try:
        import dashscope
    except BaseException as error:
        told["missing"] = getattr(error, "name", "") == "dashscope"
        told["broken"] = f"import dashscope: {type(error).__name__}: {error}"
        return
    told["sdk"] = dashscope.version.__version__
    try:
        told["came"] = _patched() and bool(_rows("applied"))
        if not told["came"] and not switched_off():
            here = os.path.dirname(os.path.abspath(__file__))
            sys.path.append(os.path.dirname(os.path.dirname(here)))
            import dashscope_ws_patch  # noqa: F401
        if _patched():
            told["failed"] = [
                f"{seam.module}.{seam.attributes} ({reason})" for seam, _, reason in _rows("failed")
            ]
            told["applied"] = len(_rows("applied"))
            if not told["applied"]:
                told["bare"] = f"no row of the table fits {getattr(dashscope, '__file__', '')}"
    except Exception as error:
        told["bare"] = repr(error)
    if "bare" not in told:
        told.update(_as_the_shim_decides(dashscope))
        told.update(_one_call(dashscope))


def switched_off() -> bool:
    # As the package says; it is not here.
    return os.environ.get("DASHSCOPE_WS_PATCH", "").strip().lower() in ("0", "off", "false", "no")


def _one_call(dashscope: ModuleType) -> dict[str, Any]:
    loopback = _by_path(
        "dashscope_loopback", os.path.join(os.path.dirname(__file__), "loopback.py")
    )
    told: dict[str, Any] = {}
    _speak_plainly()
    with loopback.Loopback() as service, loopback.redirect(service.port, local=True):
        try:
            dashscope.Generation.call("qwen-plus", prompt="1", api_key="sk-loopback")
        except Exception as error:
            told["error"] = f"{type(error).__name__}: {error}"
        sent = [(request.host, request.workspaces) for request in service.drain()]
        activation: Any = sys.modules.get("dashscope_ws_patch._activation")
        libraries = activation.covered() if _patched() else {}
        if libraries:
            told["beside"] = _without_the_sdk(service)
    told["host"], told["carried"] = sent[0] if sent else (None, [])
    told["failed_libraries"] = [n for n, (state, _) in libraries.items() if state == "failed"]
    return told


def _without_the_sdk(service: Any) -> list[str]:
    """What a request of the compatible mode carries, made by requests as any program may."""
    import requests

    with contextlib.suppress(Exception):  # what is wrong is said of the SDK's call
        requests.post("https://dashscope.aliyuncs.com/compatible-mode/v1/chat/completions", json={})
    return [workspace for request in service.drain() for workspace in request.workspaces]


def _patched() -> bool:
    package: Any = sys.modules.get("dashscope_ws_patch")
    return package is not None and bool(package.is_patched())


def _rows(state: str) -> list[Any]:
    activation: Any = sys.modules["dashscope_ws_patch._activation"]
    return [row for row in activation.report() if row[1] == state]


def _as_the_shim_decides(dashscope: ModuleType) -> dict[str, Any]:
    """What the shim decides for a request made now; nothing of it where it is not here."""
    bases = {name: getattr(dashscope, name, None) for name in BASES}
    decided: dict[str, Any] = {"bases": []}
    if not _patched():
        return decided
    from dashscope_ws_patch import _decision, _hosts  # they are loaded by now

    try:
        decided["workspace"], decided["source"] = _decision.ambient()
        for name, url in bases.items():
            if url and _hosts.workspace_in_host(url):
                label = _hosts.workspace_in_host(url)
                natively = _decision.settle(url)[3] in (None, "host")
                decided["bases"].append({"name": name, "names": label, "wins": natively})
        label = _hosts.workspace_in_host(os.environ.get(OF_CLIENTS))
        if label and "dashscope.v2" in sys.modules:
            decided["bases"].append({"name": OF_CLIENTS, "names": label, "wins": True})
    except ValueError as error:  # WorkspaceError: a malformed one
        decided["malformed"] = str(error)
    return decided


def _speak_plainly() -> None:
    # The loopback service has no certificate that this process would trust. The URLs stay as they
    # are, since the workspace is decided by them; only the bytes go out unencrypted.
    from urllib3 import connection

    warnings.simplefilter("ignore")
    connection.HTTPSConnection.connect = connection.HTTPConnection.connect  # type: ignore[method-assign]


def _by_path(name: str, path: str) -> Any:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main() -> None:
    told = at_start()
    try:
        tell(told)
    except Exception as error:
        told.setdefault("error", repr(error))
    print("\n" + MARK + json.dumps(told), flush=True)


if __name__ == "__newcomer__":
    main()
