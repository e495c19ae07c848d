"""P6: what is requested on behalf of a call carries that call's workspace."""

from __future__ import annotations

from _record import AMBIENT, NAMED, voices
from conftest import Recorder

from dashscope_ws_patch.selftest.surfaces import Surface


def test_p6_every_request_follows_the_call(surface: Surface, recorded: Recorder) -> None:
    """Requests made on behalf of a call carry its explicit workspace; others the ambient one."""
    for one in recorded(surface, "named in a scope"):
        if not one.request.foreign:
            expected = NAMED if one.naming else AMBIENT
            assert one.request.workspaces == [expected], one.request.path
            assert voices(one.request) == {expected}
