"""What the service is: the names of its hosts, compared whole.

The decision for requests of libraries that know nothing of the SDK rests on the host alone, so what
is no name of this list is foreign, whatever it contains.
"""

from __future__ import annotations

import functools
import os
import re

from . import _workspace
from ._decision import DOMAIN, PLANS, workspace_in_host

#: More names of the service, with commas between them; a leading dot stands for all subdomains.
VARIABLE = "DASHSCOPE_WS_PATCH_HOSTS"

HOSTS_RULE = (
    "an entry is a host name such as 'gateway.corp.example', or '.internal.example' for all of its "
    "subdomains, with neither scheme, port, path nor wildcard"
)

# The shared hosts and their subdomains (cn-hongkong., vpc-cn-beijing., coding. ...), the default of
# 1.0.0 to 1.0.2, and the endpoints of plans, whose key says whose it is.
_SERVICE = re.compile(
    r"(?:.+\.)?dashscope(?:-intl|-us|-finance)?\.aliyuncs\.com"
    r"|dashscope-cn-beijing\.aliyun-inc\.com"
    rf"|(?:{'|'.join(PLANS)})\.[^.]+{re.escape(DOMAIN)}"
)

# What stands between "//" and "/" of a URL, or a host by itself. A name that the libraries would
# spell otherwise (escapes, a backslash, other alphabets) is none of the list.
_AUTHORITY = re.compile(r"(?:[^?#\\]*@)?([A-Za-z0-9._-]+)(?::[0-9]*)?(?:[?#].*)?", re.DOTALL)
_LABEL = "[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_ENTRY = re.compile(rf"\.?{_LABEL}(?:\.{_LABEL})*")

_KEY = getattr(os.environ, "encodekey", str)(VARIABLE)


def is_unnamed(authority: str) -> bool:
    """Whether a host (or the authority of a URL) is the service's and names no workspace itself.

    Raises WorkspaceError where that hangs on an entry of DASHSCOPE_WS_PATCH_HOSTS that is
    malformed: for the service, and for hosts that the entry mentions.
    """
    # As cheap as the environment's workspace, see there: every request of these libraries pays it.
    if os.environ is _workspace._environ:
        return _is_unnamed(authority, _workspace._encoded.get(_KEY))
    return _is_unnamed(authority, os.environ.get(VARIABLE))


def in_url(url: object) -> bool:
    """``is_unnamed`` of the host of a URL; False for what is no absolute URL."""
    parts = url.split("/", 3) if isinstance(url, str) else ()
    return len(parts) > 2 and not parts[1] and is_unnamed(parts[2])


@functools.lru_cache(maxsize=1024)
def _is_unnamed(authority: str, configured: object) -> bool:
    found = _AUTHORITY.fullmatch(authority)
    if found is None:
        return False
    name = found[1].lower()
    name = name[:-1] if name.endswith(".") else name
    known = _SERVICE.fullmatch(name) is not None
    if configured:
        text = os.fsdecode(configured) if isinstance(configured, bytes) else str(configured)
        try:
            more = _entries(text)
        except _workspace.WorkspaceError:
            if known or name in text.lower():
                raise
            return False
        known = known or any(name.endswith(e) if e[0] == "." else name == e for e in more)
    return known and not workspace_in_host(f"//{name}")


def _entries(text: str) -> list[str]:
    entries = [entry.strip() for entry in text.split(",")]
    for entry in filter(None, entries):
        if not _ENTRY.fullmatch(entry):
            raise _workspace.WorkspaceError(
                f"the environment variable {VARIABLE} has the entry "
                f"{_workspace.masked(entry, 253)!r}, but {HOSTS_RULE}"
            )
    return [entry.lower() for entry in entries if entry]
