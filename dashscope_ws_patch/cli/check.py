"""``check``: does the workspace work with this key, and would a program started here send it?

Two questions with two answers. The first is put to the service, by the key that the SDK would use:
one smallest possible request without a workspace, one with it, and one to the compatible mode where
DASHSCOPE_WS_PATCH_CLIENTS is on. The second is put to a new interpreter (``prospect``). Exit
status: 0 both are answered with yes, 1 one of them with no, 2 one of them could not be answered.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import logging
import os
import re
import time
import warnings
from collections.abc import Iterator
from typing import Any, Callable, NamedTuple
from urllib.parse import urlsplit

from .. import _activation, _decision, _hosts, _workspace
from ..hint import neighbours as near
from ..hint.refusals import MAIN_ACCOUNT, MODEL_DENIED, UNPURCHASED, WORKSPACE_DENIED
from ..selftest import prospect as _prospect
from ..selftest.prospect import (
    MORE_TIME,
    NOT_FOUND_OUT,
    OK,
    RIGHT,
    WRONG,
    Finding,
    Prospect,
    Verdict,
)
from ._both_hosts import REGIONS, ask_other, judged_both
from ._console import patience, printable, show, tell, without_keys
from ._language import _, current, sentences
from ._service import Answer, ask, bounded, quiet
from .install import CommandError

#: What --timeout may be at most, in seconds.
A_DAY = 86400

#: A small model that every region has.
DEFAULT_MODEL = "qwen-plus"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what ``check`` takes on the command line."""
    default = _("default: %(default)s")
    regions = _("{regions}, or one with workspace hosts alone", regions=", ".join(REGIONS))
    parser.add_argument("-w", "--workspace", help=_("ask with this one, not the environment's"))
    parser.add_argument("-m", "--model", default=DEFAULT_MODEL, help=default)
    parser.add_argument("--region", help=regions)
    parser.add_argument("--base-url", help=_("such as https://dashscope-intl.aliyuncs.com/api/v1"))
    parser.add_argument(
        "--timeout", type=_seconds, default=30, metavar="SECONDS",
        help=_("for all of it; default: %(default)s"),
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help=_("print one JSON object"))


def _seconds(text: str) -> float:
    with contextlib.suppress(ValueError):
        if 0 < float(text) <= A_DAY:
            return float(text)
    shown = repr(_workspace.masked(text))
    raise argparse.ArgumentTypeError(
        _("{text} is no number of seconds, above 0 and up to 86400", text=shown)
    )


class Key(NamedTuple):
    """The API key that the SDK would use, and where it comes from."""

    value: str
    source: str

    @property
    def shown(self) -> str:
        """The last four characters; none of a key that is hardly longer."""
        return "..." + (self.value[-4:] if len(self.value) >= 12 else "")

    def hide(self, text: str) -> str:
        """``text`` without the key, wherever it may have got into it."""
        for form in {self.value, self.value.strip(), repr(self.value)[1:-1]} - {""}:
            text = text.replace(form, self.shown)
        return without_keys(text)


