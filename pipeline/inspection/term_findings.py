"""Search of `taskroute check` for one id that is written in two ways."""

import re
from collections.abc import Iterator

from taskroute.pipeline.inspection.log_sample import LogSample
from taskroute.schemas.findings import Finding
from taskroute.schemas.recommender import RecommenderConfig

_WHOLE_FLOAT = re.compile(rb"(-?\d+)\.0+")


def find_split_ids(config: RecommenderConfig, sample: LogSample) -> Iterator[Finding]:
    """Finds columns of text where both `17` and `17.0` occur.

    Text is kept as the log has it, since 1.0 and 1 may be two versions of something. Mostly they
    are one id: a table of integers with missing values was written as floats.
    """
    for column, terms in sorted(sample.terms.items()):
        pairs = sorted(
            (match[1], term)
            for term in terms
            if (match := _WHOLE_FLOAT.fullmatch(term)) and match[1] in terms
        )
        if pairs:
            whole, decimal = (text.decode() for text in pairs[0])
            more = f" (and {len(pairs) - 1:,} more such pairs)" if len(pairs) > 2 else ""
            yield Finding(
                kind="terms",
                subject=column,
                sentence=(
                    f"column '{column}': '{whole}' and '{decimal}' are two terms{more}; if they "
                    "are one id, write it without .0 in the log and in requests"
                ),
            )
