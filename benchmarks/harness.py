"""Parts that all benchmarks share: options, time and memory, the machine, one JSON line last."""

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from taskroute.schemas import environment

environment.prepare()

REPOSITORY = Path(__file__).parents[1]
DEMO = REPOSITORY / "examples" / "demo.yaml"


def options(doc: str | None, **sizes: tuple[Any, Any]) -> argparse.ArgumentParser:
    """Makes the parser of a benchmark.

    Args:
        doc: The benchmark's docstring.
        sizes: Numbers and texts by option: the default, and what `--smallest` puts in its place.
    """
    parser = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--smallest", action="store_true", help="a run of seconds: does it work?")
    for name, (default, smallest) in sizes.items():
        value = smallest if "--smallest" in sys.argv else default
        flag = f"--{name.replace('_', '-')}"
        parser.add_argument(flag, type=type(default), default=value, help=f"{default} by default")
    return parser


def machine() -> str:
    return f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[1]:.1f}"


def report(compared: str, **result: Any) -> None:
    """Prints the comparison, the machine, and the result as one JSON line.

    Args:
        compared: Subject and reference, in a few words.
        result: Figures and sizes, in the order of the line.
    """
    name, computer = Path(sys.argv[0]).stem, machine()
    print(f"{name}: {compared}; {computer}")
    print(json.dumps({"benchmark": name, "compared": compared, **result, "machine": computer}))


@dataclass(frozen=True)
class Duration:
    """Seconds by the clock, and seconds of processor time."""

    wall: float
    cpu: float


def timed(function: Callable[..., Any], *arguments: Any) -> Duration:
    """Calls a function once."""
    wall, cpu = time.perf_counter(), time.process_time()
    function(*arguments)
    return Duration(time.perf_counter() - wall, time.process_time() - cpu)


def in_turn(
    sides: Mapping[str, Callable[[], Any]], repeats: int, warm_ups: int = 1
) -> dict[str, list[Duration]]:
    """Times of all sides, which take turns; their first calls do not count."""
    by_side: dict[str, list[Duration]] = {name: [] for name in sides}
    for _ in range(warm_ups + repeats):
        for name, side in sides.items():
            by_side[name].append(timed(side))
    return {name: times[warm_ups:] for name, times in by_side.items()}


def median_ms(times: Sequence[Duration]) -> float:
    return 1e3 * statistics.median(one.wall for one in times)


def median_ratio(times: Sequence[Duration], reference: Sequence[Duration]) -> Duration:
    """Medians over pairs of neighbours in time, each a time over that of the reference."""
    pairs = list(zip(times, reference, strict=True))
    return Duration(
        statistics.median(one.wall / other.wall for one, other in pairs),
        statistics.median(one.cpu / other.cpu for one, other in pairs),
    )


def peak_mb() -> float:
    """Largest memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def child(*program: object) -> list[dict[str, Any]]:
    """Runs a Python program to its end, shows its text and returns its JSON lines.

    Args:
        program: Arguments of this Python.
    """
    ended = subprocess.run(
        [sys.executable, *map(str, program)], capture_output=True, text=True, check=False
    )
    return read_lines(ended.returncode, ended.stdout, ended.stderr)


def read_lines(code: int, output: str, errors: str) -> list[dict[str, Any]]:
    """Splits the output of a process into text, which is shown, and JSON lines.

    Raises:
        RuntimeError: If it failed.
    """
    if code:
        raise RuntimeError(errors[-5000:])
    lines = output.splitlines()
    for line in lines:
        if not line.startswith("{"):
            print(line, flush=True)
    return [json.loads(line) for line in lines if line.startswith("{")]
