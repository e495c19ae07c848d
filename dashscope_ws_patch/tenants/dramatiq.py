"""Dramatiq messages in the scope of whoever enqueued them: ``follow(broker)`` switches it on.

Both sides need it, for the broker that they use. The workspace travels in an option of the message:
retries, delays, pipelines, groups and callbacks carry it, and coroutine functions too run in it.
A message enqueued outside any scope runs in none.
"""

from __future__ import annotations

import threading
from typing import Any

import dramatiq

from .._carry import put, take_back
from .._workspace import scope, use_workspace

OPTION = "dashscope_workspace"


def follow(broker: dramatiq.Broker | None = None) -> None:
    """Let the messages of ``broker`` (or of dramatiq's global one) follow scopes."""
    broker = broker or dramatiq.get_broker()
    if not any(isinstance(each, Workspaces) for each in broker.middleware):
        # The first, for that is the last to end: what others enqueue when a message is done (the
        # next of a pipeline, say) goes on in its scope.
        first = {"before": type(broker.middleware[0])} if broker.middleware else {}
        broker.add_middleware(Workspaces(), **first)


class Workspaces(dramatiq.Middleware):  # type: ignore[misc]
    """The middleware that ``follow`` adds."""

    def __init__(self) -> None:
        self._local = threading.local()

    def before_enqueue(self, broker: Any, message: Any, delay: Any) -> None:
        here = scope.get()
        if here is not None:
            message.options.setdefault(OPTION, here.workspace or "")

    def before_process_message(self, broker: Any, message: Any) -> None:
        workspace = message.options.get(OPTION)
        entered = None if workspace is None else use_workspace(workspace or None)._entered()
        self._local.held = [[scope, entered, None]]
        put(self._local.held)

    def after_process_message(
        self, broker: Any, message: Any, *, result: Any = None, exception: Any = None
    ) -> None:
        self.after_skip_message(broker, message)

    def after_skip_message(self, broker: Any, message: Any) -> None:
        take_back(vars(self._local).pop("held", []))
