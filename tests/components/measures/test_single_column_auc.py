"""Leaks: columns that alone decide a task."""

import numpy as np
import pyarrow as pa
import pytest

from taskroute.components.measures.single_column_auc import find_leaks, leaks_by_column
from taskroute.schemas.recommender import DataConfig

ROWS = 4000
RANDOM = np.random.default_rng(7)
CLICKED = RANDOM.random(ROWS) < 0.2
NOISE = RANDOM.normal(size=ROWS)
USERS = RANDOM.integers(0, 300, ROWS)
WATCH = np.where(CLICKED, RANDOM.integers(1, 12, ROWS) ** 2.0, 0.0)


def numbers(values):
    """Column of at most one number a row; NaN is missing."""
    lists = [None if np.isnan(value) else [value] for value in values]
    return pa.array(lists, pa.list_(pa.float32()))


def terms(values):
    """Column of terms: one a row, or a list, or None."""
    lists = [value if isinstance(value, list) or value is None else [value] for value in values]
    return pa.array(lists, pa.list_(pa.binary()))


def text(values):
    return terms([f"t{value}".encode() for value in values])


def leaks(kind, column, task=None, **columns):
    feature = {"name": "f", "kind": kind, "column": "x"}
    feature |= {} if kind == "dense" else {"vocabulary": {}}
    config = DataConfig.model_validate(
        {
            "features": [feature],
            "tasks": [{"name": "click", "label": {"column": "clicked"}}, *([task] if task else [])],
        }
    )
    columns = {"clicked": numbers(CLICKED.astype(float)), **columns}
    return find_leaks(config, pa.table({"x": column, **columns}))


def auc_of(probability):
    """Numbers that decide the click with about that AUC."""
    return NOISE + CLICKED * probability


DECIDING = {
    "a copy of the label": ("dense", numbers(CLICKED.astype(float))),
    "a number that rises with it": ("dense", numbers(auc_of(8))),
    "a number that falls with it": ("dense", numbers(-auc_of(8))),
    "a number near 0 for one class": (
        "dense",
        numbers(np.where(CLICKED, 0.1, 5) * NOISE**0 * (-1.0) ** USERS),
    ),
    "a number missing where it is 0": ("dense", numbers(np.where(CLICKED, NOISE, np.nan))),
    "a number missing where it is 1": ("dense", numbers(np.where(CLICKED, np.nan, NOISE))),
    "a source of the label": ("dense", numbers(np.where(CLICKED, 4, 1) + USERS % 2)),
    "terms of a rating": ("categorical", text(np.where(CLICKED, 4, 1) + USERS % 2)),
    "a term missing where it is 0": (
        "categorical",
        terms([f"u{u}".encode() if c else None for u, c in zip(USERS, CLICKED, strict=True)]),
    ),
    "a list with a term of the outcome": (
        "multivalent",
        terms(
            [[f"u{u}".encode(), b"y" if c else b"n"] for u, c in zip(USERS, CLICKED, strict=True)]
        ),
    ),
    "a list that is empty where it is 0": (
        "multivalent",
        terms([[f"u{u}".encode()] * 2 if c else [] for u, c in zip(USERS, CLICKED, strict=True)]),
    ),
}


@pytest.mark.parametrize("name", DECIDING)
def test_a_column_that_decides_a_task_is_named(name):
    (finding,) = leaks(*DECIDING[name])
    assert (finding.kind, finding.subject) == ("leak", "f")
    assert finding.sentence.startswith("feature 'f': ")
    assert "column 'x'" in finding.sentence
    assert "task 'click' (AUC 1.000 over 4,000 rows)" in finding.sentence
    assert ("is missing alone decides" in finding.sentence) == (
        "missing" in name or "empty" in name
    )


HARMLESS = {
    "noise": ("dense", numbers(NOISE)),
    "a strong number of AUC .95": ("dense", numbers(auc_of(2.33))),
    "a constant": ("dense", numbers(np.ones(ROWS))),
    "a column without values": ("dense", numbers(np.full(ROWS, np.nan))),
    "an id of its own in each row": ("categorical", text(range(ROWS))),
    "ids by time, as positives come in bursts": ("categorical", text(USERS)),
    "an id of its own in each row as a number": ("dense", numbers(RANDOM.permutation(ROWS) * 1.0)),
    "lists of ids": ("multivalent", terms([[b"%d" % u, b"%d" % n] for n, u in enumerate(USERS)])),
    "text without values": ("categorical", terms([None] * ROWS)),
}


@pytest.mark.parametrize("name", HARMLESS)
def test_no_other_column_is_named(name):
    assert leaks(*HARMLESS[name]) == []


def test_the_strong_number_has_an_auc_of_95_hundredths():
    values = auc_of(2.33)
    pairs = values[CLICKED][:, np.newaxis] > values[~CLICKED]
    assert pairs.mean() == pytest.approx(0.95, abs=0.01)


