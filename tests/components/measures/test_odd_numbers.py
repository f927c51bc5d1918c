"""Default values far from all others, and numbers that float32 rounds away."""

import numpy as np
import pyarrow as pa
import pytest

from taskroute.components.measures.odd_numbers import find_odd_numbers
from taskroute.schemas.recommender import DataConfig

ROWS = 10_000
RANDOM = np.random.default_rng(1)
NORMAL = RANDOM.normal(size=ROWS)
IS_DEFAULT = np.arange(ROWS) % 25 == 0


def sentences(values, **feature):
    config = DataConfig.model_validate(
        {
            "features": [{"name": "f", "column": "x", "kind": "dense", **feature}],
            "tasks": [{"name": "click", "label": {"column": "clicked"}}],
        }
    )
    lists = pa.array([None if np.isnan(v) else [v] for v in values], pa.list_(pa.float32()))
    return [one.sentence for one in find_odd_numbers(config, pa.table({"x": lists}))]


@pytest.mark.parametrize(("default", "text"), [(1e10, "1e+10"), (-999, "-999"), (-1e30, "-1e+30")])
@pytest.mark.parametrize("column", [NORMAL, RANDOM.integers(0, 80, ROWS).astype(float)])
def test_a_default_value_is_told(default, text, column):
    assert sentences(np.where(IS_DEFAULT, default, column)) == [
        f"feature 'f': column 'x' is {text} in 4.0% of the rows, far from its other values; if "
        "that stands for 'not known', write it as missing"
    ]


@pytest.mark.parametrize(
    ("values", "feature"),
    [
        (NORMAL, {}),
        (np.where(IS_DEFAULT, np.nan, NORMAL), {}),
        (RANDOM.lognormal(3, 2, ROWS), {}),
        (RANDOM.lognormal(3, 2, ROWS), {"transform": "log1p"}),
        (np.where(RANDOM.random(ROWS) < 0.96, 0, RANDOM.normal(2000, 100, ROWS)), {}),
        (np.where(RANDOM.random(ROWS) < 0.96, 0, 2000), {"transform": "log1p"}),
        (np.where(IS_DEFAULT, 1e10, NORMAL), {"transform": "quantile"}),
        (RANDOM.integers(0, 2, ROWS), {}),
        (np.full(ROWS, 7), {}),
        (RANDOM.integers(2000, 2025, ROWS), {}),
        (1e6 + RANDOM.integers(0, 2, ROWS), {}),
        (1.7e9 + 86_400 * RANDOM.random(ROWS), {}),
    ],
)
def test_no_other_column_is_told(values, feature):
    assert sentences(np.asarray(values, float), **feature) == []


@pytest.mark.parametrize(
    ("values", "numbers"),
    [
        (1.7e9 + 3600 * RANDOM.random(ROWS), "few numbers"),  # an hour in seconds
        (1.7e9 + 5 * RANDOM.random(ROWS), "one number"),
        (1.7e12 + 3.6e6 * RANDOM.random(ROWS), "few numbers"),  # an hour in milliseconds
    ],
)
def test_numbers_that_float32_rounds_away_are_told(values, numbers):
    for kind in ({}, {"kind": "bucket", "num_quantiles": 10}):
        (sentence,) = sentences(values, **kind)
        assert sentence.startswith("feature 'f': column 'x' holds numbers near 1.7e+")
        assert f"are {numbers} in float32" in sentence
