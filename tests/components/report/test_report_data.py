"""Facts read from the folders of artifacts."""

import json

import pytest
from tensorflow_metadata.proto.v0 import statistics_pb2

from taskroute.components.report.column_statistics import ColumnStatistics
from taskroute.components.report.report_data import read_artifacts
from taskroute.schemas.errors import DataError
from taskroute.schemas.recommender import RecommenderConfig
from taskroute.schemas.serving import ModelInfo, Serving

CONFIG = RecommenderConfig.model_validate(
    {
        "name": "feed",
        "source": {"path": "log.csv", "format": "csv", "split": {"by": "hash", "key": "user"}},
        "features": [{"name": "device", "kind": "categorical", "hash_buckets": 10}],
        "tasks": [{"name": "click", "label": {"column": "clicked"}}],
    }
)


def test_without_artifacts_only_the_config_is_known(tmp_path):
    found = read_artifacts(CONFIG, {"Trainer.model_run": str(tmp_path / "gone")})
    assert found.config == CONFIG
    assert found.training is None
    assert found.measurements is None
    assert found.rows == {}


def test_columns_are_those_of_the_log_with_what_is_missing(tmp_path):
    statistics = statistics_pb2.DatasetFeatureStatisticsList()
    dataset = statistics.datasets.add(num_examples=10)
    numbers = dataset.features.add(type=1)
    numbers.path.step.append("clicked")
    numbers.num_stats.mean = 0.25
    numbers.num_stats.common_stats.num_non_missing = 8
    numbers.num_stats.common_stats.tot_num_values = 8
    texts = dataset.features.add(type=2)
    texts.path.step.append("device")
    texts.string_stats.unique = 3
    texts.string_stats.common_stats.num_non_missing = 10
    for split in ("train", "test"):  # validation holds no row
        (tmp_path / f"Split-{split}").mkdir()
        path = tmp_path / f"Split-{split}" / "FeatureStats.pb"
        path.write_bytes(statistics.SerializeToString())
    found = read_artifacts(CONFIG, {"StatisticsGen.statistics": str(tmp_path)}).columns
    assert found == (
        ColumnStatistics("clicked", "train", 10, 2, mean=0.25),
        ColumnStatistics("clicked", "test", 10, 2, mean=0.25),
        ColumnStatistics("device", "train", 10, 0, num_distinct=3),
        ColumnStatistics("device", "test", 10, 0, num_distinct=3),
    )


def test_a_bad_row_of_each_reason_is_an_example(tmp_path):
    rows = [
        {"file": "a.csv", "row": row, "reason": reason, "column": "age"}
        | {"problem": "is no number", "value": "x"}
        for row, reason in ((3, "not_a_number"), (4, "not_a_number"), (9, "wrong_label"))
    ]
    lines = "".join(f"{json.dumps(row)}\n" for row in rows)
    (tmp_path / "bad_rows-00000-of-00001.jsonl").write_text(lines)
    found = read_artifacts(CONFIG, {"LogExampleGen.quarantine": str(tmp_path)}).bad_row_examples
    assert {reason: row.row for reason, row in found.items()} == {
        "not_a_number": 3,
        "wrong_label": 9,
    }


def test_rows_and_spans_are_those_that_the_model_was_made_of(tmp_path):
    info = ModelInfo(
        name="feed",
        config_digest="0",
        data_span=("2026-01-01", "2026-01-03"),
        num_rows={"train": 5},
        binary_tasks=("click",),
        regression_tasks=(),
        serving=Serving(),
    )
    folder = tmp_path / "Format-Serving" / "assets.extra"
    folder.mkdir(parents=True)
    (folder / "model_info.json").write_text(info.model_dump_json())
    found = read_artifacts(CONFIG, {"Trainer.model": str(tmp_path)})
    assert found.rows == {"train": 5}
    assert found.spans == {"first_span": "2026-01-01", "last_span": "2026-01-03"}


def test_an_evaluation_that_cannot_be_read_is_refused_with_its_file(tmp_path):
    (tmp_path / "metrics.json").write_text("{}")
    with pytest.raises(DataError, match=r"metrics\.json: is not the record of an evaluation"):
        read_artifacts(CONFIG, {"TaskEvaluator.evaluation": str(tmp_path)})
