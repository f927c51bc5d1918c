"""Dense features in the transform graph, with the constants that an analysis gives."""

import json

import numpy as np
import pytest
import tensorflow as tf

from taskroute.components.transform.robust_scale import RobustScale
from taskroute.models.preprocessing import preprocessing_fn

RANDOM = np.random.default_rng(4)
NORMAL = np.float32(RANDOM.normal(size=10_000))


def scaled(train, values, folder, **without):
    """Transformed feature x of `values`, with constants of `train`."""
    scale = RobustScale(0)
    scale.add(np.float32(train))
    moments, limits = scale.constants()
    analysis = {"moments": {"x": moments.model_dump()}, "limits": {"x": limits.model_dump()}}
    analysis = {name: part for name, part in analysis.items() if name not in without}
    (folder / "analysis.json").write_text(json.dumps(analysis))
    data = {
        "features": [{"name": "x", "kind": "dense"}],
        "tasks": [{"name": "click", "label": {"column": "clicked"}}],
    }
    columns = {"x": values, "clicked": np.zeros(len(values))}
    inputs = {
        name: tf.sparse.from_dense(tf.constant(np.float32(column)[:, np.newaxis]))
        for name, column in columns.items()
    }
    config = {"data": json.dumps(data), "analysis": str(folder)}
    return preprocessing_fn(inputs, config)["x"].numpy()


@pytest.mark.parametrize("share", [0.04, 0.2])
def test_default_values_leave_the_others_apart_and_stay_apart_from_them(tmp_path, share):
    is_default = RANDOM.random(len(NORMAL)) < share
    values = np.where(is_default, np.float32(1e10), NORMAL)
    found = scaled(values, values, tmp_path)
    assert found.mean() == pytest.approx(0, abs=1e-3)
    assert found.std() == pytest.approx(1, abs=1e-3)
    others = found[~is_default]
    assert others.std() > 0.2
    assert np.corrcoef(others, NORMAL[~is_default])[0, 1] > 0.999
    assert found[is_default].min() > others.max()


def test_without_outliers_numbers_are_z_scores_of_all_values(tmp_path):
    exact = NORMAL.astype(np.float64)
    expected = (exact - exact.mean()) / exact.std()
    np.testing.assert_allclose(scaled(NORMAL, NORMAL, tmp_path), expected, atol=1e-6)


def test_an_analysis_of_an_older_version_has_no_limits(tmp_path):
    found = scaled(NORMAL, [1e6, 1e9], tmp_path, limits=None)
    assert found[1] == pytest.approx(1000 * found[0], rel=1e-3)
    assert found[0] > 9e5


@pytest.mark.parametrize("size", [1e-25, 1e25, 1e37])
def test_numbers_of_any_size_have_a_deviation_of_one(tmp_path, size):
    values = np.float32(NORMAL * size)
    found = scaled(values, values, tmp_path)
    assert found.std() == pytest.approx(1, rel=1e-3)


def test_a_constant_says_nothing_whatever_is_sent_later(tmp_path):
    np.testing.assert_array_equal(scaled(np.full(99, 0.1), [0.1, 1e10, -3], tmp_path), 0)