def main(namespace: argparse.Namespace) -> int:
    """Ask both questions, print the two answers and what they rest on; return the exit status."""
    logging.disable(logging.CRITICAL)  # at its level DEBUG the SDK logs the key
    warnings.simplefilter("ignore")
    until = time.monotonic() + namespace.timeout
    with patience(_("waiting for `import dashscope`")):
        key, key_finding = _key(until)
    hide = namespace.hide = key.hide if key else without_keys
    try:
        if not namespace.model.strip():
            raise CommandError(_("-m names no model"))
        if namespace.workspace is not None:
            _workspace.validate(namespace.workspace, "-w")
        base = _base(namespace)
    except (CommandError, _workspace.WorkspaceError) as error:
        raise CommandError(hide(str(error))) from None
    with patience(_("waiting for a new interpreter that imports dashscope")):
        here = _would_send(until - time.monotonic())
    wanted = namespace.workspace or (None if here.scopes_only else here.workspace)
    answers: list[Answer] = []
    if key is not None and time.monotonic() >= until:
        said = _("It could not be found out: {why}.", why=_("no time was left to ask the service"))
        by_key = Verdict(NOT_FOUND_OUT, said, _(MORE_TIME))
    elif key is None:
        by_key = Verdict(
            WRONG if key_finding.state == _prospect.FAILED else NOT_FOUND_OUT,
            _(
                "Whether a workspace works was not asked: API key: {found}.",
                found=key_finding.found,
            ),
            key_finding.advice,
        )
    else:
        answers = list(_asked(namespace, base, key, until))
        by_key = _judged(answers, namespace.model)
        other = answers and ask_other(answers[-1], lambda name: _generation(name, namespace, until))
        if other:
            by_key = judged_both(by_key, answers[-1], other)
            answers.insert(-1, other)
    started_here = here.verdict(namespace.workspace)
    if key is None and wanted is None and not here.scopes_only and not started_here.status:
        started_here = started_here._replace(status=WRONG)
    if by_key.status == RIGHT and wanted is None:  # no workspace is needed
        started_here = started_here._replace(advice="")
    verdicts = {"key": by_key, "here": started_here}
    if key and _activation.covered() and answers and not answers[-1].final:
        beside = _beside(namespace, key, answers[-1], until)
        answers.append(beside)
        verdicts["compatible_mode"] = _judged_beside(beside, wanted, namespace.model)
    report = _report(verdicts, [*here.findings, key_finding], answers, hide)
    if namespace.json:
        print(json.dumps(report, ensure_ascii=False, indent=2))
    else:
        _show(report)
    return int(report["status"])


def _would_send(timeout: float) -> Prospect:
    try:
        return _prospect.prospect(max(timeout, 0.01))
    except ValueError as error:
        found = Finding(_prospect.SDK, _prospect.UNKNOWN, str(error))
        return Prospect([found], None, None, False, [])


# What is printed


def _report(
    verdicts: dict[str, Verdict],
    findings: list[Finding],
    answers: list[Answer],
    hide: Callable[[str], str],
) -> dict[str, Any]:
    """All that is said, without the key, control characters and what could be a key."""

    def clean(value: Any) -> Any:
        return printable(hide(value)) if isinstance(value, str) else value

    statuses = [verdict.status for verdict in verdicts.values()]
    requests = []
    for answer in answers:
        facts = {name: clean(getattr(answer, name)) for name in answer._fields[:8]}
        for name in ("header", "named"):
            facts[name] = facts[name] and _workspace.masked(facts[name])
        facts["host"] = _prospect.host_shown(facts["host"])
        facts["outcome"] = _OUTCOMES[answer.outcome]
        facts["why"] = clean(answer.why)
        requests.append(facts)
    return {
        "verdict": clean(sentences(verdict.said for verdict in verdicts.values())),
        "status": WRONG if WRONG in statuses else max(statuses),
        **{
            question: {
                "answer": _ANSWERS[verdict.status],
                "said": clean(verdict.said),
                "advice": clean(verdict.advice),
            }
            for question, verdict in verdicts.items()
        },
        "environment": [
            {field: clean(text) for field, text in finding._asdict().items()}
            for finding in findings
        ],
        "requests": requests,
    }


_OUTCOMES = ("works", "refused", "unasked")
_ANSWERS = ("yes", "no", "unknown")


def _show(report: dict[str, Any]) -> None:
    for question in ("key", "here", "compatible_mode"):
        if question in report:
            show(report[question]["said"])
            if report[question]["advice"]:
                show(f"  -> {report[question]['advice']}", "     ")
    for facts in report["requests"]:
        header = f"{_decision.HEADER}: {facts['header']}" if facts["header"] else _("no header")
        show(_("{request}: to {host}, {header}", **{**facts, "header": header}), "    ")
        came = [str(facts[name]) for name in ("status", "code", "message") if facts[name]]
        show(f"    {' '.join(came) or facts['why']}", "    ")
        if facts["request_id"]:
            show(f"    request id {facts['request_id']}")
    for finding in report["environment"]:
        show(f"{_(finding['name'])}: {_(finding['state'])}, {finding['found']}", "    ")


# The key


