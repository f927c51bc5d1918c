"""LogExampleGen against TFX's CsvExampleGen: rows/s from one CSV file to gzipped TFRecords.

Run: python benchmarks/ingest.py [--rows N]. Both sides read the same file in turn in this process,
with the same Beam runner. Ours splits by time in three, TFX's by hash in two, as it can.
"""

import argparse
import json
import os
import platform
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pcsv

from taskroute.components.log_example_gen.executor import Executor
from taskroute.schemas.columns import RawColumn
from taskroute.schemas.source import Source, Split
from taskroute.schemas.tasks import Label, Task

from tfx.components.example_gen import utils  # isort: skip
from tfx.components.example_gen.csv_example_gen import executor as csv_executor  # isort: skip
from tfx.proto import example_gen_pb2  # isort: skip
from tfx.types import standard_artifacts  # isort: skip
from tfx.utils import proto_utils  # isort: skip

BEAM_ARGS = ("--runner=FnApiRunner", "--sdk_container_image=local")
COLUMNS = (
    RawColumn("user_id", "text"),
    RawColumn("item_id", "text"),
    RawColumn("device", "text"),
    RawColumn("genres", "texts", "|"),
    RawColumn("age", "number"),
    RawColumn("hour", "number"),
    RawColumn("clicked", "number"),
    RawColumn("watch_seconds", "number"),
)


def write_log(path: Path, num_rows: int) -> None:
    generator = np.random.default_rng(1)
    genres = generator.choice(["drama", "comedy", "news", "sport"], (2, num_rows))
    table = pa.table(
        {
            "event_time": 1_700_000_000 + np.sort(generator.integers(0, 14 * 86_400, num_rows)),
            "user_id": np.char.add("u", generator.integers(0, 100_000, num_rows).astype(str)),
            "item_id": generator.integers(0, 50_000, num_rows),
            "device": generator.choice(["ios", "android", "web"], num_rows),
            "genres": np.char.add(np.char.add(genres[0], "|"), genres[1]),
            "age": generator.integers(15, 80, num_rows),
            "hour": generator.integers(0, 24, num_rows),
            "clicked": generator.integers(0, 2, num_rows),
            "watch_seconds": generator.exponential(30, num_rows).round(1),
        }
    )
    pcsv.write_csv(table, path)


def seconds_of_ours(log: Path, target: Path) -> float:
    source = Source(path=str(log), format="csv", timestamp="event_time", split=Split(by="time"))
    properties = {
        "source": source.model_dump_json(),
        "columns": json.dumps([asdict(column) for column in COLUMNS]),
        "tasks": json.dumps([Task(name="click", label=Label(column="clicked")).model_dump()]),
    }
    return _seconds(Executor, {}, target, properties)


def seconds_of_tfx(log: Path, target: Path) -> float:
    inputs = utils.make_default_input_config()
    properties = {
        "input_base": str(log.parent),
        "input_config": proto_utils.proto_to_json(inputs),
        "output_config": proto_utils.proto_to_json(utils.make_default_output_config(inputs)),
        "output_data_format": example_gen_pb2.FORMAT_TF_EXAMPLE,
    }
    return _seconds(csv_executor.Executor, {}, target, properties)


def _seconds(executor_class, inputs, target: Path, properties) -> float:
    target.mkdir()
    examples = standard_artifacts.Examples()
    examples.uri = str(target)
    executor = executor_class(executor_class.Context(beam_pipeline_args=list(BEAM_ARGS)))
    start = time.perf_counter()
    executor.Do(inputs, {"examples": [examples]}, properties)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    rows = parser.parse_args().rows
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log" / "log.csv"
        log.parent.mkdir()
        write_log(log, rows)
        ours = rows / seconds_of_ours(log, Path(folder) / "ours")
        print(f"LogExampleGen  {ours:>10,.0f} rows/s")
        theirs = rows / seconds_of_tfx(log, Path(folder) / "theirs")
        print(f"CsvExampleGen  {theirs:>10,.0f} rows/s")
    machine = f"{platform.machine()}, {os.cpu_count()} cores"
    result = {"ratio": round(ours / theirs, 1), "ours": round(ours), "theirs": round(theirs)}
    print(json.dumps({**result, "unit": "rows/s", "rows": rows, "machine": machine}))


if __name__ == "__main__":
    main()
