"""``check``: is it the key, the workspace, the model, or the program?

Says what requests of this environment would carry, then asks the real service with the key that the
SDK would use: one smallest possible request without a workspace, one with it, and one to the
compatible mode where DASHSCOPE_WS_PATCH_CLIENTS is on. Of the key nothing is shown but its last
four characters. Exit status: 0 it works, 1 it is refused or something here is wrong, 2 it could not
be asked.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import os
import re
import socket
import ssl
import warnings
from collections.abc import Iterator
from typing import Any, Callable, NamedTuple
from urllib.parse import urlsplit

from .. import _activation, _decision, _hosts, _workspace
from ..hint import neighbours as near
from ..hint.refusals import MAIN_ACCOUNT, MODEL_DENIED, UNPURCHASED, WORKSPACE_DENIED, Text
from ..selftest import prospect as _prospect
from ..selftest.prospect import FAILED, OK, UNKNOWN, WARNING, Finding, Prospect
from ._console import language
from .install import CommandError

#: A small model that every region has.
DEFAULT_MODEL = "qwen-plus"

#: The hosts of a region that name no workspace. Other regions have workspace hosts alone.
REGIONS = {
    "cn-beijing": "dashscope.aliyuncs.com",
    "ap-southeast-1": "dashscope-intl.aliyuncs.com",
    "us-east-1": "dashscope-us.aliyuncs.com",
    "cn-hongkong": "cn-hongkong.dashscope.aliyuncs.com",
}

WORKS, REFUSED, UNASKED = 0, 1, 2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what ``check`` takes on the command line."""
    parser.add_argument("-w", "--workspace", help="ask with this one, not the environment's")
    parser.add_argument("-m", "--model", default=DEFAULT_MODEL, help="default: %(default)s")
    parser.add_argument("--region", help=f"{', '.join(REGIONS)}, or one with workspace hosts alone")
    parser.add_argument("--base-url", help="such as https://dashscope-intl.aliyuncs.com/api/v1")
    parser.add_argument(
        "--timeout", type=_seconds, default=30, metavar="SECONDS", help="default: %(default)s"
    )
    parser.add_argument("--lang", choices=Text._fields, help="instead of the locale's language")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def _seconds(text: str) -> float:
    with contextlib.suppress(ValueError):
        if 0 < float(text) < float("inf"):
            return float(text)
    raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds above 0")


