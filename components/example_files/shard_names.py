"""The names of a split's shards, which say from which span of the log their rows are."""

import re

_SPAN = re.compile(r"data-([\d-]+)_tfrecord-")


def shard_name(index: int, count: int, span: str | None = None) -> str:
    """The name of one of `count` shards; they sort by span, oldest first.

    Args:
        index: From 0, over all spans.
        count: Shards of the split.
        span: A day, or a number; None where the log has no spans.
    """
    data = "data" if span is None else f"data-{span.zfill(10)}"
    return f"{data}_tfrecord-{index:05d}-of-{count:05d}.gz"


def span_of(path: str) -> str | None:
    """The span that a shard's rows are from, as it sorts; None where its name says none."""
    match = _SPAN.match(path.rpartition("/")[2])
    return match[1] if match else None
