"""Every request of the dashscope SDK carries its workspace.

Importing this package patches the SDK, imported before or after, unless the environment variable
DASHSCOPE_WS_PATCH is 0, off, false or no. The workspace comes from ``use_workspace`` or from the
environment variable DASHSCOPE_WORKSPACE (else DASHSCOPE_WORKSPACE_ID), read at each call.
"""

from ._activation import SeamError, is_patched, patch, switched_off, unpatch
from ._carry import carry_workspace
from ._workspace import (
    ScopeToken,
    WorkspaceError,
    get_workspace,
    reset_workspace,
    set_workspace,
    use_workspace,
)

__all__ = [
    "ScopeToken",
    "SeamError",
    "WorkspaceError",
    "carry_workspace",
    "get_workspace",
    "is_patched",
    "patch",
    "reset_workspace",
    "set_workspace",
    "unpatch",
    "use_workspace",
]

__version__ = "1.1.0"

if not switched_off():
    patch()
