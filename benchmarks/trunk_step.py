"""Forward and backward of each trunk against a stack of dense layers of equal MACs.

Run: python benchmarks/trunk_step.py [--batch B] [--repeats N] [--trunks a,b] [--jit] [--bfloat16].
Each trunk and its dense stack, as deep as the trunk and as wide as makes the MACs equal within 2 %,
run in turn in this process. A time is the median over the repeats; a ratio is the median over pairs
of neighbours in time, and `cpu` the same of processor time, which other work on the machine
disturbs less. `worst_ratio` is that of the slowest trunk that learns its routes.
"""

import json
from collections.abc import Callable
from typing import Any

from harness import in_turn, machine, median_ms, median_ratio, options, report

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
    """Stack of layers of one width whose MACs are nearest to `macs`.

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
    steps = {"trunk": make_step(trunk, batch, jit), "dense": make_step(dense, batch, jit)}
    times = in_turn(steps, repeats, warm_ups=3)
    ratio = median_ratio(times["trunk"], times["dense"])
    return {
        "macs": trunk.macs(),
        "parameters": trunk.parameters(),
        "dense_width": dense.units[0],
        "trunk_ms": round(median_ms(times["trunk"]), 2),
        "dense_ms": round(median_ms(times["dense"]), 2),
        "ratio": round(ratio.wall, 3),
        "cpu_ratio": round(ratio.cpu, 3),
    }


def main() -> None:
    parser = options(
        __doc__, batch=(4096, 16), repeats=(60, 2), trunks=(",".join(CONFIGS), "snr_trans,mmoe")
    )
    parser.add_argument("--jit", action="store_true", help="compile both sides with XLA")
    parser.add_argument("--bfloat16", action="store_true", help="mixed precision on both sides")
    arguments = parser.parse_args()
    if arguments.bfloat16:
        keras.mixed_precision.set_global_policy("mixed_bfloat16")
    print(f"batch {arguments.batch}, input {INPUT_WIDTH}, {len(TASKS)} tasks, {machine()}")
    results = {}
    for name in arguments.trunks.split(","):
        trunk, depth = make_trunk(name), DEPTHS.get(name, 2)
        result = compare(trunk, depth, arguments.batch, arguments.repeats, arguments.jit)
        results[name] = result
        print(
            f"{name:<14}{result['macs']:>10,} MACs {result['trunk_ms']:>8.2f} ms   "
            f"dense {depth} x {result['dense_width']:<5}{result['dense_ms']:>8.2f} ms   "
            f"ratio {result['ratio']:.2f}   cpu {result['cpu_ratio']:.2f}   "
            f"{json.dumps(CONFIGS[name])}",
            flush=True,
        )
    report(
        "trunks against dense layers of equal MACs",
        worst_ratio=max((results[n]["ratio"] for n in ROUTING if n in results), default=None),
        trunks=results,
        batch=arguments.batch,
        input_width=INPUT_WIDTH,
        tasks=len(TASKS),
        repeats=arguments.repeats,
        jit=arguments.jit,
        bfloat16=arguments.bfloat16,
    )


if __name__ == "__main__":
    main()
