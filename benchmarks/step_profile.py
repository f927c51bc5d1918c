"""Where a training step's time goes: TensorFlow's own profile of the problem of `training.py`.

    python benchmarks/step_profile.py [--rows N] [--steps N]

The sums are over both cores' threads, so their total is processor time and more than a step takes;
profiling itself slows small operations. The last line is one JSON object: milliseconds a step by
group.
"""

import tempfile
from collections import Counter
from pathlib import Path

import training
from harness import options, report
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
    """Tells an event that contains others."""
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
    groups: Counter[str] = Counter()
    for plane in space.planes:
        for line in plane.lines:
            for event in line.events:
                name = plane.event_metadata[event.metadata_id].name
                if name in ("PyFunc:PyFunc", "Iterator::Root::Prefetch::FlatMap"):
                    groups["input"] += event.duration_ps
                elif ":" in name and "::" not in name and not _is_outer(name):
                    groups[group_of(name)] += event.duration_ps
    return Counter({name: total / 1e9 / num_steps for name, total in groups.items()})


def main() -> None:
    arguments = options(__doc__, rows=(200_000, 20_000), steps=(100, 4)).parse_args()
    problem = Problem(arguments.rows, DEFAULT_IDS)
    with tempfile.TemporaryDirectory() as folder:
        training.write(problem, Path(folder))
        groups = profile(problem, Path(folder), arguments.steps)
    total = sum(groups.values())
    for name, milliseconds in groups.most_common():
        print(f"{name:<45}{milliseconds:>8.2f} ms{milliseconds / total:>8.0%}")
    report("parts of a training step", ms_by_group=dict(groups), steps=arguments.steps)


if __name__ == "__main__":
    main()
