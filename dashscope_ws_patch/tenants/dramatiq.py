"""Dramatiq messages in the scope of whoever enqueued them: ``follow(broker)`` switches it on.

Both sides need it, for the broker that they use. The workspace travels in an option of the message,
of a copy of the program's: one message enqueued in two scopes is two tenants'. What is enqueued on
behalf of a message (retries, delays, the next of a pipeline, callbacks) carries that one's, and
coroutine functions too run in it. A message enqueued outside any scope runs in none. One that names
a malformed workspace fails.
"""

from __future__ import annotations

import functools
import threading
from typing import Any

import dramatiq

from .._carry import exchange, run
from ._holding import holding, holding_beside, named_here

OPTION = "dashscope_workspace"

#: Of the message that this thread processes: what holds, and what it says until its actor begins.
_local = threading.local()


def follow(broker: dramatiq.Broker | None = None) -> None:
    """Let the messages of ``broker`` (or of dramatiq's global one) follow scopes."""
    broker = broker or dramatiq.get_broker()
    if any(isinstance(each, Workspaces) for each in broker.middleware):
        return
    # The first, for that is the last to end: what others enqueue when a message is done (the next
    # of a pipeline, say) goes on in its scope.
    first = {"before": type(broker.middleware[0])} if broker.middleware else {}
    broker.add_middleware(Workspaces(), **first)
    broker.enqueue = _addressing(broker.enqueue)
    _follow_actors()


def _addressing(enqueue: Any) -> Any:
    @functools.wraps(enqueue)
    def addressed(message: Any, *args: Any, **kwargs: Any) -> Any:
        # The consumer's thread hands on, on its behalf, a message whose delay has passed.
        if not type(threading.current_thread()).__name__.endswith("ConsumerThread"):
            message = message.copy()
            named = named_here(message.options.pop(OPTION, None))
            if named is not None:
                message.options[OPTION] = named
        return enqueue(message, *args, **kwargs)

    return addressed


@functools.cache
def _follow_actors() -> None:
    """Each message's own call of its actor: what it sets and does not reset is gone when others
    enqueue what follows it."""
    original = dramatiq.Actor.__call__

    @functools.wraps(original)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        bound = functools.partial(original, self, *args, **kwargs)
        said = vars(_local).pop("said", ())
        return run(holding(*said), bound) if said else bound()

    dramatiq.Actor.__call__ = call


class Workspaces(dramatiq.Middleware):  # type: ignore[misc]
    """The middleware that ``follow`` adds."""

    def before_process_message(self, broker: Any, message: Any) -> None:
        _local.said = (message.options.get(OPTION),)
        _local.held = holding_beside(*_local.said)  # a malformed one is its actor's own error
        exchange(_local.held)

    def after_process_message(
        self, broker: Any, message: Any, *, result: Any = None, exception: Any = None
    ) -> None:
        self.after_skip_message(broker, message)

    def after_skip_message(self, broker: Any, message: Any) -> None:
        vars(_local).pop("said", None)
        exchange(vars(_local).pop("held", []))
