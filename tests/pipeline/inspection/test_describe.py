"""Output and figure of `taskroute describe`."""

from pathlib import Path

import pytest

from taskroute.pipeline.inspection.describe import draw_routes, print_description, signature_table
from taskroute.schemas.errors import UserError
from taskroute.schemas.recommender import load_config
from taskroute.schemas.training_record import TrainingRecord

COST = [{"part": "trunk", "parameters": 1200, "macs": 1000}]
TRAINING = TrainingRecord.model_validate(
    {
        "epochs": 1,
        "best_epoch": 1,
        "history": {},
        "cost": COST,
        "served_cost": [{"part": "trunk", "parameters": 600, "macs": 500}],
        "routing": [
            {
                "name": "tasks",
                "upper": ["click", "like"],
                "lower": ["1.1", "1.2"],
                "values": [[1.0, 0.0], [0.25, 0.0]],
            }
        ],
        "guarded_tasks": ["like"],
        "calibration": {
            "like": {
                "method": "platt",
                "knots": 1,
                "before": {"calibration": 1.25, "log_loss": 0.3},
                "after": {"calibration": 1.004, "log_loss": 0.29},
            }
        },
        "score_differences": {
            "click": {"largest": 0.002, "mean": 0.0001},
            "like": {"largest": 0.001, "mean": 0.0002},
        },
        "saved_bytes": 1_300_000,
    }
)


def test_costs_routes_and_guarded_tasks_are_printed(capsys):
    print_description(TRAINING)
    text = capsys.readouterr().out
    assert "1,200" in text
    assert "500" in text
    assert "tasks: 2 of 4 routes open" in text
    assert "kept open by the guard: like" in text


def test_what_is_served_is_told_in_a_line_each(capsys):
    print_description(TRAINING)
    lines = capsys.readouterr().out.splitlines()
    assert (
        "like is calibrated (platt): mean prediction over mean label 1.250 before, 1.004 after, on "
        "validation"
    ) in lines
    assert (
        "served scores differ from the trained model's by 2.0e-03 at most and 1.0e-04 in the mean "
        "(click); int8 tables save 1.3 MB"
    ) in lines


def test_the_table_of_inputs_and_outputs_in_the_docs_is_what_the_demo_serves():
    """`taskroute describe examples/demo.yaml --signatures` makes it."""
    root = Path(__file__).parents[3]
    table = signature_table(load_config(root / "examples/demo.yaml"))
    assert table in (root / "docs/serving.md").read_text(encoding="utf-8")


def test_the_routes_are_drawn_to_a_file(tmp_path):
    draw_routes(TRAINING, tmp_path / "routes.svg")
    assert "click uses 1.1; like uses 1.1" in (tmp_path / "routes.svg").read_text()


def test_a_figure_that_cannot_be_written_is_one_sentence(tmp_path):
    with pytest.raises(UserError, match=r"routes\.svg: the figure cannot be written"):
        draw_routes(TRAINING, tmp_path / "missing" / "routes.svg")
