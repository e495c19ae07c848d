"""The accounts that the loopback service plays: who may call what, as the real service has it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

from .._hosts import workspace_in_host
from ..hint.refusals import MODEL_DENIED, UNPURCHASED, WORKSPACE_DENIED
from ..hint.watch import models_in

if TYPE_CHECKING:
    from .loopback import Denial, Request


class Accounts:
    """A policy of ``Loopback``: who may call what, answered as the service answers.

    ``main``: the keys of main accounts. ``members``: for each sub-account's key the workspaces that
    it is a member of. ``models``: for each workspace the models granted to it; one that is not
    named may call all. ``unpurchased``: the keys of accounts without the service. Any other key is
    refused with 401. ``handshake``: refuse a websocket at its handshake, not at its first task.
    """

    def __init__(
        self,
        *,
        main: Collection[str] = (),
        members: Mapping[str, Collection[str]] | None = None,
        models: Mapping[str, Collection[str]] | None = None,
        unpurchased: Collection[str] = (),
        handshake: bool = False,
    ) -> None:
        self._main = main
        self._members = members or {}
        self._models = models or {}
        self._unpurchased = unpurchased
        self._handshake = handshake

    def __call__(self, request: Request) -> Denial | None:
        from .loopback import Denial

        websocket = request.header("Upgrade").lower() == "websocket"
        if websocket and not request.messages and not self._handshake:
            return None
        # A base URL may point at this service itself: then it is called by no name of the real one.
        if request.foreign and request.host not in ("127.0.0.1", "localhost"):
            return None
        key = request.header("Authorization").partition(" ")[2] or request.header("x-api-key")
        named: list[str | None] = [*request.workspaces]
        named = named or [workspace_in_host(f"https://{request.host}")]
        if key in self._unpurchased:
            refusal = UNPURCHASED
        elif key not in self._main and key not in self._members:
            return Denial(401, "InvalidApiKey", "Invalid API-key provided.")
        elif key in self._members and not set(named) <= set(self._members[key]):
            refusal = WORKSPACE_DENIED
        elif not all(self._may_call(workspace, request) for workspace in named):
            refusal = MODEL_DENIED
        else:
            return None
        return Denial(403, refusal.code, refusal.message)

    def _may_call(self, workspace: str | None, request: Request) -> bool:
        model = next(_models_of(request), None)
        return model is None or model in self._models.get(workspace or "", (model,))


def _models_of(request: Request) -> Iterator[str]:
    for sent in (request.body, *request.messages[-1:]):
        yield from models_in(sent)
    yield from parse_qs(urlsplit(request.path).query).get("model", ())
