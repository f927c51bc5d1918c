"""Axes, marks and numbers of the plots."""

import re

import pytest

from taskroute.components.report.plot import Axis, Series, legend, number, plot


@pytest.mark.parametrize(
    ("values", "ticks"),
    [
        ((0, 1), [0, 0.2, 0.4, 0.6, 0.8, 1]),
        ((0.6741, 0.6491), [0.645, 0.65, 0.655, 0.66, 0.665, 0.67, 0.675]),
        ((0, 12_300), [0, 2500, 5000, 7500, 10_000, 12_500]),
    ],
)
def test_ticks_are_round_and_hold_every_value(values, ticks):
    assert Axis("x", values).ticks == pytest.approx(ticks)


@pytest.mark.parametrize("values", [(3, 3), (0, 0), (1, 2), (1, 40)])
def test_ticks_of_whole_numbers_are_whole(values):
    ticks = Axis("epoch", values, whole=True).ticks
    assert all(tick == int(tick) for tick in ticks)
    assert ticks[0] <= min(values) <= max(values) <= ticks[-1]
    assert 2 <= len(ticks) <= 8


def test_equal_values_have_room_around_them():
    ticks = Axis("x", (0.5, 0.5)).ticks
    assert ticks[0] < 0.5 < ticks[-1]


def test_points_lie_where_the_axes_say():
    drawn = plot(
        "t", "d", [Series("a", 0, [(0, 0), (1, 10)])], Axis("x", (0, 1)), Axis("y", (0, 10))
    )
    (path,) = re.findall(r'<polyline class="line" points="([^"]+)"', drawn)
    (x1, y1), (x2, y2) = (map(float, point.split(",")) for point in path.split())
    lines = re.findall(r'class="grid" x1="([\d.]+)" y1="([\d.]+)" x2="([\d.]+)" y2="\2"', drawn)
    ends = [float(at) for _, at, _ in lines]
    assert {(x1, x2)} == {(float(left), float(right)) for left, _, right in lines}
    assert (y1, y2) == (max(ends), min(ends))


def test_names_are_text_not_markup():
    evil = "<script>"
    axis = Axis(evil, (0, 1))
    assert evil not in plot(evil, evil, [Series(evil, 0, [(0, 0)])], axis, axis, mark=(0, evil))
    assert evil not in legend([evil], extra=evil)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (0.78171, "0.7817"),
        (12.345, "12.35"),
        (1234.5, "1,234"),
        (-0.25, "\N{MINUS SIGN}0.2500"),
        (3e-6, "3.0e-06"),
    ],
)
def test_numbers_have_four_digits(value, text):
    assert number(value) == text
