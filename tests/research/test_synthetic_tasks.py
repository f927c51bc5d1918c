import numpy as np
import pytest
from synthetic_tasks import TaskFamily, World


def correlation(family, seed, num_rows):
    return np.corrcoef(World(family, seed).draw(num_rows, part=0).truth.T)[0, 1]


@pytest.mark.parametrize(
    ("p", "expected"), [(0, 0.001), (0.5, 0.217), (0.75, 0.339), (0.9, 0.458), (1, 1)]
)
def test_labels_of_fixed_waves_correlate_as_measured_independently(p, expected):
    family = TaskFamily(num_tasks=2, num_groups=1, relatedness=p, width=4, waves="fixed")
    assert correlation(family, seed=0, num_rows=200_000) == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize(("p", "expected"), [(0, 0.0), (0.5, 0.33), (0.9, 0.79)])
def test_labels_of_drawn_waves_correlate_as_measured_independently(p, expected):
    family = TaskFamily(num_tasks=2, num_groups=1, relatedness=p, width=4)
    values = [correlation(family, seed, num_rows=5_000) for seed in range(120)]
    assert np.mean(values) == pytest.approx(expected, abs=0.03)


def test_directions_have_the_cosine_within_a_group_and_none_across():
    family = TaskFamily(num_tasks=6, num_groups=2, relatedness=0.8)
    directions_TD = World(family, seed=3).directions
    group = np.array([[1, 0.8, 0.8], [0.8, 1, 0.64], [0.8, 0.64, 1]])
    expected = np.kron(np.eye(2), group)
    np.testing.assert_allclose(directions_TD @ directions_TD.T, expected, atol=1e-12)


def test_truth_is_standardised_and_labels_add_the_noise():
    rows = World(TaskFamily(noise=0.7), seed=1).draw(100_000, part=0)
    np.testing.assert_allclose(rows.truth.mean(axis=0), 0, atol=0.02)
    np.testing.assert_allclose(rows.truth.std(axis=0), 1, atol=0.02)
    np.testing.assert_allclose((rows.labels - rows.truth).std(axis=0), 0.7, atol=0.01)


def test_tasks_of_a_group_are_one_function_when_fully_related():
    truth_NT = World(TaskFamily(relatedness=1.0), seed=2).draw(100, part=0).truth
    np.testing.assert_allclose(truth_NT[:, 0::2], truth_NT[:, 1::2], atol=1e-5)
    assert not np.allclose(truth_NT[:, 0], truth_NT[:, 2], atol=0.1)


def test_a_seed_names_a_world_and_a_part_its_rows():
    first = World(TaskFamily(), seed=5).draw(50, part=1)
    again = World(TaskFamily(), seed=5).draw(50, part=1)
    np.testing.assert_array_equal(first.labels, again.labels)
    for other in (World(TaskFamily(), 6).draw(50, part=1), World(TaskFamily(), 5).draw(50, part=2)):
        assert not np.isclose(first.inputs, other.inputs).any()


def test_worlds_that_differ_in_relatedness_share_inputs_and_first_tasks():
    near, far = (World(TaskFamily(relatedness=p), seed=7).draw(50, part=0) for p in (0.9, 0.1))
    np.testing.assert_array_equal(near.inputs, far.inputs)
    np.testing.assert_array_equal(near.labels[:, ::2], far.labels[:, ::2])
