"""Logs as they come: read right, or their bad rows counted, or refused in one sentence."""

import gzip
import io
import json
import os
import zipfile
from collections import Counter
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from click.testing import CliRunner
from tfx.types import standard_artifacts

from taskroute.components.artifact_types import Quarantine
from taskroute.components.log_example_gen.executor import Executor
from taskroute.pipeline.cli.main import cli
from taskroute.schemas.columns import raw_columns
from taskroute.schemas.recommender import RecommenderConfig

CONFIG = {
    "name": "shop",
    "source": {
        "timestamp": "time",
        "split": {"by": "time", "validation": 0.2, "test": 0.2},
        "max_bad_fraction": 0.6,
    },
    "features": [
        {"name": "user", "kind": "categorical", "hash_buckets": 100},
        {"name": "genres", "kind": "multivalent", "hash_buckets": 100},
        {"name": "age", "kind": "dense"},
    ],
    "tasks": [
        {"name": "click", "label": {"column": "clicked"}},
        {
            "name": "watch_time",
            "kind": "regression",
            "label": {"column": "watch", "transform": "log1p"},
        },
    ],
}
NUM_GOOD = 30
HEADER = "time,user,genres,age,clicked,watch"
GOOD = [
    {
        "time": 1_700_000_000 + row,
        "user": f"u{row}",
        "genres": "a|b",
        "age": 20 + row,
        "clicked": row % 2,
        "watch": row / 4,
    }
    for row in range(NUM_GOOD)
]
ROW = GOOD[-1]


def _csv(*last: str, header=HEADER, rows=GOOD, end="\n") -> bytes:
    lines = [",".join(map(str, row.values())) for row in rows]
    return (end.join([header, *lines, *last]) + end).encode()


def _row(**values) -> str:
    return ",".join(str(value) for value in {**ROW, **values}.values())


def _jsonl(*last: str, rows=GOOD) -> bytes:
    return "".join(f"{line}\n" for line in [*map(json.dumps, rows), *last]).encode()


def _object(**texts: str) -> str:
    """A line; values are given as JSON writes them."""
    values = {name: json.dumps(value) for name, value in ROW.items()} | texts
    return "{" + ", ".join(f'"{name}": {value}' for name, value in values.items()) + "}"


def _columns(**last) -> dict[str, list]:
    """The good rows and, where values are given, one more row with them."""
    rows = [*GOOD, {**ROW, **last}] if last else GOOD
    return {name: [row[name] for row in rows] for name in ROW}


def _parquet(columns) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(columns if isinstance(columns, pa.Table) else pa.table(columns), sink)
    return sink.getvalue().to_pybytes()


def _replaced(content: bytes, old: bytes, new: bytes) -> bytes:
    assert len(old) == len(new)
    assert old in content
    return content.replace(old, new)


def _zip(content: bytes) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr("log.csv", content)
    return target.getvalue()


