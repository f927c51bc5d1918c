"""Entry point of TFX Trainer. TFX reloads this module, so it defines functions only."""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf
import tensorflow_transform as tft
import tf_keras as keras

from taskroute.models.calibration import fit_calibrations
from taskroute.models.dataset import make_dataset
from taskroute.models.describe import describe
from taskroute.models.distribution import distributed, own_folder
from taskroute.models.export import ServedRanker, export, with_score
from taskroute.models.fitting import fit, validation_batch_size
from taskroute.models.ranker import MultiTaskRanker, make_optimizer
from taskroute.models.warm_start import (
    Ids,
    WarmStarted,
    transform_ids,
    warm_start,
    write_warm_start,
)
from taskroute.models.warm_up import request_rows, write_serving_files
from taskroute.schemas.analysis import vocabulary_name
from taskroute.schemas.columns import feature_columns
from taskroute.schemas.features import BucketFeature, DenseFeature, IdFeature, ids_owner
from taskroute.schemas.recommender import DataConfig, ModelConfig
from taskroute.schemas.routes import SearchResult
from taskroute.schemas.serving import ModelInfo, RawExamples, ScoreDifference, Serving
from taskroute.schemas.training_record import RoutingTable, TaskCalibration, TrainingRecord
from taskroute.schemas.warm_start import WARM_START_FOLDER, WarmStartOutcome, WarmStartRecord

if TYPE_CHECKING:
    from tfx.components.trainer.fn_args_utils import FnArgs

_BASE_RATE_BATCHES = 50


def run_fn(fn_args: "FnArgs") -> None:
    """Trains the ranker and writes its SavedModel, its learning curves and its routes.

    Where several workers train, each of them calls this, and what the chief writes is what counts.
    """
    config = ModelConfig.model_validate_json(fn_args.custom_config["config"])
    config = with_found_route(config, fn_args.hyperparameters)
    with distributed(config.training):
        fn_args.serving_model_dir = own_folder(fn_args.serving_model_dir)
        fn_args.model_run_dir = own_folder(fn_args.model_run_dir)
        _train(config, fn_args)


def _train(config: ModelConfig, fn_args: "FnArgs") -> None:
    transform = tft.TFTransformOutput(fn_args.transform_graph_path)
    keras.utils.set_random_seed(config.training.seed)
    training = config.training

    def train(epoch: int) -> tf.data.Dataset:
        return make_dataset(
            fn_args.train_files,
            config,
            batch_size=training.batch_size,
            shuffle_seed=training.seed + epoch,
            negative_sampling=training.negative_sampling,
        )

    validation = make_dataset(
        fn_args.eval_files, config, batch_size=validation_batch_size(training)
    )
    ids = transform_ids(config, num_ids(config, transform), transform)
    ranker = build_ranker(config, ids.number, train(0))
    started = warm_start(ranker, config, ids, fn_args.custom_config.get("warm_start"))
    history = fit(
        ranker,
        train,
        validation,
        training,
        fn_args.model_run_dir,
        fn_args.custom_config.get("checkpoint"),
    )
    finish_heads(ranker, train(0).take(_BASE_RATE_BATCHES))
    serving = Serving.model_validate_json(fn_args.custom_config.get("serving", "{}"))
    leave_warm_start(ranker, config, ids, started, fn_args)
    calibration = fit_calibrations(ranker, validation, serving.calibration)
    served = export(ranker, transform, config, fn_args.serving_model_dir, serving)
    differences = {}
    if "raw_examples" in fn_args.custom_config:
        differences = write_warm_up(ranker, served, config, serving, fn_args)
    write_summary(ranker, history, fn_args.model_run_dir, served, calibration, differences)


