"""One exported model, shared by the tests of this folder."""

import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

import apache_beam as beam
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
import tensorflow_transform as tft
import tensorflow_transform.beam as tft_beam
from tensorflow_transform.tf_metadata import dataset_metadata, metadata_io

from taskroute.components.transform.analysis import analyze
from taskroute.models.export import export
from taskroute.models.preprocessing import preprocessing_fn
from taskroute.models.trainer import write_warm_up
from taskroute.schemas.log_schema import make_schema
from taskroute.schemas.recommender import DataConfig

# Tests are no package; this is how they share a module.
sys.path.insert(0, str(Path(__file__).parent))

from served_shop import (
    CONFIG,
    EDGE_ROWS,
    SERVING,
    columns_of,
    make_ranker,
    make_rows,
    raw_rows,
    to_features,
)


@pytest.fixture(scope="session")
def world(tmp_path_factory):
    """A transform graph, an untrained ranker with open weights, and its SavedModel."""
    folder = tmp_path_factory.mktemp("world")
    rows = make_rows(120)
    metadata = dataset_metadata.DatasetMetadata(make_schema(CONFIG))
    pq.write_table(pa.Table.from_batches([raw_rows(rows)]), folder / "raw-00000.parquet")
    data = DataConfig(features=CONFIG.features, tasks=CONFIG.tasks)
    (folder / "analysis").mkdir()
    with beam.Pipeline("FnApiRunner") as pipeline:
        analyze(pipeline, [str(folder / "raw-00000.parquet")], data, str(folder / "analysis"))
    custom_config = {"data": data.model_dump_json(), "analysis": str(folder / "analysis")}
    with tft_beam.Context(temp_dir=tempfile.mkdtemp(dir=folder)):
        (transformed, _), transform_fn = (columns_of(rows), metadata) | (
            tft_beam.AnalyzeAndTransformDataset(
                lambda inputs: preprocessing_fn(inputs, custom_config)
            )
        )
        edge, _ = ((columns_of(EDGE_ROWS), metadata), transform_fn) | (tft_beam.TransformDataset())
        transform_fn | tft_beam.WriteTransformFn(str(folder / "transform"))
    metadata_io.write_metadata(metadata, str(folder / "transform/metadata"))
    transform = tft.TFTransformOutput(str(folder / "transform"))
    in_beam = transformed + edge
    features = to_features(in_beam)
    ranker = make_ranker(transform, features)
    served = export(ranker, transform, CONFIG, str(folder / "model"), SERVING)
    raw = {"patterns": [str(folder / "raw-*")], "span": ["5", "7"], "num_rows": {"train": 100}}
    fn_args = SimpleNamespace(
        custom_config={"name": "shop", "raw_examples": raw}, serving_model_dir=folder / "model"
    )
    write_warm_up(ranker, served, CONFIG, SERVING, fn_args)
    values = ranker.predict_values(features)
    values["score"] = values["click"] + 0.5 * values["long_view"]
    return folder, rows + EDGE_ROWS, in_beam, values


@pytest.fixture(scope="session")
def ranker(world):
    transform = tft.TFTransformOutput(str(world[0] / "transform"))
    return make_ranker(transform, to_features(world[2]))


@pytest.fixture(scope="session")
def loaded(world):
    return tf.saved_model.load(str(world[0] / "model"))
