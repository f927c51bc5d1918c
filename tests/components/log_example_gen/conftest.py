"""Rows, their files and an execution, for tests of whole executions."""

import json
from dataclasses import asdict
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pcsv
import pyarrow.parquet as pq
import pytest
from tfx.types import artifact_utils, standard_artifacts

from taskroute.components.artifact_types import Quarantine
from taskroute.components.log_example_gen.executor import Executor
from taskroute.schemas.columns import RawColumn
from taskroute.schemas.errors import DataError
from taskroute.schemas.source import Source, Split
from taskroute.schemas.tasks import Label, Task

_BEAM_ARGS = ["--runner=FnApiRunner", "--sdk_container_image=local"]
_COLUMNS = (
    RawColumn("row", "number"),
    RawColumn("user", "text"),
    RawColumn("genres", "texts", "|"),
    RawColumn("age", "number"),
    RawColumn("clicked", "number"),
)
_BY_USER = Split(by="hash", key="user", validation=0.2, test=0.2)
_CLICK = Task(name="click", label=Label(column="clicked"))


class Run:
    """One execution; `examples` is its artifact."""

    def __init__(
        self,
        folder: Path,
        path,
        split=_BY_USER,
        tasks=(_CLICK,),
        test_path=None,
        beam_args=_BEAM_ARGS,
        serving_folder="",
        **source,
    ):
        self.examples, self.quarantine = standard_artifacts.Examples(), Quarantine()
        self.examples.uri = str(folder / "examples")
        self.quarantine.uri = str(folder / "quarantine")
        source = Source(
            path=str(path),
            format=Path(path).suffix[1:],
            test_path=None if test_path is None else str(test_path),
            timestamp="time" if split.by == "time" else None,
            split=split,
            **source,
        )
        properties = {
            "source": source.model_dump_json(),
            "columns": json.dumps([asdict(column) for column in _COLUMNS]),
            "tasks": json.dumps([task.model_dump() for task in tasks]),
            "serving": serving_folder,
        }
        context = Executor.Context(beam_pipeline_args=list(beam_args))
        outputs = {"examples": [self.examples], "quarantine": [self.quarantine]}
        Executor(context).Do({}, outputs, properties)

    def files(self, split: str) -> list[Path]:
        return sorted(Path(artifact_utils.get_split_uri([self.examples], split)).iterdir())

    def contents(self) -> dict[str, bytes]:
        root = Path(self.examples.uri)
        return {
            str(file.relative_to(root)): file.read_bytes()
            for file in root.rglob("*")
            if file.is_file()
        }

    def bad_rows(self) -> list[dict]:
        files = sorted(Path(self.quarantine.uri).glob("*.jsonl"))
        return [json.loads(line) for file in files for line in file.read_text().splitlines()]

    def table(self, split: str) -> pa.Table:
        return pa.concat_tables(map(pq.read_table, self.files(split)))

    def rows(self, split: str) -> list[dict]:
        """Examples in the order of the log; a missing value is no value."""
        rows = [
            {name: values or [] for name, values in row.items()}
            for row in self.table(split).to_pylist()
        ]
        return sorted(({**row, "row": row["row"][0]} for row in rows), key=lambda row: row["row"])

    def numbers(self, split: str) -> list[int]:
        return [int(row["row"]) for row in self.rows(split)]


@pytest.fixture(scope="session")
def ingest():
    """`ingest(folder, path, split, ...)` executes LogExampleGen and returns a `Run`."""
    return Run


@pytest.fixture(scope="session")
def make_rows():
    return _rows


@pytest.fixture(scope="session")
def write_log():
    return _write


@pytest.fixture
def log(tmp_path) -> Path:
    return _write(tmp_path / "logs" / "log.parquet", _rows())


@pytest.fixture
def refusal(tmp_path):
    """Gives the message of an execution that must stop, leaving bad rows that it kept alone."""

    def refuse(*args, **kwargs) -> str:
        folder = tmp_path / "refused"
        with pytest.raises(DataError) as error:
            Run(folder, *args, **kwargs)
        kept = str(error.value).rpartition("; kept in ")[2]
        left = [path for path in folder.rglob("*") if path.is_file()]
        assert [path for path in left if str(path.parent) != kept] == []
        assert error.value.__cause__ is None
        assert "\n" not in str(error.value)
        return str(error.value)

    return refuse


def _rows(start=0, stop=1000):
    """Rows in the order of time, four of each second; some ages and clicks are missing."""
    rows = list(range(start, stop))
    return {
        "row": rows,
        "time": [1_700_000_000 + row // 4 for row in rows],
        "user": [f"u{row % 97}" for row in rows],
        "genres": [None if row % 5 == 0 else ["a", "b"][: row % 3] for row in rows],
        "age": [None if row % 7 == 0 else float(row % 10) for row in rows],
        "clicked": [None if row % 11 == 0 else row % 2 for row in rows],
    }


def _write(path: Path, rows) -> Path:
    path.parent.mkdir(exist_ok=True)
    table = pa.table(rows)
    if path.suffix == ".parquet":
        pq.write_table(table, path, row_group_size=100)
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in table.to_pylist()))
    else:
        genres = ["|".join(value) if value else None for value in rows["genres"]]
        pcsv.write_csv(pa.table({**rows, "genres": pa.array(genres, pa.string())}), path)
    return path
