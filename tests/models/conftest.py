"""Transformed examples, for tests of their readers."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest


@pytest.fixture(scope="session")
def write_transformed():
    """Writes columns by name as Transform does: int64, float32 and lists of int64."""

    def write(path, columns):
        pq.write_table(pa.table({name: _column(values) for name, values in columns.items()}), path)

    return write


def _column(values):
    if isinstance(values, list):
        return pa.array(values, pa.list_(pa.int64()))
    kind = pa.float32() if values.dtype.kind == "f" else pa.int64()
    return pa.array(values).cast(kind)
