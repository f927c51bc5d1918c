"""Samples of a log: rows from all over it, whatever its format, and true counts."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest

from taskroute.components.logs import sampling
from taskroute.components.logs.sampling import extent, read_sample
from taskroute.schemas.columns import RawColumn
from taskroute.schemas.errors import DataError

COLUMNS = [RawColumn("row", "number"), RawColumn("text", "text")]


def write(path, start, rows, text=str, row_group_size=1_000):
    columns = {
        "row": list(range(start, start + rows)),
        "text": [text(row) for row in range(start, start + rows)],
    }
    if path.suffix == ".csv":
        pa.csv.write_csv(pa.table(columns), path)
    elif path.suffix == ".parquet":
        pa.parquet.write_table(pa.table(columns), path, row_group_size=row_group_size)
    else:
        lines = [json.dumps({"row": row, "text": text(row)}) for row in columns["row"]]
        path.write_text("\n".join(lines) + "\n")
    return str(path)


def rows_of(sample):
    values = [np.asarray(batch.values["row"]).astype(float) for batch in sample.batches]
    return np.concatenate(values)


@pytest.fixture(params=["csv", "jsonl", "parquet"])
def log_format(request):
    return request.param


@pytest.fixture
def small_pieces(monkeypatch):
    """Every log of text counts as a large one."""
    monkeypatch.setattr(sampling, "_WHOLE_BYTES", 0)
    monkeypatch.setattr(sampling, "_LEAST_PIECE", 1_000)
    monkeypatch.setattr(sampling, "_PROBED_BYTES", 2_000)


def assert_from_all_over(rows, total):
    """A tenth of the rows come from each tenth of the log, more or less."""
    shares = np.histogram(rows, bins=10, range=(0, total))[0] / len(rows)
    assert shares.min() > 0.04
    assert shares.max() < 0.2


def test_a_short_log_is_read_whole(tmp_path, log_format):
    files = [write(tmp_path / f"{number}.{log_format}", number * 10, 10) for number in range(3)]
    sample = read_sample(files, COLUMNS, log_format, rows=20)
    assert rows_of(sample).tolist() == list(range(30))
    assert (sample.num_rows, sample.seen, sample.total) == (30, 30, 30)
    assert sample.is_whole


def test_a_long_file_is_read_all_over(tmp_path, log_format):
    file = write(tmp_path / f"log.{log_format}", 0, 30_000)
    sample = read_sample([file], COLUMNS, log_format, rows=1_000)
    assert 1_000 <= sample.num_rows <= 2_000
    assert sample.total == 30_000
    assert sample.is_exact
    assert not sample.is_whole
    assert_from_all_over(rows_of(sample), 30_000)


def test_rows_keep_their_numbers(tmp_path, log_format):
    file = write(tmp_path / f"log.{log_format}", 1, 30_000)
    sample = read_sample([file], COLUMNS, log_format, rows=1_000)
    for batch in sample.batches:
        assert batch.rows.tolist() == np.asarray(batch.values["row"]).astype(int).tolist()


def test_one_row_group_is_read_all_over(tmp_path):
    file = write(tmp_path / "log.parquet", 0, 200_000, row_group_size=200_000)
    sample = read_sample([file], COLUMNS, "parquet", rows=1_000)
    assert_from_all_over(rows_of(sample), 200_000)


def test_files_are_all_read_from(tmp_path, log_format):
    files = [write(tmp_path / f"{n:02d}.{log_format}", n * 500, 500) for n in range(20)]
    sample = read_sample(files, COLUMNS, log_format, rows=1_000)
    assert len({batch.file for batch in sample.batches if batch.num_rows}) == 20
    assert_from_all_over(rows_of(sample), 10_000)


def test_of_very_many_files_some_are_read_the_newest_among_them(tmp_path, log_format, monkeypatch):
    monkeypatch.setattr(sampling, "_FILES", 10)
    monkeypatch.setattr(sampling, "_WHOLE_FILES", 10)
    files = [write(tmp_path / f"{n:02d}.{log_format}", n * 100, 100) for n in range(40)]
    sample = read_sample(files, COLUMNS, log_format, rows=200)
    assert sample.batches[-1].file == files[-1]
    assert sample.total == pytest.approx(4_000, rel=0.05)
    assert not sample.is_exact
    assert_from_all_over(rows_of(sample), 4_000)


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize(
    "text",
    [
        str,
        lambda row: f"one, two and {row}",
        lambda row: f"first\nsecond\n{row}",
        lambda row: f'"said"\n{row}\n' if row % 3 else "",
        lambda row: "x" * (row % 500),
    ],
    ids=["plain", "commas", "line_ends", "quotes", "lengths"],
)
@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_pieces_of_a_large_file_hold_whole_rows(tmp_path, suffix, text):
    file = write(tmp_path / f"log.{suffix}", 0, 30_000, text)
    sample = read_sample([file], COLUMNS, suffix, rows=1_000)
    assert sample.unreadable.total == 0
    assert not sample.is_exact
    assert sample.total == pytest.approx(30_000, rel=0.5)
    rows = rows_of(sample).astype(int)
    assert 300 < len(rows) == len(set(rows))
    assert rows[0] == 0
    assert rows[-1] == 29_999
    texts = [text for batch in sample.batches for text in batch.values["text"].to_pylist()]
    texts = [text.decode() if isinstance(text, bytes) else text for text in texts]
    assert texts == [text(row) for row in rows.tolist()]


@pytest.mark.usefixtures("small_pieces")
def test_a_bad_row_of_a_piece_is_named_by_the_place_where_the_piece_begins(tmp_path):
    path = tmp_path / "log.csv"
    write(path, 0, 30_000)
    lines = path.read_text().splitlines()
    lines[15_000:15_300] = ["1,2,3"] * 300
    path.write_text("\n".join(lines) + "\n")
    sample = read_sample([str(path)], COLUMNS, "csv", rows=20_000)
    bad = sample.unreadable.first["uneven_row"]
    place, _, byte = bad.file.partition(" from byte ")
    assert place == str(path)
    rest = path.read_bytes()[int(byte.replace(",", "")) :].splitlines()
    assert rest[bad.row - 1] == b"1,2,3"


def test_unreadable_rows_on_the_way_to_the_sample_are_counted(tmp_path):
    path = tmp_path / "log.csv"
    write(path, 0, 30_000)
    path.write_text(path.read_text() + "1,2,3\n")
    sample = read_sample([str(path)], COLUMNS, "csv", rows=1_000)
    assert (sample.unreadable.total, sample.seen, sample.total) == (1, 30_001, 30_001)


@pytest.mark.parametrize("is_large", [False, True])
def test_a_column_that_is_not_there_is_named(tmp_path, is_large, monkeypatch):
    if is_large:
        monkeypatch.setattr(sampling, "_WHOLE_BYTES", 0)
    file = write(tmp_path / "log.csv", 0, 10)
    with pytest.raises(DataError, match="there is no column 'rows'; did you mean 'row'"):
        read_sample([file], [RawColumn("rows", "number")], "csv")


def test_the_words_say_how_much_was_read():
    assert extent(600, 600, "log.csv", is_exact=True) == "all 600 rows of log.csv"
    some = extent(50_000, 2_310_000, "3 files", is_exact=False)
    assert some == "50,000 of about 2,310,000 rows of 3 files, from all over"
