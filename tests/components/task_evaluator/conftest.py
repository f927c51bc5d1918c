"""The evaluator on real shards, a real transform graph and a small exported model."""

import sys
from pathlib import Path

import apache_beam as beam
import pytest
import tensorflow_transform.beam as tft_beam
from tensorflow_transform.tf_metadata import dataset_metadata, schema_utils
from tfx import types
from tfx.types import standard_artifacts

from taskroute.components.task_evaluator import executor
from taskroute.components.task_evaluator.component import TaskEvaluator
from taskroute.schemas.evaluation import Evaluation
from taskroute.schemas.evaluation_record import (
    Measurements,
    Verdict,
)

# Tests are no package; this is how they share a module.
sys.path.insert(0, str(Path(__file__).parent))

from evaluated_model import (
    BEAM_ARGS,
    NUM_ROWS,
    SPEC,
    TASKS,
    Ranker,
    export,
    make_artifact,
    make_rows,
    make_table,
    point_to,
    preprocess,
    write_shards,
)


@pytest.fixture(scope="module")
def transform_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("transform_graph")
    metadata = dataset_metadata.DatasetMetadata(schema_utils.schema_from_feature_spec(SPEC))
    rows = [
        {
            **{name: [float(i % 2)] for name in ("x", "clicked", "watch_seconds")},
            **{name: [b"a"] for name in ("device", "user")},
        }
        for i in range(4)
    ]
    with beam.Pipeline("FnApiRunner") as pipeline, tft_beam.Context(str(folder / "temporary")):
        data = pipeline | beam.Create(rows)
        transform = (data, metadata) | tft_beam.AnalyzeDataset(preprocess)
        _ = transform | tft_beam.WriteTransformFn(str(folder))
        _ = metadata | tft_beam.WriteMetadata(str(folder / "metadata"), pipeline)
    return folder


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    export(Ranker(1.0), folder)
    return folder


@pytest.fixture
def examples_folder(tmp_path):
    """Two files of test rows, and a train split that cannot be read."""
    folder = tmp_path / "examples"
    write_shards(folder / "Split-test", 2, make_table(*make_rows(NUM_ROWS)))
    (folder / "Split-train").mkdir()
    (folder / "Split-train" / "data-00000-of-00001.parquet").write_bytes(
        b"these rows were trained on"
    )
    return folder


@pytest.fixture
def evaluate(tmp_path, examples_folder, model_folder, transform_folder):
    """Runs the executor; returns (blessing, (measurements, verdict))."""

    def run(*gates, tasks=TASKS, model=model_folder, baseline=None, features=(), **settings):
        examples = make_artifact(standard_artifacts.Examples, examples_folder)
        examples.splits = ["train", "test"]
        inputs = {
            "examples": [examples],
            "model": [make_artifact(standard_artifacts.Model, model)],
            "transform_graph": [make_artifact(standard_artifacts.TransformGraph, transform_folder)],
        }
        blessing = make_artifact(standard_artifacts.ModelBlessing, tmp_path / "blessing")
        evaluation = make_artifact(standard_artifacts.ModelEvaluation, tmp_path / "evaluation")
        component = TaskEvaluator(
            **{name: types.Channel(type=artifacts[0].type) for name, artifacts in inputs.items()},
            tasks=tasks,
            evaluation=Evaluation(gates=gates, **settings),
            serving=point_to(baseline) if baseline else "",
            features=features,
        )
        executor.Executor(executor.Executor.Context(beam_pipeline_args=BEAM_ARGS)).Do(
            inputs, {"evaluation": [evaluation], "blessing": [blessing]}, component.exec_properties
        )
        return blessing, (Measurements.read(evaluation.uri), Verdict.read(evaluation.uri))

    return run
