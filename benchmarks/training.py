"""Training an MMoE, input included, against DeepCTR's; and where the time of ours goes.

    python benchmarks/training.py [--rows N] [--rounds R] [--environment FOLDER]
    python benchmarks/training.py --parts       # input, step, both; by batch, table and tasks

Same rows, features, layers, batch size and cores, each side in a process of its own, in turn, R
times: with float32 alone, and with `mixed_bfloat16` on both sides. Ours reads the Parquet files
that Transform writes, shuffled anew in each epoch; DeepCTR's `fit` has the same columns as
arrays in memory. It runs with Adam, as all its examples do, and with Adagrad, which leaves the rows
of a table alone that a batch does not read, as ours does (Adagrad for tables, Adam for the rest).
It needs an environment of its own, which is made in FOLDER at the first run: the same TensorFlow,
and DeepCTR.

A round's figure is all its epochs but the first, which traces and compiles. AUCs on held-out rows
show that both have learned. The last line is one JSON object: `ratio` is ours over DeepCTR, both
with float32 and DeepCTR with Adam; `ratio_adagrad` has it with Adagrad; `ratio_mixed` has both with
`mixed_bfloat16`; `ratio_best` is ours with `mixed_bfloat16` over what is faster of DeepCTR with
Adam. Each is the median of the rounds' ratios.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import venv
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any

from harness import in_turn, options, report, timed

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import tensorflow as tf
import tf_keras as keras

from taskroute.models.dataset import make_dataset
from taskroute.models.ranker import MultiTaskRanker
from taskroute.models.step_loop import step_loop
from taskroute.models.training import build_ranker
from taskroute.schemas.recommender import ModelConfig

NUMBERS = ("age", "seconds")
EMBEDDING_DIM, EXPERTS, EXPERT_UNITS, TOWER_UNITS = 16, 4, (128, 64), (32,)
_NUM_TEST = 50_000
_FILES = 4


@dataclass(frozen=True)
class Problem:
    """Log and the batch; `ids` are heights of tables by feature."""

    rows: int
    ids: Mapping[str, int]
    num_tasks: int = 3
    batch_size: int = 1024

    @property
    def tasks(self) -> tuple[str, ...]:
        return tuple(f"task_{index}" for index in range(self.num_tasks))

    @property
    def config(self) -> ModelConfig:
        ids = [
            {
                "name": n,
                "kind": "categorical",
                "hash_buckets": size - 1,
                "embedding_dim": EMBEDDING_DIM,
            }
            for n, size in self.ids.items()
        ]
        return ModelConfig.model_validate(
            {
                "features": [*ids, *({"name": n, "kind": "dense"} for n in NUMBERS)],
                "tasks": [{"name": t, "label": {"column": f"label_{t}"}} for t in self.tasks],
                "trunk": {"kind": "mmoe", "layers": [{"experts": EXPERTS, "units": EXPERT_UNITS}]},
                "towers": {"units": TOWER_UNITS},
                "training": {"batch_size": self.batch_size},
            }
        )


DEFAULT_IDS = {"user": 100_001, "item": 20_001, "creator": 2_501, "category": 11, "device": 5}


def draw(problem: Problem, rows: int, seed: int) -> dict[str, np.ndarray]:
    """Columns as Transform leaves them: skewed ids, whose sum of effects decides the labels."""
    random, truth = np.random.default_rng(seed), np.random.default_rng(0)
    columns: dict[str, np.ndarray] = {}
    utility = np.zeros(rows)
    for name, size in problem.ids.items():
        columns[name] = 1 + (random.zipf(1.2, rows) - 1) % (size - 1)
        utility += truth.normal(0, 0.5, size)[columns[name]]
    for name, weight in zip(NUMBERS, (0.5, -0.3), strict=True):
        columns[name] = random.normal(size=rows).astype(np.float32)
        columns[f"{name}_missing"] = np.zeros(rows, np.float32)
        utility += weight * columns[name]
    for task in problem.tasks:
        chance = 1 / (1 + np.exp(1.5 - utility - random.normal(0, 0.5, rows)))
        columns[f"label/{task}"] = (random.random(rows) < chance).astype(np.float32)
        columns[f"weight/{task}"] = np.ones(rows, np.float32)
    return columns


def write(problem: Problem, folder: Path) -> None:
    """Same rows for both sides: Parquet files, and an array a column."""
    for split, rows, seed in (("train", problem.rows, 1), ("test", _NUM_TEST, 2)):
        columns = draw(problem, rows, seed)
        for index, part in enumerate(np.array_split(np.arange(rows), _FILES)):
            table = pa.table({name: values[part] for name, values in columns.items()})
            pq.write_table(table, folder / f"{split}-{index}.parquet", compression="snappy")
        for name, values in columns.items():
            if not name.startswith("weight/"):
                np.save(folder / f"{split}-{name.replace('/', '_')}.npy", values)


def batches(problem: Problem, folder: Path, split: str, seed: int | None) -> tf.data.Dataset:
    return make_dataset(
        [str(folder / f"{split}-*.parquet")],
        problem.config,
        batch_size=problem.batch_size if split == "train" else 8192,
        shuffle_seed=seed,
    )


def make_ranker(problem: Problem, folder: Path) -> MultiTaskRanker:
    return build_ranker(problem.config, problem.ids, batches(problem, folder, "train", 1))


def train_ours(problem: Problem, folder: Path, epochs: int, policy: str) -> None:
    """Prints, as the other side does, a line an epoch and the AUCs."""
    keras.mixed_precision.set_global_policy(policy)
    ranker = make_ranker(problem, folder)
    steps, measure = step_loop(ranker.train_step), step_loop(ranker.test_step)
    for epoch in range(epochs):
        rows = batches(problem, folder, "train", epoch)
        duration = timed(_each, steps, rows)
        print(json.dumps({"seconds": duration.wall, "processor": duration.cpu}), flush=True)
    ranker.reset_metrics()
    measure(iter(batches(problem, folder, "test", None)))
    aucs = {name: float(metric.result()) for name, metric in ranker.task_aucs.items()}
    parameters = sum(weight.shape.num_elements() for weight in ranker.trainable_weights)
    print(json.dumps({"auc": aucs, "parameters": parameters}))


def _each(loop: Callable[[Iterator[Any]], Any], rows: Iterable[Any]) -> None:
    loop(iter(rows))


def make_environment(folder: Path) -> Path:
    """The Python of an environment that has DeepCTR; made where it is not there yet."""
    python = folder / "bin" / "python"
    if not (folder / "made").exists():
        print(f"making {folder} (once; a few minutes)", file=sys.stderr)
        venv.create(folder, with_pip=True)
        same = [f"{name}=={version(name)}" for name in ("tensorflow", "tf-keras", "numpy")]
        pip = [str(python), "-m", "pip", "install", "--quiet"]
        subprocess.run([*pip, *same, "pandas", "requests"], check=True)
        # It asks for an h5py that is older than this Python.
        subprocess.run([*pip, "--no-deps", "deepctr==0.9.4"], check=True)
        (folder / "made").touch()
    return python


@dataclass(frozen=True)
class Measured:
    """Rates of one process over all epochs but the first."""

    rate: float
    rate_of_processor: float
    auc: Mapping[str, float]


def run(command: Sequence[str], rows: int) -> Measured:
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    *epochs, end = (json.loads(line) for line in done.stdout.splitlines() if line.startswith("{"))
    counted = epochs[1:]
    seconds, processor = (sum(e[key] for e in counted) for key in ("seconds", "processor"))
    total = rows * len(counted)
    return Measured(total / seconds, total / processor, end["auc"])


def our_side(problem: Problem, folder: Path, epochs: int, policy: str) -> list[str]:
    """Command that trains ours."""
    program = [sys.executable, __file__, "--side", str(folder), "--rows", str(problem.rows)]
    return [*program, "--epochs", str(epochs), "--policy", policy]


def compare(
    problem: Problem, rounds: int, epochs: int, python: Path, folder: Path
) -> dict[str, Any]:
    theirs = {
        "arrays": str(folder),
        "ids": dict(problem.ids),
        "numbers": NUMBERS,
        "tasks": problem.tasks,
        "experts": EXPERTS,
        "expert_units": EXPERT_UNITS,
        "tower_units": TOWER_UNITS,
        "embedding_dim": EMBEDDING_DIM,
        "batch_size": problem.batch_size,
        "epochs": epochs,
    }
    script = str(Path(__file__).with_name("deepctr_mmoe.py"))
    sides = {
        f"ours{name}": our_side(problem, folder, epochs, policy)
        for name, policy in (("", "float32"), (", mixed", "mixed_bfloat16"))
    }
    for name, optimizer, policy in (
        ("adam", "adam", "float32"),
        ("adam, mixed", "adam", "mixed_bfloat16"),
        ("adagrad", "adagrad", "float32"),
    ):
        spec = {**theirs, "optimizer": optimizer, "policy": policy}
        sides[f"DeepCTR, {name}"] = [str(python), script, json.dumps(spec)]
    measured: dict[str, list[Measured]] = {side: [] for side in sides}
    for index in range(rounds):
        for side, command in sides.items():
            result = run(command, problem.rows)
            measured[side].append(result)
            auc = ", ".join(f"{value:.4f}" for value in result.auc.values())
            print(
                f"round {index + 1}  {side:<22}{result.rate:>10,.0f} examples/s"
                f"{result.rate_of_processor:>10,.0f} of a core   AUC {auc}",
                flush=True,
            )

    def ratio(mine: str, *others: str) -> float:
        """Median ratio to the fastest of the others, by round."""
        rounds_rates = zip(
            *([m.rate for m in measured[side]] for side in (mine, *others)), strict=True
        )
        return round(statistics.median(ours / max(rest) for ours, *rest in rounds_rates), 2)

    return {
        "ratio": ratio("ours", "DeepCTR, adam"),
        "ratio_adagrad": ratio("ours", "DeepCTR, adagrad"),
        "ratio_mixed": ratio("ours, mixed", "DeepCTR, adam, mixed"),
        "ratio_best": ratio("ours, mixed", "DeepCTR, adam", "DeepCTR, adam, mixed"),
        "examples_per_s": {
            side: round(statistics.median(m.rate for m in runs)) for side, runs in measured.items()
        },
        "auc": {side: runs[-1].auc for side, runs in measured.items()},
    }


def parts(problem: Problem, folder: Path, passes: int) -> dict[str, float]:
    """Examples/s of the input alone, of the step alone on tensors, and of both.

    Each is the median of `passes`, which take turns; one before them, which traces, does not count.
    """
    ranker = make_ranker(problem, folder)
    steps = step_loop(ranker.train_step)
    num_kept = max(1, min(64, problem.rows // problem.batch_size))
    kept = list(batches(problem, folder, "train", 1).take(num_kept))
    stacked = {name: tf.stack([batch[name] for batch in kept]) for name in kept[0]}
    in_memory = tf.data.Dataset.from_tensor_slices(stacked).repeat(4).prefetch(2)
    in_memory_rows = 4 * problem.batch_size * num_kept

    def drain(rows: Iterator[Any]) -> None:
        for _ in rows:
            pass

    source = batches(problem, folder, "train", 1)
    measured: dict[str, tuple[Callable[[Iterator[Any]], None], Any, int]] = {
        "input": (drain, source, problem.rows),
        "step": (steps, in_memory, in_memory_rows),
        "both": (steps, source, problem.rows),
    }
    times = in_turn(
        {name: partial(_each, loop, rows) for name, (loop, rows, _) in measured.items()}, passes
    )
    return {
        name: statistics.median(count / one.wall for one in times[name])
        for name, (_, _, count) in measured.items()
    }


def sweep(problem: Problem, passes: int, limit: int | None = None) -> dict[str, dict[str, float]]:
    """`parts` as batch, table and number of tasks grow, one at a time; `limit` takes the first."""
    variants = {
        f"batch {problem.batch_size:,}, user table {problem.ids['user']:,}, 3 tasks": problem,
        **{f"batch {size:,}": replace(problem, batch_size=size) for size in (256, 4096, 16384)},
        **{
            f"user table {size:,}": replace(problem, ids={**problem.ids, "user": size})
            for size in (1_000_001, 10_000_001)
        },
        **{f"{count} tasks": replace(problem, num_tasks=count) for count in (1, 6, 12)},
    }
    table: dict[str, dict[str, float]] = {}
    print(f"{'':<46}{'input':>11}{'step':>11}{'both':>11}   examples/s")
    for name, variant in islice(variants.items(), limit):
        with tempfile.TemporaryDirectory() as folder:
            write(variant, Path(folder))
            rates = parts(variant, Path(folder), passes)
        table[name] = {part: round(rate) for part, rate in rates.items()}
        print(f"{name:<46}" + "".join(f"{rate:>11,.0f}" for rate in rates.values()), flush=True)
    return table


def main() -> None:
    # The smallest size is without DeepCTR, which needs an environment of its own.
    parser = options(__doc__, rows=(500_000, 2_000), rounds=(3, 1), epochs=(4, 2), passes=(7, 1))
    parser.add_argument("--environment", type=Path, default=Path("build/deepctr"))
    parser.add_argument("--parts", action="store_true")
    parser.add_argument("--side", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--policy", default="float32", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    problem = Problem(arguments.rows, DEFAULT_IDS)
    if arguments.side is not None:
        train_ours(problem, arguments.side, arguments.epochs, arguments.policy)
        return
    if arguments.smallest:
        compared = "our MMoE alone"
        result: dict[str, Any] = {"examples_per_s": sweep(problem, arguments.passes, limit=1)}
        with tempfile.TemporaryDirectory() as folder:
            write(problem, Path(folder))
            command = our_side(problem, Path(folder), arguments.epochs, "mixed_bfloat16")
            result["auc"] = run(command, problem.rows).auc
    elif arguments.parts:
        compared = "parts of our training"
        result = {"examples_per_s": sweep(problem, arguments.passes)}
    else:
        compared = "our MMoE against DeepCTR's"
        python = make_environment(arguments.environment.absolute())
        with tempfile.TemporaryDirectory() as folder:
            write(problem, Path(folder))
            result = compare(problem, arguments.rounds, arguments.epochs, python, Path(folder))
    report(compared, **result, rows=arguments.rows, batch_size=problem.batch_size)


if __name__ == "__main__":
    main()
