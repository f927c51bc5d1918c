"""LogExampleGen against TFX's CsvExampleGen: rows/s from one log file to raw examples.

Ours are Parquet files, TFX's gzipped TFRecords of tf.Examples.

Run: python benchmarks/ingest.py [--rows N] [--stock-rows N] [--scale-rows N]. Every measurement has
a process of its own, with the same Beam runner, one after the other; the time is that of the
executor's `Do`, imports left out. Ours splits by time in three, TFX's by hash in two, as it can.
Beside wall time stands processor time, which other work on the machine moves less. The last part
reads a log of ten times the rows of another and compares peak memory and time per row.
"""

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pcsv
import pyarrow.parquet as pq

BEAM_ARGS = ("--runner=FnApiRunner", "--sdk_container_image=local")
_CHUNK_ROWS = 500_000


@dataclass(frozen=True)
class Measured:
    """One reading of a log."""

    rows: int
    seconds: float
    cpu_seconds: float
    imported_mb: float
    peak_mb: float

    @property
    def rate(self) -> float:
        return self.rows / self.seconds

    @property
    def cpu_rate(self) -> float:
        return self.rows / self.cpu_seconds


def write_log(path: Path, num_rows: int) -> None:
    """Eight columns and a timestamp, in the order of time over 14 days."""
    generator = np.random.default_rng(1)
    writer = None
    for start in range(0, num_rows, _CHUNK_ROWS):
        table = _rows(generator, start, min(start + _CHUNK_ROWS, num_rows), num_rows)
        if writer is None:
            is_csv = path.suffix == ".csv"
            writer = (pcsv.CSVWriter if is_csv else pq.ParquetWriter)(path, table.schema)
        writer.write_table(table)
    assert writer is not None, "a log has rows"
    writer.close()


def _rows(generator: np.random.Generator, start: int, stop: int, num_rows: int) -> pa.Table:
    size = stop - start
    genres = generator.choice(["drama", "comedy", "news", "sport"], (2, size))
    return pa.table(
        {
            "event_time": 1_700_000_000 + np.arange(start, stop) * (14 * 86_400) // num_rows,
            "user_id": np.char.add("u", generator.integers(0, 100_000, size).astype(str)),
            "item_id": generator.integers(0, 50_000, size),
            "device": generator.choice(["ios", "android", "web"], size),
            "genres": np.char.add(np.char.add(genres[0], "|"), genres[1]),
            "age": generator.integers(15, 80, size),
            "hour": generator.integers(0, 24, size),
            "clicked": generator.integers(0, 2, size),
            "watch_seconds": generator.exponential(30, size).round(1),
        }
    )


def ours(log: Path, target: Path) -> Measured:
    """LogExampleGen on a CSV or Parquet file."""
    from taskroute.components.artifact_types import Quarantine
    from taskroute.components.log_example_gen.executor import Executor
    from taskroute.schemas.columns import RawColumn
    from taskroute.schemas.source import Source, Split
    from taskroute.schemas.tasks import Label, Task

    columns = (
        RawColumn("user_id", "text"),
        RawColumn("item_id", "text"),
        RawColumn("device", "text"),
        RawColumn("genres", "texts", "|"),
        RawColumn("age", "number"),
        RawColumn("hour", "number"),
        RawColumn("clicked", "number"),
        RawColumn("watch_seconds", "number"),
    )
    source = Source(
        path=str(log), format=log.suffix[1:], timestamp="event_time", split=Split(by="time")
    )
    properties = {
        "source": source.model_dump_json(),
        "columns": json.dumps([asdict(column) for column in columns]),
        "tasks": json.dumps([Task(name="click", label=Label(column="clicked")).model_dump()]),
    }
    quarantine = Quarantine()
    quarantine.uri = str(target / "quarantine")
    return _measure(Executor, target, properties, quarantine=[quarantine])


