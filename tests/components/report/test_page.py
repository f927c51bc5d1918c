"""The page: what it says first, what it escapes, and whether everyone can read it."""

import json
import re
import shutil
import subprocess
from dataclasses import replace
from html import escape
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from taskroute.components.logs.bad_rows import BadRow
from taskroute.components.measures.binary import BinaryStatistics
from taskroute.components.measures.regression import RegressionStatistics
from taskroute.components.measures.rows import make_rows
from taskroute.components.measures.task_metrics import measure
from taskroute.components.report import page
from taskroute.components.report.column_statistics import ColumnStatistics
from taskroute.components.report.importance import ColumnImportance, Importance
from taskroute.components.report.report_data import ReportData
from taskroute.components.task_evaluator.gate import judge
from taskroute.schemas.change_record import DayChanges, JudgedChange
from taskroute.schemas.evaluation_record import (
    Baseline,
    Difference,
    MeasuredSlice,
    Measurements,
)
from taskroute.schemas.recommender import RecommenderConfig
from taskroute.schemas.run_record import Stage
from taskroute.schemas.serving_check import Check, Latency, ServingReport
from taskroute.schemas.training_record import TrainingRecord

EVIL = "<script>alert('x')</script>"
CONFIG = RecommenderConfig.model_validate(
    {
        "name": "feed",
        "source": {"path": "log.csv", "format": "csv", "split": {"by": "hash", "key": "user"}},
        "features": [{"name": "device", "kind": "categorical", "hash_buckets": 10}],
        "tasks": [
            {"name": "click", "label": {"column": "clicked"}},
            {"name": "seconds", "kind": "regression", "label": {"column": "watched"}},
        ],
        "evaluation": {
            "slices": ["device"],
            "gates": [{"task": "click", "at_least": 0.6, "may_lose": 0.01}],
        },
    }
)


MISSING = JudgedChange(
    signal="missing",
    name="device",
    since="2026-01-01 to 2026-01-02",
    now="2026-01-03",
    before=0.03,
    levels={"2026-01-01": 0.02, "2026-01-02": 0.04, "2026-01-03": 0.25},
    change=0.22,
    low=0.2,
    high=0.24,
    ordinary=0.01,
    threshold=0.05,
    alert=True,
)
DRIFT = MISSING.model_copy(
    update={"signal": "drift", "levels": {}, "before": None, "alert": False, "moved": EVIL}
)
RATE = MISSING.model_copy(
    update={"signal": "label_rate", "name": "click", "low": None, "high": None, "alert": False}
)
SPLIT_SHIFT = DRIFT.model_copy(
    update={
        "signal": "split_shift",
        "name": "age",
        "since": "train",
        "now": "test",
        "alert": True,
        "stop": True,
    }
)
SKEW = DRIFT.model_copy(update={"signal": "skew", "now": EVIL, "alert": True})


def _measured(num_rows=2000, seed=1, quality=2.0):
    random = np.random.default_rng(seed)
    logit = random.normal(size=(2, num_rows))
    label = random.random(num_rows) < 1 / (1 + np.exp(-quality * logit[0]))
    predictions = 1 / (1 + np.exp(-logit))
    predictions[1] = (predictions[0] + predictions[1]) / 2
    clicks = make_rows("binary", predictions, label)
    seconds = make_rows("regression", logit, logit[0] + random.normal(size=num_rows))
    found = {}
    for name, rows, statistics in (
        ("click", clicks, BinaryStatistics(2, has_key=False)),
        ("seconds", seconds, RegressionStatistics(2)),
    ):
        statistics.add(rows)
        found[name] = measure(statistics, 0.95)
    return found


