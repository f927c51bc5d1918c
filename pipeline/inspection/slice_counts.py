"""Numbers of values of the columns that metrics are sliced by."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from taskroute.pipeline.inspection.log_sample import LogSample
from taskroute.schemas.errors import DataError
from taskroute.schemas.evaluation import MAX_SLICES
from taskroute.schemas.findings import Finding
from taskroute.schemas.recommender import RecommenderConfig

_MANY = MAX_SLICES // 2


def find_many_slices(config: RecommenderConfig, sample: LogSample) -> Iterator[Finding]:
    """Tells of columns with so many values that the run may stop at its evaluation.

    Raises:
        DataError: If it certainly would: if the rows of the sample that are as many as the test
            split has, or all if it has more, hold too many.
    """
    examples = sample.examples
    for column in config.evaluation.slices:
        if column not in examples.column_names:
            continue
        values = pa.concat_arrays(
            [pc.list_element(_at_least_one(chunk), 0) for chunk in examples[column].chunks]
        )
        num_in_test = _num_values(values, _num_test_rows(config, sample), config)
        if num_in_test > MAX_SLICES:
            raise DataError(
                f"`evaluation`: column '{column}' has {num_in_test:,} values in rows as few as "
                f"those of the test split, and a slice's column {MAX_SLICES:,} at most; take it "
                "out of `slices`, or slice by something coarser"
            )
        num_seen = len(pc.unique(values))
        if num_seen > _MANY:
            yield Finding(
                kind="sizes",
                subject=column,
                sentence=f"`evaluation`: column '{column}' has {num_seen:,} values in the rows "
                f"read; with more than {MAX_SLICES:,} in the test split the run stops at its "
                "evaluation: slice by something coarser",
            )


def _at_least_one(lists: pa.Array) -> pa.Array:
    """Lists with an element in each, or null: Arrow takes no element of an empty one."""
    lengths = pc.fill_null(pc.list_value_length(lists), 0)
    return lists.take(pa.array(np.arange(len(lists)), mask=np.asarray(lengths) == 0))


def _num_test_rows(config: RecommenderConfig, sample: LogSample) -> int:
    """Number of test rows; 0 where a test file has them, for the sample does not know them."""
    return 0 if config.source.test_path else int(sample.total * config.source.split.test)


def _num_values(values: pa.Array, num_rows: int, config: RecommenderConfig) -> int:
    """Number of values in so many rows: the last ones, or, of a split by hash, any."""
    num_rows = min(num_rows, len(values))
    places = np.arange(len(values) - num_rows, len(values))
    if config.source.split.by != "time":
        places = np.random.default_rng(0).choice(len(values), num_rows, replace=False)
    return len(pc.unique(values.take(pa.array(places))))
