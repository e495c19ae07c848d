"""P11: nothing fails because of the shim, and what it wraps looks and behaves as it did."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import doctest
import functools
import inspect
import os
import pickle
import subprocess
import sys
import textwrap
import typing
import warnings
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from changed_sdk import changed
from environments import ROOT
from record import SETTINGS, record
from sdk_calls import (
    AIO_GENERATION,
    ASR,
    GENERATION,
    OBJECTS,
    PLACEHOLDERS,
    TTS_V2,
    in_new_process,
    make_synthesizer,
    need,
    seen,
)

from dashscope_ws_patch import _activation, patch, unpatch, use_workspace
from dashscope_ws_patch.selftest.loopback import Loopback
from dashscope_ws_patch.selftest.surfaces import Drive, Surface, find, has, surfaces

PATCHED = "dashscope.client.base_api"


def _patched() -> list[tuple[Any, str, Any, Any]]:
    """Owner, name, the original and what stands in its place, for all that is patched."""
    surfaces()
    made = [tuple(made)[:4] for made in _activation._patches]
    assert len(made) > 12
    return made  # type: ignore[return-value]


def _functions() -> Iterator[tuple[Any, Any]]:
    """The same function as its owner gives it natively and with the shim."""
    for owner, name, original, _ in _patched():
        if callable(getattr(owner, name)) and not isinstance(original, type):
            before = original.__get__(None, owner) if isinstance(owner, type) else original
            yield before, getattr(owner, name)


def _fewest() -> int:
    """Releases before 1.4 have fewer methods that need a row."""
    return 15 if has(f"{PATCHED}:GetStatusMixin") else 8


def test_p11_signatures_docstrings_and_kinds_are_kept() -> None:
    checked = 0
    for before, now in _functions():
        assert inspect.signature(now) == inspect.signature(before)
        for attribute in ("__name__", "__qualname__", "__module__", "__doc__"):
            assert getattr(now, attribute) == getattr(before, attribute)
        for kind in (
            inspect.iscoroutinefunction,
            inspect.isgeneratorfunction,
            inspect.isasyncgenfunction,
            inspect.isroutine,
            inspect.isfunction,
            inspect.ismethod,
            callable,
        ):
            assert kind(now) == kind(before), (kind, now)
        assert inspect.getsource(now) == inspect.getsource(before)
        assert typing.get_type_hints(now) == typing.get_type_hints(before)
        checked += 1
    assert checked > _fewest()


def test_p11_help_says_what_it_said() -> None:
    """inspect.getdoc looks where a function stands: an inherited docstring is found there."""
    placed = [(owner, name) for owner, name, _, _ in _patched() if isinstance(owner, type)]
    now = [inspect.getdoc(getattr(owner, name)) for owner, name in placed]
    unpatch()
    assert now == [inspect.getdoc(getattr(owner, name)) for owner, name in placed]
    assert len(now) > _fewest()


def test_p11_static_lookups_find_the_same_kinds() -> None:
    """isinstance(vars(cls)[name], classmethod) is how frameworks tell them apart."""
    for _, _, original, replacement in _patched():
        for kind in (classmethod, staticmethod, property):
            assert isinstance(replacement, kind) == isinstance(original, kind)


def test_p11_bound_methods_are_pickled_as_they_were() -> None:
    for owner, name, original, _ in _patched():
        if isinstance(original, classmethod):
            method = getattr(owner, name)
            assert pickle.loads(pickle.dumps(method)) == method
            assert pickle.dumps(method) == pickle.dumps(original.__get__(None, owner))
            assert copy.copy(method) == method == copy.deepcopy(method)


def test_p11_functions_are_pickled_as_they_were() -> None:
    for owner, name, original, _ in _patched():
        if inspect.isfunction(original) and "__" not in name:
            function = getattr(owner, name)
            try:
                expected = pickle.dumps(original.__get__(None, owner))
            except Exception:  # the original is no longer what its name leads to
                expected = None
            assert pickle.loads(pickle.dumps(function)) == function
            assert expected is None or len(pickle.dumps(function)) <= len(expected) + 100


def _service() -> Any:
    need(f"{ASR}.vocabulary:VocabularyService")
    return find(f"{ASR}.vocabulary:VocabularyService")(api_key="sk", model="m")


def test_p11_objects_are_pickled_and_copied(loopback: Loopback) -> None:
    with use_workspace("ws_a"):
        service = _service()
    for other in (pickle.loads(pickle.dumps(service)), copy.copy(service), copy.deepcopy(service)):
        assert vars(other) == vars(service) and type(other) is type(service)
        assert other.list_vocabularies
    with use_workspace(None):
        unpatch()
        assert vars(_service()) == vars(service)


def test_p11_a_class_with_a_bound_method_in_it(loopback: Loopback) -> None:
    """What some patchers leave when they go: ``setattr(kind, name, getattr(kind, name))``."""
    kind = find(GENERATION)
    unpatch()
    original = vars(kind)["call"]
    try:
        kind.call = kind.call
        patch()
        with use_workspace("ws_a"):
            kind().call("m", "hi")
            kind.call("m", "hi")
        unpatch()
    finally:
        kind.call = original
    assert seen(loopback) == ["ws_a", "ws_a"]


@pytest.mark.parametrize("pickler", ["cloudpickle", "dill"])
def test_p11_functions_are_pickled_by_value(pickler: str) -> None:
    pytest.importorskip(pickler)
    if run(f"import {pickler} as pickler; pickler.dumps(lambda: 0)").returncode:
        pytest.skip(f"{pickler} does not work on this Python")
    code = f"""
    import {pickler} as pickler, dashscope_ws_patch as shim
    from dashscope.client.base_api import BaseApi

    @shim.use_workspace("ws_a")
    def ask():
        return shim.get_workspace()

    assert pickler.loads(pickler.dumps(ask))() == "ws_a"
    if pickler.__name__ == "cloudpickle":
        assert pickler.loads(pickler.dumps(BaseApi.call)).__name__ == "call"
    """
    done = run(code)
    assert done.returncode == 0, done.stderr


def test_p11_import_specs_can_be_copied() -> None:
    code = """
    import copy, importlib.util, dashscope_ws_patch
    copied = copy.deepcopy(importlib.util.find_spec("dashscope"))
    assert copied.name == "dashscope" and hasattr(copied.loader, "exec_module")
    """
    done = run(code)
    assert done.returncode == 0, done.stderr


def test_p11_bound_methods_are_deep_copied_with_their_object() -> None:
    service = _service()
    service.hook = service.list_vocabularies
    twin = copy.deepcopy(service)
    assert twin.hook.__self__ is twin


def test_p11_bound_methods_have_the_attributes_of_methods() -> None:
    service = _service()
    method = service.list_vocabularies
    assert method.__self__ is service
    assert method.__func__.__name__ == "list_vocabularies"
    assert method == service.list_vocabularies and hash(method) == hash(service.list_vocabularies)
    assert {method: 1}[service.list_vocabularies] == 1
    assert method != _service().list_vocabularies


#: Held by a program whose SDK a test suite drops from sys.modules: (what it needs, how it sends)
HELD = {
    "host, pointed": (GENERATION, "pointed(Generation.call, 'm', 'hi')"),
    "request": (GENERATION, "held(Generation.call, 'm', 'hi')"),
    "tasks": (f"{PATCHED}:BaseAsyncApi", "held(BaseAsyncApi.fetch, 't')"),
    "list of tasks": (f"{PATCHED}:BaseAsyncAioApi.list", "held(BaseAsyncAioApi.list)"),
    "placeholder": (
        "dashscope.common.env:resolve_base_url",
        f"held(Generation.call, 'm', 'hi', base_address='https://{PLACEHOLDERS}/api/v1')",
    ),
    "client": ("dashscope:Client", "held(client.models.list)"),
    "client made late": ("dashscope:Client", "held(lambda: Client().models.list())"),
    "older client": ("dashscope:Client", "held(older.models.list)"),
    "client's socket": ("dashscope:Client", "held(lambda: client.ws_connection().close())"),
    "client's agentstudio": ("dashscope:Client", "held(lambda: client.agentstudio.agents.list())"),
    "agentstudio": (
        "dashscope.agentstudio.client:Client",
        "held(lambda: Studio(api_key='sk').agents.list())",
    ),
}
_HOLD = """
import asyncio, inspect
{objects}
old = dashscope
def held(function, *args, **kwargs):
    for name in [name for name in sys.modules if name.split(".")[0] == "dashscope"]:
        del sys.modules[name]
    with use_workspace("ws-a"):
        result = function(*args, **kwargs)
        if inspect.iscoroutine(result):
            asyncio.run(result)