@pytest.fixture(scope="module")
def data():
    compared, sliced = _measured(), _measured(200, quality=0.5)
    measurements = Measurements(
        split="test",
        num_examples=2000,
        seconds=1.0,
        baseline=Baseline(version=3, path="/serving/3", model_digest="abc"),
        compared=compared,
        slices=tuple(
            MeasuredSlice(
                column="device",
                value=value,
                tasks={name: measured.without_bins() for name, measured in sliced.items()},
            )
            for value in ("phone", EVIL, "")
        ),
    )
    loss = Difference(value=0.1, interval=compared["click"].differences["auc"].interval)
    curves = {
        name: [0.7, 0.6, 0.65]
        for task in ("", "click_", "seconds_")
        for name in (f"{task}loss", f"val_{task}loss")
    }
    costs = [{"part": part, "parameters": 10, "macs": 20} for part in ("trunk", "total")]
    training = {
        "epochs": 3,
        "best_epoch": 2,
        "history": {**curves, "open_routes/tasks": [4.0, 3.0, 3.0]},
        "cost": costs,
        "served_cost": [{**part, "macs": 15} for part in costs],
        "routing": [
            {
                "name": "tasks",
                "upper": ["click", "seconds"],
                "lower": ["1.1", "1.2"],
                "values": [[1.0, 0.0], [0.5, 0.7]],
            }
        ],
        "guarded_tasks": ["click"],
    }
    return ReportData(
        CONFIG,
        started="2026-11-22T06:40:27+00:00",
        stages=(
            Stage(name="LogExampleGen", seconds=1.5, cached=False, rows=3000),
            Stage(name="Trainer", seconds=20.0, cached=True, rows=None),
        ),
        rows={"train": 2400, "validation": 300, "test": 300},
        spans={"first_span": "2026-01-01", "last_span": "2026-01-02", "missing_spans": ""},
        bad_rows={"not_a_number": 3},
        bad_row_examples={
            "not_a_number": BadRow("log.csv", 7, "not_a_number", "age", "is no number", EVIL)
        },
        columns=(
            ColumnStatistics("device", "train", 2400, 24, num_distinct=3),
            ColumnStatistics("clicked", "train", 2400, 0, mean=0.25),
        ),
        changes=DayChanges(
            now="2026-01-03",
            rows={"2026-01-03": 300},
            every=1,
            served_version=3,
            note="",
            changes=(MISSING, DRIFT, RATE, SPLIT_SHIFT),
            histograms=(),
        ),
        serving_changes=(SKEW,),
        training=TrainingRecord.model_validate(training),
        measurements=measurements,
        verdict=judge(CONFIG.evaluation.gates, measurements),
        serving_check=ServingReport(
            checks=(Check(name="loading", passed=True, detail=""),),
            latency=(
                Latency(
                    signature="raw_features",
                    batch_size=64,
                    calls=9,
                    p50_ms=1.0,
                    p95_ms=2.0,
                    p99_ms=3.0,
                ),
            ),
        ),
        importance=Importance(
            num_rows=100,
            repeats=3,
            seed=1,
            confidence=0.95,
            metrics={"click": "auc", "seconds": "mae"},
            columns=(ColumnImportance(column="device", losses={"click": loss, "seconds": None}),),
        ),
        pushed_version=4,
        serving_version=4,
        code_digest="0123",
        versions={"tensorflow": "2.21.0"},
    )


@pytest.fixture(scope="module")
def html(data):
    return page.render(data)


