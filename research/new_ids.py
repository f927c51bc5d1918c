"""AUC of users that the train split never had, against the same rows without a user.

Run: python research/new_ids.py [--rows N] [--users N] [--seeds N] [--ways a,b] [--features F].
Each seed draws a sample log, split by time: 60 % train, 10 % validation, 30 % test. A fifth of the
users lose their train rows, so that validation, which ends the training, and test have new ones.
Users and items are ids of vocabularies. The recipe is the demo's but for its trunk, a shared bottom
of 64 and 32 units. `--features ids` leaves user and item nothing but their ids.

Ways: a number is `training.oov_rate`, 0 as before there was one; `mean` gives the OOV row of the
model of 0 the mean of all rows, weighted by their counts; `rare` trains users with fewer than 5
train rows as OOV; `0.01+0.01` drops as many to the missing row; `without` has no user at all.

`new` and `known` are AUCs less those of 0. `new - empty` is the AUC of new users less that of the
same rows and model with the user left empty; `new - empty of 0`, less that of the model of 0 with
the user left empty. Means over seeds with the 95 % interval of Student's t. By the spread over
seeds in a pilot, .0004, the plan tells a difference of .0005 in click.
"""

import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from lab import DEMO, options, report, transformed

import numpy as np
import pyarrow.compute as pc
from scipy.special import stdtrit
from sklearn.metrics import roc_auc_score

from taskroute.models import training
from taskroute.models.dataset import make_dataset
from taskroute.models.oov import OovDrop, oov_ids
from taskroute.models.ranker import MultiTaskRanker
from taskroute.models.transformed_files import ChangeIds
from taskroute.models.warm_start import Ids
from taskroute.pipeline.experiments.shared_data import SharedData
from taskroute.pipeline.sample_log.sample_files import write_sample_log
from taskroute.pipeline.sample_log.sample_log import SampleLog, SampleLogSpec, make_sample_log
from taskroute.schemas.recommender import ModelConfig, RecommenderConfig, load_config

import tensorflow as tf  # isort: skip

NEW_USERS, VALIDATION, TEST = 0.2, 0.1, 0.3
TASKS = ("click", "long_view")
USER = "user_id"
IDS = {name: {"name": name, "kind": "categorical", "vocabulary": {}} for name in (USER, "item_id")}
TRAITS = (
    "category", "genres", "creator", "video_seconds", "item_age_days", "user_age", "age_band",
    "country",
)  # fmt: skip
RARE = 5

Rows = Mapping[str, tf.Tensor]
Aucs = dict[str, dict[str, float]]


@dataclass(frozen=True)
class RareAreOov(training.TrainingData):
    """Users with few train rows train as OOV ones."""

    def train(self, config: ModelConfig, ids: Ids, epoch: int) -> tf.data.Dataset:
        is_rare = user_counts(self, config, ids) < RARE
        oov = oov_ids(config, ids.number)[USER]

        def change(name: str, values: np.ndarray, _: np.random.Generator) -> np.ndarray:
            rare = (values > 0) & is_rare[values] if name == USER else np.zeros(len(values), bool)
            return np.where(rare, oov.start, values)

        return read(self, config, epoch, change)


@dataclass(frozen=True)
class AlsoMissing(training.TrainingData):
    """As many ids are dropped to the missing row as to OOV."""

    def train(self, config: ModelConfig, ids: Ids, epoch: int) -> tf.data.Dataset:
        oov = oov_ids(config, ids.number)
        drop = OovDrop(config.training.oov_rate, oov)

        def change(name: str, values: np.ndarray, random: np.random.Generator) -> np.ndarray:
            if name in oov:
                values = np.where(random.random(len(values)) < drop.rate, 0, values)
            return drop(name, values, random)

        return read(self, config, epoch, change)


