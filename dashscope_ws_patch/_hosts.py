"""Hosts: which are the service's, which of them names a workspace, and which one is a workspace's.

Names are compared whole, so what merely contains a name of the service is foreign.
"""

from __future__ import annotations

import functools
import os
import re
from typing import Any

from . import _workspace
from ._workspace import HOSTS, OFF, ON, OWN_HOST, WorkspaceError, masked, validate

_HOSTS, _encoded, _environ = _workspace.KEYS[HOSTS], _workspace.encoded, _workspace.environ

#: A host names a workspace when it is ``<workspace>.<region>`` and this,
DOMAIN = ".maas.aliyuncs.com"
#: unless its first label is an endpoint of a plan, whose key says whose it is.
PLANS = ("token-plan", "coding-plan")
#: What stands for the workspace in regional base URLs of the SDK (1.27 on).
PLACEHOLDER = "{workspace_id}"

#: The shared hosts that have workspace hosts beside them, and the region in which they are.
SHARED = {
    "dashscope.aliyuncs.com": "cn-beijing",
    "dashscope-intl.aliyuncs.com": "ap-southeast-1",
    "dashscope-us.aliyuncs.com": "us-east-1",
    "cn-hongkong.dashscope.aliyuncs.com": "cn-hongkong",
}

#: What ``patch(own_host=)`` has asked for; None leaves it to the variable.
asked: str | None = None

# The shared hosts and their subdomains (cn-hongkong., vpc-cn-beijing., coding. ...), the default of
# SDK 1.0.0 to 1.0.2, and the endpoints of plans.
_SERVICE = re.compile(
    r"(?:.+\.)?dashscope(?:-intl|-us|-finance)?\.aliyuncs\.com"
    r"|dashscope-cn-beijing\.aliyun-inc\.com"
    rf"|(?:{'|'.join(PLANS)})\.[^.]+{re.escape(DOMAIN)}"
)

# What stands between "//" and "/" of a URL, or a host by itself. A name that the libraries would
# spell otherwise (escapes, a backslash, other alphabets) is none of the list.
_AUTHORITY = re.compile(r"(?:[^?#\\]*@)?([A-Za-z0-9._-]+)(?::[0-9]*)?(?:[?#].*)?", re.DOTALL)
# A URL whose host is a workspace's, or the endpoint of a plan. Blanks count: the SDK builds hosts
# from its variables as they are.
_OF_WORKSPACE = re.compile(
    r"\s*(?:[^:/?#]+:)?//(?:[^/?#]*@)?([^/?#@:.{\[]+)\.[^/?#@:.]+"
    rf"{re.escape(DOMAIN)}\.*(?::[^/?#@]*)?(?:[/?#].*)?",
    re.IGNORECASE | re.DOTALL,
)
_LABEL = "[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_ENTRY = re.compile(rf"\.?{_LABEL}(?:\.{_LABEL})*")
_REGION = re.compile("[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")


# Hosts that name a workspace


def workspace_in_host(url: object) -> str | None:
    """The workspace that the host of ``url`` (a string, or an httpx.URL) names, or None."""
    text = url if isinstance(url, str) else str(url or "")
    return _label(text) if DOMAIN in text.lower() else None  # cheap test first


@functools.lru_cache(1024)
def _label(url: str) -> str | None:
    found = _OF_WORKSPACE.fullmatch(url)
    return None if found is None or found[1].lower() in PLANS else found[1]


@functools.lru_cache(1024)
def with_host_workspace(url: str, workspace: str) -> str:
    """``url``, whose host names a workspace, with that label replaced.

    Raises WorkspaceError where ``workspace`` is no host label: RFC 1035 allows 63 characters.
    """
    require_host_label(workspace)
    found: Any = _OF_WORKSPACE.fullmatch(url)
    return url[: found.start(1)] + workspace + url[found.end(1) :]


def on_host_of(url: str, workspace: str, region: str) -> str:
    """``url`` moved to the host of ``workspace`` in ``region``; port, path and query stay.

    Raises WorkspaceError where ``workspace`` is no host label.
    """
    return _moved(url, workspace, "", region)


def filled(url: str, workspace: str) -> str:
    """``url`` with the workspace in the place of the SDK's placeholder for it."""
    require_host_label(workspace)
    return url.replace(PLACEHOLDER, workspace)


