"""Makes the logs of the public data sets in examples/ from their published files.

    python tools/public_logs.py census_income census-income.data census-income.test --data DIR
    python tools/public_logs.py ebnerd behaviors.parquet history.parquet --data DIR

Gzipped files of Census-Income are read as well. DIR gets the paths that the examples name.
"""

import argparse
from pathlib import Path

import pandas as pd

# In the order of the published files, which name none; the last becomes a label.
_CENSUS_COLUMNS = [
    "age",
    "class_worker",
    "det_ind_code",
    "det_occ_code",
    "education",
    "wage_per_hour",
    "hs_college",
    "marital_stat",
    "major_ind_code",
    "major_occ_code",
    "race",
    "hisp_origin",
    "sex",
    "union_member",
    "unemp_reason",
    "full_or_part_emp",
    "capital_gains",
    "capital_losses",
    "stock_dividends",
    "tax_filer_stat",
    "region_prev_res",
    "state_prev_res",
    "det_hh_fam_stat",
    "det_hh_summ",
    "instance_weight",
    "mig_chg_msa",
    "mig_chg_reg",
    "mig_move_reg",
    "mig_same",
    "mig_prev_sunbelt",
    "num_emp",
    "fam_under_18",
    "country_father",
    "country_mother",
    "country_self",
    "citizenship",
    "own_or_self",
    "vet_question",
    "vet_benefits",
    "weeks_worked",
    "year",
    "income",
]
_COLLEGE = "Associates|Bachelors|Masters|Prof school|Doctorate"

# Columns of the page itself, not of the articles in view.
_VIEW_COLUMNS = {"read_time": "front_read_time", "scroll_percentage": "front_scroll_pct"}
_LONG_READ_SECONDS = 30
_FULL_SCROLL_PERCENT = 90


def census_income(published: Path) -> pd.DataFrame:
    """Log of Census-Income: a row a person, with the labels of the three tasks.

    Args:
        published: File `census-income.data` or `census-income.test`, gzipped or not.
    """
    log = pd.read_csv(
        published,
        names=_CENSUS_COLUMNS,
        skipinitialspace=True,
        keep_default_na=False,
        na_values={"hisp_origin": ["NA"]},
    )
    log.insert(0, "row_id", range(len(log)))
    log["label_income_50k"] = log.pop("income").str.startswith("50000+").astype("int8")
    log["label_never_married"] = (log["marital_stat"] == "Never married").astype("int8")
    log["label_college"] = log["education"].str.match(_COLLEGE).astype("int8")
    return log


def ebnerd_impressions(behaviors: Path) -> pd.DataFrame:
    """Log of EB-NeRD: a row an article in view; the next read is that of the clicked article.

    Args:
        behaviors: File `behaviors.parquet`: a row a page view, whose own `article_id` is left out.
    """
    views = pd.read_parquet(behaviors).drop(columns="article_id").rename(columns=_VIEW_COLUMNS)
    views["n_inview"] = views["article_ids_inview"].str.len()
    log = views.explode("article_ids_inview").astype({"article_ids_inview": "int64"})
    log = log.rename(columns={"article_ids_inview": "article_id"}).reset_index(drop=True)
    log["inview_pos"] = log.groupby("impression_id").cumcount()
    clicked = views[["impression_id", "article_ids_clicked"]].explode("article_ids_clicked")
    is_clicked = _pairs(log, "article_id").isin(_pairs(clicked, "article_ids_clicked"))
    log["label_click"] = is_clicked.astype("int8")
    log["label_read_time"] = log.pop("next_read_time").where(is_clicked, 0.0)
    full = log.pop("next_scroll_percentage").where(is_clicked, 0.0) >= _FULL_SCROLL_PERCENT
    log["label_full_scroll"] = full.astype("int8")
    log["label_long_read"] = (log["label_read_time"] >= _LONG_READ_SECONDS).astype("int8")
    return log.drop(columns="article_ids_clicked")


def ebnerd_with_history(log: pd.DataFrame, published: Path) -> pd.DataFrame:
    """Adds `history` to the log: the articles that a user read in the weeks before, oldest first.

    Args:
        log: Log from `ebnerd_impressions`.
        published: File `history.parquet`.
    """
    past = pd.read_parquet(published, columns=["user_id", "article_id_fixed"])
    return log.assign(history=log["user_id"].map(past.set_index("user_id")["article_id_fixed"]))


def _pairs(log: pd.DataFrame, article: str) -> pd.MultiIndex:
    return pd.MultiIndex.from_frame(log[["impression_id", article]])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("name", choices=("census_income", "ebnerd"))
    parser.add_argument("published", nargs=2, type=Path, help="its two files, in this order")
    parser.add_argument("--data", type=Path, required=True, help="folder that gets NAME/*.parquet")
    options = parser.parse_args()
    first, second = options.published
    folder = options.data / options.name
    folder.mkdir(parents=True, exist_ok=True)
    if options.name == "census_income":
        census_income(first).to_parquet(folder / "train.parquet", index=False)
        census_income(second).to_parquet(folder / "test.parquet", index=False)
        return
    log = ebnerd_impressions(first)
    log.to_parquet(folder / "ebnerd_impressions.parquet", index=False)
    with_history = ebnerd_with_history(log, second)
    with_history.to_parquet(folder / "ebnerd_impressions_history.parquet", index=False)


if __name__ == "__main__":
    main()