def pointed(*args):
    kept = old.base_http_api_url
    old.base_http_api_url = "https://ws-p.cn-beijing.maas.aliyuncs.com/api/v1"
    try:
        held(*args)
    finally:
        old.base_http_api_url = kept
"""
_OBJECTS = {
    f"{PATCHED}:BaseAsyncApi": f"from {PATCHED} import BaseAsyncApi",
    f"{PATCHED}:BaseAsyncAioApi.list": f"from {PATCHED} import BaseAsyncAioApi",
    "dashscope:Client": """
import dashscope_ws_patch
from dashscope import Client
client = Client()
dashscope_ws_patch.unpatch()
older = Client()
dashscope_ws_patch.patch()
""",
    "dashscope.agentstudio.client:Client": """
from dashscope.agentstudio.client import Client as Studio
""",
}


def test_p11_the_sdk_dropped_from_sys_modules_while_its_classes_are_used() -> None:
    calls = {name: call for name, (needs, call) in HELD.items() if has(needs)}
    objects = "\n".join(code for needs, code in _OBJECTS.items() if has(needs))
    hold, *found = in_new_process(
        _HOLD.format(objects=objects), *calls.values(), DASHSCOPE_API_KEY="sk-loopback"
    )
    assert hold == []
    for name, requests in zip(calls, found):
        shared = name in ("request", "tasks", "list of tasks")
        host = "dashscope.aliyuncs.com" if shared else "ws-a.cn-beijing.maas.aliyuncs.com"
        assert set(requests) == {f"{host} ws-a"}, name


@pytest.mark.parametrize("name", OBJECTS)
def test_p11_unusual_subclasses_can_be_made(name: str, loopback: Loopback) -> None:
    """Unhashable, equal to each other, neither true nor false."""
    needs, make, _ = OBJECTS[name]
    need(needs)
    cls = type(make())

    class Unhashable(cls):  # type: ignore[misc,valid-type]
        def __eq__(self, other: object) -> bool:
            return True

        __hash__ = None  # type: ignore[assignment]

        def __bool__(self) -> bool:
            raise TypeError

    module = sys.modules[cls.__module__]
    with use_workspace("ws_a"), mock.patch.object(module, cls.__name__, Unhashable):
        assert type(make()) is Unhashable


def test_p11_subclasses_and_super(loopback: Loopback) -> None:
    cls = find(f"{PATCHED}:BaseAsyncApi")

    class Mine(cls):  # type: ignore[misc,valid-type]
        @classmethod
        def fetch(cls, task: str, **kwargs: Any) -> Any:
            return super().fetch(task + "-mine", **kwargs)

    with use_workspace("ws_a"):
        Mine.fetch("task")
        Mine().fetch("task")
    (one, two) = loopback.drain()
    assert one.workspaces == two.workspaces == ["ws_a"]
    assert "tasks/task-mine" in one.path and one.path == two.path
    assert issubclass(Mine, cls) and isinstance(Mine(), cls)


def test_p11_mock_patch_object(loopback: Loopback) -> None:
    cls = find(f"{PATCHED}:BaseAsyncApi")
    before = vars(cls)["fetch"]
    with mock.patch.object(cls, "fetch", return_value="mocked") as mocked:
        assert cls.fetch("x") == "mocked"
        mocked.assert_called_once_with("x")
    assert vars(cls)["fetch"] is before
    with mock.patch.object(cls, "fetch", autospec=True) as mocked:
        cls.fetch("x")
        mocked.assert_called_once()
    assert vars(cls)["fetch"] is before
    assert loopback.drain() == []


def test_p11_mock_autospec_of_classes() -> None:
    generation = mock.create_autospec(find(GENERATION))
    generation.call("m", "hi")
    with pytest.raises(TypeError):
        mock.create_autospec(find(f"{PATCHED}:BaseAsyncApi").fetch)()
    if has(f"{TTS_V2}:SpeechSynthesizer"):
        with pytest.raises(TypeError):
            mock.create_autospec(find(f"{TTS_V2}:SpeechSynthesizer"))()


def test_p11_mock_patch_of_a_librarys_function_in_the_sdk(loopback: Loopback) -> None:
    need("dashscope.api_entities.encryption:requests")
    with mock.patch("dashscope.api_entities.encryption.requests.get") as get:
        sys.modules["dashscope.api_entities.encryption"].requests.get("https://x.example")
        get.assert_called_once()
    import requests

    assert requests.get.__module__ == "requests.api"


def test_p11_a_mock_made_from_a_session_is_asked_as_natively(loopback: Loopback) -> None:
    """Its methods say that they are methods, and have no function."""
    need("dashscope.api_entities.http_request:HttpRequest.__init__(session)")
    import requests

    session = mock.create_autospec(requests.Session())
    session.post.return_value.status_code = 200
    with use_workspace("ws_a"), contextlib.suppress(Exception):
        find(GENERATION).call("m", "hi", session=session)
    assert session.post.call_args[1]["headers"]["X-DashScope-WorkSpace"] == "ws_a"


def test_p11_mock_patch_of_a_librarys_session_in_the_sdk(loopback: Loopback) -> None:
    with mock.patch(f"{PATCHED}.requests.Session") as session:
        entered = session.return_value.__enter__.return_value
        entered.get.return_value.status_code = 200
        if has(f"{PATCHED}:AsyncTaskGetMixin"):
            with use_workspace("ws_a"), contextlib.suppress(Exception):
                find(f"{PATCHED}:AsyncTaskGetMixin")._get("task-1", "sk")
            assert session.called
    import requests

    assert requests.Session.__module__ == "requests.sessions"
    assert loopback.drain() == []


def test_p11_mock_patch_of_a_thread_in_the_sdk() -> None:
    need(f"{ASR}.recognition:threading")
    with mock.patch(f"{ASR}.recognition.threading.Thread") as thread:
        assert sys.modules[f"{ASR}.recognition"].threading.Thread is thread


def test_p11_mock_patch_of_a_module_attribute() -> None:
    import requests

    base_api = sys.modules[PATCHED]
    before = base_api.requests  # type: ignore[attr-defined]
    with mock.patch(f"{PATCHED}.requests") as library:
        assert base_api.requests is library  # type: ignore[attr-defined]
    assert base_api.requests is before  # type: ignore[attr-defined]
    assert before.exceptions is requests.exceptions and before.__name__ == "requests"
    assert inspect.ismodule(before)
    assert issubclass(before.Session, object) and isinstance(requests.Session(), before.Session)


def test_p11_errors_come_through_unchanged(loopback: Loopback) -> None:
    with use_workspace("ws_a"), pytest.raises(TypeError, match="fetch"):
        find(f"{PATCHED}:BaseAsyncApi").fetch()


def test_p11_names_of_headers_that_are_no_text_end_as_natively(loopback: Loopback) -> None:
    need("dashscope.aigc.image_synthesis:ImageSynthesis.list")

    def ends() -> Iterator[tuple[object, int]]:
        # The one is on its way when requests refuses it, the other drops its headers.
        generate = functools.partial(find(GENERATION).call, "qwen-turbo", "hi")
        for call in (generate, find("dashscope.aigc.image_synthesis:ImageSynthesis").list):
            end = None
            try:
                call(headers={5: "x"})
            except Exception as error:
                end = type(error)
            yield end, len(loopback.drain())

    with use_workspace("ws_a"):
        ours = [*ends()]
        unpatch()
        assert [*ends()] == ours


def test_p11_anothers_function_is_asked_of_every_url(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also of those in which the SDK's own has nothing to do."""
    place = "dashscope.common.env:resolve_base_url"
    need(place)
    unpatch()
    monkeypatch.setattr(place.replace(":", "."), lambda url, workspace_id=None: f"{url}/theirs")
    patch()
    assert find(place)("https://dashscope.aliyuncs.com") == "https://dashscope.aliyuncs.com/theirs"
    unpatch()


