"""What a row of the tables is."""

from __future__ import annotations

from typing import Any, Callable, NamedTuple


class Seam(NamedTuple):
    """One row: ``attribute`` of ``module`` is put through ``adapter``."""

    module: str
    attribute: str
    adapter: Callable[[Any], Any]
    since: str
    until: str | None = None
