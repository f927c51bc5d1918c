"""`taskroute init`: outcomes by name in any language and by value, and columns that leak."""

import numpy as np
import pytest

from taskroute.pipeline.starter.words import english_name, parts

ROWS = 600
RANDOM = np.random.default_rng(5)
ALONE = {"clicked": None, "liked": None, "watch_seconds": None}


def flags(rate, seed=0):
    return (np.random.default_rng(seed).random(ROWS) < rate).astype(int)


@pytest.mark.parametrize(
    ("name", "task"),
    [
        ("geklickt", "click"),
        ("Gefällt", "like"),
        ("gekauft", "purchase"),
        ("a_cliqué", "a_click"),
        ("achat", "purchase"),
        ("hizo clic", "hizo_click"),
        ("comprado", "purchase"),
        ("クリック", "click"),
        ("購入フラグ", "purchase"),
        ("いいね", "like"),
        ("視聴完了", "watch_complete"),
        ("是否点击", "click"),
        ("购买", "purchase"),
        ("点赞", "like"),
        ("클릭여부", "click"),
        ("покупка", "purchase"),
        ("isClicked", "click"),
        ("outcome.clicked", "click"),
    ],
)
def test_an_outcome_is_known_in_other_languages(init, name, task):
    flag, other = flags(0.4), flags(0.5, seed=1)
    config = init("feed.csv", **ALONE, **{name: flag.tolist(), "x": other.tolist()})
    assert [(each.name, each.label.column) for each in config.tasks] == [(task, name)]
    assert "x" in [each.column for each in config.features]


def test_columns_in_other_scripts_have_names_that_can_be_read(init):
    config = init(
        "feed.csv",
        user_id=None,
        **{
            "ユーザーID": [f"u{row % 150}" for row in range(ROWS)],
            "商品カテゴリ": [f"c{row % 7}" for row in range(ROWS)],
            "Größe (cm)": [150 + row % 37 + 0.5 for row in range(ROWS)],
            "謎": [f"x{row % 5}" for row in range(ROWS)],
        },
    )
    names = {each.column: each.name for each in config.features}
    assert names["ユーザーID"] == "user_id"
    assert names["商品カテゴリ"] == "item_category"
    assert names["Größe (cm)"] == "Groesse_cm"
    assert names["謎"].startswith("column_")
    assert len(set(names.values())) == len(names)
    assert config.evaluation.group_key == "ユーザーID"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("userId", ["user", "id"]),
        ("movieid", ["movie", "id"]),
        ("USER_ID", ["user", "id"]),
        ("视频编号", ["video", "id"]),
        ("Nutzer-Nr", ["user", "nr"]),
        ("watchTime", ["watch", "time"]),
    ],
)
def test_names_are_taken_apart(name, words):
    assert parts(name) == words


def test_a_name_of_unknown_letters_is_the_place_of_its_column():
    assert english_name("謎の値", 3) == "column_3"


@pytest.mark.parametrize("cell", ["?", "2", "broken"])
def test_a_few_bad_cells_leave_a_label_a_label(init, tmp_path, cell):
    texts = [str(flag) for flag in flags(0.3)]
    texts[400] = cell
    config = init("feed.csv", clicked=texts, liked=None, watch_seconds=None)
    assert [task.name for task in config.tasks] == ["click"]
    assert config.source.max_bad_fraction == 0.01
    assert "row 401, column clicked" in (tmp_path / "shop.yaml").read_text()


def test_a_bad_cell_leaves_numbers_numbers_and_times_times(init, log):
    ages = [str(age) for age in log()["age"]]
    times = log()["time"]
    ages[300], times[500] = "old", "yesterday"
    config = init("feed.csv", age=ages, time=times)
    assert config.source.timestamp == "time"
    assert next(each for each in config.features if each.name == "age").kind == "dense"
    assert config.source.max_bad_fraction == 0.01


@pytest.mark.parametrize(
    ("yes", "no", "rule"),
    [
        ("true", "false", None),
        ("True", "False", None),
        ("ja", "nein", "ja"),
        ("Yes", "No", "Yes"),
        ("Y", "N", "Y"),
        ("はい", "いいえ", "はい"),
        ("是", "否", "是"),
    ],
)
def test_two_terms_of_yes_and_no_are_a_label(init, yes, no, rule):
    texts = [yes if flag else no for flag in flags(0.3)]
    (task,) = init("feed.csv", clicked=texts, liked=None, watch_seconds=None).tasks
    assert (task.name, task.label.equals) == ("click", rule)


