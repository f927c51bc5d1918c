"""Tables that features have in common, and products of what they hold: what fits together."""

import pytest
from pydantic import ValidationError

from taskroute.schemas.analysis import vocabulary_of
from taskroute.schemas.embedding_tables import embedded_width
from taskroute.schemas.recommender import DataConfig, ModelConfig

IDS = {"name": "ids", "rows": 100, "embedding_dim": 16, "num_hashes": 2}
USER = {"name": "user", "kind": "categorical", "table": "ids"}
ITEM = {"name": "item", "kind": "categorical", "vocabulary": {}, "embedding_dim": 8}
HISTORY = {"name": "history", "kind": "sequence", "shares": "user"}
HOUR = {"name": "hour", "kind": "bucket", "boundaries": [6], "embedding_dim": 8}
AGE = {"name": "age", "kind": "dense"}
TASKS = [{"name": "click", "label": {"column": "clicked"}}]


def model(*features, **fields):
    return ModelConfig.model_validate({"features": features, "tasks": TASKS, **fields})


def refusal(*features, **fields):
    with pytest.raises(ValidationError) as error:
        model(*features, **fields)
    first = error.value.errors()[0]
    path = "".join(f"{part}: " for part in first["loc"] if isinstance(part, str))
    return path + first["msg"].removeprefix("Value error, ")


@pytest.mark.parametrize(
    ("features", "tables", "message"),
    [
        (
            [USER, {**USER, "name": "other", "table": "idz"}],
            [IDS],
            "features[1].table: 'idz' is not the name of one of `tables`",
        ),
        ([USER], [], "features[0].table: 'ids' is not the name of one of `tables`"),
        (
            [ITEM],
            [IDS],
            "tables[0]: no feature has `table: ids`; give it one or leave the table out",
        ),
        ([USER], [IDS, IDS], "tables: the name 'ids' is used more than once"),
        (
            [{**USER, "embedding_dim": 16}],
            [IDS],
            "features: categorical: embedding_dim: is that of the table 'ids'; leave it out",
        ),
        (
            [{**USER, "hash_buckets": 10}],
            [IDS],
            "features: categorical: give either `vocabulary` or `hash_buckets` or `table` or "
            "`shares`; only `vocabulary` and `table` go together",
        ),
        (
            [ITEM, {**USER, "shares": "item"}],
            [IDS],
            "features: categorical: give either `vocabulary` or",
        ),
        (
            [USER],
            [{**IDS, "num_hashes": 3}],
            "tables: `embedding_dim` must be a multiple of `num_hashes`, 3, which are the rows "
            "that make it up; 16 is none",
        ),
        ([USER], [{**IDS, "rows": 0}], "tables: rows: Input should be greater than 0"),
        (
            [USER],
            [{**IDS, "rows": 2**31 + 1}],
            "tables: rows: Input should be less than or equal to 2147483648",
        ),
    ],
)
def test_what_does_not_fit_is_named_in_one_sentence(features, tables, message):
    found = refusal(*features, tables=tables)
    assert found.startswith(message)
    assert "\n" not in found


def test_a_table_goes_with_a_vocabulary_and_survives_json():
    user = {**USER, "vocabulary": {"min_count": 5}}
    config = model(user, HISTORY, ITEM, HOUR, AGE, tables=[IDS], interaction={"kind": "cross"})
    assert ModelConfig.model_validate_json(config.model_dump_json()) == config
    assert vocabulary_of(config.features[0]).min_count == 5
    widths = [embedded_width(f, config.features, config.tables) for f in config.features]
    assert widths == [16, 16, 8, 8, 0]


def test_the_size_of_a_table_is_no_matter_of_the_transformed_data():
    """Or a change of it would transform the log anew."""
    small, large = (model(USER, tables=[{**IDS, "rows": rows}]) for rows in (10, 1_000))
    data = [DataConfig(features=x.features, tasks=x.tasks) for x in (small, large)]
    assert data[0] == data[1]
    assert "tables" not in DataConfig.model_fields


@pytest.mark.parametrize(
    ("features", "message"),
    [
        (
            [ITEM, AGE, {**HOUR, "embedding_dim": 4}],
            "interaction.kind: dot needs one `embedding_dim` for all features that have "
            "embeddings; that of 'item' is 8 and that of 'hour' 4",
        ),
        (
            [ITEM, USER],
            "interaction.kind: dot needs one `embedding_dim` for all features that have "
            "embeddings; that of 'item' is 8 and that of 'user' 16",
        ),
        ([ITEM, AGE], "interaction.kind: dot multiplies embeddings with one another and needs"),
    ],
)
def test_dot_says_what_widths_it_needs(features, message):
    tables = [IDS] if USER in features else []
    assert refusal(*features, tables=tables, interaction={"kind": "dot"}).startswith(message)


@pytest.mark.parametrize(
    "interaction", [{"kind": "cross", "layers": 9}, {"kind": "cross", "rank": 0}, {"kind": "fm"}]
)
def test_an_interaction_outside_its_range_is_refused(interaction):
    assert refusal(ITEM, interaction=interaction).startswith("interaction: ")


def test_dot_takes_widths_that_are_equal_whatever_they_are_made_of():
    tables = [{**IDS, "embedding_dim": 8, "num_hashes": 4}]
    config = model(USER, ITEM, HISTORY, HOUR, AGE, tables=tables, interaction={"kind": "dot"})
    assert config.interaction.kind == "dot"
    assert model(ITEM).interaction is None
