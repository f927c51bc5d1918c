"""A planted problem that an architecture search must solve: two groups of tasks that should part.

Two tasks read the first half of the input and two the second half, each group by one direction, and
a sub-network has one unit: it can serve one group, not both. The budget pays for two sub-networks
without gates, because a gate that reads the input could undo what is shared. For each seed: does
the derived route part the groups (no sub-network serves both)? And what is the mean test AUC of the
network trained anew from it, of a shared bottom of the same width, of a shared bottom with as many
parameters, and of the best of as many random routes? The last line is one JSON object.

The settings were chosen on seeds 13 to 20; seeds from 1 are those that are reported.
"""

import json
import time
from collections.abc import Sequence
from typing import Any

from lab import mean_and_error, options, report

import numpy as np
import tensorflow as tf
import tf_keras as keras

from taskroute.models.ranker import MultiTaskRanker
from taskroute.models.search import Passes, auc, search
from taskroute.models.training import build_ranker
from taskroute.schemas.recommender import ModelConfig
from taskroute.schemas.routes import ShareRoute
from taskroute.schemas.trunks import MtnasTrunk

Columns = dict[str, np.ndarray]

TASKS = ("a1", "a2", "b1", "b2")
HALF = 3
ROWS = {"train": 8_192, "validation": 4_096, "test": 16_384}


def make_rows(rows: int, seed: tuple[int, int]) -> Columns:
    """Columns of one split, as transformed features."""
    random = np.random.default_rng(seed)
    x = random.normal(size=(rows, 2 * HALF)).astype("float32")
    columns = {f"x{i}": x[:, i] for i in range(2 * HALF)}
    columns |= {f"x{i}_missing": np.zeros(rows, "float32") for i in range(2 * HALF)}
    for group, part in (("a", x[:, :HALF]), ("b", x[:, HALF:])):
        score = part.sum(axis=1)
        for name, bias in ((f"{group}1", 0.0), (f"{group}2", -1.0)):
            rate = 1 / (1 + np.exp(-2 * score - bias))
            columns[f"label/{name}"] = (random.random(rows) < rate).astype("float32")
            columns[f"weight/{name}"] = np.ones(rows, "float32")
    return columns


def passes(columns: Columns, batch_size: int, seed: int) -> Passes:
    """Rows in batches, in an order of its own for each pass."""
    rows = len(columns["x0"])

    def make(index: int) -> tf.data.Dataset:
        order = np.random.default_rng((seed, index)).permutation(rows)
        table = {name: values[order] for name, values in columns.items()}
        return tf.data.Dataset.from_tensor_slices(table).batch(batch_size)

    return make


def make_config(trunk: dict[str, Any], seed: int, epochs: int) -> ModelConfig:
    return ModelConfig.model_validate(
        {
            "features": [
                {"name": f"x{i}", "kind": "dense", "transform": "none"} for i in range(2 * HALF)
            ],
            "tasks": [{"name": name, "label": {"column": name}} for name in TASKS],
            "trunk": trunk,
            "towers": {"units": []},
            "training": {
                "seed": seed,
                "batch_size": 256,
                "epochs": epochs,
                "learning_rate": 0.02,
            },
        }
    )


def built(config: ModelConfig, dataset: tf.data.Dataset) -> MultiTaskRanker:
    keras.utils.set_random_seed(config.training.seed)
    return build_ranker(config, {}, dataset)


def trained_auc(
    config: ModelConfig, splits: dict[str, Columns]
) -> tuple[float, float, MultiTaskRanker]:
    """Mean test AUC over the tasks, and the seconds of training."""
    started = time.perf_counter()
    train = passes(splits["train"], config.training.batch_size, config.training.seed)
    ranker = built(config, train(0))
    for index in range(config.training.epochs):
        ranker.fit(train(index), verbose=0)
    seconds = time.perf_counter() - started
    test = splits["test"]
    (batch,) = passes(test, len(test["x0"]), 0)(0)
    logits = ranker(batch)
    aucs = [auc(batch[f"label/{name}"], logits[name], batch[f"weight/{name}"]) for name in TASKS]
    return float(np.mean(aucs)), seconds, ranker