def test_p8_a_coroutine_closed_elsewhere_leaves_the_scope_there_alone(drive: Drive) -> None:
    import asyncio
    import contextvars

    from dashscope_ws_patch import get_workspace

    need(AIO_GENERATION)

    async def call() -> str | None:
        with use_workspace("ws_born"):
            coroutine = find(AIO_GENERATION).call("m", "hi")
        contextvars.copy_context().run(coroutine.send, None)  # up to its first await
        with use_workspace("ws_here"):
            # Natively SDK 1.24.10 ignores it on CPython 3.13.
            with contextlib.suppress(RuntimeError):
                coroutine.close()
            await asyncio.sleep(0)
            return get_workspace()

    assert drive.run(call()) == "ws_here"


def test_p11_doctest_finds_what_it_found() -> None:
    finder = doctest.DocTestFinder(exclude_empty=False)
    with_shim = {test.name for test in finder.find(find(f"{PATCHED}:BaseAsyncApi"))}
    unpatch()
    assert {test.name for test in finder.find(find(f"{PATCHED}:BaseAsyncApi"))} == with_shim


@dataclasses.dataclass
class Broken:
    """A way in which a release of the SDK may differ from all that the table knows."""

    code: str
    where: str


STRICT = {"DASHSCOPE_WS_PATCH_STRICT": "1"}