def theirs(log: Path, target: Path) -> Measured:
    """CsvExampleGen on all CSV files of the folder."""
    from tfx.components.example_gen import utils
    from tfx.components.example_gen.csv_example_gen.executor import Executor
    from tfx.proto import example_gen_pb2
    from tfx.utils import proto_utils

    inputs = utils.make_default_input_config()
    properties = {
        "input_base": str(log.parent),
        "input_config": proto_utils.proto_to_json(inputs),
        "output_config": proto_utils.proto_to_json(utils.make_default_output_config(inputs)),
        "output_data_format": example_gen_pb2.FORMAT_TF_EXAMPLE,
    }
    return _measure(Executor, target, properties)


def _measure(
    executor_class: type[Any], target: Path, properties: dict[str, Any], **outputs: list[Any]
) -> Measured:
    from tfx.types import standard_artifacts

    examples = standard_artifacts.Examples()
    examples.uri = str(target / "examples")
    Path(examples.uri).mkdir(parents=True)
    executor = executor_class(executor_class.Context(beam_pipeline_args=list(BEAM_ARGS)))
    imported = _peak_mb()
    start, cpu_start = time.perf_counter(), time.process_time()
    executor.Do({}, {"examples": [examples], **outputs}, properties)
    seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu_start
    return Measured(0, seconds, cpu_seconds, imported, _peak_mb())


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def run(side: str, log: Path, rows: int, repeats: int = 1) -> Measured:
    """The median of some readings, each in a new process."""
    readings = []
    for _ in range(repeats):
        with tempfile.TemporaryDirectory() as target:
            program = [sys.executable, __file__, "--measure", side, str(log), target]
            ended = subprocess.run(program, capture_output=True, text=True, check=False)
        if ended.returncode:
            raise RuntimeError(ended.stderr)
        fields = json.loads(ended.stdout.splitlines()[-1])
        readings.append(Measured(**{**fields, "rows": rows}))
    medians = {
        name: statistics.median(getattr(reading, name) for reading in readings)
        for name in asdict(readings[0])
    }
    found = Measured(**medians)
    print(
        f"{side:<7}{log.suffix[1:]:<8}{rows:>10,} rows {found.rate:>9,.0f} rows/s "
        f"{found.cpu_rate:>9,.0f} rows/s of processor time  peak {found.peak_mb:>6,.0f} MB",
        flush=True,
    )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--stock-rows", type=int, help="for CsvExampleGen; as many by default")
    parser.add_argument("--scale-rows", type=int, default=3_000_000, help="0 leaves this part out")
    parser.add_argument("--repeats", type=int, default=3, help="of ours; the median counts")
    parser.add_argument("--measure", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        side, log, target = options.measure
        print(json.dumps(asdict({"ours": ours, "theirs": theirs}[side](Path(log), Path(target)))))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)

        def log(rows: int, kind: str = "csv") -> Path:
            path = folder / f"{rows}-{kind}" / f"log.{kind}"
            if not path.exists():
                path.parent.mkdir()
                write_log(path, rows)
            return path

        rows, stock_rows = options.rows, options.stock_rows or options.rows
        csv = run("ours", log(rows), rows, options.repeats)
        parquet = run("ours", log(rows, "parquet"), rows, options.repeats)
        stock = run("theirs", log(stock_rows), stock_rows)
        result = {
            "ratio": round(csv.rate / stock.rate, 1),
            "ratio_of_processor_time": round(csv.cpu_rate / stock.cpu_rate, 1),
            "ratio_parquet": round(parquet.rate / stock.rate, 1),
            "ours": round(csv.rate),
            "ours_parquet": round(parquet.rate),
            "theirs": round(stock.rate),
        }
        if options.scale_rows:
            large = run("ours", log(options.scale_rows), options.scale_rows)
            small_rows = options.scale_rows // 10
            small = run("ours", log(small_rows), small_rows, options.repeats)
            result["memory_of_ten_times_the_rows"] = round(large.peak_mb / small.peak_mb, 2)
            result["time_per_row_of_ten_times_the_rows"] = round(small.rate / large.rate, 2)
    machine = f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[1]:.1f}"
    print(
        json.dumps(
            {**result, "unit": "rows/s", "rows": rows, "stock_rows": stock_rows, "machine": machine}
        )
    )


if __name__ == "__main__":
    main()