def read(
    data: training.TrainingData, config: ModelConfig, epoch: int, change: ChangeIds
) -> tf.data.Dataset:
    size, seed = config.training.batch_size, config.training.seed + epoch
    return make_dataset(
        data.train_files, config, batch_size=size, shuffle_seed=seed, change_ids=change
    )


def user_counts(data: training.TrainingData, config: ModelConfig, ids: Ids) -> np.ndarray:
    counts = np.zeros(ids.number[USER], np.int64)
    for batch in make_dataset(data.train_files, config, batch_size=1 << 16):
        counts += np.bincount(batch[USER].numpy(), minlength=len(counts))
    return counts


def make_log(seed: int, rows: int, users: int) -> SampleLog:
    """A log without the train rows of a fifth of its users."""
    log = make_sample_log(SampleLogSpec(num_rows=rows, num_users=users, seed=seed))
    names = pc.unique(log.table[USER])
    random = np.random.default_rng(seed)
    new = names.take(random.permutation(len(names))[: round(NEW_USERS * len(names))])
    is_new = pc.is_in(log.table[USER], new).to_numpy(zero_copy_only=False)
    kept = np.flatnonzero(~is_new | (np.arange(rows) >= (1 - VALIDATION - TEST) * rows))
    left = {name: values[kept] for name, values in log.true_probabilities.items()}
    return SampleLog(log.table.take(kept), left)


def make_config(rows_left: float, features: str, seed: int, smallest: bool) -> RecommenderConfig:
    """Config of a log of which a share of the rows is left."""
    fields = load_config(DEMO).model_dump(exclude_unset=True)
    fields["source"]["split"] |= {"validation": VALIDATION / rows_left, "test": TEST / rows_left}
    left_out = TRAITS if features == "ids" else ()
    fields["features"] = [
        IDS.get(feature["name"], feature)
        for feature in fields["features"]
        if feature["name"] not in left_out
    ]
    fields["trunk"] = {"kind": "shared_bottom", "units": [64, 32]}
    fields["training"] |= {"seed": seed, "epochs": 1 if smallest else 10}
    return RecommenderConfig.model_validate(fields)


def train(config: ModelConfig, data: SharedData, way: str) -> training.Trained:
    """Trains by a way, other than `mean`."""
    rate = float(way.partition("+")[0]) if way[0].isdigit() else 0.0
    recipe = config.training.model_copy(update={"oov_rate": rate})
    features = tuple(f for f in config.features if way != "without" or f.name != USER)
    config = config.model_copy(update={"training": recipe, "features": features})
    plain = data.training
    files = (plain.transform_graph, plain.train_files, plain.validation_files)
    if way != "rare":
        return training.train(config, AlsoMissing(*files) if "+" in way else plain)
    trained = training.train(config, RareAreOov(*files))
    rare = np.flatnonzero(user_counts(plain, config, trained.ids) < RARE)
    oov = oov_ids(config, trained.ids.number)[USER]
    set_user_rows(trained.ranker, rare[rare > 0], np.eye(trained.ids.number[USER])[oov.start])
    return trained


def set_user_rows(ranker: MultiTaskRanker, users: np.ndarray, weights: np.ndarray) -> None:
    """Sets rows of users to the mean of all rows by weights (users,)."""
    place = ranker.embedding.rows[USER]
    table = ranker.embedding.tables[str(place.width)]
    values = table.numpy()
    own = values[place.first : place.first + place.number]
    own[users] = np.average(own, axis=0, weights=weights)
    table.assign(values)


def aucs(rows: Rows, logits: Mapping[str, tf.Tensor], chosen: np.ndarray) -> dict[str, float]:
    result = {}
    for name in TASKS:
        counts = chosen & (rows[f"weight/{name}"].numpy() > 0)
        labels = rows[f"label/{name}"].numpy()[counts]
        result[name] = float(roc_auc_score(labels, logits[name].numpy()[counts]))
    return result


