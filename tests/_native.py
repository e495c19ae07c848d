"""Writes what every surface sends without the shim, as JSON, to a file descriptor.

    DASHSCOPE_WS_PATCH=0 python tests/_native.py FD SETTING...
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from _record import SETTINGS, comparable, record
from _ways import ways
from hosts import serving

from dashscope_ws_patch import is_patched
from dashscope_ws_patch.selftest import surfaces as _surfaces


def main() -> None:
    assert not is_patched(), "DASHSCOPE_WS_PATCH=0 is missing"
    surfaces = _surfaces.surfaces()
    with serving() as loopback:
        _surfaces.prepare(_surfaces.Drive(loopback, plain=False))
        found = {
            setting: {
                surface.name: [
                    comparable(sent.request)
                    for sent in record(loopback, surface, SETTINGS[setting])
                ]
                for surface in surfaces
            }
            for setting in sys.argv[2:]
        }
        found["ways"] = {
            way.name: [
                comparable(sent.request) for sent in record(loopback, way, SETTINGS["nothing"])
            ]
            for way in ways()
        }
    # To the file descriptor: the SDK prints to the standard output.
    with open(int(sys.argv[1]), "w") as output:
        json.dump(found, output)


if __name__ == "__main__":
    main()
