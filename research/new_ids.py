"""AUC of rows whose user the train split never had, against the same rows with an empty user.

Run: python research/new_ids.py [--rows N] [--users N] [--seeds N] [--ways a,b] [--features F].
Each seed draws a sample log, split by time, and 20 % of its users, whose rows of the train split
are left out: they are new in validation and test alike. All users are ids of a vocabulary. Ways:
`none`, no train row uses the OOV row; `mean`, the same with the OOV row set to the mean of all
trained rows by their counts; `0.01`, that share of the ids dropped while training; `0.01+0.01`, as
many more to the missing row; `min_count`, users with fewer than 5 train rows are OOV. `--features
ids` leaves out the user's age and country, so that only the id tells users apart.

By task: AUC of new users less that of the same rows and model with the user left empty (`empty`),
and less that of `none` with the user left empty (`none empty`); AUC of known users less that of
`none`. Means over seeds with the 95 % interval of Student's t.
"""

import tempfile
from collections.abc import Mapping
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
from taskroute.models.warm_start import Ids
from taskroute.pipeline.experiments.shared_data import SharedData
from taskroute.pipeline.sample_log.sample_files import write_sample_log
from taskroute.pipeline.sample_log.sample_log import SampleLog, SampleLogSpec, make_sample_log
from taskroute.schemas.recommender import ModelConfig, RecommenderConfig, load_config

import tensorflow as tf  # isort: skip

NEW_USERS = 0.2
TASKS = ("click", "long_view")
USER = "user_id"
LEFT_OUT = {"ids": ("user_age", "age_band", "country"), "all": ()}


@dataclass(frozen=True)
class Changing(training.TrainingData):
    """Train rows some of whose ids change."""

    way: str = "none"

    def train(self, config: ModelConfig, ids: Ids, epoch: int) -> tf.data.Dataset:
        oov = oov_ids(config, ids.number)
        counts = None
        if self.way == "min_count":
            counts = train_counts(self, config, ids)

        def change(name: str, values: np.ndarray, random: np.random.Generator) -> np.ndarray:
            if self.way == "min_count":
                if name == USER:
                    values = np.where(counts[values] < 5, oov[name].start, values)
                return values
            rates = [float(part) for part in self.way.split("+")]
            values = OovDrop(rates[0], oov)(name, values, random)
            if len(rates) > 1:
                empty = {key: range(1) for key in oov}
                values = OovDrop(rates[1], empty)(name, values, random)
            return values

        return make_dataset(
            self.train_files,
            config,
            batch_size=config.training.batch_size,
            shuffle_seed=config.training.seed + epoch,
            change_ids=None if self.way == "none" else change,
        )


def train_counts(data: training.TrainingData, config: ModelConfig, ids: Ids) -> np.ndarray:
    counts = np.zeros(ids.number[USER], np.int64)
    for batch in make_dataset(data.train_files, config, batch_size=1 << 16):
        counts += np.bincount(batch[USER].numpy(), minlength=len(counts))
    return counts


def make_log(seed: int, rows: int, users: int) -> tuple[SampleLog, float, float]:
    """A log without the train rows of some users, and its fractions of validation and test."""
    log = make_sample_log(SampleLogSpec(num_rows=rows, num_users=users, seed=seed))
    names = pc.unique(log.table[USER])
    random = np.random.default_rng(seed)
    new = names.take(random.permutation(len(names))[: round(NEW_USERS * len(names))])
    is_new = pc.is_in(log.table[USER], new).to_numpy(zero_copy_only=False)
    kept = np.flatnonzero(~is_new | (np.arange(rows) >= 0.8 * rows))
    left = {name: values[kept] for name, values in log.true_probabilities.items()}
    return SampleLog(log.table.take(kept), left), 0.1 * rows / len(kept), 0.1 * rows / len(kept)


def make_config(validation: float, test: float, features: str) -> RecommenderConfig:
    config = load_config(DEMO)
    fields = config.model_dump(exclude_unset=True)
    fields["source"]["split"] |= {"validation": validation, "test": test}
    fields["features"] = [
        {"name": USER, "kind": "categorical", "vocabulary": {}} if f["name"] == USER else f
        for f in fields["features"]
        if f["name"] not in LEFT_OUT[features]
    ]
    fields["trunk"] = {"kind": "shared_bottom", "units": [64, 32]}
    return RecommenderConfig.model_validate(fields)


def train(config: ModelConfig, data: SharedData, way: str) -> training.Trained:
    whole = data.training
    files = (whole.transform_graph, whole.train_files, whole.validation_files)
    return training.train(config, Changing(*files, way=way))


