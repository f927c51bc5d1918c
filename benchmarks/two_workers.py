"""Two workers on this machine against one with the joint batch: loss curves and throughput.

Run: python benchmarks/two_workers.py [--rows N] [--epochs N]. First one process trains, then two
with `training.strategy: multi_worker` share out its batches, on rows that all of them draw alike.
They share this machine's cores, too, so the throughput shows the cost of communication, not the
gain from a second machine. Seconds are those of the fastest epoch.
"""

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
import time

from harness import options, read_lines, report

import numpy as np

_TASKS = ("click", "like", "share")


def main() -> None:
    parser = options(__doc__, rows=(100_000, 2_000), epochs=(4, 2), batch_size=(1024, 256))
    parser.add_argument("--strategy", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.strategy is not None:
        _train(arguments)
        return
    one = _finished([_start("one", None, 0)])
    with socket.socket() as first, socket.socket() as second:
        for opened in (first, second):
            opened.bind(("127.0.0.1", 0))
        cluster = [f"127.0.0.1:{opened.getsockname()[1]}" for opened in (first, second)]
    two = _finished([_start("multi_worker", cluster, index) for index in range(2)])
    print("epoch  validation loss: one worker   two workers")
    for epoch, losses in enumerate(zip(one["losses"], two["losses"], strict=True), 1):
        print(f"{epoch:>5}{losses[0]:>28.6f}{losses[1]:>14.6f}")
    rates = {
        name: arguments.rows / one_side["seconds"] for name, one_side in (("1", one), ("2", two))
    }
    print(f"examples/s: one worker {rates['1']:,.0f}, two {rates['2']:,.0f}")
    differences = np.abs(np.subtract(one["losses"], two["losses"]))
    report(
        "two workers against one",
        ratio=round(rates["2"] / rates["1"], 2),
        examples_per_second={name: round(rate) for name, rate in rates.items()},
        largest_loss_difference=float(differences.max()),
        rows=arguments.rows,
    )


def _start(strategy: str, cluster: list[str] | None, index: int) -> subprocess.Popen[str]:
    environment = {**os.environ}
    if cluster is not None:
        task = {"type": "worker", "index": index}
        environment["TF_CONFIG"] = json.dumps({"cluster": {"worker": cluster}, "task": task})
    return subprocess.Popen(
        [sys.executable, __file__, *sys.argv[1:], "--strategy", strategy],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )


def _finished(workers: list[subprocess.Popen[str]]) -> dict:
    """Losses and seconds of the first of the workers."""
    ended = [(*worker.communicate(), worker.returncode) for worker in workers]
    results = [read_lines(code, output, errors)[-1] for output, errors, code in ended]
    return results[0]


def _train(arguments: argparse.Namespace) -> None:
    from taskroute.models.distribution import distributed
    from taskroute.models.fitting import fit
    from taskroute.models.training import build_ranker
    from taskroute.schemas.recommender import ModelConfig

    config = ModelConfig.model_validate(
        {
            "features": [
                {"name": f"id_{i}", "kind": "categorical", "hash_buckets": 10_000} for i in range(5)
            ],
            "tasks": [{"name": task, "label": {"column": task}} for task in _TASKS],
            "trunk": {"kind": "mmoe", "layers": [{"experts": 4, "units": [128, 64]}]},
            "training": {
                "batch_size": arguments.batch_size,
                "epochs": arguments.epochs,
                "patience": arguments.epochs,
                "strategy": arguments.strategy,
            },
        }
    )
    import tensorflow as tf
    import tf_keras as keras

    random = np.random.default_rng(0)
    rows = {f.name: random.integers(1, 10_000, arguments.rows) for f in config.features}
    taste = random.normal(size=10_000)
    for task in config.tasks:
        logits = sum(taste[ids] for ids in rows.values() if ids.dtype == np.int64)
        clicks = random.random(arguments.rows) < 1 / (1 + np.exp(-logits))
        rows |= {task.label_key: clicks.astype(np.float32)}
        rows |= {task.weight_key: np.ones(arguments.rows, np.float32)}
    ends: list[float] = []
    with distributed(config.training), tempfile.TemporaryDirectory() as folder:
        keras.utils.set_random_seed(1)
        dataset = tf.data.Dataset.from_tensor_slices(rows)
        held_out = dataset.take(arguments.rows // 10).batch(4096 // 1024 * arguments.batch_size)

        def train(epoch: int) -> tf.data.Dataset:
            ends.append(time.perf_counter())
            return dataset.shuffle(1 << 17, seed=epoch).batch(arguments.batch_size)

        ids = {feature.name: 10_001 for feature in config.features}
        ranker = build_ranker(config, ids, train(0))
        history = fit(ranker, train, held_out, config.training, folder)
    ends.append(time.perf_counter())
    # From one epoch's rows to the next one's: with validation and checkpoint.
    print(json.dumps({"losses": history["val_loss"], "seconds": float(np.diff(ends[2:]).min())}))


if __name__ == "__main__":
    main()
