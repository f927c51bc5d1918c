"""DayMonitor: the work of the component."""

import math
from pathlib import Path
from typing import Any

import tensorflow as tf
from tfx import types
from tfx.dsl.components.base import base_beam_executor
from tfx.types import artifact_utils

from taskroute.components.day_monitor.counting import SHIFTED_SPLITS, CountingPlan, Shard, count
from taskroute.components.day_monitor.served import NOT_COMPARED, Served, read_served
from taskroute.components.logs.examples import span_of
from taskroute.components.measures.day_records import read_tables
from taskroute.components.measures.histogram import read_histograms
from taskroute.components.measures.judge import judge
from taskroute.components.measures.tables import (
    NO_SPAN,
    ColumnPlan,
    has_predictions,
    in_order,
    num_rows,
    without_model,
)
from taskroute.schemas.change_record import DayChanges
from taskroute.schemas.columns import feature_columns, label_columns
from taskroute.schemas.monitoring import Monitoring
from taskroute.schemas.recommender import DataConfig
from taskroute.schemas.statistics_files import split_statistics

# Rows of the window to count: more make a change no clearer, and each is scored.
MOST_ROWS = 500_000


class Executor(base_beam_executor.BaseBeamExecutor):
    """Compares the newest span of the window with those before it, and test with train split."""

    def Do(  # noqa: N802
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Runs the component.

        Args:
            input_dict: `examples`, raw; their `statistics`; `transform_graph`.
            output_dict: `changes`, gets changes.json and tables.npz.
            exec_properties: `data` and `monitoring`, configs as JSON; `group_key`, "" where there
                is none; `confidence`; `serving`, the folder of the model's versions.
        """
        data = DataConfig.model_validate_json(exec_properties["data"])
        examples = artifact_utils.get_single_instance(input_dict["examples"])
        statistics = artifact_utils.get_single_uri(input_dict["statistics"])
        folder = Path(artifact_utils.get_single_uri(output_dict["changes"]))
        folder.mkdir(parents=True, exist_ok=True)

        shards = _shards(examples)
        spans = in_order({span for span, *_ in shards if span is not None})
        served: Served | None = None
        note = "nothing was compared: the log has fewer than two spans"
        if len(spans) > 1:
            served, note = read_served(exec_properties["serving"], data.features, spans[-1])
        read_by_features = {column.name for column in feature_columns(data)}
        histograms = read_histograms(split_statistics(statistics, "train"), read_by_features)
        plan = CountingPlan(
            counted=ColumnPlan(
                histograms=histograms,
                label_columns=tuple(column.name for column in label_columns(data)),
                vocabularies=served.vocabularies if served else {},
                group_key=exec_properties["group_key"] or None,
            ),
            tasks=data.tasks if len(spans) > 1 else (),
            transform_graph=artifact_utils.get_single_uri(input_dict["transform_graph"]),
            served=served.folder if served else None,
            every=_every(examples),
        )
        with self._make_beam_pipeline() as pipeline:
            count(pipeline, plan, shards, folder)
        all_tables = read_tables(folder)
        tables = {span: all_tables[span] for span in spans}
        if served is not None and not has_predictions(tables):
            note = f"{NOT_COMPARED}: version {served.version} cannot score these rows"
            served = None
            tables = {span: without_model(one) for span, one in tables.items()}
        train, test = SHIFTED_SPLITS
        since = {span: tables[span] for span in spans[:-1]}
        changes = judge(
            {**since, train: all_tables.get(train, {})},
            {spans[-1]: tables[spans[-1]], test: all_tables.get(test, {})},
            Monitoring.model_validate_json(exec_properties["monitoring"]),
            histograms,
            exec_properties["confidence"],
        )
        DayChanges(
            now=spans[-1] if len(spans) > 1 else None,
            rows={span: num_rows(tables[span]) for span in spans},
            every=plan.every,
            served_version=served.version if served else None,
            note=note,
            changes=changes,
            histograms=histograms,
        ).write(folder)


def _shards(examples: types.Artifact) -> list[Shard]:
    """Shards of all splits; beside shards with a span, the others are compared as splits only."""
    files = [
        (split, file)
        for split in artifact_utils.decode_split_names(examples.split_names)
        for file in sorted(tf.io.gfile.glob(f"{artifact_utils.get_split_uri([examples], split)}/*"))
    ]
    spans = [span_of(file) for _, file in files]
    without = None if any(spans) else NO_SPAN
    return [
        ((span.lstrip("0") or "0") if span else without, split, number, file)
        for number, (span, (split, file)) in enumerate(zip(spans, files, strict=True))
    ]


def _every(examples: types.Artifact) -> int:
    names = artifact_utils.decode_split_names(examples.split_names)
    total = sum(examples.get_int_custom_property(f"num_rows_{name}") for name in names)
    return max(math.ceil(total / MOST_ROWS), 1)
