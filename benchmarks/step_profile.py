"""Where a training step's time goes: TensorFlow's own profile of the problem of `training.py`.

    python benchmarks/step_profile.py [--rows N] [--steps N]

The sums are over both cores' threads, so their total is processor time and more than a step takes;
profiling itself slows small operations. The last line is one JSON object: milliseconds a step by
group.
"""

import argparse
import json
import os
import platform
import tempfile
from collections import Counter
from pathlib import Path

import training
from training import DEFAULT_IDS, Problem

import tensorflow as tf  # isort: skip
from tensorflow.tsl.profiler.protobuf import xplane_pb2

from taskroute.models.step_loop import step_loop

# By the first that fits an event "NAME:OPERATION".
GROUPS = (
    ("optimizers of dense weights", ("Adam/",)),
    (
        "table rows: gather, sum by row, scatter",
        ("Gather", "Unique", "SegmentSum", "Adagrad/", "embedding/", "IteratorGetNext"),
    ),
    ("matrix products", ("MatMul",)),
    ("sums over rows for biases", ("BiasAddGrad", ":Sum")),
    (
        "reordering: transpose, pack, concat, split",
        ("Transpose", "Pack", "Concat", "Split", "Slice"),
    ),
    ("metrics and losses", ("Assign", "Sigmoid", "Log", "Mean", "Cast")),
)


def _is_outer(event: str) -> bool:
    """Whether it holds others."""
    return "EagerLocalExecute" in event or event.endswith(("While", "If", "Call"))


def group_of(event: str) -> str:
    return next((name for name, parts in GROUPS if any(p in event for p in parts)), "all else")


def profile(problem: Problem, folder: Path, num_steps: int) -> Counter[str]:
    """Milliseconds of a step by group."""
    ranker = training.make_ranker(problem, folder)
    steps = step_loop(ranker.train_step)
    steps(iter(training.batches(problem, folder, "train", 1).take(64)))
    rows = training.batches(problem, folder, "train", 2).take(num_steps)
    with tf.profiler.experimental.Profile(str(folder / "profile")):
        steps(iter(rows))
    (path,) = (folder / "profile").rglob("*.xplane.pb")
    space = xplane_pb2.XSpace.FromString(path.read_bytes())
    found: Counter[str] = Counter()
    for plane in space.planes:
        for line in plane.lines:
            for event in line.events:
                name = plane.event_metadata[event.metadata_id].name
                if name in ("PyFunc:PyFunc", "Iterator::Root::Prefetch::FlatMap"):
                    found["input"] += event.duration_ps
                elif ":" in name and "::" not in name and not _is_outer(name):
                    found[group_of(name)] += event.duration_ps
    return Counter({name: total / 1e9 / num_steps for name, total in found.items()})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--steps", type=int, default=100)
    options = parser.parse_args()
    problem = Problem(options.rows, DEFAULT_IDS)
    with tempfile.TemporaryDirectory() as folder:
        training.write(problem, Path(folder))
        found = profile(problem, Path(folder), options.steps)
    total = sum(found.values())
    for name, milliseconds in found.most_common():
        print(f"{name:<45}{milliseconds:>8.2f} ms{milliseconds / total:>8.0%}")
    machine = f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[1]:.1f}"
    print(json.dumps({"ms_by_group": dict(found), "steps": options.steps, "machine": machine}))


if __name__ == "__main__":
    main()
