"""Turns one Arrow column of the log into what a tf.Example holds. No file is known here.

A missing value is null in every result and never 0 or "": in the tf.Example it becomes a feature
without values, which every parser of TensorFlow reads as missing.
"""

import json
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pj

from taskroute.schemas.columns import RawColumn

# A number's magnitude tells the unit of an epoch: seconds stay below 1e11 until the year 5138.
_EPOCH_UNITS = ((1e11, 1), (1e14, 1_000), (1e17, 1_000_000), (np.inf, 1_000_000_000))

_TRUNCATED_AT = 60


class BadValue(Exception):  # noqa: N818 - caught by whoever knows the file and the row
    """A value, or with `index` None a whole column, that cannot be read as its kind."""

    def __init__(self, problem: str, index: int | None = None):
        super().__init__(problem)
        self.problem = problem
        self.index = index


def convert(values: pa.Array, column: RawColumn) -> pa.Array:
    """Makes the list array of a tf.Example's feature: null where the row has no value.

    Args:
        values: Any Arrow column, one entry a row.
        column: Its kind. `text`: at most one string. `texts`: any number of strings, from lists,
            from text that is a JSON array, or from text split at the separator; empty terms are
            dropped. `number`: at most one finite float32.

    Returns:
        list<binary> for texts, list<float32> for numbers, as long as `values`.

    Raises:
        BadValue: At the first value that is not of this kind.
    """
    values = _plain(values)
    if column.kind == "number":
        return _at_most_one(to_number(values))
    if column.kind == "text":
        return _at_most_one(to_text(values).cast(pa.binary()))
    return _to_texts(values, column.separator)


def to_text(values: pa.Array) -> pa.Array:
    """Reads a column as text: string array, null where missing (null, NaN, "").

    Whole floats lose their ".0", since pandas makes floats of integers beside missing values;
    booleans become "true" and "false".

    Raises:
        BadValue: If the column holds lists or objects, or bytes that are not UTF-8.
    """
    values = _plain(values)
    kind = values.type
    if _is_text(kind):
        try:
            texts = values.cast(pa.string())
        except pa.ArrowInvalid:
            raise BadValue("holds bytes that are not UTF-8 text") from None
    elif pa.types.is_floating(kind) or (pa.types.is_decimal(kind) and kind.scale > 0):
        texts = _float_to_text(values if kind == pa.float32() else values.cast(pa.float64()))
    elif _is_scalar(kind):
        texts = values.cast(pa.string())
    else:
        raise BadValue(f"holds {_describe(kind)} where text is asked for")
    return _blank_out(texts, pc.equal(texts, ""))


def to_number(values: pa.Array) -> pa.Array:
    """Reads a column as float32, null where missing (null, NaN, ""); booleans are 0 and 1.

    Raises:
        BadValue: At the first text that is no number, or number that is not finite in float32.
    """
    values = _plain(values)
    kind = values.type
    if _is_text(kind):
        doubles = _text_to_double(to_text(values), values)
    elif pa.types.is_boolean(kind):
        doubles = values.cast(pa.uint8()).cast(pa.float64())
    elif _is_scalar(kind) and not pa.types.is_temporal(kind):
        doubles = values.cast(pa.float64(), safe=False)
    else:
        raise BadValue(f"holds {_describe(kind)} where a number is asked for")
    numbers = doubles.cast(pa.float32(), safe=False)
    infinite = pc.is_inf(numbers)
    if pc.any(infinite).as_py():
        index = infinite.index(True).as_py()
        raise BadValue(f"{_show(values, index)} is not a finite number", index)
    return _blank_out(numbers, pc.is_nan(numbers))


def to_seconds(values: pa.Array) -> np.ndarray:
    """Reads a timestamp column as whole seconds since 1970, int64, one a row.

    Takes Arrow timestamps and dates, ISO 8601 text (UTC where it names no zone), and numbers or
    their text: an epoch below 1e11 is in seconds, below 1e14 in milliseconds, below 1e17 in
    microseconds, else in nanoseconds.

    Raises:
        BadValue: At the first row whose timestamp is missing or cannot be read.
    """
    values = _plain(values)
    kind = values.type
    if _is_text(kind):
        return _text_to_seconds(to_text(values), values)
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        _refuse_missing(values)
        return _floor_to_seconds(values)
    if _is_scalar(kind) and not pa.types.is_temporal(kind) and not pa.types.is_boolean(kind):
        return _epoch_to_seconds(values.cast(pa.float64(), safe=False), values)
    raise BadValue(f"holds {_describe(kind)} where a timestamp is asked for")


def to_key(values: pa.Array) -> pa.Array:
    """Reads a split key as text: string array without a null.

    Raises:
        BadValue: At the first row whose key is missing.
    """
    texts = to_text(values)
    _refuse_missing(texts)
    return texts


def value_text(value: Any) -> str | None:
    """Text of one JSON value, as `to_text` writes it; None where missing.

    Raises:
        BadValue: If it is a list or an object.
    """
    if isinstance(value, list | dict):
        raise BadValue(f"holds {'a list' if isinstance(value, list) else 'an object'}")
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)  # of any size; Arrow ends at 64 bits
    return to_text(pa.array([value])).to_pylist()[0]


def _plain(values: pa.Array) -> pa.Array:
    """Without dictionary encoding."""
    return values.dictionary_decode() if isinstance(values, pa.DictionaryArray) else values


def _is_text(kind: pa.DataType) -> bool:
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


def _is_scalar(kind: pa.DataType) -> bool:
    return pa.types.is_primitive(kind) or pa.types.is_decimal(kind) or pa.types.is_null(kind)


def _is_list(kind: pa.DataType) -> bool:
    return (
        pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    )


