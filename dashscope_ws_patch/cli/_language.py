"""What the commands say: in English where it is said, in Chinese by the catalogue below."""

from __future__ import annotations

import argparse
import contextlib
import re
from collections.abc import Iterable, Iterator
from typing import Any

# ruff: noqa: E501 (a sentence a line)

_current = "en"


def use(lang: str) -> None:
    """Say what is said from now on in ``lang``: ``zh``, else English."""
    global _current
    _current = lang


def current() -> str:
    """The language that is used: ``zh`` or ``en``."""
    return _current


def _(text: str, /, **values: Any) -> str:
    """``text`` in the language that is used, with ``values`` in its places."""
    said = in_language(_current, text)
    return of_shim(said.format(**values)) if values else said


def of_shim(text: str) -> str:
    """``text``, in which the shim itself may have said something: that is always English."""
    if _current == "zh":
        for english, chinese in OF_SHIM.items():
            places = re.sub(r"\\{(\w+)\\}", r"(?P<\1>.+?)", re.escape(english))
            text = re.sub(places, lambda found: chinese.format(**found.groupdict()), text)  # noqa: B023
    return text


def in_language(lang: str, text: str) -> str:
    """``text`` in ``lang``; English where the catalogue has none."""
    return CHINESE.get(text, text) if lang == "zh" else text


def joined(texts: Iterable[str]) -> str:
    """``texts`` as an enumeration."""
    return _(", ").join(texts)


def sentences(texts: Iterable[str]) -> str:
    """``texts`` one after the other."""
    return ("" if _current == "zh" else " ").join(texts)


@contextlib.contextmanager
def of_argparse() -> Iterator[None]:
    """Inside, argparse says what it says by itself in the language that is used."""
    module: Any = argparse
    native = module._, module.ngettext
    module._ = _
    module.ngettext = lambda one, many, number: _(one if number == 1 else many)
    try:
        yield
    finally:
        module._, module.ngettext = native


