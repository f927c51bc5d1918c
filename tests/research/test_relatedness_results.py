import numpy as np
import pytest
from relatedness_results import (
    Results,
    Setting,
    map_plot,
    map_tables,
    mean_and_error,
    pair_similarities,
    verdict,
)


def test_similarity_is_the_cosine_of_allocations_within_and_across_pairs():
    used = np.array([[1, 1, 0, 0], [1, 0, 0, 0], [0, 0, 1, 1], [0, 0, 1, 1.0]])
    within, across = pair_similarities(used)
    assert within == pytest.approx((1 / np.sqrt(2) + 1) / 2)
    assert across == 0


def test_mean_and_error_is_that_of_the_mean():
    assert mean_and_error([0.1, 0.3]) == ".200 ± .100"


def test_a_trunk_wins_only_if_it_beats_every_baseline_by_two_standard_errors_of_the_difference():
    # Worlds differ much more than trunks do: only pairs can tell.
    worlds = np.arange(10.0)
    wobble = np.tile([0.01, -0.01], 5)
    assert verdict(worlds - 0.1 + wobble, [worlds, worlds]) == " **+**"
    assert verdict(worlds - 0.1 + wobble, [worlds, worlds - 0.1]) == ""
    assert verdict(worlds + 0.1 + wobble, [worlds, worlds]) == " **-**"


def test_a_stopped_run_finds_its_finished_cells_again(tmp_path):
    path = tmp_path / "build" / "results.jsonl"
    Results(path).add("scarce | mmoe | 1", {"errors": [1.0]})
    assert Results(path).records["scarce | mmoe | 1"]["errors"] == [1.0]


def test_tables_and_plot_show_the_paired_difference(tmp_path):
    setting = Setting("made up", relatedness=(0.0, 1.0))
    results = Results(tmp_path / "results.jsonl")
    worlds = np.linspace(0.2, 0.4, 10)
    offsets = {"single_task": 0.0, "shared_bottom": 0.02, "snr_trans": -0.1}
    for trunk, offset in offsets.items():
        for p in setting.relatedness:
            record = {
                "setting": {"name": setting.name},
                "trunk": trunk,
                "relatedness": p,
                "learning_rate": 0.003,
                "dropout": 0.2,
                "errors": list(worlds + offset),
                "open": [1.0, 0.5],
            }
            results.add(f"{setting.name} | {trunk} | {p:g}", record)
    text = "\n".join(map_tables(results, [setting]))
    assert (
        "| snr_trans | 0.003, 0.2 | .200 ± .021 **+** | .200 ± .021 **+** | 1.00 / 0.50 |" in text
    )
    assert "| snr_trans | -.100 ± .000; -.120 ± .000 |" in text
    plot = map_plot(results, [setting])
    assert plot.startswith("<svg")
    assert "snr_trans" in plot
    assert plot.count("<polyline") == 3
