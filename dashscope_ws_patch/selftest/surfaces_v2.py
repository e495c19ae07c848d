"""The surfaces of agentstudio, of the 2.x clients and of the command line.

A surface of a client is one of its resources. The driver calls every public method that the
installed release gives the resource, with arguments looked up by the names of the parameters: a
method that a new release adds is driven too, or fails for want of an argument. What a method needs
beyond that, or is worth calling twice for (streams, local files), stands in ``_calls``.

The command line runs in a Python process of its own, which is this module run as a program.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import functools
import importlib
import importlib.util
import inspect
import json
import os
import re
import site
import subprocess
import sys
import tempfile
import traceback
import warnings
from collections.abc import AsyncIterable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Callable

from dashscope_ws_patch.selftest.surfaces import API_KEY, Drive, Surface, find, has

HOST = "dashscope.aliyuncs.com"
AGENTSTUDIO = "/api/v1/agentstudio"
INFERENCE = "/api-ws/v1/inference"
REALTIME = "/api-ws/v1/realtime"

Values = dict[str, Any]
Table = dict[str, list[Values]]


def surfaces() -> list[Surface]:
    """The surfaces of these groups that the installed SDK has."""
    resources = [surface for kind in KINDS if has(kind.cls) for surface in kind.surfaces()]
    return [*resources, *_other_surfaces(), *_command_line_surfaces()]


# --- what is sent --------------------------------------------------------------------------------


def _arguments(drive: Drive) -> Values:
    """A value for each parameter that some method requires, by the parameter's name."""
    ids = (
        "agent agent_id app_id credential_id deployed_model deployed_model_id deployment_id"
        " deployment_run_id display_name environment_id file_id function_instance_id instance_id"
        " job job_id memory_id name phrase_id prefix preview_text query resource_id session_id"
        " skill_id store_id target_model task_id text thread_id vault_id version_id vocabulary_id"
        " voice voice_id voice_prompt webhook_id"
    )
    events = [{"type": "message", "role": "user", "content": "hello"}]
    return {
        **{name: f"{name.replace('_', '-')}-1" for name in ids.split()},
        "auth": {"type": "static_bearer", "token": "t", "mcp_server_url": "https://example.com"},
        "capacity": 1,
        "config": {"type": "cloud"},
        "content": "hello",
        "documents": ["hello"],
        "events": events,
        "file": drive.file,
        "file_path": drive.file,
        "file_url": "https://files.example.com/a.txt",
        "file_urls": ["https://files.example.com/a.wav"],
        "func_type": "reward",
        "initial_events": events,
        "input": {"text": "hello"},
        "input_data": {"agent_output": {}},
        "messages": [{"role": "user", "content": "hello"}],
        "model": "qwen-plus",
        "path": drive.audio,
        "phrases": {"hello": 5},
        "prompt": "hello",
        "questions": {"question": {"type": "noul"}},
        "state": "hello",
        "training_file_ids": ["file-1"],
        "training_files": [drive.file],
        "url": "https://files.example.com/a.wav",
        "version": 1,
        "vocabulary": [{"text": "hello", "weight": 4}],
    }


def _options(drive: Drive) -> Values:
    """What is given to each optional parameter of such a name."""
    options: Values = {"prompt": "hello", "poll_interval": 0.001, "max_interval": 0.001}
    options["purpose"] = "batch"  # files for fine-tuning have to be JSON lines
    if drive.plain:
        options["ws_url"] = drive.loopback.address(HOST, INFERENCE, websocket=True)
    return options