CHINESE: dict[str, str] = {
    # The command line.
    "Each request of the dashscope SDK carries its workspace.": "让 dashscope SDK 的每个请求都带上业务空间。",
    "commands:": "命令：",
    "drive every surface of the SDK against a local service, and show the header": "用本地服务驱动 SDK 的全部接口，并显示请求头",
    "ask the service with your key: is it the key, the workspace, or the model?": "用你的 API Key 询问服务：是 Key、业务空间还是模型的问题？",
    "say what an error of the service means and what to do about it": "说明服务的错误码及处理方法",
    "run a command with each Python process below it activated": "运行一条命令，并激活其下的所有 Python 进程",
    "print the folder that activates each Python that has it on PYTHONPATH": "输出目录，加入 PYTHONPATH 即可激活 Python",
    "activate this environment for good": "永久激活此环境",
    "undo install": "撤销 install",
    "say what activates this interpreter, and which workspace it sends": "说明此解释器由什么激活、发送哪个业务空间",
    "unknown option: {name}": "未知选项：{name}",
    "instead of the locale's language": "代替系统区域设置的语言",
    "print one JSON object": "输出一个 JSON 对象",
    "interrupted": "已中断",
    # argparse.
    "usage: ": "用法：",
    "positional arguments": "参数",
    "options": "选项",
    "optional arguments": "选项",
    "show this help message and exit": "显示此帮助并退出",
    "show program's version number and exit": "显示版本号并退出",
    "the following arguments are required: %s": "缺少参数：%s",
    "unrecognized arguments: %s": "无法识别的参数：%s",
    "argument %(argument_name)s: %(message)s": "参数 %(argument_name)s：%(message)s",
    "invalid choice: %(value)r (choose from %(choices)s)": "无效的值：%(value)r（可选：%(choices)s）",
    "expected one argument": "需要一个值",
    "expected at most one argument": "最多一个值",
    "expected at least one argument": "至少一个值",
    "ignored explicit argument %r": "不接受值：%r",
    "%(prog)s: error: %(message)s\n": "%(prog)s：错误：%(message)s\n",
    # Words.
    ".": "。",
    ", ": "、",
    ", and ": "，并",
    "active": "已激活",
    "not active": "未激活",
    "by": "方式",
    "none": "无",
    ", from {source}": "，来自 {source}",
    "ok": "正常",
    "warning": "注意",
    "failed": "有误",
    "unknown": "未知",
    "activation": "激活",
    "workspace": "业务空间",
    "base URLs": "服务地址",
    "loopback call": "回环调用",
    "SDK and seams": "SDK 与接入点",
    "API key": "API Key",
    "without the SDK": "不经 SDK 的请求",
    "correct it": "请更正",
    "none is set": "未设置",
    "{workspace}, from {source}": "{workspace}，来自 {source}",
    # What a program started here would send.
    "import dashscope_ws_patch in the program, or run: python -m dashscope_ws_patch install": "在程序中 import dashscope_ws_patch，或执行 python -m dashscope_ws_patch install",
    "A program started here sends {workspace}.": "在此启动的程序会发送 {workspace}。",
    "A program started here would send {other} instead.": "在此启动的程序会发送另一个业务空间：{other}。",
    "A program started here would not send it yet.": "在此启动的程序还不会发送它。",
    "A program started here would not send it: {said}": "在此启动的程序不会发送它：{said}",
    "What a program started here would send is unknown: {said}": "无法得知在此启动的程序会发送什么：{said}",
    "A program started here sends no workspace: none is set.": "在此启动的程序不发送业务空间：没有设置。",
    "A program started here sends a workspace only inside `with use_workspace(...)`: {name} has other calls refused.": "在此启动的程序只在 `with use_workspace(...)` 中发送业务空间：{name} 会拒绝其他调用。",
    "a program started here does not come to its end in time": "在此启动的程序没有及时结束",
    "{file} names a package that is not here: say install again": "{file} 指向的包不在这里：请重新执行 install",
    "{first} comes first, and keeps {startup} from running": "{first} 排在前面，使 {startup} 无法运行",
    "-S loads no site: nothing but an import in the program reaches it": "-S 不加载 site：只有程序中的 import 有效",
    "dashscope is not installed here: there is nothing to patch": "此环境没有安装 dashscope，无需接入",
    "make `import dashscope` work here: pip install dashscope": "先让 `import dashscope` 在此环境可用：pip install dashscope",
    "dashscope is imported without it: {reason}": "导入 dashscope 时没有激活：{reason}",
    "upgrade dashscope-ws-patch": "升级 dashscope-ws-patch",
    "{release}; seams that do not fit: {seams}": "{release}；不适配的接入点：{seams}",
    "{release}, {applied} seams applied": "{release}，已接入 {applied} 处",
    "DASHSCOPE_WS_PATCH switches it off": "已被 DASHSCOPE_WS_PATCH 关闭",
    "unset DASHSCOPE_WS_PATCH": "删除环境变量 DASHSCOPE_WS_PATCH",
    "active, by {ways}": "已激活：{ways}",
    "not active: only in a program that imports dashscope_ws_patch": "未激活：仅在导入 dashscope_ws_patch 的程序中生效",
    "{name}: calls outside a scope are refused": "{name}：作用域之外的调用会被拒绝",
    "call inside `with use_workspace(...)`": "在 `with use_workspace(...)` 中调用",
    "{name} names another, {other}": "{name} 指定了另一个：{other}",
    "unset one of the two": "删除其中一个",
    "see that it is no API key": "请确认它不是 API Key",
    "{name} names {label} in its host: requests of 2.x clients go there": "{name} 的主机名指定了 {label}：2.x 客户端的请求发往该地址",
    "{name} names {label} in its host: a request would go there with no header": "{name} 的主机名指定了 {label}：请求发往该地址，不带请求头",
    "{name} wins over {workspace}": "{name} 优先于 {workspace}",
    "unset it, or let it name no workspace": "删除该变量，或改用不含业务空间的地址",
    "the same, by": "同样携带，依据",
    "left alone, no": "不处理，未设置",
    "a program started here": "在此启动的程序",
    "a program that imports dashscope_ws_patch": "导入 dashscope_ws_patch 的程序",
    "{program} sends nothing: {error}": "{program}没有发送请求：{error}",
    "{program} sent {workspaces}": "{program}发送了 {workspaces}",
    "{program} sent no header to {host}": "{program}向 {host} 发送时没有请求头",
    "{found}, and {workspaces} without the SDK": "{found}；不经 SDK 的请求：{workspaces}",
    "cannot find out what a new interpreter does: {error}": "无法得知新解释器的行为：{error}",
    "waiting for a new interpreter that imports dashscope": "正在等待新解释器导入 dashscope",
    # check.
    "ask with this one, not the environment's": "用此业务空间询问，而不是环境中的",
    "default: %(default)s": "默认：%(default)s",
    "for all of it; default: %(default)s": "总时限；默认：%(default)s",
    "{regions}, or one with workspace hosts alone": "{regions}，或只有业务空间地址的地域",
    "such as https://dashscope-intl.aliyuncs.com/api/v1": "例如 https://dashscope-intl.aliyuncs.com/api/v1",
    "{text} is no number of seconds, above 0 and up to 86400": "{text} 不是秒数（大于 0，最多 86400）",
    "give it a longer --timeout": "请用更长的 --timeout",
    "no time was left to ask the service": "没有剩余时间询问服务",
    "-m names no model": "-m 没有指定模型",
    "--base-url {url} is no http or https URL": "--base-url {url} 不是 http 或 https 地址",
    "--region {region} is no region, such as cn-beijing": "--region {region} 不是地域（例如 cn-beijing）",
    "--region {region} has workspace hosts alone: say -w too": "--region {region} 只有业务空间地址：请同时指定 -w",
    "{name} is no http or https URL": "{name} 不是 http 或 https 地址",
    "waiting for `import dashscope`": "正在等待 `import dashscope`",
    "asking {host} for one token of {model}, two to four times (which may cost a fraction of a cent), for {seconds} seconds at most": "向 {host} 请求 {model} 的一个 Token，两到四次（可能产生极少费用），最多 {seconds} 秒",
    "waiting for the answer: {request}": "正在等待回答：{request}",
    "without a workspace": "不带业务空间",
    "with a workspace": "带业务空间",
    "compatible mode": "兼容模式",
    "on the shared host": "在共享地址",
    "on its own host": "在业务空间自己的地址",
    "the shared host": "共享地址",
    "the workspace's own host": "业务空间自己的地址",
    "It works on {host}, and on {other}.": "{host} 可用，{other} 也可用。",
    "It works on {host}; {other}.": "{host} 可用；{other}。",
    "Nor does it work on {host}: it {found}.": "{host} 也不可用：{found}。",
    "{host} {found}": "{host}{found}",
    "has no such model": "没有此模型",
    "does not take the key": "不接受该 API Key",
    "says: {why}": "回答：{why}",
    "requests go to": "请求发往",
    "{found}, to {host}": "{found}，发往 {host}",
    "{value} is no region, such as eu-central-1; before a command say: --own-host --": "{value} 不是地域（例如 eu-central-1）；如果后面是命令，请用：--own-host --",
    "{request}: to {host}, {header}": "{request}：发往 {host}，{header}",
    "no header": "没有请求头",
    "cannot be looked up": "无法查找",
    "{source} is empty": "{source} 为空",
    "Whether a workspace works was not asked.": "没有询问业务空间是否可用。",
    "Whether a workspace works was not asked: API key: {found}.": "没有询问业务空间是否可用：API Key：{found}。",
    "{workspace} works with this key.": "该 API Key 可以使用 {workspace}。",
    "It works without a workspace too.": "不带业务空间也可用。",
    "This key needs no workspace.": "该 API Key 不需要业务空间。",
    "This key needs a workspace, and none is named.": "该 API Key 需要业务空间，但没有指定。",
    "This key is not a member of the workspace {workspace}.": "该 API Key 不是业务空间 {workspace} 的成员。",
    "The model {model} is not granted to the workspace {workspace}.": "业务空间 {workspace} 未获授权使用模型 {model}。",
    "The model {model} is not granted where no workspace is named.": "不带业务空间时无权使用模型 {model}。",
    "Model Studio is not activated for the account of this key.": "该 API Key 所属账号未开通百炼。",
    "The key is wrong.": "API Key 有误。",
    "Without a workspace the key works.": "不带业务空间时该 API Key 可用。",
    "It could not be found out: {why}.": "无法得出结论：{why}。",
    "Compatible mode: {said}": "兼容模式：{said}",
    "the request went without {workspace}, since {host} is not known for the service.": "请求没有带 {workspace}，因为 {host} 不在已知的服务地址中。",
    "the service refused with a code that is not known here: {code} {message} (HTTP {status}, request id {request_id})": "服务拒绝了请求，错误码此处未收录：{code} {message}（HTTP {status}，request id {request_id}）",
    "{host} answered with something that is not the service's: a gateway, a proxy or a wrong path": "{host} 的回答不是百炼服务的格式：可能是网关、代理或路径有误",
    "the proxy in front of {host} refused": "到 {host} 的代理拒绝了请求",
    "proxy: the proxy in front of {host} cannot be used ({error}); see HTTPS_PROXY, HTTP_PROXY and NO_PROXY": "代理：无法使用到 {host} 的代理（{error}），请检查 HTTPS_PROXY、HTTP_PROXY、NO_PROXY",
    "DNS: the name {host} cannot be resolved ({error})": "DNS：无法解析 {host}（{error}）",
    "TLS: no secure connection to {host} ({error}): its certificate is not trusted here, or something in between speaks for it": "TLS：无法与 {host} 建立安全连接（{error}）：证书不受信任，或有中间设备拦截",
    "timeout: {host} did not answer in time": "超时：{host} 未及时响应",
    "the SDK cannot send the key: it holds a character that no header may have": "SDK 无法发送该 API Key：其中有请求头不允许的字符",
    "connection: {host} cannot be reached ({error})": "连接：无法连接 {host}（{error}）",
    # explain.
    "a code, or a whole error message, JSON body or traceback; read from stdin if absent": "错误码，或整段错误信息、JSON 响应、traceback；省略时从标准输入读取",
    "none of the codes known here ({codes}); all of the service's: {page}": "其中没有此处已知的错误码（{codes}）；服务的全部错误码见 {page}",
    "nothing to explain: give a code, a message or a JSON body, or pipe one in": "没有可解释的内容：请给出错误码、错误信息或 JSON 响应，也可以用管道输入",
    "code": "错误码",
    "meaning": "含义",
    "what to do": "处理方法",
    "and: import dashscope_ws_patch, run or install": "并且：import dashscope_ws_patch、run 或 install",
    "in the program, before or after dashscope": "在程序中，位于 dashscope 之前或之后",
    "To set the workspace, any one of:": "设置业务空间，以下任选其一：",
    # run.
    "the value for DASHSCOPE_WORKSPACE": "DASHSCOPE_WORKSPACE 的值",
    "set DASHSCOPE_WS_PATCH_CLIENTS: what is sent without the SDK carries it too": "设置 DASHSCOPE_WS_PATCH_CLIENTS：不经 SDK 的请求也带上业务空间",
    "set DASHSCOPE_WS_PATCH_OWN_HOST: requests go to the workspace's own host": "设置 DASHSCOPE_WS_PATCH_OWN_HOST：请求发往业务空间自己的地址",
    "the command and its arguments": "命令及其参数",
    "no workspace is set: requests carry one only inside `with use_workspace(...)`; say -w ws_..., or export DASHSCOPE_WORKSPACE": "没有设置业务空间：只有 `with use_workspace(...)` 中的请求会携带；请用 -w ws_... 或 export DASHSCOPE_WORKSPACE 指定",
    "env {word} takes PYTHONPATH away: what it starts is not reached": "env {word} 去掉了 PYTHONPATH：其启动的程序不会被激活",
    "{name} {word} loads no site: only an import in the program reaches it": "{name} {word} 不加载 site：只有程序中的 import 有效",
    "{name} {word} reads no PYTHONPATH: it is reached only if `python -m dashscope_ws_patch install` was said in its environment": "{name} {word} 不读取 PYTHONPATH：只有在其环境中执行过 `python -m dashscope_ws_patch install` 才会激活",
    # install and uninstall.
    "also where this is neither a virtual nor a conda environment": "不是虚拟环境或 conda 环境时也执行",
    "written: {path}": "已写入：{path}",
    "removed: {path}": "已删除：{path}",
    "already installed: {path}": "已安装：{path}",
    "each Python of {prefix} now waits for dashscope": "{prefix} 的每个 Python 现在都会等待 dashscope",
    "not installed: nothing to remove": "没有安装，无需删除",
    "{prefix} is no virtual environment: say --system to mean this Python itself": "{prefix} 不是虚拟环境：如果就是指此 Python，请加 --system",
    "{prefix} is an environment that uv throws away: say `uv add {address}` and then `uv run python -m dashscope_ws_patch install`; or, for one command, `uv run --with {address} dashscope-ws-patch run -- python app.py`": "{prefix} 是 uv 的临时环境：请执行 `uv add {address}` 和 `uv run python -m dashscope_ws_patch install`；只用一次则执行 `uv run --with {address} dashscope-ws-patch run -- python app.py`",
    "{prefix} is this tool's own environment, and your programs are started from others: install the package there and say `python -m dashscope_ws_patch install`; or, for one command, `dashscope-ws-patch run -- python app.py`": "{prefix} 是此工具自己的环境，你的程序在别的环境中启动：请在那里安装本包并执行 `python -m dashscope_ws_patch install`；只用一次则执行 `dashscope-ws-patch run -- python app.py`",
    "dashscope-ws-patch is not installed in {prefix}: say pip install {address} first": "{prefix} 中没有安装 dashscope-ws-patch：请先执行 pip install {address}",
    "{path} is not ours: move it away, then install again": "{path} 不是本包写入的：请先移走，再执行 install",
    "{path} was changed since install wrote it: remove it by hand": "{path} 在 install 写入后被修改过：请手动删除",
    "cannot write {path}: {error}": "无法写入 {path}：{error}",
    "cannot remove {path}: {error}": "无法删除 {path}：{error}",
    # doctor.
    "each surface and each seam": "列出每个接口和每个接入点",
    "an unpacked release of the SDK to try": "要试用的 SDK 版本（已解包的目录）",
    "no package {name} in {path}": "{path} 中没有 {name} 包",
    "dashscope is not installed: pip install dashscope": "没有安装 dashscope：pip install dashscope",
    "WRONG": "有误",
    "FAILED seam": "接入失败",
    "UNKNOWN way out": "未知的出口",
    "{shim} of {requests} requests": "{requests} 个请求中 {shim} 个正确",
    "NOT every request is right": "并非所有请求都正确",
    "NOT right here": "此环境有问题",
    "NOT found out: a process that drives the SDK failed": "无法得出结论：驱动 SDK 的进程失败",
    "every request is right": "所有请求都正确",
    "every request is right, but {number} seams no longer fit the SDK": "所有请求都正确，但有 {number} 个接入点不再适配此 SDK",
    ", in programs that import dashscope_ws_patch": "（在导入 dashscope_ws_patch 的程序中）",
    ", once a workspace is set": "（设置业务空间之后）",
    "and {number} more that are wrong: --verbose": "另有 {number} 处有误：--verbose",
    "{number} of the processes that drive the SDK failed": "{number} 个驱动 SDK 的进程失败",
    "{right} of {requests} requests of {surfaces} surfaces right, {leaks} leaks, {unknown} unknown ways out": "{surfaces} 个接口的 {requests} 个请求中 {right} 个正确，{leaks} 处泄漏，{unknown} 个未知出口",
    "  {name}: {right} of {requests} requests of {surfaces} surfaces": "  {name}：{surfaces} 个接口的 {requests} 个请求中 {right} 个正确",
    ", {broken} broken by the SDK itself": "，{broken} 个因 SDK 自身而失败",
    "accounts: {right} of {all} answers as the service gives them": "账号：{all} 个回答中 {right} 个与服务一致",
    "libraries: {names}": "其他库：{names}",
    "no surface passes {name}": "没有接口经过 {name}",
    "no surface drives {name}": "没有接口驱动 {name}",
    "{done} of {total} surfaces": "{total} 个接口中的 {done} 个",
    "{done} of {total} surfaces driven": "已驱动 {total} 个接口中的 {done} 个",
    "surface": "接口",
    "requests": "请求",
    "native": "原生",
    "with the shim": "接入后",
    "the SDK itself fails": "SDK 自身失败",
    "seams": "接入点",
    "audit": "审计",
    "switched off": "已关闭",
    "applied": "已接入",
    "absent": "无",
    "waiting": "等待中",
    "not installed": "未安装",
    "{ways} ways out of the SDK: {seams} behind seams, {others} not to the service, {unknown} unknown": "SDK 的 {ways} 个出口：{seams} 个经过接入点，{others} 个不通往服务，{unknown} 个未知",
}

