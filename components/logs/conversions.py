"""Conversions of one Arrow column of the log into lists of an example's type.

A missing value is null in every result and never 0 or "".
"""

import json
import re
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pj

from taskroute.components.logs.bad_rows import BadValues, refuse_where
from taskroute.schemas.columns import RawColumn

# Matches every text that Arrow reads as a number, and a few more.
NUMBER = r"(?i)^[+-]?([\d.]+(e[+-]?\d+)?|inf(inity)?|nan(\(\w*\))?)$"

# A null as a row, on which Arrow 18 crashes; in a text it only costs time.
NULL_ROW = re.compile(rb"}\s*null")

_GROUP_MARK = "[. '\u00a0\u202f\u2019]"
_GROUPED = rf"^\s*[+-]?\d{{1,3}}({_GROUP_MARK}\d{{3}})+(,\d+)?\s*$"

LONGEST_TERM = 65_536  # bytes
_TRIED_FIRST = 4


def convert(values: pa.Array, column: RawColumn, decimal: str = ".") -> pa.Array:
    """Makes the list array of an example's column: null where the row has no value.

    Args:
        values: Arrow column of any type, one entry a row.
        column: Kind of the column. `text`: at most one string. `texts`: any number of strings, from
            lists, from text that is a JSON array, or from text split at the separator; empty terms
            are dropped. `number`: at most one finite float32.
        decimal: Mark before the decimals of a number in text.

    Returns:
        list<binary> for texts, list<float32> for numbers, as long as `values`.

    Raises:
        BadValues: If values are not of this kind; once for each thing that may be wrong.
    """
    values = plain(values)
    if column.kind == "number":
        return _at_most_one(to_number(values, decimal))
    if column.kind == "text":
        return _at_most_one(_refuse_long(to_text(values)).cast(pa.binary()))
    return _to_texts(values, column.separator)


def to_text(values: pa.Array) -> pa.Array:
    """Reads a column as text: string array, null where missing (null, NaN, "").

    Whole floats lose their ".0", since pandas makes floats of integers beside missing values;
    booleans become "true" and "false". A string column must be UTF-8 already; a binary one is
    checked.

    Raises:
        BadValues: If values are not UTF-8; or if the column holds lists or objects.
    """
    values = plain(values)
    kind = values.type
    if is_text(kind):
        try:
            texts = values.cast(pa.string())
        except pa.ArrowInvalid:
            bad = [not _is_utf8(value) for value in values.to_pylist()]
            raise BadValues("not_utf8", "is not UTF-8 text", np.flatnonzero(bad)) from None
    elif pa.types.is_floating(kind) or (pa.types.is_decimal(kind) and kind.scale > 0):
        texts = _float_to_text(values if kind == pa.float32() else values.cast(pa.float64()))
    elif is_scalar(kind):
        texts = values.cast(pa.string())
    else:
        raise BadValues("wrong_type", f"holds {describe(kind)} where text is asked for", None)
    return _blank_out(texts, pc.equal(texts, "")) if _has_blank(texts) else texts


def to_number(values: pa.Array, decimal: str = ".") -> pa.Array:
    """Reads a column as float32, null where missing (null, NaN, ""); booleans are 0 and 1.

    With a decimal comma, points, spaces and apostrophes between groups of three digits are
    thousands separators; another point is refused, since `1.5` may be a day or a mistake.

    Raises:
        BadValues: If texts are no numbers, or numbers not finite in float32; or if the column holds
            anything else.
    """
    values = plain(values)
    kind = values.type
    if is_text(kind):
        texts = to_text(values)
        doubles = _text_to_double(_with_point(texts) if decimal == "," else texts)
    elif pa.types.is_boolean(kind):
        doubles = values.cast(pa.uint8()).cast(pa.float64())
    elif is_scalar(kind) and not pa.types.is_temporal(kind):
        doubles = values.cast(pa.float64(), safe=False)
    else:
        raise BadValues("wrong_type", f"holds {describe(kind)} where a number is asked for", None)
    numbers = doubles.cast(pa.float32(), safe=False)
    infinite = np.isinf(numbers.to_numpy(zero_copy_only=False))
    refuse_where(infinite, "not_finite", "is not a finite number")
    is_nan = pc.is_nan(numbers)
    return _blank_out(numbers, is_nan) if pc.any(is_nan).as_py() else numbers


def to_key(values: pa.Array) -> pa.Array:
    """Reads a split key as text: string array without a null.

    Raises:
        BadValues: If keys are missing or are no text.
    """
    texts = to_text(values)
    refuse_missing(texts)
    return texts


def value_text(value: Any) -> str | None:
    """Text of one JSON value, as `to_text` writes it; None where missing.

    Raises:
        TypeError: If it is a list or an object; the message says which.
        UnicodeEncodeError: If it holds half of a surrogate pair.
    """
    match value:
        case str():
            value.encode()
            return value or None
        case list() | dict():
            raise TypeError(f"is {'a list' if isinstance(value, list) else 'an object'}")
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)  # of any size; Arrow ends at 64 bits
    return to_text(pa.array([value])).to_pylist()[0]


