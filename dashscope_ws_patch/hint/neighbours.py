"""The codes that are met beside the refusals, and whether a workspace has to do with them.

Read by the commands alone: a program that is refused pays for ``refusals`` only. The codes and
messages are those of the service's page of error codes (``PAGE``).
"""

from __future__ import annotations

import re
from typing import NamedTuple, Union

from . import refusals
from .refusals import Refusal, Text

#: Where the service explains all of its codes.
PAGE = Text(
    "https://www.alibabacloud.com/help/en/model-studio/error-code",
    "https://help.aliyun.com/zh/model-studio/error-code",
)


class Neighbour(NamedTuple):
    """A code, what it means, what to do, and what a workspace has to do with it."""

    code: str
    status: int
    message: str
    meaning: Text
    advice: Text
    #: What a workspace has to do with it, in a sentence.
    bearing: Text
    #: True where naming another workspace may help.
    by_workspace: bool
    #: Other codes, and messages, that mean the same; regular expressions.
    also: tuple[str, ...] = ()


Known = Union[Refusal, Neighbour]

_NOTHING = Text("A workspace has nothing to do with it.", "与业务空间无关。")

APP = Neighbour(
    "App.AccessDenied",
    403,
    "App access denied.",
    Text(
        "The application belongs to another workspace than the request named, or to a "
        "sub-workspace while the request named none; or the key may not call it.",
        "应用属于另一个业务空间，或属于子业务空间而请求没有指定业务空间；"
        "也可能该 API Key 无权调用此应用。",
    ),
    Text(
        "Set the workspace in which the application was made; the console shows both beside the "
        "application's id.",
        "设置创建该应用的业务空间；在控制台的应用管理中可以看到应用所在的业务空间。",
    ),
    Text("A workspace decides it.", "由业务空间决定。"),
    True,
)
NOT_FOUND = Neighbour(
    "WorkSpaceNotFound",
    404,
    "WorkSpace can not be found.",
    Text(
        "There is no workspace of this id in this account and region.",
        "该账号在该地域没有这个业务空间。",
    ),
    Text(
        "Compare the id, letter by letter, with the one under 业务空间管理 (workspaces) in the "
        "console of the region that is called.",
        "与所调用地域的控制台“业务空间管理”中的 ID 逐字核对。",
    ),
    Text("The workspace that was named is wrong.", "指定的业务空间有误。"),
    True,
    (r"workspace (?:can ?not|could not) be found", r"workspace[\W_]?not[\W_]?exists?"),
)
KEY = Neighbour(
    "InvalidApiKey",
    401,
    "Invalid API-key provided.",
    Text(
        "The key is wrong, was deleted, or is of another region or plan than the host that was "
        "called.",
        "API Key 错误或已删除，或与所调用的地域、套餐不匹配。",
    ),
    Text(
        "Copy the key anew from the console, without blanks or quotes, and call the host of its "
        "region: a key of Beijing is invalid in Singapore.",
        "从控制台重新复制 API Key（不要带空格或引号），并调用该 Key 所属地域的地址："
        "北京的 Key 在新加坡无效。",
    ),
    _NOTHING,
    False,
    (
        r"(?:invalid|incorrect) api[\W_]?key",
        r"invalid access token or token expired",
        r"authentication_error",
    ),
)
STANDING = Neighbour(
    "Arrearage",
    400,
    "Access denied, please make sure your account is in good standing.",
    Text("The account owes money.", "账号已欠费。"),
    Text(
        "Pay the account's bill, and wait some minutes. It is the main account's, whoever calls.",
        "为账号充值，等待几分钟后重试。欠费的是主账号，与由谁调用无关。",
    ),
    _NOTHING,
    False,
    (r"account is in good standing",),
)
FREE = Neighbour(
    "AllocationQuota.FreeTierOnly",
    403,
    "The free tier of the model has been exhausted.",
    Text(
        "The model's free quota is used up, and the account says to stop there.",
        "该模型的免费额度已用完，且账号设置为“免费额度用完即停”。",
    ),
    Text(
        "Switch the setting off in the console, or call another model.",
        "在控制台关闭“免费额度用完即停”，或换用其他模型。",
    ),
    _NOTHING,
    False,
    (r"free tier of the model has been exhausted",),
)
NO_MODEL = Neighbour(
    "ModelNotFound",
    404,
    "Model can not be found.",
    Text(
        "There is no model of this name in the region that was called, or the key may not see it.",
        "所调用的地域没有这个模型，或该 API Key 看不到它。",
    ),
    Text(
        "Compare the name with the list of models of that region. A model of your own (fine-tuned, "
        "deployed) is called with the workspace in which it was made.",
        "与该地域的模型列表核对名称。自己调优或部署的模型，要用其所在的业务空间调用。",
    ),
    Text(
        "A workspace decides it only for a model of your own.",
        "仅对自己调优或部署的模型与业务空间有关。",
    ),
    True,
    (r"model can ?not be found", r"the model \S+ does not exist"),
)
LIMIT = Neighbour(
    "Throttling",
    429,
    "Requests throttling triggered.",
    Text(
        "Too many requests or tokens in a short time, or a quota used up.",
        "短时间内请求数或 Token 数过多，或配额已用完。",
    ),
    Text(
        "Wait and call again, more slowly; ask for a larger quota where it is too small for you.",
        "降低频率，稍后重试；配额不够时申请提高。",
    ),
    Text(
        "Limits are the main account's; an administrator may give a workspace narrower ones.",
        "限流按主账号计算；管理员可以为业务空间设置更低的限额。",
    ),
    False,
    (
        r"limit[\W_]?requests",
        r"insufficient[\W_]?quota",
    ),
)
CONTENT = Neighbour(
    "DataInspectionFailed",
    400,
    "Input data may contain inappropriate content.",
    Text(
        "The input or the answer was blocked for its content.", "输入或输出的内容未通过安全审核。"
    ),
    Text("Change the input.", "修改输入内容。"),
    _NOTHING,
    False,
    (r"data[\W_]?inspection", r"may contain inappropriate content"),
)
PARAMETER = Neighbour(
    "InvalidParameter",
    400,
    "Required parameter(s) missing or invalid, please check the request parameters.",
    Text(
        "The service took the key, and refused what the request asks: a parameter, or a model that "
        "this endpoint does not serve (url error).",
        "API Key 已通过，但请求的内容被拒绝：参数有误，或该接口不支持此模型（url error）。",
    ),
    Text(
        "The message names the parameter; compare it with the documentation of the model.",
        "错误信息会指出参数，请与该模型的文档核对。",
    ),
    _NOTHING,
    False,
    (
        r"invalid[\W_]?parameter[\W_]?error",
        r"bad[\W_]?request[\W_]?(?:empty\w+|illegal\w*|too[\W_]?large)",
    ),
)
UNSUPPORTED = Neighbour(
    "UnsupportedOperation",
    400,
    "The operation is unsupported on the referee object.",
    Text(
        "What the request names (a model, a task, a deployment) does not take this operation.",
        "请求所指的对象（模型、任务或部署）不支持此操作。",
    ),
    Text(
        "Compare the operation with the documentation of the model, or the state of the object.",
        "请对照该模型的文档，或检查该对象的状态。",
    ),
    _NOTHING,
    False,
)
NO_RESOURCE = Neighbour(
    "BadRequest.ResourceNotExist",
    400,
    "The Required resource not exist.",
    Text(
        "There is nothing of this id (a voice, a list of hot words) where the request looks for "
        "it: in its workspace.",
        "请求所查找的业务空间中没有此 ID 的资源（音色、热词表等）。",
    ),
    Text(
        "Compare the id; what was made in a workspace is used with the same workspace.",
        "核对 ID；在哪个业务空间创建的资源，就用哪个业务空间访问。",
    ),
    Text("A workspace may decide it.", "可能与业务空间有关。"),
    True,
)
CONFLICT = Neighbour(
    "Conflict",
    409,
    "Model instance already exists, please specify a suffix.",
    Text("There is one of this name already.", "已有同名的对象（例如部署实例）。"),
    Text("Choose another name or suffix.", "换一个名称或后缀。"),
    _NOTHING,
    False,
    (r"model instance \S+ already exists",),
)
SERVICE = Neighbour(
    "InternalError",
    500,
    "An internal error has occurred, please try again later or contact service support.",
    Text("The service itself failed, or is overloaded.", "服务自身出错或过载。"),
    Text(
        "Try again later; if it stays, report the request id to the service.",
        "稍后重试；如果一直出现，请向服务方提供 request id。",
    ),
    _NOTHING,
    False,
    (
        r"internal[\W_]?error[\W_]?(?:algo|timeout|upload|filedownload)\w*",
        r"internal server error",
    ),
)
VAGUE = Neighbour(
    "AccessDenied",
    403,
    "Access denied.",
    Text(
        "The key may not do what the request asks: this kind of call (asynchronous, synchronous), "
        "or this model.",
        "该 API Key 无权进行这种调用（异步或同步），或无权使用此模型。",
    ),
    Text(
        "Read the message that comes with it. Where it speaks of asynchronous or synchronous "
        "calls, call in the other way; else set the workspace, and ask its administrator.",
        "查看随附的错误信息：如果提到异步或同步调用，请换用另一种方式；否则设置业务空间，并联系其管理员。",
    ),
    Text("A workspace may decide it.", "可能与业务空间有关。"),
    True,
)