#: What the shim itself says where it refuses: programs read it in English, the commands' readers
#: in their language.
OF_SHIM = {
    "{origin} is {value}, but a workspace is 1 to 64 of the characters A-Z a-z 0-9 _ -, the first a letter or digit, such as 'ws_QTggmeA1b2c3' or 'llm-x1y2' (the console shows it under 业务空间管理)": "{origin} 的值是 {value}，但业务空间应为 1 到 64 个字符（A-Z a-z 0-9 _ -），以字母或数字开头，例如 'ws_QTggmeA1b2c3' 或 'llm-x1y2'（可在控制台的“业务空间管理”中查看）",
    "the environment variable {name} 的值": "环境变量 {name} 的值",
    "this request names no workspace and is made in no scope, which {name} forbids: make it inside `with use_workspace(...)`, or hand it over with carry_workspace(...)": "请求没有指定业务空间，也不在作用域中，而 {name} 禁止这样的请求：请在 `with use_workspace(...)` 中发出，或用 carry_workspace(...) 转交",
    "the workspace {value} has {number} characters, but here it becomes a label of the host name, which may have 63 (RFC 1035): check the workspace's id": "业务空间 {value} 有 {number} 个字符，但在这里要作为主机名的一段，最多 63 个（RFC 1035）：请检查业务空间 ID",
    "the environment variable {name} has the entry {entry}, but an entry is a host name such as 'gateway.corp.example', or '.internal.example' for all of its subdomains, with neither scheme, port, path nor wildcard": "环境变量 {name} 中有 {entry}，但每一项应为主机名，例如 'gateway.corp.example'，或以 '.internal.example' 表示其全部子域名，不含协议、端口、路径或通配符",
    "{name} (or own_host=) is {value}, but it may be 1 (the host in the region of the shared one), a region such as 'eu-central-1' (the host there), or 0 (the shared host stays)": "{name}（或 own_host=）的值是 {value}，但只能是 1（共享地址所在地域的专属地址）、地域（例如 'eu-central-1'，该地域的专属地址）或 0（仍用共享地址）",
    "is {value}, and taken for 0: it may be 1, on, true, yes (requests that do without the SDK carry the workspace too) or 0, off, false, no (they do not)": "的值是 {value}，按 0 处理：可以是 1、on、true、yes（不经 SDK 的请求也携带业务空间）或 0、off、false、no（不携带）",
    "... ({number} characters; an API key?)": "...（{number} 个字符，可能是 API Key）",
    "sk-... (an API key?)": "sk-...（可能是 API Key）",
}