def plain(values: pa.Array) -> pa.Array:
    """Values without dictionary encoding."""
    return values.dictionary_decode() if isinstance(values, pa.DictionaryArray) else values


def is_text(kind: pa.DataType) -> bool:
    """True for strings and bytes."""
    return any(
        check(kind)
        for check in (
            pa.types.is_string,
            pa.types.is_large_string,
            pa.types.is_string_view,
            pa.types.is_binary,
            pa.types.is_large_binary,
            pa.types.is_binary_view,
        )
    )


def is_scalar(kind: pa.DataType) -> bool:
    """True for numbers, booleans, times and nulls."""
    return pa.types.is_primitive(kind) or pa.types.is_decimal(kind) or pa.types.is_null(kind)


def describe(kind: pa.DataType) -> str:
    """Words for an unexpected type."""
    if _is_list(kind):
        return "lists"
    if pa.types.is_struct(kind) or pa.types.is_map(kind):
        return "objects"
    return f"values of type {kind}"


def refuse_missing(values: pa.Array) -> None:
    """Raises BadValues if there are nulls."""
    refuse_where(np.asarray(values.is_null()), "missing", "is missing")


def cast_all(texts: pa.Array, kind: pa.DataType) -> pa.Array | None:
    """Reads texts as `kind`; None if one of them cannot be read."""
    # Arrow words an error for every text that fails, which takes longer than to read it.
    for some in (texts.slice(0, _TRIED_FIRST), texts):
        try:
            values = some.cast(kind)
        except pa.ArrowInvalid:
            return None
    return values


def cast_some(texts: pa.Array, kind: pa.DataType, pattern: str) -> tuple[pa.Array, np.ndarray]:
    """Reads the texts that can be read as `kind`.

    Args:
        texts: (N,) string; null counts as readable.
        kind: Type to read.
        pattern: Regular expression that all readable texts match, and few others.

    Returns:
        (M,) readable values, and (N,) bool: True at their places.
    """
    values = cast_all(texts, kind)
    if values is not None:
        return values, np.ones(len(texts), bool)
    is_read = np.array(pc.fill_null(pc.match_substring_regex(texts, pattern), True))
    likely = texts.filter(pa.array(is_read))
    values = cast_all(likely, kind)
    if values is None:
        coded = likely.dictionary_encode()
        terms = coded.dictionary
        fits = [cast_all(terms.slice(i, 1), kind) is not None for i in range(len(terms))]
        fits_by_row = np.asarray(pc.fill_null(pa.array(fits).take(coded.indices), True))
        is_read[is_read] = fits_by_row
        values = likely.filter(pa.array(fits_by_row)).cast(kind)
    return values, is_read


def _is_list(kind: pa.DataType) -> bool:
    return (
        pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    )


def _is_utf8(value: bytes | None) -> bool:
    try:
        return value is None or value.decode() is not None
    except UnicodeDecodeError:
        return False


def _blank_out(values: pa.Array, mask: pa.Array) -> pa.Array:
    """Sets null where the mask is set. Not `if_else`: Arrow 18 breaks on a slice of texts."""
    return pc.replace_with_mask(values, mask, pa.scalar(None, values.type))


def _has_blank(texts: pa.Array) -> bool:
    return pc.min(pc.binary_length(texts)).as_py() == 0


def _refuse_long(texts: pa.Array) -> pa.Array:
    lengths = pc.binary_length(texts)
    if (pc.max(lengths).as_py() or 0) > LONGEST_TERM:
        is_long = np.asarray(pc.fill_null(pc.greater(lengths, LONGEST_TERM), False))
        refuse_where(is_long, "too_long", f"is longer than {LONGEST_TERM:,} bytes")
    return texts


def _float_to_text(floats: pa.Array) -> pa.Array:
    floats = _blank_out(floats, pc.is_nan(floats))
    is_whole = pc.and_(pc.equal(pc.floor(floats), floats), pc.less(pc.abs(floats), 2.0**63))
    whole = pc.if_else(is_whole, floats, pa.scalar(0, floats.type)).cast(pa.int64())
    return pc.if_else(is_whole, whole.cast(pa.string()), floats.cast(pa.string()))


def _text_to_double(texts: pa.Array) -> pa.Array:
    doubles = cast_all(texts, pa.float64())
    if doubles is None:
        texts = pc.utf8_trim_whitespace(texts)
        texts = _blank_out(texts, pc.equal(texts, ""))
        doubles = cast_all(texts, pa.float64())
    if doubles is None:  # booleans as pandas and SQL write them?
        lower = pc.utf8_lower(texts)
        texts = pc.replace_with_mask(texts, pc.equal(lower, "true"), "1")
        texts = pc.replace_with_mask(texts, pc.equal(lower, "false"), "0")
        doubles, is_read = cast_some(texts, pa.float64(), NUMBER)
        refuse_where(~is_read, "not_a_number", "is not a number")
    return doubles


