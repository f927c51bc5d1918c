"""`taskroute init`: what it guesses of a log, and that a check of the same log passes."""

import numpy as np
import pytest
import yaml

from taskroute.schemas.recommender import load_config

ROWS = 600


@pytest.mark.parametrize("name", ["feed.csv", "feed.jsonl", "feed.parquet"])
def test_the_config_passes_the_check_whatever_the_format(init, name):
    config = init(name)
    assert {each.name for each in config.features} == {"user_id", "device", "age"}
    assert [task.name for task in config.tasks] == ["click", "like", "watch_seconds"]
    assert (config.name, config.source.timestamp) == ("shop", "time")
    assert config.source.split.by == "time"


def test_what_is_never_1_without_a_click_counts_among_clicked_rows(init):
    tasks = {task.name: task for task in init().tasks}
    assert tasks["click"].trained_where is None
    assert tasks["like"].trained_where == tasks["watch_seconds"].trained_where == "click"
    assert tasks["watch_seconds"].kind == "regression"


def test_an_outcome_of_its_own_counts_in_all_rows(init):
    shared = np.random.default_rng(1).integers(0, 2, ROWS).tolist()
    tasks = {task.name: task for task in init(shared=shared).tasks}
    assert tasks["share"].trained_where is None


@pytest.mark.parametrize(
    ("num_terms", "ids"),
    [(2, {"vocabulary": {}, "embedding_dim": 4}), (300, {"vocabulary": {}, "embedding_dim": 8})],
)
def test_few_texts_have_a_vocabulary(feature, num_terms, ids):
    found = feature("place", [f"p{row % num_terms}" for row in range(ROWS)])
    assert found == {"name": "place", "kind": "categorical", **ids}


def test_many_ids_are_hashed_to_more_buckets_than_were_seen(feature):
    found = feature("item_id", [f"i{row % 400}" for row in range(ROWS)])
    assert (found["kind"], found["hash_buckets"]) == ("categorical", 10_000)


@pytest.mark.parametrize("name", ["item_id", "zip"])
def test_a_number_that_is_a_code_is_no_amount(feature, name):
    assert feature(name, [row % 40 for row in range(ROWS)])["kind"] == "categorical"


def test_a_number_with_a_leading_zero_is_a_code(feature):
    assert feature("area", [f"0{row % 40:02d}" for row in range(ROWS)])["kind"] == "categorical"


def test_numbers_are_dense_and_a_few_large_ones_are_brought_near(feature):
    assert feature("price", [row / 7 for row in range(ROWS)]) == {"name": "price", "kind": "dense"}
    values = [10 ** (row % 6) for row in range(ROWS)]
    assert feature("price", values)["transform"] == "log1p"


