"""Search for a share route: weights and policy in turn, then the most probable route.

After Chen et al. (arXiv 2009.00387), as far as it is known: routes are drawn from a multinomial a
block, whose parameters are learned by REINFORCE, in turn with the supernet's weights by gradients;
the route with the largest probability in each block is derived. Ours: the reward of a route and its
baseline, the entropy bonus, the budget, and every figure. That the derived network is trained anew,
from scratch, is the custom of the field.
"""

import itertools
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np
import tensorflow as tf

from taskroute.models.checkpoint import Checkpoints, optimizer_variables
from taskroute.models.layers.mtnas import MtnasSupernet
from taskroute.models.layers.mtnas_routes import derived_cost
from taskroute.models.ranker import Batch, MultiTaskRanker
from taskroute.models.route_policy import RoutePolicy
from taskroute.schemas.errors import ConfigError, DataError
from taskroute.schemas.recommender import ModelConfig
from taskroute.schemas.routes import (
    BlockChoices,
    NetworkCost,
    RandomControl,
    SearchResult,
    SearchStep,
)
from taskroute.schemas.search import SearchConfig
from taskroute.schemas.tasks import Task
from taskroute.schemas.trunks import MtnasTrunk

_LOG = logging.getLogger(__name__)

# From the number of a pass, from 0, to a dataset of one pass over a split in that pass's order.
Passes = Callable[[int], tf.data.Dataset]


@dataclass
class _Progress:
    """Progress of a search; with the weights and the policy, all that a checkpoint holds."""

    train_pass: int = 0
    train_batches: int = 0  # of this pass
    validation_batches: int = 0  # of all passes
    steps: int = 0
    evaluations: int = 0
    baseline: list[float] | None = None  # of each part of the reward
    seconds: float = 0.0
    loss_sum: float = 0.0
    loss_count: int = 0
    stopped_by: Literal["epochs", "max_steps", "max_seconds"] | None = None
    history: list[dict[str, Any]] = field(default_factory=list)


def search(
    ranker: MultiTaskRanker,
    config: ModelConfig,
    train: Passes,
    validation: tf.data.Dataset,
    *,
    checkpoint: str | None = None,
) -> SearchResult:
    """Searches the share route of `config`'s trunk.

    The ranker must be new: built, compiled, and made with the config's seed. A search that was
    killed goes on at its checkpoint, and comes to what it would have come to, but for units that
    dropout draws.

    Args:
        ranker: With a supernet as trunk; its weights are trained.
        config: Tasks, seed, and `trunk.search`.
        train: Rows for the weights, the same in each run for the same pass.
        validation: One pass over the rows for the policy, always in the same order, in batches of
            `trunk.search.batch_size`.
        checkpoint: Folder to keep progress in, and to resume from if it is of the same config.

    Raises:
        ConfigError: If no route fits the budget, or the limit ends the search before it judged any.
        DataError: If the validation split is smaller than a batch, or a batch of it lacks positive
            or negative rows of every task.
    """
    return _Search(ranker, config, train, validation, checkpoint).run()


