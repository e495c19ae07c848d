"""What holds for a request, a message or a job: the workspace that it names, or no scope at all."""

from __future__ import annotations

from typing import Any

from .._carry import Held
from .._workspace import WorkspaceError, scope, use_workspace


def named_here(said: Any = None) -> Any:
    """What a message that is sent here says: the workspace of the scope, "" for a scope that is
    none ("no workspace here"), None where there is no scope.

    What the message ``said`` before (another one's, or at its last use) does not count, unless it
    is malformed: then it stays, so that the message fails.
    """
    try:
        holding(said)
    except (TypeError, WorkspaceError):
        return said
    here = scope.get()
    return None if here is None else here.workspace or ""


def holding(named: Any) -> Held:
    """What holds while work runs that says ``named``, whatever scope its server or worker is in.

    Work that says nothing runs in no scope: not in the worker's, and not in
    ``use_workspace(None)``, which would hide the environment.

    Raises WorkspaceError for a malformed workspace, TypeError for what is no ``str`` or None.
    """
    if named is None:
        return [[scope, None]]
    entered = use_workspace(None if named == "" else named)._entered()
    entered.outer = None  # the worker's
    return [[scope, entered]]


def holding_beside(named: Any) -> Held:
    """What holds for what is done with a message beside running its work: retries, callbacks.

    Where ``named`` is malformed, the work itself raises that. All else is done for nobody, and
    without the environment's workspace.
    """
    try:
        return holding(named)
    except (TypeError, WorkspaceError):
        return holding("")
