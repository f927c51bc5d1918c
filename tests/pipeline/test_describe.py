"""What `taskroute describe` prints and draws."""

import pytest

from taskroute.pipeline.describe import draw_routes, print_description
from taskroute.schemas.errors import UserError

COST = [{"part": "trunk", "parameters": 1200, "macs": 1000}]
TRAINING = {
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
}


def test_costs_routes_and_guarded_tasks_are_printed(capsys):
    print_description(TRAINING)
    text = capsys.readouterr().out
    assert "1,200" in text
    assert "500" in text
    assert "tasks: 2 of 4 routes open" in text
    assert "kept open by the guard: like" in text


def test_the_routes_are_drawn_to_a_file(tmp_path):
    draw_routes(TRAINING, tmp_path / "routes.svg")
    assert "click uses 1.1; like uses 1.1" in (tmp_path / "routes.svg").read_text()


def test_a_figure_that_cannot_be_written_is_one_sentence(tmp_path):
    with pytest.raises(UserError, match=r"routes\.svg: the figure cannot be written"):
        draw_routes(TRAINING, tmp_path / "missing" / "routes.svg")
