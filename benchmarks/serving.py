"""A served ranker with half its routes closed: compacted against as it was trained.

Run: python benchmarks/serving.py [--batches 1,64,512,4096] [--repeats N] [--small].
Both sides are the same weights, saved and loaded as SavedModels, called in turn in this process
with transformed features; half of each layer's routes are closed at random, but one for each reader
stays. A time is the median over the repeats, a ratio the median over pairs of neighbours in time.
The last line's `macs_ratio` and `latency_ratio` are SNR-Trans's, compacted over as it was trained,
at batch 512. shared_bottom and mmoe of as many parameters as SNR-Trans has stand beside.
"""

import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from harness import in_turn, machine, median_ms, median_ratio, options, report

import numpy as np

from taskroute.models.describe import describe
from taskroute.models.layers.compact_trunk import CompactTrunk
from taskroute.models.layers.compaction import compact
from taskroute.models.layers.trunk import Trunk
from taskroute.models.ranker import MultiTaskRanker
from taskroute.schemas.recommender import ModelConfig
from taskroute.schemas.routes import block_names

import tensorflow as tf  # isort: skip

TASKS = ("click", "like", "share", "long_view", "comment")
NUM_FEATURES, WIDTH, NUM_IDS = 8, 16, 10_000
SIZES = {"large": ((8, 128), (8, 64)), "small": ((4, 64), (4, 32))}
REFERENCES = ("shared_bottom", "mmoe")
JSON_BATCH = 512


def make_config(trunk: dict[str, Any]) -> ModelConfig:
    features = [
        {"name": f"f{i}", "kind": "categorical", "hash_buckets": NUM_IDS, "embedding_dim": WIDTH}
        for i in range(NUM_FEATURES)
    ]
    tasks = [{"name": name, "label": {"column": name}} for name in TASKS]
    return ModelConfig.model_validate({"features": features, "tasks": tasks, "trunk": trunk})


def make_ranker(trunk: dict[str, Any]) -> MultiTaskRanker:
    config = make_config(trunk)
    ranker = MultiTaskRanker(config, {f.name: NUM_IDS + 1 for f in config.features})
    ranker(make_rows(2))
    return ranker


def make_rows(count: int) -> dict[str, tf.Tensor]:
    random = np.random.default_rng(0)
    return {f"f{i}": tf.constant(random.integers(0, NUM_IDS, count)) for i in range(NUM_FEATURES)}