def _calls(drive: Drive) -> Table:
    """For ``resource.method`` the arguments of each of its calls, beyond ``_arguments``.

    A method that is not listed is called once; an empty list leaves it to a surface of its own.
    """
    picture = [{"role": "user", "content": [{"type": "image", "url": drive.file}]}]
    chat: list[Values] = [{}, {"stream": True}, {"messages": picture}]
    realtime: Values = {"model": "qwen3-omni-flash-realtime"}
    if drive.plain:  # here the URL has another path than those of ``_options``
        realtime["ws_url"] = drive.loopback.address(HOST, REALTIME, websocket=True)
    return {
        "apps.completions.create": [{}, {"stream": True}],
        "audio.realtime.connect": [realtime],
        "chat.completions.create": chat,
        "embeddings.create": [{"input": "hello"}],
        "images.generate": [{}, {"image_urls": [drive.file]}],
        "images.jobs.create": [{}, {"image_urls": [drive.file]}],
        "memory_stores.memories.update": [{"content": "hello"}],
        "memory_stores.update": [{"name": "name-1"}],
        "multimodal.chat.create": chat,
        "multimodal.embeddings.create": [{}, {"input": {"image": drive.file}}],
        "rl.jobs.create": [{"config_path": drive.write("tuning.yaml", b"name: loopback\n")}],
        "rl.register_functions": [],
        "skills.create": [{"file": drive.file}],
        "skills.versions.create": [{"file_id": "file-1"}],
        "videos.generate": [{}, {"image_url": drive.file}],
        "videos.jobs.create": [{}, {"image_url": drive.file}],
    }


