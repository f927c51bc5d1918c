"""Distance of two sets of rows: by hand, against SciPy, and by simulation."""

import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon

from taskroute.components.measures.change import change, jensen_shannon, level
from taskroute.components.measures.jackknife import NUM_GROUPS


def table(cells, groups, num_cells):
    """Counts (G, C) of rows whose cells and groups are given."""
    counts = np.bincount(groups * num_cells + cells, minlength=NUM_GROUPS * num_cells)
    return counts.reshape(NUM_GROUPS, num_cells).astype(np.float64)


def sample(random, shares, num_rows):
    return table(
        random.choice(len(shares), num_rows, p=shares),
        random.integers(NUM_GROUPS, size=num_rows),
        len(shares),
    )


def spread_out(part, whole):
    """A table of two columns whose sums are these, the same in every group."""
    return np.tile([part / NUM_GROUPS, whole / NUM_GROUPS], (NUM_GROUPS, 1))


def test_a_share_changes_by_its_difference():
    since, now = spread_out(50, 1000), spread_out(120, 800)
    assert level("share", since) == pytest.approx(0.05)
    assert change("share", since, now).value == pytest.approx(0.15 - 0.05)


def test_a_ratio_changes_by_its_part_of_what_it_was():
    assert change("ratio", spread_out(100, 1000), spread_out(60, 800)).value == pytest.approx(-0.25)


def test_what_is_the_same_in_every_group_is_known_without_error():
    found = change("share", spread_out(50, 1000), spread_out(120, 800))
    assert found.spread.standard_error == pytest.approx(0, abs=1e-12)
    assert found.spread.degrees_of_freedom == NUM_GROUPS - 1


@pytest.mark.parametrize("seed", range(5))
def test_the_distance_is_that_of_scipy(seed):
    random = np.random.default_rng(seed)
    one, other = random.integers(0, 50, size=(2, 3, 7)).astype(np.float64)
    expected = [jensenshannon(a, b, base=2) ** 2 for a, b in zip(one, other, strict=True)]
    assert jensen_shannon(one, other) == pytest.approx(expected)


def test_the_distance_is_0_of_the_same_and_1_where_nothing_is_common():
    rows = np.array([[3.0, 1.0, 0.0], [3.0, 1.0, 0.0]])
    others = np.array([[30.0, 10.0, 0.0], [0.0, 0.0, 7.0]])
    assert jensen_shannon(rows, others) == pytest.approx([0, 1])


def test_two_samples_of_the_same_are_at_distance_0_however_few_rows_a_cell_has():
    random = np.random.default_rng(1)
    shares = np.full(64, 1 / 64)
    found, plain = [], []
    for _ in range(100):
        since, now = sample(random, shares, 3000), sample(random, shares, 1000)
        found.append(change("distribution", since, now).value)
        plain.append(jensen_shannon(since.sum(0, keepdims=True), now.sum(0, keepdims=True))[0])
    assert np.mean(plain) > 0.014  # cells over rows: 63 / (8 ln 2) * (1 / 3000 + 1 / 1000)
    assert np.mean(found) == pytest.approx(0, abs=0.001)


def test_the_interval_of_a_distance_holds_the_truth_as_often_as_it_says():
    random = np.random.default_rng(2)
    before = np.full(20, 0.05)
    after = np.repeat([0.08, 0.04], [5, 15])
    after /= after.sum()
    truth = jensen_shannon(before[None], after[None])[0]
    held = 0
    for _ in range(200):
        found = change("distribution", sample(random, before, 4000), sample(random, after, 2000))
        low, high = found.spread.interval(found.value, 0.95)
        held += low <= truth <= high
    assert held >= 184


def test_rows_of_one_user_count_as_one():
    random = np.random.default_rng(3)
    cells, users = random.integers(2, size=2000), random.integers(NUM_GROUPS, size=2000)
    now = table(cells, users, 2)
    tenfold = table(np.repeat(cells, 10), np.repeat(users, 10), 2)
    apart = table(np.repeat(cells, 10), random.integers(NUM_GROUPS, size=20_000), 2)
    since = table(random.integers(2, size=100_000), random.integers(NUM_GROUPS, size=100_000), 2)
    errors = [
        change("share", as_share(since), as_share(one)).spread.standard_error
        for one in (now, tenfold, apart)
    ]
    assert errors[1] == pytest.approx(errors[0], rel=0.01)
    assert errors[2] < 0.5 * errors[0]


def as_share(counts):
    return np.stack([counts[:, 1], counts.sum(axis=1)], axis=1)


def test_a_rate_of_few_positives_has_no_interval():
    since, now = spread_out(10, 1000), spread_out(0, 1000)
    now[:3, 0] = 1
    assert change("ratio", since, now).spread is None
    assert change("ratio", now, since).spread is None


def test_positives_that_are_gone_from_many_rows_are_shown():
    found = change("ratio", spread_out(100, 1000), spread_out(0, 1000))
    assert found.value == -1
    assert found.spread.interval(found.value, 0.95)[1] < -0.9
    assert change("ratio", spread_out(100, 1000), spread_out(0, 100)).spread is None


def test_the_rarer_side_of_a_ratio_says_how_many_groups_matter():
    predicted_and_actual = spread_out(100, 0)
    predicted_and_actual[:3, 1] = 30
    found = change("ratio", spread_out(100, 100), predicted_and_actual)
    assert np.isfinite(found.value)
    assert found.spread is None


def test_groups_whose_labels_are_below_0_count():
    since, now = spread_out(1000, 100), spread_out(500, 100)
    since[0, 0] = now[0, 0] = -since[0, 1]  # label sum and weight come to 0
    without = [np.delete(table, 0, axis=0) for table in (since, now)]
    assert change("ratio", since, now).value != pytest.approx(change("ratio", *without).value)
    assert change("ratio", since, now).spread.degrees_of_freedom == NUM_GROUPS - 1


@pytest.mark.parametrize("measure", ["share", "ratio", "distribution"])
def test_what_has_no_rows_has_no_change(measure):
    found = change(measure, spread_out(10, 100), np.zeros((NUM_GROUPS, 2)))
    assert np.isnan(found.value)
    assert found.spread is None


def test_a_ratio_that_was_0_has_no_relative_change():
    found = change("ratio", spread_out(0, 100), spread_out(10, 100))
    assert np.isnan(found.value)
    assert found.spread is None
