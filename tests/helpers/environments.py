"""Real virtual environments with the package in them, installed from its wheel."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from glob import glob
from pathlib import Path

HELPERS = Path(__file__).resolve().parent
ROOT = HELPERS.parents[1]
BIN = "Scripts" if os.name == "nt" else "bin"

# 1.17.1 imports pkg_resources, which setuptools 80 announces the end of, on stderr.
OLD_SDK = ("dashscope==1.17.1", "setuptools<80")
NEW_SDK = ("dashscope==2.0.2",)


#: Other tools that start programs send nothing anywhere.
QUIET = {
    "OTEL_TRACES_EXPORTER": "none",
    "OTEL_METRICS_EXPORTER": "none",
    "OTEL_LOGS_EXPORTER": "none",
    "DD_INSTRUMENTATION_TELEMETRY_ENABLED": "false",
    "DD_REMOTE_CONFIGURATION_ENABLED": "false",
    "DD_TRACE_ENABLED": "false",
    "ELASTIC_APM_DISABLE_SEND": "true",
    "ELASTIC_APM_CLOUD_PROVIDER": "none",
}

#: As it was before tests had this process, and a pip below it, trust our certificates alone.
_AT_START = dict(os.environ)


def clean(**variables: str) -> dict[str, str]:
    """This process's environment variables without those that change how Python starts."""
    kept = {
        name: value
        for name, value in _AT_START.items()
        if not name.startswith(("PYTHON", "DASHSCOPE", "COV_", "PYTEST"))
    }
    return {**kept, **variables}


def python(minor: int) -> str | None:
    """A CPython 3.``minor`` of this machine, or None."""
    if sys.version_info[1] == minor:
        return sys.executable
    pyenv = os.path.expanduser(os.environ.get("PYENV_ROOT", "~/.pyenv"))
    found = [*glob(f"{pyenv}/versions/3.{minor}.*/bin/python"), shutil.which(f"python3.{minor}")]
    for candidate in filter(None, found):
        probe = [candidate, "-c", f"import sys; sys.exit(sys.version_info[1] != {minor})"]
        if subprocess.run(probe, stderr=subprocess.DEVNULL).returncode == 0:
            return candidate
    return None


def build_wheel(folder: Path) -> Path:
    """Build the package's wheel into ``folder``, from a copy: a build leaves files behind."""
    source = folder / "source"
    package = "dashscope_ws_patch"
    # A virtual environment, or the temporary folder itself, may lie in the checkout.
    shutil.copytree(ROOT / package, source / package, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    _run(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(folder), str(source))
    (wheel,) = folder.glob("*.whl")
    return wheel


def _run(*command: str) -> None:
    subprocess.run(command, check=True, env=clean(PIP_DISABLE_PIP_VERSION_CHECK="1"))


class Environment:
    """A new virtual environment in ``folder``, of the interpreter ``base``, with ``packages``."""

    def __init__(self, folder: Path, base: str, *packages: object) -> None:
        self.folder = folder
        self.python = str(folder / BIN / "python")
        # Our pip serves environments of our Python: to put one into each takes seconds. It may be
        # too new for another Python.
        ours = base == sys.executable
        _run(base, "-m", "venv", *["--without-pip"] * ours, str(folder))
        self._pip = [sys.executable, "-m", "pip", "--python", self.python]
        if not ours:
            self._pip = [self.python, "-m", "pip"]
        self.install(*packages)
        purelib = "import sysconfig; print(sysconfig.get_path('purelib'))"
        self.site_packages = Path(self.output("-c", purelib))

    def script(self, name: str) -> str:
        return str(self.folder / BIN / name)

    def install(self, *packages: object) -> None:
        if packages:
            _run(*self._pip, "install", "--quiet", *map(str, packages))

    def uninstall(self, package: str) -> None:
        _run(*self._pip, "uninstall", "--quiet", "--yes", package)

    def output(self, *arguments: str, **variables: str) -> str:
        """What the environment's Python prints when it is called with ``arguments``."""
        return subprocess.run(
            [self.python, *arguments],
            check=True,
            stdout=subprocess.PIPE,
            text=True,
            env=clean(**variables),
            cwd=os.sep,  # -c and -m would find the package in the working directory too
        ).stdout.strip()

    def files(self) -> dict[str, bytes]:
        """Each file of site-packages with its content."""
        return {
            str(file.relative_to(self.site_packages)): file.read_bytes()
            for file in self.site_packages.rglob("*")
            if file.is_file()
        }
