"""What a row of the tables is."""

from __future__ import annotations

from typing import Any, Callable, NamedTuple


class Seam(NamedTuple):
    """One row: ``attributes`` of ``module``, separated by blanks, are put through ``adapter``."""

    module: str
    attributes: str
    adapter: Callable[[Any], Any]
    since: str
    until: str | None = None
    #: What of the module sends with the workspace because of this row, for the audit: a class, a
    #: function, or a library as the module sees it.
    covers: str = ""
