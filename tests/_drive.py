"""Drives the surfaces of the installed SDK against the loopback and prints what each sent.

python tests/_drive.py [--shim] [--named WORKSPACE] [--only NAME] [--traceback]
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import sys
import threading
import time
import traceback
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shim", action="store_true", help="with the SDK patched")
    parser.add_argument("--named", metavar="WORKSPACE", help="named explicitly where accepted")
    parser.add_argument("--only", metavar="NAME", default="", help="surfaces whose name has this")
    parser.add_argument("--traceback", action="store_true", help="of what a surface raises")
    args = parser.parse_args()
    os.environ["DASHSCOPE_WS_PATCH"] = "1" if args.shim else "0"  # Read when it is imported.
    from dashscope_ws_patch.selftest import surfaces as _surfaces
    from dashscope_ws_patch.selftest.loopback import Loopback, redirect

    bad = sent = driven = 0
    with Loopback() as loopback, redirect(loopback.port):
        drive = _surfaces.Drive(loopback, {"workspace": args.named} if args.named else {})
        _surfaces.prepare(drive)
        for surface in _surfaces.surfaces():
            if args.only not in surface.name:
                continue
            raised, begin, threads = "", time.perf_counter(), threading.active_count()
            try:
                with contextlib.redirect_stdout(io.StringIO()):  # Some releases print.
                    surface.drive(drive)
            except Exception as error:
                raised = f"{type(error).__name__}: {error}"
                if args.traceback:
                    traceback.print_exc()
            seconds = time.perf_counter() - begin
            left = threading.active_count() - threads
            requests = loopback.drain()
            foreign = [request for request in requests if request.foreign]
            headed = [request for request in requests if request.workspaces]
            bad += bool(raised) or len(requests) == len(foreign)
            sent, driven = sent + len(requests), driven + 1
            print(
                f"{surface.group:11}{surface.name:44}{len(requests):3} requests{len(foreign):3}"
                f" foreign{len(headed):3} with header{seconds:6.2f} s"
                f"{f'  {left} threads left' if left else ''}  {raised}"
            )
    print(f"{driven} surfaces, {sent} requests, {bad} bad")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