@pytest.mark.parametrize(
    ("name", "ratings", "least"),
    [
        ("rating", [1, 2, 3, 4, 5], 4),
        ("stars", [0.5, 1, 2, 3.5, 4, 4.5, 5], 4),
        ("Bewertung", [1, 2, 3, 4, 5], 4),
        ("评分", [1, 2, 3, 4, 5], 4),
        ("user_score", [2, 4, 6, 7, 8, 9, 10], 8),
    ],
)
def test_ratings_are_a_task_of_good_ones_and_no_feature(init, name, ratings, least):
    values = np.random.default_rng(3).choice(ratings, ROWS).tolist()
    config = init("feed.csv", **ALONE, **{name: values})
    (task,) = config.tasks
    assert (task.label.column, task.label.at_least) == (name, least)
    assert name not in [each.column for each in config.features]


def test_stars_of_an_item_are_a_feature(init):
    items = RANDOM.integers(0, 50, ROWS)
    config = init("feed.csv", item_id=items.tolist(), stars=(items % 5 + 1).tolist())
    assert "stars" in [each.column for each in config.features]
    assert "stars" not in [task.label.column for task in config.tasks]


def test_a_label_that_happens_in_another_counts_there_click_or_not(init):
    watched = flags(0.5)
    shared = watched * flags(0.5, seed=1)
    config = init(**ALONE, watched=watched.tolist(), shared=shared.tolist())
    conditions = {task.name: task.trained_where for task in config.tasks}
    assert conditions == {"watch": None, "share": "watch"}


def test_a_few_labels_within_a_frequent_one_may_be_there_by_chance(init):
    opened = np.ones(ROWS, int)
    opened[::50] = 0
    saved = np.zeros(ROWS, int)
    saved[[3, 40, 77, 130, 510]] = 1
    config = init(**ALONE, opened=opened.tolist(), saved=saved.tolist())
    assert [task.trained_where for task in config.tasks] == [None, None]


def test_a_label_that_says_the_same_as_another_is_left_out(init, log):
    config = init(is_click=log()["clicked"])
    assert [task.name for task in config.tasks] == ["click", "like", "watch_seconds"]


def test_tasks_have_names_of_their_own(init):
    config = init(**ALONE, clicked_ad=flags(0.2).tolist(), ad_clicked=flags(0.3, seed=2).tolist())
    assert len({task.name for task in config.tasks}) == 2


@pytest.mark.parametrize(
    ("name", "values", "kind"),
    [
        ("device_type", range(8), "categorical"),
        ("weekday", range(7), "categorical"),
        ("tab", [1, 2, 3, 20], "categorical"),
        ("position", range(8), "dense"),
        ("num_children", range(6), "dense"),
        ("user_age", range(18, 80), "dense"),
        ("temperature", [0.5, 1, 2, 3], "dense"),
        ("movie", range(1_000, 1_050), "categorical"),
    ],
)
def test_a_small_whole_number_is_a_code_unless_it_counts(feature, name, values, kind):
    drawn = np.random.default_rng(1).choice(list(values), ROWS).tolist()
    assert feature(name, drawn)["kind"] == kind


def test_a_column_that_decides_a_task_is_left_out_with_its_auc(tmp_path, feature, log):
    clicked = np.array(log()["clicked"])
    noise = np.random.default_rng(2).random(ROWS)
    assert feature("reward", (clicked * 2 - 1 + noise / 4).tolist()) is None
    text = (tmp_path / "shop.yaml").read_text()
    assert "#   reward: its values alone decide click (AUC 1.000): is it known before?" in text


def test_a_time_that_only_clicked_rows_have_is_left_out(tmp_path, feature, log):
    times = [t if c else None for t, c in zip(log()["time"], log()["clicked"], strict=True)]
    assert feature("clicked_at", times) is None
    assert (
        "#   clicked_at: is 0 or missing wherever clicked is 0"
        in (tmp_path / "shop.yaml").read_text()
    )


def test_a_rare_flag_of_no_such_name_is_offered_as_a_task(tmp_path, feature):
    rare = flags(0.05).tolist()
    assert feature("tapped", rare)["kind"] == "dense"
    text = (tmp_path / "shop.yaml").read_text()
    assert "is it an outcome?" in text
    assert "# - {name: tapped, label: {column: tapped}}" in text


def test_a_flag_of_each_user_is_no_outcome(tmp_path, feature):
    users = np.random.default_rng(7).integers(0, 60, ROWS)
    ids = [f"u{user}" for user in users]
    assert feature("premium", (users % 10 == 0).astype(int).tolist(), user_id=ids) is not None
    assert "is it an outcome?" not in (tmp_path / "shop.yaml").read_text()


def test_the_time_is_that_which_the_rows_are_sorted_by(init, log):
    days = [f"2020-01-{1 + row % 28:02d}" for row in RANDOM.integers(0, 300, ROWS)]
    config = init("feed.csv", time=None, member_since=days, happened=log()["time"])
    assert config.source.timestamp == "happened"


def test_what_is_named_like_a_later_row_is_left_out(tmp_path, feature):
    assert feature("next_read_seconds", RANDOM.integers(0, 90, ROWS).tolist()) is None
    assert (
        "#   next_read_seconds: is named like what comes after"
        in (tmp_path / "shop.yaml").read_text()
    )
