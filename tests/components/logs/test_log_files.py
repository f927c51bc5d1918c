"""Finding and opening log files, here and through Beam's filesystems."""

import gzip
import os

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskroute.components.logs import log_reader, spans
from taskroute.components.logs.log_files import NOT_UTF8, TextStream, fingerprint, list_files
from taskroute.components.logs.log_reader import Part
from taskroute.schemas.columns import RawColumn
from taskroute.schemas.errors import DataError
from taskroute.schemas.source import Source, Split


class TestFiles:
    def test_a_pattern_names_its_files_in_order(self, tmp_path):
        for name in ("b.csv", "a.csv", "c.txt", "deep/d.csv"):
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).touch()
        names = [file.rpartition("/")[2] for file in list_files(f"{tmp_path}/*.csv")]
        assert names == ["a.csv", "b.csv"]
        names = [file.rpartition("/")[2] for file in list_files(f"{tmp_path}/**/*.csv")]
        assert names == ["a.csv", "b.csv", "d.csv"]

    def test_a_file_whose_name_looks_like_a_pattern_is_found(self, tmp_path):
        path = tmp_path / "log[1].csv"
        path.touch()
        assert list_files(str(path)) == [str(path)]

    def test_no_file_and_a_folder_are_refused(self, tmp_path):
        with pytest.raises(DataError, match=r"\*\.csv: no file matches"):
            list_files(f"{tmp_path}/*.csv")
        with pytest.raises(DataError, match="is a folder; name its files"):
            list_files(str(tmp_path))

    def test_the_fingerprint_changes_with_the_files(self, tmp_path):
        first, second = tmp_path / "a.csv", tmp_path / "b.csv"
        first.write_text("x")
        second.write_text("y")
        names = [str(first), str(second)]
        before = fingerprint(names)
        assert before == fingerprint(names[::-1])
        assert before != fingerprint(names[:1])
        second.write_text("yy")
        longer = fingerprint(names)
        os.utime(second, ns=(1, 1))
        assert len({before, longer, fingerprint(names)}) == 3


def _read(path, size, encoding="utf-8"):
    """Text of a file, read in pieces, and whether it has bad bytes."""
    stream = TextStream(str(path), encoding)
    content = b""
    while chunk := stream.read(size):
        assert len(chunk) <= size
        content += chunk
    return content, stream.has_bad_bytes


class TestText:
    @pytest.mark.parametrize("size", [1, 3, 5, 1000])
    def test_text_comes_as_it_is_whatever_the_size_of_a_read(self, tmp_path, size):
        text = "user,größe\n€,日本\n😀,a\n".encode()
        (tmp_path / "a.csv").write_bytes(b"\xef\xbb\xbf" + text)
        (tmp_path / "a.csv.gz").write_bytes(gzip.compress(text))
        for name in ("a.csv", "a.csv.gz"):
            assert _read(tmp_path / name, size) == (text, False)

    @pytest.mark.parametrize("size", [1, 3, 5, 1000])
    @pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be", "shift_jis", "gb18030", "utf-8"])
    def test_other_encodings_come_as_utf_8(self, tmp_path, size, encoding):
        text = "user,価格\n日本,1\nカメラ,2\n"
        (tmp_path / "a.csv").write_bytes(text.encode(encoding))
        assert _read(tmp_path / "a.csv", size, encoding) == (text.encode(), False)

    @pytest.mark.parametrize("encoding", ["shift_jis", "euc_jp", "utf-16-le", "ascii"])
    def test_bad_bytes_of_other_encodings_are_marked(self, tmp_path, encoding):
        # Half of a wide character, at the end of the file.
        (tmp_path / "a.csv").write_bytes("user,a".encode(encoding) + b"\x83")
        assert _read(tmp_path / "a.csv", 5, encoding) == (f"user,a{NOT_UTF8}".encode(), True)

    @given(st.binary(min_size=5, max_size=40), st.integers(1, 12))
    def test_what_is_not_utf_8_is_marked(self, tmp_path_factory, content, size):
        path = tmp_path_factory.mktemp("text") / "a.csv"
        path.write_bytes(b"head," + content)
        text, has_bad_bytes = _read(path, size)
        text = text.decode()
        try:
            assert text == "head," + content.decode()
            assert not has_bad_bytes
        except UnicodeDecodeError:
            assert has_bad_bytes
            assert NOT_UTF8 in text
            good = content.decode(errors="ignore")
            assert text.replace(NOT_UTF8, "") == "head," + good.replace(NOT_UTF8, "")


