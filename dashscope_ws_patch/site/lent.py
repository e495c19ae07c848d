"""The package is lent: the program's environment has none, and the launcher's copy serves it.

Only the start-up file imports this, when it has found that out.
"""

from __future__ import annotations

import os
import sys


class Lacking(Exception):
    """What the program's environment lacks, in one line."""

    __repr__ = Exception.__str__


#: As in setup.cfg, which is not there to be asked.
NEEDED = "wrapt>=1.14,<3"


def check() -> None:
    """Give up, saying so, where the program's environment has no wrapt that fits.

    Raises Lacking. With DASHSCOPE_WS_PATCH_STRICT=1 the first module of the SDK will raise.
    """
    from .. import unpatch

    try:
        from wrapt import __version_info__ as release

        from .. import _seams  # noqa: F401

        fits = (1, 14) <= tuple(map(int, release[:2])) < (3, 0)
        problem = f"wrapt {'.'.join(map(str, release))}"
    except Exception as error:
        fits, problem = False, str(error)
    if not fits and os.environ.get("DASHSCOPE_WS_PATCH_STRICT", "").strip() != "1":
        unpatch()
        raise Lacking(
            f"{sys.prefix} lacks {NEEDED} ({problem}): {sys.executable} -m pip install '{NEEDED}'"
        )
