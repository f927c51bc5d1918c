"""Changes that alert."""

import numpy as np
import pytest

from taskroute.components.measures.jackknife import NUM_GROUPS
from taskroute.components.measures.judge import judge
from taskroute.schemas.change_record import Histogram
from taskroute.schemas.monitoring import Monitoring

HISTOGRAMS = (Histogram(column="device", terms=("phone", "tv")), Histogram(column="age"))


class Log:
    """Draws days of a log of one column and one task."""

    def __init__(self, seed=1, num_rows=20_000):
        self.random = np.random.default_rng(seed)
        self.num_rows = num_rows

    def day(self, tv=0.2, missing=0.03, rate=0.1, predicted=0.1):
        groups = self.random.integers(NUM_GROUPS, size=self.num_rows)
        device = self.random.choice(3, self.num_rows, p=[0.7 - tv, tv, 0.3])
        clicked = self.random.random(self.num_rows) < rate
        is_missing = self.random.random(self.num_rows) < missing

        def sums(*columns):
            return np.stack([np.bincount(groups, one, NUM_GROUPS) for one in columns], axis=1)

        ones = np.ones(self.num_rows)
        return {
            ("drift", "device"): sums(*(device == cell for cell in range(3))),
            ("missing", "device"): sums(is_missing, ones),
            ("label_rate", "click"): sums(clicked, ones),
            ("calibration", "click"): sums(predicted * ones, clicked),
        }

    def judged(self, now, since=None, monitoring=None, **changes):
        since = since or [self.day() for _ in range(4)]
        days = {f"2026-01-{day:02}": tables for day, tables in enumerate(since, start=1)}
        monitoring = monitoring or Monitoring(**changes)
        return judge(days, {"2026-01-09": now}, monitoring, HISTOGRAMS, 0.95)


def alerts(judged):
    return {(one.signal, one.name) for one in judged if one.alert}


def test_ordinary_days_are_quiet():
    for seed in range(10):
        log = Log(seed)
        assert not alerts(log.judged(log.day()))


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"tv": 0.5}, {("drift", "device")}),
        ({"missing": 0.15}, {("missing", "device")}),
        ({"rate": 0.05}, {("label_rate", "click"), ("calibration", "click")}),
        ({"predicted": 0.15}, {("calibration", "click")}),
    ],
)
def test_a_change_fires_its_own_alert_alone(change, expected):
    for seed in range(5):
        log = Log(seed)
        assert alerts(log.judged(log.day(**change))) == expected


def test_positives_that_are_gone_are_told():
    log = Log()
    assert ("label_rate", "click") in alerts(log.judged(log.day(rate=0.0)))


def test_what_the_spans_do_among_themselves_is_ordinary():
    log = Log()
    weekend = {"tv": 0.4, "rate": 0.14}
    week = [log.day(), log.day(), log.day(), log.day(**weekend), log.day()]
    assert not alerts(log.judged(log.day(**weekend), week))
    assert ("drift", "device") in alerts(log.judged(log.day(**weekend), week[:3]))


def test_the_day_after_a_strange_one_is_not_told_again():
    log = Log()
    assert not alerts(log.judged(log.day(), [log.day(), log.day(), log.day(missing=0.5)]))


def test_of_one_span_nothing_is_ordinary():
    log = Log()
    (one,) = [one for one in log.judged(log.day(), [log.day()]) if one.signal == "drift"]
    assert one.ordinary == 0
    assert one.since == "2026-01-01"


def test_a_change_that_a_few_rows_may_show_by_chance_is_not_told():
    log = Log(num_rows=150)
    days = [log.day() for _ in range(4)]
    assert not alerts(log.judged(log.day(tv=0.3, missing=0.1, rate=0.05), days))


def test_a_threshold_of_a_column_or_task_takes_the_place_of_the_general_one():
    log = Log()
    now, days = log.day(tv=0.5, rate=0.05), [log.day() for _ in range(4)]
    own = {"columns": {"device": {"drift": 0.5}}, "tasks": {"click": {"label_rate": 2.0}}}
    assert alerts(log.judged(now, days, **own)) == {("calibration", "click")}


def test_a_signal_without_a_threshold_is_not_judged():
    log = Log()
    found = log.judged(log.day(tv=0.5), drift=None)
    assert {one.signal for one in found} == {"missing", "label_rate", "calibration"}


