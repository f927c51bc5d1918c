"""Ingestion, statistics and transformation: our stages against TFX's, on the same CSV log.

Run: python benchmarks/pipeline.py [--rows N]. The log is that of `taskroute demo`, in a file for
each split, because CsvExampleGen cannot split by time. Each side has a process of its own, with the
same Beam runner, one after the other; a stage's time is that of its executor's `Do`, imports left
out. TFX's Transform materializes and computes no statistics, as ours. The features, and what is
done with them, are those of examples/demo.yaml, and a number of the row.

A third process then compares what the two have made: the examples row for row, the vocabularies to
the byte, the transformed ids exactly and the transformed numbers to 1e-5.
"""

import argparse
import importlib
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import pyarrow as pa
import pyarrow.csv as pcsv
import pyarrow.parquet as pq

from taskroute.components.logs.example_tensors import sparse_columns
from taskroute.components.logs.splits import find_cutoffs
from taskroute.pipeline.sample_log.sample_log import SampleLogSpec, make_sample_log
from taskroute.schemas.columns import raw_columns
from taskroute.schemas.recommender import DataConfig, RecommenderConfig, load_config
from taskroute.schemas.source import SPLITS

BEAM_ARGS = ("--runner=FnApiRunner", "--sdk_container_image=local")
ROW = "row"


def demo_config() -> RecommenderConfig:
    """That of the demo, with a feature that says which row of the log an example is."""
    config = load_config(Path(__file__).parents[1] / "examples" / "demo.yaml")
    row = {"name": ROW, "kind": "dense", "transform": "none"}
    content = config.model_dump()
    content["features"] = [*content["features"], row]
    return RecommenderConfig.model_validate(content)


def demo_data() -> DataConfig:
    return demo_config().part(DataConfig)


def write_log(folder: Path, num_rows: int) -> None:
    """A CSV file for each split, cut where LogExampleGen cuts the whole of them by time."""
    table = make_sample_log(SampleLogSpec(num_rows=num_rows)).table
    table = table.append_column(ROW, pa.array(np.arange(num_rows)))
    seconds = table["event_time"].to_numpy().astype("datetime64[s]").astype(np.int64)
    cutoffs = find_cutoffs(*np.unique(seconds, return_counts=True), 0.1, 0.1)
    assert cutoffs is not None
    assert cutoffs.test is not None
    cuts = np.searchsorted(seconds, [cutoffs.validation, cutoffs.test]).tolist()
    # CsvExampleGen would take the quotes of the header as part of the names.
    plain = pcsv.WriteOptions(include_header=False, quoting_style="none")
    header = ",".join(table.column_names).encode() + b"\n"
    for split, start, stop in zip(SPLITS, [0, *cuts], [*cuts, num_rows], strict=True):
        (folder / split).mkdir(parents=True)
        with (folder / split / "log.csv").open("wb") as file:
            file.write(header)
            pcsv.write_csv(table.slice(start, stop - start), file, plain)


