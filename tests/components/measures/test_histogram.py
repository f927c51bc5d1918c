"""Cell of a value."""

import numpy as np
import pyarrow as pa
import pytest
from tensorflow_data_validation.statistics import stats_impl

from taskroute.components.measures.histogram import cells_of, prediction_cells, read_histograms
from taskroute.schemas.change_record import Histogram


def binary(*terms):
    return pa.array([term.encode() for term in terms], pa.binary())


def test_a_frequent_term_has_a_cell_and_all_others_share_the_last():
    histogram = Histogram(column="device", terms=("phone", "tv"))
    assert histogram.num_cells == 3
    found = cells_of(histogram, binary("tv", "phone", "watch", "", "tv"))
    assert found.tolist() == [1, 0, 2, 2, 1]
    assert [histogram.name(cell) for cell in range(3)] == ["'phone'", "'tv'", "all other terms"]


def test_a_cell_of_numbers_holds_its_lower_boundary():
    histogram = Histogram(column="age", boundaries=(18.0, 30.5))
    found = cells_of(histogram, pa.array([17.9, 18.0, 30.5, -1e30, 1e30], pa.float32()))
    assert found.tolist() == [0, 1, 2, 0, 2]
    assert [histogram.name(cell) for cell in range(3)] == [
        *("below 18", "18 to 30.5", "30.5 and more"),
    ]


def test_a_column_without_a_value_has_one_cell():
    histogram = Histogram(column="age")
    assert histogram.num_cells == 1
    assert cells_of(histogram, pa.array([1.0, 2.0], pa.float32())).tolist() == [0, 0]
    assert histogram.name(0) == "all values"


def test_the_cells_are_those_that_tfdv_finds_on_the_train_split(tmp_path):
    random = np.random.default_rng(1)
    terms = [f"t{n}" for n in random.zipf(1.5, 5000) % 200]
    rows = pa.RecordBatch.from_pydict(
        {
            "term": [[term.encode()] for term in terms],
            "number": [[number] for number in random.normal(size=5000).astype(np.float32)],
            "label": [[0.0]] * 5000,
        }
    )
    statistics = stats_impl.generate_statistics_in_memory(rows)
    (tmp_path / "stats.pb").write_bytes(statistics.SerializeToString())
    found = {one.column: one for one in read_histograms(tmp_path / "stats.pb", {"term", "number"})}
    assert sorted(found) == ["number", "term"]
    counts = {term: terms.count(term) for term in set(terms)}
    assert found["term"].num_cells == 64
    assert found["term"].terms[0] == max(counts, key=counts.get)
    assert min(counts[term] for term in found["term"].terms) >= sorted(counts.values())[-64]
    shares = np.bincount(cells_of(found["number"], rows["number"].flatten())) / 5000
    assert shares == pytest.approx(np.full(10, 0.1), abs=0.005)


def test_a_histogram_goes_to_json_and_back():
    for histogram in (
        Histogram(column="a", terms=("x",)),
        Histogram(column="b", boundaries=(1.5, 2.0)),
    ):
        assert Histogram.model_validate_json(histogram.model_dump_json()) == histogram


def test_probabilities_share_a_cell_within_half_a_logit():
    predictions = np.array([0.0, 1e-9, 0.5, 0.6, 0.63, 1.0])
    cells, num_cells = prediction_cells("binary", predictions)
    assert num_cells == 40
    assert cells.tolist() == [0, 0, 20, 20, 21, 39]


@pytest.mark.parametrize("unit", [1e-3, 1.0, 1e3])
def test_values_share_a_cell_within_a_quarter_of_an_octave_whatever_their_unit(unit):
    values = unit * 2.0 ** (np.arange(-8, 9) / 4 + 0.01)
    cells, num_cells = prediction_cells("regression", values)
    assert np.diff(cells).tolist() == [1] * 16
    mirrored, _ = prediction_cells("regression", -values)
    assert (cells + mirrored).tolist() == [num_cells - 1] * 17


def test_every_finite_value_has_a_cell():
    values = np.array([-1e300, -1.0, -1e-300, 0.0, 1e-300, 1.0, 1e300])
    cells, num_cells = prediction_cells("regression", values)
    assert (np.diff(cells) > 0).all()
    assert cells.min() >= 0
    assert cells.max() < num_cells
    assert cells[3] == (num_cells - 1) / 2
