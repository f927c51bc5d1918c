"""Conversion of one Arrow column."""

import datetime
import decimal
import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from taskroute.components.logs.bad_rows import BadValues
from taskroute.components.logs.conversions import LONGEST_TERM, convert, to_key, to_number, to_text
from taskroute.schemas.columns import RawColumn


def _converted(values, kind, separator=None):
    return convert(values, RawColumn("x", kind, separator)).to_pylist()


class TestText:
    def test_a_text_becomes_a_list_of_one(self):
        assert _converted(pa.array(["a", "é"]), "text") == [[b"a"], ["é".encode()]]

    @pytest.mark.parametrize(
        "values",
        [
            pa.array(["a", None, ""]),
            pa.array(["a", None, ""], pa.large_string()),
            pa.array(["a", None, ""], pa.string_view()),
            pa.array([b"a", None, b""]),
            pa.array(["a", None, ""]).dictionary_encode(),
        ],
        ids=lambda values: str(values.type),
    )
    def test_null_and_empty_text_are_missing(self, values):
        assert _converted(values, "text") == [[b"a"], None, None]

    def test_whole_floats_lose_their_fraction(self):
        values = pa.array([3.0, -0.0, 2.5, float("nan"), None, 9007199254740993.0])
        assert to_text(values).to_pylist() == ["3", "0", "2.5", None, None, "9007199254740992"]

    def test_a_float32_has_its_short_text(self):
        assert to_text(pa.array([0.1, 7.0], pa.float32())).to_pylist() == ["0.1", "7"]

    def test_integers_are_exact_to_64_bits(self):
        assert to_text(pa.array([2**64 - 1], pa.uint64())).to_pylist() == ["18446744073709551615"]

    def test_decimals_are_numbers(self):
        whole = pa.array([decimal.Decimal(10**20)], pa.decimal128(38, 0))
        assert to_text(whole).to_pylist() == ["100000000000000000000"]
        cents = pa.array([decimal.Decimal("3.00"), decimal.Decimal("2.50")])
        assert to_text(cents).to_pylist() == ["3", "2.5"]

    def test_booleans_are_words(self):
        assert to_text(pa.array([True, False, None])).to_pylist() == ["true", "false", None]

    def test_the_word_nan_is_a_text(self):
        assert to_text(pa.array(["NaN"])).to_pylist() == ["NaN"]

    def test_a_column_without_any_value_is_missing(self):
        assert _converted(pa.nulls(2), "text") == [None, None]

    @pytest.mark.parametrize("values", [pa.array([["a"]]), pa.array([{"a": 1}])])
    def test_lists_and_objects_are_refused(self, values):
        with pytest.raises(BadValues, match=r"holds (lists|objects) where text is asked for"):
            to_text(values)

    def test_bytes_that_are_no_utf_8_are_refused(self):
        with pytest.raises(BadValues, match="UTF-8") as error:
            to_text(pa.array([b"a", b"\xff", None, b"\xc3\xa9", b"\xed\xa0\x80"]))
        assert error.value.rows.tolist() == [1, 4]

    def test_a_term_too_long_for_a_vocabulary_is_refused(self):
        longest = "a" * LONGEST_TERM
        assert _converted(pa.array([longest]), "text") == [[longest.encode()]]
        for values in (pa.array(["b", longest + "a"]), pa.array([["b"], ["c", longest + "a"]])):
            with pytest.raises(BadValues, match="is longer than") as error:
                _converted(values, "texts")
            assert error.value.rows.tolist() == [1]


