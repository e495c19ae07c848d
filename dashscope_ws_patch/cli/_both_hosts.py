"""The two hosts of a workspace, its own and the shared one: what each says to the same request."""

from __future__ import annotations

from typing import Any, Callable
from urllib.parse import urlsplit

from .. import _hosts, _workspace
from ..hint import neighbours as near
from ..hint.refusals import MODEL_DENIED
from ..selftest.prospect import RIGHT, Verdict, host_shown
from ._language import _, sentences
from ._service import Answer

#: The shared host of each region that has one. Other regions have workspace hosts alone.
REGIONS = {region: host for host, region in _hosts.SHARED.items()}


def other_host(answer: Answer, configured: str) -> str | None:
    """The host of the other kind than the one that ``answer`` is from, for the same workspace.

    ``configured`` is the host that the SDK was pointed at: the request may have been moved from it.
    None where there is no other, or no workspace is known.
    """
    if answer.named is None or len(answer.named) > 63:  # no label of a host (RFC 1035)
        return None
    if answer.host in _hosts.SHARED:
        return f"{answer.named}.{_hosts.SHARED[answer.host]}{_hosts.DOMAIN}"
    if _hosts.workspace_in_host(f"//{answer.host}") is None:
        return None
    region = answer.host[: -len(_hosts.DOMAIN)].rpartition(".")[2]
    return configured if configured in _hosts.SHARED else REGIONS.get(region)


def ask_other(answer: Answer, call: Callable[[str], Answer]) -> Answer | None:
    """What the other host answers to the request that ``answer`` is the answer to, if there is one.

    ``call`` makes the request, of which it is given the name, under the base URL of the SDK.
    """
    import dashscope

    import dashscope_ws_patch as shim

    if answer.named is None:  # and the URL may be none
        return None
    url: str = dashscope.base_http_api_url
    parts = urlsplit(url)
    host = other_host(answer, parts.hostname or "")
    if host is None:
        return None
    port, asked = f":{parts.port}" if parts.port else "", _hosts.asked
    module: Any = dashscope
    module.base_http_api_url = parts._replace(netloc=host + port).geturl()
    try:
        _hosts.asked = "0"
        with shim.use_workspace(answer.named):
            return call(_("on the shared host") if host in _hosts.SHARED else _("on its own host"))
    finally:
        _hosts.asked, module.base_http_api_url = asked, url


def judged_both(verdict: Verdict, answer: Answer, other: Answer) -> Verdict:
    """``verdict``, which rests upon ``answer``, and what the other host has said."""
    works = [each for each in (answer, other) if each.outcome == RIGHT]
    also = [
        _("{host} {found}", host=_of(each), found=_found(each))
        for each in (other, answer)
        if each.outcome != RIGHT
    ]
    if len(works) == 2:
        hosts = [host_shown(each.host) for each in works]
        said = _("It works on {host}, and on {other}.", host=hosts[0], other=hosts[1])
    elif works:
        said = _("It works on {host}; {other}.", host=host_shown(works[0].host), other=also[0])
    else:
        said = _("Nor does it work on {host}: it {found}.", host=host_shown(other.host),
                 found=_found(other))  # fmt: skip
    advice = verdict.advice
    if works == [other]:
        on = other.host not in _hosts.SHARED
        advice = f"export {_workspace.OWN_HOST}=1" if on else f"unset {_workspace.OWN_HOST}"
    return Verdict(verdict.status, sentences([verdict.said, said]), advice)


def _of(answer: Answer) -> str:
    if answer.host in _hosts.SHARED:
        return _("the shared host")
    return _("the workspace's own host")


def _found(answer: Answer) -> str:
    if answer.known in (MODEL_DENIED, near.NO_MODEL):
        return _("has no such model")
    if answer.known is near.KEY:
        return _("does not take the key")
    return _("says: {why}", why=(answer.why or "?").rstrip(".。"))