def parted(route: ShareRoute) -> bool:
    """Whether no sub-network, at any depth, serves a task of each group."""
    lower = {block.block: set(block.lower) for block in route.blocks}

    def served(names: Sequence[str]) -> set[str]:
        blocks: set[str] = set()
        layer = set(names)
        while layer:
            layer = {below for name in layer for below in lower.get(name, ())}
            blocks |= layer
        return blocks

    return not served(TASKS[:2]) & served(TASKS[2:])


def run(
    seed: int, layers: Sequence[tuple[int, ...]], search_config: dict[str, Any], epochs: int
) -> dict[str, Any]:
    splits = {
        name: make_rows(rows, (seed, place)) for place, (name, rows) in enumerate(ROWS.items())
    }
    trunk = {
        "kind": "mtnas",
        "activation": "tanh",
        "layers": [{"sub_networks": count, "units": units} for count, units in layers],
        "search": search_config,
    }
    config = make_config(trunk, seed, epochs)
    assert isinstance(config.trunk, MtnasTrunk)
    train = passes(splits["train"], config.training.batch_size, seed)
    validation = passes(splits["validation"], config.trunk.search.batch_size, seed)(0)
    ranker = built(config, train(0))
    result = search(ranker, config, train, validation)

    def retrained(route: ShareRoute) -> tuple[float, float, MultiTaskRanker]:
        fixed = {**trunk, "route": route.model_dump()}
        return trained_auc(make_config(fixed, seed, epochs), splits)

    auc, seconds, _ = retrained(result.route)
    control, _, _ = retrained(result.control.best) if result.control else (None, None, None)
    bottom: dict[str, Any] = {
        "kind": "shared_bottom",
        "activation": "tanh",
        "units": [units for _, units in layers],
    }
    shared, _, _ = trained_auc(make_config(bottom, seed, epochs), splits)
    bottom["match_parameters"] = result.derived.parameters
    matched, _, _ = trained_auc(make_config(bottom, seed, epochs), splits)
    return {
        "seed": seed,
        "parted": parted(result.route),
        "route": {
            block.block: f"{'+'.join(block.lower)} {block.query}" for block in result.route.blocks
        },
        "auc": auc,
        "shared_bottom": shared,
        "shared_bottom_of_equal_parameters": matched,
        "random": control,
        "random_parted": parted(result.control.best) if result.control else None,
        "reward": result.reward,
        "random_reward": result.control.best_reward if result.control else None,
        "parameters": result.derived.parameters,
        "search_seconds": result.seconds,
        "training_seconds": seconds,
    }


def main() -> None:
    # `layers` as in 4x8,4x8; `search` has fields of trunk.search, JSON; epochs are of a training.
    arguments = options(
        __doc__,
        seeds=(5, 1),
        epochs=(20, 1),
        layers=("4x1", "4x1"),
        search=("{}", '{"epochs": 2}'),
    ).parse_args()
    layers = [tuple(map(int, layer.split("x"))) for layer in arguments.layers.split(",")]
    settings = {
        "warmup_epochs": 1,
        "epochs": 15,
        "batch_size": 1024,
        # Two sub-networks without a gate: what the planted route costs.
        "macs_budget": 2 * 4 * HALF * layers[0][1],
        "macs_penalty": 0.01,
        "weight_steps": 2,
        "policy_steps": 1,
        **json.loads(arguments.search),
    }
    results = []
    for seed in range(1, arguments.seeds + 1):
        results.append(run(seed, layers, settings, arguments.epochs))
        print(json.dumps(results[-1]), flush=True)
    gain, error = mean_and_error([one["auc"] - one["shared_bottom"] for one in results])
    report(
        "a searched route against a shared bottom",
        parted=sum(result["parted"] for result in results),
        seeds=len(results),
        auc=np.mean([result["auc"] for result in results]),
        shared_bottom=np.mean([result["shared_bottom"] for result in results]),
        gain=gain,
        gain_standard_error=error,
        search_to_training=np.mean(
            [result["search_seconds"] / result["training_seconds"] for result in results]
        ),
        gpus=len(tf.config.list_logical_devices("GPU")),
    )


if __name__ == "__main__":
    main()