class TestNumber:
    @pytest.mark.parametrize(
        "values",
        [
            pa.array([0, None, 2]),
            pa.array([0.0, float("nan"), 2.0]),
            pa.array([0.0, None, 2.0], pa.float32()),
            pa.array(["0", "", " 2 "]),
            pa.array(["0", "nan", "2.0"]),
            pa.array([0, None, 2], pa.decimal128(5, 2)),
        ],
        ids=lambda values: str(values.type),
    )
    def test_zero_stays_apart_from_missing(self, values):
        assert _converted(values, "number") == [[0.0], None, [2.0]]

    def test_booleans_are_zero_and_one(self):
        assert _converted(pa.array([True, False, None]), "number") == [[1.0], [0.0], None]
        texts = pa.array(["True", "false", "", "0.5"])
        assert _converted(texts, "number") == [[1.0], [0.0], None, [0.5]]

    def test_numbers_are_float32(self):
        assert convert(pa.array([0.1]), RawColumn("x", "number")).type == pa.list_(pa.float32())
        assert to_number(pa.array([0.1])).to_pylist() == [float(np.float32(0.1))]

    @pytest.mark.parametrize("bad", ["x", "1,5", "0x10", "1_0", "--1", "[1]"])
    def test_text_that_is_no_number_is_named(self, bad):
        with pytest.raises(BadValues, match="is not a number") as error:
            to_number(pa.array(["1"] * 70 + [None, bad, "2", "y"]))
        assert error.value.rows.tolist() == [71, 73]

    @pytest.mark.parametrize(
        "values",
        [
            pa.array([1.0, float("inf")]),
            pa.array([1.0, -1e39]),
            pa.array(["1", "-Infinity"]),
            pa.array(["1", "1e400"]),
        ],
    )
    def test_a_number_beyond_float32_is_named(self, values):
        with pytest.raises(BadValues, match="is not a finite number") as error:
            to_number(values)
        assert error.value.rows.tolist() == [1]
        assert error.value.reason == "not_finite"

    def test_all_texts_that_are_no_number_are_named_at_once(self):
        texts = ["1", "NA", "2.", "1.2.3", None, "NA", "true", "-", ""] * 100
        with pytest.raises(BadValues) as error:
            to_number(pa.array(texts))
        bad = [row for row, text in enumerate(texts) if text in ("NA", "1.2.3", "-")]
        assert error.value.rows.tolist() == bad

    @pytest.mark.parametrize("values", [pa.array([[1.0]]), pa.array([datetime.date(2024, 1, 1)])])
    def test_what_is_no_number_by_type_is_refused(self, values):
        with pytest.raises(BadValues, match="where a number is asked for"):
            to_number(values)

    @settings(deadline=None)
    @given(st.lists(st.one_of(st.none(), st.floats(width=32, allow_infinity=False), st.booleans())))
    def test_text_and_typed_numbers_agree(self, values):
        numbers = [None if value is None else float(value) for value in values]
        texts = ["" if value is None else repr(value) for value in values]
        expected = [None if n is None or math.isnan(n) else n for n in numbers]
        assert to_number(pa.array(numbers, pa.float64())).to_pylist() == expected
        assert to_number(pa.array(texts, pa.string())).to_pylist() == expected

    @settings(deadline=None)
    @given(st.text())
    @example("1e39")
    @example("\t-1.5e-3\n")
    @example("tRuE")
    def test_a_text_is_read_as_python_reads_it_or_refused(self, text):
        try:
            number = to_number(pa.array([text])).to_pylist()[0]
        except BadValues:
            return
        word = text.strip().lower()
        if number is None:
            assert word in ("", "nan", "+nan", "-nan")
        elif word in ("true", "false"):
            assert number == (word == "true")
        else:
            assert number == float(np.float32(float(word)))