# --- clients -------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Kind:
    """A class of clients (``module:Class``), served under ``path`` of the gateway."""

    name: str
    group: str
    cls: str
    path: str
    protocol: str = ""
    resources: str = ""  # pattern of the resources to drive; all if empty

    def client(self, drive: Drive | None, named: Mapping[str, str]) -> Any:
        """A client that reaches the loopback service; without a drive, one only to look at."""
        options: Values = {"api_key": API_KEY}
        if self.protocol:
            options["protocol"] = self.protocol
        if drive is None:
            options["base_url"] = "http://127.0.0.1"
        elif drive.plain:
            options["base_url"] = drive.loopback.address(HOST, self.path)
        return find(self.cls)(**{**options, **named})

    def surfaces(self) -> Iterator[Surface]:
        """A surface for each resource below a client of this kind."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # audio is a preview, says the SDK
            resources = list(_resources(self.client(None, {})))
        for path, resource in resources:
            methods = _methods(type(resource))
            if methods and re.match(self.resources, path):
                drive = functools.partial(_drive_resource, kind=self, path=path, methods=methods)
                yield _quiet_surface(f"{self.name}.{path}", self.group, methods, drive)


def _kinds(cls: str) -> Iterator[Kind]:
    yield Kind(f"agentstudio.{cls}", "agentstudio", f"dashscope.agentstudio:{cls}", AGENTSTUDIO)
    v2 = Kind(cls, "2.x", f"dashscope.v2:{cls}", "/api/v1")
    yield v2
    for protocol, path in (("openai", "/compatible-mode/v1"), ("anthropic", "/apps/anthropic")):
        name = f"{cls}({protocol!r})"
        yield dataclasses.replace(v2, name=name, path=path, protocol=protocol, resources=".*chat")


KINDS = (*_kinds("Client"), *_kinds("AsyncClient"))
V2_KINDS = tuple(kind for kind in KINDS if kind.group == "2.x" and not kind.protocol)


def _resources(client: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """The resource objects below a client, with their dotted paths."""
    members = dict(vars(client))
    if not path:
        members["audio"] = getattr(client, "audio", None)  # a property, mounted on first use
    for name, value in members.items():
        if not name.startswith("_") and ".resources." in type(value).__module__:
            yield path + name, value
            yield from _resources(value, f"{path}{name}.")


def _methods(cls: type) -> tuple[str, ...]:
    """The public methods of a class; an alias (``get = retrieve``) is no method of its own."""
    return tuple(
        f"{cls.__module__}:{cls.__qualname__}.{name}"
        for name, function in inspect.getmembers(cls, inspect.isfunction)
        if not name.startswith("_") and function.__name__ == name
    )


def _drive_resource(
    drive: Drive, kind: Kind, path: str, methods: Iterable[str], table: Table | None = None
) -> None:
    """Call every method of a resource; raise the first error after the last call."""
    calls = [
        (method, given)
        for method in methods
        for given in (table or _calls(drive)).get(f"{path}.{method.rpartition('.')[2]}", [{}])
    ]
    clients: dict[str, Any] = {}
    errors: list[Exception] = []

    def call(method: str, given: Values) -> Any:
        function = find(method)
        named = drive.naming(function)
        # What the method cannot be told, the constructor is.
        of_client = {} if named else drive.naming(find(kind.cls))
        constructor = {**_client_named(drive), **of_client}
        client = clients.get(str(constructor))
        if client is None:
            client = clients[str(constructor)] = kind.client(drive, constructor)
        arguments = _arguments_for(function, drive, given)
        resource = functools.reduce(getattr, path.split("."), client)
        return getattr(resource, function.__name__)(**arguments, **named)

    async def run() -> None:
        for each in calls:
            try:
                await _finish_async(call(*each))
            except Exception as error:
                errors.append(error)
        for client in clients.values():
            await client.aclose()

    if "Async" in kind.cls:
        drive.run(run())
    else:
        for each in calls:
            try:
                _finish(call(*each))
            except Exception as error:
                errors.append(error)
        for client in clients.values():
            client.close()
    if errors:
        raise errors[0]


def _client_named(drive: Drive) -> dict[str, str]:
    """What every client is constructed with, whether or not a method is told a workspace."""
    return dict(getattr(drive, "client_named", {}))


def _arguments_for(function: Any, drive: Drive, given: Values) -> Values:
    arguments, options = _arguments(drive), _options(drive)
    chosen = dict(given)
    for name, parameter in inspect.signature(function).parameters.items():
        if name in chosen or name == "self" or parameter.kind is parameter.VAR_KEYWORD:
            continue
        if parameter.default is not parameter.empty:
            chosen.update({name: options[name]} if name in options else {})
        elif name in arguments:
            chosen[name] = arguments[name]
        else:
            raise LookupError(f"{__name__}._arguments has no value for {name!r} of {function!r}")
    return chosen


def _finish(result: Any) -> None:
    """Do with a result what a program does, so that all that it sends lazily is sent."""
    if hasattr(result, "__enter__") and hasattr(result, "events"):
        _converse(result)
    elif _is_stream(result):
        for _ in result:
            pass


async def _finish_async(result: Any) -> None:
    if inspect.isawaitable(result):
        result = await result
    if isinstance(result, AsyncIterable):
        async for _ in result:
            pass
    else:
        _finish(result)


def _is_stream(result: Any) -> bool:
    """True for generators, streams and pages, not for values and the models of responses."""
    values = (str, bytes, list, tuple, Mapping)
    model = hasattr(result, "model_dump")
    return isinstance(result, Iterable) and not isinstance(result, values) and not model


def _converse(session: Any) -> None:
    """Run a websocket session of any kind: recognition, synthesis, TingWu or realtime."""
    with session:
        if hasattr(session, "send_audio_frame"):
            session.send_audio_frame(bytes(320))
        if hasattr(session, "send_text"):
            session.send_text("hello")
        (session.stop if hasattr(session, "stop") else session.end_session)()
        for _ in session.events():
            pass


# --- what is not a resource ----------------------------------------------------------------------


def _other_surfaces() -> Iterator[Surface]:
    rows: list[tuple[str, str, Callable[[Drive], object]]] = [
        ("dashscope.chat", "dashscope.v2._quickstart:chat", _drive_quickstart),
        ("Client.ws_connection", "dashscope.v2:Client.ws_connection", _drive_connection),
    ]
    for kind in V2_KINDS:
        asynchronous = kind.name.replace("Client", "")
        rl = f"dashscope.v2.resources.reinforcement_learning:{asynchronous}Rl.register_functions"
        derived = functools.partial(_drive_derived, kind)
        mounted = functools.partial(_drive_mounted, kind, asynchronous)
        registered = functools.partial(_drive_register, kind, rl)
        rows += [
            (f"{kind.name}.with_options", f"{kind.cls}.with_options", derived),
            (f"{kind.name}.agentstudio", f"{kind.cls}.agentstudio", mounted),
            (f"{kind.name}.rl.register_functions", rl, registered),
        ]
    for name, need, drive in rows:
        if has(need):
            yield _quiet_surface(name, "2.x", (need,), drive)


def _drive_quickstart(drive: Drive) -> None:
    import dashscope

    quickstart = vars(importlib.import_module("dashscope.v2._quickstart"))
    create = find("dashscope.v2.resources.chat.completions:Completions.create")
    url = {"DASHSCOPE_BASE_URL": drive.loopback.address(HOST, "/api/v1")} if drive.plain else {}
    with environment_variables(DASHSCOPE_API_KEY=API_KEY, **url):
        quickstart["_client"] = None  # the client of all its calls may have another address
        try:
            dashscope.chat("qwen-plus", "hello", **drive.naming(create))
        finally:
            quickstart["_client"] = None


def _drive_connection(drive: Drive) -> None:
    """Two sockets that tasks share; the workspace of the first is the client's."""
    url = {"url": drive.loopback.address(HOST, INFERENCE, websocket=True)} if drive.plain else {}
    standalone = find("dashscope.v2:WsConnection")
    named = drive.naming(find(V2_KINDS[0].cls))
    with V2_KINDS[0].client(drive, {**_client_named(drive), **named}) as client:
        for connection in (
            client.ws_connection(**url),
            standalone(api_key=API_KEY, **url, **drive.naming(standalone)),
        ):
            try:
                _converse(client.audio.asr.recognize(model="paraformer", connection=connection))
                _converse(client.audio.tts.connect(connection=connection))
                _converse(client.tingwu.realtime(model="m", app_id="a", connection=connection))
            finally:
                connection.close()


