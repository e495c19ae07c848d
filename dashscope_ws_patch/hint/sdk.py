"""The hint where the SDK reads a refusal in another place than where it has sent: the adapters."""

from __future__ import annotations

import inspect
from typing import Any

from .._carry import unseen
from .._decision import ambient, workspace_in_headers
from .._methods import method
from .._senders import SENT
from .watch import look, watched


@method
def received(function: Any) -> Any:
    """``_handle_http_response`` of 1.0 to 1.3, which reads what aiohttp has received."""
    if not inspect.iscoroutinefunction(function):  # from 1.4 on it is given what requests has
        return function

    async def handle(response: Any) -> Any:
        sent = response.request_info
        sent_for, (workspace, source) = workspace_in_headers(sent.headers), ambient()
        source = source if sent_for == workspace else "named"
        return watched(await function(response), (str(sent.url), sent_for, source, None))

    return handle


@method
def reading(function: Any) -> Any:
    """What reads a stream, ``(self)`` with its response or ``(self, response)``, and its errors."""

    def read(self: Any, *args: Any) -> Any:
        sent = vars(args[0] if args else self._response).get(SENT)
        items = function(self, *args)
        return items if sent is None else watched(items, sent)

    return read


@method
def task(function: Any) -> Any:
    """``run_task`` of a websocket's task, which tells of a refusal."""

    def run_task(self: Any, *args: Any, **kwargs: Any) -> Any:
        sent = vars(vars(self).get("_conn", self)).get(SENT) or ("", None, None, None)
        sent = (*sent[:3], kwargs.get("model") or self)
        try:
            return watched(function(self, *args, **kwargs), sent)
        except Exception as error:
            look(error, sent)
            raise

    return run_task


unseen(globals(), __name__)
