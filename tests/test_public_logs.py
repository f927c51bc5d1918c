"""tools/public_logs.py on a few rows in the shape of the published files."""

import subprocess
import sys
from pathlib import Path

import pandas as pd

from taskroute.schemas.columns import raw_columns
from taskroute.schemas.recommender import load_config

REPOSITORY = Path(__file__).parents[1]


def make(name: str, first: Path, second: Path, data: Path) -> None:
    program = [sys.executable, REPOSITORY / "tools" / "public_logs.py", name, first, second]
    subprocess.run([*program, "--data", data], check=True)


def read(data: Path, example: str) -> pd.DataFrame:
    """The log of an example, with the columns that it reads."""
    config = load_config(REPOSITORY / "examples" / f"{example}.yaml")
    log = pd.read_parquet(data / config.source.path)
    assert {column.name for column in raw_columns(config)} <= set(log)
    return log


def person(education: str, marital: str, origin: str, income: str) -> str:
    terms = ["30", *["a"] * 3, education, "0", "a", marital, *["a"] * 3, origin, *["a"] * 4]
    terms += [*["0"] * 3, *["a"] * 5, "12.5", *["?"] * 5, "1", *["a"] * 5]
    terms += ["0", "a", "2", "52", "95", income]
    return ", ".join(terms)


def test_census_income_gets_its_labels(tmp_path):
    train, test = tmp_path / "train", tmp_path / "test"
    rows = [
        person("Bachelors degree(BA AB BS)", "Never married", "NA", "50000+."),
        person("Some college but no degree", "Widowed", "Cuban", "- 50000."),
    ]
    train.write_text("\n".join(rows))
    test.write_text(rows[1])
    make("census_income", train, test, tmp_path)
    log = read(tmp_path, "census_income")
    assert log["row_id"].tolist() == [0, 1]
    for label in ("label_income_50k", "label_never_married", "label_college"):
        assert log[label].tolist() == [1, 0], label
    assert log["hisp_origin"].isna().tolist() == [True, False]
    assert log["mig_chg_msa"].tolist() == ["?", "?"]
    assert log["weeks_worked"].tolist() == [52, 52]
    assert len(pd.read_parquet(tmp_path / "census_income" / "test.parquet")) == 1


def test_ebnerd_has_a_row_an_article_in_view(tmp_path):
    views = pd.DataFrame(
        {
            "impression_id": [1, 2],
            "article_id": [None, 7.0],
            "impression_time": pd.to_datetime(["2023-02-23", "2023-02-24"]),
            "read_time": [5.0, 6.0],
            "scroll_percentage": [None, 50.0],
            "article_ids_inview": [[11, 12], [12, 13, 11]],
            "article_ids_clicked": [[12], [13]],
            "user_id": [3, 4],
            "next_read_time": [29.0, 30.0],
            "next_scroll_percentage": [90.0, None],
            **{name: [1, 2] for name in ("device_type", "gender", "postcode", "age")},
            **{name: [True, False] for name in ("is_sso_user", "is_subscriber")},
        }
    )
    history = pd.DataFrame({"user_id": [4], "article_id_fixed": [[1, 2]]})
    views.to_parquet(tmp_path / "behaviors")
    history.to_parquet(tmp_path / "history")
    make("ebnerd", tmp_path / "behaviors", tmp_path / "history", tmp_path)
    log = read(tmp_path, "ebnerd")
    assert log["article_id"].tolist() == [11, 12, 12, 13, 11]
    assert log["inview_pos"].tolist() == [0, 1, 0, 1, 2]
    assert log["n_inview"].tolist() == [2, 2, 3, 3, 3]
    assert log["label_click"].tolist() == [0, 1, 0, 1, 0]
    assert log["label_read_time"].tolist() == [0, 29, 0, 30, 0]
    assert log["label_long_read"].tolist() == [0, 0, 0, 1, 0]
    assert log["label_full_scroll"].tolist() == [0, 1, 0, 0, 0]
    past = read(tmp_path, "ebnerd_history")["history"]
    assert past.notna().tolist() == [False, False, True, True, True]
    assert list(past.iloc[4]) == [1, 2]
