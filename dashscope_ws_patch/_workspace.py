"""The ambient workspace: scopes, environment, validation.

Knows nothing of dashscope. Everything is read at the moment it is asked for, so threads, tasks and
a changed environment are always seen as they are.
"""

from __future__ import annotations

import os
import sys
from contextvars import ContextVar, Token
from typing import TYPE_CHECKING, Any, Callable, Optional, TypeVar, cast

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")

#: The variables that name a workspace, in the order in which they are asked. The first is the one
#: that the 2.x client reads (dashscope.v2._config), the second the one of the 1.x regional hosts
#: (dashscope.common.env).
VARIABLES = ("DASHSCOPE_WORKSPACE", "DASHSCOPE_WORKSPACE_ID")

#: Where it is set (to anything but 0, off, false or no), a request needs a scope or names its own
#: workspace: a scope that was lost must not become somebody else's bill.
REQUIRE_SCOPE = "DASHSCOPE_WS_PATCH_REQUIRE_SCOPE"

#: More names of the service, with commas between them; a leading dot stands for all subdomains.
HOSTS = "DASHSCOPE_WS_PATCH_HOSTS"

#: Asks for the workspace's own host: 1, or the region in which that is.
OWN_HOST = "DASHSCOPE_WS_PATCH_OWN_HOST"

#: What switches of this package may say, in any capitalisation; "" is unset.
ON, OFF = ("1", "on", "true", "yes"), ("", "0", "off", "false", "no")


class WorkspaceError(ValueError):
    """A workspace breaks the rule ``[A-Za-z0-9][A-Za-z0-9_-]{0,63}``.

    The rule is the SDK's own (``dashscope.common.env.validate_workspace_id``). Also raised where
    DASHSCOPE_WS_PATCH_REQUIRE_SCOPE asks for a scope and there is none.
    """


def validate(value: object, origin: str) -> str:
    """Return ``value`` if it is a well-formed workspace.

    ``origin`` names the argument or variable that the value came from. Raises TypeError for what is
    no string, WorkspaceError for a string that breaks the rule.
    """
    if not isinstance(value, str):
        raise TypeError(f"{origin} must be a str or None, not {type(value).__name__}")
    plain = value.replace("_", "a").replace("-", "a")
    if not (0 < len(value) <= 64 and plain.isascii() and plain.isalnum() and value[0].isalnum()):
        raise WorkspaceError(
            f"{origin} is {masked(value)!r}, but a workspace is 1 to 64 of the characters A-Z a-z "
            "0-9 _ -, the first a letter or digit, such as 'ws_QTggmeA1b2c3' or 'llm-x1y2' (the "
            "console shows it under 业务空间管理)"
        )
    return str.__str__(value)  # a subclass (an enum member, say) must not reach a header


def masked(value: str, longest: int = 24) -> str:
    """``value`` for a message or report. What could be an API key in the place of a workspace (the
    service's ids have about 20 characters), or of what is at most ``longest``, is shown by its
    first four characters and its length."""
    import re

    if len(value) <= longest and not re.search(r"(?ai)(?<![a-z0-9])sk-", value):
        return value
    return f"{value[:4]}... ({len(value)} characters; an API key?)"


class Scope:
    """One entered ``use_workspace`` or ``set_workspace``; the innermost one holds.

    ``owner`` is the ``use_workspace`` object, None for ``set_workspace``.
    """

    __slots__ = ("outer", "owner", "workspace")

    def __init__(self, workspace: str | None, owner: object, outer: Scope | None) -> None:
        self.workspace = workspace
        self.owner = owner
        self.outer = outer


if TYPE_CHECKING:
    ScopeToken = Token[Optional[Scope]]
else:
    ScopeToken = Token