BROKEN = {
    "class": Broken("del base_api.BaseAsyncApi", "BaseAsyncApi"),
    "function": Broken("del request.HttpRequest.call", "HttpRequest.call"),
}


#: What another patcher has put into a module of the SDK before the shim is imported.
OF_ANOTHER = """
import functools, requests
from dashscope.client import base_api

asked, session = [], requests.Session()


class Lazy:
    __module__ = base_api.__name__

    def __getattr__(self, name):
        asked.append(name)
        raise AttributeError(name)


def closed_over(function, session, post=requests.post):
    @functools.wraps(function)
    def call(one=post, *args, **kwargs):
        session.headers.clear()
        return function(*args, **kwargs)

    return call


base_api.lazy = Lazy()
call = base_api.BaseApi.__dict__["call"].__func__
base_api.traced = closed_over(call, session)
import dashscope_ws_patch

assert type(base_api.requests).__name__ == "Library"
print(sorted(vars(session).keys() & {"request", "send"}), asked)
print(base_api.traced.__defaults__[0] is requests.post)
"""


def test_p4_what_another_patcher_holds_is_its_own() -> None:
    assert run(OF_ANOTHER).stdout.splitlines() == ["[] []", "True"]


def run(code: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, "PYTHONPATH": str(ROOT), **variables}
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], env=environ, capture_output=True, text=True
    )


