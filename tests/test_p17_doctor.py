"""What ``doctor`` calls right: its exit status is 0 only if every request is."""

from __future__ import annotations

from typing import Any

import pytest

from dashscope_ws_patch.selftest.doctor import Row

SENT = Row("text: Generation.call", 2, 2, 0, 2, 0, "", "")
SILENT = SENT._replace(requests=0, natively=0, shim=0)


@pytest.mark.parametrize(
    "changed, right",
    [
        ({}, True),
        ({"native": 2}, True),
        ({"shim": 1}, False),
        ({"requests": 3, "shim": 3}, False),
        ({"natively": 3}, False),
        ({"leaks": 1}, False),
        # Our answers need not be to the SDK's taste.
        ({"error": "KeyError: 'output'"}, True),
    ],
    ids=str,
)
def test_p2_each_native_request_is_made_and_carries_the_workspace(
    changed: dict[str, Any], right: bool
) -> None:
    assert SENT._replace(**changed).right is right


@pytest.mark.parametrize(
    "error, natively, broken",
    [
        ("NameError: name 'Generation' is not defined",) * 2 + (True,),
        ("NameError: name 'Generation' is not defined", "", False),
        ("", "", False),
    ],
)
def test_p2_a_surface_is_silent_only_where_the_sdk_itself_fails(
    error: str, natively: str, broken: bool
) -> None:
    row = SILENT._replace(error=error, natively_error=natively)
    assert row.broken is row.right is broken