NEIGHBOURS = (
    APP, NOT_FOUND, KEY, VAGUE, STANDING, FREE, NO_MODEL, LIMIT, CONTENT, PARAMETER, UNSUPPORTED,
    NO_RESOURCE, CONFLICT, SERVICE,
)  # fmt: skip

#: Codes that mean what one of the neighbours does.
SIBLINGS = tuple(
    entry._replace(code=code, status=status, message=message, also=())
    for entry, code, status, message in (
        (STANDING, "PrepaidBillOverdue", 429, "The prepaid bill is overdue."),
        (STANDING, "PostpaidBillOverdue", 429, "The postpaid bill is overdue."),
        (STANDING, "CommodityNotPurchased", 429, "Commodity has not purchased yet."),
        (LIMIT, "Throttling.RateQuota", 429, "Requests rate limit exceeded."),
        (LIMIT, "Throttling.BurstRate", 429, "Request rate increased too quickly."),
        (LIMIT, "Throttling.AllocationQuota", 429, "Allocated quota exceeded."),
        (NO_MODEL, "Model.NotExist", 400, "Model not exist."),
        (UNSUPPORTED, "NotSupported", 400, ""),
        (PARAMETER, "InvalidURL", 400, "Invalid URL provided in your request."),
        (SERVICE, "SystemError", 500, "An system error has occurred."),
        (SERVICE, "ModelServiceFailed", 500, "Failed to request model service."),
        (SERVICE, "RequestTimeOut", 500, "Request timed out."),
        (SERVICE, "ModelServingError", 503, "Too many requests."),
        (SERVICE, "ModelUnavailable", 503, "Model is unavailable, please try again later."),
    )
)


