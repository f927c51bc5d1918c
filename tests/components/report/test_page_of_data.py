"""Page sections about the log: times of its splits, and findings."""

from taskroute.components.logs.splits import Cutoffs
from taskroute.components.logs.time_ranges import describe_splits
from taskroute.components.report import page
from taskroute.components.report.report_data import ReportData
from taskroute.schemas.findings import Finding
from taskroute.schemas.recommender import RecommenderConfig

CONFIG = RecommenderConfig.model_validate(
    {
        "name": "shop",
        "source": {"path": "log.csv", "format": "csv", "timestamp": "t", "split": {"by": "time"}},
        "features": [{"name": "x", "kind": "dense"}],
        "tasks": [{"name": "click", "label": {"column": "clicked"}}],
    }
)


def test_the_times_of_the_splits_and_the_cut_are_shown():
    ranges = {"train": [(0, 59)], "validation": [(60, 119)], "test": [(120, 240)]}
    rows = {"train": 8, "validation": 1, "test": 1}
    made = describe_splits("time", rows, ranges, Cutoffs(60, 120), 10)
    html = page.render(ReportData(CONFIG, rows=rows, log_splits=made))
    assert "Rows of 1970-01-01 00:00:00 to 1970-01-01 00:04:00, cut at 1970-01-01 00:01:00" in html
    assert ">1970-01-01 00:01:59<" in html
    assert "cut at" not in page.render(ReportData(CONFIG, rows=rows))


def test_findings_stand_below_the_verdict_and_are_no_markup():
    finding = Finding(kind="dead_feature", subject="x", sentence="feature 'x': <b>the same</b>")
    html = page.render(ReportData(CONFIG, findings=[finding]))
    assert "dead feature</span> feature &#39;x&#39;: &lt;b&gt;the same&lt;/b&gt;" in html
    assert html.index("Not evaluated") < html.index("dead feature<")
    assert "Look at the data" not in page.render(ReportData(CONFIG))
