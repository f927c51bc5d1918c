"""Coverage of intervals, and the rate at which the gate refuses an equally good candidate.

Run: python research/intervals.py [--repeats N]. Scores are normal, shifted for positive rows, so
that the true AUC is known. The Poisson bootstrap (60 replicates, Student's t of their standard
deviation, and their percentiles) is given beside for the first rows.
"""

from statistics import NormalDist

from lab import options, report

import numpy as np
from scipy.special import stdtrit
from sklearn.metrics import roc_auc_score

from taskroute.components.measures.binary import BinaryStatistics
from taskroute.components.measures.rows import make_rows
from taskroute.components.measures.task_metrics import measure
from taskroute.components.task_evaluator.gate import judge
from taskroute.schemas.evaluation import Gate
from taskroute.schemas.evaluation_record import Baseline, MeasuredTask, Measurements

# Rows, positive rate, distance of the classes in standard deviations.
CASES = ((2000, 0.1, 1.0), (2000, 0.5, 0.5), (300, 0.1, 1.0), (1000, 0.02, 1.0), (5000, 0.01, 2.5))
REPLICATES = 60


def probability(score: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(2 - score))


def measured(label: np.ndarray, *predictions: np.ndarray) -> MeasuredTask:
    rows = make_rows("binary", np.stack(predictions), label)
    statistics = BinaryStatistics(len(predictions), has_key=False)
    statistics.add(rows)
    return measure(statistics, 0.95)


def coverage(num_rows: int, rate: float, distance: float, repeats: int) -> dict[str, float]:
    random = np.random.default_rng(1)
    truth = NormalDist().cdf(distance / np.sqrt(2))
    hits, known, by_error, by_percentile = 0, 0, 0, 0
    bootstraps = min(repeats, 200)
    for repeat in range(repeats):
        label = (random.random(num_rows) < rate).astype(float)
        score = random.normal(size=num_rows) + distance * label
        task = measured(label, probability(score)).candidate
        if "auc" in task.intervals:
            known += 1
            hits += task.intervals["auc"].low <= truth <= task.intervals["auc"].high
        if repeat < bootstraps:
            weights = random.poisson(1, (REPLICATES, num_rows))
            aucs = [roc_auc_score(label, score, sample_weight=row) for row in weights]
            reach = stdtrit(REPLICATES - 1, 0.975) * np.std(aucs, ddof=1)
            auc = task.values["auc"]
            assert auc is not None  # there are rows of both classes
            by_error += abs(auc - truth) <= reach
            low, high = np.quantile(aucs, [0.025, 0.975])
            by_percentile += low <= truth <= high
    return {
        "jackknife": hits / max(known, 1),
        "known": known / repeats,
        "bootstrap_t": by_error / bootstraps,
        "bootstrap_percentile": by_percentile / bootstraps,
    }


def refusals(repeats: int, num_tasks: int) -> float:
    """Share of candidates refused that are as good as the baseline in every task."""
    tasks = [f"task{index}" for index in range(num_tasks)]
    gates = [Gate(task=task, may_lose=0.0) for task in tasks]
    baseline = Baseline(version=1, path="1", model_digest="")
    random, refused = np.random.default_rng(2), 0
    for _ in range(repeats):
        compared = {}
        for task in tasks:
            label = (random.random(2000) < 0.2).astype(float)
            score = random.normal(size=2000) + label
            models = [probability(score + 0.5 * random.normal(size=2000)) for _ in range(2)]
            compared[task] = measured(label, *models)
        measurements = Measurements(
            split="test",
            num_examples=2000,
            seconds=0.0,
            baseline=baseline,
            compared=compared,
        )
        refused += not judge(gates, measurements).blessed
    return refused / repeats


def main() -> None:
    repeats = options(__doc__, repeats=(1000, 5)).parse_args().repeats
    covered = {}
    print("  rows   rate  distance  jackknife  known  bootstrap: t  percentile")
    for num_rows, rate, distance in CASES:
        shares = coverage(num_rows, rate, distance, repeats)
        covered[f"{num_rows} rows, rate {rate}"] = round(shares["jackknife"], 3)
        print(
            f"{num_rows:>6} {rate:>6} {distance:>9} {shares['jackknife']:>10.3f} "
            f"{shares['known']:>6.3f} {shares['bootstrap_t']:>13.3f} "
            f"{shares['bootstrap_percentile']:>11.3f}"
        )
    wrongly = {number: refusals(repeats, number) for number in (1, 2, 8)}
    for number, share in wrongly.items():
        print(f"{number} tasks, none worse: {share:.3f} refused at confidence 0.95")
    report(
        "intervals against the truth, the gate against candidates as good",
        coverage=covered,
        refused=wrongly,
        repeats=repeats,
    )


if __name__ == "__main__":
    main()
