"""Entry point of TFX Trainer. TFX reloads this module, so it defines functions only."""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import tensorflow as tf
import tensorflow_transform as tft

from taskroute.models.describe import describe
from taskroute.models.distribution import distributed, own_folder
from taskroute.models.export import ServedRanker, export, with_score
from taskroute.models.ranker import MultiTaskRanker
from taskroute.models.training import Trained, TrainingData, train
from taskroute.models.warm_start import write_warm_start
from taskroute.models.warm_up import request_rows, write_serving_files
from taskroute.schemas.columns import feature_columns, request_columns
from taskroute.schemas.recommender import ModelConfig
from taskroute.schemas.routes import SearchResult
from taskroute.schemas.serving import ModelInfo, RawExamples, ScoreDifference, Serving
from taskroute.schemas.training_record import RoutingTable, TrainingRecord
from taskroute.schemas.warm_start import WARM_START_FOLDER, WarmStartOutcome, WarmStartRecord

if TYPE_CHECKING:
    from tfx.components.trainer.fn_args_utils import FnArgs


def run_fn(fn_args: "FnArgs") -> None:
    """Trains the ranker and writes its SavedModel, its learning curves and its routes.

    Where several workers train, each of them calls this, and the chief's files count.
    """
    config = ModelConfig.model_validate_json(fn_args.custom_config["config"])
    config = with_found_route(config, fn_args.hyperparameters)
    with distributed(config.training):
        fn_args.serving_model_dir = own_folder(fn_args.serving_model_dir)
        fn_args.model_run_dir = own_folder(fn_args.model_run_dir)
        _train(config, fn_args)


def _train(config: ModelConfig, fn_args: "FnArgs") -> None:
    options = fn_args.custom_config
    serving = Serving.model_validate_json(options.get("serving", "{}"))
    data = TrainingData(fn_args.transform_graph_path, fn_args.train_files, fn_args.eval_files)
    trained = train(
        config,
        data,
        serving.calibration,
        warm_start_from=options.get("warm_start"),
        checkpoint=options.get("checkpoint"),
        log_dir=fn_args.model_run_dir,
    )
    ranker, transform = trained.ranker, tft.TFTransformOutput(fn_args.transform_graph_path)
    leave_warm_start(trained, config, fn_args)
    served = export(ranker, transform, config, fn_args.serving_model_dir, serving)
    differences = {}
    if "raw_examples" in options:
        differences = write_warm_up(ranker, served, config, serving, fn_args)
    write_summary(trained, fn_args.model_run_dir, served, differences)


def leave_warm_start(trained: Trained, config: ModelConfig, fn_args: "FnArgs") -> None:
    """Writes all that a later training starts from, and how much this one took over."""
    options, ids = fn_args.custom_config, trained.ids
    raw = options.get("raw_examples")
    record = WarmStartRecord(
        config=options["config"],
        trained=config.model_dump_json(),
        serving=options.get("serving", "{}"),
        data_span=None if raw is None else RawExamples.model_validate(raw).span,
        num_ids=ids.number,
        boundaries=ids.boundaries,
    )
    model = fn_args.serving_model_dir.rstrip("/").rpartition("/")[0]
    write_warm_start(f"{model}/{WARM_START_FOLDER}", trained.ranker, ids, record)
    started = trained.warm_started
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


def write_warm_up(
    ranker: MultiTaskRanker,
    served: ServedRanker,
    config: ModelConfig,
    serving: Serving,
    fn_args: "FnArgs",
) -> dict[str, ScoreDifference]:
    """Adds warm-up requests from validation rows, and their expected scores, to the SavedModel.

    The scores are those of `ranker`, or of `served` where its weights have fewer bits. Returns the
    difference between the two by output.
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
        columns=request_columns(config),
        score_differences=differences,
        saved_bytes=served.saved_bytes,
    )
    expected = scores if served.is_exact else served_scores
    write_serving_files(fn_args.serving_model_dir, info, served.requests(parsed, rows), expected)
    return differences


def _outputs(config: ModelConfig, kind: str) -> tuple[str, ...]:
    return tuple(name for task in config.tasks if task.kind == kind for name in task.outputs)


def write_summary(
    trained: Trained,
    log_dir: str,
    served: ServedRanker | None = None,
    differences: Mapping[str, ScoreDifference] | None = None,
) -> None:
    """Writes `training.json`: learning curves, best epoch, cost by part, routes, served model."""
    ranker = trained.ranker
    record = TrainingRecord(
        epochs=trained.epochs,
        best_epoch=trained.best_epoch,
        history=trained.history,
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
        calibration=trained.calibration,
        score_differences=dict(differences or {}),
        saved_bytes=served.saved_bytes if served else 0,
    )
    record.write(log_dir)