def _drive_derived(kind: Kind, drive: Drive) -> None:
    """Clients that share the connections of the one they come from, and clients that do not."""
    client = kind.client(drive, _client_named(drive))

    async def run() -> None:
        for options in ({"max_retries": 1}, {"timeout": 60.0}):
            derived = client.with_options(**options, **drive.naming(client.with_options))
            await _finish_async(derived.models.list())

    drive.run(run())


def _drive_mounted(kind: Kind, asynchronous: str, drive: Drive) -> None:
    url = drive.loopback.address(HOST, AGENTSTUDIO)
    with environment_variables(**({"DASHSCOPE_AGENTSTUDIO_URL": url} if drive.plain else {})):
        for path, module, cls in (
            ("agents", "agents", "Agents"),
            ("files", "files", "Files"),
            ("sessions.events", "session_events", "SessionEvents"),
        ):
            owner = find(f"dashscope.agentstudio.resources.{module}:{asynchronous}{cls}")
            _drive_resource(drive, kind, f"agentstudio.{path}", _methods(owner))


def _drive_register(kind: Kind, method: str, drive: Drive) -> None:
    """Pack a reward function, store the package, make its layer and register it."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "reward.py").write_text("class Reward:\n    pass\n", "utf-8")
        Path(folder, "requirements.txt").write_text("", "utf-8")
        given: Values = {"reward_classpaths": ["reward.py:Reward"], "workspace_dir": folder}
        _drive_resource(drive, kind, "rl", [method], {"rl.register_functions": [given]})


# --- helpers -------------------------------------------------------------------------------------


def _quiet_surface(
    name: str, group: str, needs: tuple[str, ...], drive: Callable[[Drive], object]
) -> Surface:
    def quietly(given: Drive) -> object:
        # The user's own config.toml stays out of it; AgenticRL leaves the API key in the
        # environment; the SDK warns that a client has no workspace.
        config = os.environ.get("DASHSCOPE_CONFIG", os.devnull)
        with environment_variables(DASHSCOPE_CONFIG=config), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return drive(given)

    return Surface(name, group, needs, quietly)


@contextlib.contextmanager
def environment_variables(**values: str) -> Iterator[None]:
    """Set environment variables; afterwards undo all that was done to the environment."""
    before = dict(os.environ)
    os.environ.update(values)
    try:
        yield
    finally:
        for name in {*os.environ, *before}:
            if name not in before:
                del os.environ[name]
            elif os.environ.get(name) != before[name]:
                os.environ[name] = before[name]


# --- the command line ----------------------------------------------------------------------------

#: What the ``dashscope`` command is called with, from 1.25 on and before. Commands that the
#: installed release lacks are passed over.
COMMANDS = """
    application create --app-id app-1 -p hello
    auth whoami
    code-generation create -m tongyi-lingma-v1 --scene custom --content hello
    deployments create -m qwen-turbo
    deployments get deployment-1
    deployments list
    deployments scale deployment-1 -c 2
    deployments delete deployment-1
    embeddings create -m text-embedding-v1 --input hello
    files upload -f {lines}
    files get file-1
    files list
    files delete file-1
    fine-tunes create -t file-1 -m qwen-turbo
    fine-tunes get job-1
    fine-tunes list
    fine-tunes stream job-1
    fine-tunes cancel job-1
    fine-tunes delete job-1
    generation create -m qwen-plus -p hello
    generation create -m qwen-plus -p hello --stream
    image-generation create -m wan2.6-t2i -t hello --image {file}
    image-generation fetch task-1
    image-generation wait task-1
    image-generation cancel task-1
    image-generation list
    image-synthesis create -m wanx-v1 -p hello
    image-synthesis fetch task-1
    image-synthesis wait task-1
    image-synthesis cancel task-1
    image-synthesis list
    models list
    models get qwen-plus
    multimodal-conversation create -m qwen-vl-plus -t hello --image {file}
    multimodal-embedding create -m multimodal-embedding-v1 --text hello --image {file}
    oss upload -f {file} -m qwen-vl-plus
    rerank create -m gte-rerank -q hello -d hello
    rl upload_data --training-files {file}
    rl list
    rl get job-1
    rl logs job-1
    rl cancel job-1
    speech-synthesis create -m cosyvoice-v3-flash -t hello --voice longxiaochun
    tokenization create -m qwen-plus -p hello
    transcription create -m paraformer-v1 --file-url https://files.example.com/a.wav
    transcription fetch task-1
    transcription wait task-1
    transcription cancel task-1
    transcription list
    understanding create -m opennlu-v1 --sentence hello --labels greeting
    video-synthesis create -m wanx2.1-t2v-turbo -p hello --img-url {file}
    video-synthesis fetch task-1
    video-synthesis wait task-1
    video-synthesis cancel task-1
    video-synthesis list