class TestTexts:
    @pytest.mark.parametrize(
        "values",
        [
            pa.array([["a", "b"], [], None, ["", None, "c"]]),
            pa.array([["a", "b"], [], None, ["", None, "c"]], pa.large_list(pa.large_string())),
            pa.array(["a|b", "", None, "|c|"]),
            pa.array(['["a", "b"]', "[]", None, '["", null, "c"]']),
            pa.array(['["a",\n "b"]', " [] ", None, "|c|"]),
        ],
        ids=["list", "large_list", "separated", "json", "both"],
    )
    def test_all_forms_give_the_same_terms(self, values):
        assert _converted(values, "texts", "|") == [[b"a", b"b"], None, None, [b"c"]]

    def test_a_slice_of_lists_keeps_its_rows(self):
        values = pa.array([["a"], ["b", "c"], None, ["d"]]).slice(1, 3)
        assert _converted(values, "texts") == [[b"b", b"c"], None, [b"d"]]

    def test_fixed_size_lists_are_lists(self):
        values = pa.array([["a", "b"], None], pa.list_(pa.string(), 2))
        assert _converted(values, "texts") == [[b"a", b"b"], None]

    def test_numbers_in_lists_become_text(self):
        assert _converted(pa.array([[1.0, 2.5], [float("nan")]]), "texts") == [[b"1", b"2.5"], None]
        assert _converted(pa.array(["[1, 2]", "[3]"]), "texts") == [[b"1", b"2"], [b"3"]]
        assert _converted(pa.array(["[1.0, 2.5]"]), "texts") == [[b"1", b"2.5"]]

    def test_json_arrays_of_any_mixture_are_read(self):
        values = pa.array(['["a", 1, true, null, 2.0]', "b|c", "[18446744073709551616]"])
        assert _converted(values, "texts", "|") == [
            [b"a", b"1", b"true", b"2"],
            [b"b", b"c"],
            [b"18446744073709551616"],
        ]

    def test_json_text_that_looks_like_a_time_stays_text(self):
        assert _converted(pa.array(['["2024-01-01"]']), "texts") == [[b"2024-01-01"]]

    def test_a_number_is_a_list_of_one(self):
        assert _converted(pa.array([7, None]), "texts") == [[b"7"], None]

    def test_without_a_separator_a_text_is_one_term(self):
        assert _converted(pa.array(["a|b", None]), "texts") == [[b"a|b"], None]

    @pytest.mark.parametrize("bad", ["['a', 'b']", '["a"', '[1],"x":[2]', '[1]}\n{"v":[2]'])
    def test_brackets_that_are_no_json_are_named(self, bad):
        bad = bad if bad.endswith("]") else bad + "]]"
        with pytest.raises(BadValues, match="is not a JSON array") as error:
            _converted(pa.array(["a|b", "[1]", bad]), "texts", "|")
        assert error.value.rows.tolist() == [2]

    def test_lists_in_lists_are_refused(self):
        with pytest.raises(BadValues, match="is not a JSON array of single values") as error:
            _converted(pa.array(['["a"]', '[["a"]]']), "texts")
        assert error.value.rows.tolist() == [1]
        with pytest.raises(BadValues, match="holds lists where text is asked for"):
            _converted(pa.array([[["a"]]]), "texts")


_COLUMNS = [
    ("text", pa.array(["a", "", None, "bcd", "e"])),
    ("text", pa.array([b"a", b"", None, b"bcd", b"e"])),
    ("text", pa.array(["a", "", None, "bcd", "e"]).dictionary_encode()),
    ("text", pa.array([1.0, math.nan, None, 2.5, 30.0])),
    ("text", pa.array([1, 0, None, 12, 3])),
    ("number", pa.array(["1", "", None, "true", "3.5"])),
    ("number", pa.array([1.0, math.nan, None, 2.5, 30.0])),
    ("number", pa.array([True, False, None, True, False])),
    ("texts", pa.array(["a|bc", "", None, '["d", "e"]', "[1]"])),
    ("texts", pa.array([["a", "bc"], [], None, ["", "d"], ["e"]])),
    ("texts", pa.array([["a", "b"], None, ["", None], ["c", "d"], None], pa.list_(pa.string(), 2))),
    ("texts", pa.array([[1.0], [], None, [math.nan, 2.5], [3.0]])),
]


@pytest.mark.parametrize(
    ("kind", "values"), _COLUMNS, ids=lambda part: str(getattr(part, "type", part))
)
def test_a_slice_of_a_column_is_converted_as_the_whole(kind, values):
    column = RawColumn("x", kind, "|")
    whole = convert(values, column)
    whole.validate(full=True)
    for start in range(len(values)):
        for length in range(len(values) - start + 1):
            part = convert(values.slice(start, length), column)
            part.validate(full=True)
            assert part.to_pylist() == whole.slice(start, length).to_pylist()


def test_a_row_without_a_key_is_named():
    with pytest.raises(BadValues, match="is missing") as error:
        to_key(pa.array([1.0, float("nan")]))
    assert error.value.rows.tolist() == [1]