class Stages:
    """Runs executors and keeps what each took."""

    def __init__(self, folder: Path):
        self.seconds: dict[str, dict[str, float]] = {}
        self._folder = folder

    def artifact(self, kind: str, name: str) -> Any:
        """An empty artifact of a TFX type."""
        from tfx.types import standard_artifacts

        made = getattr(standard_artifacts, kind)()
        return self.place(made, name)

    def place(self, artifact: Any, name: str) -> Any:
        """Gives an artifact its folder."""
        artifact.uri = str(self._folder / name)
        Path(artifact.uri).mkdir(parents=True)
        return artifact

    def run(self, name: str, module: str, inputs: Any, outputs: Any, properties: Any) -> None:
        """Calls `Do` of the executor of a module."""
        executor_class = importlib.import_module(module).Executor
        executor = executor_class(executor_class.Context(beam_pipeline_args=list(BEAM_ARGS)))
        with self._timed(name):
            executor.Do(_listed(inputs), _listed(outputs), properties)

    @contextmanager
    def _timed(self, name: str) -> Iterator[None]:
        start, cpu_start = time.perf_counter(), time.process_time()
        yield
        taken = {
            "wall": time.perf_counter() - start,
            "cpu": time.process_time() - cpu_start,
            "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        }
        self.seconds[name] = taken
        print(
            f"  {name:<14}{taken['wall']:>8.1f} s{taken['cpu']:>8.1f} s of processor time"
            f"{taken['peak_mb']:>8,.0f} MB at most, so far"
        )


def _listed(artifacts: dict[str, Any]) -> dict[str, list[Any]]:
    return {key: [artifact] for key, artifact in artifacts.items()}


def ours(log: Path, folder: Path) -> dict[str, dict[str, float]]:
    """LogExampleGen, StatisticsGen, Transform."""
    from google.protobuf import text_format

    from taskroute.components.artifact_types import Quarantine
    from taskroute.schemas.log_schema import make_schema
    from taskroute.schemas.source import Source, Split

    config, data = demo_config(), demo_data()
    source = Source(
        path=f"{log}/*/log.csv", format="csv", timestamp="event_time", split=Split(by="time")
    )
    columns = [vars(column) for column in raw_columns(config)]
    tasks = [task.model_dump(mode="json") for task in config.tasks]
    components = "taskroute.components"
    stages = Stages(folder)
    examples = stages.artifact("Examples", "examples")
    stages.run(
        "ingestion",
        f"{components}.log_example_gen.executor",
        {},
        {"examples": examples, "quarantine": stages.place(Quarantine(), "quarantine")},
        {
            "source": source.model_dump_json(),
            "columns": json.dumps(columns),
            "tasks": json.dumps(tasks),
        },
    )
    stages.run(
        "statistics",
        f"{components}.batch_statistics_gen.executor",
        {"examples": examples},
        {"statistics": stages.artifact("ExampleStatistics", "statistics")},
        {"data": data.model_dump_json()},
    )
    schema = stages.artifact("Schema", "schema")
    content = text_format.MessageToString(make_schema(data))
    Path(schema.uri, "schema.pbtxt").write_text(content)
    stages.run(
        "transform",
        f"{components}.feature_transform.executor",
        {"examples": examples, "schema": schema},
        {
            "transform_graph": stages.artifact("TransformGraph", "graph"),
            "transformed_examples": stages.artifact("Examples", "transformed"),
        },
        {
            "preprocessing_fn": "taskroute.models.preprocessing.preprocessing_fn",
            "data": data.model_dump_json(),
        },
    )
    return stages.seconds


def stock(log: Path, folder: Path) -> dict[str, dict[str, float]]:
    """CsvExampleGen, StatisticsGen, Transform; the schema is that which SchemaGen would give."""
    import tensorflow_data_validation as tfdv
    from tfx.components.example_gen import utils
    from tfx.proto import example_gen_pb2
    from tfx.utils import proto_utils

    inputs = example_gen_pb2.Input(
        splits=[
            example_gen_pb2.Input.Split(name=split, pattern=f"{split}/*.csv") for split in SPLITS
        ]
    )
    stages = Stages(folder)
    examples = stages.artifact("Examples", "examples")
    stages.run(
        "ingestion",
        "tfx.components.example_gen.csv_example_gen.executor",
        {},
        {"examples": examples},
        {
            "input_base": str(log),
            "input_config": proto_utils.proto_to_json(inputs),
            "output_config": proto_utils.proto_to_json(utils.make_default_output_config(inputs)),
            "output_data_format": example_gen_pb2.FORMAT_TF_EXAMPLE,
        },
    )
    statistics = stages.artifact("ExampleStatistics", "statistics")
    stages.run(
        "statistics",
        "tfx.components.statistics_gen.executor",
        {"examples": examples},
        {"statistics": statistics},
        {"exclude_splits": "[]"},
    )
    schema = stages.artifact("Schema", "schema")
    train = tfdv.load_stats_binary(f"{statistics.uri}/Split-train/FeatureStats.pb")
    inferred = tfdv.infer_schema(train, infer_feature_shape=False)
    tfdv.write_schema_text(inferred, f"{schema.uri}/schema.pbtxt")
    custom_config = {"data": demo_data().model_dump_json(), "lists_are_texts": True}
    stages.run(
        "transform",
        "tfx.components.transform.executor",
        {"examples": examples, "schema": schema},
        {
            "transform_graph": stages.artifact("TransformGraph", "graph"),
            "transformed_examples": stages.artifact("Examples", "transformed"),
        },
        {
            "preprocessing_fn": "stock_preprocessing.preprocessing_fn",
            "custom_config": json.dumps(custom_config),
            "disable_statistics": 1,
        },
    )
    return stages.seconds


def compare(mine: Path, theirs: Path) -> dict[str, int]:
    """Raises AssertionError where the two differ; counts what was compared."""
    compared = {"rows": 0, "values": 0, "vocabularies": 0, "terms": 0}
    assets = sorted(path.name for path in (theirs / "graph/transform_fn/assets").iterdir())
    for name in assets:
        place = f"graph/transform_fn/assets/{name}"
        content = (mine / place).read_bytes()
        assert content == (theirs / place).read_bytes(), name
        compared["vocabularies"] += 1
        compared["terms"] += content.count(b"\n")
    for split in SPLITS:
        _compare_examples(mine, theirs, split)
        left, right = (_transformed(folder, split) for folder in (mine, theirs))
        assert set(left) == set(right)
        for name, values in left.items():
            expected = right[name]
            if values.dtype == np.float32:
                np.testing.assert_allclose(values, expected, rtol=1e-5, atol=1e-5, err_msg=name)
            else:
                np.testing.assert_array_equal(values, expected, name)
            compared["values"] += values.size
        compared["rows"] += len(left[ROW])
    return compared


def _compare_examples(mine: Path, theirs: Path, split: str) -> None:
    """Our raw examples against TFX's, whose types follow from the text and which split no list."""
    import tensorflow as tf

    columns = raw_columns(demo_data())
    specs = {
        c.name: tf.SparseTensorSpec([None, None], tf.float32 if c.kind == "number" else tf.string)
        for c in columns
    }
    files = sorted((mine / "examples" / f"Split-{split}").iterdir())
    rows = pa.concat_tables(map(pq.read_table, files)).combine_chunks()
    (batch,) = rows.to_batches()
    left = {
        name: tf.RaggedTensor.from_sparse(values)
        for name, values in sparse_columns(batch, specs).items()
    }
    first = next(iter(_records(theirs / "examples", split).take(1)))
    kinds = {"int64_list": tf.int64, "float_list": tf.float32, "bytes_list": tf.string}
    found = tf.train.Example.FromString(first.numpy()).features.feature
    types = {
        c.name: kinds.get(found[c.name].WhichOneof("kind"), left[c.name].dtype) for c in columns
    }
    right = _parsed(theirs / "examples", split, types)
    order, expected_order = (
        np.argsort(side[ROW].flat_values.numpy(), kind="stable") for side in (left, right)
    )
    for column in columns:
        values, expected = left[column.name], right[column.name]
        if column.kind == "number":
            expected = tf.cast(expected, tf.float32)
        if column.kind == "texts":
            values = tf.strings.reduce_join(values, axis=1, separator=column.separator)
            expected = tf.strings.reduce_join(expected, axis=1)
        values, expected = tf.gather(values, order), tf.gather(expected, expected_order)
        if isinstance(values, tf.RaggedTensor):
            assert np.array_equal(values.row_lengths(), expected.row_lengths()), column
            values, expected = values.flat_values, expected.flat_values
        np.testing.assert_array_equal(values.numpy(), expected.numpy(), column.name)


def _transformed(folder: Path, split: str) -> dict[str, np.ndarray]:
    """By name, the values in the order of the log; those of a list end to end."""
    import tensorflow as tf

    from taskroute.models.dataset import feature_spec, labels_spec, make_dataset

    data = demo_data()
    files = folder / "transformed" / f"Split-{split}"
    if next(files.iterdir()).suffix == ".parquet":
        (columns,) = make_dataset([f"{files}/*"], data, batch_size=1 << 30)
    else:
        records = next(iter(_records(folder / "transformed", split).batch(1 << 30)))
        columns = tf.io.parse_example(records, {**feature_spec(data), **labels_spec(data)})
    order = np.argsort(columns[ROW].numpy())
    sorted_rows = {name: tf.gather(values, order) for name, values in columns.items()}
    return {
        name: (values.flat_values if isinstance(values, tf.RaggedTensor) else values).numpy()
        for name, values in sorted_rows.items()
    }


def _parsed(folder: Path, split: str, types: dict[str, Any]) -> dict[str, Any]:
    import tensorflow as tf

    records = next(iter(_records(folder, split).batch(1 << 30)))
    spec = {
        name: tf.io.RaggedFeature(dtype, row_splits_dtype=tf.int64) for name, dtype in types.items()
    }
    return tf.io.parse_example(records, spec)


def _records(folder: Path, split: str) -> Any:
    import tensorflow as tf

    files = sorted(str(path) for path in (folder / f"Split-{split}").iterdir())
    return tf.data.TFRecordDataset(files, "GZIP")


def in_process(*arguments: str) -> dict[str, Any]:
    """Calls this program with arguments in a new process; its last line, as JSON."""
    program = [sys.executable, __file__, "--do", *arguments]
    ended = subprocess.run(program, capture_output=True, text=True, check=False)
    if ended.returncode:
        raise RuntimeError(ended.stderr[-5000:])
    *lines, last = ended.stdout.splitlines()
    print("\n".join(lines), flush=True)
    return json.loads(last)


def do(what: str, *paths: str) -> dict[str, Any]:
    first, second = map(Path, paths)
    if what == "compare":
        return compare(first, second)
    return {"ours": ours, "stock": stock}[what](first, second)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=300_000)
    parser.add_argument("--do", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.do:
        print(json.dumps(do(*options.do)))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_log(folder / "log", options.rows)
        measured = {}
        for side in ("ours", "stock"):
            print(side, flush=True)
            measured[side] = in_process(side, str(folder / "log"), str(folder / side))
        compared = in_process("compare", str(folder / "ours"), str(folder / "stock"))
    total = {
        f"{side}_{clock}_s": round(sum(stage[clock] for stage in found.values()), 1)
        for side, found in measured.items()
        for clock in ("wall", "cpu")
    }
    stages = {
        f"ratio_{name}": round(taken["wall"] / measured["ours"][name]["wall"], 1)
        for name, taken in measured["stock"].items()
    }
    result = {
        "ratio": round(total["stock_wall_s"] / total["ours_wall_s"], 1),
        "ratio_of_processor_time": round(total["stock_cpu_s"] / total["ours_cpu_s"], 1),
        **stages,
        **total,
        **{
            f"{side}_peak_mb": round(max(stage["peak_mb"] for stage in found.values()))
            for side, found in measured.items()
        },
        "equal": compared,
        "rows": options.rows,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[1]:.1f}",
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
