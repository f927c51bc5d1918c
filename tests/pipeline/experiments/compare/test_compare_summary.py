"""Differences in words, and as they fit a screen, a spreadsheet and a figure."""

import csv
import json
from xml.etree import ElementTree

import numpy as np
import pytest
from rich.console import Console

from taskroute.pipeline.experiments.cells import decimals
from taskroute.pipeline.experiments.compare.command import _latencies, summarize, trial_line, write
from taskroute.pipeline.experiments.compare.summary import Comparison
from taskroute.pipeline.experiments.compare.tables import print_comparison
from taskroute.pipeline.experiments.compare.trials import TrunkResult
from taskroute.pipeline.experiments.trial import Cost, Trial
from taskroute.schemas.recommender import ModelConfig, RecommenderConfig

CONFIG = RecommenderConfig.model_validate(
    {
        "name": "shop",
        "source": {"path": "log.csv", "format": "csv", "split": {"by": "hash", "key": "user"}},
        "features": [{"name": "user", "kind": "categorical", "hash_buckets": 100}],
        "tasks": [
            {"name": "click", "label": {"column": "clicked"}},
            {"name": "watch", "kind": "regression", "label": {"column": "seconds"}},
        ],
        "evaluation": {"group_key": "user"},
    }
)
COST = Cost(
    trunk_parameters=123_456_789,
    parameters=223_456_789,
    macs=123_456_789,
    served_parameters=23_456_789,
    served_macs=23_456_789,
)
# By trunk: click's AUC less 0.7 with seeds 1 to 5.
AUCS = {
    "single_task": (0.010, 0.011, 0.009, 0.012, 0.008),
    "shared_bottom": (0.001, 0.003, -0.001, 0.002, 0.000),
    "gumbel_matrix": (0.012, 0.009, 0.010, 0.013, 0.007),
}


def make_comparison(aucs=AUCS, missing=(), gauc=0.6, watch=12_345.6, num_rarer=None, diverged=None):
    results, trials = [], []
    for place, (trunk, values) in enumerate(aucs.items()):
        noise = np.random.default_rng(place).normal(scale=0.001, size=6)
        for seed, value in enumerate(values, start=1):
            trial = Trial(trunk, seed, CONFIG.part(ModelConfig), f"{trunk}{seed}")
            trials.append(trial)
            if (trunk, seed) in missing:
                continue
            results.append(
                TrunkResult(
                    key=trial.key,
                    trunk=trunk,
                    seed=seed,
                    epochs=10,
                    best_epoch=8,
                    seconds=12_345.0,
                    cost=COST,
                    num_rarer=num_rarer or {},
                    num_invalid=100 if (trunk, seed) == diverged else 0,
                    metrics={
                        "click": {"auc": 0.7 + value, "gauc": gauc and gauc + noise[seed]},
                        "watch": {"mae": watch + 10 * value},
                    },
                )
            )
    return summarize(
        CONFIG,
        trials,
        results,
        dict.fromkeys(aucs, 1234.567),
        match="parameters",
        facts={"rows": {"train": 800, "validation": 100, "test": 100}},
    )


def find(comparison, task, metric, trunk):
    (row,) = (
        row
        for row in comparison.measured
        if (row.task, row.metric, row.trunk) == (task, metric, trunk)
    )
    return row


