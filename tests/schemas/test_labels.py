"""The rule of a label, on arrays and on tensors."""

import numpy as np
import pytest
import tensorflow as tf

from taskroute.schemas.tasks import Label

SECONDS = np.array([-2.0, 0.0, 29.0, 30.0, 1000.0], np.float32)


@pytest.mark.parametrize("make", [np.array, tf.constant])
def test_a_value_that_reaches_the_threshold_is_positive(make):
    label = Label(column="seconds", at_least=30)
    np.testing.assert_array_equal(label.is_positive(make(SECONDS)), [0, 0, 0, 1, 1])
    plain = Label(column="clicked")
    np.testing.assert_array_equal(plain.is_positive(make([0.0, 1.0])), [False, True])


@pytest.mark.parametrize(("make", "math"), [(np.array, np), (tf.constant, tf.math)])
def test_the_loss_sees_a_bounded_logarithm_and_the_metrics_the_unit_of_the_log(make, math):
    label = Label(column="seconds", transform="log1p", maximum=600)
    seen = label.for_loss(make(SECONDS), math)
    np.testing.assert_allclose(seen, np.log1p([0, 0, 29, 30, 600]), rtol=1e-6)
    np.testing.assert_allclose(label.in_own_unit(seen, math), [0, 0, 29, 30, 600], rtol=1e-5)


def test_without_a_transform_a_label_stays_as_it_is():
    label = Label(column="seconds")
    np.testing.assert_array_equal(label.for_loss(SECONDS, np), SECONDS)
    np.testing.assert_array_equal(label.in_own_unit(SECONDS, np), SECONDS)