"""
COMMANDS_BEFORE_1_25 = """
    generation.call -m qwen-turbo -p hello
    generation.call -m qwen-turbo -p hello -s
    fine_tunes.call -t file-1 -m qwen-turbo
    fine_tunes.get -j job-1
    fine_tunes.delete -j job-1
    fine_tunes.stream -j job-1
    fine_tunes.list
    fine_tunes.cancel -j job-1
    oss.upload -f {file} -m qwen-vl-plus
    files.upload -f {lines} -p
    files.get -i file-1
    files.delete -i file-1
    files.list
    deployments.call -m qwen-turbo
    deployments.get {deployment} deployment-1
    deployments.delete {deployment} deployment-1
    deployments.list
    deployments.scale -d deployment-1 -c 2
"""


def _command_line_surfaces() -> Iterator[Surface]:
    # Importing these has side effects (the command marks requests as its own): look for files.
    package = Path(find("dashscope:__file__")).parent
    if (package / "acli").exists():
        yield _command_line_surface("acli: model provider, MCP client", _run_provider)
        if importlib.util.find_spec("prompt_toolkit"):  # extra "acli" of the SDK
            yield _command_line_surface("acli -c, dashscope expert", _run_assistant)
    if (package / "cli").exists() or (package / "cli.py").exists():
        yield _command_line_surface("dashscope", _run_commands)


def _command_line_surface(name: str, programme: Callable[[Values], object]) -> Surface:
    drive = functools.partial(_drive_process, programme.__name__)
    return Surface(name, "command line", (), drive)


def _drive_process(programme: str, drive: Drive) -> None:
    """Run ``programme`` of this module in a Python process, with a home of its own.

    What is ambient here is ambient there, by way of the environment; the process is patched if
    this one is.
    """
    import dashscope_ws_patch as shim

    search = filter(None, (str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH")))
    with tempfile.TemporaryDirectory() as home:
        environment = {
            **os.environ,
            "HOME": home,
            "USERPROFILE": home,
            "PYTHONUSERBASE": site.getuserbase(),  # would move with the home
            "PYTHONPATH": os.pathsep.join(search),
            "DASHSCOPE_API_KEY": API_KEY,
            "DASHSCOPE_WS_PATCH": str(int(shim.is_patched())),
        }
        if shim.is_patched():
            environment.pop("DASHSCOPE_WORKSPACE_ID", None)
            environment["DASHSCOPE_WORKSPACE"] = shim.get_workspace() or ""
        url = functools.partial(drive.loopback.address, HOST)
        if drive.plain:
            environment["DASHSCOPE_HTTP_BASE_URL"] = url("/api/v1")
            environment["DASHSCOPE_WEBSOCKET_BASE_URL"] = url(INFERENCE, websocket=True)
            environment["DASHSCOPE_COMPATIBLE_BASE_URL"] = url("/compatible-mode/v1")
            environment["OPENAI_BASE_URL"] = url()  # acli reads it for every provider
        task = {
            "programme": programme,
            "port": drive.loopback.port,
            "named": drive.named.get("workspace"),
            "file": drive.file,
            "lines": drive.write("lines.jsonl", b"{}\n"),
            "mcp": url("/api/v1/mcps/loopback") if drive.plain else "",
        }
        finished = subprocess.run(
            [sys.executable, "-m", __name__, json.dumps(task)],
            env=environment,
            cwd=home,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            text=True,
            timeout=1200,
        )
    if finished.returncode:
        raise RuntimeError(f"{programme}: {finished.stderr[-4000:]}")


def _run_commands(task: Values) -> None:
    cli = importlib.import_module("dashscope.cli")
    table = COMMANDS if hasattr(cli, "app") else COMMANDS_BEFORE_1_25
    source = inspect.getsource(cli)
    deployment = "-d" if "--deploy" in source else "-i"
    failures = []
    for row in table.strip().format(deployment=deployment, **task).splitlines():
        words = row.split()
        if hasattr(cli, "app"):
            command = _command(cli.app, words)
            if command is None:
                continue
            accepted = [option for each in command.params for option in each.opts]
            for option, value in {"--plan": "lora", "--workspace": task["named"]}.items():
                if value and option in accepted:
                    words += [option, value]
        elif not re.search(rf"""['"]{re.escape(words[0])}['"]""", source):
            continue
        print("$ dashscope", *words, flush=True)
        try:
            status = _run_main(cli.main, "dashscope", words)
        except Exception:
            # Some releases stumble over an answer; by then they have sent.
            traceback.print_exc()
        else:
            if status == 2:
                failures.append(f"usage error: {row.strip()}")
    if failures:
        sys.exit("\n".join(failures))


