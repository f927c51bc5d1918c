"""Policy of a search: probabilities of routes that learn from rewards.

Shape letters: M samples, K blocks, R routes of the block with most routes.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np


class RoutePolicy:
    """Independent multinomials over the routes of each block, uniform at the start.

    Args:
        num_routes: Number of routes of each block.
        learning_rate: Learning rate of Adam, which climbs the expected reward.
    """

    def __init__(self, num_routes: tuple[int, ...], learning_rate: float):
        self.offered = np.arange(max(num_routes)) < np.array(num_routes)[:, np.newaxis]
        self.learning_rate = learning_rate
        self.logits = np.where(self.offered, 0.0, -np.inf)
        self._moments = np.zeros((2, *self.logits.shape))
        self._steps = 0

    def probabilities(self) -> np.ndarray:
        """Probabilities of the routes, float64 (K, R); 0 where a block has fewer routes."""
        odds = np.exp(self.logits - self.logits.max(axis=1, keepdims=True))
        return odds / odds.sum(axis=1, keepdims=True)

    def sample(self, random: np.random.Generator, count: int) -> np.ndarray:
        """Samples indices of routes: int (M, K)."""
        upper = np.cumsum(self.probabilities(), axis=1)
        drawn = random.random((count, len(upper), 1)) * upper[:, -1:]
        return np.argmax(drawn < upper, axis=2)

    def most_probable(self) -> np.ndarray:
        """Index of each block's most probable route: int (K,)."""
        return np.argmax(self.logits, axis=1)

    def gradient(self, samples: np.ndarray, advantages: np.ndarray) -> np.ndarray:
        """REINFORCE: unbiased estimate of the gradient of the expected reward, (K, R).

        `mean_m A_mk (onehot(a_mk) - p_k)`, for advantages A (M, K): the reward credited to a block,
        less a baseline that does not depend on that block's choice in the same sample.
        """
        chosen = samples[:, :, np.newaxis] == np.arange(self.logits.shape[1])
        scores = chosen - self.probabilities()
        return np.mean(advantages[:, :, np.newaxis] * scores, axis=0)

    def entropies(self) -> np.ndarray:
        """Entropies of the blocks in nats, (K,)."""
        return -np.sum(self.probabilities() * self._log_probabilities(), axis=1)

    def entropy_gradient(self) -> np.ndarray:
        """Gradient of the sum of the entropies, (K, R)."""
        logs, entropies = self._log_probabilities(), self.entropies()
        return -self.probabilities() * (logs + entropies[:, np.newaxis])

    def _log_probabilities(self) -> np.ndarray:
        """Logarithms of the probabilities, (K, R); 0 where a block has fewer routes."""
        probabilities = self.probabilities()
        return np.log(np.where(probabilities > 0, probabilities, 1.0))

    def relative_entropy(self) -> float:
        """Mean over blocks of entropy over the uniform policy's: 1 at the start, 0 when decided.

        Blocks with a single route do not count; 0 if there are no others.
        """
        uniform = np.log(self.offered.sum(axis=1))
        open_blocks = uniform > 0
        if not np.any(open_blocks):
            return 0.0
        return float(np.mean(self.entropies()[open_blocks] / uniform[open_blocks]))

    def ascend(self, gradient: np.ndarray) -> None:
        """Takes one step of Adam."""
        self._steps += 1
        powers = (gradient, gradient**2)
        for moment, decay, power in zip(self._moments, (0.9, 0.999), powers, strict=True):
            moment += (1 - decay) * (power - moment)
        mean = self._moments[0] / (1 - 0.9**self._steps)
        square = self._moments[1] / (1 - 0.999**self._steps)
        step = self.learning_rate * mean / (np.sqrt(square) + 1e-8)
        self.logits = np.where(self.offered, self.logits + step, -np.inf)

    def state(self) -> dict[str, Any]:
        """State for `load_state`, as JSON values."""
        logits = np.where(self.offered, self.logits, 0.0)
        return {
            "logits": logits.tolist(),
            "moments": self._moments.tolist(),
            "steps": self._steps,
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        self.logits = np.where(self.offered, np.array(state["logits"]), -np.inf)
        self._moments = np.array(state["moments"])
        self._steps = state["steps"]