class Key(NamedTuple):
    """The API key that the SDK would use, and where it comes from."""

    value: str
    source: str

    @property
    def shown(self) -> str:
        """The last four characters; none of a key that is hardly longer."""
        return "..." + (self.value[-4:] if len(self.value) >= 12 else "")

    def hide(self, value: Any) -> Any:
        """``value``, a text or a JSON value, without the key, wherever it may have got into it."""
        if isinstance(value, dict):
            return {self.hide(key): self.hide(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.hide(item) for item in value]
        if not isinstance(value, str):
            return value
        for form in {self.value, self.value.strip(), repr(self.value)[1:-1]} - {""}:
            value = value.replace(form, self.shown)
        return _workspace.masked(value)


class Answer(NamedTuple):
    """A request that was made, and what became of it."""

    #: The host it went to, and the workspace in its header or, without one, in its host.
    host: str
    header: str | None
    named: str | None
    status: int | None
    code: str
    message: str
    request_id: str
    #: WORKS, REFUSED or UNASKED, and why: the code, or what kept the request from being answered.
    outcome: int
    known: near.Known | None = None
    trouble: Text | None = None

    @property
    def final(self) -> bool:
        """Whether the same without, or with, a workspace would have the same answer."""
        return self.status is None or self.known in (near.KEY, UNPURCHASED, near.STANDING)

    @property
    def why(self) -> Text:
        """The reason, in a sentence."""
        return self.trouble or (self.known.meaning if self.known else Text("", ""))


def main(namespace: argparse.Namespace) -> int:
    """Print the findings and the verdict; return the exit status."""
    logging.disable(logging.CRITICAL)  # at its level DEBUG the SDK logs the key
    warnings.simplefilter("ignore")
    key, key_finding = _key()
    try:
        if not namespace.model.strip():
            raise CommandError("-m names no model")
        if namespace.workspace is not None:
            _workspace.validate(namespace.workspace, "-w")
        base = _base(namespace)
    except (CommandError, _workspace.WorkspaceError) as error:
        raise CommandError(str(key.hide(str(error)) if key else error)) from None
    report = _Report(language(namespace.lang), key, namespace.json)
    report.say(
        Text(
            "Will requests from this environment carry a workspace?",
            "此环境的请求会带上业务空间吗？",
        )
    )
    here = _prospect.prospect()
    for finding in (*here.findings, key_finding):
        report.finding(finding)
    if key is None or here.findings[0].state == UNKNOWN:
        return report.verdict(*_foreseen(here, key_finding))
    import dashscope

    if base is None and not _is_url(dashscope.base_http_api_url):
        name = _prospect.variable("base_http_api_url")
        text = Text(f"{name} is no http or https URL.", f"{name} 不是 http 或 https 地址。")
        return report.verdict(text, Text("correct it", "请更正"), REFUSED)
    answers = list(_asked(namespace, base, report))
    text, advice, status = _judged(answers, namespace.model, here)
    if _activation.covered() and answers and not answers[-1].final:
        beside = _beside(namespace, key, answers[-1], report)
        report.compatible, todo, other = _judged_beside(beside, namespace, here)
        if status == WORKS:
            advice, status = todo, other
    if status == WORKS and here.state(FAILED):
        failed = next(finding for finding in here.findings if finding.state == FAILED)
        status = REFUSED
        text = Text(
            f"{text.en} But not from here: {failed.found.en}.",
            f"{text.zh}但此环境有问题：{failed.found.zh}。",
        )
        advice = failed.advice
    return report.verdict(text, advice, status)


class _Report:
    """Prints as it goes, or one JSON object at the end; never the key."""

    def __init__(self, lang: str, key: Key | None, as_json: bool) -> None:
        self._lang, self._key, self._json = lang, key, as_json
        self._findings: list[dict[str, str]] = []
        self._answers: list[dict[str, Any]] = []
        #: The verdict on the compatible mode, where it was asked.
        self.compatible: Text | None = None

    def say(self, text: Text) -> None:
        if not self._json:
            print(self._safe(text.to(self._lang)), flush=True)

    def finding(self, finding: Finding) -> None:
        name, found, advice = (
            self._safe(text.to(self._lang))
            for text in (finding.name, finding.found, finding.advice)
        )
        self._findings.append(
            {"name": name, "state": finding.state, "found": found, "advice": advice}
        )
        self.say(Text(*[f"  {finding.state:<9}{name}: {found}"] * 2))
        if advice:
            self.say(Text(*[f"{'':11}-> {advice}"] * 2))

    def answer(self, title: Text, answer: Answer) -> None:
        facts = {name: getattr(answer, name) for name in answer._fields[:7]}
        facts["outcome"] = ("works", "refused", "unasked")[answer.outcome]
        facts["why"] = answer.why.to(self._lang)
        facts["request"] = title.to(self._lang)
        # Hidden before it is cut: half a key would not be found any more.
        facts = self._key.hide(facts) if self._key else facts
        facts["message"] = facts["message"][:200]
        self._answers.append(facts)

    def verdict(self, text: Text, advice: Text, status: int) -> int:
        beside = self.compatible or Text("", "")
        said, todo, also = (self._safe(part.to(self._lang)) for part in (text, advice, beside))
        if self._json:
            whole = {
                "verdict": said,
                "advice": todo,
                "status": status,
                "environment": self._findings,
                "requests": self._answers,
                "compatible_mode": also or None,
            }
            print(json.dumps(whole, ensure_ascii=False, indent=2))
            return status
        print(f"\n{said}" + (f"\n{also}" if also else ""))
        for facts in self._answers:
            header = f"{_decision.HEADER}: {facts['header']}"
            header = header if facts["header"] else _NO_HEADER.to(self._lang)
            print(_SENT.to(self._lang).format(**{**facts, "header": header}))
            came = (facts["status"], facts["code"], facts["message"])
            print(f"    {' '.join(str(part) for part in came if part) or facts['why']}")
            if facts["request_id"]:
                print(f"    request id {facts['request_id']}")
        if todo:
            print(f"  -> {todo}")
        return status

    def _safe(self, text: str) -> str:
        return str(self._key.hide(text)) if self._key else _workspace.masked(text)


_SENT = Text("  {request}: to {host}, {header}", "  {request}：发往 {host}，{header}")
_NO_HEADER = Text("no header", "没有请求头")


# The key


_KEY = Text("API key", "API Key")


def _key() -> tuple[Key | None, Finding]:
    """The key that the SDK would use, by the SDK's own look-up (``dashscope.common.api_key``)."""
    advice = Text("export DASHSCOPE_API_KEY=sk-...", "export DASHSCOPE_API_KEY=sk-...")
    try:
        with _quiet():
            import dashscope
            from dashscope.common.api_key import get_default_api_key
    except Exception:  # said among the findings
        return None, Finding(_KEY, UNKNOWN, Text("cannot be looked up", "无法查找"))
    if os.environ.get("DASHSCOPE_API_KEY") is not None:
        source = "DASHSCOPE_API_KEY"
    elif dashscope.api_key_file_path:
        source = "DASHSCOPE_API_KEY_FILE_PATH"
    else:
        source = "~/.dashscope/api_key"
    try:
        with _quiet():
            value: str = get_default_api_key()  # type: ignore[no-untyped-call]
    except (OSError, UnicodeError) as error:
        reason = type(error).__name__
        return None, Finding(
            _KEY, FAILED, Text(f"{source}: {reason}", f"{source}：{reason}"), advice
        )
    except Exception:  # AuthenticationError: none anywhere
        return None, Finding(_KEY, WARNING, Text("none is set", "未设置"), advice)
    if not value.strip():
        return None, Finding(_KEY, FAILED, Text(f"{source} is empty", f"{source} 为空"), advice)
    key = Key(value, source)
    return key, Finding(
        _KEY, OK, Text(f"{key.shown}, from {source}", f"{key.shown}，来自 {source}")
    )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    redirect = contextlib.redirect_stdout, contextlib.redirect_stderr
    with open(os.devnull, "w") as null, redirect[0](null), redirect[1](null):
        yield


def _foreseen(here: Prospect, key: Finding) -> tuple[Text, Text, int]:
    """The verdict where the service is not asked."""
    for state, status in ((FAILED, REFUSED), (UNKNOWN, UNASKED)):
        for finding in (*here.findings, key):
            if finding.state == state:
                text = Text(
                    f"{finding.name.en}: {finding.found.en}.",
                    f"{finding.name.zh}：{finding.found.zh}。",
                )
                return text, finding.advice, status
    named = next(f for f in here.findings if f.name == _prospect.WORKSPACE)
    if here.active and _workspace.REQUIRE_SCOPE in named.found.en:
        text = Text(
            f"Only in a scope: {_workspace.REQUIRE_SCOPE} has all other calls refused.",
            f"仅在作用域中：{_workspace.REQUIRE_SCOPE} 会拒绝其他调用。",
        )
        return text, named.advice, WORKS
    if here.workspace is None:
        return (
            Text("No: no workspace is set, so requests carry none.", "不会：没有设置业务空间。"),
            named.advice,
            REFUSED,
        )
    if not here.active:
        return (
            Text(
                f"Only in programs that import dashscope_ws_patch: {here.workspace}.",
                f"仅限导入 dashscope_ws_patch 的程序：{here.workspace}。",
            ),
            next(f.advice for f in here.findings if f.name == _prospect.ACTIVATION),
            REFUSED,
        )
    return (
        Text(
            f"Yes: {here.workspace}. The service was not asked, since there is no key.",
            f"会：{here.workspace}。没有 API Key，未询问服务。",
        ),
        key.advice,
        WORKS,
    )


# Asking


def _asked(options: argparse.Namespace, base: str | None, report: _Report) -> Iterator[Answer]:
    """The answers of the service: without a workspace, and with the named or the ambient one."""
    import dashscope

    import dashscope_ws_patch as shim

    shim.patch()  # where the environment switches it off too: the question is another
    if base is not None:
        dashscope.base_http_api_url = base
    url: str = dashscope.base_http_api_url
    clients = bool(_activation.covered())
    bound = _hosts.workspace_in_host(url) or "{workspace_id}" in url
    report.say(
        Text(
            f"\nAsking {urlsplit(url).hostname} for one token of {options.model}, at most twice"
            f"{', and once more in its compatible mode' if clients else ''} "
            "(it may cost a fraction of a cent).",
            f"\n向 {urlsplit(url).hostname} 请求 {options.model} 的一个 Token，最多两次"
            f"{'，另在兼容模式下一次' if clients else ''}（可能产生极少费用）。",
        )
    )
    if bound:
        report.say(
            Text("  This host is called with a workspace only.", "  该地址只能带业务空间调用。")
        )
    else:
        with shim.use_workspace(None):
            answer = _generation(options)
        report.answer(Text("without a workspace", "不带业务空间"), answer)
        yield answer
        if answer.final:
            return
    try:
        named = options.workspace or _decision.ambient()[0]
    except _workspace.WorkspaceError:
        return  # said among the findings
    if named is None and not bound:
        return
    with _scope(options):
        answer = _generation(options)
    report.answer(Text("with a workspace", "带业务空间"), answer)
    yield answer


def _is_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # brackets, a port
        return False


def _base(options: argparse.Namespace) -> str | None:
    """The base URL that the options name, if they do.

    Raises CommandError for a region or URL that is none.
    """
    if options.base_url is not None:
        if not _is_url(options.base_url):
            raise CommandError(f"--base-url {options.base_url!r} is no http or https URL")
        parts = urlsplit(options.base_url)
        # The address of the compatible mode is the one that people have at hand.
        path = parts.path.rstrip("/")
        path = re.sub(r"/compatible-mode/v1$|^$", "/api/v1", path)
        return f"{parts.scheme}://{parts.netloc}{path}"
    if options.region is not None:
        if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", options.region):
            raise CommandError(f"--region {options.region!r} is no region, such as cn-beijing")
        host = REGIONS.get(options.region)
        if host is None:
            try:
                workspace = options.workspace or _decision.ambient()[0]
            except _workspace.WorkspaceError:
                workspace = None
            if workspace is None:
                raise CommandError(
                    f"--region {options.region} has workspace hosts alone: say -w too"
                )
            _hosts.require_host_label(workspace)
            host = f"{workspace}.{options.region}{_hosts.DOMAIN}"
        return f"https://{host}/api/v1"
    return None


def _scope(options: argparse.Namespace) -> contextlib.AbstractContextManager[Any]:
    """The scope of the workspace that the options name, if they do."""
    from .. import use_workspace

    return use_workspace(options.workspace) if options.workspace else contextlib.nullcontext()


def _generation(options: argparse.Namespace) -> Answer:
    """The smallest request that there is, made by the SDK."""
    from dashscope import Generation

    return _ask(options, lambda: Generation.call(options.model, prompt="1", max_tokens=1))


def _beside(options: argparse.Namespace, key: Key, last: Answer, report: _Report) -> Answer:
    """The same of the compatible mode at the host of the ``last`` answer, as a program without the
    SDK makes it; by requests, which is there wherever the SDK is."""
    import dashscope
    import requests

    parts = urlsplit(dashscope.base_http_api_url)
    netloc = (f"[{last.host}]" if ":" in last.host else last.host) + (
        f":{parts.port}" if parts.port else ""
    )
    path = re.sub(r"/api/v1/?$", "", parts.path) + "/compatible-mode/v1/chat/completions"
    body = {
        "model": options.model,
        "messages": [{"role": "user", "content": "1"}],
        "max_tokens": 1,
    }
    with _scope(options):
        answer = _ask(
            options,
            lambda: requests.post(
                f"{parts.scheme}://{netloc}{path}",
                json=body,
                headers={"Authorization": f"Bearer {key.value}"},
            ),
        )
    report.answer(Text("compatible mode", "兼容模式"), answer)
    return answer


def _ask(options: argparse.Namespace, call: Callable[[], Any]) -> Answer:
    """See what ``call`` sends and what comes back."""
    from requests.adapters import HTTPAdapter

    seen: list[Any] = []
    send = HTTPAdapter.send  # below the shim, which puts the header into what a session sends

    def witness(self: Any, request: Any, **settings: Any) -> Any:
        settings["timeout"] = options.timeout
        seen[:] = [request]
        response = send(self, request, **settings)
        seen[:] = [request, response]
        return response

    HTTPAdapter.send = witness  # type: ignore[method-assign,assignment]
    raised: BaseException | None = None
    try:
        with _quiet():
            call()
    except Exception as error:
        raised = error
    finally:
        HTTPAdapter.send = send  # type: ignore[method-assign]
    request, response = (*seen, None, None)[:2]
    url = str(request.url if request is not None else "")
    host = urlsplit(url).hostname or "?"
    header = _decision.workspace_in_headers(request.headers) if request is not None else None
    named = header or _hosts.workspace_in_host(url)
    sent = Answer(host, header, named, None, "", "", "", REFUSED if request is None else UNASKED)
    if response is None:
        return sent._replace(trouble=_trouble(raised, host))
    return _read(response, sent)


#: What says nothing of the key or the workspace: a second try may have another answer.
_TRY_LATER = tuple(e.meaning for e in (near.LIMIT, near.PARAMETER, near.SERVICE, near.CONTENT))

_BY_STATUS = {401: near.KEY, 403: near.VAGUE, 429: near.LIMIT}


def _read(response: Any, sent: Answer) -> Answer:
    """What came back for the request that was ``sent``."""
    status: int = response.status_code
    try:
        body = response.json()
    except ValueError:
        body = None
    if not isinstance(body, dict):
        sent = sent._replace(status=status)
        if status >= 500:
            return sent._replace(known=near.SERVICE)
        return sent._replace(trouble=_at(_PROXY if status == 407 else _STRANGER, sent.host))
    nested = body.get("error")
    error: dict[str, Any] = nested if isinstance(nested, dict) else body
    code, message = (str(error.get(name) or "") for name in ("code", "message"))
    request_id = str(body.get("request_id") or response.headers.get("x-request-id") or "")
    sent = sent._replace(status=status, code=code, message=message, request_id=request_id)
    if status == 200 and not code and ("output" in body or "choices" in body):
        return sent._replace(outcome=WORKS)
    named = near.known(code) or near.known(message)
    known = named[0] if named else _BY_STATUS.get(status, near.SERVICE if status >= 500 else None)
    if known is None:
        return sent._replace(trouble=_at(_STRANGER, sent.host))
    return sent._replace(known=known, outcome=UNASKED if known.meaning in _TRY_LATER else REFUSED)


# What keeps a request from being answered. The texts of exceptions are not shown: they may quote
# a header, and so the key, or the password of a proxy.

_STRANGER = Text(
    "{host} answered with something that is not the service's: a gateway, a proxy or a wrong path",
    "{host} 的回答不是百炼服务的格式：可能是网关、代理或路径有误",
)
_PROXY = Text("the proxy in front of {host} refused", "到 {host} 的代理拒绝了请求")
_HEADER = Text(
    "the SDK cannot send the key: it holds a line break or a character that no header may have",
    "SDK 无法发送该 API Key：其中有换行或请求头不允许的字符",
)


def _at(text: Text, host: str, error: str = "") -> Text:
    return Text(*(part.format(host=host, error=error) for part in text))


def _trouble(error: BaseException | None, host: str) -> Text:
    """Which failure kept the request from being answered: proxy, name, TLS, time, connection."""
    chain = list(_chain(error))
    names = {type(link).__name__ for link in chain}
    texts = " ".join(str(link) for link in chain if isinstance(link, OSError))
    reason = next((link.strerror for link in chain if getattr(link, "strerror", None)), "")
    kinds: tuple[tuple[bool, Text], ...] = (
        (
            bool(names & {"ProxyError", "InvalidProxyURL"}) or "SOCKS" in texts,
            Text(
                "proxy: the proxy in front of {host} cannot be used ({error}); see HTTPS_PROXY, "
                "HTTP_PROXY and NO_PROXY",
                "代理：无法使用到 {host} 的代理（{error}），"
                "请检查 HTTPS_PROXY、HTTP_PROXY、NO_PROXY",
            ),
        ),
        (
            any(isinstance(link, socket.gaierror) for link in chain)
            or "NameResolutionError" in names,
            Text(
                "DNS: the name {host} cannot be resolved ({error})",
                "DNS：无法解析 {host}（{error}）",
            ),
        ),
        (
            any(isinstance(link, ssl.SSLError) for link in chain) or "SSLError" in names,
            Text(
                "TLS: no secure connection to {host} ({error}): its certificate is not trusted "
                "here, or something in between speaks for it",
                "TLS：无法与 {host} 建立安全连接（{error}）：证书不受信任，或有中间设备拦截",
            ),
        ),
        (
            any(isinstance(link, (socket.timeout, TimeoutError)) for link in chain)
            or any("Timeout" in name for name in names),
            Text("timeout: {host} did not answer in time", "超时：{host} 未及时响应"),
        ),
        ("InvalidHeader" in names or "UnicodeEncodeError" in names, _HEADER),
        (
            True,
            Text(
                "connection: {host} cannot be reached ({error})", "连接：无法连接 {host}（{error}）"
            ),
        ),
    )
    kind = next(text for holds, text in kinds if holds)
    return _at(kind, host, reason or (type(chain[-1]).__name__ if chain else "?"))


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


# The verdict


def _judged(answers: list[Answer], model: str, here: Prospect) -> tuple[Text, Text, int]:
    """One sentence, what to do, and the exit status."""
    nothing = Text("", "")
    if not answers:
        failed = [f for f in here.findings if f.state == FAILED] or here.findings[-1:]
        return failed[0].found, failed[0].advice, REFUSED
    last = answers[-1]
    bare = next((answer for answer in answers if answer.named is None), None)
    without = bare is not None and bare.outcome == WORKS
    named, known = last.named, last.known
    if last.outcome == WORKS:
        needs = Text("The key needs no workspace", "该 API Key 不需要业务空间") if without else None
        works = Text(f"The workspace {named} works", f"业务空间 {named} 可用")
        if needs is None:
            text = works
        elif last is bare:
            text = needs
        else:
            text = Text(f"{needs.en}; the workspace {named} works too", f"{needs.zh}；{works.zh}")
        return Text(f"{text.en}.", f"{text.zh}。"), nothing, WORKS
    advice = known.advice if known else nothing
    if last.outcome == UNASKED:
        text = Text(
            f"It could not be found out: {last.why.en.rstrip('.')}.",
            f"无法得出结论：{last.why.zh.rstrip('。')}。",
        )
        return text, advice, UNASKED
    if known is WORKSPACE_DENIED and last is bare:
        text = Text(
            "The key needs a workspace, and none is set.", "该 API Key 需要业务空间，但没有设置。"
        )
    elif known is WORKSPACE_DENIED:
        text = Text(
            f"The key is not a member of the workspace {named}.",
            f"该 API Key 不是业务空间 {named} 的成员。",
        )
    elif known is MODEL_DENIED:
        text = (
            Text(
                f"The model {model} is not granted to the workspace {named}.",
                f"业务空间 {named} 未获授权使用模型 {model}。",
            )
            if named
            else Text(
                f"The model {model} is not granted where no workspace is named.",
                f"不带业务空间时无权使用模型 {model}。",
            )
        )
    elif known is UNPURCHASED:
        text = Text(
            "Model Studio is not activated for the account of this key.",
            "该 API Key 所属账号未开通百炼。",
        )
    elif known is near.KEY:
        text = Text("The key is wrong.", "API Key 有误。")
    else:
        text = last.why
    if without and last is not bare:
        text = Text(
            f"{text.en} Without a workspace the key works.",
            f"{text.zh}不带业务空间时该 API Key 可用。",
        )
    elif known is WORKSPACE_DENIED:
        advice = Text(f"{advice.en} {MAIN_ACCOUNT.en}", f"{advice.zh}{MAIN_ACCOUNT.zh}")
    return text, advice, REFUSED


def _judged_beside(
    answer: Answer, options: argparse.Namespace, here: Prospect
) -> tuple[Text, Text, int]:
    """The same of what the compatible mode answered."""
    named = options.workspace or here.workspace
    if named and answer.named is None and not _hosts.in_url(f"//{answer.host}"):
        text = Text(
            f"the request went without {named}, since {answer.host} is not known for the service.",
            f"请求没有带 {named}，因为 {answer.host} 不在已知的服务地址中。",
        )
        advice = Text(*[f"export {_workspace.HOSTS}={answer.host}"] * 2)
        status = REFUSED
    else:
        text, advice, status = _judged([answer], options.model, here)
    return Text(f"Compatible mode: {text.en}", f"兼容模式：{text.zh}"), advice, status