def _command(app: Any, words: Iterable[str]) -> Any:
    """The command that ``words`` begin with; None if the release lacks it."""
    command = _commands(app)
    for word in words:
        if not hasattr(command, "commands"):
            break
        command = command.commands.get(word)
    return command


@functools.cache
def _commands(app: Any) -> Any:
    # Made once, and not by typer for each command line anew, which takes longer than to run it.
    typer: Any = importlib.import_module("typer.main")
    typer.get_command = functools.cache(typer.get_command)
    return typer.get_command(app)


def _run_main(main: Callable[[], object], name: str, words: Iterable[str]) -> object:
    """Call a console script; return its exit status."""
    sys.argv = [name, *words]
    try:
        main()
    except SystemExit as done:
        return done.code
    return None


def _run_provider(task: Values) -> None:
    asyncio.run(_talk(task["mcp"]))


async def _talk(mcp: str) -> None:
    address = os.environ.get("OPENAI_BASE_URL")
    provider = find("dashscope.acli.providers.tongyi:TongyiProvider")(
        api_key=API_KEY, base_url=address
    )
    messages = [{"role": "user", "content": "hello"}]
    await provider.chat(messages)
    async for _ in provider.chat_stream(messages):
        pass
    client = find("dashscope.acli.platforms.bailian.mcp:MCPClient")("loopback", API_KEY, mcp)
    if not await client.initialize():
        raise RuntimeError(client.last_error)
    await client.list_tools()
    await client.list_prompts()
    await client.call_tool("tool", {})
    await client.close()


def _run_assistant(task: Values) -> None:
    for main, words in (
        ("dashscope.acli.cli:main", ["acli", "-c", "hello"]),
        ("dashscope.cli:main", ["dashscope", "expert", "hello"]),
    ):
        status = _run_main(find(main), words[0], words[1:])
        if status:
            sys.exit(f"{words}: exit status {status}")


def _main() -> None:
    from dashscope_ws_patch.selftest.loopback import redirect

    task = json.loads(sys.argv[1])
    with redirect(task["port"]):
        globals()[task["programme"]](task)


if __name__ == "__main__":
    _main()
