"""Forward and backward of each trunk against a stack of dense layers of equal MACs.

Run: python benchmarks/trunk_step.py [--batch B] [--repeats N] [--trunks a,b] [--jit] [--bfloat16].
Each trunk and its dense stack, as deep as the trunk and as wide as makes the MACs equal within 2 %,
run in turn in this process. A time is the median over the repeats; a ratio is the median over pairs
of neighbours in time, and `cpu` the same of processor time, which other work on the machine
disturbs less. `worst_ratio` is that of the slowest trunk that learns its routes.
"""

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

from pydantic import TypeAdapter

from taskroute.models.layers.mlp import Mlp
from taskroute.models.layers.trunk import Trunk
from taskroute.models.trunks import build_trunk
from taskroute.schemas import trunks

import tensorflow as tf  # isort: skip
import tf_keras as keras  # isort: skip

INPUT_WIDTH = 256
TASKS = ("click", "like", "watch")
FUNNEL = [{"experts": 8, "units": 128}, {"experts": 8, "units": 64}]
# The experts of `mmoe` and the equal widths of `snr_aver` are as in their papers.
CONFIGS: dict[str, dict[str, Any]] = {
    "shared_bottom": {"units": [512, 256]},
    "single_task": {"units": [256, 128]},
    "cross_stitch": {"units": [256, 128]},
    "ple": {"levels": [{"units": 128}, {"units": 64}]},
    "ml_mmoe": {"kind": "mmoe", "layers": FUNNEL},
    "mmoe": {"layers": [{"experts": 8, "units": 128}]},
    "snr_trans": {
        "layers": [{"sub_networks": 8, "units": 128}, {"sub_networks": 8, "units": 64}],
    },
    "snr_aver": {"layers": [{"sub_networks": 8, "units": 128}] * 2},
    "gumbel_matrix": {"layers": FUNNEL},
}
DEPTHS = {"mmoe": 1, "snr_trans": 3}
ROUTING = ("snr_trans", "snr_aver", "gumbel_matrix", "mmoe")


def make_trunk(name: str) -> Trunk:
    config = TypeAdapter(trunks.Trunk).validate_python({"kind": name, **CONFIGS[name]})
    trunk = build_trunk(config, TASKS, INPUT_WIDTH)
    trunk(tf.zeros([2, INPUT_WIDTH]))
    return trunk


def make_dense(macs: int, depth: int) -> Mlp:
    """The stack of layers of one width whose MACs are nearest to `macs`.

    The width is a multiple of 8 where that is near enough, because products of odd widths are slow.
    """

    def error(width: int) -> float:
        return abs(INPUT_WIDTH * width + (depth - 1) * width**2 - macs) / macs

    rounded = min(range(8, 8192, 8), key=error)
    width = rounded if error(rounded) <= 0.02 else min(range(1, 8192), key=error)
    assert error(width) <= 0.02
    dense = Mlp((width,) * depth)
    dense(tf.zeros([2, INPUT_WIDTH]))
    return dense


def make_step(layer: keras.layers.Layer, batch: int, jit: bool) -> Callable[[], None]:
    """A training step without the optimizer; the input gets a gradient, as embeddings need it."""
    inputs = tf.random.normal([batch, INPUT_WIDTH])
    signals = [tf.random.normal(x.shape, dtype=x.dtype) for x in tf.nest.flatten(layer(inputs))]

    @tf.function(jit_compile=jit)
    def step() -> tf.Tensor:
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            outputs = tf.nest.flatten(layer(inputs, training=True))
            pairs = zip(outputs, signals, strict=True)
            parts = [tf.reduce_sum(tf.cast(x * signal, tf.float32)) for x, signal in pairs]
            loss = tf.add_n([*parts, *layer.losses])
        gradients = tape.gradient(loss, [inputs, *layer.trainable_weights])
        return tf.add_n([tf.cast(tf.reshape(g, [-1])[0], tf.float32) for g in gradients])

    return lambda: step().numpy()


def compare(trunk: Trunk, depth: int, batch: int, repeats: int, jit: bool) -> dict[str, float]:
    dense = make_dense(trunk.macs(), depth)
    steps = [make_step(trunk, batch, jit), make_step(dense, batch, jit)]
    for _ in range(3):
        for step in steps:
            step()
    wall, processor = [], []
    for _ in range(repeats):
        times = [_seconds(step) for step in steps]
        wall.append([pair[0] for pair in times])
        processor.append([pair[1] for pair in times])
    ours, theirs = (statistics.median(column) for column in zip(*wall, strict=True))
    return {
        "macs": trunk.macs(),
        "parameters": trunk.parameters(),
        "dense_width": dense.units[0],
        "trunk_ms": round(1e3 * ours, 2),
        "dense_ms": round(1e3 * theirs, 2),
        "ratio": round(statistics.median(a / b for a, b in wall), 3),
        "cpu_ratio": round(statistics.median(a / b for a, b in processor), 3),
    }


def _seconds(step: Callable[[], None]) -> tuple[float, float]:
    wall, processor = time.perf_counter(), time.process_time()
    step()
    return time.perf_counter() - wall, time.process_time() - processor


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, default=4096)
    parser.add_argument("--repeats", type=int, default=60)
    parser.add_argument("--trunks", default=",".join(CONFIGS))
    parser.add_argument("--jit", action="store_true", help="compile both sides with XLA")
    parser.add_argument("--bfloat16", action="store_true", help="mixed precision on both sides")
    options = parser.parse_args(arguments)
    if options.bfloat16:
        keras.mixed_precision.set_global_policy("mixed_bfloat16")
    machine = f"{platform.machine()}, {os.cpu_count()} cores"
    print(f"batch {options.batch}, input {INPUT_WIDTH}, {len(TASKS)} tasks, {machine}")
    results = {}
    for name in options.trunks.split(","):
        trunk, depth = make_trunk(name), DEPTHS.get(name, 2)
        result = compare(trunk, depth, options.batch, options.repeats, options.jit)
        results[name] = result
        print(
            f"{name:<14}{result['macs']:>10,} MACs {result['trunk_ms']:>8.2f} ms   "
            f"dense {depth} x {result['dense_width']:<5}{result['dense_ms']:>8.2f} ms   "
            f"ratio {result['ratio']:.2f}   cpu {result['cpu_ratio']:.2f}   "
            f"{json.dumps(CONFIGS[name])}",
            flush=True,
        )
    routing = [results[name]["ratio"] for name in ROUTING if name in results]
    print(
        json.dumps(
            {
                "worst_ratio": max(routing, default=None),
                "trunks": results,
                "batch": options.batch,
                "input_width": INPUT_WIDTH,
                "tasks": len(TASKS),
                "repeats": options.repeats,
                "jit": options.jit,
                "bfloat16": options.bfloat16,
                "machine": machine,
            }
        )
    )


if __name__ == "__main__":
    main()
