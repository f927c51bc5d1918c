"""Regression tasks whose relatedness is known.

The generator of Ma et al. (KDD 2018, section 3.2) in the form of Maziarz et al. (2019), who draw
several pairs: tasks of a group have directions with a given cosine, groups are orthogonal. Ours: a
group may hold more than two tasks, and labels are standardised by their exact mean and variance.

Shapes: N rows, D input width, T tasks, M waves.
"""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

_NUM_WAVES = 10
_NODES, _NODE_WEIGHTS = np.polynomial.hermite_e.hermegauss(150)


@dataclass(frozen=True)
class TaskFamily:
    """Settings that the worlds of a family share.

    Args:
        num_tasks: In all groups together.
        num_groups: Groups of equal size.
        relatedness: Cosine p of the directions of a group's first task and each other one; two
            others have p^2.
        width: Width of the input.
        noise: Standard deviation of what is added to a standardised label.
        waves: "drawn": frequencies and phases from N(0, 1), anew for each group, as Tang et al.
            (2020) do; "fixed": 1, 2, ..., 10 and 0, 1, 4, ..., 81 for all, as Maziarz et al. do.
    """

    num_tasks: int = 8
    num_groups: int = 4
    relatedness: float = 1.0
    width: int = 50
    noise: float = 0.7
    waves: Literal["drawn", "fixed"] = "drawn"


@dataclass(frozen=True)
class Rows:
    """float32: `inputs` (N, D), noisy `labels` and noiseless `truth` (N, T)."""

    inputs: np.ndarray
    labels: np.ndarray
    truth: np.ndarray


class World:
    """Directions and functions of the tasks: `y_t = w_t x + sum_m sin(a_m w_t x + b_m)`.

    Worlds of one seed that differ in relatedness only have all else in common.
    """

    def __init__(self, family: TaskFamily, seed: int):
        generator = np.random.default_rng([seed, 0])
        each = family.num_tasks // family.num_groups
        bases = _orthonormal(generator, family.width)[: family.num_tasks]
        bases = bases.reshape(family.num_groups, each, family.width)
        first, others = bases[:, :1], bases[:, 1:]
        p = family.relatedness
        directions = [first, p * first + math.sqrt(1 - p**2) * others]
        self.directions = np.concatenate(directions, axis=1).reshape(-1, family.width)
        if family.waves == "drawn":
            waves = generator.standard_normal((2, family.num_groups, _NUM_WAVES))
        else:
            index = np.arange(_NUM_WAVES, dtype=float)
            waves = np.stack([index + 1, index**2])[:, np.newaxis].repeat(family.num_groups, axis=1)
        self.frequencies, self.phases = waves.repeat(each, axis=1)
        self._noise, self._seed = family.noise, seed
        self._mean, self._deviation = self._moments()

    def draw(self, num_rows: int, *, part: int) -> Rows:
        """Draws rows; the same `part` of the same world gives the same ones."""
        generator = np.random.default_rng([self._seed, 1 + part])
        tasks, width = self.directions.shape
        inputs = generator.standard_normal((num_rows, width))
        projections = inputs @ self.directions.T
        truth = (self._values(projections) - self._mean) / self._deviation
        labels = truth + self._noise * generator.standard_normal((num_rows, tasks))
        return Rows(*(part.astype(np.float32) for part in (inputs, labels, truth)))

    def _values(self, projections: np.ndarray) -> np.ndarray:
        total = projections.copy()
        for frequency, phase in zip(self.frequencies.T, self.phases.T, strict=True):
            total += np.sin(projections * frequency + phase)
        return total

    def _moments(self) -> tuple[np.ndarray, np.ndarray]:
        # w_t x is N(0, 1) for every task, so that a quadrature over one number is exact.
        values = self._values(_NODES[:, np.newaxis].repeat(len(self.directions), axis=1))
        mean = np.average(values, axis=0, weights=_NODE_WEIGHTS)
        return mean, np.sqrt(np.average((values - mean) ** 2, axis=0, weights=_NODE_WEIGHTS))


def _orthonormal(generator: np.random.Generator, width: int) -> np.ndarray:
    """A uniformly drawn orthogonal matrix, (D, D)."""
    matrix, triangle = np.linalg.qr(generator.standard_normal((width, width)))
    return matrix * np.sign(np.diag(triangle))
