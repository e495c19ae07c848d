"""P9 and P18 with lazy imports (PEP 810, CPython 3.15): patched when the import is carried out."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from environments import ROOT, clean

from dashscope_ws_patch.cli.run import SITEDIR
from dashscope_ws_patch.selftest.loopback import Loopback

pytestmark = pytest.mark.skipif(sys.version_info < (3, 15), reason="CPython 3.15 brings them")

# Models.list goes through a module-level name of the SDK's that is a lazy one under "all".
CALLS = """
dashscope.Models.list(api_key="sk-loopback")
dashscope.Generation.call(model="qwen-turbo", prompt="hello", api_key="sk-loopback")
"""
ORDERS = {
    "before": "lazy import dashscope\nimport dashscope_ws_patch\n",
    "after": "import dashscope_ws_patch\nlazy import dashscope\n",
    "ours lazy too": "lazy import dashscope_ws_patch as o\nlazy import dashscope\no.patch()\n",
}


def sent(code: str, *flags: str, path: str) -> list[list[str]]:
    with Loopback() as service:
        url = f"http://127.0.0.1:{service.port}/api/v1"
        subprocess.run(
            [sys.executable, "-W", "ignore", *flags, "-c", code],
            env=clean(PYTHONPATH=path, DASHSCOPE_HTTP_BASE_URL=url, DASHSCOPE_WORKSPACE="ws_a"),
            cwd=os.sep,
            check=True,
        )
        return [request.workspaces for request in service.drain()]


@pytest.mark.parametrize("order", ORDERS)
def test_p9_a_lazy_import_is_patched_when_it_is_carried_out(order: str) -> None:
    asked = "import sys\nassert 'dashscope' not in sys.modules\n"
    assert sent(ORDERS[order] + asked + CALLS, path=str(ROOT)) == [["ws_a"], ["ws_a"]]


@pytest.mark.parametrize(
    "before", ["import dashscope", "import dashscope, dashscope_ws_patch as p"]
)
def test_p18_with_all_imports_lazy(before: str) -> None:
    path = f"{SITEDIR}{os.pathsep}{ROOT}"
    assert sent(before + CALLS, "-X", "lazy_imports=all", path=path) == [["ws_a"], ["ws_a"]]
    # Without the start-up file an import is carried out where its name is used.
    code = f"{before}\nimport dashscope_ws_patch as shim\nshim.patch()\n{CALLS}"
    assert sent(code, "-X", "lazy_imports=all", path=str(ROOT)) == [["ws_a"], ["ws_a"]]