def _describe(kind: pa.DataType) -> str:
    if _is_list(kind):
        return "lists"
    if pa.types.is_struct(kind) or pa.types.is_map(kind):
        return "objects"
    return f"values of type {kind}"


def _blank_out(values: pa.Array, mask: pa.Array) -> pa.Array:
    """Null where the mask is set. Not `if_else`: Arrow 18 breaks on a slice of texts."""
    return pc.replace_with_mask(values, mask, pa.scalar(None, values.type))


def _show(values: pa.Array, index: int) -> str:
    text = repr(values[index].as_py())
    return text if len(text) <= _TRUNCATED_AT else f"{text[:_TRUNCATED_AT]}..."


def _refuse_missing(values: pa.Array) -> None:
    if values.null_count:
        raise BadValue("is missing", values.is_null().index(True).as_py())


def _float_to_text(floats: pa.Array) -> pa.Array:
    floats = _blank_out(floats, pc.is_nan(floats))
    is_whole = pc.and_(pc.equal(pc.floor(floats), floats), pc.less(pc.abs(floats), 2.0**63))
    whole = pc.if_else(is_whole, floats, pa.scalar(0, floats.type)).cast(pa.int64())
    return pc.if_else(is_whole, whole.cast(pa.string()), floats.cast(pa.string()))


def _text_to_double(texts: pa.Array, values: pa.Array) -> pa.Array:
    texts = pc.utf8_trim_whitespace(texts)
    texts = _blank_out(texts, pc.equal(texts, ""))
    doubles = _cast(texts, pa.float64())
    if doubles is None:  # booleans as pandas and SQL write them?
        lower = pc.utf8_lower(texts)
        texts = pc.replace_with_mask(texts, pc.equal(lower, "true"), "1")
        texts = pc.replace_with_mask(texts, pc.equal(lower, "false"), "0")
        doubles = _cast(texts, pa.float64())
    if doubles is None:
        index = _first_that_fails(texts, pa.float64())
        raise BadValue(f"{_show(values, index)} is not a number", index)
    return doubles


def _cast(texts: pa.Array, kind: pa.DataType) -> pa.Array | None:
    """None where a text is not of this kind."""
    try:
        return texts.cast(kind)
    except pa.ArrowInvalid:
        return None


def _first_that_fails(texts: pa.Array, kind: pa.DataType) -> int:
    """Index of the first text that cannot be cast, by bisection: there must be one."""
    low, high = 0, len(texts)
    while high - low > 1:
        middle = (low + high) // 2
        if _cast(texts.slice(low, middle - low), kind) is not None:
            low = middle
        else:
            high = middle
    return low


def _text_to_seconds(texts: pa.Array, values: pa.Array) -> np.ndarray:
    texts = pc.utf8_trim_whitespace(texts)
    _refuse_missing(texts)
    seconds = _uniform_text_to_seconds(texts)
    if seconds is not None:
        return seconds
    seconds = np.empty(len(texts), np.int64)
    for index in range(len(texts)):
        try:
            second = _uniform_text_to_seconds(texts.slice(index, 1))
        except BadValue as error:
            raise BadValue(error.problem, index) from None
        if second is None:
            raise BadValue(f"{_show(values, index)} is not a timestamp", index)
        seconds[index] = second[0]
    return seconds


def _uniform_text_to_seconds(texts: pa.Array) -> np.ndarray | None:
    """None where the texts are not all of one form."""
    # Nanoseconds, since Arrow reads no more digits of a fraction than the unit has.
    for kind in (pa.timestamp("ns"), pa.timestamp("ns", "UTC")):
        times = _cast(texts, kind)
        if times is not None:
            return _floor_to_seconds(times)
    epochs = _cast(texts, pa.float64())
    return None if epochs is None else _epoch_to_seconds(epochs, texts)


def _floor_to_seconds(times: pa.Array) -> np.ndarray:
    if not pa.types.is_timestamp(times.type):
        times = times.cast(pa.timestamp("s"))
    per_second = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}[times.type.unit]
    return np.asarray(times.cast(pa.int64())) // per_second


def _epoch_to_seconds(epochs: pa.Array, values: pa.Array) -> np.ndarray:
    _refuse_missing(epochs)
    numbers = np.asarray(epochs)
    if np.isnan(numbers).any():
        raise BadValue("is missing", int(np.isnan(numbers).argmax()))
    if np.isinf(numbers).any():
        index = int(np.isinf(numbers).argmax())
        raise BadValue(f"{_show(values, index)} is not a timestamp", index)
    bounds, divisors = (np.asarray(side) for side in zip(*_EPOCH_UNITS, strict=True))
    unit = np.searchsorted(bounds, np.abs(numbers), side="right")
    return np.floor(numbers / divisors[unit]).astype(np.int64)


def _at_most_one(values: pa.Array) -> pa.Array:
    present = np.asarray(values.is_valid())
    return _make_lists(values.drop_null(), present.astype(np.int32))


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
    elif _is_text(kind):
        lists = _split_texts(to_text(values), separator)
    else:
        return _at_most_one(to_text(values).cast(pa.binary()))
    terms = to_text(lists.flatten())
    present = np.asarray(terms.is_valid())
    rows = np.repeat(np.arange(len(lists)), _lengths(lists))
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
    for element in (pa.string(), pa.int64(), pa.float64()):
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
    lists = []
    for text, row in zip(texts, rows.tolist(), strict=True):
        try:
            lists.append([value_text(value) for value in json.loads(text)])
        except (ValueError, RecursionError):
            shown = _show(pa.array([text]), 0)
            raise BadValue(
                f"{shown} is not a JSON array; write the terms as JSON or with a separator", row
            ) from None
        except BadValue as error:
            raise BadValue(f"{error.problem} inside its list", row) from None
    return pa.array(lists, pa.list_(pa.string()))
