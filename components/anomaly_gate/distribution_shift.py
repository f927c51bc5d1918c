"""How far rows moved: test rows from train rows (skew), a span from the one before (drift)."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import tensorflow_data_validation as tfdv
from tensorflow_metadata.proto.v0 import anomalies_pb2, schema_pb2, statistics_pb2

_STATISTICS_FILE = "FeatureStats.pb"
_HIGH = (
    anomalies_pb2.AnomalyInfo.COMPARATOR_L_INFTY_HIGH,
    anomalies_pb2.AnomalyInfo.COMPARATOR_JENSEN_SHANNON_DIVERGENCE_HIGH,
)


@dataclass(frozen=True)
class Shift:
    """The distance of a column between two sets of rows.

    Attributes:
        column: Of the log.
        rule: `max_skew` or `max_drift`, the field that sets the limit.
        since: Name of the split or span that is compared with.
        now: Name of the split or span that is compared.
        distance: From 0 to 1; its kind is said in `schemas/features.py`.
        limit: What the config allows.
        finding: TFDV's words where the limit is passed, else empty.
    """

    column: str
    rule: str
    since: str
    now: str
    distance: float
    limit: float
    finding: str

    @property
    def is_too_far(self) -> bool:
        return self.distance > self.limit


def measure_shifts(statistics: Path, schema: schema_pb2.Schema) -> list[Shift]:
    """Measures every column that `schema` sets a limit for.

    Args:
        statistics: StatisticsGen's folder.
        schema: Its comparators are the limits.

    Returns:
        First skew, then drift, by column; drift only where the log has two spans with rows.
    """
    shifts = list(
        _measure("max_skew", schema, statistics / "Split-train", statistics / "Split-test")
    )
    spans = sorted(statistics.glob("Span-*"))
    if len(spans) > 1:
        shifts += _measure("max_drift", schema, *spans[-2:])
    return shifts


def _measure(rule: str, schema: schema_pb2.Schema, since: Path, now: Path) -> Iterator[Shift]:
    # A schema that only compares: what else breaks it was found by ExampleValidator.
    comparing = schema_pb2.Schema()
    for feature in schema.feature:
        comparator = feature.skew_comparator if rule == "max_skew" else feature.drift_comparator
        comparing.feature.add(name=feature.name, type=feature.type, drift_comparator=comparator)
    found = tfdv.validate_statistics(_load(now), comparing, previous_statistics=_load(since))
    for info in sorted(found.drift_skew_info, key=lambda info: info.path.step[0]):
        column = info.path.step[0]
        findings = [
            reason.description
            for reason in found.anomaly_info[column].reason
            if reason.type in _HIGH
        ]
        for measured in info.drift_measurements:
            yield Shift(
                column,
                rule,
                _name(since),
                _name(now),
                measured.value,
                measured.threshold,
                " ".join(findings),
            )


def _load(folder: Path) -> statistics_pb2.DatasetFeatureStatisticsList:
    return tfdv.load_stats_binary(str(folder / _STATISTICS_FILE))


def _name(folder: Path) -> str:
    return folder.name.partition("-")[2].lstrip("0") or "0"
