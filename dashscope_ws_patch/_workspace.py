"""The ambient workspace: scopes, environment, validation.

Knows nothing of dashscope. Everything is read at the moment it is asked for, so threads, tasks and
a changed environment are always seen as they are.
"""

from __future__ import annotations

import os
import sys
from contextvars import ContextVar, Token
from types import TracebackType
from typing import Any, Callable, Optional, TypeVar, cast

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")

#: The variables that name a workspace, in the order in which they are asked. The first is the one
#: that the 2.x client reads (dashscope.v2._config), the second the one of the 1.x regional hosts
#: (dashscope.common.env).
VARIABLES = ("DASHSCOPE_WORKSPACE", "DASHSCOPE_WORKSPACE_ID")

RULE = (
    "a workspace is 1 to 64 of the characters A-Z a-z 0-9 _ -, the first a letter or digit, "
    "such as 'ws_QTggmeA1b2c3' or 'llm-x1y2' (the console shows it under 业务空间管理)"
)


class WorkspaceError(ValueError):
    """A workspace breaks the rule ``[A-Za-z0-9][A-Za-z0-9_-]{0,63}``.

    The rule is the SDK's own (``dashscope.common.env.validate_workspace_id``).
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
        raise WorkspaceError(f"{origin} is {masked(value)!r}, but {RULE}")
    return str.__str__(value)  # a subclass (an enum member, say) must not reach a header


def masked(value: str) -> str:
    """``value`` for a message or report, unless an API key was put into the wrong place."""
    return "sk-... (an API key?)" if value.strip().startswith("sk-") else value


class Scope:
    """One entered ``use_workspace`` or ``set_workspace``; the innermost one holds."""

    __slots__ = ("outer", "owner", "workspace")

    def __init__(self, workspace: str | None, owner: object, outer: Scope | None) -> None:
        self.workspace = workspace
        self.owner = owner
        self.outer = outer


scope: ContextVar[Scope | None] = ContextVar("dashscope_ws_patch.scope", default=None)

#: Whether the shim is in force: objects that it made live on after unpatch().
in_force = False

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


def _enter(workspace: str | None, owner: object) -> Token[Scope | None]:
    if on_scope is not None:
        on_scope()
    return enter(scope, Scope(workspace, owner, scope.get()))


class use_workspace:
    """Make ``workspace`` the ambient workspace of a ``with`` block or of a function.

    ``workspace`` is a workspace id (``[A-Za-z0-9][A-Za-z0-9_-]{0,63}``) or None, which means
    "no workspace here" and hides outer scopes and the environment. Raises WorkspaceError for any
    other string, TypeError for anything else, at once.

    As a decorator it takes functions and coroutine functions; for classes, generator functions and
    async generator functions, whose bodies run between the steps of their caller, it raises
    TypeError: use ``with use_workspace(...)`` inside them. One object may be reused, nested in
    itself, and shared between threads and tasks.
    """

    def __init__(self, workspace: str | None) -> None:
        if workspace is not None:
            workspace = validate(workspace, "use_workspace(workspace)")
        self._workspace = workspace

    def __repr__(self) -> str:
        return f"use_workspace({self._workspace!r})"

    def __enter__(self) -> str | None:
        _enter(self._workspace, self)
        return self._workspace

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # Leave what this object entered last *in this context*: no token is kept on the object, so
        # it can be shared; and a set_workspace() left behind inside the block goes with it.
        entered = scope.get()
        while entered is not None and entered.owner is not self:
            entered = entered.outer
        if entered is not None:
            scope.set(entered.outer)

    def __call__(self, function: F) -> F:
        import functools
        import inspect

        if not callable(function) or inspect.isclass(function):
            raise TypeError(f"{self!r} decorates functions, not {function!r}")
        body: Any = function
        while isinstance(body, functools.partial):
            body = body.func
        body = inspect.unwrap(body)
        if inspect.isgeneratorfunction(body) or inspect.isasyncgenfunction(body):
            raise self._lazy(function)
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def in_scope(*args: Any, **kwargs: Any) -> Any:
                with self:
                    return await function(*args, **kwargs)

        else:

            @functools.wraps(function)
            def in_scope(*args: Any, **kwargs: Any) -> Any:
                with self:
                    result = function(*args, **kwargs)
                if inspect.iscoroutine(result):  # a plain function that hides a coroutine function
                    return self._await(result)
                if inspect.isgenerator(result) or inspect.isasyncgen(result):
                    raise self._lazy(function)
                return result

        return cast("F", in_scope)

    async def _await(self, coroutine: Any) -> Any:
        with self:
            return await coroutine

    def _lazy(self, function: object) -> TypeError:
        return TypeError(
            f"{self!r} cannot decorate {function!r}: the body of a generator runs between the "
            f"steps of its caller; write `with {self!r}:` inside it"
        )


def set_workspace(workspace: str | None) -> Token[Scope | None]:
    """Make ``workspace`` ambient in this context until ``reset_workspace(token)``; for middleware.

    Accepts and raises what ``use_workspace`` does.
    """
    if workspace is not None:
        workspace = validate(workspace, "set_workspace(workspace)")
    return _enter(workspace, None)


def reset_workspace(token: Token[Scope | None]) -> None:
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
_environ = os.environ
_encoded: Any = getattr(_environ, "_data", _environ)
_FIRST, _SECOND = (getattr(_environ, "encodekey", str)(name) for name in VARIABLES)


Found = tuple[Optional[str], Optional[str]]

# What was read last and what it meant, in one tuple: threads must never see a half-changed one.
_last: tuple[Any, Any, Found] = (None, None, (None, None))
_warned = False


def environment() -> Found:
    """The environment's workspace and the name of its variable, or (None, None).

    Surrounding blanks are stripped, blank is unset. Raises WorkspaceError for a malformed one.
    Warns once per process if both variables are set and differ.
    """
    global _last, _warned
    if os.environ is _environ:
        first, second = _encoded.get(_FIRST), _encoded.get(_SECOND)
    else:  # a program has put a mapping of its own into its place
        first, second = os.environ.get(VARIABLES[0]), os.environ.get(VARIABLES[1])
    known_first, known_second, meaning = _last
    # The very objects, for as long as nobody sets the variables again.
    if first is known_first and second is known_second:
        return meaning
    values = [(os.environ.get(name) or "").strip() for name in VARIABLES]
    found: Found = (None, None)
    for name, value in zip(VARIABLES, values):
        if value:
            found = (validate(value, f"the environment variable {name}"), name)
            break
    if all(values) and values[0] != values[1] and not _warned:
        _warned = True
        warn(
            f"{VARIABLES[0]}={masked(values[0])!r} and {VARIABLES[1]}={masked(values[1])!r} name "
            f"different workspaces: {VARIABLES[0]} is used; unset one of them"
        )
    _last = (first, second, found)
    return found


def settled(found: str | None) -> str | None:
    """What a client has ``found`` in the SDK's own sources, held to the rules of the environment if
    it is from there: the SDK takes a variable as it is, blanks and all."""
    if found is not None and found == os.environ.get(VARIABLES[0]):
        return environment()[0]
    return found or None


def warn(message: str) -> None:
    """Warn the user, also where warnings are errors: a shim must not break the program for it."""
    import warnings

    try:
        warnings.warn(f"dashscope_ws_patch: {message}", RuntimeWarning, stacklevel=3)
    except RuntimeWarning as error:
        print(error, file=sys.stderr)
