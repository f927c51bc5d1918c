"""Expected watch seconds by each loss, on distributions whose expectation is known.

Run: python research/watch_time.py [--rows N] [--epochs N] [--seeds N].
All losses are tasks of one ranker whose trunk shares nothing, so that one training measures them
side by side on the same rows. `bias` is the mean prediction over the mean of the known expectations
of fresh rows, less 1; `worst fifth` the largest absolute bias among fifths of these rows by their
expectation. `worst_of_means` is the largest absolute bias of the losses that promise the mean.
"""

from typing import Any

from lab import mean_and_error, options, report

import numpy as np

from taskroute.models.training import build_ranker, finish_heads
from taskroute.schemas.recommender import ModelConfig

import tensorflow as tf  # isort: skip
import tf_keras as keras  # isort: skip

SECONDS = {"column": "seconds", "minimum": 0}
LOG = {"column": "seconds", "transform": "log1p"}
LOSSES: dict[str, dict[str, Any]] = {
    "mse": {"label": SECONDS},
    "huber": {"label": SECONDS, "loss": "huber", "huber_delta": 10.0},
    "log_mse": {"label": LOG},
    "log_huber": {"label": LOG, "loss": "huber"},
    "log_mse_smeared": {"label": LOG, "smearing": True},
    "weighted_logistic": {"label": SECONDS, "loss": "weighted_logistic"},
    "buckets": {"label": SECONDS, "loss": "buckets"},
}
MEANS = ("mse", "log_mse_smeared", "weighted_logistic", "buckets")
BATCH = 1024
DISTRIBUTIONS = ("zeros and log-normal", "exponential", "heavy tail")


def draw(distribution: str, rows: int, seed: int) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Features, and for each row its seconds and their expectation: float32 (N,)."""
    random = np.random.default_rng(seed)
    first, second = random.normal(size=(2, rows))
    mean = 20 * np.exp(0.5 * first + 0.3 * second)
    watched = 1 / (1 + np.exp(0.5 - second))
    match distribution:
        case "zeros and log-normal":
            seconds = mean * random.lognormal(-0.5, 1, rows) * (random.random(rows) < watched)
            mean = mean * watched
        case "exponential":
            seconds = mean * random.exponential(size=rows)
        case _:
            # Lomax with a tail index of 2.5: its variance is finite, its skewness is not.
            seconds = mean * 1.5 * random.pareto(2.5, rows)
    features = {"x": first, "z": second, "x_missing": 0 * first, "z_missing": 0 * first}
    features["seconds"] = seconds
    return {name: values.astype(np.float32) for name, values in features.items()}, mean


def measure(distribution: str, seed: int, rows: int, epochs: int) -> dict[str, tuple[float, float]]:
    """Bias over all rows and the worst one of a fifth, by loss."""
    config = ModelConfig.model_validate(
        {
            "features": [{"name": name, "kind": "dense"} for name in ("x", "z")],
            "tasks": [{"name": n, "kind": "regression", **loss} for n, loss in LOSSES.items()],
            "trunk": {"kind": "single_task", "units": [32]},
            "towers": {"units": [32]},
            "training": {
                "learning_rate": 3e-3,
                "schedule": {"kind": "cosine", "decay_steps": epochs * rows // BATCH},
            },
        }
    )
    keras.utils.set_random_seed(seed)
    columns, _ = draw(distribution, rows, 2 * seed)
    seconds = columns.pop("seconds")
    for task in config.tasks:
        is_log = task.label.transform == "log1p"
        columns[task.label_key] = np.log1p(seconds) if is_log else seconds
        columns[task.weight_key] = np.ones_like(seconds)
    dataset = tf.data.Dataset.from_tensor_slices(columns).shuffle(rows, seed=seed).batch(BATCH)
    ranker = build_ranker(config, {}, dataset)
    ranker.fit(dataset, epochs=epochs, verbose=0)
    finish_heads(ranker, dataset)
    fresh, truth = draw(distribution, 50_000, 2 * seed + 1)
    served = ranker.predict_values({name: tf.constant(fresh[name]) for name in fresh})
    fifths = np.array_split(np.argsort(truth), 5)
    result = {}
    for name, values in served.items():
        seconds = values.numpy().astype(float)
        worst = max(abs(seconds[rows].mean() / truth[rows].mean() - 1) for rows in fifths)
        result[name] = (seconds.mean() / truth.mean() - 1, worst)
    return result


def main() -> None:
    arguments = options(__doc__, rows=(50_000, 2_000), epochs=(6, 1), seeds=(3, 1)).parse_args()
    table: dict[str, dict[str, dict[str, float]]] = {}
    print(f"{arguments.rows:,} rows, {arguments.epochs} epochs, {arguments.seeds} seeds; in %")
    print(f"{'':22}{'loss':20}{'bias':>8} {'± s.e.':>7}{'worst fifth':>14}")
    for distribution in DISTRIBUTIONS:
        runs = [
            measure(distribution, seed, arguments.rows, arguments.epochs)
            for seed in range(1, arguments.seeds + 1)
        ]
        for name in LOSSES:
            biases, worsts = zip(*(run[name] for run in runs), strict=True)
            bias, error = mean_and_error([100 * value for value in biases])
            worst = 100 * float(np.mean(worsts))
            row = {"bias": bias, "standard_error": error, "worst_fifth": worst}
            table.setdefault(distribution, {})[name] = {k: round(v, 2) for k, v in row.items()}
            print(f"{distribution:22}{name:20}{bias:8.1f} {error:7.1f}{worst:14.1f}", flush=True)
    worst_of_means = max(abs(table[d][name]["bias"]) for d in table for name in MEANS)
    report(
        "losses of watch time against the known expectation",
        worst_of_means=worst_of_means,
        percent=table,
        rows=arguments.rows,
    )


if __name__ == "__main__":
    main()
