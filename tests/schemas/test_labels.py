"""The rule of a label, on arrays and on tensors."""

import numpy as np
import pytest
import tensorflow as tf
from pydantic import ValidationError

from taskroute.schemas.tasks import Label, Task

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


@pytest.mark.parametrize("make", [np.float32, lambda values: tf.constant(values, tf.float32)])
@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ({"at_most": 0.1}, [1, 1, 0, 0]),
        ({"between": [0.1, 7]}, [0, 1, 1, 0]),
        ({"equals": 0.1}, [0, 1, 0, 0]),
        ({"in": [0, 8]}, [1, 0, 0, 1]),
    ],
)
def test_a_rule_holds_in_float32_for_arrays_and_tensors(make, rule, expected):
    label = Label.model_validate({"column": "y", **rule})
    np.testing.assert_array_equal(label.is_positive(make([0.0, 0.1, 7.0, 8.0])), expected)
    assert Label.model_validate_json(label.model_dump_json()) == label
    assert list(label.rules) == list(rule)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"at_least": 1, "at_most": 2}, "must have one rule, not at_least and at_most"),
        ({"between": [2, 1]}, "the smaller number first"),
        ({"in": ["buy", 3]}, "numbers, or texts, not both"),
        ({"in": []}, "at least 1 item"),
        ({"equals": 20240301}, "20240301 is too large to be told from its neighbours"),
        ({"equals": "buy", "minimum": 0}, "`label.minimum` is for numbers"),
    ],
)
def test_an_unclear_rule_is_refused(fields, message):
    with pytest.raises(ValidationError, match=message):
        Label.model_validate({"column": "y", **fields})


def test_a_rule_is_for_binary_tasks():
    with pytest.raises(ValidationError, match=r"`label\.in` is for binary tasks"):
        Task(name="watch", kind="regression", label=Label(column="y", one_of=(1.0,)))
