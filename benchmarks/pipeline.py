"""Ingestion, statistics and transformation: our stages against TFX's, on the same CSV log.

Run: python benchmarks/pipeline.py [--rows N]. The log is that of `taskroute demo`, in a file for
each split, because CsvExampleGen cannot split by time. Each side has a process of its own, with the
same Beam runner, one after the other; a stage's time is that of its executor's `Do`, imports left
out. TFX's Transform materializes and computes no statistics, as ours. The features, and what is
done with them, are those of examples/demo.yaml, and a number of the row.

A third process then compares both results: the examples row for row, the vocabularies to
the byte, the transformed ids exactly and the transformed numbers to 1e-5.
"""

import argparse
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness import DEMO, child, options, peak_mb, report
from stages import Chain, own_stages

import numpy as np
import pyarrow as pa
import pyarrow.csv as pcsv
import tensorflow as tf
from tfx.dsl.components.base.base_component import BaseComponent

from taskroute.components.logs.examples import read_batches
from taskroute.components.logs.splits import find_cutoffs
from taskroute.models.dataset import feature_spec, label_spec, make_dataset
from taskroute.pipeline.sample_log.sample_log import SampleLogSpec, make_sample_log
from taskroute.schemas.columns import raw_columns
from taskroute.schemas.recommender import DataConfig, RecommenderConfig, load_config
from taskroute.schemas.source import SPLITS

TIMED = ("ingestion", "statistics", "transform")
ROW = "row"


def demo_config() -> RecommenderConfig:
    """Demo's config with a feature that says which row of the log an example is."""
    row = {"name": ROW, "kind": "dense", "transform": "none"}
    content = load_config(DEMO).model_dump()
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


def run_all(chain: Chain, stages: Mapping[str, BaseComponent]) -> dict[str, dict[str, float]]:
    """Times of stages that have a name; the others only prepare."""
    seconds = {}
    for name, stage in stages.items():
        duration = chain.run(stage)
        if name in TIMED:
            seconds[name] = {"wall": duration.wall, "cpu": duration.cpu, "peak_mb": peak_mb()}
            print(
                f"  {name:<14}{duration.wall:>8.1f} s{duration.cpu:>8.1f} s of processor time"
                f"{peak_mb():>8,.0f} MB at most, so far"
            )
    return seconds


def ours(log: Path, folder: Path) -> dict[str, dict[str, float]]:
    """LogExampleGen, StatisticsGen, Transform."""
    config = demo_config()
    csv = config.source.model_copy(update={"format": "csv"})
    own = own_stages(config.model_copy(update={"source": csv}), f"{log}/*/log.csv", folder / "root")
    stages = {
        "ingestion": own["LogExampleGen"],
        "statistics": own["StatisticsGen"],
        "schema": own["LogSchemaGen"],
        "transform": own["Transform"],
    }
    return run_all(Chain(folder), stages)


def stock(log: Path, folder: Path) -> dict[str, dict[str, float]]:
    """CsvExampleGen, StatisticsGen, SchemaGen, Transform."""
    from tfx.components import CsvExampleGen, SchemaGen, StatisticsGen, Transform
    from tfx.proto import example_gen_pb2

    inputs = example_gen_pb2.Input(
        splits=[
            example_gen_pb2.Input.Split(name=split, pattern=f"{split}/*.csv") for split in SPLITS
        ]
    )
    ingestion = CsvExampleGen(input_base=str(log), input_config=inputs).with_id("LogExampleGen")
    examples = ingestion.outputs["examples"]
    statistics = StatisticsGen(examples=examples)
    schema = SchemaGen(statistics=statistics.outputs["statistics"], infer_feature_shape=False)
    transform = Transform(
        examples=examples,
        schema=schema.outputs["schema"],
        preprocessing_fn="stock_preprocessing.preprocessing_fn",
        custom_config={"data": demo_data().model_dump_json(), "lists_are_texts": True},
        disable_statistics=True,
        disable_analyzer_cache=True,
    )
    stages = {
        "ingestion": ingestion,
        "statistics": statistics,
        "schema": schema,
        "transform": transform,
    }
    return run_all(Chain(folder), stages)