def _key(until: float) -> tuple[Key | None, Finding]:
    """The key that the SDK would use, by the SDK's own look-up (``dashscope.common.api_key``)."""
    name, advice = "API key", "export DASHSCOPE_API_KEY=sk-..."
    try:
        bounded(lambda: importlib.import_module("dashscope"), until)
        import dashscope
        from dashscope.common.api_key import get_default_api_key
    except TimeoutError:
        return None, Finding(name, _prospect.UNKNOWN, _("cannot be looked up"), _(MORE_TIME))
    except Exception:  # said among the findings
        return None, Finding(name, _prospect.UNKNOWN, _("cannot be looked up"))
    if os.environ.get("DASHSCOPE_API_KEY") is not None:
        source = "DASHSCOPE_API_KEY"
    elif dashscope.api_key_file_path:
        source = "DASHSCOPE_API_KEY_FILE_PATH"
    else:
        source = "~/.dashscope/api_key"
    try:
        with quiet():
            value: str = get_default_api_key()  # type: ignore[no-untyped-call]
    except (OSError, UnicodeError) as error:
        return None, Finding(name, _prospect.FAILED, f"{source}: {type(error).__name__}", advice)
    except Exception:  # AuthenticationError: none anywhere
        return None, Finding(name, _prospect.WARNING, _("none is set"), advice)
    if not value.strip():
        return None, Finding(name, _prospect.FAILED, _("{source} is empty", source=source), advice)
    key = Key(value, source)
    return key, Finding(
        name, OK, _("{workspace}, from {source}", workspace=key.shown, source=source)
    )


# Asking


def _asked(
    options: argparse.Namespace, base: str | None, key: Key, until: float
) -> Iterator[Answer]:
    """The answers of the service: without a workspace, and with the named or the ambient one."""
    import dashscope

    import dashscope_ws_patch as shim

    shim.patch()  # where the environment switches it off too: the question is another
    if base is not None:
        dashscope.base_http_api_url = base
    url: str = dashscope.base_http_api_url
    if not _is_url(url):
        name = _prospect.variable("base_http_api_url")
        trouble = _("{name} is no http or https URL", name=name)
        yield Answer(_("without a workspace"), outcome=WRONG, trouble=trouble)
        return
    host = _prospect.host_shown(urlsplit(url).hostname)
    model, seconds = key.hide(options.model), f"{options.timeout:g}"
    tell(
        _(
            "asking {host} for one token of {model}, two to four times (which may cost a fraction "
            "of a cent), for {seconds} seconds at most",
            host=host,
            model=model,
            seconds=seconds,
        )
    )
    bound = _hosts.workspace_in_host(url) or "{workspace_id}" in url
    malformed, named, moves = False, None, False
    try:
        named = options.workspace or _decision.ambient()[0]
        moves = named is not None and _hosts.own_host(url, named) != url
    except _workspace.WorkspaceError:
        malformed = True  # said among the findings
    if not bound:  # a host that is would be called with its workspace in any case
        with shim.use_workspace(None):
            answer = _generation(_("without a workspace"), options, until)
        yield answer
        # A key is bound to a region: the own host may be in another.
        if answer.final and not (moves and answer.known is near.KEY):
            return
    if not malformed and (named or bound):
        with _scope(options):
            yield _generation(_("with a workspace"), options, until)


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
            raise CommandError(
                _(
                    "--base-url {url} is no http or https URL",
                    url=repr(_workspace.masked(options.base_url)),
                )
            )
        parts = urlsplit(options.base_url)
        # The address of the compatible mode is the one that people have at hand.
        path = re.sub(r"/compatible-mode/v1$|^$", "/api/v1", parts.path.rstrip("/"))
        return f"{parts.scheme}://{parts.netloc}{path}"
    if options.region is None:
        return None
    if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", options.region):
        region = repr(_workspace.masked(options.region))
        raise CommandError(_("--region {region} is no region, such as cn-beijing", region=region))
    host = REGIONS.get(options.region)
    if host is None:
        workspace = options.workspace
        with contextlib.suppress(_workspace.WorkspaceError):
            workspace = workspace or _decision.ambient()[0]
        if workspace is None:
            raise CommandError(
                _("--region {region} has workspace hosts alone: say -w too", region=options.region)
            )
        _hosts.require_host_label(workspace)
        host = f"{workspace}.{options.region}{_hosts.DOMAIN}"
    return f"https://{host}/api/v1"