def half_open(shape: tuple[int, int], random: np.random.Generator) -> np.ndarray:
    """A bool matrix of which half is true, and at least one cell in every row."""
    while True:
        flat = np.zeros(shape[0] * shape[1], bool)
        flat[: len(flat) // 2] = True
        opened = random.permutation(flat).reshape(shape)
        if opened.any(axis=1).all():
            return opened


def routed_trunks(sizes: Sequence[tuple[int, int]]) -> dict[str, dict[str, Any]]:
    """Configs of the trunks that learn their routes."""
    random = np.random.default_rng(1)
    layers = [{"sub_networks": count, "units": units} for count, units in sizes]
    experts = [{"experts": count, "units": units} for count, units in sizes]
    counts = [count for count, _ in sizes]
    blocks, names = [], iter(block_names(counts, TASKS))
    for layer, upper in enumerate([*counts[1:], len(TASKS)], start=1):
        for row in half_open((upper, counts[layer - 1]), random):
            lower = [f"{layer}.{place + 1}" for place in np.flatnonzero(row)]
            blocks.append({"block": next(names), "lower": lower})
    route = {"tasks": TASKS, "sub_networks": counts, "blocks": blocks}
    return {
        "snr_trans": {"kind": "snr_trans", "layers": layers},
        "snr_aver": {"kind": "snr_aver", "layers": layers},
        "gumbel_matrix": {"kind": "gumbel_matrix", "layers": experts},
        "mtnas": {"kind": "mtnas", "layers": layers, "route": route},
    }


def close_half(trunk: Trunk) -> None:
    """Closes half of the routes of each layer; mtnas's are closed by its route."""
    random = np.random.default_rng(1)
    for connection in getattr(trunk, "connections", []):
        opened = half_open(connection.gate.shape, random)
        connection.gate.log_alpha.assign(np.where(opened, 5.0, -5.0))
    for gate in getattr(trunk, "gates", []) if trunk.routing_variables else []:
        opened = half_open((gate.num_tasks, gate.num_experts), random)
        gate.logits.assign(np.stack([np.where(opened, 1.0, -1.0), np.zeros(opened.shape)], -1))


def save_and_load(
    ranker: MultiTaskRanker, trunk: Trunk | CompactTrunk, folder: str
) -> Callable[..., dict[str, tf.Tensor]]:
    """Ranker with `trunk` in its trunk's place, as a server would have it."""
    module = tf.Module()
    layers = (ranker.embedding, trunk, *ranker.towers.values(), *ranker.heads.values())
    module.kept = [weight for layer in layers for weight in layer.weights]
    specs = {name: tf.TensorSpec([None], tf.int64, name=name) for name in make_rows(1)}

    @tf.function(input_signature=[specs])
    def transformed_features(features: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        shared = trunk(ranker.embedding(features), training=False)
        return ranker.predictions(ranker.task_logits(shared))

    tf.saved_model.save(module, folder, signatures={"serving_default": transformed_features})
    loaded = tf.saved_model.load(folder)
    function = loaded.signatures["serving_default"]
    function.keep_alive = loaded  # a signature alone does not keep the model's variables
    return function


def score(function: Callable[..., dict[str, tf.Tensor]], rows: dict[str, tf.Tensor]) -> None:
    for values in function(**rows).values():
        values.numpy()


def compare(
    sides: Sequence[Callable[..., dict[str, tf.Tensor]]], batch: int, repeats: int
) -> dict[str, float]:
    """Times of the trunk as trained, the first of the sides, and as served, the last."""
    rows = make_rows(batch)
    calls = {str(place): partial(score, side, rows) for place, side in enumerate(sides)}
    times = list(in_turn(calls, repeats, warm_ups=5).values())
    served_ms = median_ms(times[-1])
    return {
        "trained_ms": round(median_ms(times[0]), 3),
        "served_ms": round(served_ms, 3),
        "latency_ratio": round(median_ratio(times[-1], times[0]).wall, 3),
        "served_rows_per_s": round(1e3 * batch / served_ms),
    }


def measure(trunk: dict[str, Any], batches: Sequence[int], repeats: int) -> dict[str, Any]:
    ranker = make_ranker(trunk)
    close_half(ranker.trunk)
    served = compact(ranker.trunk)
    whole, left = (describe(ranker, x)[-1].macs for x in (ranker.trunk, served))
    with tempfile.TemporaryDirectory() as folder:
        sides = [save_and_load(ranker, ranker.trunk, str(Path(folder, "trained")))]
        difference = 0.0
        if served is not ranker.trunk:
            sides.append(save_and_load(ranker, served, str(Path(folder, "served"))))
            rows = make_rows(10_000)
            difference = max(
                float(tf.reduce_max(tf.abs(x - y)))
                for x, y in zip(*(side(**rows).values() for side in sides), strict=True)
            )
        return {
            "trained_macs": whole,
            "served_macs": left,
            "macs_ratio": round(left / whole, 3),
            "trained_parameters": ranker.trunk.parameters(),
            "served_parameters": served.parameters(),
            "score_difference": difference,
            "batches": {batch: compare(sides, batch, repeats) for batch in batches},
        }


def main() -> None:
    parser = options(__doc__, batches=(f"1,64,{JSON_BATCH},4096", "1"), repeats=(60, 2))
    parser.add_argument("--small", action="store_true", help="the size of the demo's trunk")
    arguments = parser.parse_args()
    batches = sorted({JSON_BATCH, *map(int, arguments.batches.split(","))})
    sizes = SIZES["small" if arguments.small or arguments.smallest else "large"]
    print(f"layers {sizes}, input {NUM_FEATURES * WIDTH}, {len(TASKS)} tasks, {machine()}")
    trunks = routed_trunks(sizes)
    target = make_ranker(trunks["snr_trans"]).trunk.parameters()
    for kind in REFERENCES:
        trunks[kind] = {"kind": kind, "match_parameters": target}
    results = {}
    for name, trunk in trunks.items():
        results[name] = measure(trunk, batches, arguments.repeats)
        result = results[name]
        print(
            f"{name:<14} {result['trained_macs']:>10,} -> {result['served_macs']:>10,} MACs a row "
            f"(trunk: {result['trained_parameters']:,} -> {result['served_parameters']:,} "
            f"parameters), scores differ by {result['score_difference']:.1e}"
        )
        for batch, times in result["batches"].items():
            print(
                f"    batch {batch:>5}  {times['trained_ms']:>8.2f} -> {times['served_ms']:>8.2f} "
                f"ms   ratio {times['latency_ratio']:.2f}  {times['served_rows_per_s']:>9,} rows/s",
                flush=True,
            )
    best = results["snr_trans"]
    report(
        "trunks as served against as trained",
        macs_ratio=best["macs_ratio"],
        latency_ratio=best["batches"][JSON_BATCH]["latency_ratio"],
        batch=JSON_BATCH,
        layers=sizes,
        input_width=NUM_FEATURES * WIDTH,
        tasks=len(TASKS),
        repeats=arguments.repeats,
        trunks=results,
    )


if __name__ == "__main__":
    main()