def measure(ranker: MultiTaskRanker, rows: Rows, oov: range) -> Aucs:
    """AUCs of new users, of the same rows with the user left empty, and of known users."""
    new = np.isin(rows[USER].numpy(), oov)
    as_is = ranker(rows)
    empty = ranker({**rows, USER: tf.zeros_like(rows[USER])})
    chosen = {"new": (as_is, new), "empty": (empty, new), "known": (as_is, ~new)}
    return {name: aucs(rows, logits, which) for name, (logits, which) in chosen.items()}


def measure_ways(
    config: RecommenderConfig, data: SharedData, ways: list[str]
) -> Iterator[tuple[str, Aucs]]:
    """Measures each way on one log; `mean` comes directly after 0."""
    (rows,) = make_dataset(data.files("test"), config, batch_size=1 << 30)
    number = data.training.ids(config).number
    oov = oov_ids(config, number)[USER]
    for way in ways:
        if way != "mean":
            trained = train(config, data, way)
        else:
            counts = user_counts(data.training, config, trained.ids)
            set_user_rows(trained.ranker, np.array([oov.start]), counts)
        yield way, measure(trained.ranker, rows, oov)


def differences(runs: list[Aucs], base: list[Aucs], task: str) -> dict[str, list[float]]:
    pairs = [
        (
            {name: values[task] for name, values in run.items()},
            {n: v[task] for n, v in zero.items()},
        )
        for run, zero in zip(runs, base, strict=True)
    ]
    return {
        "new": [run["new"] - zero["new"] for run, zero in pairs],
        "known": [run["known"] - zero["known"] for run, zero in pairs],
        "new - empty": [run["new"] - run["empty"] for run, _ in pairs],
        "new - empty of 0": [run["new"] - zero["empty"] for run, zero in pairs],
    }


def mean_and_reach(values: list[float]) -> tuple[float, float]:
    """Mean, and half of the width of its 95 % interval."""
    reach = 0.0
    if len(values) > 1:
        reach = stdtrit(len(values) - 1, 0.975) * np.std(values, ddof=1) / np.sqrt(len(values))
    return round(float(np.mean(values)), 5), round(float(reach), 5)


def main() -> None:
    arguments = options(
        __doc__,
        rows=(400_000, 8_000),
        users=(4_000, 200),
        seeds=(5, 1),
        ways=("0,mean,0.003,0.01,0.03,0.1,0.01+0.01,rare,without", "0,mean,0.01,rare"),
        features=("all", "all"),
    ).parse_args()
    ways = arguments.ways.split(",")
    results: dict[str, list[Aucs]] = {way: [] for way in ways}
    for seed in range(1, arguments.seeds + 1):
        log = make_log(seed, arguments.rows, arguments.users)
        rows_left = len(log.table) / arguments.rows
        config = make_config(rows_left, arguments.features, seed, arguments.smallest)
        with tempfile.TemporaryDirectory() as root:
            write_sample_log(log, Path(root, "demo.parquet"))
            data = transformed(config, Path(root), Path(root))
            for way, measured in measure_ways(config, data, ways):
                results[way].append(measured)
                print(seed, way, measured, file=sys.stderr, flush=True)
    print(f"{arguments.rows:,} rows, {arguments.seeds} seeds, features: {arguments.features}")
    table: dict[str, dict[str, dict[str, tuple[float, float]]]] = {}
    for task in TASKS:
        for way, runs in results.items():
            text = f"{task:10}{way:10}"
            for name in ("new", "known"):
                text += f"{name} {np.mean([run[name][task] for run in runs]):.4f}  "
            for name, values in differences(runs, results["0"], task).items():
                mean, reach = mean_and_reach(values)
                table.setdefault(task, {}).setdefault(way, {})[name] = (mean, reach)
                text += f"{name} {mean:+.5f} ± {reach:.5f}  "
            print(text)
    report("users never seen, against rows without a user", table=table)


if __name__ == "__main__":
    main()
