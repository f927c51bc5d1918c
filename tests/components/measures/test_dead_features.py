"""Dead features of a log, before and after it is transformed."""

import numpy as np
import pyarrow as pa
import pytest

from taskroute.components.measures.dead_features import find_dead_columns, find_dead_features
from taskroute.schemas.recommender import DataConfig

ROWS = 4000
RANDOM = np.random.default_rng(1)
DENSE = {"kind": "dense"}
BUCKET = {"kind": "bucket", "boundaries": [1.0, 10.0]}
TERMS = {"kind": "categorical", "vocabulary": {}}
RARE = {"kind": "categorical", "vocabulary": {"min_count": 2}}
HASHED = {"kind": "categorical", "hash_buckets": 10**6}
TAGS = {"kind": "multivalent", "vocabulary": {"min_count": 2}}


def config_of(feature):
    tasks = [{"name": "click", "label": {"column": "clicked"}}]
    return DataConfig.model_validate({"features": [{"name": "f", **feature}], "tasks": tasks})


def column(values):
    """Raw column from numbers, where NaN is missing, or from lists of terms."""
    if isinstance(values, list):
        return pa.array([v or None for v in values], pa.list_(pa.binary()))
    return pa.array([None if np.isnan(v) else [v] for v in values], pa.list_(pa.float32()))


def texts(values):
    return [[b"%d" % value] for value in values]


def nearly(value, other):
    """Numbers of which 2 of 4,000 are another one."""
    values = np.full(ROWS, float(value))
    values[[3, 999]] = other
    return values


def sentence(feature, values, is_whole=True):
    config, examples = config_of(feature), pa.table({"f": column(values)})
    findings = find_dead_columns(config, examples, is_whole=is_whole)
    assert len(findings) <= 1
    assert all((one.kind, one.subject) == ("dead_feature", "f") for one in findings)
    return findings[0].sentence.removeprefix("feature 'f': ") if findings else None


@pytest.mark.parametrize(
    ("feature", "values", "start"),
    [
        (DENSE, np.full(ROWS, 7.0), "all of the rows are the same; check column 'f'"),
        (DENSE, nearly(7, 8), "99.95% of the rows are the same"),
        (DENSE, nearly(np.nan, 8), "it is missing in 99.95% of the rows"),
        (BUCKET, RANDOM.uniform(2, 9, ROWS), "all of the rows fall into one bucket"),
        (BUCKET, nearly(50, 2), "99.95% of the rows fall into one bucket"),
        (TERMS, texts(nearly(7, 8)), "99.95% of the rows are the same"),
        (TERMS, texts(range(ROWS)), "nearly every row has a term of its own (4,000 terms"),
        (HASHED, texts(range(ROWS)), "nearly every row has a term of its own (4,000 terms"),
        (RARE, texts(range(ROWS)), "all of the rows are outside its vocabulary"),
        (TAGS, [[b"%d" % n, b"x%d" % n] for n in range(ROWS)], "all of the terms are outside"),
        (TAGS, [[b"a"] * (1 + n % 3) for n in range(ROWS)], "all of the terms are the same"),
        (TAGS, [[b"a", b"b"] if n < 2 else [] for n in range(ROWS)], "it is missing in 99."),
    ],
)
def test_a_dead_column_is_told(feature, values, start):
    assert sentence(feature, values).startswith(start)


@pytest.mark.parametrize(
    ("feature", "values"),
    [
        (DENSE, RANDOM.normal(size=ROWS)),
        (DENSE, (RANDOM.random(ROWS) < 0.01).astype(float)),
        (DENSE, np.where(RANDOM.random(ROWS) < 0.99, np.nan, 1.0)),
        (BUCKET, RANDOM.uniform(0, 20, ROWS)),
        (TERMS, texts(RANDOM.integers(0, 9, ROWS))),
        (RARE, texts(RANDOM.integers(0, 9000, ROWS))),
        (HASHED, texts(RANDOM.integers(0, 9000, ROWS))),
        (TAGS, [[b"%d" % n, b"x"] for n in range(ROWS)]),
        # Another search tells it.
        (DENSE, np.full(ROWS, np.nan)),
    ],
)
def test_no_other_column_is_told(feature, values):
    assert sentence(feature, values) is None


@pytest.mark.parametrize("feature", [RARE, TERMS, HASHED])
def test_terms_that_are_rare_in_a_sample_may_be_frequent_in_the_log(feature):
    assert sentence(feature, texts(range(ROWS)), is_whole=False) is None


def test_a_sequence_counts_in_the_vocabulary_of_the_feature_it_shares():
    features = [{"name": "item", **TERMS}, {"name": "past", "kind": "sequence", "shares": "item"}]
    tasks = [{"name": "click", "label": {"column": "clicked"}}]
    config = DataConfig.model_validate({"features": features, "tasks": tasks})
    past = column([[b"p%d" % n] for n in range(ROWS)])
    examples = pa.table({"item": column(texts(RANDOM.integers(0, 9, ROWS))), "past": past})
    assert find_dead_columns(config, examples, is_whole=True) == []


def transformed_sentence(feature, values, num_terms=0, **others):
    table = pa.table({"f": values, **others})
    terms = {"f": num_terms} if num_terms else {}
    findings = find_dead_features(config_of(feature), table, terms, 10 * ROWS)
    return findings[0].sentence.removeprefix("feature 'f': ") if findings else None


def ids(low, high):
    return pa.array(RANDOM.integers(low, high, ROWS))


NONE_MISSING = pa.array(np.zeros(ROWS, np.float32))
ALL_MISSING = pa.array(np.ones(ROWS, np.float32))
NUMBERS = pa.array(np.float32(RANDOM.normal(size=ROWS)))


@pytest.mark.parametrize(
    ("feature", "values", "num_terms", "others", "start"),
    [
        (DENSE, NONE_MISSING, 0, {"f_missing": NONE_MISSING}, "all of the train rows are the same"),
        (DENSE, NUMBERS, 0, {"f_missing": ALL_MISSING}, "it is missing in all of the train rows"),
        (BUCKET, ids(3, 4), 0, {}, "all of the train rows fall into one bucket"),
        (TERMS, ids(0, 1), 9, {}, "it is missing in all of the train rows"),
        (RARE, ids(10, 13), 9, {}, "all of the train rows are outside its vocabulary"),
        (TERMS, ids(1, 40_001), 10 * ROWS, {}, "nearly every row has a term of its own (40,000"),
        (TAGS, pa.array([[10], [], [11]] * 2 + [[12]] * 8000), 9, {}, "99.97% of the terms"),
    ],
)
def test_a_dead_transformed_feature_is_told(feature, values, num_terms, others, start):
    assert transformed_sentence(feature, values, num_terms, **others).startswith(start)


@pytest.mark.parametrize(
    ("feature", "values", "num_terms", "others"),
    [
        (DENSE, NUMBERS, 0, {"f_missing": NONE_MISSING}),
        (DENSE, NONE_MISSING, 0, {"f_missing": pa.array(np.float32(np.arange(ROWS) % 2))}),
        (BUCKET, ids(1, 4), 0, {}),
        (TERMS, ids(1, 10), 9, {}),
        (RARE, ids(1, 12), 9, {}),
        (HASHED, ids(1, 40_001), 0, {}),
    ],
)
def test_no_other_transformed_feature_is_told(feature, values, num_terms, others):
    assert transformed_sentence(feature, values, num_terms, **others) is None
