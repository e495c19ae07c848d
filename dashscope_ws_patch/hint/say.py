"""What the hint says, once for each code, workspace and model."""

from __future__ import annotations

import logging
import re
import threading

from .._workspace import masked
from .refusals import HANDSHAKE, MAIN_ACCOUNT, REFUSALS, Text, language

_SOURCES = {
    "named": Text("the calling code", "调用代码"),
    "client": Text("the client called on", "所用的客户端"),
    "scope": Text("the scope (use_workspace)", "作用域（scope，use_workspace）"),
    "host": Text("the host", "主机名（host）"),
}

_ASK = Text(
    "To ask the service what is wrong: python -m dashscope_ws_patch check",
    "询问服务以确定原因：python -m dashscope_ws_patch check",
)

#: How many hints are remembered, so that a process with ever new workspaces does not grow.
REMEMBERED = 1024

_lock = threading.Lock()
_hinted: dict[tuple[str, str, str], None] = {}


def hint(
    code: str, *, workspace: str | None, source: str | None, host: str, model: str | None
) -> None:
    """Log one WARNING about a refused request, once per code, workspace and model in the process.

    ``source`` says where the workspace came from: ``named``, ``client``, ``scope``, ``host``, a
    variable's name, or None where that is not known. Of the values only an excerpt is shown,
    escaped; and none that looks like an API key.
    """
    key = (code, masked(workspace or ""), (model or "")[:80])
    with _lock:
        if key in _hinted:
            return
        if len(_hinted) >= REMEMBERED:
            del _hinted[next(iter(_hinted))]
        _hinted[key] = None
    logging.getLogger("dashscope_ws_patch").warning(
        "%s", _hint(code, workspace, source, _excerpt(host_for_a_reader(host)), model)
    )


def _hint(
    code: str, workspace: str | None, source: str | None, host: str, model: str | None
) -> str:
    lang = language()
    origin = Text("", "")
    if source is not None:
        name = _SOURCES.get(source, Text(source, source))
        origin = Text(f", from {name.en}", f"，来自{name.zh}")
    sent = (
        Text("It named no workspace.", "请求没有指定业务空间。")
        if workspace is None
        else Text(
            f"It named the workspace {masked(workspace)!r}{origin.en}.",
            f"请求指定的业务空间是 {masked(workspace)!r}{origin.zh}。",
        )
    )
    refused = (
        Text(f"{code}: {host} refused a request.", f"{code}：{host} 拒绝了请求。")
        if model is None
        else Text(
            f"{code}: {host} refused a request for the model {_excerpt(model)}.",
            f"{code}：{host} 拒绝了对模型 {_excerpt(model)} 的请求。",
        )
    )
    texts = [refused, sent]
    for refusal in (*REFUSALS, HANDSHAKE):
        if refusal.code == code:
            texts += [refusal.meaning, refusal.advice, MAIN_ACCOUNT, _ASK]
    return Text(" ", "").to(lang).join(text.to(lang) for text in texts)


_KEY = r"(?ai)(?<![a-z0-9])sk-"


def host_for_a_reader(host: str) -> str:
    """``host``, whose first label may be a workspace, and so an API key in the wrong place."""
    if re.search(_KEY, host):
        return masked(host)
    label, dot, rest = host.partition(".")
    return masked(label) + dot + rest


def _excerpt(value: str) -> str:
    """``value`` for a reader: escaped, cut, and without what looks like an API key."""
    if re.search(_KEY, value):
        return repr(masked(value))
    return repr(value if len(value) <= 80 else value[:80] + "...")