class _Search:
    def __init__(
        self,
        ranker: MultiTaskRanker,
        config: ModelConfig,
        train: Passes,
        validation: tf.data.Dataset,
        checkpoint: str | None,
    ):
        if not isinstance(config.trunk, MtnasTrunk) or not isinstance(ranker.trunk, MtnasSupernet):
            raise ValueError(
                "`ranker` must have an MTNAS supernet. Received: trunk="
                f"{config.trunk.kind}, {type(ranker.trunk).__name__}"
            )
        self.ranker, self.supernet, self.config = ranker, ranker.trunk, config
        self.settings: SearchConfig = config.trunk.search
        self.tasks = config.tasks
        self.train, self.validation = train, validation
        self.input_width = ranker.trunk_input_width
        self._refuse_impossible_budget()
        self.policy = RoutePolicy(self.supernet.num_routes, self.settings.learning_rate)
        self.random = np.random.default_rng(config.training.seed)
        self.progress = _Progress()
        self.train_spec, self.validation_spec = train(0).element_spec, validation.element_spec
        optimizer_variables(ranker)  # or the optimizer would make its own while it is traced
        self.checkpoints = None if checkpoint is None else Checkpoints(ranker, checkpoint)
        # One signature whatever the batch: the last one of a pass is smaller.
        self.weight_step = tf.function(ranker.train_step, input_signature=[self.train_spec])
        routes_spec = tf.TensorSpec([None, len(self.supernet.num_routes)], tf.int64)
        self.judge = tf.function(self._judge, input_signature=[self.validation_spec, routes_spec])
        self._uniform = RoutePolicy(self.supernet.num_routes, 0.0)

    def run(self) -> SearchResult:
        self._resume()
        started = time.perf_counter() - self.progress.seconds
        validation = itertools.islice(
            self._validation_batches(), self.progress.validation_batches, None
        )
        while self.progress.stopped_by is None:
            for batch in self._train_batches():
                self._take_weight_step(batch)
                self.progress.seconds = time.perf_counter() - started
                self._take_turn_of_policy(validation)
                self.progress.stopped_by = self._limit_reached()
                if self.progress.stopped_by is not None:
                    break
                if self.progress.steps % self.settings.checkpoint_steps == 0:
                    self._save()
            else:
                self.progress.train_pass += 1
                self.progress.train_batches = 0
                if self.progress.train_pass == self._num_passes:
                    self.progress.stopped_by = "epochs"
            self.progress.seconds = time.perf_counter() - started
        self._save()
        return self._result(started)

    @property
    def _num_passes(self) -> int:
        return self.settings.warmup_epochs + self.settings.epochs

    # The weights.

    def _train_batches(self) -> Iterator[Batch]:
        """Batches that remain of this pass."""
        dataset = self.train(self.progress.train_pass).skip(self.progress.train_batches)
        for batch in dataset:
            self.progress.train_batches += 1
            yield batch

    def _take_weight_step(self, batch: Batch) -> None:
        policy = self._uniform if self._is_uniform() else self.policy
        (route,) = policy.sample(self.random, 1)
        self.supernet.set_route(route)
        self.ranker.loss_mean.reset_state()
        loss = float(self.weight_step(batch)["loss"])
        self.progress.steps += 1
        self.progress.loss_sum += loss
        self.progress.loss_count += 1

    def _is_uniform(self) -> bool:
        warming_up = self.progress.train_pass < self.settings.warmup_epochs
        return warming_up or self.settings.policy == "random"

    # The policy.

    def _take_turn_of_policy(self, validation: Iterator[Batch]) -> None:
        warming_up = self.progress.train_pass < self.settings.warmup_epochs
        if warming_up or self.progress.steps % self.settings.weight_steps:
            return
        self.progress.evaluations += self.settings.policy_steps * self.settings.samples
        if self.settings.policy == "reinforce":
            self.progress.validation_batches += 1
            batch = next(validation)
            for _ in range(self.settings.policy_steps):
                self._take_policy_step(batch)

    def _take_policy_step(self, batch: Batch) -> None:
        samples = self.policy.sample(self.random, self.settings.samples)
        rewards = self._rewards(samples, batch)
        gradient = self.policy.gradient(samples, self._credits(samples, rewards))
        gradient += self.settings.entropy_bonus * self.policy.entropy_gradient()
        self.policy.ascend(gradient)
        progress, means = self.progress, rewards.mean(axis=0)
        step = SearchStep(
            step=progress.steps,
            train_loss=progress.loss_sum / max(progress.loss_count, 1),
            reward=means.sum(),
            baseline=sum(progress.baseline or means),
            entropy=self.policy.relative_entropy(),
        )
        progress.loss_sum, progress.loss_count = 0.0, 0
        progress.history.append(step.model_dump())
        self._update_baseline(means)
        if len(progress.history) % 20 == 1:
            _LOG.info(
                "search: step %d, train loss %.4f, reward %.4f, entropy %.3f",
                step.step,
                step.train_loss,
                step.reward,
                step.entropy,
            )

    def _credits(self, samples: np.ndarray, rewards: np.ndarray) -> np.ndarray:
        """Reward of each block's choice, less a baseline: (M, K).

        A block is credited with the parts of the reward that it can reach in its sample: the
        other parts do not depend on its choice, and would only add noise.
        """
        served = self.supernet.served_tasks(samples)
        reached = np.concatenate([served, np.any(served, axis=2, keepdims=True)], axis=2)
        return np.einsum("mp,mkp->mk", self._advantages(rewards), reached)

    def _advantages(self, rewards: np.ndarray) -> np.ndarray:
        """Rewards less a baseline that does not depend on the same sample: (M, P)."""
        if self.settings.baseline == "batch":
            others = (rewards.sum(axis=0) - rewards) / (len(rewards) - 1)
            return rewards - others
        if self.progress.baseline is None:
            return rewards - rewards.mean(axis=0)
        return rewards - np.array(self.progress.baseline)

    def _update_baseline(self, rewards: np.ndarray) -> None:
        before = self.progress.baseline
        momentum = 0.0 if before is None else self.settings.baseline_momentum
        now = momentum * np.array(before or 0.0) + (1 - momentum) * rewards
        self.progress.baseline = now.tolist()

    def _rewards(self, routes: np.ndarray, batch: Batch) -> np.ndarray:
        """Rewards of routes on the batch with the present weights, by part: (M, T + 1).

        The parts, whose sum is the reward, are the tasks and the penalty of the budget.
        """
        rewards = self.judge(batch, tf.constant(routes)).numpy().astype(np.float64)
        if self.settings.reward == "auc":
            defined = ~np.isnan(rewards[0])
            if not defined.any():
                raise DataError(
                    f"the validation split: {self.settings.batch_size:,} rows of it lack positive "
                    "or negative rows of every task; raise trunk.search.batch_size"
                )
            rewards = np.where(defined, rewards, 0.0) / defined.sum()
        penalties = np.array([[self._penalty(route)] for route in routes])
        return np.concatenate([rewards, -penalties], axis=1)

    def _penalty(self, route: np.ndarray) -> float:
        budget = self.settings.macs_budget
        if budget is None:
            return 0.0
        return self.settings.macs_penalty * max(0.0, self._cost(route).macs / budget - 1)

    def _judge(self, batch: Batch, routes: tf.Tensor) -> tf.Tensor:
        """Each route's AUC or minus loss in each task, float32 (M, T); NaN where undefined."""
        embedded = self.ranker.embedding(batch)
        results = tf.TensorArray(tf.float32, size=tf.shape(routes)[0])
        for index in tf.range(tf.shape(routes)[0]):
            self.supernet.set_route(routes[index])
            logits = self.ranker.predict_logits(embedded)
            values = [self._task_reward(task, logits[task.name], batch) for task in self.tasks]
            results = results.write(index, tf.stack(values))
        return results.stack()

    def _task_reward(self, task: Task, logits: tf.Tensor, batch: Batch) -> tf.Tensor:
        labels, weights = batch[task.label_key], batch[task.weight_key]
        if self.settings.reward == "loss":
            return -task.loss_weight * self.ranker.heads[task.name].loss(logits, labels, weights)
        return auc(labels, logits, weights) if task.kind == "binary" else tf.constant(np.nan)

    def _validation_batches(self) -> Iterator[Batch]:
        """Whole batches, pass after pass without end."""
        key, wanted = self.tasks[0].label_key, self.settings.batch_size
        first = next(iter(self.validation.take(1)), None)
        rows = 0 if first is None else int(first[key].shape[0])
        if rows < wanted:
            raise DataError(
                f"the validation split holds {rows:,} rows, fewer than the {wanted:,} of "
                "trunk.search.batch_size; lower that or give validation a larger share of the log"
            )
        return iter(
            self.validation.filter(lambda batch: tf.shape(batch[key])[0] == wanted).repeat()
        )

    # The end.

    def _limit_reached(self) -> Literal["max_steps", "max_seconds"] | None:
        limits, progress = self.settings, self.progress
        if limits.max_steps is not None and progress.steps >= limits.max_steps:
            return "max_steps"
        if limits.max_seconds is not None and progress.seconds >= limits.max_seconds:
            return "max_seconds"
        return None

    def _result(self, started: float) -> SearchResult:
        progress = self.progress
        if not progress.evaluations:
            steps = f"after {progress.steps:,} weight steps and before it judged a route"
            raise ConfigError(
                f"trunk.search: the search ended {steps}; raise `epochs`, `max_steps` or "
                "`max_seconds`, or lower `weight_steps`"
            )
        rows = next(self._validation_batches())
        random = self._uniform.sample(self.random, progress.evaluations)
        rewards = self._rewards(random, rows).sum(axis=1)
        best = random[np.argmax(rewards)]
        control = None
        if self.settings.policy == "random":
            route, reward = best, float(rewards.max())
        else:
            route = self.policy.most_probable()
            reward = float(self._rewards(route[np.newaxis], rows).sum())
            control = RandomControl(
                num_routes=len(random),
                best_reward=rewards.max(),
                mean_reward=rewards.mean(),
                best=self.supernet.route(best),
            )
        result = SearchResult(
            route=self.supernet.route(route),
            policy=self.settings.policy,
            reward=reward,
            control=control,
            num_evaluations=progress.evaluations,
            probabilities=self._choices(),
            supernet=self.supernet.cost(self.input_width),
            derived=self._cost(route),
            seed=self.config.training.seed,
            weight_steps=progress.steps,
            stopped_by=progress.stopped_by or "epochs",
            seconds=time.perf_counter() - started,
            history=tuple(SearchStep(**step) for step in progress.history),
        )
        _LOG.info(
            "search: %d weight steps, %d routes judged, reward %.4f, %d of %d MACs left",
            progress.steps,
            progress.evaluations,
            reward,
            result.derived.macs,
            result.supernet.macs,
        )
        return result

    def _choices(self) -> tuple[BlockChoices, ...]:
        probabilities = self.policy.probabilities()
        return tuple(
            BlockChoices(
                block=routes[0].block,
                choices=routes,
                probabilities=[round(float(value), 6) for value in row[: len(routes)]],
            )
            for routes, row in zip(self.supernet.choices(), probabilities, strict=True)
        )

    def _cost(self, route: np.ndarray) -> NetworkCost:
        units = [units for _, units in self.supernet.layer_sizes]
        return derived_cost(self.supernet.route(route), units, self.input_width)

    def _refuse_impossible_budget(self) -> None:
        budget = self.settings.macs_budget
        # The first route of a block is its first lower sub-network, without a gate.
        macs = self._cost(np.zeros(len(self.supernet.num_routes), int)).macs
        if budget is not None and budget < macs:
            raise ConfigError(
                f"trunk.search.macs_budget: the smallest route costs {macs:,} multiply-accumulates "
                f"a row, more than the budget of {budget:,}; raise it or make `trunk.layers` "
                "narrower"
            )

    # Checkpoints.

    def _save(self) -> None:
        if self.checkpoints is None:
            return
        state = {
            "config": self.config.model_dump(mode="json"),
            "progress": asdict(self.progress),
            "policy": self.policy.state(),
            "random": self.random.bit_generator.state,
        }
        self.checkpoints.save(_name(self.progress.steps), state)

    def _resume(self) -> None:
        state = None if self.checkpoints is None else self.checkpoints.read()
        if self.checkpoints is None or state is None:
            return
        if state["config"] != self.config.model_dump(mode="json"):
            _LOG.info("search: the checkpoint is of another config; starting anew")
            return
        self.progress = _Progress(**state["progress"])
        self.checkpoints.load(_name(self.progress.steps))
        self.policy.load_state(state["policy"])
        self.random.bit_generator.state = state["random"]
        _LOG.info("search: goes on after %d weight steps", self.progress.steps)


def _name(step: int) -> str:
    return f"step-{step}"


def auc(labels: tf.Tensor, logits: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    """Area under the ROC curve of rows with weights: a float32 scalar, NaN if a class has none.

    Args:
        labels: (B,), 0 or 1.
        logits: (B,); ties count one half.
        weights: (B,), 0 for rows left out.
    """
    order = tf.argsort(logits)
    ordered, labels = tf.gather(logits, order), tf.gather(labels, order)
    weights = tf.gather(weights, order)
    # Sums over the negatives before each place, in float64: a million rows must not drift.
    negatives = tf.cast(weights * (1 - labels), tf.float64)
    before = tf.concat([tf.zeros([1], tf.float64), tf.cumsum(negatives)], axis=0)
    below, up_to = (
        tf.gather(before, tf.searchsorted(ordered, ordered, side=side))
        for side in ("left", "right")
    )
    positives = tf.cast(weights * labels, tf.float64)
    won = tf.reduce_sum(positives * (below + up_to) / 2)
    return tf.cast(won / (tf.reduce_sum(positives) * before[-1]), tf.float32)