scope: ContextVar[Scope | None] = ContextVar("dashscope_ws_patch.scope", default=None)
for _finder in sys.meta_path:
    # Of a copy of this package that was dropped from sys.modules: its names may still be in use.
    if type(_finder).__module__ == f"{__package__}._imports":
        scope = _finder.workspace.scope  # type: ignore[attr-defined]

#: Whether the shim is in force: objects that it made live on after unpatch().
in_force = False

#: The modules that are patched, or will be when their code has run, by name. (Activation notes them
#: here, for those who ask after them when they are dropped from sys.modules.)
modules: dict[str, Any] = {}

#: Called at each scope entered, before it holds (activation lets thread pools follow scopes here).
on_scope: Callable[[], None] | None = None

_UNSET: Any = object()


def enter(variable: ContextVar[T], value: T) -> Token[T]:
    """``variable.set(value)``, so that its reset never makes the variable unset.

    CPython up to 3.11 crashes otherwise: where the garbage collector runs a finalizer that reads
    the variable while it is being unset, the variable goes on to give out what has been freed.
    """
    if variable.get(_UNSET) is _UNSET:
        variable.set(variable.get())  # its default
    return variable.set(value)


class use_workspace:
    """Make ``workspace`` the ambient workspace of a ``with`` block or of a function.

    ``workspace`` is a workspace id (``[A-Za-z0-9][A-Za-z0-9_-]{0,63}``) or None, which means
    "no workspace here" and hides outer scopes and the environment. Raises WorkspaceError for any
    other string, TypeError for anything else, at once.

    As a decorator it takes functions, coroutine functions, generator functions and async generator
    functions, in whose bodies it holds wherever and in whichever thread or context their steps run,
    and nowhere between two of them. Raises TypeError for classes, and for what
    ``contextlib.contextmanager`` makes. One object may be reused, nested in itself, shared between
    threads and tasks, and pickled.
    """

    def __init__(self, workspace: str | None) -> None:
        if workspace is not None:
            workspace = validate(workspace, "use_workspace(workspace)")
        self._workspace = workspace

    def __repr__(self) -> str:
        return f"use_workspace({self._workspace and masked(self._workspace)!r})"

    def __reduce__(self) -> Any:
        return type(self), (self._workspace,)

    def _entered(self) -> Scope:
        if on_scope is not None:
            on_scope()
        return Scope(self._workspace, self, scope.get())

    def __enter__(self) -> str | None:
        enter(scope, self._entered())
        return self._workspace

    def __exit__(self, *error: object) -> None:
        # Leave what was entered *in this context*: no token is kept on the object, so it can be
        # shared; and a set_workspace() left behind inside the block goes with it.
        entered = scope.get()
        while entered is not None and entered.owner is not self:
            entered = entered.outer
        if entered is not None:
            scope.set(entered.outer)

    def __call__(self, function: F) -> F:
        from . import _carry

        return cast("F", _carry.decorated(self, function))


def set_workspace(workspace: str | None) -> ScopeToken:
    """Make ``workspace`` ambient in this context until ``reset_workspace(token)``; for middleware.

    Accepts and raises what ``use_workspace`` does.
    """
    if workspace is not None:
        workspace = validate(workspace, "set_workspace(workspace)")
    if on_scope is not None:
        on_scope()
    outer = scope.get()
    if outer is not None and outer.owner is None:
        outer = outer.outer  # a worker that never resets must not keep all that it ever set
    return enter(scope, Scope(workspace, None, outer))


def reset_workspace(token: ScopeToken) -> None:
    """Undo the ``set_workspace`` that returned ``token``.

    Raises what ``contextvars.ContextVar.reset`` does: ValueError for a token of another context,
    RuntimeError for one that was used before.
    """
    scope.reset(token)


def get_workspace() -> str | None:
    """The ambient workspace here and now: the scope's, else the environment's, else None.

    Raises WorkspaceError if the environment's is malformed.
    """
    entered = scope.get()
    return environment()[0] if entered is None else entered.workspace


