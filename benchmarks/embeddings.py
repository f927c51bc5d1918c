"""Ids by vocabulary, by hash, by several hashes and in one table: memory, AUC and speed.

    python benchmarks/embeddings.py [--root DIR] [--rows N] [--users N] [--items N] [--seeds N]
                                    [--rounds N] [--bare] [--only "vocabulary;hash"]

The sample log of `taskroute demo`, with more users and items, goes through the pipeline's stages up
to Transform once a variant, since ids are made there. Each variant is trained with each seed as the
pipeline does and measured on test; `rounds` time the variants' training steps in turn, on batches
in memory. MB are those of all tables with the optimizer's state. The log has no sequence, and no
two columns of the same terms: `pooling` and `shares` are not compared. The last line is one JSON
object.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from finished_run import Trained, train, transformed
from harness import DEMO, in_turn, machine, median_ms, options, report

import numpy as np
import tensorflow as tf
import yaml

from taskroute.models.dataset import make_dataset
from taskroute.models.ranker import MultiTaskRanker
from taskroute.models.training import build_ranker
from taskroute.pipeline.experiments.shared_data import SharedData
from taskroute.pipeline.sample_log.sample_files import write_sample_log
from taskroute.pipeline.sample_log.sample_log import SampleLogSpec, make_sample_log
from taskroute.schemas.recommender import RecommenderConfig

WIDTH = 16
# Rows for each term, where tables are small.
SHARE = 1 / 8
MIN_COUNT = 5
TIMED_BATCHES = 50
# A plain one: how its routes close would hide what the ids do.
TRUNK = {"kind": "shared_bottom", "units": [128, 64]}

TELLING = ("category", "genres", "creator", "country", "user_age", "age_band")


def make_variants(num_terms: Mapping[str, int]) -> dict[str, dict[str, Any]]:
    """Variants by name: fields that replace those of the demo's config.

    Args:
        num_terms: Number of terms of each feature whose ids are compared.
    """
    few = {name: round(SHARE * count) for name, count in num_terms.items()}

    def each(**fields: Any) -> dict[str, Any]:
        return {"features": dict.fromkeys(num_terms, fields)}

    def vocabulary(**fields: Any) -> dict[str, Any]:
        width = fields.pop("embedding_dim", WIDTH)
        return each(vocabulary=fields, embedding_dim=width)

    def hashed(rows: Mapping[str, int]) -> dict[str, Any]:
        features = {n: {"hash_buckets": rows[n], "embedding_dim": WIDTH} for n in num_terms}
        return {"features": features}

    def own_tables(num_hashes: int) -> dict[str, Any]:
        tables = [_table(name, count, num_hashes) for name, count in few.items()]
        return {"features": {name: {"table": name} for name in num_terms}, "tables": tables}

    def unified(num_hashes: int, **fields: Any) -> dict[str, Any]:
        tables = [_table("ids", sum(few.values()), num_hashes)]
        return {**each(table="ids", **fields), "tables": tables}

    most_frequent = {
        name: {"vocabulary": {"max_size": count}, "embedding_dim": WIDTH}
        for name, count in few.items()
    }
    return {
        "vocabulary": vocabulary(),
        "vocabulary, min_count": vocabulary(min_count=MIN_COUNT),
        "vocabulary, max_size": {"features": most_frequent},
        "hash, a row a term": hashed(num_terms),
        "hash": hashed(few),
        "multi-hash, 2 rows": own_tables(2),
        "multi-hash, 4 rows": own_tables(4),
        "one table, 1 row": unified(1),
        "unified, 2 rows": unified(2),
        "unified, 4 rows": unified(4),
        "unified, min_count": unified(2, vocabulary={"min_count": MIN_COUNT}),
        "width 4": vocabulary(embedding_dim=4),
        "width 8": vocabulary(embedding_dim=8),
        "width 32": vocabulary(embedding_dim=32),
        "cross": {**vocabulary(), "interaction": {"kind": "cross", "rank": 16}},
        "all of one width": {**vocabulary(), "all": {"embedding_dim": WIDTH}},
        "dot": {
            **vocabulary(),
            "all": {"embedding_dim": WIDTH},
            "interaction": {"kind": "dot"},
        },
    }


def _table(name: str, num_rows: int, num_hashes: int) -> dict[str, Any]:
    """Table as large as one of `num_rows` whole rows; with several hashes, rows share the width."""
    rows = num_rows * num_hashes
    return {"name": name, "rows": rows, "embedding_dim": WIDTH, "num_hashes": num_hashes}


def make_config(variant: Mapping[str, Any], bare: bool) -> RecommenderConfig:
    """Demo's config with a variant's fields; if `bare`, without those of TELLING.

    Traits of users and items follow mostly from the features that are then left out.
    """
    content = yaml.safe_load(DEMO.read_text(encoding="utf-8"))
    if bare:
        left = [feature for feature in content["features"] if feature["name"] not in TELLING]
        content["features"] = left
    ways = ("hash_buckets", "vocabulary", "embedding_dim")
    for feature in content["features"]:
        if feature["name"] in variant["features"]:
            for way in ways:
                feature.pop(way, None)
            feature |= variant["features"][feature["name"]]
        if feature["kind"] != "dense":
            feature |= variant.get("all", {})
    others = {name: x for name, x in variant.items() if name not in ("features", "all")}
    return RecommenderConfig.model_validate({**content, "trunk": TRUNK, **others})


def measure(config: RecommenderConfig, data: SharedData, seed: int) -> Trained:
    training = config.training.model_copy(update={"seed": seed})
    return train(config.model_copy(update={"training": training}), data)


class Timed:
    """Training steps of one variant on batches in memory."""

    def __init__(self, config: RecommenderConfig, data: SharedData):
        size = config.training.batch_size
        rows = make_dataset(data.files("train"), config, batch_size=size, shuffle_seed=1)
        self._batches = list(rows.take(TIMED_BATCHES))
        self.ranker: MultiTaskRanker = build_ranker(config, data.training.ids(config).number, rows)
        self._step = tf.function(self.ranker.train_step, reduce_retracing=True)
        self.num_rows = size * len(self._batches)

    def step_through(self) -> None:
        for batch in self._batches:
            logs = self._step(batch)
        float(logs["loss"])


def table_megabytes(ranker: MultiTaskRanker) -> float:
    """Bytes of all tables and their accumulators."""
    numbers = sum(table.shape.num_elements() for table in ranker.embedding.tables.values())
    return 8 * numbers / 1e6


def main() -> None:
    parser = options(
        __doc__,
        root=("runs/embeddings", "embeddings"),
        rows=(200_000, 3_000),
        users=(20_000, 300),
        items=(10_000, 100),
        seeds=(3, 1),
        rounds=(5, 1),
        # Variants with ; between them, all by default.
        only=("", "multi-hash, 2 rows"),
    )
    parser.add_argument("--bare", action="store_true", help="ids must say all of users and items")
    arguments = parser.parse_args()
    spec = SampleLogSpec(arguments.rows, arguments.users, arguments.items)
    root = Path(arguments.root)
    log = make_sample_log(spec)
    write_sample_log(log, root / "demo.parquet")
    names = ("user_id", "item_id") if arguments.bare else ("user_id", "item_id", "creator")
    num_terms = {name: len(log.table[name].unique()) for name in names}
    variants = make_variants(num_terms)
    if arguments.only:
        variants = {name: variants[name] for name in arguments.only.split(";")}
    print(f"{arguments.rows:,} rows, terms {num_terms}, {arguments.seeds} seeds, {machine()}")
    configs = {name: make_config(variant, arguments.bare) for name, variant in variants.items()}
    data = {name: transformed(config, root, root) for name, config in configs.items()}
    timed = {name: Timed(configs[name], data[name]) for name in configs}
    passes = {name: each.step_through for name, each in timed.items()}
    times = in_turn(passes, arguments.rounds) if arguments.rounds else {}
    speeds = {
        name: 1e3 * timed[name].num_rows / median_ms(durations) for name, durations in times.items()
    }
    sizes = {name: table_megabytes(each.ranker) for name, each in timed.items()}
    tasks = list(next(iter(timed.values())).ranker.task_aucs)
    del timed, passes
    print(f"{'':22}{'MB':>7}{'rows/s':>9}" + "".join(f"{task:>18}" for task in tasks))
    table = {}
    for name, megabytes in sizes.items():
        speed = speeds.get(name, 0.0)
        runs = [measure(configs[name], data[name], seed) for seed in range(1, arguments.seeds + 1)]
        aucs = {task: [run.aucs[task] for run in runs] for task in tasks if runs}
        table[name] = {"megabytes": megabytes, "rows_per_second": speed, "auc": aucs}
        cells = [
            f"{np.mean(x):9.4f} ± {np.std(x, ddof=min(1, len(x) - 1)):.4f}" for x in aucs.values()
        ]
        print(f"{name:22}{megabytes:7.2f}{speed:9,.0f}" + "".join(cells), flush=True)
    report(
        "ways to make ids",
        table=table,
        terms=num_terms,
        rows=arguments.rows,
        seeds=arguments.seeds,
        rounds=arguments.rounds,
        bare=arguments.bare,
    )


if __name__ == "__main__":
    main()
