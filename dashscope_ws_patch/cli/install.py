"""install and uninstall: each interpreter of an environment activated for good, or no more."""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import os
import py_compile
import re
import site
import subprocess
import sys
import sysconfig
from collections.abc import Iterable
from contextlib import suppress

from ._language import _
from .run import SITEDIR

STARTUP = os.path.join(SITEDIR, "sitecustomize.py")
#: Where the package is installed from.
ADDRESS = "git+https://github.com/dashscope-ws-patch/dashscope-ws-patch"
_WAITING = os.path.join(SITEDIR, "waiting.py")


class CommandError(Exception):
    """What was asked for cannot be done, and nothing was changed; the message says why."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what ``install``, ``uninstall`` and ``sitedir`` take on the command line."""
    if not parser.prog.endswith("sitedir"):
        parser.add_argument(
            "--system",
            action="store_true",
            help=_("also where this is neither a virtual nor a conda environment"),
        )


def main(namespace: argparse.Namespace) -> int:
    """Do it, and say in lines what was done."""
    if namespace.name == "sitedir":
        print(SITEDIR)
    else:
        change = install if namespace.name == "install" else uninstall
        print("\n".join(change(system=namespace.system)))
    return 0


def install(system: bool = False) -> list[str]:
    """Activate this environment for good; return what was done, in lines.

    Writes a .pth file into site-packages, which Python reads at each start, before and whatever
    sitecustomize there is; where Python has .start files (PEP 829, CPython 3.15) one of these too,
    and the module that it names. Raises CommandError outside an environment (virtual or conda's),
    unless ``system``; in one that will be thrown away, or is a tool's own; where the package itself
    is not installed; and where a file cannot be written or would have to be overwritten.
    """
    folder = _site_packages(system)
    _check_kept()
    _check_installed()
    wanted = {path: sealed(text) for path, text in _files(folder).items()}
    for path, content in wanted.items():
        if os.path.lexists(path) and _read(path) != content and not is_ours(path):
            raise CommandError(_("{path} is not ours: move it away, then install again", path=path))
    missing = [path for path, content in wanted.items() if _read(path) != content]
    for position, path in enumerate(missing):
        try:
            _write(path, wanted[path])
        except CommandError:
            _remove_all(missing[:position])
            raise
    if missing:
        lines = [_("written: {path}", path=path) for path in missing]
        lines.append(_("each Python of {prefix} now waits for dashscope", prefix=sys.prefix))
    else:
        lines = [_("already installed: {path}", path=path) for path in wanted]
    return lines + _remove_all(path for path in may_be_ours(folder) if path not in wanted)


def uninstall(system: bool = False) -> list[str]:
    """Remove what ``install`` wrote, of this release or an earlier one; return what was done.

    Raises CommandError outside an environment, unless ``system``, and for a file that cannot
    be removed or that somebody has changed.
    """
    targets = may_be_ours(_site_packages(system))
    for target in targets:
        if _SEAL in _read(target) and not is_ours(target):
            raise CommandError(
                _("{path} was changed since install wrote it: remove it by hand", path=target)
            )
    return _remove_all(targets) or [_("not installed: nothing to remove")]


def _site_packages(system: bool) -> str:
    if not (system or sys.prefix != sys.base_prefix or _is_conda()):
        raise CommandError(
            _(
                "{prefix} is no virtual environment: say --system to mean this Python itself",
                prefix=sys.prefix,
            )
        )
    return sysconfig.get_path("purelib")


def _is_conda() -> bool:
    """Whether this is an environment of conda's, and not the base that conda itself runs in."""
    meta, own = (os.path.join(sys.prefix, name) for name in ("conda-meta", "condabin"))
    return os.path.isdir(meta) and not os.path.isdir(own)


#: What .start files name has to be a module that stays when pip removes the package.
_MODULE = "_dashscope_ws_patch"


def _files(folder: str) -> dict[str, str]:
    """What ``install`` writes: the path and content of each file."""
    # Without the package there is no such file, and nothing happens. The file is run as it is and
    # where it is: a new release of the package needs no new install. It is compiled already, while
    # this line is compiled at each start, and longer variables or imports would show. To ask the
    # import system for the file would take as long as all the rest of the start-up.
    code = (
        f"import _frozen_importlib_external as f; f._path_isfile({_WAITING!a}) and "
        f"exec(f.SourceFileLoader('s', {_WAITING!a}).get_code('s'), {{}})"
    )
    files = {os.path.join(folder, "dashscope_ws_patch.pth"): code}
    if hasattr(site, "StartupState"):  # PEP 829: it is read instead of the line
        files[os.path.join(folder, f"{_MODULE}.py")] = f"def start():\n    {code}\n"
        files[os.path.join(folder, "dashscope_ws_patch.start")] = f"{_MODULE}:start"
    return files


