"""Workspace hosts of the 1.x surface (from 1.27.5): HTTP, compatible mode, websockets, bodies.

The SDK reads the region and DASHSCOPE_WORKSPACE_ID at import, so each environment is a process,
which this module is when run as a program; all run at once. What they send says which one it is.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any, Callable, Optional

import pytest
from environments import HELPERS, ROOT
from record import comparable

from dashscope_ws_patch import use_workspace
from dashscope_ws_patch.selftest.loopback import Loopback, Request, redirect
from dashscope_ws_patch.selftest.surfaces import dialog_parameters

A, CALL, BASE, ENV, ENV_ID = (f"ws-{name}" for name in ("a", "call", "base", "env", "id"))
REGION = "ap-southeast-1"
LEGACY = "dashscope.aliyuncs.com"


def host(workspace: str) -> str:
    return f"{workspace}.{REGION}.maas.aliyuncs.com"


ENVIRONMENTS: dict[str, dict[str, str]] = {
    "region": {"DASHSCOPE_API_REGION": REGION},
    "built": {"DASHSCOPE_API_REGION": REGION, "DASHSCOPE_WORKSPACE_ID": ENV_ID},
    "both": {
        "DASHSCOPE_API_REGION": REGION,
        "DASHSCOPE_WORKSPACE_ID": ENV_ID,
        "DASHSCOPE_WORKSPACE": ENV,
    },
    "pointed": {
        "DASHSCOPE_HTTP_BASE_URL": f"https://{host(BASE)}/api/v1",
        "DASHSCOPE_WEBSOCKET_BASE_URL": f"wss://{host(BASE)}/api-ws/v1/inference",
        "DASHSCOPE_COMPATIBLE_BASE_URL": f"https://{host(BASE)}/compatible-mode/v1",
        "DASHSCOPE_WORKSPACE": ENV,
    },
    "set_region": {"DASHSCOPE_WORKSPACE": ENV, "DASHSCOPE_WORKSPACE_ID": ENV_ID},
}
SCOPES: dict[str, Any] = {"nothing": contextlib.nullcontext(), "a": use_workspace(A),
                          "none": use_workspace(None)}  # fmt: skip


# --- the program ---------------------------------------------------------------------------------


def _generation(tag: str, named: dict[str, Any]) -> None:
    from dashscope import Generation

    Generation.call(tag, "hello", **named)


def _completions(tag: str, named: dict[str, Any]) -> None:
    from dashscope.aigc.chat_completion import Completions

    messages: Any = [{"role": "user", "content": "hello"}]
    Completions.create(model=tag, messages=messages, api_key="sk-loopback", **named)


def _recognition(tag: str, named: dict[str, Any]) -> None:
    recognition: Any = importlib.import_module("dashscope.audio.asr.recognition")

    session = recognition.Recognition(tag, recognition.RecognitionCallback(), "wav", 16000, **named)
    session.start()
    session.stop()


def _synthesis(tag: str, named: dict[str, Any]) -> None:
    from dashscope.audio.tts_v2 import SpeechSynthesizer

    SpeechSynthesizer(tag, "longxiaochun", **named).call("hello")


def _tingwu(tag: str, named: dict[str, Any]) -> None:
    module: Any = importlib.import_module("dashscope.multimodal.tingwu.tingwu_realtime")

    callback, closed = module.TingWuRealtimeCallback(), threading.Event()
    callback.on_close = lambda code, reason: closed.set()
    session = module.TingWuRealtime(tag, callback, app_id="app-1", **named)
    session.start()
    session.stop()
    closed.wait(60)


def _dialog(tag: str, named: dict[str, Any]) -> None:
    module: Any = importlib.import_module("dashscope.multimodal.multimodal_dialog")
    callback, closed = module.MultiModalCallback(), threading.Event()
    callback.on_close = lambda code, reason: closed.set()
    named = {"workspace_id": named["workspace"]} if named else {}
    session = module.MultiModalDialog(tag, dialog_parameters(), callback, **named)
    session.start("")
    session.stop()
    closed.wait(60)


CALLS: dict[str, Callable[[str, dict[str, Any]], None]] = {
    "generation": _generation,
    "completions": _completions,
    "recognition": _recognition,
    "synthesis": _synthesis,
    "tingwu": _tingwu,
    "dialog": _dialog,
}


def main() -> None:
    """Make each call in each scope, and once explicitly; print the errors."""
    port, name, shim = sys.argv[1:]
    import dashscope

    if name == "set_region":
        dashscope.set_region(REGION, BASE)
    dashscope.api_key = "sk-loopback"
    errors = {}
    with redirect(int(port)):
        for call, make in CALLS.items():
            for scope, entered in SCOPES.items():
                for way, named in (("plain", {}), ("named", {"workspace": CALL})):
                    tag = f"tag-{shim}-{name}-{call}-{scope}-{way}-"
                    try:
                        with entered:
                            make(tag, named)
                    except Exception as error:
                        errors[tag] = type(error).__name__
    print("\n" + json.dumps(errors), flush=True)
    os._exit(0)  # some sessions leave threads


# --- the tests -----------------------------------------------------------------------------------

Told = dict[str, Any]


@pytest.fixture(scope="module")
def told(_loopback: Loopback) -> Iterator[Told]:
    """The request, or the name of the error, of each tag."""
    _loopback.drain()
    processes = [
        subprocess.Popen(
            [sys.executable, __file__, str(_loopback.port), name, shim],
            env={
                **{k: v for k, v in os.environ.items() if not k.startswith("DASHSCOPE_WORKSPACE")},
                **variables,
                "DASHSCOPE_WS_PATCH": shim,
                "PYTHONPATH": os.pathsep.join([str(ROOT), str(HELPERS)]),
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        for name, variables in ENVIRONMENTS.items()
        for shim in "10"
    ]
    found: Told = {}
    for process in processes:
        output, _ = process.communicate(timeout=1200)
        found.update(json.loads(output.splitlines()[-1]))
    for request in _loopback.drain():
        text = request.body.decode("latin-1") + "".join(map(str, request.messages))
        match = re.search(r"tag-[\w-]*-", text)
        if match:
            assert isinstance(found.get(match[0], ""), str)
            found[match[0]] = request
    yield found


def voice(sent: Any) -> Any:
    """Header, host and body of a request; the name of an error."""
    if not isinstance(sent, Request):
        return sent
    (workspace,) = sent.workspaces or [None]
    bodies = re.findall(r'"workspace_id": *"([^"]*)"', "".join(map(str, sent.messages)))
    return workspace, sent.host, (bodies or [None])[0]


def expected(name: str, scope: str) -> tuple[Optional[str], Optional[str]]:
    """Header and host of who names nothing: by the rules."""
    if scope == "a":  # rule 3, P5
        return A, host(A)
    if name in ("pointed", "set_region"):  # rule 5; None is no label
        return None, host(BASE)
    if scope == "none":
        return None, None if name == "region" else host(ENV_ID)
    return {"region": (None, None), "built": (ENV_ID, host(ENV_ID)), "both": (ENV, host(ENV))}[name]


regional = pytest.mark.skipif(
    "resolve_base_url" not in dir(__import__("dashscope.common.env", fromlist=["env"])),
    reason="this release has no regional hosts",
)


@regional
@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_host_header_and_body(name: str, call: str, scope: str, told: Told) -> None:
    header, wanted = expected(name, scope)
    words = voice(told.get(f"tag-1-{name}-{call}-{scope}-plain-"))
    if wanted is None:  # the SDK's own error, and nothing sent
        # The thread of a recognition keeps its error to itself.
        assert words == "InputRequired" or (call == "recognition" and not isinstance(words, tuple))
        return
    body = header if call in ("tingwu", "dialog") else None
    if words == voice(told.get(f"tag-0-{name}-{call}-{scope}-plain-")):
        body = words[2]
    assert words == (header, wanted, body)


@regional
@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_p1_named_by_the_call(name: str, call: str, scope: str, told: Told) -> None:
    sent = told.get(f"tag-1-{name}-{call}-{scope}-named-")
    native = told.get(f"tag-0-{name}-{call}-{scope}-named-")
    assert isinstance(sent, Request) and isinstance(native, Request)
    if call in ("tingwu", "dialog"):
        # Natively the start message alone names it; the handshake then says no other.
        header, to, body = voice(sent)
        assert (header, body) == (CALL, CALL) and to in (voice(native)[1], host(CALL))
        return
    words, before = (json.dumps(comparable(request)) for request in (sent, native))
    assert words == before.replace("tag-0", "tag-1")


if __name__ == "__main__":
    main()