def score(ranker: MultiTaskRanker, rows: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    logits = ranker(rows, training=False)
    return {name: logits[name].numpy() for name in TASKS}


def aucs(
    rows: Mapping[str, tf.Tensor], scores: Mapping[str, np.ndarray], chosen: np.ndarray
) -> dict[str, float]:
    result = {}
    for name in TASKS:
        counts = chosen & (rows[f"weight/{name}"].numpy() > 0)
        result[name] = float(
            roc_auc_score(rows[f"label/{name}"].numpy()[counts], scores[name][counts])
        )
    return result


def measure(
    ranker: MultiTaskRanker, rows: Mapping[str, tf.Tensor], oov: range
) -> dict[str, dict[str, float]]:
    """AUCs by task of new users as they are, of the same left empty, and of known users."""
    users = rows[USER].numpy()
    new, known = np.isin(users, oov), (users > 0) & ~np.isin(users, oov)
    as_is = score(ranker, rows)
    empty = score(ranker, {**rows, USER: tf.zeros_like(rows[USER])})
    return {
        "new": aucs(rows, as_is, new),
        "empty": aucs(rows, empty, new),
        "known": aucs(rows, as_is, known),
    }


def interval(values: list[float]) -> tuple[float, float]:
    """Mean, and half the width of the 95 % interval of Student's t."""
    if len(values) < 2:
        return float(np.mean(values)), 0.0
    error = np.std(values, ddof=1) / np.sqrt(len(values))
    return float(np.mean(values)), float(stdtrit(len(values) - 1, 0.975) * error)


def set_to_mean(ranker: MultiTaskRanker, counts: np.ndarray, oov: range) -> None:
    place = ranker.embedding.rows[USER]
    table = ranker.embedding.tables[str(place.width)]
    values = table.numpy()
    own = values[place.first : place.first + place.number]
    own[oov.start] = np.average(own, axis=0, weights=counts)
    table.assign(values)


def main() -> None:
    arguments = options(
        __doc__,
        rows=(100_000, 6_000),
        users=(2_000, 100),
        seeds=(5, 1),
        ways=("none,mean,0.005,0.01,0.02,0.01+0.01,min_count", "none,mean,0.01"),
        features=("all", "all"),
    ).parse_args()
    ways = arguments.ways.split(",")
    results: dict[str, list[dict[str, dict[str, float]]]] = {way: [] for way in ways}
    for seed in range(1, arguments.seeds + 1):
        with tempfile.TemporaryDirectory() as root:
            log, validation, test = make_log(seed, arguments.rows, arguments.users)
            write_sample_log(log, Path(root, "demo.parquet"))
            config = make_config(validation, test, arguments.features)
            data = transformed(config, Path(root), Path(root))
            config = config.model_copy(
                update={"training": config.training.model_copy(update={"seed": seed})}
            )
            (rows,) = make_dataset(data.files("test"), config, batch_size=1 << 30)
            for way in ways:
                if way == "mean":
                    ids = trained.ids
                    set_to_mean(trained.ranker, train_counts(data.training, config, ids), oov)
                else:
                    import time

                    start = time.time()
                    trained = train(config, data, way)
                    seconds = time.time() - start
                    if way == "min_count":
                        place = trained.ranker.embedding.rows[USER]
                        table = trained.ranker.embedding.tables[str(place.width)]
                        values = table.numpy()
                        rare = train_counts(data.training, config, trained.ids) < 5
                        rare[0] = False
                        values[place.first + np.flatnonzero(rare)] = values[place.first + oov.start]
                        table.assign(values)
                    oov = oov_ids(config, trained.ids.number)[USER]
                measured = measure(trained.ranker, rows, oov)
                results[way].append(measured)
                share = np.isin(rows[USER].numpy(), oov).mean()
                print(
                    f"seed {seed} {way:10} {seconds:.0f} s, {trained.epochs} epochs, new {share:.3f} of {len(rows[USER])}",
                    {k: {t: round(x, 5) for t, x in v.items()} for k, v in measured.items()},
                    flush=True,
                )
    table = {}
    for way in ways:
        for task in TASKS:
            runs, base = results[way], results["none"]
            differences = {
                "new - empty": [run["new"][task] - run["empty"][task] for run in runs],
                "new - none empty": [r["new"][task] - b["empty"][task] for r, b in zip(runs, base)],
                "new - none new": [r["new"][task] - b["new"][task] for r, b in zip(runs, base)],
                "empty - none empty": [
                    r["empty"][task] - b["empty"][task] for r, b in zip(runs, base)
                ],
                "known - none known": [
                    r["known"][task] - b["known"][task] for r, b in zip(runs, base)
                ],
            }
            text = f"{way:11}{task:10}" + " ".join(
                f"{np.mean([r[g][task] for r in runs]):.4f}" for g in ("new", "empty", "known")
            )
            for name, values in differences.items():
                mean, reach = interval(values)
                table.setdefault(way, {}).setdefault(task, {})[name] = [
                    round(mean, 5),
                    round(reach, 5),
                ]
                text += f" | {name} {mean:+.5f} ± {reach:.5f}"
            print(text)
    report("new users against the same rows without a user", table=table, rows=arguments.rows)


if __name__ == "__main__":
    main()
