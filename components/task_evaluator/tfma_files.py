"""Results in the files of TensorFlow Model Analysis, for its loaders and views.

`tfma.load_eval_result(folder, model_name="candidate")` reads them; so does `"baseline"`. Where
there is no baseline, `tfma.load_eval_result(folder)` is enough.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

import tensorflow as tf
from google.protobuf import json_format
from tensorflow_model_analysis import version
from tensorflow_model_analysis.proto import config_pb2, metrics_for_slice_pb2, validation_result_pb2

from taskroute.schemas.evaluation_record import (
    Interval,
    MeasuredTask,
    Measurements,
    TaskMetrics,
    Verdict,
)
from taskroute.schemas.tasks import Task

CANDIDATE, BASELINE = "candidate", "baseline"


def write_tfma_files(
    folder: str | Path,
    measurements: Measurements,
    verdict: Verdict,
    tasks: Iterable[Task],
    candidate_path: str,
) -> None:
    """Writes eval_config.json, metrics-*.tfrecord and validations.tfrecord.

    Metrics are keyed by the task as `output_name` and, where there is a baseline, by `model_name`;
    differences have `is_diff`. Undefined metrics are left out; metrics.json says why.
    """
    folder = Path(folder)
    run = config_pb2.EvalRun(
        version=version.VERSION,
        data_location=measurements.split,
        file_format="tfrecords",
        model_locations={CANDIDATE: candidate_path},
    )
    label_keys = {task.name: task.label_key for task in tasks}
    names = [CANDIDATE]
    if measurements.baseline is not None:
        names.append(BASELINE)
        run.model_locations[BASELINE] = measurements.baseline.path
    for name in names:
        run.eval_config.model_specs.add(
            name=name, label_keys=label_keys, is_baseline=name == BASELINE
        )
    columns = dict.fromkeys(each.column for each in measurements.slices)
    run.eval_config.slicing_specs.add()
    for column in columns:
        run.eval_config.slicing_specs.add(feature_keys=[column])
    (folder / "eval_config.json").write_text(json_format.MessageToJson(run), encoding="utf-8")

    with tf.io.TFRecordWriter(str(folder / "metrics-00000-of-00001.tfrecord")) as writer:
        writer.write(_slice_proto(None, measurements.compared).SerializeToString())
        for each in measurements.slices:
            key = (each.column, each.value)
            writer.write(_slice_proto(key, each.tasks).SerializeToString())
    validation = validation_result_pb2.ValidationResult(
        validation_ok=verdict.blessed, rubber_stamp=measurements.baseline is None
    )
    with tf.io.TFRecordWriter(str(folder / "validations.tfrecord")) as writer:
        writer.write(validation.SerializeToString())


def _slice_proto(
    key: tuple[str, str] | None, tasks: Mapping[str, MeasuredTask]
) -> metrics_for_slice_pb2.MetricsForSlice:
    result = metrics_for_slice_pb2.MetricsForSlice()
    result.slice_key.SetInParent()
    if key is not None:
        column, value = key
        result.slice_key.single_slice_keys.add(column=column, bytes_value=value.encode())
    for task, measured in tasks.items():
        _add_model(result, task, CANDIDATE, measured.candidate)
        if measured.baseline is not None:
            _add_model(result, task, BASELINE, measured.baseline)
        for name, difference in measured.differences.items():
            _add(result, task, CANDIDATE, name, difference.value, difference.interval, True)
    return result


def _add_model(
    result: metrics_for_slice_pb2.MetricsForSlice, task: str, model: str, metrics: TaskMetrics
) -> None:
    _add(result, task, model, "example_count", metrics.num_examples)
    _add(result, task, model, "weighted_example_count", metrics.weight)
    for name, value in metrics.values.items():
        if value is not None:
            _add(result, task, model, name, value, metrics.intervals.get(name))


def _add(
    result: metrics_for_slice_pb2.MetricsForSlice,
    task: str,
    model: str,
    name: str,
    value: float,
    interval: Interval | None = None,
    is_difference: bool = False,
) -> None:
    added = result.metric_keys_and_values.add()
    added.key.name, added.key.output_name, added.key.model_name = name, task, model
    added.key.is_diff = is_difference
    added.value.double_value.value = value
    if interval is not None:
        bounds = added.confidence_interval
        bounds.lower_bound.double_value.value = interval.low
        bounds.upper_bound.double_value.value = interval.high
        bounds.standard_error.double_value.value = interval.standard_error
        bounds.degrees_of_freedom.value = interval.degrees_of_freedom