class _Page(HTMLParser):
    """Tags with their attributes, in order, and the text of headings."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.headings, self._open = [], [], None
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self._open = tag

    def handle_data(self, text):
        if self._open in ("h1", "h2", "h3"):
            self.headings.append(text)
            self._open = None

    def all(self, *names):
        return [attributes for tag, attributes in self.tags if tag in names]


def test_the_verdict_is_the_first_thing_after_the_name(html):
    headings = _Page(html).headings
    assert headings[:2] == ["feed", "Blessed and pushed as version 4"]
    assert headings[2:] == [
        *("Metrics of each task", "Calibration", "Slices", "What the predictions rest on"),
        *("Stages", "Data", "Rows left out", "Labels", "Changes", "Split shift"),
        *(
            "Serving log",
            "Learning curves",
            "Routes",
            "Similarity of tasks",
            "Open routes over training",
            "Cost",
            "Serving",
        ),
        "Lineage",
    ]


def test_what_a_log_says_is_never_markup(html):
    assert EVIL not in html
    assert "<script" not in html
    # Two tables of slices, a bad row, a finding, a serving log and what moved in it.
    assert html.count("&lt;script&gt;") >= 6
    assert "default-src 'none'" in html


def test_the_page_loads_nothing(html):
    for attributes in (attributes for _, attributes in _Page(html).tags):
        assert "src" not in attributes
        assert attributes.get("href", "#").startswith("#")
    assert "url(" not in html
    assert "@import" not in html


def test_the_same_data_gives_the_same_bytes(data, html):
    assert page.render(data) == html


def test_every_link_leads_to_a_section_of_the_page(html):
    tags = _Page(html)
    ids = [attributes["id"] for _, attributes in tags.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    links = [attributes["href"].removeprefix("#") for attributes in tags.all("a")]
    assert set(links) <= set(ids)
    assert links[0] == "main"


def test_figures_have_words_and_headers_a_scope(html):
    tags = _Page(html)
    assert tags.all("html") == [{"lang": "en"}]
    for figure in tags.all("svg"):
        named = "aria-label" in figure or "routes" in figure["class"]
        assert named or figure.get("aria-hidden") == "true"
    assert all(header.get("scope") for header in tags.all("th"))
    boxes = [box for box in tags.all("div") if box.get("class") == "scroll"]
    assert len(boxes) == len(tags.all("table")) + 1  # that of the routes
    assert all(box["tabindex"] == "0" and box["aria-label"] for box in boxes)


def test_every_plot_says_its_units_and_has_a_legend(html):
    plots = re.findall(r'<svg class="plot".*?</svg>', html, re.DOTALL)
    # Calibration of click, levels of an alert and a label rate, loss of all and each, open routes.
    assert len(plots) == 1 + 2 + 3 + 1
    for plot in plots:
        labels = re.findall(r"<text[^>]*>([^<]+)</text>", plot)
        assert any(word in label for word in ("epoch", "probability", "span") for label in labels)
        units = ("loss", "share", "number", "mean label")
        assert any(word in label for word in units for label in labels)
    assert html.count('<ul class="legend">') == 3


def test_alerts_are_told_before_all_that_was_judged(html):
    section = html[html.index('<section id="changes">') : html.index('<section id="training">')]
    for word in (
        "1 alert",
        "2026-01-03 against 2026-01-01 to 2026-01-02",
        "version 3",
        "2 changes judged",  # of three: one has too few rows
    ):
        assert word in section
    assert section.index(">label rate<") > section.index("Every change")
    assert section.count('<span class="warn-word">alert</span>') == 4  # each in both of its tables
    assert "too few rows" in section
    assert '<td class="n">25.0%</td>' in section


def test_the_test_split_is_shown_beside_the_train_split_and_what_it_stops(data):
    html = page.render(data)
    section = html[html.index("<h3>Split shift</h3>") : html.index("<h3>Serving log</h3>")]
    assert "1 alert</span>: the test split against the train split." in section
    assert '<span class="bad-word">stops the run</span>' in section
    assert ">split shift<small>column age</small>" in section
    assert '<td class="n">0.220</td>' in section
    assert '<td class="n">0.060<small>ordinary 0.010</small></td>' in section
    only = data.changes.model_copy(update={"now": None, "changes": (SPLIT_SHIFT,), "note": "none"})
    assert "<h3>Split shift</h3>" in page.render(replace(data, changes=only, serving_changes=()))


def test_skew_is_named_as_that_of_training_and_serving(data):
    assert ">training-serving skew<small>" in page.render(data)


def test_a_day_without_an_alert_or_without_a_day_before_says_so(data):
    quiet = data.changes.model_copy(update={"changes": (DRIFT,), "note": "nothing serves yet"})
    html = page.render(replace(data, changes=quiet, serving_changes=()))
    assert "No alert: 2026-01-03 against" in html
    assert "Nothing serves yet." in html
    assert "<h3>Serving log</h3>" not in html
    untold = quiet.model_copy(update={"changes": (), "note": ""})  # every threshold is null
    html = page.render(replace(data, changes=untold, serving_changes=()))
    assert "No alert: 2026-01-03, 0 changes judged" in html
    none = quiet.model_copy(update={"now": None, "changes": (), "note": "nothing was compared"})
    html = page.render(replace(data, changes=none, serving_changes=()))
    assert "Nothing was compared." in html


@pytest.mark.parametrize("num_lost", [1, 3])
def test_losses_that_are_no_numbers_are_left_out_of_the_curves(data, num_lost):
    history = {
        name: [*curve[: len(curve) - num_lost], *[float("nan")] * num_lost]
        if "loss" in name
        else curve
        for name, curve in data.training.history.items()
    }
    html = page.render(
        replace(data, training=data.training.model_copy(update={"history": history}))
    )
    assert not re.search(r'points="[^"]*nan', html)


def test_a_level_that_the_newest_span_has_not_is_not_drawn_as_its_own(data):
    rate = data.changes.changes[2]
    assert rate.signal == "label_rate"
    older = {span: value for span, value in rate.levels.items() if span != rate.now}
    late = data.changes.model_copy(
        update={"changes": (rate.model_copy(update={"levels": {"2026-01-01": 0.1} | older}),)}
    )
    html = page.render(replace(data, changes=late, serving_changes=()))
    plots = re.findall(r"<svg.*?</svg>", html[html.index('<section id="changes">') :], re.DOTALL)
    assert plots
    assert f">{rate.now}</text>" not in plots[0]


@pytest.mark.parametrize(
    ("changes", "title", "words"),
    [
        ({"pushed_version": 3, "serving_version": 3}, "served already", "Version 3 serves"),
        ({"serving_version": 5}, "as version 4", "version 5 serves now"),
        ({"pushed_version": None, "serving_version": 2}, "Blessed, not pushed", "goes on serving"),
        (
            {"failed_stage": "AnomalyGate", "error": "column 'age' moved", "serving_version": None},
            "Stopped at AnomalyGate",
            "Nothing serves",
        ),
        ({"failed_stage": "Trainer"}, "Stopped at Trainer", "was interrupted"),
        ({"verdict": None}, "Not evaluated", ""),
    ],
)
def test_the_headline_says_what_was_decided(data, changes, title, words):
    found = page.headline(replace(data, **changes))
    assert title in found.title
    assert words in " ".join(found.sentences)


def test_a_failed_gate_and_a_failed_serving_check_are_said_with_their_reason(data):
    refused = data.verdict.model_copy(update={"blessed": False, "summary": "gates failed (1 of 2)"})
    found = page.headline(replace(data, verdict=refused, pushed_version=None))
    assert (found.tone, found.title) == ("bad", "Not blessed: not pushed")
    assert found.sentences[0] == "Gates failed (1 of 2)."
    broken = ServingReport(checks=(Check(name="warm_up", passed=False, detail="row 3 differs"),))
    found = page.headline(replace(data, serving_check=broken))
    assert found.title == "Does not serve: not pushed"
    assert "row 3 differs" in found.sentences[0]


def test_a_run_that_stopped_at_once_still_has_a_page():
    html = page.render(ReportData(CONFIG, failed_stage="LogExampleGen", error=EVIL))
    assert "Stopped at LogExampleGen" in html
    assert EVIL not in html
    assert "Learning curves" not in html


def test_a_page_of_many_slices_and_tasks_is_below_2_megabytes(data):
    measured = data.measurements
    tasks = {f"task_{n}": measured.compared["click"] for n in range(20)}
    slices = tuple(
        MeasuredSlice(column="city", value=f"city {n}", tasks=tasks) for n in range(1000)
    )
    many = measured.model_copy(
        update={
            "compared": tasks,
            "slices": slices,
        }
    )
    html = page.render(replace(data, measurements=many))
    assert "and 900 more in metrics.json" in html
    assert len(html.encode()) < 2_000_000


def _luminance(color):
    channels = [int(color[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _contrast(one, other):
    low, high = sorted([_luminance(one), _luminance(other)])
    return (high + 0.05) / (low + 0.05)


def _mixed(color, paper, share):
    channels = (
        round(
            share * int(color[place : place + 2], 16)
            + (1 - share) * int(paper[place : place + 2], 16)
        )
        for place in (1, 3, 5)
    )
    return "#" + "".join(f"{channel:02x}" for channel in channels)


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_text_and_lines_stand_out_from_what_is_behind_them(scheme):
    css = Path(page.__file__).with_name("page.css").read_text()
    block = re.findall(r":root \{(.*?)\}", css, re.DOTALL)[scheme]
    color = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", block))
    for name in ("ink", "soft", "link", "good", "bad", "warn", *(f"c{n}" for n in range(7))):
        assert _contrast(color[name], color["paper"]) >= 4.5, name
    for tone in ("good", "bad", "warn"):
        for text in (tone, "ink"):
            assert _contrast(color[text], color[f"{tone}-paper"]) >= 4.5, (tone, text)
    assert _contrast(color["ink"], _mixed(color["c0"], color["paper"], 0.45)) >= 4.5
    assert _contrast(color["ink"], color["panel"]) >= 4.5


CHROMIUM = shutil.which("chromium")


@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")
def test_nothing_is_wider_than_a_phone(html, tmp_path):
    # A window is no narrower than 500: the page stands in a frame. Its own policy forbids scripts.
    framed = escape(html.replace("<details>", "<details open>"))
    script = (
        "onload = () => { const page = frames[0].document.documentElement;"
        "document.title = JSON.stringify([frames[0].innerWidth, page.scrollWidth]) }"
    )
    (tmp_path / "frame.html").write_text(
        f'<script>{script}</script><iframe srcdoc="{framed}" width="390" height="900" '
        'style="border: 0"></iframe>'
    )
    offline = ("--disable-background-networking", "--disable-component-update", "--disable-sync")
    ended = subprocess.run(
        [
            *(CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", *offline),
            f"--user-data-dir={tmp_path / 'profile'}",
            *("--hide-scrollbars", "--dump-dom", (tmp_path / "frame.html").as_uri()),
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    inner, width = json.loads(re.search(r"<title>(\[.*?\])</title>", ended.stdout).group(1))
    assert inner == 390
    assert width == inner
