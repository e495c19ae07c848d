"""One request to the service: what was sent, and what came back."""

from __future__ import annotations

import contextlib
import contextvars
import os
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from typing import Any, Callable, NamedTuple
from urllib.parse import urlsplit

from .. import _decision, _hosts
from ..hint import neighbours as near
from ..hint.libraries import NOTED
from ..hint.refusals import UNPURCHASED
from ..selftest.prospect import NOT_FOUND_OUT, RIGHT, WRONG, host_shown
from ._console import patience
from ._language import _, current


class Answer(NamedTuple):
    """A request that was made, and what became of it."""

    request: str
    #: The host it went to, and the workspace in its header or, without one, in its host.
    host: str = "?"
    header: str | None = None
    named: str | None = None
    status: int | None = None
    code: str = ""
    message: str = ""
    request_id: str = ""
    #: RIGHT, WRONG or NOT_FOUND_OUT, and why: the code, or what kept it from being answered.
    outcome: int = NOT_FOUND_OUT
    known: near.Known | None = None
    trouble: str = ""

    @property
    def final(self) -> bool:
        """Whether the same without, or with, a workspace would have the same answer."""
        return self.status is None or self.known in (near.KEY, UNPURCHASED, near.STANDING)

    @property
    def why(self) -> str:
        """The reason, in a sentence."""
        return self.trouble or (self.known.meaning.to(current()) if self.known else "")


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Nothing that the SDK prints is shown."""
    redirect = contextlib.redirect_stdout, contextlib.redirect_stderr
    with open(os.devnull, "w") as null, redirect[0](null), redirect[1](null):
        yield


def bounded(call: Callable[[], Any], until: float) -> Any:
    """What ``call`` returns or raises; TimeoutError where that is not known ``until`` then.

    In a thread, which may be left behind: an import, a server that sends byte by byte, or the
    look-up of a name takes as long as it likes. Nothing that it prints meanwhile is shown.
    """
    outcome: list[Any] = []

    def calling() -> None:
        try:
            outcome[:] = call(), None
        except BaseException as error:
            outcome[:] = None, error

    thread = threading.Thread(target=contextvars.copy_context().run, args=(calling,), daemon=True)
    with quiet():
        thread.start()
        thread.join(max(until - time.monotonic(), 0))
    if thread.is_alive():
        raise TimeoutError
    value, error = outcome
    if error is not None:
        raise error
    return value


def ask(request: str, call: Callable[[], Any], until: float, hide: Callable[[str], str]) -> Answer:
    """See what ``call`` sends and what comes back, ``until`` then at the latest.

    ``hide`` takes the key out of what the service says.
    """
    from requests.adapters import HTTPAdapter

    seen: list[Any] = []
    raised: BaseException | None = None
    send = HTTPAdapter.send  # below the shim, which puts the header into what a session sends

    def witness(self: Any, request: Any, **settings: Any) -> Any:
        settings["timeout"] = max(until - time.monotonic(), 0.01)
        seen[:] = [request]
        response = send(self, request, **settings)
        seen[:] = [request, response]
        return response

    HTTPAdapter.send = witness  # type: ignore[method-assign,assignment]
    try:
        with patience(_("waiting for the answer: {request}", request=request)):
            bounded(call, until)
    except Exception as error:
        raised = error
    finally:
        HTTPAdapter.send = send  # type: ignore[method-assign]
    sent, response = (*seen, None, None)[:2]
    url = str(sent.url if sent is not None else "")
    host = urlsplit(url).hostname or "?"
    header = _decision.workspace_in_headers(sent.headers) if sent is not None else None
    # Without the SDK the header is added below, where urllib3 writes.
    header = header or getattr(getattr(response, "raw", None), NOTED, (None,))[0]
    answer = Answer(request, host, header, header or _hosts.workspace_in_host(url))
    late = isinstance(raised, TimeoutError)
    if response is None or late:
        trouble, refused = _trouble(raised, host_shown(host)), sent is None and not late
        return answer._replace(trouble=trouble, outcome=WRONG if refused else NOT_FOUND_OUT)
    return _read(response, answer, hide)


#: What says nothing of the key or the workspace: a second try may have another answer.
_TRY_LATER = tuple(
    entry.meaning
    for entry in (
        near.LIMIT, near.PARAMETER, near.SERVICE, near.CONTENT, near.UNSUPPORTED, near.CONFLICT,
    )
)  # fmt: skip

_BY_STATUS = {401: near.KEY, 403: near.VAGUE, 429: near.LIMIT}


def _read(response: Any, sent: Answer, hide: Callable[[str], str]) -> Answer:
    """What came back for the request that was ``sent``."""
    status: int = response.status_code
    try:
        body = response.json()
    except ValueError:
        body = None
    sent = sent._replace(status=status)
    nested = body.get("error") if isinstance(body, dict) else None
    error = nested if isinstance(nested, dict) else body if isinstance(body, dict) else {}
    code, message = (str(error.get(name) or "") for name in ("code", "message"))
    if isinstance(body, dict):
        request_id = str(body.get("request_id") or response.headers.get("x-request-id") or "")
        # Hidden before it is cut: half a key would not be found any more.
        sent = sent._replace(
            code=hide(code)[:80], message=hide(message)[:200], request_id=hide(request_id)[:80]
        )
        if status == 200 and not code and ("output" in body or "choices" in body):
            return sent._replace(outcome=RIGHT)
    named = near.known(code) or near.known(message)
    known = named[0] if named else _BY_STATUS.get(status) if code or message else None
    if known is None and status >= 500:
        known = near.SERVICE
    if known is not None:
        later = known.meaning in _TRY_LATER
        return sent._replace(known=known, outcome=NOT_FOUND_OUT if later else WRONG)
    if code or (sent.request_id and status >= 400):
        said = _(
            "the service refused with a code that is not known here: {code} {message} (HTTP "
            "{status}, request id {request_id})",
            code=sent.code or "?", message=sent.message, status=status,
            request_id=sent.request_id or "?",
        )  # fmt: skip
        return sent._replace(trouble=said)
    host = host_shown(sent.host)
    if status == 407:
        return sent._replace(trouble=_("the proxy in front of {host} refused", host=host))
    return sent._replace(
        trouble=_(
            "{host} answered with something that is not the service's: a gateway, a proxy or a "
            "wrong path",
            host=host,
        )
    )


def _trouble(error: BaseException | None, host: str) -> str:
    """Which failure kept the request from being answered: proxy, name, TLS, time, connection.

    The texts of exceptions are not shown: they may quote a header, and so the key, or the password
    of a proxy.
    """
    chain = list(_chain(error))
    names = {type(link).__name__ for link in chain}
    texts = " ".join(str(link) for link in chain if isinstance(link, OSError))

    def is_a(*types: type[BaseException]) -> bool:
        return any(isinstance(link, types) for link in chain)

    if names & {"ProxyError", "InvalidProxyURL"} or "SOCKS" in texts:
        kind = (
            "proxy: the proxy in front of {host} cannot be used ({error}); see HTTPS_PROXY, "
            "HTTP_PROXY and NO_PROXY"
        )
    elif is_a(socket.gaierror) or "NameResolutionError" in names:
        kind = "DNS: the name {host} cannot be resolved ({error})"
    elif is_a(ssl.SSLError) or "SSLError" in names:
        kind = (
            "TLS: no secure connection to {host} ({error}): its certificate is not trusted here, "
            "or something in between speaks for it"
        )
    elif is_a(socket.timeout, TimeoutError) or any("Timeout" in name for name in names):
        kind = "timeout: {host} did not answer in time"
    elif "InvalidHeader" in names or "UnicodeEncodeError" in names:
        kind = "the SDK cannot send the key: it holds a character that no header may have"
    else:
        kind = "connection: {host} cannot be reached ({error})"
    reason = next((link.strerror for link in chain if getattr(link, "strerror", None)), "")
    return _(kind, host=host, error=reason or (type(chain[-1]).__name__ if chain else "?"))


def _chain(error: Any) -> Iterator[Any]:
    """``error`` and what it was raised from, in urllib3's ways too."""
    seen: list[Any] = []
    waiting = [error]
    while waiting:
        link = waiting.pop(0)
        if isinstance(link, BaseException) and not any(link is other for other in seen):
            seen.append(link)
            yield link
            waiting += [link.__cause__, link.__context__, getattr(link, "reason", None), *link.args]