_BROKEN = """
import os
os.environ["DASHSCOPE_WS_PATCH"] = "0"
import dashscope, dashscope_ws_patch, warnings
import dashscope.client.base_api as base_api
import dashscope.api_entities.http_request as request
{code}
{code2}
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    dashscope_ws_patch.patch()
    dashscope_ws_patch.unpatch()
    dashscope_ws_patch.patch()
from dashscope_ws_patch._activation import report
ours = [str(w.message) for w in caught if "dashscope_ws_patch" in str(w.message)]
assert len(ours) == 1, ours
assert {where!r} in ours[0], ours
failed = [(seam.attributes, reason) for seam, state, reason in report() if state == "failed"]
assert len(failed) >= 1 and any({where!r} in attribute for attribute, _ in failed), failed
applied = [seam for seam, state, _ in report() if state == "applied"]
assert applied
"""


@pytest.mark.parametrize("name", BROKEN)
def test_p11_an_sdk_whose_insides_changed_is_warned_about_once(name: str) -> None:
    broken = BROKEN[name]
    code = _BROKEN.format(code=broken.code, code2="", where=broken.where)
    done = run(code)
    assert done.returncode == 0, done.stderr


def test_p11_strict_raises() -> None:
    code = _BROKEN.format(code=BROKEN["class"].code, code2="", where="BaseAsyncApi")
    done = run(code, DASHSCOPE_WS_PATCH_STRICT="1")
    assert done.returncode == 1 and "SeamError" in done.stderr and "BaseAsyncApi" in done.stderr


@pytest.mark.parametrize("how", ["missing", "broken"])
def test_p11_the_sdk_goes_on_without_wrapt(how: str, tmp_path: Path) -> None:
    error = "ModuleNotFoundError('No module named wrapt')" if how == "missing" else "SyntaxError()"
    (tmp_path / "wrapt.py").write_text(f"raise {error}")
    code = """
    import dashscope_ws_patch, warnings
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        import dashscope
    assert dashscope.Generation.call
    ours = [str(w.message) for w in caught if "dashscope_ws_patch" in str(w.message)]
    assert len(ours) == 1 and "wrapt" in ours[0] + "wrapt", ours
    """
    done = run(code, PYTHONPATH=os.pathsep.join([str(tmp_path), str(ROOT)]))
    assert done.returncode == 0, done.stderr