def printed(comparison, width=80):
    console = Console(width=width, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    print_comparison(comparison, console)
    return console.export_text()


def test_negative_transfer_is_named_with_its_interval():
    comparison = make_comparison()
    row = find(comparison, "click", "auc", "shared_bottom")
    (test,) = row.against
    assert test.verdict == "worse"
    assert test.difference == pytest.approx(-0.009)
    assert test.low < -0.009 < test.high < 0
    first = comparison.findings[0]
    assert first.startswith("negative transfer: click: shared_bottom is worse than single_task")
    assert f"interval {-test.high:.4f} to {-test.low:.4f}" in first


def test_a_trunk_that_does_not_differ_is_said_so_in_plain_words():
    findings = make_comparison().findings
    assert "click: gumbel_matrix not shown to differ in AUC from single_task" in findings
    assert "click: no trunk is shown to differ in GAUC from shared_bottom" in findings


def test_a_task_in_which_nothing_differs_gets_one_sentence():
    random = np.random.default_rng(3)
    aucs = {name: tuple(random.normal(scale=1e-3, size=5)) for name in AUCS}
    assert make_comparison(aucs, gauc=None).findings == (
        "click: no trunk is shown to differ in AUC from single_task or shared_bottom",
        "watch: no trunk is shown to differ in MAE from single_task or shared_bottom",
    )


def test_a_task_with_few_rows_is_not_tested_and_says_so():
    comparison = make_comparison(num_rarer={"click": 7, "watch": 100})
    assert find(comparison, "click", "auc", "shared_bottom").against == ()
    assert comparison.findings[-2].startswith("click: too few test rows of its rarer label (7)")


def test_a_trial_whose_predictions_are_no_numbers_is_named():
    comparison = make_comparison(num_rarer={"click": 70, "watch": 100}, diverged=("single_task", 1))
    assert comparison.findings[0].startswith("single_task, seed 1: 100 predictions are no numbers")
    assert len(find(comparison, "click", "auc", "shared_bottom").against) == 1


def test_two_references_are_tested_once():
    comparison = make_comparison()
    assert find(comparison, "click", "auc", "single_task").against == ()
    against = find(comparison, "click", "auc", "gumbel_matrix").against
    assert [test.reference for test in against] == ["single_task", "shared_bottom"]


def test_no_finished_trial_is_no_finding_and_no_error(tmp_path):
    every = {(trunk, seed) for trunk in AUCS for seed in range(1, 6)}
    comparison = make_comparison(missing=every)
    assert comparison.findings == ()
    assert "still to train" in " ".join(printed(comparison).split())
    assert _latencies({}, tmp_path / "compare" / "latency.json", lambda models: {}) == {}
    write(comparison, tmp_path / "compare")


def test_less_error_is_better():
    row = find(make_comparison(), "watch", "mae", "shared_bottom")
    assert row.against[0].difference < 0
    assert row.against[0].verdict == "better"


def test_a_difference_that_does_not_outlive_the_correction_is_marked():
    aucs = dict(AUCS)
    aucs["gumbel_matrix"] = (0.012, 0.014, 0.010, 0.013, 0.0088)
    comparison = make_comparison(aucs)
    test = find(comparison, "click", "auc", "gumbel_matrix").against[0]
    assert test.verdict == "better"
    assert test.p_value < 0.05 < test.holm_p_value
    assert not test.holds
    assert "(*)" in printed(comparison)
    assert any(
        "gumbel_matrix is better than single_task" in finding
        and finding.endswith("does not hold after Holm's correction")
        for finding in comparison.findings
    )


def test_only_seeds_that_both_have_are_paired():
    comparison = make_comparison(missing={("shared_bottom", 2), ("shared_bottom", 5)})
    assert find(comparison, "click", "auc", "shared_bottom").against[0].num_seeds == 3
    assert comparison.missing == {"shared_bottom": [2, 5]}
    assert "still to train: shared_bottom: seeds 2, 5" in " ".join(printed(comparison).split())


def test_a_metric_without_a_value_is_undefined_and_not_tested():
    comparison = make_comparison(gauc=None)
    assert find(comparison, "click", "gauc", "shared_bottom").against == ()
    assert "undefined" in printed(comparison)


def test_the_spread_is_that_between_seeds():
    row = find(make_comparison(), "click", "auc", "single_task")
    assert row.mean == pytest.approx(0.71)
    assert row.std == pytest.approx(0.0015811, rel=1e-3)


@pytest.mark.parametrize("watch", [0.01, 12.3, 12_345.6, 7e7])
def test_no_line_is_wider_than_80_columns_and_nothing_is_cut(watch):
    comparison = make_comparison(watch=watch, missing={("gumbel_matrix", 4)})
    text = printed(comparison, width=80)
    assert max(map(len, text.splitlines())) <= 80
    assert "\N{HORIZONTAL ELLIPSIS}" not in text
    # A wider screen shows no more.
    assert text == printed(comparison, width=200)


def test_the_line_of_a_trial_fits_too():
    cost = make_comparison()
    result = TrunkResult(
        key="k",
        trunk="gumbel_matrix",
        seed=12_345,
        epochs=100,
        best_epoch=1,
        seconds=12_345.6,
        cost=COST,
        metrics={},
    )
    assert cost.costs
    assert len(trial_line(result, 100, 450, 12 * 3600.0)) <= 80
    assert trial_line(result, 2, 2, 0.0).endswith("s")


def test_the_files_hold_what_was_found(tmp_path):
    comparison = make_comparison()
    write(comparison, tmp_path)
    text = (tmp_path / "compare.json").read_text()
    assert Comparison.model_validate_json(text) == comparison
    assert json.loads(text)["measured"][0]["trunk"] == "single_task"
    rows = list(csv.DictReader((tmp_path / "compare.csv").open()))
    assert len(rows) == 9
    assert rows[1]["trunk"] == "shared_bottom"
    assert float(rows[1]["difference_to_single_task"]) == pytest.approx(-0.009)
    assert rows[0]["difference_to_single_task"] == ""


def test_the_figure_is_one_file_with_a_panel_a_metric_and_every_trunk(tmp_path):
    write(make_comparison(), tmp_path)
    text = (tmp_path / "compare.svg").read_text()
    tree = ElementTree.fromstring(text)  # noqa: S314
    words = [element.text for element in tree.iter("{http://www.w3.org/2000/svg}text")]
    for title in ("click: AUC", "click: GAUC", "watch: MAE"):
        assert title in words
    assert words.count("gumbel_matrix") == 3
    assert "href" not in text
    assert "url(" not in text
    dots = list(tree.iter("{http://www.w3.org/2000/svg}circle"))
    assert len(dots) == 9 * (5 + 1)


@pytest.mark.parametrize(
    ("value", "digits", "expected"),
    [(0.7123, 4, 4), (0.00004, 2, 6), (12.3, 4, 2), (12_345.6, 4, 0), (0.0, 4, 4), (1e-12, 1, 8)],
)
def test_decimals_show_the_digits_that_are_wanted(value, digits, expected):
    assert decimals(value, digits) == expected
