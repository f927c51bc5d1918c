"""Effect of each balancer on two tasks whose gradients conflict, and the cost of its step.

Run: python research/balance.py [--rows N] [--epochs N] [--seeds N] [--kinds a,b].
A log in memory: `often` is 1 in three rows of ten, `rarely` in three of a hundred, and the two read
directions with a cosine of -0.8 through one layer of 8 units, too few for both. Scored are the AUCs
on fresh rows after the last epoch, by how much they differ from those of `fixed` on the same seeds,
and how often the gradients of the shared weights conflict at the end of `fixed`. A step's time is
the median over blocks of 50, its ratio the median over pairs with `fixed` that were measured one
after the other, and `cpu` the same of processor time.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, get_args

from lab import in_turn, mean_and_error, median_ms, median_ratio, options, report

import numpy as np
from sklearn.metrics import roc_auc_score

from taskroute.models.ranker import MultiTaskRanker
from taskroute.models.training import build_ranker
from taskroute.schemas import balance
from taskroute.schemas.recommender import ModelConfig

import tensorflow as tf  # isort: skip
import tf_keras as keras  # isort: skip

KINDS = [
    get_args(kind.model_fields["kind"].annotation)[0]
    for kind in get_args(get_args(balance.Balance)[0])
]
RATES = {"often": 0.3, "rarely": 0.03}
WIDTH, USERS, COSINE = 8, 200, -0.8
BATCH = 256
# Steps that are timed together.
BLOCK = 50


def make_config(kind: str) -> ModelConfig:
    dense = [{"name": f"x{index}", "kind": "dense"} for index in range(WIDTH)]
    user = {"name": "user", "kind": "categorical", "hash_buckets": USERS, "embedding_dim": 4}
    return ModelConfig.model_validate(
        {
            "features": [user, *dense],
            "tasks": [{"name": name, "label": {"column": name}} for name in RATES],
            "trunk": {"kind": "shared_bottom", "units": [8]},
            "towers": {"units": [8]},
            "training": {"balance": {"kind": kind}, "learning_rate": 3e-3},
        }
    )


def draw(rows: int, seed: int, part: int) -> dict[str, np.ndarray]:
    """Columns of the transformed log; parts of a seed are of one truth."""
    truth, random = np.random.default_rng([seed, 0]), np.random.default_rng([seed, 1 + part])
    basis = np.linalg.qr(truth.normal(size=(WIDTH, WIDTH)))[0]
    directions: dict[str, np.ndarray] = {
        "often": basis[0],
        "rarely": COSINE * basis[0] + np.sqrt(1 - COSINE**2) * basis[1],
    }
    tastes = truth.normal(size=(2, USERS + 1))
    x, user = random.normal(size=(rows, WIDTH)), random.integers(1, USERS + 1, rows)
    columns: dict[str, np.ndarray] = {"user": user}
    for index in range(WIDTH):
        columns |= {f"x{index}": x[:, index], f"x{index}_missing": np.zeros(rows)}
    for (name, rate), taste in zip(RATES.items(), tastes, strict=True):
        way = x @ directions[name]
        scores = 1.5 * np.sin(1.5 * way) + way + 0.7 * taste[user] + random.logistic(size=rows)
        columns[f"label/{name}"] = scores > np.quantile(scores, 1 - rate)
        columns[f"weight/{name}"] = np.ones(rows)
    return {n: v if n == "user" else np.asarray(v, np.float32) for n, v in columns.items()}


def make_ranker(kind: str, rows: int, seed: int) -> tuple[MultiTaskRanker, tf.data.Dataset]:
    keras.utils.set_random_seed(seed)
    dataset = tf.data.Dataset.from_tensor_slices(draw(rows, seed, 0))
    dataset = dataset.shuffle(rows, seed=seed).batch(BATCH, drop_remainder=True)
    return build_ranker(make_config(kind), {"user": USERS + 1}, dataset), dataset


def train(kind: str, rows: int, epochs: int, seed: int) -> dict[str, float]:
    """AUCs on fresh rows, the last weights, and for `fixed` the share of conflicting batches."""
    ranker, dataset = make_ranker(kind, rows, seed)
    curves: dict[str, float] = {}
    for _ in range(epochs):
        logs = ranker.fit(dataset, epochs=1, verbose=0).history
        curves = ranker.end_epoch({name: values[-1] for name, values in logs.items()})
    fresh = draw(20_000, seed, 1)
    logits = ranker({name: tf.constant(values) for name, values in fresh.items()})
    result = {n: float(roc_auc_score(fresh[f"label/{n}"], logits[n])) for n in RATES}
    if kind == "fixed":
        result["conflicts"] = float(np.mean([_conflict(ranker, b) for b in dataset.take(50)]))
    return result | curves


def _conflict(ranker: MultiTaskRanker, batch: dict[str, tf.Tensor]) -> bool:
    """Tells gradients of the shared weights whose product is below 0."""
    with tf.GradientTape(persistent=True) as tape:
        logits = ranker(batch, training=True)
        losses = [
            ranker.heads[n].loss(logits[n], batch[f"label/{n}"], batch[f"weight/{n}"])
            for n in RATES
        ]
    shared = ranker.trunk.shared_variables
    pairs = zip(*(tape.gradient(loss, shared) for loss in losses), strict=True)
    return float(tf.add_n([tf.reduce_sum(one * other) for one, other in pairs])) < 0


def step_times(kinds: list[str], repeats: int) -> dict[str, dict[str, float]]:
    """Milliseconds of a step, and its ratio to a step of `fixed`."""
    blocks = {kind: partial(_block, *_step(kind)) for kind in kinds}
    times = in_turn(blocks, repeats)
    ratios = {kind: median_ratio(times[kind], times["fixed"]) for kind in kinds}
    return {
        kind: {
            "ms": round(median_ms(times[kind]) / BLOCK, 2),
            "ratio": round(ratios[kind].wall, 2),
            "cpu": round(ratios[kind].cpu, 2),
        }
        for kind in kinds
    }


def _step(kind: str) -> tuple[Callable[..., Any], dict[str, tf.Tensor]]:
    ranker, dataset = make_ranker(kind, 10 * BATCH, 1)
    return tf.function(ranker.train_step), next(iter(dataset))


def _block(step: Callable[..., Any], batch: dict[str, tf.Tensor]) -> None:
    for _ in range(BLOCK):
        step(batch)


def main() -> None:
    arguments = options(
        __doc__,
        rows=(20_000, 1_000),
        epochs=(6, 1),
        seeds=(5, 1),
        repeats=(9, 1),
        kinds=(",".join(KINDS), "gradnorm"),
    ).parse_args()
    kinds = arguments.kinds.split(",")
    kinds = ["fixed", *(kind for kind in kinds if kind != "fixed")]
    times = step_times(kinds, arguments.repeats)
    print(f"{arguments.rows:,} rows, {arguments.epochs} epochs, {arguments.seeds} seeds")
    header = "".join(f"{name + ' AUC, gain':>27}" for name in RATES)
    print(f"{'balance':14}{header}{'step':>9}{'ratio':>8}{'cpu':>7}  weights")
    table: dict[str, Any] = {}
    base: list[dict[str, float]] = []
    for kind in kinds:
        runs = [
            train(kind, arguments.rows, arguments.epochs, seed)
            for seed in range(1, arguments.seeds + 1)
        ]
        means = {name: float(np.mean([run[name] for run in runs])) for name in runs[0]}
        base = base or runs
        gains, errors = {}, {}
        for name in RATES:
            by_seed = [run[name] - of_fixed[name] for run, of_fixed in zip(runs, base, strict=True)]
            gains[name], errors[name] = mean_and_error(by_seed)
        table[kind] = {**means, "gains": gains, "errors": errors, **times[kind]}
        aucs = "".join(f"{means[n]:10.4f} {gains[n]:+.4f} ± {errors[n]:.4f}" for n in RATES)
        weights = ", ".join(f"{v:.2f}" for n, v in means.items() if n.startswith("balance/"))
        cost = times[kind]
        print(
            f"{kind:14}{aucs}{cost['ms']:6.2f} ms{cost['ratio']:8.2f}{cost['cpu']:7.2f}  {weights}"
        )
    print(
        f"gradients of the shared weights conflict in {table['fixed']['conflicts']:.0%} of batches"
    )
    report(
        "balancers against `fixed`",
        step_ratio={kind: row["ratio"] for kind, row in table.items()},
        table=table,
        rows=arguments.rows,
    )


if __name__ == "__main__":
    main()
