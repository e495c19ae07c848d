"""Says what the surfaces of a changed SDK send, in a process of its own.

    PYTHONPATH=COPY DASHSCOPE_WS_PATCH=1 python tests/helpers/changed_process.py FD

writes to FD the names of the surfaces, and what was warned about while the SDK was imported. Then
it reads lines of JSON, ``[setting, name of a surface]``, and answers each with one. With
DASHSCOPE_WS_PATCH=0 it tells what they send natively.
"""

from __future__ import annotations

import json
import sys
import warnings
from typing import Any

from environments import ROOT

sys.path.append(str(ROOT))

import dashscope_ws_patch  # noqa: F401 - first, as programs import it


def main() -> None:
    with open(int(sys.argv[1]), "w") as answers:

        def answer(value: Any) -> None:
            print(json.dumps(value), file=answers, flush=True)

        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            import dashscope  # noqa: F401
        warned = [str(warning.message) for warning in caught if warning.category is RuntimeWarning]
        warnings.simplefilter("ignore")

        from changed_sdk import new_surfaces
        from hosts import serving
        from record import SETTINGS, comparable, names_workspace, record, voices

        from dashscope_ws_patch.selftest import surfaces, surfaces_v2

        with serving() as loopback:
            surfaces.prepare(surfaces.Drive(loopback, plain=False))
            each = [*surfaces.surfaces(), *surfaces_v2.surfaces(), *new_surfaces()]
            named = {surface.name: surface for surface in each}
            answer(
                {"surfaces": [[surface.name, surface.group] for surface in each], "warned": warned}
            )
            for line in sys.stdin:
                setting, name = json.loads(line)
                sent = record(loopback, named[name], SETTINGS[setting])
                answer(
                    [
                        {
                            "naming": one.naming,
                            "workspaces": one.request.workspaces,
                            "voices": sorted(voices(one.request)),
                            "named": names_workspace(comparable(one.request)),
                            "request": comparable(one.request),
                        }
                        for one in sent
                    ]
                )


if __name__ == "__main__":
    main()
