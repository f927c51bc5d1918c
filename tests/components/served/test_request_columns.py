"""Columns of the served version: from its own description, or from its record."""

import pytest

from taskroute.components.served import registry
from taskroute.components.served.request_columns import served_columns, with_served_columns
from taskroute.schemas.columns import RawColumn, request_columns
from taskroute.schemas.recommender import ModelConfig
from taskroute.schemas.serving import ModelInfo, Serving
from taskroute.schemas.warm_start import WarmStartRecord

CONFIG = ModelConfig.model_validate(
    {
        "features": [
            {"name": "x", "kind": "dense", "required": True},
            {"name": "user", "column": "user.id", "kind": "categorical", "hash_buckets": 9},
            {"name": "tags", "kind": "multivalent", "separator": ";", "vocabulary": {}},
        ],
        "tasks": [{"name": "click", "label": {"column": "clicked"}}],
    }
)
COLUMNS = (
    RawColumn("x", "number", None, "no_file"),
    RawColumn("user.id", "text", None, "no_file"),
    RawColumn("tags", "texts", ";", "no_file"),
)


@pytest.fixture
def push(tmp_path):
    """Pushes a model with a description, a record, or neither; gives the serving folder."""

    def push(columns=(), with_record=False):
        model = tmp_path / "model"
        model.mkdir()
        (model / "saved_model.pb").write_bytes(b"graph")
        ModelInfo(
            name="shop",
            config_digest="",
            data_span=None,
            num_rows={},
            binary_tasks=("click",),
            regression_tasks=(),
            serving=Serving(),
            columns=columns,
        ).write(model)
        warm_start = tmp_path / "warm_start" if with_record else None
        if warm_start is not None:
            WarmStartRecord(
                config=CONFIG.model_dump_json(),
                trained=CONFIG.model_dump_json(),
                serving="{}",
                data_span=None,
                num_ids={},
                boundaries={},
            ).write(warm_start)
        registry.push(model, tmp_path / "serving", "shop", warm_start=warm_start)
        return tmp_path / "serving"

    return push


def test_a_description_names_the_columns(push):
    columns = request_columns(CONFIG)
    assert [column.input for column in columns] == ["x", "user_id", "tags"]
    assert served_columns(push(columns)) == COLUMNS


def test_a_version_that_does_not_say_has_a_record(push):
    assert served_columns(push(with_record=True)) == COLUMNS


def test_a_version_without_either_has_no_columns(push):
    assert served_columns(push()) == ()


def test_nothing_is_served_yet(tmp_path):
    assert served_columns(tmp_path) == ()


def test_columns_of_the_config_stay_as_they_are(push):
    own = (RawColumn("x", "number", None, "every_file"), RawColumn("clicked", "number"))
    serving = push(request_columns(CONFIG))
    assert with_served_columns(own, serving) == (*own, *COLUMNS[1:])


def test_a_column_of_two_kinds_is_stored_twice(push):
    own = (RawColumn("x", "text"), RawColumn("user.id", "text"), RawColumn("tags", "texts", "|"))
    *same, number, tags = with_served_columns(own, push(request_columns(CONFIG)))
    assert same == list(own)
    assert (number.name, number.kind, number.need) == ("x", "number", "no_file")
    assert (tags.name, tags.separator) == ("tags", ";")
    assert len({column.stored for column in (*own, number, tags)}) == 5
