"""Ten days of the sample log, retrained day by day; warm starts against cold ones.

Run: python benchmarks/retrain_days.py [--days N] [--rows-a-day N]. Each day `taskroute retrain`
goes on from the served version. Beside it, three trainings of the same rows are measured on the
day's test split every quarter of an epoch: cold, warm with the optimizers' state, and warm without
it. A cold start needs as many steps as it takes to its lowest validation loss; a warm one as many
as it takes to the click AUC that the cold one has there.
"""

import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from finished_run import newest
from harness import DEMO, options, report

import tensorflow as tf
import tensorflow_transform as tft
import tf_keras as keras
import yaml

from taskroute.components.served import registry
from taskroute.models.dataset import make_dataset
from taskroute.models.fitting import validation_batch_size
from taskroute.models.training import build_ranker, num_ids
from taskroute.models.warm_start import transform_ids, warm_start
from taskroute.pipeline.run.retrain import retrain
from taskroute.pipeline.sample_log.sample_files import write_sample_days
from taskroute.pipeline.sample_log.sample_log import SampleLogSpec, make_sample_log
from taskroute.schemas.recommender import ModelConfig, load_config

_WINDOW_DAYS = 3


@dataclass(frozen=True)
class Measured:
    """A training after some steps."""

    steps: int
    validation_loss: float
    auc: float


def main() -> None:
    arguments = options(__doc__, days=(10, 2), rows_a_day=(20_000, 600), epochs=(6, 1)).parse_args()
    num_days = arguments.days + _WINDOW_DAYS - 1
    spec = SampleLogSpec(num_rows=num_days * arguments.rows_a_day, num_days=num_days)
    results = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        days = write_sample_days(make_sample_log(spec), folder / "log")
        _write_config(folder, arguments.smallest)
        config = load_config(folder / "days.yaml")
        print("day         verdict     version  click AUC: cold   warm  steps: cold  keep  fresh")
        for day in days[_WINDOW_DAYS - 1 :]:
            serving = folder / "root" / "serving" / "days"
            before = registry.warm_start_of_latest(serving)
            with redirect_stdout(sys.stderr):
                verdict = retrain(config, folder, folder / "root", span=day, only_json=True)
            row: dict[str, Any] = {
                "day": day,
                "outcome": verdict.outcome,
                "version": verdict.version,
            }
            if before is not None:
                row |= _compare(config.part(ModelConfig), folder / "root", before, arguments.epochs)
            results.append(row)
            numbers = [
                row.get(key, "") for key in ("cold_auc", "keep_auc", "cold", "keep", "fresh")
            ]
            line = "{:>17}{:>7}{:>13}{:>6}{:>7}".format(*map(_shown, numbers))
            print(f"{day}  {row['outcome']:<12}{row['version'] or '':>7}{line}", flush=True)
    compared = [row for row in results if "cold" in row]
    epochs = arguments.epochs
    report(
        "warm starts against cold ones, in steps of the median day",
        ratio=_ratio(compared, "keep", epochs),
        ratio_of_the_worst_day=_ratio(compared, "keep", epochs, max),
        ratio_fresh_optimizer=_ratio(compared, "fresh", epochs),
        days=results,
        rows_a_day=arguments.rows_a_day,
    )


def _write_config(folder: Path, smallest: bool) -> None:
    """Demo's config, for a log by day."""
    config = yaml.safe_load(DEMO.read_text(encoding="utf-8"))
    config["name"] = "days"
    config["source"] |= {"path": "log/{YYYY}-{MM}-{DD}/*.parquet", "window_days": _WINDOW_DAYS}
    config["evaluation"] = {
        "gates": [{"task": "click", "metric": "auc", "at_least": 0.6, "may_lose": 0.02}]
    }
    if smallest:
        # Few rows and steps pass no gate, and nothing is compared before a model serves.
        config["training"] = {"batch_size": 256, "epochs": 1}
        config["evaluation"] = {}
    (folder / "days.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")


def _compare(
    config: ModelConfig, root: Path, before: str, epochs: int
) -> dict[str, float | int | None]:
    cold = _best(_curve(config, root, None, None, epochs))
    row: dict[str, float | int | None] = {"cold": cold.steps, "cold_auc": cold.auc}
    for optimizer in ("keep", "fresh"):
        curve = _curve(config, root, before, optimizer, epochs)
        reached = [measured.steps for measured in curve if measured.auc >= cold.auc]
        row |= {
            optimizer: reached[0] if reached else None,
            f"{optimizer}_auc": _best(curve[1:]).auc,
        }
    return row


def _best(curve: list[Measured]) -> Measured:
    return min(curve, key=lambda measured: measured.validation_loss)


def _curve(
    config: ModelConfig, root: Path, before: str | None, optimizer: str | None, epochs: int
) -> list[Measured]:
    training = config.training
    if optimizer is not None:
        start = training.warm_start.model_copy(update={"optimizer": optimizer})
        training = training.model_copy(update={"warm_start": start})
        config = config.model_copy(update={"training": training})
    transform_root = root / "artifacts" / "Transform"
    transform = tft.TFTransformOutput(str(newest(transform_root / "transform_graph")))
    examples = newest(transform_root / "transformed_examples")
    keras.utils.set_random_seed(training.seed)

    def read(split: str, batch_size: int, shuffle_seed: int | None = None) -> tf.data.Dataset:
        files = [f"{examples}/Split-{split}/*"]
        return make_dataset(files, config, batch_size=batch_size, shuffle_seed=shuffle_seed)

    def train(epoch: int) -> tf.data.Dataset:
        return read("train", batch_size=training.batch_size, shuffle_seed=training.seed + epoch)

    ids = transform_ids(config, num_ids(config, transform), transform)
    ranker = build_ranker(config, ids.number, train(0))
    warm_start(ranker, config, ids, before)
    held_out = {
        split: read(split, batch_size=validation_batch_size(training)).cache()
        for split in ("validation", "test")
    }

    def measure(steps: int) -> Measured:
        metrics = {
            split: ranker.evaluate(rows, verbose=0, return_dict=True)
            for split, rows in held_out.items()
        }
        return Measured(steps, metrics["validation"]["loss"], metrics["test"]["click_auc"])

    num_steps = sum(1 for _ in train(0))
    every = max(num_steps // 4, 1)
    step = tf.function(ranker.train_step, input_signature=[train(0).element_spec])
    curve = [measure(0)]
    batches = _batches(train)
    for steps in range(1, epochs * num_steps + 1):
        step(next(batches))
        if steps % every == 0:
            curve.append(measure(steps))
    return curve


def _batches(train: Callable[[int], tf.data.Dataset]) -> Iterator[dict[str, tf.Tensor]]:
    epoch = 0
    while True:
        yield from train(epoch)
        epoch += 1


def _ratio(
    rows: list[dict],
    optimizer: str,
    epochs: int,
    summary: Callable[[list[float]], float] = statistics.median,
) -> float | None:
    # A day on which a warm start never got there counts as the whole training.
    ratios = [(epochs if r[optimizer] is None else r[optimizer] / r["cold"]) for r in rows]
    return round(summary(ratios), 3) if ratios else None


def _shown(value: object) -> str:
    return f"{value:.4f}" if isinstance(value, float) else "never" if value is None else f"{value}"


if __name__ == "__main__":
    main()
