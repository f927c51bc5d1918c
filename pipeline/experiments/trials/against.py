"""A variant against a reference, paired by seed, and what of it holds where many are tested."""

from collections.abc import Mapping, Sequence

from pydantic import Field

from taskroute.pipeline.experiments.trials.paired import holm, paired_difference
from taskroute.schemas.base import Config

NO_DIFFERENCE = "no difference"

# By seed; None where a metric is undefined.
BySeed = Mapping[int, float | None]


class Against(Config):
    """A variant less a reference, paired by seed; the interval is Student's and not corrected."""

    reference: str
    difference: float
    low: float
    high: float
    p_value: float
    holm_p_value: float = Field(description="Corrected for all tests that are made together.")
    num_seeds: int
    verdict: str = Field(
        description="`better` or `worse` where the interval leaves 0 out, else `no difference`."
    )
    holds: bool = Field(description="Whether the verdict holds after Holm's correction.")


def against(
    reference: str, ours: BySeed, theirs: BySeed, better: int, confidence: float
) -> Against | None:
    """Tests a difference; None where two seeds are not known, or the difference does not vary.

    Args:
        reference: Name of the other.
        ours: Values of the variant.
        theirs: Values of the reference.
        better: 1 where more is better, -1 where less is.
        confidence: Of the interval.
    """
    pairs = [(ours[seed], theirs.get(seed)) for seed in ours]
    known = [(a, b) for a, b in pairs if a is not None and b is not None]
    found = paired_difference([a for a, _ in known], [b for _, b in known], confidence)
    if found is None:
        return None
    verdict = NO_DIFFERENCE
    if found.low > 0 or found.high < 0:
        verdict = "better" if found.value * better > 0 else "worse"
    return Against(
        reference=reference,
        difference=found.value,
        low=found.low,
        high=found.high,
        p_value=found.p_value,
        holm_p_value=found.p_value,
        num_seeds=found.num_pairs,
        verdict=verdict,
        holds=False,
    )


def corrected(tests: Sequence[Against], confidence: float) -> list[Against]:
    """The tests, all of those that are made together, with what holds after Holm's correction."""
    p_values = holm([test.p_value for test in tests])
    return [
        test.model_copy(
            update={
                "holm_p_value": p_value,
                "holds": test.verdict != NO_DIFFERENCE and p_value < 1 - confidence,
            }
        )
        for test, p_value in zip(tests, p_values, strict=True)
    ]