# os.environ.get() takes a microsecond for a variable that is not set, as long as all the rest of
# giving a request its header; the mapping below it, whose keys are encoded, takes a thirtieth.
environ = os.environ
encoded: Any = getattr(environ, "_data", environ)
KEYS: dict[str, Any] = {
    name: getattr(environ, "encodekey", str)(name)
    for name in (*VARIABLES, REQUIRE_SCOPE, HOSTS, OWN_HOST)
}
_FIRST, _SECOND, _REQUIRE = (KEYS[name] for name in (*VARIABLES, REQUIRE_SCOPE))


def variable(name: str) -> str:
    """What one of the package's variables says now, without blanks around it; "" where unset."""
    # A program may have put a mapping of its own into the place of os.environ.
    if os.environ is environ and encoded.get(KEYS[name]) is None:
        return ""
    return (os.environ.get(name) or "").strip()


Source = tuple[Optional[str], Optional[str]]

# What was read last and what it meant, in one tuple: threads must never see a half-changed one.
last_read: tuple[Any, Any, Source] = (_UNSET, _UNSET, (None, None))
_warned = False


def environment() -> Source:
    """The environment's workspace and the name of its variable, or (None, None).

    Surrounding blanks are stripped, blank is unset. Raises WorkspaceError for a malformed one.
    Warns once per process if both variables are set and differ.
    """
    global last_read, _warned
    first, second = encoded.get(_FIRST), encoded.get(_SECOND)
    known_first, known_second, meaning = last_read
    # The very objects, for as long as nobody sets the variables again.
    if first is known_first and second is known_second and os.environ is environ:
        return meaning
    values = [variable(name) for name in VARIABLES]
    found: Source = (None, None)
    if any(values):
        name = VARIABLES[0] if values[0] else VARIABLES[1]
        found = validate(values[0] or values[1], f"the environment variable {name}"), name
    if all(values) and values[0] != values[1] and not _warned:
        _warned = True
        warn(
            f"{VARIABLES[0]}={masked(values[0])!r} and {VARIABLES[1]}={masked(values[1])!r} name "
            f"different workspaces: {VARIABLES[0]} is used; unset one of them"
        )
    if os.environ is environ:
        last_read = (first, second, found)
    return found


def outside_scopes(found: str | None) -> Source:
    """The workspace of a request in no scope, and where it is from: "client" for what a client has
    ``found`` in the SDK's own sources, else a variable.

    Raises WorkspaceError where DASHSCOPE_WS_PATCH_REQUIRE_SCOPE forbids such requests.
    """
    if os.environ is not environ or encoded.get(_REQUIRE) is not None:
        require_scope()
    workspace = by_rule(found)
    return environment() if workspace is None else (workspace, "client")


def require_scope() -> None:
    """Raise WorkspaceError if DASHSCOPE_WS_PATCH_REQUIRE_SCOPE asks for the missing scope."""
    if variable(REQUIRE_SCOPE).lower() not in OFF:
        raise WorkspaceError(
            f"this request names no workspace and is made in no scope, which {REQUIRE_SCOPE} "
            "forbids: make it inside `with use_workspace(...)`, or hand it over with "
            "carry_workspace(...)"
        )


def by_rule(found: str | None) -> str | None:
    """What a client has ``found`` in the SDK's own sources, held to the rules of the environment if
    it is from there: the SDK takes a variable as it is, blanks and all."""
    if not found or not found.strip():
        return None
    if os.environ is environ and encoded.get(_FIRST) is None:
        return found  # all that most requests pay
    return environment()[0] if found == os.environ.get(VARIABLES[0]) else found


def warn(message: str, stacklevel: int = 3) -> None:
    """Warn the user, also where warnings are errors: a shim must not break the program for it."""
    import warnings

    try:
        warnings.warn(f"dashscope_ws_patch: {message}", RuntimeWarning, stacklevel)
    except RuntimeWarning as error:
        print(error, file=sys.stderr)