def leave_warm_start(
    ranker: MultiTaskRanker,
    config: ModelConfig,
    ids: Ids,
    started: WarmStarted | None,
    fn_args: "FnArgs",
) -> None:
    """Writes what a later training starts from, and what this one started from."""
    told = fn_args.custom_config
    raw = told.get("raw_examples")
    record = WarmStartRecord(
        config=told["config"],
        trained=config.model_dump_json(),
        serving=told.get("serving", "{}"),
        data_span=None if raw is None else RawExamples.model_validate(raw).span,
        num_ids=ids.number,
        boundaries=ids.boundaries,
    )
    model = fn_args.serving_model_dir.rstrip("/").rpartition("/")[0]
    write_warm_start(f"{model}/{WARM_START_FOLDER}", ranker, ids, record)
    if started is not None:
        outcome = WarmStartOutcome(**asdict(started), sentence=started.sentence)
        outcome.write(fn_args.model_run_dir)


def with_found_route(config: ModelConfig, found: Mapping[str, Any] | None) -> ModelConfig:
    """Gives an mtnas trunk without a route the one that ArchitectureSearch found.

    Args:
        config: Returned as it is where its trunk needs no route.
        found: A `SearchResult`, as read from JSON.

    Raises:
        ValueError: If a route is needed and `found` is None.
    """
    if not config.trunk.needs_search:
        return config
    if found is None:
        raise ValueError("an mtnas trunk without a route must be searched. Received: found=None")
    route = SearchResult.model_validate(found).route
    trunk = config.trunk.model_copy(update={"route": route})
    return config.model_copy(update={"trunk": trunk})


def num_ids(data: DataConfig, transform: tft.TFTransformOutput) -> dict[str, int]:
    """Number of ids of each feature that has any: missing, terms or buckets, OOV.

    A feature that shares another's ids has as many as the other.
    """
    sizes = {}
    for feature in data.features:
        match feature:
            case DenseFeature():
                continue
            case BucketFeature():
                terms = feature.num_buckets
            case _:
                terms = _num_terms(ids_owner(feature, data.features), transform)
        sizes[feature.name] = terms + 1
    return sizes


def _num_terms(feature: IdFeature, transform: tft.TFTransformOutput) -> int:
    if feature.vocabulary is None or feature.num_hashed_ids is not None:
        return feature.num_hashed_ids or 0
    terms: int = transform.vocabulary_size_by_name(vocabulary_name(feature.name))
    return terms + feature.vocabulary.oov_buckets


def build_ranker(
    config: ModelConfig, ids: Mapping[str, int], dataset: tf.data.Dataset
) -> MultiTaskRanker:
    """Makes the ranker, its weights and its optimizer; `dataset` gives the shapes."""
    ranker = MultiTaskRanker(config, ids)
    ranker(next(iter(dataset.take(1))))
    start_heads_at_base_rates(ranker, dataset.take(_BASE_RATE_BATCHES))
    ranker.compile(optimizer=make_optimizer(ranker, config))
    return ranker


def start_heads_at_base_rates(ranker: MultiTaskRanker, dataset: tf.data.Dataset) -> None:
    """Sets each head to the best constant for its task's labels, such as their rate as a logit.

    Training then does not spend its first epochs, and its embeddings, on finding the base rates.
    The losses there are the scale by which the balancer and the trunk's penalties go.
    """
    columns: dict[str, list[np.ndarray]] = {}
    for batch in dataset:
        for task in ranker.tasks:
            for key in (task.label_key, task.weight_key):
                columns.setdefault(key, []).append(batch[key].numpy().astype(np.float64))
    rows = {key: np.concatenate(parts) for key, parts in columns.items()}
    losses = {}
    for task in ranker.tasks:
        labels, weights = rows[task.label_key], rows[task.weight_key]
        losses[task.name] = ranker.heads[task.name].start(labels, weights)
        if task.funnel is not None:
            # The head's own logit is about the rows where the task before has happened.
            happened = rows[f"label/{task.funnel}"] * (rows[f"weight/{task.funnel}"] > 0)
            ranker.heads[task.name].start(labels, weights * happened)
    ranker.balancer.start(losses)
    factors = ranker.balancer.task_weights().numpy()
    scale = sum(
        factor * task.loss_weight * losses[task.name]
        for factor, task in zip(factors, ranker.tasks, strict=True)
    )
    ranker.trunk.set_loss_scale(max(scale, 1e-6))


