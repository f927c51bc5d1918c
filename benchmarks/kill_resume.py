"""Kills `taskroute run` at random moments; the same command must end as if nothing had been.

Run: python benchmarks/kill_resume.py [--kills N] [--rows N] [--seed S]. One run is left alone. Each
of the others has a pipeline root of its own, is killed with SIGKILL between the start of its first
stage and its end, and is called again. It passes if the metrics, the learning curves and the scores
of the exported model's warm-up rows are the same to the bit, if no stage that had ended was done
again, if one version was pushed, and if nothing half-written is left.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import options, report

import numpy as np
import yaml

from taskroute.pipeline.sample_log.sample_files import write_sample_log
from taskroute.pipeline.sample_log.sample_log import SampleLogSpec, make_sample_log

_CONFIG = {
    "name": "small",
    "source": {
        "path": "log.parquet",
        "format": "parquet",
        "timestamp": "event_time",
        "split": {"by": "time", "validation": 0.15, "test": 0.2},
    },
    "features": [
        {"name": "user_id", "kind": "categorical", "hash_buckets": 500, "embedding_dim": 8},
        {"name": "item_id", "kind": "categorical", "vocabulary": {}, "embedding_dim": 8},
        {"name": "user_age", "kind": "dense"},
    ],
    "tasks": [
        {"name": "click", "label": {"column": "clicked"}},
        {"name": "watch", "kind": "regression", "label": {"column": "watch_seconds"}},
    ],
    "trunk": {
        "kind": "snr_trans",
        "layers": [{"sub_networks": 2, "units": 16}],
        "dropout": 0.1,
    },
    "training": {"batch_size": 128, "epochs": 8, "patience": 8},
    "serving": {"batch_sizes": [1, 8]},
}


@dataclass(frozen=True)
class Ended:
    """Results of a finished run."""

    metrics: Any
    curves: Any
    scores: Any
    versions: list[str]
    stages: dict[str, bool]
    seconds: float


def main() -> None:
    parser = options(__doc__, kills=(20, 1), rows=(3_000, 1_000), seed=(1, 1))
    arguments = parser.parse_args()
    draw = np.random.default_rng(arguments.seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        log = make_sample_log(SampleLogSpec(num_rows=arguments.rows, num_users=200, num_items=90))
        write_sample_log(log, folder / "log.parquet")
        (folder / "small.yaml").write_text(yaml.safe_dump(_CONFIG))
        start = time.perf_counter()
        with _process(folder, "whole") as process:
            began = _first_stage_after(process, start)
            process.communicate()
        whole = _ended(folder / "whole", time.perf_counter() - start)
        print(f"left alone: {whole.seconds:.0f} s, of which {began:.0f} before the second stage")
        began *= 0.9  # so that some are killed in the first
        passed, stages_killed = 0, []
        for number in range(arguments.kills):
            # One in each part of the time, so that the end is reached, too.
            share = (number + draw.random()) / arguments.kills
            wait = began + share * (whole.seconds - began)
            done, killed_in = _run_and_kill(folder, f"{number}", wait, list(whole.stages))
            start = time.perf_counter()
            with _process(folder, f"{number}") as process:
                process.communicate()
            again = _ended(folder / f"{number}", time.perf_counter() - start)
            faults = _faults(whole, again, done, folder / f"{number}")
            passed += not faults
            stages_killed.append(killed_in)
            print(
                f"killed after {wait:5.1f} s in {killed_in:<16} {len(done):2} stages had ended, "
                f"again {again.seconds:5.1f} s: {', '.join(faults) or 'the same'}",
                flush=True,
            )
            shutil.rmtree(folder / f"{number}")
    report(
        "killed runs against one left alone",
        kills=arguments.kills,
        passed=passed,
        stages={name: stages_killed.count(name) for name in sorted(set(stages_killed))},
        rows=arguments.rows,
    )
    sys.exit(passed < arguments.kills)


def _process(folder: Path, root: str) -> subprocess.Popen[str]:
    program = [sys.executable, "-m", "taskroute.pipeline", "run", folder / "small.yaml"]
    return subprocess.Popen(
        [*map(str, program), "--root", str(folder / root)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )


def _first_stage_after(process: subprocess.Popen[str], start: float) -> float:
    """Seconds until the first stage had ended; none can be killed in before."""
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("  LogExampleGen"):
            break
    return time.perf_counter() - start


def _run_and_kill(
    folder: Path, root: str, wait: float, stages: Sequence[str]
) -> tuple[list[str], str]:
    """Stages that had ended, and the one that was killed."""
    process = _process(folder, root)
    try:
        process.wait(timeout=wait)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
    output, _ = process.communicate()
    names = [line.split()[0] for line in output.splitlines() if line.startswith("  ")]
    done = [name for name in names if name in stages]
    rest = [name for name in stages if name not in done]
    return done, rest[0] if rest else "end"


def _ended(root: Path, seconds: float) -> Ended:
    run = json.loads((root / "last_run.json").read_text())
    serving = root / "serving" / "small"
    scores = serving / "1" / "assets.extra" / "warmup_scores.json"
    return Ended(
        metrics=run["metrics"],
        curves=json.loads(Path(run["training"]).read_text())["history"],
        scores=json.loads(scores.read_text()) if scores.exists() else None,
        versions=sorted(path.name for path in serving.glob("[0-9]*")),
        stages={stage["name"]: stage["cached"] for stage in run["stages"]},
        seconds=seconds,
    )


def _faults(whole: Ended, again: Ended, done: list[str], root: Path) -> list[str]:
    # The served version has changed where the push was done: then these two look again.
    judges = ("TaskEvaluator", "ModelPusher")
    repeated = [name for name in done if not again.stages.get(name) and name not in judges]
    checks = {
        "other metrics": again.metrics == whole.metrics,
        "other curves": again.curves == whole.curves,
        "other scores": again.scores == whole.scores,
        f"versions {again.versions}": again.versions == ["1"],
        f"done again: {repeated}": not repeated,
        "a checkpoint is left": not list((root / "training").glob("*")),
        "half-written artifacts are left": not _half_written(root),
    }
    return [name for name, is_well in checks.items() if not is_well]


def _half_written(root: Path) -> list[Path]:
    """Folders of executions that did not succeed."""
    import sqlite3

    # 3 and 5 are COMPLETE and CACHED in MLMD.
    query = "select id from Execution where last_known_state not in (3, 5)"
    with sqlite3.connect(root / "metadata.sqlite") as connection:
        ids = [row[0] for row in connection.execute(query)]
    return [folder for id_ in ids for folder in (root / "artifacts").glob(f"*/*/{id_}")]


if __name__ == "__main__":
    main()
