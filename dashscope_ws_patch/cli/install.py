"""install and uninstall: each interpreter of an environment activated for good, or no more."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import py_compile
import subprocess
import sys
import sysconfig
from contextlib import suppress
from importlib.machinery import PathFinder

from .run import SITEDIR

STARTUP = os.path.join(SITEDIR, "sitecustomize.py")


class Refusal(Exception):
    """What was asked for cannot be done, and nothing was changed; the message says why."""


def install(system: bool = False) -> list[str]:
    """Activate this environment for good; return what was done, in lines.

    Writes sitecustomize.py into site-packages, or a .pth file where another sitecustomize can be
    imported. Raises Refusal outside a virtual environment, unless ``system``; where the package
    itself is not installed; and where a file cannot be written or would have to be overwritten.
    """
    folder = _site_packages(system)
    _check_installed()
    copy, line = _targets(folder)
    wanted, other = (line, copy) if _foreign(copy) else (copy, line)
    content = _sealed(_line() if wanted == line else _read(STARTUP))
    if _read(wanted) == content:
        lines = [f"already installed: {wanted}"]
    elif os.path.lexists(wanted) and not _is_ours(wanted):
        raise Refusal(f"{wanted} is not ours: move it away, then install again")
    else:
        _write(wanted, content)
        lines = [f"written: {wanted}", f"each Python of {sys.prefix} now waits for dashscope"]
    if _is_ours(other):
        _remove(other)
        lines.append(f"removed: {other}")
    return lines


def uninstall(system: bool = False) -> list[str]:
    """Remove what ``install`` wrote; return what was done, in lines.

    Raises Refusal outside a virtual environment, unless ``system``, and for a file that cannot be
    removed or that somebody has changed.
    """
    targets = _targets(_site_packages(system))
    removed = [target for target in targets if _is_ours(target)]
    for target in targets:
        if _SEAL in _read(target) and target not in removed:
            raise Refusal(f"{target} was changed since install wrote it: remove it by hand")
    for target in removed:
        _remove(target)
    return [f"removed: {target}" for target in removed] or ["not installed: nothing to remove"]


def _site_packages(system: bool) -> str:
    if sys.prefix == sys.base_prefix and not system:
        raise Refusal(
            f"{sys.prefix} is no virtual environment: say --system to mean this Python itself"
        )
    return sysconfig.get_path("purelib")


def _targets(folder: str) -> tuple[str, str]:
    """The copy of the start-up file and the .pth file."""
    return os.path.join(folder, "sitecustomize.py"), os.path.join(folder, "dashscope_ws_patch.pth")


def _check_installed() -> None:
    # This process may have found the package in its working directory or on PYTHONPATH.
    probe = "import importlib.util as u, sys; sys.exit(u.find_spec('dashscope_ws_patch') is None)"
    if subprocess.run([sys.executable, "-I", "-c", probe]).returncode:
        raise Refusal(f"dashscope-ws-patch is not installed in {sys.prefix}: pip install it first")


def _foreign(copy: str) -> bool:
    """Whether a sitecustomize that is not ours can be imported."""
    path = [entry for entry in sys.path if entry not in (SITEDIR, os.path.dirname(copy))]
    ahead = PathFinder.find_spec("sitecustomize", path)
    here = PathFinder.find_spec("sitecustomize", [os.path.dirname(copy)])
    return ahead is not None or (here is not None and not _is_ours(copy))


def _line() -> bytes:
    # The start-up file again, ahead of the other sitecustomize, which it runs in its turn. To write
    # the finder into this line would cost more: Python compiles the line at each start.
    return f"import sys; sys.path.insert(0, {SITEDIR!a})".encode()


_SEAL = b"  # dashscope_ws_patch "


def _sealed(content: bytes) -> bytes:
    """Mark ``content`` as ours; the digest tells later whether anybody has changed it."""
    content = content.rstrip(b"\n")
    return content + _SEAL + hashlib.sha256(content).hexdigest().encode() + b"\n"


def _is_ours(path: str) -> bool:
    content = _read(path)
    return bool(content) and content == _sealed(content.rpartition(_SEAL)[0])


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
        raise Refusal(f"cannot write {path}: {error.strerror or error}") from error
    if path.endswith(".py"):
        # With PYTHONDONTWRITEBYTECODE, usual in containers, each start would compile it anew.
        with suppress(OSError, py_compile.PyCompileError):
            py_compile.compile(path)


def _remove(path: str) -> None:
    try:
        os.remove(path)
    except OSError as error:
        raise Refusal(f"cannot remove {path}: {error.strerror or error}") from error
    if path.endswith(".py"):
        for level in ("", "1", "2"):
            compiled = importlib.util.cache_from_source(path, optimization=level)
            with suppress(OSError):
                os.remove(compiled)
            with suppress(OSError):  # only an empty folder can be removed
                os.rmdir(os.path.dirname(compiled))