def test_p11_warnings_as_errors_break_nothing(tmp_path: Path) -> None:
    (tmp_path / "wrapt.py").write_text("raise ImportError('for once')")
    code = """
    import warnings, dashscope_ws_patch
    warnings.simplefilter("error", RuntimeWarning)
    import dashscope
    """
    done = run(code, PYTHONPATH=os.pathsep.join([str(tmp_path), str(ROOT)]))
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("value", ["0", "off", "False", "NO", " no "])
def test_p11_switched_off(value: str) -> None:
    code = """
    import dashscope_ws_patch, sys, dashscope
    assert not dashscope_ws_patch.is_patched()
    with dashscope_ws_patch.use_workspace("ws_a"):
        assert "concurrent.futures.thread" not in sys.modules or True
    from concurrent.futures import ThreadPoolExecutor
    assert ThreadPoolExecutor.submit.__code__.co_filename.endswith("thread.py")
    """
    done = run(code, DASHSCOPE_WS_PATCH=value)
    assert done.returncode == 0, done.stderr


def test_p13_activation_imports_neither() -> None:
    code = """
    import sys, dashscope_ws_patch
    assert dashscope_ws_patch.is_patched()
    with dashscope_ws_patch.use_workspace("ws_a"):
        assert dashscope_ws_patch.get_workspace() == "ws_a"
    import json, urllib.request
    assert not {"wrapt", "dashscope", "aiohttp", "requests"} & set(sys.modules)
    """
    done = run(code)
    assert done.returncode == 0, done.stderr


def test_p11_the_import_system_finds_what_it_found() -> None:
    code = """
    import importlib.util, importlib.machinery, pkgutil, sys, dashscope_ws_patch
    import dashscope, dashscope.client.base_api as base_api
    assert type(base_api.__loader__) is importlib.machinery.SourceFileLoader
    assert base_api.__spec__.loader is base_api.__loader__
    assert type(base_api.__spec__) is importlib.machinery.ModuleSpec
    assert importlib.util.find_spec("dashscope.nothing") is None
    assert importlib.util.find_spec("dashscope.client.base_api").origin == base_api.__file__
    assert [name for _, name, _ in pkgutil.iter_modules(dashscope.__path__)]
    spec = importlib.util.find_spec("dashscope.models")
    assert spec is None or spec.loader.get_source("dashscope.models") is not None
    try:
        import dashscope.nothing
    except ModuleNotFoundError as error:
        assert error.name == "dashscope.nothing"
    else:
        raise AssertionError
    import dashscope_nothing_at_all_absent if False else None
    """.replace("import dashscope_nothing_at_all_absent if False else None", "")
    done = run(code)
    assert done.returncode == 0, done.stderr


def test_p11_unbound_positional_constructor(loopback: Loopback) -> None:
    """Old-style ``Base.__init__(self, ...)``: what stands behind workspace is not taken for it."""
    need(f"{TTS_V2}:SpeechSynthesizer.__init__(url)")
    cls = find(f"{TTS_V2}:SpeechSynthesizer")
    names = list(inspect.signature(cls.__init__).parameters)[3:]
    defaults = [p.default for p in inspect.signature(cls.__init__).parameters.values()][3:]
    url = "wss://dashscope.aliyuncs.com/api-ws/v1/inference"
    values = [url if name == "url" else value for name, value in zip(names, defaults)]

    class Mine(cls):  # type: ignore[misc,valid-type]
        def __init__(self) -> None:
            cls.__init__(self, "cosyvoice-v1", "longxiaochun", *values)

    with use_workspace("ws_a"):
        Mine().call("hi")
        make_synthesizer().call("hi")
    assert seen(loopback) == ["ws_a", "ws_a"]


FINALIZED = """
import gc
from contextvars import Context, ContextVar
from dashscope_ws_patch import get_workspace, reset_workspace, set_workspace, use_workspace
from dashscope_ws_patch._decision import told

class Finalized:
    def __init__(self):
        self.cycle = self
    def __del__(self):
        get_workspace(), told.get()

def by_token():
    token = set_workspace("ws_a")
    yield
    reset_workspace(token)

def by_block():
    with use_workspace("ws_a"):
        yield

def by_call():
    told.set("ws_a")
    yield
    told.set(None)

def leave(way):
    for index in range(5):  # an empty context is left without asking for memory
        ContextVar(str(index)).set(index)
    steps = way()
    gc.disable()
    next(steps)
    Finalized()
    gc.enable()  # the next request for memory runs the finalizer
    for _ in steps:
        pass
    assert get_workspace() is None, "still in the scope"
    assert told.get() is None, "still in the call"

gc.set_threshold(1, 1, 1)
for way in (by_token, by_block, by_call):
    Context().run(leave, way)
print("well")
"""


