"""LogExampleGen against TFX's CsvExampleGen: rows/s from one log file to examples.

Run: python benchmarks/ingest.py [--rows N] [--stock-rows N] [--scale-rows N] [--repeats N]. Every
measurement has a process of its own, with the same Beam runner, one after the other; the time is
that of the executor's `Do`, imports left out. Ours splits by time in three, TFX's by hash in two.
Beside wall time stands processor time, which other work on the machine moves less. The last part
reads a log of ten times the rows of another and compares peak memory and time per row.
"""

import argparse
import json
import statistics
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from harness import child, options, peak_mb, report
from stages import Chain

import numpy as np
import pyarrow as pa
import pyarrow.csv as pcsv
import pyarrow.parquet as pq

from taskroute.schemas.columns import raw_columns
from taskroute.schemas.recommender import RecommenderConfig

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


def config(kind: str) -> RecommenderConfig:
    """Reads all columns of the log, whose format is `kind`."""
    return RecommenderConfig.model_validate(
        {
            "name": "ingest",
            "source": {
                "path": f"log.{kind}",
                "format": kind,
                "timestamp": "event_time",
                "split": {"by": "time"},
            },
            "features": [
                *(
                    {"name": name, "kind": "categorical", "vocabulary": {}}
                    for name in ("user_id", "item_id", "device")
                ),
                {"name": "genres", "kind": "multivalent", "separator": "|", "vocabulary": {}},
                *({"name": n, "kind": "dense"} for n in ("age", "hour", "watch_seconds")),
            ],
            "tasks": [{"name": "click", "label": {"column": "clicked"}}],
            "trunk": {"kind": "shared_bottom", "units": [1]},
        }
    )


def measure(side: str, log: Path, target: Path) -> Measured:
    """One reading of a CSV or Parquet file, for CsvExampleGen of all CSV files of its folder."""
    if side == "ours":
        from taskroute.components.log_example_gen.component import LogExampleGen

        read = config(log.suffix[1:])
        source = read.source.model_copy(update={"path": str(log)})
        stage = LogExampleGen(source=source, columns=raw_columns(read), tasks=read.tasks)
    else:
        from tfx.components import CsvExampleGen

        stage = CsvExampleGen(input_base=str(log.parent))
    chain, imported = Chain(target), peak_mb()
    duration = chain.run(stage)
    return Measured(0, duration.wall, duration.cpu, imported, peak_mb())


def run(side: str, log: Path, rows: int, repeats: int = 1) -> Measured:
    """Median of some readings, each in a new process."""
    readings = []
    for _ in range(repeats):
        with tempfile.TemporaryDirectory() as target:
            (fields,) = child(__file__, "--measure", side, log, target)
        readings.append(Measured(**{**fields, "rows": rows}))
    medians = {
        name: statistics.median(getattr(reading, name) for reading in readings)
        for name in asdict(readings[0])
    }
    median = Measured(**medians)
    print(
        f"{side:<7}{log.suffix[1:]:<8}{rows:>10,} rows {median.rate:>9,.0f} rows/s "
        f"{median.cpu_rate:>9,.0f} rows/s of processor time  peak {median.peak_mb:>6,.0f} MB",
        flush=True,
    )
    return median


def main() -> None:
    parser = options(
        __doc__,
        rows=(1_000_000, 1_000),
        # For CsvExampleGen; 0 takes as many as for ours.
        stock_rows=(0, 0),
        # 0 leaves this part out.
        scale_rows=(3_000_000, 10_000),
        # Readings of ours, whose median counts.
        repeats=(3, 1),
    )
    parser.add_argument("--measure", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        side, path, target = arguments.measure
        print(json.dumps(asdict(measure(side, Path(path), Path(target)))))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)

        def log(rows: int, kind: str = "csv") -> Path:
            path = folder / f"{rows}-{kind}" / f"log.{kind}"
            if not path.exists():
                path.parent.mkdir()
                write_log(path, rows)
            return path

        rows, stock_rows = arguments.rows, arguments.stock_rows or arguments.rows
        csv = run("ours", log(rows), rows, arguments.repeats)
        parquet = run("ours", log(rows, "parquet"), rows, arguments.repeats)
        stock = run("theirs", log(stock_rows), stock_rows)
        result = {
            "ratio": round(csv.rate / stock.rate, 1),
            "ratio_of_processor_time": round(csv.cpu_rate / stock.cpu_rate, 1),
            "ratio_parquet": round(parquet.rate / stock.rate, 1),
            "ours": round(csv.rate),
            "ours_parquet": round(parquet.rate),
            "theirs": round(stock.rate),
        }
        if arguments.scale_rows:
            large = run("ours", log(arguments.scale_rows), arguments.scale_rows)
            small_rows = arguments.scale_rows // 10
            small = run("ours", log(small_rows), small_rows, arguments.repeats)
            result["memory_of_ten_times_the_rows"] = round(large.peak_mb / small.peak_mb, 2)
            result["time_per_row_of_ten_times_the_rows"] = round(small.rate / large.rate, 2)
    report(
        "LogExampleGen against TFX's CsvExampleGen",
        **result,
        unit="rows/s",
        rows=rows,
        stock_rows=stock_rows,
    )


if __name__ == "__main__":
    main()