def require_host_label(workspace: str) -> None:
    """Raise WorkspaceError where ``workspace`` cannot be a label of a host name (RFC 1035)."""
    validate(workspace, "the workspace")
    if len(workspace) > 63:
        raise WorkspaceError(
            f"the workspace {masked(workspace)!r} has {len(workspace)} characters, but here it "
            "becomes a label of the host name, which may have 63 (RFC 1035): check the "
            "workspace's id"
        )


# Hosts of the service


def is_unnamed(authority: str) -> bool:
    """Whether a host (or the authority of a URL) is the service's and names no workspace itself.

    Raises WorkspaceError if the answer depends on a malformed entry of DASHSCOPE_WS_PATCH_HOSTS:
    for the service, and for hosts that the entry mentions.
    """
    unset = _HOSTS not in _encoded and os.environ is _environ  # all that most requests pay
    return _is_unnamed(authority, "" if unset else _workspace.variable(HOSTS))


def in_url(url: object) -> bool:
    """``is_unnamed`` of the host of a URL; False for what is no absolute URL."""
    parts = url.split("/", 3) if isinstance(url, str) else ()
    return len(parts) > 2 and not parts[1] and is_unnamed(parts[2])


@functools.lru_cache(maxsize=1024)
def _is_unnamed(authority: str, configured: str) -> bool:
    found = _AUTHORITY.fullmatch(authority)
    if found is None:
        return False
    name = found[1].lower()
    name = name[:-1] if name.endswith(".") else name
    known = _SERVICE.fullmatch(name) is not None
    if configured:
        try:
            more = _entries(configured)
        except WorkspaceError:
            if known or name in configured.lower():
                raise
            return False
        known = known or any(name.endswith(e) if e[0] == "." else name == e for e in more)
    return known and not workspace_in_host(f"//{name}")


def _entries(text: str) -> list[str]:
    entries = [entry.strip() for entry in text.split(",")]
    for entry in filter(None, entries):
        if not _ENTRY.fullmatch(entry):
            raise WorkspaceError(
                f"the environment variable {HOSTS} has the entry {masked(entry, 253)!r}, but an "
                "entry is a host name such as 'gateway.corp.example', or '.internal.example' for "
                "all of its subdomains, with neither scheme, port, path nor wildcard"
            )
    return [entry.lower() for entry in entries if entry]


# The workspace's own host


def own_host(url: str, workspace: str, region: str | None = None) -> str:
    """``url`` on the host of ``workspace``, if that was asked for and it leads to a shared host.

    ``region`` is that of a default endpoint, which moves too: nobody has named its host.
    Raises WorkspaceError where what was asked for is no region's name, or ``workspace`` no label of
    a host name.
    """
    wanted = _workspace.variable(OWN_HOST) if asked is None else asked
    return _moved(url, workspace, wanted or "0", region)


def _moved(url: str, workspace: str, wanted: str, region: str | None) -> str:
    scheme, slashes, rest = url.partition("//")
    authority, slash, path = rest.partition("/")
    host = _own_authority(authority, workspace, wanted, region)
    return url if host == authority else f"{scheme}{slashes}{host}{slash}{path}"


# By the authority alone, since paths are ever new ones.
@functools.lru_cache(1024)
def _own_authority(authority: str, workspace: str, wanted: str, region: str | None) -> str:
    wanted, found = wanted.lower(), _AUTHORITY.fullmatch(authority)
    region = region or (SHARED.get(found[1].lower().rstrip(".")) if found else None)
    if found is None or region is None or wanted in OFF[1:]:
        return authority
    if wanted and wanted not in ON:
        region = _require_region(wanted)
    require_host_label(workspace)
    host = f"{workspace}.{region}{DOMAIN}"
    return authority[: found.start(1)] + host + authority[found.end(1) :]


def ask_for_own_host(wanted: bool | str) -> None:
    """What ``patch(own_host=)`` was given: True, False or a region's name.

    Raises WorkspaceError for anything that is no region's name.
    """
    global asked
    text = wanted.strip().lower() if isinstance(wanted, str) else "1" if wanted else "0"
    asked = text if text in (*ON, *OFF) else _require_region(text)


def _require_region(name: str) -> str:
    if not _REGION.fullmatch(name):
        raise WorkspaceError(
            f"{OWN_HOST} (or own_host=) is {masked(name)!r}, but it may be 1 (the host in the "
            "region of the shared one), a region such as 'eu-central-1' (the host there), or 0 "
            "(the shared host stays)"
        )
    return name
