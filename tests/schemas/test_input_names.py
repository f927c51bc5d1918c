"""Safe names, and the names that a config takes."""

import keyword

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from taskroute.schemas.base import Column, Name
from taskroute.schemas.features import CategoricalFeature
from taskroute.schemas.input_names import input_names, safe_name


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("user_id", "user_id"),
        ("User", "User"),
        ("user.id", "user_id"),
        ("X-Device", "X_Device"),
        ("Größe (cm)", "Groesse_cm"),
        ("café au lait", "cafe_au_lait"),
        ('"q"', "q"),
        ("class", "class_"),
        ("self", "self_"),
        ("None", "None_"),
        ("2024 clicks", "column_2024_clicks"),
        ("_x", "x"),
        ("x/y", "x_y"),
    ],
)
def test_a_safe_name_is_near_the_column(text, name):
    assert safe_name(text) == name


def test_text_without_latin_letters_gets_a_digest():
    names = {safe_name("ユーザー"), safe_name("商品"), safe_name("🙂")}
    assert len(names) == 3
    assert all(name.startswith("column_") and name.isidentifier() for name in names)


@given(st.lists(st.text(min_size=1), unique=True, max_size=8))
def test_every_safe_name_is_an_identifier_of_its_own(columns):
    names = list(input_names(columns).values())
    assert len({name.lower() for name in names}) == len(columns)
    for name in names:
        assert name.isidentifier()
        assert name.isascii()
        assert name[0].isalpha()
        assert not keyword.iskeyword(name)


@given(st.lists(st.text(min_size=1), unique=True, max_size=6), st.randoms())
def test_names_do_not_depend_on_the_order(columns, random):
    shuffled = random.sample(columns, len(columns))
    assert input_names(shuffled) == input_names(columns)


def test_of_colliding_columns_the_safe_one_keeps_its_name():
    names = input_names(["user.id", "user-id", "user_id"])
    assert names["user_id"] == "user_id"
    assert names["user.id"].startswith("user_id_")
    assert names["user-id"].startswith("user_id_")
    assert input_names(["User", "user"])["user"] == "user"


def test_a_digest_that_is_a_column_too_is_told_apart():
    taken = input_names(["user.id", "user-id"])["user.id"]
    names = input_names(["user.id", "user-id", taken])
    assert names[taken] == taken
    assert len(set(names.values())) == 3


@pytest.mark.parametrize("column", ["a b", "Größe (cm)", "ユーザー", "class", '"q"', "x/y", "🙂"])
def test_a_column_may_have_any_name(column):
    assert TypeAdapter(Column).validate_python(column) == column


@pytest.mark.parametrize(
    ("column", "sentence"),
    [("", "is empty"), ("a\nb", "holds a line end"), ("x" * 2000, "has 2,000 characters")],
)
def test_a_column_that_cannot_work_is_refused_in_words(column, sentence):
    with pytest.raises(ValidationError, match=sentence):
        TypeAdapter(Column).validate_python(column)


@pytest.mark.parametrize("name", ["Größe (cm)", "user.id", "", "1a", "x" * 65, "a\n"])
def test_a_wrong_name_is_refused_with_one_that_would_do(name):
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(Name).validate_python(name)
    message = caught.value.errors()[0]["msg"]
    assert "pattern" not in message
    assert f"as '{safe_name(name)}' has" in message
    TypeAdapter(Name).validate_python(safe_name(name))


def test_a_feature_has_its_columns_name_where_that_can_be_one():
    feature = CategoricalFeature(column="country", kind="categorical", hash_buckets=5)
    assert feature.name == "country"


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"column": "user.id"}, "give `name`: the column 'user.id' .* 'user_id' would do"),
        ({"name": "user.id"}, "write `name: user_id` and `column: user.id`"),
    ],
)
def test_a_feature_without_a_name_gets_a_proposal(fields, sentence):
    with pytest.raises(ValidationError, match=sentence):
        CategoricalFeature(kind="categorical", hash_buckets=5, **fields)