def known(text: str) -> list[Known]:
    """The codes that ``text`` names, by code or by message, in the order in which it does."""
    found: list[tuple[int, Known]] = [
        (match.start(), refusals.REFUSALS[(match.lastindex or 1) - 1])
        for match in re.finditer(refusals._PATTERN, text, re.IGNORECASE)
    ]
    for neighbour in (*NEIGHBOURS, *SIBLINGS):
        match = re.search(_pattern(neighbour), text, re.IGNORECASE)
        if match:
            found.append((match.start(), neighbour))
    codes = list(dict.fromkeys(entry for _, entry in sorted(found, key=lambda hit: hit[0])))
    # "Access denied" stands in the messages of others too: the more exact code tells.
    return [code for code in codes if code is not VAGUE or len(codes) == 1]


#: Codes that are words of any error message: they are codes only as the service spells them.
_WORDS = ("Conflict", "NotSupported", "UnsupportedOperation")


def _pattern(neighbour: Neighbour) -> str:
    # The words of the code in any spelling: InvalidApiKey, invalid_api_key, Invalid API-key ...
    code = r"[\W_]?".join(re.findall("[A-Z]+[a-z]*", neighbour.code))
    code = f"(?-i:{neighbour.code})" if neighbour.code in _WORDS else code
    message = re.escape(neighbour.message.rstrip("."))
    codes = "|".join(filter(None, (code, message, *neighbour.also)))
    # Neither a part of another code nor an exception of another cloud (ThrottlingException).
    return rf"(?<![a-z0-9])(?<![a-z0-9]\.)(?:{codes})(?![a-z0-9]|[._][a-z])"
