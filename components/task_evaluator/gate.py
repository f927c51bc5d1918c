"""Decision over a candidate.

A gate decides by intervals, so that noise neither blesses nor refuses, and the burden of proof lies
where the harm is:

* `at_least` and `at_most` are promises to users. A candidate keeps one only if it is *shown* to:
  the whole interval lies within the bound. Few rows make a wide interval, which passes nothing.
* `may_lose` is a charge against the candidate, that it is worse than the baseline. It is refused
  only if the loss is *shown*: the whole interval of the paired difference lies beyond what it may
  lose. Else a candidate that is as good would be refused every other night.

`confidence` is that of the verdict. Promises need no more than that each is shown at it. A
candidate is refused for any one loss, so the chance to be wrong, 1 - confidence, is shared evenly
by all losses that are judged (Bonferroni): a candidate that is no worse in any task and slice is
refused with at most that chance, however many gates there are.

Every rule must be kept: a better mean excuses nothing. An undefined metric, or one of fewer than
`min_examples` labelled rows, passes nothing; nor does a task for which no row counts, with or
without a gate.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from taskroute.components.measures.jackknife import Spread
from taskroute.components.measures.task_metrics import SHARES
from taskroute.schemas.evaluation import BETTER, Gate
from taskroute.schemas.evaluation_record import (
    GateVerdict,
    Interval,
    MeasuredTask,
    Measurements,
    Verdict,
)


@dataclass(frozen=True)
class _Case:
    """One rule of a gate on one slice; `measured` is None where the slice has no row."""

    gate: Gate
    rule: str
    bound: float
    slice: str | None
    measured: MeasuredTask | None

    @property
    def must_be_judged(self) -> bool:
        """Whether too few rows are a failure: not in one of the many values of a slice column."""
        return self.gate.slice is None or self.gate.slice_value is not None

    @property
    def num_examples(self) -> int:
        return self.measured.candidate.num_examples if self.measured else 0

    @property
    def has_too_few(self) -> bool:
        return self.num_examples < self.gate.min_examples


def judge(gates: Sequence[Gate], measurements: Measurements) -> Verdict:
    """Checks every gate against the measurements; all must pass.

    Args:
        gates: Bounds on metrics of tasks that were measured.
        measurements: Metrics of candidate and baseline, with the confidence to decide at.
    """
    cases = [case for gate in gates for case in _cases(gate, measurements)]
    num_losses = sum(case.rule == "may_lose" and not case.has_too_few for case in cases)
    confidence = measurements.confidence
    verdicts = tuple(
        _judge_loss(case, 1 - (1 - confidence) / max(num_losses, 1))
        if case.rule == "may_lose"
        else _judge_bound(case, confidence)
        for case in cases
    )
    verdicts += tuple(_unjudged_columns(gates, cases))
    verdicts += tuple(_uncounted_tasks(measurements))
    failed = [verdict for verdict in verdicts if verdict.passed is False]
    has_rules = gates or verdicts
    summary = _summary(verdicts, failed) if has_rules else "no gates: blessed unconditionally"
    return Verdict(blessed=not failed, summary=summary, gates=verdicts)


def _cases(gate: Gate, measurements: Measurements) -> Iterator[_Case]:
    """Rules by slice; on first runs, without a baseline, nothing can be lost."""
    compared: Mapping[str | None, MeasuredTask | None]
    if gate.slice is None:
        compared = {None: measurements.compared[gate.task]}
    else:
        compared = {
            each.name: each.tasks[gate.task]
            for each in measurements.slices
            if each.column == gate.slice_column and gate.slice_value in (None, each.value)
        }
        compared = compared or {gate.slice: None}
    for rule in ("at_least", "at_most", "may_lose"):
        bound = getattr(gate, rule)
        if bound is None or (rule == "may_lose" and measurements.baseline is None):
            continue
        for name, measured in compared.items():
            yield _Case(gate, rule, bound, name, measured)


def _judge_bound(case: _Case, confidence: float) -> GateVerdict:
    metric, bound = case.gate.metric, case.bound
    words = f"{'at least' if case.rule == 'at_least' else 'at most'} {bound}"
    refused = _refuse_early(case, words)
    if refused or case.measured is None:
        return refused or _verdict(case, words, False, _NO_ROW)
    candidate = case.measured.candidate
    value, interval = candidate.values[metric], candidate.intervals.get(metric)
    if value is None or interval is None:
        return _verdict(case, words, False, _NO_INTERVAL)
    low, high = _spread(interval).interval(value, confidence, is_share=metric in SHARES)
    if case.rule == "at_least":
        kept, shown = value >= bound, low >= bound
    else:
        kept, shown = value <= bound, high <= bound
    reason = f"{value:.6g} is {'' if kept else 'not '}{words}"
    if kept and not shown:
        reason += f", but is not shown to be: the interval is {low:.6g} to {high:.6g}"
    return _verdict(case, words, shown, reason, low, high, confidence)


def _judge_loss(case: _Case, confidence: float) -> GateVerdict:
    metric, bound = case.gate.metric, case.bound
    words = f"may lose {bound}"
    refused = _refuse_early(case, words)
    if refused or case.measured is None:
        return refused or _verdict(case, words, False, _NO_ROW)
    baseline = case.measured.baseline
    if baseline is None:
        return _verdict(case, words, None, "the baseline does not predict this task")
    if baseline.values[metric] is None:
        reason = f"the baseline's {metric} is undefined: {baseline.undefined[metric]}"
        return _verdict(case, words, False, reason)
    difference = case.measured.differences.get(metric)
    if difference is None or difference.interval is None:
        return _verdict(case, words, False, _NO_INTERVAL)
    low, high = _spread(difference.interval).interval(difference.value, confidence)
    best = high if BETTER[metric] > 0 else -low
    passed = best >= -bound
    reason = (
        f"{'no' if passed else 'a'} loss of more than {bound} is shown: {difference.value:+.6g}, "
        f"interval {low:+.6g} to {high:+.6g}"
    )
    return _verdict(case, words, passed, reason, low, high, confidence)


def _spread(interval: Interval) -> Spread:
    """Spread of an interval, from which one at another confidence follows."""
    return Spread(interval.standard_error, interval.degrees_of_freedom)


_NO_ROW = "no row is in this slice"
_NO_INTERVAL = "it has no interval: too few rows, or too few of one class"


def _refuse_early(case: _Case, words: str) -> GateVerdict | None:
    """Verdict where the rows or the candidate leave nothing to judge."""
    if case.measured is None:
        return _verdict(case, words, False, _NO_ROW)
    candidate, metric = case.measured.candidate, case.gate.metric
    if candidate.num_invalid or not case.has_too_few:
        if candidate.values.get(metric) is None:
            why = candidate.undefined.get(metric, f"{candidate.kind} tasks do not have it")
            return _verdict(case, words, False, f"{metric} is undefined: {why}")
        return None
    reason = f"{case.num_examples} labelled rows are fewer than {case.gate.min_examples}"
    return _verdict(case, words, False if case.must_be_judged else None, reason)


def _verdict(
    case: _Case,
    words: str,
    passed: bool | None,
    reason: str,
    low: float | None = None,
    high: float | None = None,
    confidence: float | None = None,
) -> GateVerdict:
    metric, measured = case.gate.metric, case.measured
    difference = measured.differences.get(metric) if measured else None
    return GateVerdict(
        task=case.gate.task,
        metric=metric,
        slice=case.slice,
        value=measured.candidate.values.get(metric) if measured else None,
        baseline=measured.baseline.values.get(metric) if measured and measured.baseline else None,
        difference=difference.value if difference else None,
        low=low,
        high=high,
        confidence=confidence,
        rule=words,
        passed=passed,
        reason=reason,
    )


def _unjudged_columns(gates: Sequence[Gate], cases: Sequence[_Case]) -> Iterator[GateVerdict]:
    """Failures of gates over a column none of whose values had enough rows."""
    for gate in gates:
        mine = [case for case in cases if case.gate is gate]
        every_value = gate.slice is not None and gate.slice_value is None
        if every_value and mine and all(case.has_too_few for case in mine):
            reason = f"no value of '{gate.slice}' has {gate.min_examples} labelled rows"
            case = _Case(gate, "", 0.0, f"{gate.slice}=*", None)
            yield _verdict(case, "to be judged", False, reason)


def _uncounted_tasks(measurements: Measurements) -> Iterator[GateVerdict]:
    """Failures of tasks that nothing is known about: served, they would give any number."""
    for task, measured in measurements.compared.items():
        if not measured.candidate.num_examples:
            yield GateVerdict(
                task=task,
                metric="num_examples",
                value=0,
                rule="above 0",
                passed=False,
                reason=f"no {measurements.split} row counts for the task",
            )


def _summary(verdicts: Sequence[GateVerdict], failed: Sequence[GateVerdict]) -> str:
    judged = [verdict for verdict in verdicts if verdict.passed is not None]
    if failed:
        first = failed[0]
        where = f" {first.slice}" if first.slice else ""
        return (
            f"gates failed ({len(failed)} of {len(judged)}); "
            f"{first.task} {first.metric}{where}: {first.reason}"
        )
    if judged:
        return f"all gates passed ({len(judged)})"
    return "nothing to lose against: blessed"