def finish_heads(ranker: MultiTaskRanker, dataset: tf.data.Dataset) -> None:
    """Shows the trained heads what they give for train rows, for what is found only then."""
    tasks = [task for task in ranker.tasks if task.smearing]
    if not tasks:
        return
    parts: dict[str, list[tuple[tf.Tensor, ...]]] = {task.name: [] for task in tasks}
    for batch in dataset:
        logits = ranker(batch, training=False)
        for task in tasks:
            shown = (logits[task.name], batch[task.label_key], batch[task.weight_key])
            parts[task.name].append(shown)
    for name, batches in parts.items():
        columns = (tf.concat(column, axis=0) for column in zip(*batches, strict=True))
        ranker.heads[name].finish(*columns)


def write_warm_up(
    ranker: MultiTaskRanker,
    served: ServedRanker,
    config: ModelConfig,
    serving: Serving,
    fn_args: "FnArgs",
) -> dict[str, ScoreDifference]:
    """Gives the SavedModel warm-up requests from validation rows, and what they must score.

    That is what `ranker` gives, or `served` itself where it is held in fewer bits. Returned is by
    how much the two differ, by output.
    """
    raw = RawExamples.model_validate(fn_args.custom_config["raw_examples"])
    columns = [column.name for column in feature_columns(config)]
    rows = tf.constant(request_rows(raw.patterns, serving.batch_sizes[-1], columns))
    parsed = served.columns(rows)
    scores = with_score(ranker.predict_values(served.features(parsed)), serving)
    served_scores = served.score(parsed)
    gaps = {name: tf.abs(served_scores[name] - values) for name, values in scores.items()}
    differences = {
        name: ScoreDifference(largest=float(tf.reduce_max(gap)), mean=float(tf.reduce_mean(gap)))
        for name, gap in gaps.items()
    }
    info = ModelInfo(
        name=fn_args.custom_config["name"],
        config_digest=hashlib.sha256(config.model_dump_json().encode()).hexdigest()[:16],
        data_span=raw.span,
        num_rows=raw.num_rows,
        binary_tasks=_outputs(config, "binary"),
        regression_tasks=_outputs(config, "regression"),
        serving=serving,
        score_differences=differences,
        saved_bytes=served.saved_bytes,
    )
    expected = scores if served.is_exact else served_scores
    write_serving_files(fn_args.serving_model_dir, info, served.requests(parsed, rows), expected)
    return differences


def _outputs(config: ModelConfig, kind: str) -> tuple[str, ...]:
    return tuple(name for task in config.tasks if task.kind == kind for name in task.outputs)


def write_summary(
    ranker: MultiTaskRanker,
    history: dict[str, list[float]],
    log_dir: str,
    served: ServedRanker | None = None,
    calibration: Mapping[str, TaskCalibration] | None = None,
    differences: Mapping[str, ScoreDifference] | None = None,
) -> None:
    """Writes `training.json`: learning curves, best epoch, cost by part, routes, what is served."""
    losses = history["val_loss"]
    record = TrainingRecord(
        epochs=len(losses),
        best_epoch=losses.index(min(losses)) + 1,
        history=history,
        cost=describe(ranker),
        served_cost=describe(ranker, served and served.trunk),
        routing=[
            RoutingTable(
                name=matrix.name,
                upper=matrix.upper,
                lower=matrix.lower,
                values=matrix.values.numpy().tolist(),
            )
            for matrix in ranker.trunk.routing()
        ],
        guarded_tasks=ranker.trunk.guarded_tasks(),
        calibration=dict(calibration or {}),
        score_differences=dict(differences or {}),
        saved_bytes=served.saved_bytes if served else 0,
    )
    record.write(log_dir)
