"""docs/trunks.md describes every trunk: row, section, figure, formula, choice."""

import re
from typing import get_args

import pytest

from taskroute.schemas.trunks import Trunk

KINDS = [get_args(k.model_fields["kind"].annotation)[0] for k in get_args(get_args(Trunk)[0])]


@pytest.mark.parametrize("kind", KINDS)
def test_every_trunk_has_a_row_and_a_section_with_figure_formula_and_when(pages, kind):
    text = pages["docs/trunks.md"].text
    assert f"\n| `{kind}` |" in text
    (section,) = [s for s in re.split(r"\n##+ ", text) if f"`{kind}`" in s.partition("\n")[0]]
    assert "](figures/trunk_" in section
    assert "**When.**" in section
    assert re.search(r"^`[vh]_", section, re.MULTILINE)


def test_figures_can_be_read_on_any_ground_and_by_a_screen_reader(repository):
    figures = sorted((repository / "docs" / "figures").glob("trunk_*.svg"))
    assert figures
    for figure in figures:
        drawing = figure.read_text(encoding="utf-8")
        assert "<title" in drawing
        assert "<desc" in drawing
        assert 'rx="8" fill="#FFFFFF"/>' in drawing
        assert "http" not in drawing.replace("http://www.w3.org/2000/svg", "")