def may_be_ours(folder: str) -> list[str]:
    """All that ``install`` may have written, that of 1.0.0 too."""
    names = (
        "dashscope_ws_patch.start",
        "dashscope_ws_patch.pth",
        f"{_MODULE}.py",
        "sitecustomize.py",
    )
    return [os.path.join(folder, name) for name in names]


def _check_kept() -> None:
    """Raise CommandError for an environment from which no program of the user's will be started."""
    layer = any(line.startswith("extends-environment") for line in _pyvenv())
    bucket = os.path.dirname(sys.prefix)
    cache = os.path.join(os.path.dirname(bucket), "CACHEDIR.TAG")
    if layer or (re.search(r"-v\d+$", bucket) and os.path.exists(cache)):
        raise CommandError(
            _(
                "{prefix} is an environment that uv throws away: say `uv add {address}` and then "
                "`uv run python -m dashscope_ws_patch install`; or, for one command, "
                "`uv run --with {address} dashscope-ws-patch run -- python app.py`",
                prefix=sys.prefix,
                address=ADDRESS,
            )
        )
    if any(
        os.path.exists(os.path.join(sys.prefix, receipt))
        for receipt in ("uv-receipt.toml", "pipx_metadata.json")
    ):
        raise CommandError(
            _(
                "{prefix} is this tool's own environment, and your programs are started from "
                "others: install the package there and say `python -m dashscope_ws_patch "
                "install`; or, for one command, `dashscope-ws-patch run -- python app.py`",
                prefix=sys.prefix,
            )
        )


def _pyvenv() -> list[str]:
    return _read(os.path.join(sys.prefix, "pyvenv.cfg")).decode(errors="replace").splitlines()


def _check_installed() -> None:
    # This process may have found the package in its working directory or on PYTHONPATH.
    probe = "import importlib.util as u, sys; sys.exit(u.find_spec('dashscope_ws_patch') is None)"
    if subprocess.run([sys.executable, "-I", "-c", probe]).returncode:
        raise CommandError(
            _(
                "dashscope-ws-patch is not installed in {prefix}: say pip install {address} first",
                prefix=sys.prefix,
                address=ADDRESS,
            )
        )


_SEAL = b"# dashscope_ws_patch "


def sealed(text: str) -> bytes:
    """``text`` marked as ours; the digest tells later whether anybody has changed it."""
    content = text.strip().encode()
    return content + b"\n" + _SEAL + hashlib.sha256(content).hexdigest().encode() + b"\n"


def is_ours(path: str) -> bool:
    """Whether ``install`` has written the file, and nobody has changed it since."""
    content, seal, digest = _read(path).rpartition(_SEAL)
    # 1.0.0 wrote two blanks before the seal.
    return bool(seal) and digest.decode(errors="replace").strip() == (
        hashlib.sha256(content.rstrip(b" \n")).hexdigest()
    )


def is_installed() -> bool:
    """Whether ``install`` was said in this environment."""
    return is_ours(os.path.join(sysconfig.get_path("purelib"), "dashscope_ws_patch.pth"))


def is_current(path: str) -> bool:
    """Whether ``install`` would write the file as it is."""
    content = _files(os.path.dirname(path)).get(path)
    return content is not None and _read(path) == sealed(content)


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return b""


def _write(path: str, content: bytes) -> None:
    partial = f"{path}.{os.getpid()}"
    try:
        try:
            with open(partial, "xb") as file:
                file.write(content)
            os.replace(partial, path)
        finally:
            with suppress(FileNotFoundError):
                os.remove(partial)
    except OSError as error:
        raise CommandError(
            _("cannot write {path}: {error}", path=path, error=error.strerror or error)
        ) from error
    if path.endswith(".py"):
        # With PYTHONDONTWRITEBYTECODE, usual in containers, each start would compile it anew.
        with suppress(OSError, py_compile.PyCompileError):
            py_compile.compile(path)


def _remove_all(paths: Iterable[str]) -> list[str]:
    removed = [path for path in paths if is_ours(path)]
    for path in removed:
        _remove(path)
    return [_("removed: {path}", path=path) for path in removed]


def _remove(path: str) -> None:
    try:
        os.remove(path)
    except OSError as error:
        raise CommandError(
            _("cannot remove {path}: {error}", path=path, error=error.strerror or error)
        ) from error
    if path.endswith(".py"):
        for level in ("", "1", "2"):
            compiled = importlib.util.cache_from_source(path, optimization=level)
            with suppress(OSError):
                os.remove(compiled)
            with suppress(OSError):  # only an empty folder can be removed
                os.rmdir(os.path.dirname(compiled))