def test_only_rows_that_count_for_a_task_are_asked():
    liked = CLICKED & (NOISE > 0)
    like = {"name": "like", "label": {"column": "liked"}, "trained_where": "click"}
    # Among clicked rows it says nothing; over all rows it is the click.
    column = numbers(np.where(CLICKED, RANDOM.random(ROWS) + 1, 0))
    (finding,) = leaks("dense", column, like, liked=numbers(liked.astype(float)))
    assert "'click'" in finding.sentence
    assert "'like'" not in finding.sentence
    # Rows of weight 0 hide where the column fails.
    weighted = {"name": "like", "label": {"column": "liked"}, "weight": "w"}
    weight = numbers((USERS < 200).astype(float))
    column = numbers(np.where(USERS < 200, liked, RANDOM.random(ROWS)))
    count = int((USERS < 200).sum())
    (finding,) = leaks("dense", column, weighted, liked=numbers(liked.astype(float)), w=weight)
    assert f"task 'like' (AUC 1.000 over {count:,} rows)" in finding.sentence


def test_labels_that_are_missing_do_not_count():
    labels = np.where(USERS < 200, CLICKED, np.nan)
    column = numbers(np.where(USERS < 200, CLICKED, RANDOM.random(ROWS)))
    (finding,) = leaks("dense", column, clicked=numbers(labels))
    assert f"over {int((USERS < 200).sum()):,} rows" in finding.sentence


REGRESSION = {
    "name": "watch",
    "kind": "regression",
    "label": {"column": "watch", "transform": "log1p"},
    "trained_where": "click",
}


@pytest.mark.parametrize(
    ("column", "is_leak"),
    [
        (numbers(WATCH * 60), True),
        (numbers(-np.sqrt(WATCH)), True),
        (text(WATCH.astype(int) * 7 % 131), True),
        (numbers(WATCH + 9 * RANDOM.normal(size=ROWS)), False),
        (text(USERS), False),
    ],
)
def test_a_column_in_the_order_of_a_regression_task_is_named(column, is_leak):
    findings = leaks(
        "categorical" if column.type.value_type == pa.binary() else "dense",
        column,
        REGRESSION,
        watch=numbers(WATCH),
    )
    assert any("task 'watch' (rank correlation" in one.sentence for one in findings) == is_leak


def test_too_few_rows_of_a_class_decide_nothing():
    rare = np.zeros(ROWS)
    rare[:19] = 1
    assert leaks("dense", numbers(rare), clicked=numbers(rare)) == []
    rare[19] = 1
    assert len(leaks("dense", numbers(rare), clicked=numbers(rare))) == 1


def test_of_many_leaks_the_last_line_names_the_rest():
    copies = {f"c{number}": numbers(CLICKED.astype(float)) for number in range(14)}
    config = DataConfig.model_validate(
        {
            "features": [{"name": name, "kind": "dense"} for name in copies],
            "tasks": [{"name": "click", "label": {"column": "clicked"}}],
        }
    )
    table = pa.table({"clicked": numbers(CLICKED.astype(float)), **copies})
    findings = find_leaks(config, table)
    assert len(findings) == 10
    assert findings[-1].sentence == (
        "'c9', 'c10', 'c11', 'c12', 'c13': the like of the lines above"
    )


def test_of_many_rows_an_even_sample_is_asked():
    column = numbers(np.tile(CLICKED, 15).astype(float))
    labels = numbers(np.tile(CLICKED, 15).astype(float))
    (finding,) = leaks("dense", column, clicked=labels)
    assert "over 50,000 rows" in finding.sentence


def test_a_label_of_texts_is_read_as_its_rule_says():
    random = np.random.default_rng(0)
    clicked = random.random(2_000) < 0.3
    answers = np.where(clicked, "ja", "nein").tolist()
    answers[:100] = [None] * 100
    examples = pa.table(
        {
            "x": pa.array([[float(each)] for each in clicked], pa.list_(pa.float32())),
            "answer": pa.array(
                [None if each is None else [each.encode()] for each in answers],
                pa.list_(pa.binary()),
            ),
        }
    )
    config = DataConfig.model_validate(
        {
            "features": [{"name": "x", "kind": "dense"}],
            "tasks": [{"name": "click", "label": {"column": "answer", "equals": "ja"}}],
        }
    )
    ((column, (leak,)),) = leaks_by_column(config, examples).items()
    assert (column, leak.score, leak.num_rows) == ("x", 1.0, 1_900)


def test_a_label_of_texts_and_a_funnel_count_as_they_do_in_training():
    outcome = np.where(CLICKED, np.where(NOISE > 0, "buy", "look"), "none")
    tasks = [
        {"name": "click", "label": {"column": "outcome", "in": ["buy", "look"]}},
        # Null where nobody clicked: 0 over all rows.
        {"name": "buy", "label": {"column": "bought"}, "funnel": "click"},
    ]
    config = DataConfig.model_validate(
        {"features": [{"name": "x", "kind": "dense"}], "tasks": tasks}
    )
    table = pa.table(
        {
            "outcome": terms([text.encode() for text in outcome]),
            "bought": numbers(np.where(CLICKED, NOISE > 0, np.nan)),
            "x": numbers(np.where(CLICKED & (NOISE > 0), 2, 1)),
        }
    )
    (finding,) = find_leaks(config, table)
    assert "task 'buy' (AUC 1.000 over 4,000 rows)" in finding.sentence
    assert "task 'click'" not in finding.sentence


def test_tasks_whose_columns_are_missing_are_left_out():
    like = {"name": "like", "label": {"column": "liked"}, "trained_where": "click"}
    (finding,) = leaks("dense", numbers(CLICKED.astype(float)), like)
    assert "task 'click'" in finding.sentence