def test_a_limit_that_stops_is_judged_like_one_that_does_not():
    log = Log()
    now, days = log.day(tv=0.5), [log.day() for _ in range(4)]
    own = {"columns": {"device": {"drift": {"threshold": 0.02, "stop": True}}}}
    stops, alerts_only = log.judged(now, days, **own), log.judged(now, days)
    assert {one.signal: one.stop for one in stops}["drift"]
    assert not any(one.stop for one in alerts_only)
    assert [one.model_copy(update={"stop": False}) for one in stops] == list(alerts_only)


def test_splits_are_compared_with_splits_and_spans_with_spans():
    log = Log()
    days = {"2026-01-01": log.day(), "2026-01-02": log.day()}
    train, test = (
        {("split_shift", "device"): log.day(tv=tv)["drift", "device"]} for tv in (0.2, 0.5)
    )
    judged = judge(
        {**days, "train": train},
        {"2026-01-03": log.day(), "test": test},
        Monitoring(split_shift=0.05),
        HISTOGRAMS,
        0.95,
    )
    (alert,) = [one for one in judged if one.alert]
    assert (alert.signal, alert.since, alert.now) == ("split_shift", "train", "test")
    # Shares 0.5, 0.2, 0.3 become 0.2, 0.5, 0.3: by hand 0.0958 bits.
    assert alert.change == pytest.approx(0.0958, abs=0.006)
    assert alert.moved.startswith(("'tv': ", "'phone': "))
    (drift,) = [one for one in judged if one.signal == "drift"]
    assert (drift.since, drift.now) == ("2026-01-01 to 2026-01-02", "2026-01-03")


def test_alerts_come_first_and_then_what_came_nearest():
    log = Log()
    found = log.judged(log.day(missing=0.3, rate=0.11))
    assert found[0].signal == "missing"
    shares = [one.shown / one.limit for one in found[1:]]
    assert shares == sorted(shares, reverse=True)


@pytest.mark.parametrize("num_rows", [2, 5, 20, 50])
def test_a_handful_of_rows_shows_nothing(num_rows):
    log, few = Log(), Log(num_rows=num_rows)
    since = [log.day() for _ in range(4)]
    told = sum(bool(alerts(log.judged(few.day(), since))) for _ in range(40))
    assert told <= 3  # `confidence` is 0.95


@pytest.mark.parametrize("num_rows", [10, 30])
def test_a_day_of_few_rows_does_not_hide_what_comes_after_it(num_rows):
    log, few = Log(), Log(num_rows=num_rows)
    since = [few.day(), *(log.day() for _ in range(3))]
    found = alerts(log.judged(log.day(rate=0.0, missing=0.1), since))
    assert {("label_rate", "click"), ("missing", "device")} <= found


def test_more_judgements_ask_more_of_each():
    log = Log()
    now, days = log.day(), [log.day() for _ in range(4)]
    few = log.judged(now, days, missing=None, label_rate=None, calibration=None)
    many = {one.signal: one for one in log.judged(now, days)}
    assert many["drift"].low < few[0].low
    assert many["drift"].change == few[0].change


def test_an_alert_says_what_moved_from_when_and_by_how_much():
    log = Log()
    now = log.day(tv=0.5, missing=0.15, rate=0.05)
    found = {one.signal: one for one in log.judged(now)}
    for word in (
        "drift of column 'device'",
        "% of the values, before ",
        "2026-01-09 against 2026-01-01",
    ):
        assert word in found["drift"].sentence
    for word in ("of column 'device': 1", "%, before 2.9%", "points more", "told above 5."):
        assert word in found["missing"].sentence
    for word in ("label_rate of task 'click': 0.0", "before 0.", "% less, at least"):
        assert word in found["label_rate"].sentence
    alert = found["label_rate"].as_alert()
    assert (alert.task, alert.signal) == ("click", "label_rate")
    assert alert.value == pytest.approx(0.05, rel=0.1)
    assert alert.before == pytest.approx(0.1, rel=0.1)
    assert alert.sentence == found["label_rate"].sentence


def test_a_column_that_is_new_is_not_compared():
    log = Log()
    now = log.day()
    now["drift", "age"] = now["drift", "device"]
    assert ("drift", "age") not in {(one.signal, one.name) for one in log.judged(now)}