def compare(mine: Path, theirs: Path) -> dict[str, int]:
    """Raises AssertionError where the two differ; counts what was compared."""
    compared = {"rows": 0, "values": 0, "vocabularies": 0, "terms": 0}
    assets = "Transform/transform_graph/transform_fn/assets"
    for path in sorted((theirs / assets).iterdir()):
        content = (mine / assets / path.name).read_bytes()
        assert content == path.read_bytes(), path.name
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
    columns = raw_columns(demo_data())
    files = _files(mine / "LogExampleGen" / "examples", split)
    left = pa.Table.from_batches(batch for file in files for batch in read_batches(file))
    records = tf.data.TFRecordDataset(_files(theirs / "LogExampleGen" / "examples", split), "GZIP")
    rows = [tf.train.Example.FromString(x).features.feature for x in records.as_numpy_iterator()]
    order = np.argsort(_numbers(left[ROW]))
    expected_order = np.argsort([row[ROW].int64_list.value[0] for row in rows])
    for column in columns:
        values = left[column.name].combine_chunks().take(pa.array(order)).to_pylist()
        for actual, place in zip(values, expected_order, strict=True):
            feature = rows[place][column.name]
            expected = list(getattr(feature, feature.WhichOneof("kind") or "bytes_list").value)
            if column.kind == "number":
                expected = np.asarray(expected, np.float32).tolist()
            elif column.kind == "text":
                expected = [
                    value if isinstance(value, bytes) else b"%d" % value for value in expected
                ]
            else:
                actual = [(column.separator or "").encode().join(actual or [])]
            assert (actual or []) == expected, (column.name, actual, expected)


def _numbers(column: pa.ChunkedArray) -> np.ndarray:
    return column.combine_chunks().flatten().to_numpy()


def _transformed(folder: Path, split: str) -> dict[str, np.ndarray]:
    """Values by name in the order of the log; those of a list end to end."""
    data = demo_data()
    files = _files(folder / "Transform" / "transformed_examples", split)
    if files[0].endswith(".parquet"):
        (columns,) = make_dataset(files, data, batch_size=1 << 30)
    else:
        spec = {**feature_spec(data), **label_spec(data)}
        records = tf.data.TFRecordDataset(files, "GZIP").batch(1 << 30)
        columns = tf.io.parse_example(next(iter(records)), spec)
    order = np.argsort(columns[ROW].numpy())
    sorted_rows = {name: tf.gather(values, order) for name, values in columns.items()}
    return {
        name: (values.flat_values if isinstance(values, tf.RaggedTensor) else values).numpy()
        for name, values in sorted_rows.items()
    }


def _files(folder: Path, split: str) -> list[str]:
    return sorted(str(path) for path in (folder / f"Split-{split}").iterdir())


SIDES = {"ours": ours, "stock": stock, "compare": compare}


def main() -> None:
    parser = options(__doc__, rows=(300_000, 2_000))
    parser.add_argument("--do", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.do:
        what, first, second = arguments.do
        print(json.dumps(SIDES[what](Path(first), Path(second))))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_log(folder / "log", arguments.rows)
        measured: dict[str, Any] = {}
        for side in ("ours", "stock"):
            print(side, flush=True)
            (measured[side],) = child(__file__, "--do", side, folder / "log", folder / side)
        (compared,) = child(__file__, "--do", "compare", folder / "ours", folder / "stock")
    total = {
        f"{side}_{clock}_s": round(sum(stage[clock] for stage in stages.values()), 1)
        for side, stages in measured.items()
        for clock in ("wall", "cpu")
    }
    report(
        "ingestion, statistics and transform against TFX's",
        ratio=round(total["stock_wall_s"] / total["ours_wall_s"], 1),
        ratio_of_processor_time=round(total["stock_cpu_s"] / total["ours_cpu_s"], 1),
        **{
            f"ratio_{name}": round(duration["wall"] / measured["ours"][name]["wall"], 1)
            for name, duration in measured["stock"].items()
        },
        **total,
        **{
            f"{side}_peak_mb": round(max(stage["peak_mb"] for stage in stages.values()))
            for side, stages in measured.items()
        },
        equal=compared,
        rows=arguments.rows,
    )


if __name__ == "__main__":
    main()