def _with_point(texts: pa.Array) -> pa.Array:
    """Numbers with a decimal comma, written with a point."""
    if pc.any(pc.match_substring_regex(texts, _GROUP_MARK)).as_py():
        is_grouped = pc.fill_null(pc.match_substring_regex(texts, _GROUPED), False)
        joined = pc.replace_substring_regex(texts, _GROUP_MARK, "")
        has_point = pc.fill_null(pc.match_substring(texts, "."), False)
        unclear = pc.and_not(has_point, is_grouped)
        refuse_where(np.asarray(unclear), "not_a_number", "is not a number with a decimal comma")
        texts = pc.if_else(is_grouped, joined, texts)
    return pc.replace_substring(texts, ",", ".")


def _at_most_one(values: pa.Array) -> pa.Array:
    present = np.asarray(values.is_valid())
    terms = values.drop_null() if values.null_count else values
    return _make_lists(terms, present.astype(np.int32))


def _make_lists(terms: pa.Array, counts: np.ndarray) -> pa.Array:
    """Groups `terms`, in order, into lists of `counts` lengths; a list of none is null."""
    offsets = np.zeros(len(counts) + 1, np.int32)
    np.cumsum(counts, out=offsets[1:])
    return pa.ListArray.from_arrays(pa.array(offsets), terms, mask=pa.array(counts == 0))


def _lengths(lists: pa.Array) -> np.ndarray:
    return np.asarray(pc.fill_null(lists.value_lengths(), 0))


def _to_texts(values: pa.Array, separator: str | None) -> pa.Array:
    kind = values.type
    if _is_list(kind):
        lists = values.cast(pa.list_(kind.value_type))
    elif is_text(kind):
        lists = _split_texts(to_text(values), separator)
    else:
        return _at_most_one(to_text(values).cast(pa.binary()))
    rows = np.repeat(np.arange(len(lists)), _lengths(lists))
    try:
        terms = _refuse_long(to_text(lists.flatten()))
    except BadValues as error:
        bad = None if error.rows is None else np.unique(rows[error.rows])
        raise BadValues(error.reason, error.problem, bad) from None
    present = np.asarray(terms.is_valid())
    counts = np.bincount(rows[present], minlength=len(lists)).astype(np.int32)
    return _make_lists(terms.drop_null().cast(pa.binary()), counts)


def _split_texts(texts: pa.Array, separator: str | None) -> pa.Array:
    """list<string>, from JSON arrays and from text split at the separator."""
    trimmed = pc.utf8_trim_whitespace(texts)
    brackets = pc.and_(pc.starts_with(trimmed, "["), pc.ends_with(trimmed, "]"))
    is_json = np.asarray(pc.fill_null(brackets, False))
    rest = pa.array(~is_json)
    if separator is None:
        split = _make_lists(texts.filter(rest), np.ones(int((~is_json).sum()), np.int32))
    else:
        split = pc.split_pattern(texts.filter(rest), separator)
    if not is_json.any():
        return split
    json_rows = np.flatnonzero(is_json)
    lists = _parse_json_lists(trimmed.filter(pa.array(is_json)), json_rows)
    order = np.argsort(np.concatenate([json_rows, np.flatnonzero(~is_json)]))
    return pa.concat_arrays([lists, split]).take(pa.array(order))


def _parse_json_lists(texts: pa.Array, rows: np.ndarray) -> pa.Array:
    # Arrow's parser reads one object a line and one type of element.
    one_line = pc.replace_substring_regex(texts, "[\r\n]", " ")
    lines = pc.binary_join_element_wise('{"v":', one_line, "}", "").to_pylist()
    block = pa.py_buffer("\n".join(lines).encode())
    elements = (pa.string(), pa.int64(), pa.float64())
    for element in () if NULL_ROW.search(block) else elements:
        try:
            table = pj.read_json(
                block,
                pj.ReadOptions(use_threads=False, block_size=block.size + 1),
                pj.ParseOptions(
                    explicit_schema=pa.schema({"v": pa.list_(element)}),
                    unexpected_field_behavior="error",
                ),
            )
        except pa.ArrowInvalid:
            continue
        if table.num_rows == len(texts):
            lists = table["v"].combine_chunks()
            return _make_lists(to_text(lists.flatten()), _lengths(lists))
    return _parse_mixed_json_lists(texts.to_pylist(), rows)


def _parse_mixed_json_lists(texts: list[str], rows: np.ndarray) -> pa.Array:
    lists: list[list[str | None] | None] = []
    bad = []
    for text, row in zip(texts, rows.tolist(), strict=True):
        try:
            lists.append([value_text(value) for value in json.loads(text)])
        except (ValueError, TypeError, RecursionError):
            bad.append(row)
    if bad:
        raise BadValues(
            "not_a_list",
            "is not a JSON array of single values; write the terms so or with a separator",
            np.asarray(bad),
        )
    return pa.array(lists, pa.list_(pa.string()))