def _noise(num_bytes: int) -> str:
    return np.random.default_rng(0).bytes(num_bytes // 2).hex()


MB = 1 << 20
LATIN = _row(user="MARK").encode().replace(b"MARK", b"caf\xe9")

# name: (file, content, bad rows by reason); no reason: all rows are good.
READ = {
    "csv, byte order mark": ("log.csv", b"\xef\xbb\xbf" + _csv(), {}),
    "csv, Windows line ends": ("log.csv", _csv(end="\r\n"), {}),
    "csv, old Mac line ends": ("log.csv", _csv(end="\r"), {}),
    "csv, blank lines": ("log.csv", _csv("", "", _row(), ""), {}),
    "csv, no line end at the end": ("log.csv", _csv().rstrip(), {}),
    "csv, quoted newlines": ("log.csv", _csv(_row(user='"a\nb\r\nc"')), {}),
    "csv, label NaN is missing": ("log.csv", _csv(_row(clicked="NaN")), {}),
    "csv, a user id beyond 64 bits": ("log.csv", _csv(_row(user=2**70)), {}),
    "csv, labels in words": ("log.csv", _csv(_row(clicked="True"), _row(clicked="false")), {}),
    "csv, gzip members joined": (
        "log.csv.gz",
        gzip.compress(_csv()) + gzip.compress(f"{_row()}\n".encode()),
        {},
    ),
    "csv, row too short": ("log.csv", _csv("1,2"), {"uneven_row": 1}),
    "csv, row too long": ("log.csv", _csv(_row() + ",7"), {"uneven_row": 1}),
    "csv, last row torn": ("log.csv", _csv(_row())[:-22], {"uneven_row": 1}),
    "csv, latin-1": ("log.csv", _csv() + LATIN + b"\n", {"not_utf8": 1}),
    "csv, latin-1 in a row too long": ("log.csv", _csv() + LATIN + b",7\n", {"uneven_row": 1}),
    "csv, decimal comma": ("log.csv", _csv(_row(age='"1,5"')), {"not_a_number": 1}),
    "csv, word for a number": ("log.csv", _csv(_row(age="old")), {"not_a_number": 1}),
    "csv, NULL for a number": ("log.csv", _csv(_row(age="NULL")), {"not_a_number": 1}),
    "csv, zero byte in a number": ("log.csv", _csv(_row(age="3\0")), {"not_a_number": 1}),
    "csv, infinite": ("log.csv", _csv(_row(age="-inf")), {"not_finite": 1}),
    "csv, number beyond float32": ("log.csv", _csv(_row(age="1e39")), {"not_finite": 1}),
    "csv, timestamp beyond 64 bits": (
        "log.csv",
        _csv(_row(time="9" * 24)),
        {"not_a_timestamp": 1},
    ),
    "csv, day that does not exist": (
        "log.csv",
        _csv(_row(time="2024-02-30")),
        {"not_a_timestamp": 1},
    ),
    "csv, no timestamp": ("log.csv", _csv(_row(time="")), {"missing": 1}),
    "csv, label 2": ("log.csv", _csv(_row(clicked="2")), {"wrong_label": 1}),
    "csv, negative watch seconds": ("log.csv", _csv(_row(watch="-3")), {"out_of_range": 1}),
    "csv, brackets that are no JSON": (
        "log.csv",
        _csv(_row(genres="\"['a', 'b']\"")),
        {"not_a_list": 1},
    ),
    "csv, a text of 1 MB": ("log.csv", _csv(_row(user="x" * MB)), {"too_long": 1}),
    "csv, many faults": (
        "log.csv",
        _csv("1", _row(age="x", clicked="2"), _row(age="x"), _row(clicked="2")),
        {"uneven_row": 1, "not_a_number": 2, "wrong_label": 1},
    ),
    "jsonl, byte order mark": ("log.jsonl", b"\xef\xbb\xbf" + _jsonl(), {}),
    "jsonl, blank lines": ("log.jsonl", _jsonl("", " ", _object()), {}),
    "jsonl, Windows line ends": ("log.jsonl", _jsonl().replace(b"\n", b"\r\n"), {}),
    "jsonl, NaN is missing": ("log.jsonl", _jsonl(_object(age="NaN")), {}),
    "jsonl, a user id beyond 64 bits": ("log.jsonl", _jsonl(_object(user=str(2**70))), {}),
    "jsonl, lists and text": ("log.jsonl", _jsonl(_object(genres='["a", 1]')), {}),
    "jsonl, labels in words": ("log.jsonl", _jsonl(_object(clicked="true")), {}),
    "jsonl, line that is no JSON": ("log.jsonl", _jsonl("time=3 user=u1"), {"not_json": 1}),
    "jsonl, line that is an array": ("log.jsonl", _jsonl("[1, 2]"), {"not_json": 1}),
    "jsonl, last line torn": ("log.jsonl", _jsonl(_object())[:-9], {"not_json": 1}),
    "jsonl, object over two lines": (
        "log.jsonl",
        _jsonl(_object().replace(", ", ",\n", 1)),
        {"not_json": 2},
    ),
    "jsonl, two objects in a line": (
        "log.jsonl",
        _jsonl(_object() + _object()),
        {"not_json": 1},
    ),
    "jsonl, key twice": ("log.jsonl", _jsonl(_object()[:-1] + ', "age": 3}'), {"not_json": 1}),
    "jsonl, nested without end": (
        "log.jsonl",
        _jsonl(_object(user="[" * 100_000 + "]" * 100_000)),
        {"not_json": 1},
    ),
    "jsonl, zero byte": ("log.jsonl", _jsonl(_object(user='"a\0b"')), {"not_json": 1}),
    "jsonl, latin-1": (
        "log.jsonl",
        _replaced(_jsonl(_object(user='"MARK"')), b"MARK", b"caf\xe9"),
        {"not_utf8": 1},
    ),
    "jsonl, half of a surrogate pair": (
        "log.jsonl",
        _jsonl(_object(user='"\\ud83d"')),
        {"not_utf8": 1},
    ),
    "jsonl, list for a number": ("log.jsonl", _jsonl(_object(age="[3]")), {"wrong_type": 1}),
    "jsonl, object for a text": ("log.jsonl", _jsonl(_object(user="{}")), {"wrong_type": 1}),
    "jsonl, word for a number": ("log.jsonl", _jsonl(_object(age='"old"')), {"not_a_number": 1}),
    "jsonl, number beyond float64": ("log.jsonl", _jsonl(_object(age="1e400")), {"not_finite": 1}),
    "jsonl, lists in lists": ("log.jsonl", _jsonl(_object(genres="[[1]]")), {"not_a_list": 1}),
    "jsonl, label 0.5": ("log.jsonl", _jsonl(_object(clicked="0.5")), {"wrong_label": 1}),
    "jsonl, no timestamp": ("log.jsonl", _jsonl(_object(time="null")), {"missing": 1}),
    "parquet, label NaN is missing": ("log.parquet", _parquet(_columns(clicked=np.nan)), {}),
    "parquet, infinite": ("log.parquet", _parquet(_columns(age=np.inf)), {"not_finite": 1}),
    "parquet, label 2": ("log.parquet", _parquet(_columns(clicked=2)), {"wrong_label": 1}),
    "parquet, negative watch": ("log.parquet", _parquet(_columns(watch=-1.0)), {"out_of_range": 1}),
    "parquet, no timestamp": ("log.parquet", _parquet(_columns(time=None)), {"missing": 1}),
    "parquet, a text of 1 MB": (
        "log.parquet",
        _parquet(_columns(user="x" * MB)),
        {"too_long": 1},
    ),
    "parquet, text that is not UTF-8": (
        "log.parquet",
        _replaced(_parquet(_columns(user="MARKMARK")), b"MARKMARK", b"caf\xe9____"),
        {"not_utf8": 1},
    ),
    "parquet, a list with text that is not UTF-8": (
        "log.parquet",
        _replaced(
            _parquet({**_columns(), "genres": [["a"]] * 29 + [["b", "MARKMARK"]]}),
            b"MARKMARK",
            b"caf\xe9____",
        ),
        {"not_utf8": 1},
    ),
}

# name: (file, content, words of the sentence)
REFUSED = {
    "csv, empty": ("log.csv", b"", "is empty"),
    "csv, blank lines only": ("log.csv", b"\n\n\n", "is empty"),
    "csv, header only": ("log.csv", HEADER.encode() + b"\n", "hold no row"),
    "csv, header only, no line end": ("log.csv", HEADER.encode(), "hold no row"),
    "csv, no header": ("log.csv", _csv()[len(HEADER) + 1 :], "there is no column 'user'"),
    "csv, semicolons": ("log.csv", _csv().replace(b",", b";"), "set `source.csv.delimiter` to"),
    "csv, tabs": ("log.csv", _csv().replace(b",", b"\t"), "set `source.csv.delimiter` to"),
    "csv, renamed column": (
        "log.csv",
        _csv(header=HEADER.replace("age", "Age")),
        "no column 'age'; did you mean 'Age'?",
    ),
    "csv, column twice": (
        "log.csv",
        _csv(header=HEADER.replace("genres", "age")),
        "no column 'genres'",
    ),
    "csv, wanted column twice": (
        "log.csv",
        _csv(header=HEADER + ",age", rows=[{**row, "more": 1} for row in GOOD]),
        "'age' occurs more than once",
    ),
    "csv, quote that never closes": (
        "log.csv",
        _csv(_row(user='"u'), *[_row()] * 9),
        "opens a quote that never closes",
    ),
    "csv, quote open over 2 MB": (
        "log.csv",
        _csv(_row(user='"u'), *[_row(user="x" * 1000)] * 9000),
        "is there a quote that never closes?",
    ),
    "csv, a row of 9 MB": ("log.csv", _csv(_row(user="x" * 9 * MB)), "longer than 2 MB"),
    "csv, UTF-16": ("log.csv", _csv().decode().encode("utf-16"), "is UTF-16 text"),
    "csv, gzip without .gz": ("log.csv", gzip.compress(_csv()), "its name must end in .gz"),
    "csv, .gz without gzip": ("log.csv.gz", _csv(), "is not gzip data"),
    "csv, gzip cut off": (
        "log.csv.gz",
        gzip.compress(_csv(_row(user=_noise(9000))))[:-20],
        "ends too early",
    ),
    "csv, gzip damaged": (
        "log.csv.gz",
        gzip.compress(_csv(_row(user=_noise(9000))))[:3000] + b"\0" * 3000,
        "cannot be read",
    ),
    "csv, empty gzip": ("log.csv.gz", b"", "is empty"),
    "csv, a zip archive": ("log.csv", _zip(_csv()), "is a zip archive"),
    "csv, a Parquet file": ("log.csv", _parquet(_columns()), "is a Parquet file"),
    "csv, almost all rows bad": (
        "log.csv",
        _csv(*[_row(age="x")] * 60),
        "60 of 90 rows are bad (66.67%)",
    ),
    "csv, one class only": (
        "log.csv",
        _csv(rows=[{**row, "clicked": 0} for row in GOOD]),
        "the label is 0 in every",
    ),
    "jsonl, empty": ("log.jsonl", b"", "is empty"),
    "jsonl, blank lines only": ("log.jsonl", b"\n \n", "no column 'user'"),
    "jsonl, CSV": ("log.jsonl", _csv(), "no column 'user'"),
    "jsonl, one array": ("log.jsonl", json.dumps(GOOD).encode(), "is not a JSON object"),
    "jsonl, indented": ("log.jsonl", json.dumps(GOOD, indent=1).encode(), "not_json"),
    "jsonl, renamed key": (
        "log.jsonl",
        _jsonl().replace(b'"age"', b'"agee"'),
        "no column 'age'; did you mean 'agee'?",
    ),
    "jsonl, UTF-16": ("log.jsonl", _jsonl().decode().encode("utf-16"), "is UTF-16 text"),
    "jsonl, gzip cut off": (
        "log.jsonl.gz",
        gzip.compress(_jsonl(_object(user=f'"{_noise(9000)}"')))[:-20],
        "ends too early",
    ),
    "parquet, zero bytes": ("log.parquet", b"", "is empty"),
    "parquet, CSV": ("log.parquet", _csv(), "is not a Parquet file"),
    "parquet, cut off": ("log.parquet", _parquet(_columns())[:-30], "is not a Parquet file"),
    "parquet, damaged pages": (
        "log.parquet",
        b"PAR1" + b"\xff" * 200 + _parquet(_columns())[204:],
        "cannot be read",
    ),
    "parquet, no rows": (
        "log.parquet",
        _parquet(pa.table(_columns()).slice(0, 0)),
        "hold no row",
    ),
    "parquet, renamed column": (
        "log.parquet",
        _parquet(pa.table(_columns()).rename_columns(["time", "usr", *HEADER.split(",")[2:]])),
        "no column 'user'; did you mean 'usr'?",
    ),
    "parquet, column twice": (
        "log.parquet",
        _parquet(pa.table(_columns()).append_column("age", pa.array([1] * NUM_GOOD))),
        "'age' occurs more than once",
    ),
    "parquet, lists of numbers for a number": (
        "log.parquet",
        _parquet({**_columns(), "age": [[1]] * NUM_GOOD}),
        "holds lists where a number is asked for",
    ),
    "parquet, objects in lists": (
        "log.parquet",
        _parquet({**_columns(), "genres": [[{"a": 1}]] * NUM_GOOD}),
        "holds objects where text is asked for",
    ),
    "parquet, booleans for timestamps": (
        "log.parquet",
        _parquet({**_columns(), "time": [True] * NUM_GOOD}),
        "where a timestamp is asked for",
    ),
}


def _format(name: str) -> str:
    return next(part for part in name.split(".") if part in ("csv", "jsonl", "parquet"))


def _config(folder: Path, file: str) -> Path:
    source = {**CONFIG["source"], "path": file, "format": _format(Path(file).name)}
    path = folder / "shop.yaml"
    path.write_text(yaml.safe_dump({**CONFIG, "source": source}))
    return path


def _check(folder: Path, file: str):
    return CliRunner().invoke(cli, ["check", str(_config(folder, file))])


def _ingest(folder: Path, file: str) -> tuple[int, list[dict]]:
    """Rows written, and the bad ones, of LogExampleGen itself."""
    config = RecommenderConfig.model_validate(yaml.safe_load(_config(folder, file).read_text()))
    source = config.source.model_copy(update={"path": str(folder / file)})
    examples, quarantine = standard_artifacts.Examples(), Quarantine()
    examples.uri, quarantine.uri = str(folder / "examples"), str(folder / "quarantine")
    properties = {
        "source": source.model_dump_json(),
        "columns": json.dumps([asdict(column) for column in raw_columns(config)]),
        "tasks": json.dumps([task.model_dump() for task in config.tasks]),
    }
    args = ["--runner=FnApiRunner", "--sdk_container_image=local"]
    outputs = {"examples": [examples], "quarantine": [quarantine]}
    Executor(Executor.Context(beam_pipeline_args=args)).Do({}, outputs, properties)
    splits = ("train", "validation", "test")
    rows = [examples.get_int_custom_property(f"num_rows_{split}") for split in splits]
    files = sorted(Path(quarantine.uri).glob("*.jsonl"))
    lines = [json.loads(line) for file in files for line in file.read_text().splitlines()]
    assert len(lines) == quarantine.get_int_custom_property("num_rows")
    return sum(rows), lines


@pytest.mark.parametrize("name", READ)
def test_bad_rows_are_counted_and_good_ones_read(tmp_path, name):
    file, content, reasons = READ[name]
    (tmp_path / file).write_bytes(content)
    result = _check(tmp_path, file)
    assert result.exit_code == 0, result.output
    for reason, count in reasons.items():
        assert f"  {count} {reason}, first {tmp_path / file}: row " in result.stdout
    bad = sum(reasons.values())
    assert (f"{bad} rows cannot be used" in result.stdout) == bool(bad)
    assert result.stderr == ""


@pytest.mark.parametrize("name", REFUSED)
def test_a_log_that_cannot_be_used_is_refused_in_one_sentence(tmp_path, name):
    file, content, words = REFUSED[name]
    (tmp_path / file).write_bytes(content)
    _assert_refused(_check(tmp_path, file), words)


def _assert_refused(result, words):
    assert result.exit_code == 3, result.output
    assert words in result.stderr
    assert result.stderr.startswith("taskroute: ")
    assert result.stderr.count("\n") == 1
    assert "Traceback" not in result.output


def test_a_folder_in_place_of_a_file_is_refused(tmp_path):
    (tmp_path / "log.csv").mkdir()
    _assert_refused(_check(tmp_path, "log.csv"), "is a folder")


def test_a_file_that_does_not_exist_is_refused(tmp_path):
    _assert_refused(_check(tmp_path, "log.csv"), "no file matches")


def test_a_link_to_nothing_is_refused(tmp_path):
    (tmp_path / "log.csv").symlink_to(tmp_path / "gone.csv")
    _assert_refused(_check(tmp_path, "log.csv"), "no file matches")


@pytest.mark.parametrize("name", ["log.csv", "log.jsonl", "log.parquet"])
def test_a_file_that_may_not_be_read_is_refused(tmp_path, name, monkeypatch):
    path = tmp_path / name
    path.write_bytes({"csv": _csv(), "jsonl": _jsonl()}.get(name[4:], _parquet(_columns())))
    path.chmod(0)
    if os.access(path, os.R_OK):  # by root, whom no permission stops

        def refuse(*_):
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(pa, "OSFile", refuse)
    _assert_refused(_check(tmp_path, name), "cannot be read: Permission denied")


def test_a_column_may_have_another_type_in_each_file(tmp_path):
    pq.write_table(pa.table(_columns()), tmp_path / "a.parquet")
    texts = {**_columns(), "age": ["3", "old", ""] * 10, "user": list(range(NUM_GOOD))}
    pq.write_table(pa.table(texts), tmp_path / "b.parquet")
    result = _check(tmp_path, "*.parquet")
    assert result.exit_code == 0, result.output
    assert f"10 not_a_number, first {tmp_path / 'b.parquet'}: row 2, column 'age'" in result.stdout


@pytest.mark.parametrize("log_format", ["csv", "jsonl", "parquet"])
def test_ingestion_quarantines_what_the_check_found(tmp_path, log_format):
    (tmp_path / "log").mkdir()
    expected = Counter()
    for name, (file, content, reasons) in READ.items():
        if _format(file) == log_format and not file.endswith(".gz"):
            path = tmp_path / "log" / f"{name.replace(' ', '_').replace(',', '')}.{log_format}"
            path.write_bytes(content)
            expected.update({(str(path), reason): count for reason, count in reasons.items()})
    rows, bad = _ingest(tmp_path, f"log/*.{log_format}")
    assert Counter((row["file"], row["reason"]) for row in bad) == expected
    assert rows >= NUM_GOOD * len(list((tmp_path / "log").iterdir())) - expected.total()
    for row in bad:
        assert 1 <= row["row"] <= NUM_GOOD + 10
        assert row["problem"]
        assert len(row["value"] or "") <= 203


def test_the_corpus_is_as_large_as_promised():
    bad = [name for name, (_, _, reasons) in READ.items() if reasons]
    assert len(bad) + len(REFUSED) >= 80
