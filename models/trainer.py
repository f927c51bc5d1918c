"""Entry point of TFX Trainer. TFX reloads this module, so it defines functions only."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf
import tensorflow_transform as tft
import tf_keras as keras

from taskroute.models.callbacks import RoutingLog
from taskroute.models.dataset import make_dataset
from taskroute.models.describe import describe
from taskroute.models.export import ServedRanker, export, with_score
from taskroute.models.ranker import MultiTaskRanker, make_optimizer
from taskroute.models.warm_up import request_rows, write_serving_files
from taskroute.schemas.analysis import vocabulary_name
from taskroute.schemas.columns import feature_columns
from taskroute.schemas.features import BucketFeature, DenseFeature
from taskroute.schemas.recommender import DataConfig, ModelConfig, Training
from taskroute.schemas.routes import SearchResult
from taskroute.schemas.serving import ModelInfo, RawExamples, Serving
from taskroute.schemas.trunks import MtnasTrunk

if TYPE_CHECKING:
    from tfx.components.trainer.fn_args_utils import FnArgs

_BASE_RATE_BATCHES = 50


def run_fn(fn_args: "FnArgs") -> None:
    """Trains the ranker and writes its SavedModel, its learning curves and its routes."""
    config = ModelConfig.model_validate_json(fn_args.custom_config["config"])
    config = with_found_route(config, fn_args.hyperparameters)
    transform = tft.TFTransformOutput(fn_args.transform_graph_path)
    keras.utils.set_random_seed(config.training.seed)
    train = make_dataset(
        fn_args.train_files,
        config,
        batch_size=config.training.batch_size,
        shuffle_seed=config.training.seed,
    )
    validation = make_dataset(
        fn_args.eval_files, config, batch_size=max(4096, config.training.batch_size)
    )
    ranker = build_ranker(config, num_ids(config, transform), train)
    history = fit(ranker, train, validation, config.training, fn_args.model_run_dir)
    serving = Serving.model_validate_json(fn_args.custom_config.get("serving", "{}"))
    served = export(ranker, transform, config, fn_args.serving_model_dir, serving)
    if "raw_examples" in fn_args.custom_config:
        write_warm_up(ranker, served, config, serving, fn_args)
    write_summary(ranker, history, fn_args.model_run_dir, served)


def with_found_route(config: ModelConfig, found: Mapping[str, Any] | None) -> ModelConfig:
    """Gives an mtnas trunk without a route the one that ArchitectureSearch found.

    Args:
        config: Returned as it is where its trunk needs no route.
        found: A `SearchResult`, as read from JSON.

    Raises:
        ValueError: If a route is needed and `found` is None.
    """
    if not isinstance(config.trunk, MtnasTrunk) or config.trunk.route is not None:
        return config
    if found is None:
        raise ValueError("an mtnas trunk without a route must be searched. Received: found=None")
    route = SearchResult.model_validate(found).route
    trunk = config.trunk.model_copy(update={"route": route})
    return config.model_copy(update={"trunk": trunk})


def num_ids(data: DataConfig, transform: tft.TFTransformOutput) -> dict[str, int]:
    """Number of ids of each feature that has any: missing, terms or buckets, OOV."""
    sizes = {}
    for feature in data.features:
        match feature:
            case DenseFeature():
                continue
            case BucketFeature():
                terms = feature.num_buckets
            case _ if feature.vocabulary is not None:
                terms = transform.vocabulary_size_by_name(vocabulary_name(feature.name))
                terms += feature.vocabulary.oov_buckets
            case _:
                terms = feature.hash_buckets or 0
        sizes[feature.name] = terms + 1
    return sizes


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
    """Sets each head's bias to its task's mean label, as a logit for binary tasks.

    Training then does not spend its first epochs, and its embeddings, on finding the base rates.
    The loss at the base rates is the scale by which the trunk weighs its penalties.
    """
    sums = {task.name: np.zeros(3) for task in ranker.tasks}
    scale = 0.0
    for batch in dataset:
        for task in ranker.tasks:
            labels, weights = batch[task.label_key].numpy(), batch[task.weight_key].numpy()
            sums[task.name] += [
                np.sum(weights),
                np.sum(labels * weights),
                np.sum(labels**2 * weights),
            ]
    for task in ranker.tasks:
        weight, total, squares = sums[task.name]
        if task.kind == "binary":
            rate = (total + 0.5) / (weight + 1.0)
            bias = np.log(rate / (1 - rate))
            loss = -rate * np.log(rate) - (1 - rate) * np.log(1 - rate)
        else:
            bias = total / max(weight, 1.0)
            loss = squares / max(weight, 1.0) - bias**2
        ranker.heads[task.name].bias.assign([bias])
        scale += task.loss_weight * loss
    ranker.trunk.set_loss_scale(max(scale, 1e-6))


def fit(
    ranker: MultiTaskRanker,
    train: tf.data.Dataset,
    validation: tf.data.Dataset,
    training: Training,
    log_dir: str,
) -> dict[str, list[float]]:
    """Trains until the validation loss stops falling and keeps the best epoch's weights."""
    routing = RoutingLog(log_dir)
    callbacks = [
        routing,
        keras.callbacks.EarlyStopping(
            monitor="val_loss", mode="min", patience=training.patience, restore_best_weights=True
        ),
        keras.callbacks.TensorBoard(log_dir, write_graph=False),
    ]
    history = ranker.fit(
        train,
        validation_data=validation,
        epochs=training.epochs,
        callbacks=callbacks,
        verbose=2,
    )
    curves = history.history | routing.history
    return {name: [float(value) for value in values] for name, values in curves.items()}