def test_p11_a_finalizer_may_run_while_a_scope_is_left() -> None:
    """CPython up to 3.11 crashes where a context variable is unset and read at the same time."""
    ran = subprocess.run(
        [sys.executable, "-c", FINALIZED], capture_output=True, text=True, timeout=60
    )
    assert (ran.stdout, ran.stderr) == ("well\n", "")


def test_p11_the_sdks_finalizers_set_nothing_in_the_context_that_they_interrupt() -> None:
    """The garbage collector may have interrupted a set: CPython up to 3.11 crashes at a second."""
    need("dashscope.multimodal.multimodal_dialog:MultiModalDialog.__del__")
    cleaned = ContextVar("cleaned", default=False)

    class Dialog(find("dashscope.multimodal.multimodal_dialog:MultiModalDialog")):  # type: ignore[misc]
        def cleanup(self) -> None:
            self.cleaned = cleaned.set(True)

    dialog = object.__new__(Dialog)
    dialog.__del__()
    assert dialog.cleaned and not cleaned.get()


def _warned(surface: Surface, loopback: Loopback) -> list[tuple[str, str, int]]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warnings.simplefilter("ignore", ResourceWarning)
        record(loopback, surface, SETTINGS["environment"])
    return [(each.category.__name__, each.filename, each.lineno) for each in caught]


def test_p11_warnings_of_the_sdk_point_to_who_calls_it(loopback: Loopback) -> None:
    """By their line they are filtered, shown in __main__ alone, and found by who must act."""
    told = {f"dashscope.{name}" for name in ("assistants", "threads")}
    warning = [
        surface
        for surface in surfaces()
        if any(need.rpartition(":")[0].startswith(tuple(told)) for need in surface.needs)
    ]
    shimmed = [_warned(surface, loopback) for surface in warning]
    unpatch()
    assert shimmed == [_warned(surface, loopback) for surface in warning]
    if has("dashscope:Client"):
        assert sum(map(len, shimmed)) > 10


@pytest.mark.parametrize("how", ["import", "client"])
def test_p11_warnings_of_the_sdk_at_import_and_in_constructors(how: str) -> None:
    code = """
    import dashscope_ws_patch
    import dashscope.assistants.assistants
    from dashscope import Threads
    """
    if how == "client":
        need("dashscope:Client")
        code = "import dashscope_ws_patch, dashscope\n\ndashscope.Client(api_key='sk', region='x')"
    said = []
    for value in ("0", "1"):
        done = run(code, PYTHONWARNINGS="always", DASHSCOPE_WS_PATCH=value)
        said.append([line for line in done.stderr.splitlines() if "Warning" in line])
    assert said[0] == said[1]


def test_p11_a_module_that_is_gone_is_told_with_all_else(tmp_path: Path) -> None:
    """One warning an import, each row with the nearest name; strict mode refuses."""
    need("dashscope:Client")
    copy = changed(tmp_path, "builder", "transports moved", "sessions renamed")
    code = """
    import warnings, dashscope_ws_patch
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        import dashscope
    (ours,) = [str(w.message) for w in caught if "dashscope_ws_patch" in str(w.message)]
    assert "requests_of_calls has `_request_of_call`" in ours
    assert "dashscope.v2.transport.rest has `SyncTransport`" in ours
    assert "realtime has no `RealtimeSession`; it has `" in ours
    from dashscope_ws_patch._activation import report
    gone = {seam.module for seam, state, _ in report() if state == "failed"}
    assert {"dashscope.v2.transport.http", "dashscope.api_entities.api_request_factory"} <= gone
    """
    path = os.pathsep.join([str(copy), str(ROOT)])
    done = run(code, PYTHONPATH=path)
    assert done.returncode == 0, done.stderr
    done = run("import dashscope_ws_patch, dashscope", PYTHONPATH=path, **STRICT)
    assert done.returncode == 1 and "SeamError" in done.stderr
