"""Points lie in their space, are written as a person would, and are even to a model."""

import numpy as np
import pytest

from taskroute.pipeline.experiments.tune.proposals import propose
from taskroute.pipeline.experiments.tune.space import encode, point_of, sample, space_of, values_of
from taskroute.schemas.recommender import ModelConfig
from taskroute.schemas.tuning import Tuning, with_values

CONFIG = ModelConfig.model_validate(
    {
        "features": [{"name": "user", "kind": "categorical", "hash_buckets": 10}],
        "tasks": [{"name": "click", "label": {"column": "clicked"}}],
        "trunk": {"kind": "mmoe", "layers": [{"experts": 4, "units": 8}]},
    }
)
PARAMETERS = {
    "training.learning_rate": {"min": 1e-4, "max": 1e-1, "scale": "log"},
    "towers.dropout": {"min": 0, "max": 0.5, "step": 0.1},
    "trunk.dropout": {"min": 0, "max": 0.5},
    "trunk.layers[0].experts": {"min": 2, "max": 5},
    "training.batch_size": {"min": 64, "max": 4096, "scale": "log"},
    "trunk.layers[0].units": {"values": [[8], [8, 4], [16]]},
    "training.patience": {"values": [1, 2, 4]},
    "training.clip_norm": {"values": [None, "1e-1"]},
}
SPACE = space_of(CONFIG, Tuning(parameters=PARAMETERS))


def drawn(path, size=2000):
    return [values[path] for values in (values_of(SPACE, point) for point in draws(size))]


def draws(size):
    return sample(SPACE, np.random.default_rng(1), size)


def test_whatever_is_drawn_is_allowed():
    for point in draws(50):
        values = values_of(SPACE, point)
        assert point_of(with_values(CONFIG, values), SPACE) == point


def test_a_log_range_has_as_many_below_its_geometric_mean_as_above():
    rates = np.array(drawn("training.learning_rate"))
    assert rates.min() >= 1e-4
    assert rates.max() <= 1e-1
    assert np.mean(rates < 10**-2.5) == pytest.approx(0.5, abs=0.04)


def test_drawn_numbers_have_few_digits():
    for rate in drawn("training.learning_rate", 200):
        assert len(f"{rate:.10g}".replace("0.", "").lstrip("0")) <= 4
    assert set(drawn("towers.dropout")) == {0.0, 0.1, 0.2, 0.3, 0.4, 0.5}


def test_whole_numbers_are_whole_and_both_ends_as_likely_as_the_others():
    experts = drawn("trunk.layers[0].experts", 4000)
    assert all(isinstance(value, int) for value in experts)
    for value in (2, 3, 4, 5):
        assert experts.count(value) / 4000 == pytest.approx(0.25, abs=0.03)
    sizes = drawn("training.batch_size")
    assert all(isinstance(value, int) for value in sizes)
    assert (min(sizes), max(sizes)) >= (64, 4000)
    assert max(sizes) <= 4096


def test_values_are_drawn_alike_and_numbers_among_them_are_numbers():
    units = drawn("trunk.layers[0].units")
    assert {tuple(value) for value in units} == {(8,), (8, 4), (16,)}
    norms = drawn("training.clip_norm")
    assert norms.count(0.1) / len(norms) == pytest.approx(0.5, abs=0.04)
    assert set(norms) == {None, 0.1}


def test_coordinates_go_a_unit_from_end_to_end():
    seen = encode(SPACE, draws(500))
    # Six numbers and orders, and two without one, of three and of two values.
    assert seen.shape == (500, 6 + 3 + 2)
    assert (seen.min(), seen.max()) == pytest.approx((0, 1), abs=0.01)


def test_values_without_an_order_are_equally_far_from_each_other():
    dimension = SPACE["trunk.layers[0].units"]
    places = dimension.encode(np.array([0.0, 1.0, 2.0]))
    distances = np.linalg.norm(places[:, None] - places[None], axis=-1)
    assert distances[np.triu_indices(3, 1)] == pytest.approx(1.0)


def test_a_config_outside_of_the_ranges_is_no_point_of_them():
    inside = with_values(CONFIG, {"training.learning_rate": 0.1, "training.batch_size": 64})
    assert point_of(inside, SPACE)["training.learning_rate"] == 0.1
    assert point_of(with_values(CONFIG, {"training.learning_rate": 0.2}), SPACE) is None
    assert point_of(with_values(CONFIG, {"training.patience": 3}), SPACE) is None


def score(point):
    return -abs(np.log10(point["training.learning_rate"]) + 2) - 3 * point["trunk.dropout"]


def test_a_proposal_is_a_function_of_what_is_known():
    known = [(point, score(point)) for point in draws(15)]
    tried = [point for point, _ in known]
    one, again = (propose(SPACE, known, tried, number=16, seed=3) for _ in range(2))
    assert one == again
    assert one not in tried
    assert one != propose(SPACE, known, tried, number=16, seed=4)


def test_a_proposal_lies_where_much_is_expected():
    known = [(point, score(point)) for point in draws(30)]
    tried = [point for point, _ in known]
    found = [propose(SPACE, known, tried, number=n, seed=1) for n in range(5)]
    average = sum(value for _, value in known) / len(known)
    assert np.mean([score(point) for point in found]) > average + 0.5


def test_a_result_far_below_all_others_does_not_hide_their_differences():
    known = [(point, score(point)) for point in draws(30)]
    spoiled = [*known[:-1], (known[-1][0], -1e6)]
    found = [propose(SPACE, spoiled, [], number=n, seed=1) for n in range(5)]
    average = sum(value for _, value in known) / len(known)
    assert np.mean([score(point) for point in found]) > average + 0.5