def write_warm_up(
    ranker: MultiTaskRanker,
    served: ServedRanker,
    config: ModelConfig,
    serving: Serving,
    fn_args: "FnArgs",
) -> None:
    """Gives the SavedModel warm-up requests from validation rows, and the scores of `ranker`."""
    raw = RawExamples.model_validate(fn_args.custom_config["raw_examples"])
    columns = [column.name for column in feature_columns(config)]
    rows = tf.constant(request_rows(raw.patterns, serving.batch_sizes[-1], columns))
    parsed = served.columns(rows)
    scores = with_score(ranker.predict_values(served.features(parsed)), serving)
    info = ModelInfo(
        name=fn_args.custom_config["name"],
        config_digest=hashlib.sha256(config.model_dump_json().encode()).hexdigest()[:16],
        data_span=raw.span,
        num_rows=raw.num_rows,
        binary_tasks=tuple(task.name for task in config.tasks if task.kind == "binary"),
        regression_tasks=tuple(task.name for task in config.tasks if task.kind == "regression"),
        score=serving.score,
        batch_sizes=serving.batch_sizes,
    )
    write_serving_files(fn_args.serving_model_dir, info, served.requests(parsed, rows), scores)


def write_summary(
    ranker: MultiTaskRanker,
    history: dict[str, list[float]],
    log_dir: str,
    served: ServedRanker | None = None,
) -> None:
    """Writes `training.json`: learning curves, best epoch, cost by part, also as served, routes."""
    routes = [
        {
            "name": matrix.name,
            "upper": matrix.upper,
            "lower": matrix.lower,
            "values": matrix.values.numpy().tolist(),
        }
        for matrix in ranker.trunk.routing()
    ]
    losses = history["val_loss"]
    summary = {
        "epochs": len(losses),
        "best_epoch": losses.index(min(losses)) + 1,
        "history": history,
        "cost": [asdict(part) for part in describe(ranker)],
        "served_cost": [asdict(part) for part in describe(ranker, served and served.trunk)],
        "routing": routes,
        "guarded_tasks": ranker.trunk.guarded_tasks(),
    }
    Path(log_dir).mkdir(parents=True, exist_ok=True)
    (Path(log_dir) / "training.json").write_text(json.dumps(summary, indent=1), encoding="utf-8")