class TestRemote:
    """Names with a scheme, here one that Beam knows from these tests."""

    @pytest.fixture(scope="class", autouse=True)
    def filesystem(self):
        """`elsewhere:///tmp/x` is the file /tmp/x, for Beam only."""
        from apache_beam.io.filesystem import FileMetadata, MatchResult
        from apache_beam.io.localfilesystem import LocalFileSystem

        class Elsewhere(LocalFileSystem):
            @classmethod
            def scheme(cls):
                return "elsewhere"

            def match(self, patterns, limits=None):
                return [
                    MatchResult(
                        pattern,
                        [
                            FileMetadata(
                                f"elsewhere://{found.path}",
                                found.size_in_bytes,
                                found.last_updated_in_seconds,
                            )
                            for found in result.metadata_list
                        ],
                    )
                    for pattern in patterns
                    for result in super(Elsewhere, self).match([_local(pattern)])
                ]

            def open(self, path, *args, **kwargs):
                return super().open(_local(path), *args, **kwargs)

        return Elsewhere  # kept: Beam finds what is alive

    def test_they_are_listed_and_digested(self, tmp_path):
        for name in ("b.csv", "a.csv", "c.txt"):
            (tmp_path / name).write_text(name)
        names = list_files(f"elsewhere://{tmp_path}/*.csv")
        assert names == [f"elsewhere://{tmp_path}/{name}" for name in ("a.csv", "b.csv")]
        before = fingerprint(names)
        assert before == fingerprint(names)
        (tmp_path / "a.csv").write_text("longer")
        assert fingerprint(names) != before

    def test_they_are_read_in_every_format(self, tmp_path):
        pq.write_table(pa.table({"age": [1, 2]}), tmp_path / "a.parquet")
        (tmp_path / "a.csv").write_text("age\n1\n2\n")
        (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(b'{"age": 1}\n{"age": 2}\n'))
        for name, kind in (("a.csv", "csv"), ("a.jsonl.gz", "jsonl"), ("a.parquet", "parquet")):
            part = Part(f"elsewhere://{tmp_path}/{name}")
            (batch,) = log_reader.read_batches(part, [RawColumn("age", "number")], kind)
            assert batch.rows.tolist() == [1, 2]

    def test_spans_of_days_are_found(self, tmp_path):
        for day in ("2024-03-01", "2024-03-02"):
            (tmp_path / day).mkdir()
            (tmp_path / day / "a.csv").touch()
        source = Source(
            path=f"elsewhere://{tmp_path}/{{YYYY}}-{{MM}}-{{DD}}/*.csv",
            format="csv",
            split=Split(by="hash", key="user"),
            window_days=2,
        )
        window = spans.read_window(spans.resolve(source))
        assert window.files == tuple(
            (f"elsewhere://{tmp_path}/{day}/a.csv",) for day in ("2024-03-01", "2024-03-02")
        )

    def test_none_and_an_unknown_scheme_are_refused(self, tmp_path):
        with pytest.raises(DataError, match="no file matches"):
            list_files(f"elsewhere://{tmp_path}/*.csv")
        with pytest.raises(DataError, match="Beam has no filesystem for nowhere://"):
            list_files("nowhere://logs/*.csv")

    def test_a_file_that_is_gone_is_named(self, tmp_path):
        part = Part(f"elsewhere://{tmp_path}/a.csv")
        with pytest.raises(DataError, match=r"a\.csv: cannot be read: "):
            list(log_reader.read_batches(part, [RawColumn("age", "number")], "csv"))


def _local(name: str) -> str:
    return name.removeprefix("elsewhere://")
