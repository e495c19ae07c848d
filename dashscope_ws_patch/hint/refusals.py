"""Access denied: what the service's codes mean.

``REFUSALS`` is the one table of the codes: ``explain``, the README's troubleshooting, the hint and
the loopback service's accounts read it.
"""

from __future__ import annotations

import os
import re
from typing import NamedTuple


class Text(NamedTuple):
    """One text in each language."""

    en: str
    zh: str

    def to(self, lang: str) -> str:
        """The text for a reader of ``lang``: ``zh``, else English."""
        return self.zh if lang == "zh" else self.en


class Refusal(NamedTuple):
    """A code of the service, the message that comes with it, what it means and what to do."""

    code: str
    message: str
    meaning: Text
    advice: Text


WORKSPACE_DENIED = Refusal(
    "Workspace.AccessDenied",
    "Workspace access denied.",
    Text(
        "The key is a RAM sub-account's, and the request named no workspace, or one that the "
        "sub-account is not a member of.",
        "API Key 属于 RAM 子账号，而请求没有指定业务空间，或指定的业务空间中没有该子账号。",
    ),
    Text(
        "Set the workspace that the sub-account is a member of: the console shows it under "
        "业务空间管理 (workspaces). If there is none, the administrator adds the sub-account.",
        "设置该子账号所属的业务空间，可在控制台的“业务空间管理”中查看。"
        "如果没有，请管理员将子账号加入某个业务空间。",
    ),
)
MODEL_DENIED = Refusal(
    "Model.AccessDenied",
    "Model access denied.",
    Text(
        "The request named no workspace, or its workspace may not call this model.",
        "请求没有指定业务空间，或该业务空间无权调用此模型。",
    ),
    Text(
        "Set the workspace. If it is set and right, the administrator grants the model to it "
        "(授权子业务空间模型调用和部署), or applies for the model in 模型广场 (the model gallery).",
        "设置业务空间。如果已正确设置，请管理员为该业务空间授权此模型（授权子业务空间模型调用和部署），"
        "或在“模型广场”申请该模型。",
    ),
)
UNPURCHASED = Refusal(
    "AccessDenied.Unpurchased",
    "Access to model denied. Please make sure you are eligible for using the model.",
    Text(
        "Model Studio is not activated for the account that the key belongs to.",
        "API Key 所属的账号尚未开通百炼服务。",
    ),
    Text(
        "Activate it with the main account, in 模型广场 (the model gallery). No workspace helps.",
        "用主账号在“模型广场”开通百炼服务。设置业务空间不起作用。",
    ),
)
REFUSALS = (WORKSPACE_DENIED, MODEL_DENIED, UNPURCHASED)

#: Of a websocket handshake that is refused the SDK passes on the status alone.
HANDSHAKE = Refusal(
    "HTTP 403",
    "",
    Text(
        "The websocket handshake was refused; no code is passed on, and where the SDK speaks of an "
        "invalid api-key it is guessing.",
        "WebSocket 握手被拒绝；没有给出错误码，SDK 所说的 api-key 无效只是猜测。",
    ),
    WORKSPACE_DENIED.advice,
)

MAIN_ACCOUNT = Text(
    "A main account's key needs no workspace.",
    "主账号的 API Key 不需要指定业务空间。",
)

# The code in any of its spellings (Workspace.AccessDenied, workspace_access_denied ...), or the
# message, which is all that some clients show. No AccessDeniedException of another cloud.
# A string: most processes never look for it, and compiling takes its time.
_PATTERN = (
    r"(?<![a-z0-9])(?:(workspace[\W_]?access[\W_]?denied)|(model[\W_]?access[\W_]?denied)"
    r"|(access[\W_]?denied[\W_]?unpurchased|access to model denied))(?![a-z0-9])"
)


def recognise(text: str) -> list[Refusal]:
    """The refusals that ``text`` names, by code or by message, in the order in which it does."""
    found = (
        REFUSALS[(match.lastindex or 1) - 1] for match in re.finditer(_PATTERN, text, re.IGNORECASE)
    )
    return list(dict.fromkeys(found))


def language() -> str:
    """The reader's language by the locale (LC_ALL, LC_MESSAGES, LANG): ``zh`` or ``en``."""
    names = ("LC_ALL", "LC_MESSAGES", "LANG")
    locale = next(filter(None, (os.environ.get(name) for name in names)), "")
    return "zh" if locale.lower().startswith("zh") else "en"
