"""Counts of a column's terms, and the vocabulary that follows from them."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from taskroute.components.logs.hashes import hash_texts
from taskroute.schemas.analysis import NO_TERM
from taskroute.schemas.features import Vocabulary

_MERGED_AT = 500_000
_SCHEMA = pa.schema([("term", pa.large_binary()), ("count", pa.int64())])


class TermCounts:
    """Counts of distinct terms, which add up.

    Memory is that of the distinct terms, or of half a million if they are fewer.
    """

    def __init__(self, table: pa.Table | None = None):
        self._waiting = [] if table is None else [table]
        self._num_waiting = 0

    def add(self, terms: pa.Array) -> None:
        """Counts a batch of terms, binary; null is none."""
        counted = pc.value_counts(terms.drop_null())
        columns = [counted.field(0).cast(pa.large_binary()), counted.field(1)]
        self._append(pa.Table.from_arrays(columns, schema=_SCHEMA))

    def merge(self, other: "TermCounts") -> None:
        """Adds the counts of `other`."""
        self._append(other.table())

    def table(self) -> pa.Table:
        """Columns `term`, distinct, large_binary, and `count`, int64, in no order."""
        if len(self._waiting) != 1:
            together = pa.concat_tables([_SCHEMA.empty_table(), *self._waiting])
            summed = together.group_by("term", use_threads=False).aggregate([("count", "sum")])
            table = summed.select(["term", "count_sum"]).rename_columns(["term", "count"])
            self._waiting, self._num_waiting = [table], 0
        return self._waiting[0]

    def partition(self, num_parts: int) -> Iterator[tuple[int, "TermCounts"]]:
        """Splits by a hash of the term; the first part is there even if it is empty."""
        table = self.table().combine_chunks()
        parts = (hash_texts(table["term"].combine_chunks()) % np.uint64(num_parts)).astype(np.int64)
        order = np.argsort(parts, kind="stable")
        table, parts = table.take(pa.array(order)), parts[order]
        occurring = np.union1d(parts, [0])
        for part, start, end in zip(
            occurring.tolist(),
            np.searchsorted(parts, occurring, "left").tolist(),
            np.searchsorted(parts, occurring, "right").tolist(),
            strict=True,
        ):
            yield part, TermCounts(table.slice(start, end - start))

    def _append(self, table: pa.Table) -> None:
        self._waiting.append(table)
        self._num_waiting += table.num_rows
        # Rarely, so that the merging stays linear in what comes in.
        if self._num_waiting > self._waiting[0].num_rows + _MERGED_AT:
            self.table()


def most_frequent(counts: pa.Table, vocabulary: Vocabulary) -> pa.Table:
    """Rows of a table of TermCounts that are in the vocabulary, in its order.

    It is the order of TFT: falling counts, and falling bytes where counts are equal. A term that is
    empty or holds a line break has no line in a file of one term a line, and is left out.
    """
    terms = counts["term"]
    fits = pc.greater(pc.binary_length(terms), 0)
    for line_break in (b"\n", b"\r"):
        fits = pc.and_not(fits, pc.match_substring(terms, line_break))
    frequent = pc.greater_equal(counts["count"], vocabulary.min_count)
    counts = counts.filter(pc.and_(fits, frequent))
    order = pc.sort_indices(counts, [("count", "descending"), ("term", "descending")])
    return counts.take(order[: vocabulary.max_size])


def to_lines(counts: pa.Table) -> bytes:
    """Content of a vocabulary file, from the table that `most_frequent` gives."""
    terms = counts["term"].combine_chunks() if counts.num_rows else pa.array([NO_TERM])
    terms = terms.cast(pa.large_binary())
    end = pa.scalar(b"\n", pa.large_binary())
    lines = pc.binary_join_element_wise(terms, end, pa.scalar(b"", pa.large_binary()))
    _, offsets, content = lines.buffers()
    return content.to_pybytes()[: np.frombuffer(offsets, np.int64)[len(lines)]]
