"""A conversion rate over all rows: learned by a funnel, and from clicked rows alone.

Run: python research/funnel.py [--rows N] [--users N] [--seeds N].
A log in memory whose click and conversion rates are known: few rows are clicked, and what makes a
click likely makes a conversion rare. `trained_where: click` learns the conversion from the clicked
rows, `funnel: click` from all. Errors are over all rows: `cvr` of the conversion rate, `buy` of the
probability of both, in mean absolute difference; `rate` is the mean of the predicted conversion
rates over that of the true ones. `ratio` is the error in `cvr` of the clicked rows alone over that
of the funnel.
"""

from lab import mean_and_error, options, report

import numpy as np

from taskroute.models.training import build_ranker
from taskroute.schemas.recommender import ModelConfig

import tensorflow as tf  # isort: skip
import tf_keras as keras  # isort: skip

CONVERSIONS = {"funnel": {"funnel": "click"}, "clicked rows": {"trained_where": "click"}}


def measure(kind: str, seed: int, rows: int, users: int) -> dict[str, float]:
    random = np.random.default_rng(seed)
    taste = random.normal(size=users + 1)
    user, x = random.integers(1, users + 1, rows), random.normal(size=rows)
    click_rate = 1 / (1 + np.exp(3 - taste[user] - 1.2 * x))
    rate = 1 / (1 + np.exp(1 + x - 0.5 * taste[user]))
    click = random.random(rows) < click_rate
    buy = click & (random.random(rows) < rate)
    config = ModelConfig.model_validate(
        {
            "features": [
                {"name": "user", "kind": "categorical", "hash_buckets": users, "embedding_dim": 4},
                {"name": "x", "kind": "dense"},
            ],
            "tasks": [
                {"name": "click", "label": {"column": "clicked"}},
                {"name": "buy", "label": {"column": "bought"}, **CONVERSIONS[kind]},
            ],
            "trunk": {"kind": "shared_bottom", "units": [16]},
            "towers": {"units": [16]},
            "training": {"learning_rate": 3e-3},
        }
    )
    columns = {"x": x, "x_missing": 0 * x, "label/click": click, "label/buy": buy}
    columns |= {"weight/click": np.ones(rows)}
    columns |= {"weight/buy": np.ones(rows) if kind == "funnel" else click}
    data: dict[str, np.ndarray] = {
        name: np.asarray(values, np.float32) for name, values in columns.items()
    }
    data["user"] = user
    keras.utils.set_random_seed(seed)
    dataset = tf.data.Dataset.from_tensor_slices(data).shuffle(rows, seed=seed).batch(512)
    ranker = build_ranker(config, {"user": users + 1}, dataset)
    ranker.fit(dataset, epochs=5, verbose=0)
    served = ranker.predict_values({name: tf.constant(values) for name, values in data.items()})
    predictions = {name: values.numpy() for name, values in served.items()}
    conversion = predictions["buy_after_click" if kind == "funnel" else "buy"]
    joint = predictions["buy"] if kind == "funnel" else predictions["click"] * predictions["buy"]
    return {
        "cvr": float(np.abs(conversion - rate).mean()),
        "buy": float(np.abs(joint - rate * click_rate).mean()),
        "rate": float(conversion.mean() / rate.mean()),
    }


def main() -> None:
    arguments = options(__doc__, rows=(40_000, 2_000), users=(2000, 100), seeds=(4, 1)).parse_args()
    print(f"{arguments.rows:,} rows, {arguments.users:,} users, {arguments.seeds} seeds")
    table: dict[str, dict[str, float]] = {}
    for kind in CONVERSIONS:
        runs = [
            measure(kind, seed, arguments.rows, arguments.users)
            for seed in range(1, arguments.seeds + 1)
        ]
        text = f"{kind:14}"
        for name in runs[0]:
            mean, error = mean_and_error([run[name] for run in runs])
            table.setdefault(kind, {})[name] = round(mean, 4)
            text += f"{name:>8} {mean:.4f} ± {error:.4f}"
        print(text, flush=True)
    report(
        "a funnel against clicked rows alone",
        ratio=round(table["clicked rows"]["cvr"] / table["funnel"]["cvr"], 2),
        table=table,
        rows=arguments.rows,
    )


if __name__ == "__main__":
    main()
