"""Proposals: by chance at first, then where a model of the scores expects the most.

The model is scikit-learn's Gaussian process, made anew for each proposal from all that is known: a
proposal is a function of the results so far, its number and the seed, whatever was killed before.
"""

import warnings
from collections.abc import Sequence

import numpy as np
from scipy.stats import norm
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel
from threadpoolctl import threadpool_limits

from taskroute.pipeline.experiments.tune.space import Array, Point, Space, encode, sample

_CANDIDATES = 4096
# A result so many interquartile ranges below the median says no more than "bad".
_OUTLYING = 3.0


def propose(
    space: Space,
    known: Sequence[tuple[Point, float]],
    repeats: Sequence[Point],
    *,
    number: int,
    seed: int,
) -> Point | None:
    """New point with the largest expected improvement.

    Expected improvement over the best mean that the model sees at a known point, since the best
    score is partly luck: Picheny et al., "A benchmark of kriging-based infill criteria for noisy
    optimization", 2013, section 4.1.1 (plug-in).

    Args:
        space: Space to draw from.
        known: Points with their scores: the larger the better.
        repeats: Points that would come to the same again.
        number: Number of the trial.
        seed: Seed of the search.

    Returns:
        Point, or None if chance finds nothing new.
    """
    random = np.random.default_rng([seed, number])
    seen = {tuple(point.values()) for point in repeats}
    drawn = sample(space, random, _CANDIDATES)
    candidates = [point for point in drawn if tuple(point.values()) not in seen]
    if not candidates:
        return None
    if len(known) <= len(space):
        return candidates[0]
    points, scores = zip(*known, strict=True)
    # Matrices of so few rows gain nothing from threads, and lose much where a training has them.
    with threadpool_limits(1):
        process = _fit(encode(space, points), _without_outliers(np.array(scores)))
        best = process.predict(encode(space, points)).max()
        # The deviation is that of a result, noise included: without it no better point was found
        # in the same trials (docs/LOG.md, 2026-11-28).
        mean, deviation = process.predict(encode(space, candidates), return_std=True)
    gap = (mean - best) / deviation
    improvement = deviation * (gap * norm.cdf(gap) + norm.pdf(gap))
    return candidates[int(np.argmax(improvement))]


def _fit(coordinates: Array, scores: Array) -> GaussianProcessRegressor:
    """Fits a process: its smoothness along each coordinate, and its noise, by likelihood."""
    lengths = np.ones(coordinates.shape[1])
    kernel = ConstantKernel(1.0, (0.01, 100)) * Matern(lengths, (0.05, 20), nu=2.5)
    process = GaussianProcessRegressor(
        kernel + WhiteKernel(0.05, (1e-3, 2)),
        normalize_y=True,
        n_restarts_optimizer=2,
        random_state=0,
    )
    with warnings.catch_warnings():
        # A length at its bound is a coordinate without effect.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return process.fit(coordinates, scores)


def _without_outliers(scores: Array) -> Array:
    """Lifts scores far below the others, which would hide the differences between those."""
    low, middle, high = np.quantile(scores, [0.25, 0.5, 0.75])
    return np.maximum(scores, middle - _OUTLYING * (high - low))