@pytest.mark.parametrize("values", [["a", "b"], '["a", "b"]'])
def test_several_terms_a_row_are_multivalent(feature, values):
    found = feature("genres", [values, None, values] * (ROWS // 3))
    assert found["kind"] == "multivalent"


def test_the_separator_is_the_one_of_terms_that_come_again(feature):
    values = [f"g{row % 5};g{row % 7}" for row in range(ROWS)]
    assert feature("genres", values)["separator"] == ";"
    titles = [f"Hello, number {row % 90}" for row in range(ROWS)]
    assert feature("title", titles)["kind"] == "categorical"


def test_a_history_shares_the_ids_of_its_items(feature):
    items = [f"i{row % 150}" for row in range(ROWS)]
    history = [[f"i{row % 150}", f"i{row % 11}"] for row in range(ROWS)]
    found = feature("watch_history", history, item=items)
    assert (found["kind"], found["shares"]) == ("sequence", "item")
    assert feature("recent", [["x", "y"], ["z"]] * (ROWS // 2))["vocabulary"] == {}


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("session_id", [f"s{row // 10}" for row in range(ROWS)]),
        ("token", [f"t{row}" for row in range(ROWS)]),
        ("constant", ["x"] * ROWS),
        ("empty", [None] * ROWS),
        ("user age", list(range(ROWS))),
        ("logged_at", [1_767_225_600 + row for row in range(ROWS)]),
    ],
)
def test_what_predicts_nothing_is_left_out_and_named(tmp_path, feature, name, values):
    assert feature(name, values) is None
    assert f"#   {name}: " in (tmp_path / "shop.yaml").read_text()


def test_what_only_clicked_rows_have_is_left_out(feature, log):
    clicked = log()["clicked"]
    seen = [click * (5 + row % 9) for row, click in enumerate(clicked)]
    assert feature("seconds_on_page", seen) is None
    assert feature("seconds_before", [5 + row % 9 for row in range(ROWS)])["kind"] == "dense"


def test_names_that_no_feature_can_have_are_changed(init):
    items = ["a", "b"] * (ROWS // 2)
    config = init("feed.csv", **{"item.id": items, "age_missing": [1, 2, 3] * (ROWS // 3)})
    columns = {each.name: each.column for each in config.features}
    assert columns["item_id"] == "item.id"
    assert columns["age_missing_2"] == "age_missing"


@pytest.mark.parametrize("unit", [1, 1_000])
def test_epochs_are_times_where_the_name_says_so(init, unit):
    epochs = [(1_767_225_600 + row) * unit for row in range(ROWS)]
    config = init(time=None, created_at=epochs, number=epochs)
    assert config.source.timestamp == "created_at"
    assert any(each.column == "number" for each in config.features)


def test_without_a_time_rows_of_one_user_stay_together(init):
    config = init(time=None)
    assert (config.source.split.by, config.source.split.key) == ("hash", "user_id")
    assert config.evaluation.group_key == "user_id"


def test_without_a_user_either_rows_are_split_by_what_tells_them_apart_best(init):
    config = init(time=None, user_id=None, row_id=[f"r{row}" for row in range(ROWS)])
    assert (config.source.split.by, config.source.split.key) == ("hash", "row_id")


def test_a_time_that_a_row_lacks_splits_nothing(init, log):
    times = ["", *log()["time"][1:]]
    config = init("feed.csv", time=times)
    assert config.source.split.by == "hash"


def test_without_a_click_watch_time_is_the_task(init):
    config = init(clicked=None, liked=None)
    assert [task.name for task in config.tasks] == ["watch_seconds"]
    assert config.trunk.kind == "shared_bottom"
    assert config.evaluation.gates[0].metric == "xauc"


def test_an_unnamed_0_or_1_is_a_task_only_where_there_is_no_other(init):
    flags = [row % 2 for row in range(ROWS)]
    assert len(init(is_member=flags).tasks) == 3


def test_the_last_0_or_1_is_the_task_where_no_name_tells(init):
    flags = [row % 2 for row in range(ROWS)]
    config = init(clicked=None, liked=None, watch_seconds=None, one=flags, two=flags[::-1])
    assert [task.label.column for task in config.tasks] == ["two"]


def test_a_log_by_day_is_read_by_a_window_of_the_newest_days(tmp_path, log, write, call):
    for day in (1, 2, 4, 5):
        times = [f"2026-01-0{day} 00:{row // 60:02d}:{row % 60:02d}" for row in range(ROWS)]
        write(tmp_path, f"logs/2026-01-0{day}/log.csv", log(time=times))
    output = tmp_path / "feed.yaml"
    result = call("init", tmp_path / "logs/{YYYY}-{MM}-{DD}/log.csv", "-o", output)
    assert result.exit_code == 0, result.output
    assert "2026-01-01 to 2026-01-05" in result.stdout.replace("\n", " ")
    source = load_config(output).source
    assert (source.window_days, source.max_missing_days) == (5, 1)
    assert call("check", output).exit_code == 0


def test_paths_start_at_the_folder_of_the_config(tmp_path, monkeypatch, log, write, call):
    write(tmp_path, "logs/feed.csv", log())
    monkeypatch.chdir(tmp_path)
    assert call("init", "logs/feed.csv", "-o", "configs/feed.yaml").exit_code == 0
    assert load_config("configs/feed.yaml").source.path == "../logs/feed.csv"
    assert call("check", "configs/feed.yaml").exit_code == 0


def test_bad_rows_are_named_and_allowed_for(tmp_path, log, write, call):
    path = write(tmp_path, "feed.csv", log())
    path.write_text(path.read_text() + "too,few\n")
    output = tmp_path / "feed.yaml"
    assert call("init", path, "-o", output).exit_code == 0
    assert f"row {ROWS + 1}, which has 2 columns" in output.read_text()
    assert load_config(output).source.max_bad_fraction == 0.01
    assert call("check", output).exit_code == 0


def test_a_log_that_is_mostly_unreadable_is_refused(tmp_path, log, write, call, refused):
    path = write(tmp_path, "feed.csv", log())
    path.write_text(path.read_text() + "too,few\n" * ROWS)
    result = call("init", path, "-o", tmp_path / "feed.yaml")
    refused(result, 3, f"row {ROWS + 1}: has 2 columns", "50% of the rows")
    assert not (tmp_path / "feed.yaml").exists()


def test_nothing_is_overwritten(tmp_path, log, write, call, refused):
    path = write(tmp_path, "feed.csv", log())
    output = tmp_path / "feed.yaml"
    output.write_text("mine")
    refused(call("init", path, "-o", output), 2, "feed.yaml", "already", "--output")
    refused(call("init", "-o", output), 2, "feed.yaml", "already")
    assert output.read_text() == "mine"


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"clicked": None, "liked": None, "watch_seconds": None}, ("nothing to predict",)),
        ({"user_id": None, "device": None, "age": None}, ("predict from",)),
    ],
    ids=["no_label", "no_feature"],
)
def test_a_log_that_teaches_nothing_is_refused(tmp_path, columns, words, log, write, call, refused):
    path = write(tmp_path, "feed.csv", log(**columns))
    refused(call("init", path, "-o", tmp_path / "feed.yaml"), 3, *words)
    assert not (tmp_path / "feed.yaml").exists()


def test_files_that_are_no_log_are_named(tmp_path, call, refused):
    (tmp_path / "feed.txt").write_text("a")
    refused(call("init", tmp_path / "feed.txt"), 2, "feed.txt", ".parquet")
    output = tmp_path / "feed.yaml"
    refused(call("init", tmp_path / "none.csv", "-o", output), 3, "no file matches")
    result = call("init", tmp_path / "{YYYY}-{MM}/feed.csv", "-o", output)
    refused(result, 2, "feed.csv: it must hold all of {YYYY}, {MM} and {DD}")
    (tmp_path / "feed.csv").write_text("a;b\n1;2\n")
    result = call("init", tmp_path / "feed.csv", "-o", output)
    refused(result, 3, "feed.csv", "nothing to predict")


def test_without_a_log_a_whole_config_to_fill_in_is_written(tmp_path, monkeypatch, call):
    monkeypatch.chdir(tmp_path)
    result = call("init")
    assert result.exit_code == 0
    config = load_config("taskroute.yaml")
    assert [task.name for task in config.tasks] == ["click", "like", "long_view"]
    assert yaml.safe_load((tmp_path / "taskroute.yaml").read_text())["name"] == "shop"


def test_the_sample_log_is_one_of_days_that_init_understands(tmp_path, monkeypatch, call):
    monkeypatch.chdir(tmp_path)
    result = call("sample", "logs", "--rows", "3000", "--days", "8")
    assert result.exit_code == 0
    pattern = result.stdout.split()[-1]
    assert call("init", pattern, "-o", "feed.yaml").exit_code == 0
    config = load_config("feed.yaml")
    assert [task.name for task in config.tasks] == ["click", "like", "share", "watch_seconds"]
    assert {"user_id", "item_id", "genres", "position"} <= {each.name for each in config.features}
    assert "session_id" not in {each.name for each in config.features}
    assert call("check", "feed.yaml").exit_code == 0
