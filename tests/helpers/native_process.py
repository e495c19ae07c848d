"""Says what a surface sends without the shim: the other half of the fixture ``native``.

    DASHSCOPE_WS_PATCH=0 python tests/helpers/native_process.py FD

reads lines of JSON, ``[setting, name of a surface or way]``, and answers each with one on FD.
"""

from __future__ import annotations

import json
import sys
import warnings

from environments import ROOT

sys.path.insert(0, str(ROOT))

from hosts import serving
from record import SETTINGS, comparable, record
from ways import ways

from dashscope_ws_patch import is_patched
from dashscope_ws_patch.selftest import surfaces as _surfaces
from dashscope_ws_patch.selftest import surfaces_v2 as _surfaces_v2


def main() -> None:
    assert not is_patched(), "DASHSCOPE_WS_PATCH=0 is missing"
    warnings.simplefilter("ignore")
    each = [*_surfaces.surfaces(), *_surfaces_v2.surfaces(), *ways()]
    named = {surface.name: surface for surface in each}
    # To the file descriptor: the SDK prints to the standard output.
    with serving() as loopback, open(int(sys.argv[1]), "w") as answers:
        _surfaces.prepare(_surfaces.Drive(loopback, plain=False))
        for line in sys.stdin:
            setting, name = json.loads(line)
            sent = record(loopback, named[name], SETTINGS[setting])
            print(json.dumps([comparable(one.request) for one in sent]), file=answers, flush=True)


if __name__ == "__main__":
    main()
