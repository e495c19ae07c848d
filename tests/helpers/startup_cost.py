"""What activation costs each start of an interpreter, beside what others' costs: a Markdown table.

    python tests/helpers/startup_cost.py [--rounds N] [--no-peers] [--check]

Each row is a start of ``python -c pass``: in instructions, as callgrind counts them (where valgrind
is installed), and in wall time, the fastest of N rounds in each of which every row starts once.
Launchers are asked for the environment variables that they set, and not measured themselves.
``--check`` ends in status 1 if one of our rows misses the contract's figure.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import site
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from environments import QUIET, Environment, build_wheel, clean

#: The contract's figure: at most so many times the floor's instructions, and milliseconds more.
TIMES, MORE = 1.02, 0.5


@dataclass
class Row:
    name: str
    environment: Environment
    variables: dict[str, str]
    code: str = "pass"
    #: The same start with what does nothing in the place of ours.
    floor: Row | None = None
    instructions: int = 0
    times: list[float] = field(default_factory=list)

    def start(self, *tool: str) -> str:
        """Start once; return what ``tool`` says on stderr."""
        return subprocess.run(
            [*tool, self.environment.python, "-c", self.code],
            env=clean(PYTHONHASHSEED="0", **self.variables),
            cwd=os.sep,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            check=True,
        ).stderr

    def count(self) -> None:
        if shutil.which("valgrind"):
            said = self.start("valgrind", "--tool=callgrind", f"--callgrind-out-file={os.devnull}")
            found = re.search(r"Collected : (\d+)", said)
            self.instructions = int(found[1]) if found else 0

    def clock(self) -> None:
        begun = time.perf_counter()
        self.start()
        self.times.append(1000 * (time.perf_counter() - begun))

    @property
    def milliseconds(self) -> float:
        return min(self.times)  # what is slower is another process's doing

    @property
    def missed(self) -> bool:
        return self.floor is not None and (
            self.instructions > TIMES * self.floor.instructions
            or self.milliseconds > self.floor.milliseconds + MORE
        )


def rows(folder: Path, peers: bool) -> list[Row]:
    """Make an environment for each row that changes one, and one for those that do not."""
    wheel = build_wheel(folder)

    def environment(name: str, *packages: object) -> Environment:
        return Environment(folder / name, sys.executable, *packages)

    # The same place: what is found there by a longer path takes longer.
    plain, empty = environment("plain", wheel), environment("empty", wheel)
    ask = "-m", "dashscope_ws_patch", "sitedir"
    sitedir, emptied = plain.output(*ask), empty.output(*ask)
    Path(emptied, "sitecustomize.py").write_text("")
    bare = Row("bare interpreter", plain, {})
    on_path = Row("empty `sitecustomize.py` on PYTHONPATH", empty, {"PYTHONPATH": emptied})

    installed, empty_line = environment("installed", wheel), environment("line", wheel)
    installed.output("-m", "dashscope_ws_patch", "install")
    if hasattr(site, "StartupState"):  # PEP 829: for any of them site imports pkgutil and re
        (empty_line.site_packages / "empty.start").write_text("empty:start\n")
        (empty_line.site_packages / "empty.py").write_text("def start(): pass\n")
        line = Row("a `.start` that does nothing", empty_line, {})
    else:
        (empty_line.site_packages / "empty.pth").write_text("import sys\n")
        line = Row("a `.pth` with `import sys`", empty_line, {})

    ours = [
        bare,
        on_path,
        Row("**ours**, `run` or `sitedir`", plain, {"PYTHONPATH": sitedir}, floor=on_path),
        line,
        Row("**ours**, `install`", installed, {}, floor=line),
    ]
    if not peers:
        return ours
    autowrapt = environment("autowrapt", "autowrapt")
    telemetry = environment("opentelemetry", "opentelemetry-distro")
    ddtrace = environment("ddtrace", "ddtrace")
    return [
        *ours,
        Row("`import wrapt` alone", plain, {}, "import wrapt"),
        Row("autowrapt", autowrapt, {"AUTOWRAPT_BOOTSTRAP": "none"}),
        Row("opentelemetry-instrument", telemetry, launched(telemetry, "opentelemetry-instrument")),
        Row("ddtrace-run", ddtrace, launched(ddtrace, "ddtrace-run")),
    ]


def launched(environment: Environment, launcher: str) -> dict[str, str]:
    """The variables that ``launcher`` sets for its command."""
    before = clean(**QUIET)
    output = subprocess.run(
        [environment.script(launcher), "env", "-0"], env=before, stdout=subprocess.PIPE, check=True
    ).stdout.decode()
    after = dict(line.split("=", 1) for line in output.split("\0") if line)
    return {**QUIET, **{name: after[name] for name in after if after[name] != before.get(name)}}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--no-peers", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        table = rows(Path(folder), not arguments.no_peers)
        for row in table:
            row.start()  # compiles what it loads
            row.count()
        for _round in range(arguments.rounds):
            table[0].start()  # what the heaviest one has driven out of the caches comes back
            for row in table:
                row.clock()
    version = ".".join(map(str, sys.version_info[:3]))
    bare = table[0]
    print(f"| start of CPython {version} | million instructions | × bare | × floor ", end="")
    print("| ms | more than bare | than the floor |\n|---|--:|--:|--:|--:|--:|--:|")
    for row in table:
        counts = ["–"] * 3
        if row.instructions and bare.instructions:
            counts[0] = f"{row.instructions / 1e6:.1f}"
            counts[1] = f"{row.instructions / bare.instructions:.3f}"
            if row.floor:
                counts[2] = f"{row.instructions / row.floor.instructions:.3f}"
        times = [f"{row.milliseconds:.1f}", f"{row.milliseconds - bare.milliseconds:+.2f}", "–"]
        if row.floor:
            times[2] = f"{row.milliseconds - row.floor.milliseconds:+.2f}"
        print("| " + " | ".join([row.name, *counts, *times]) + " |")
    missed = [row.name for row in table if row.missed]
    for name in missed:
        print(f"{name}: more than {TIMES} x, or {MORE} ms above, its floor", file=sys.stderr)
    return 1 if arguments.check and missed else 0


if __name__ == "__main__":
    sys.exit(main())