def _scope(options: argparse.Namespace) -> contextlib.AbstractContextManager[Any]:
    """The scope of the workspace that the options name, if they do."""
    from .. import use_workspace

    return use_workspace(options.workspace) if options.workspace else contextlib.nullcontext()


def _generation(request: str, options: argparse.Namespace, until: float) -> Answer:
    """The smallest request that there is, made by the SDK."""
    from dashscope import Generation

    def call() -> object:
        return Generation.call(options.model, prompt="1", max_tokens=1)

    return ask(request, call, until, options.hide)


def _beside(options: argparse.Namespace, key: Key, last: Answer, until: float) -> Answer:
    """The same of the compatible mode at the host of the ``last`` answer, as a program without the
    SDK makes it; by requests, which is there wherever the SDK is."""
    import dashscope
    import requests

    parts = urlsplit(dashscope.base_http_api_url)
    host = f"[{last.host}]" if ":" in last.host else last.host
    netloc = f"{host}:{parts.port}" if parts.port else host
    path = re.sub(r"/api/v1/?$", "", parts.path) + "/compatible-mode/v1/chat/completions"
    url = f"{parts.scheme}://{netloc}{path}"
    messages = [{"role": "user", "content": "1"}]
    body = {"model": options.model, "messages": messages, "max_tokens": 1}
    headers = {"Authorization": f"Bearer {key.value}"}
    with _scope(options):
        return ask(
            _("compatible mode"),
            lambda: requests.post(url, json=body, headers=headers),
            until,
            options.hide,
        )


# The verdict of the service


def _judged(answers: list[Answer], model: str) -> Verdict:
    """Whether the key works with the workspace: the exit status, one sentence and what to do."""
    if not answers:
        return Verdict(NOT_FOUND_OUT, _("Whether a workspace works was not asked."))
    last, lang = answers[-1], current()
    bare = next((answer for answer in answers if answer.named is None), None)
    without = bare is not None and bare.outcome == RIGHT
    named, known = _workspace.masked(last.named or ""), last.known
    if last.outcome == RIGHT:
        if last is bare:
            return Verdict(RIGHT, _("This key needs no workspace."))
        said = _("{workspace} works with this key.", workspace=named)
        also = [_("It works without a workspace too.")] if without else []
        return Verdict(RIGHT, sentences([said, *also]))
    advice = known.advice.to(lang) if known else ""
    if last.outcome == NOT_FOUND_OUT:
        return Verdict(
            NOT_FOUND_OUT,
            _("It could not be found out: {why}.", why=last.why.rstrip(".。")),
            advice,
        )
    if known is WORKSPACE_DENIED and last is bare:
        text = _("This key needs a workspace, and none is named.")
    elif known is WORKSPACE_DENIED:
        text = _("This key is not a member of the workspace {workspace}.", workspace=named)
    elif known is MODEL_DENIED and last.named:
        text = _("The model {model} is not granted to the workspace {workspace}.",
                 model=model, workspace=named)  # fmt: skip
    elif known is MODEL_DENIED:
        text = _("The model {model} is not granted where no workspace is named.", model=model)
    elif known is UNPURCHASED:
        text = _("Model Studio is not activated for the account of this key.")
    elif known is near.KEY:
        text = _("The key is wrong.")
    else:
        text = f"{last.why.rstrip('.。')}{_('.')}"
    if without and last is not bare:
        text = sentences([text, _("Without a workspace the key works.")])
    elif known is WORKSPACE_DENIED:
        advice = sentences([advice, MAIN_ACCOUNT.to(lang)])
    return Verdict(WRONG, text, advice)


def _judged_beside(answer: Answer, wanted: str | None, model: str) -> Verdict:
    """The same of what the compatible mode answered."""
    if wanted and answer.named is None and not _hosts.in_url(f"//{answer.host}"):
        host = _prospect.host_shown(answer.host)
        said = _("the request went without {workspace}, since {host} is not known for the service.",
                 workspace=_workspace.masked(wanted), host=host)  # fmt: skip
        verdict = Verdict(WRONG, said, f"export {_workspace.HOSTS}={host}")
    else:
        verdict = _judged([answer], model)
    return verdict._replace(said=_("Compatible mode: {said}", said=verdict.said))
