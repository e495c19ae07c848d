"""A program like anybody's: calls the SDK once, on a loopback service, and tells what was sent.

``prospect`` runs it by its path in a new interpreter, with nothing of the package imported, so that
it is activated, or not, as the very next program would be; told to ``import`` the package, it does
so then, where it was not.
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


def tell(importing: bool) -> dict[str, Any]:
    """Make one call and say what became of it, and what the shim, if it is here, decides."""
    try:
        import dashscope
    except Exception as error:
        return {"broken": f"import dashscope: {type(error).__name__}: {error}"}
    here = os.path.dirname(os.path.abspath(__file__))
    came = _patched()
    if importing and not came:
        sys.path.append(os.path.dirname(os.path.dirname(here)))
        import dashscope_ws_patch  # noqa: F401
    loopback = _by_path("dashscope_loopback", os.path.join(here, "loopback.py"))
    told: dict[str, Any] = {"sdk": dashscope.version.__version__, "came": came}
    told.update(_as_the_shim_decides(dashscope))
    _speak_plainly()
    with loopback.Loopback() as service, loopback.redirect(service.port, local=True):
        try:
            dashscope.Generation.call("qwen-plus", prompt="1", api_key="sk-loopback")
        except Exception as error:
            told["error"] = f"{type(error).__name__}: {error}"
        sent = [(request.host, request.workspaces) for request in service.drain()]
        activation: Any = sys.modules.get("dashscope_ws_patch._activation")
        libraries = activation.covered() if told["patched"] else {}
        if libraries:
            told["beside"] = _without_the_sdk(service)
    told["host"], told["carried"] = sent[0] if sent else (None, [])
    states = activation.report() if told["patched"] else []
    told["applied"] = sum(state == activation.APPLIED for _, state, _ in states)
    told["failed"] = [
        f"{seam.module}.{seam.attributes}"
        for seam, state, _ in states
        if state == activation.FAILED
    ]
    told["failed"] += [name for name, (state, _) in libraries.items() if state == activation.FAILED]
    return told


def _without_the_sdk(service: Any) -> list[str]:
    """What a request of the compatible mode carries, made by requests as any program may."""
    import requests

    with contextlib.suppress(Exception):  # what is wrong is said of the SDK's call
        requests.post("https://dashscope.aliyuncs.com/compatible-mode/v1/chat/completions", json={})
    return [workspace for request in service.drain() for workspace in request.workspaces]


def _patched() -> bool:
    package: Any = sys.modules.get("dashscope_ws_patch")
    return package is not None and package.is_patched()


def _as_the_shim_decides(dashscope: ModuleType) -> dict[str, Any]:
    """What the shim decides for a request made now; nothing of it where it is not here."""
    bases = {name: getattr(dashscope, name, None) for name in BASES}
    decided: dict[str, Any] = {"patched": _patched(), "bases": []}
    if not decided["patched"]:
        return decided
    from dashscope_ws_patch import _decision, _hosts  # they are loaded by now
    from dashscope_ws_patch.cli.status import OF_CLIENTS

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


if __name__ == "__newcomer__":
    print("\n" + MARK + json.dumps(tell(sys.argv[1:] == ["import"])), flush=True)
