"""Robust scale in parts, against numpy on all values."""

import numpy as np
import pytest

from taskroute.components.transform.robust_scale import RobustScale
from taskroute.schemas.analysis import Limits, Moments

RANDOM = np.random.default_rng(5)


def scale_of(values, num_parts=3):
    merged, *others = (RobustScale(seed) for seed in range(num_parts))
    parts = [merged, *others]
    for index, batch in enumerate(np.array_split(np.float32(values), 50)):
        parts[index % num_parts].add(batch)
    for other in others:
        merged.merge(other)
    return merged.constants()


def test_without_outliers_moments_are_those_of_all_values():
    values = np.float32(RANDOM.normal(5, 2, 100_000))
    moments, limits = scale_of(values)
    exact = values.astype(np.float64)
    assert moments.mean == pytest.approx(exact.mean(), rel=1e-12)
    assert moments.variance == pytest.approx(exact.var(), rel=1e-12)
    # Quartiles are 1.35 deviations apart: the limits are 7.4 deviations from the mean.
    assert limits.low == pytest.approx(5 - 7.42 * 2, rel=0.03)
    assert limits.high == pytest.approx(5 + 7.42 * 2, rel=0.03)


@pytest.mark.parametrize(("num_rows", "tolerance"), [(10_000, 1e-9), (300_000, 0.02)])
def test_with_outliers_moments_are_those_of_squashed_values(num_rows, tolerance):
    values = np.float32(RANDOM.normal(5, 2, num_rows))
    values[::25] = 1e10
    moments, limits = scale_of(values)
    squashed = limits.squash(values.astype(np.float64), np)
    assert moments.mean == pytest.approx(squashed.mean(), rel=tolerance)
    assert moments.variance == pytest.approx(squashed.var(), rel=2 * tolerance)
    assert (values[1] - moments.mean) ** 2 / moments.variance < 4


def test_one_outlier_of_a_million_does_not_count():
    values = np.float32(RANDOM.normal(size=1_000_000))
    values[7] = 3e38
    moments, _ = scale_of(values)
    assert moments.mean == pytest.approx(0, abs=0.03)
    assert moments.variance == pytest.approx(1, rel=0.05)


def test_equal_values_have_no_variance_at_all():
    assert scale_of(np.full(999, 0.1)) == (
        Moments(mean=float(np.float32(0.1))),
        Limits(low=float(np.float32(0.1)), high=float(np.float32(0.1))),
    )


def test_without_finite_values_there_is_no_scale():
    assert scale_of([np.nan, np.inf] * 50) == (Moments(), Limits(low=0, high=0))


def test_the_same_values_give_the_same_constants():
    values = RANDOM.normal(size=100_000)
    values[::9] = 1e10
    assert scale_of(values) == scale_of(values)
