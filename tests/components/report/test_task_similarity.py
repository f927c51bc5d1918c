"""Similarity of tasks, by hand."""

import numpy as np
import pytest

from taskroute.components.report.task_similarity import task_similarity
from taskroute.schemas.training_record import RoutingTable

TASKS = ["a", "b"]


def _matrix(upper, lower, values):
    return RoutingTable(name="m", upper=upper, lower=lower, values=values)


def test_tasks_that_read_the_same_are_1_and_that_share_nothing_0():
    same = _matrix(TASKS, ["1.1", "1.2"], [[1, 1], [1, 1]])
    apart = _matrix(TASKS, ["1.1", "1.2"], [[1, 0], [0, 1]])
    assert task_similarity([same], TASKS) == pytest.approx(np.ones((2, 2)))
    assert task_similarity([apart], TASKS) == pytest.approx(np.eye(2))


def test_what_is_shared_below_counts_for_half_of_two_layers():
    upper = _matrix(TASKS, ["2.1", "2.2"], [[1, 0], [0, 1]])
    lower = _matrix(["2.1", "2.2"], ["1.1"], [[1], [1]])
    assert task_similarity([lower, upper], TASKS)[0, 1] == pytest.approx(0.5)


def test_a_layer_of_own_networks_that_read_each_other_counts_by_its_routes():
    # As cross-stitch names them: the parts of a layer are called as the tasks are.
    mixed = _matrix(TASKS, TASKS, [[0.6, 0.8], [0.8, 0.6]])
    assert task_similarity([mixed], TASKS)[0, 1] == pytest.approx(0.96)


def test_a_task_that_reads_nothing_is_like_none():
    closed = _matrix(TASKS, ["1.1"], [[1], [0]])
    assert task_similarity([closed], TASKS) == pytest.approx(np.array([[1, 0], [0, 0]]))
