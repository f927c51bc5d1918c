"""The multi-task ranker: embed, share through a trunk, and predict one value a task."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf
import tensorflow_recommenders as tfrs
import tf_keras as keras

from taskroute.models.balance.balancer import Step
from taskroute.models.balancers import balance_learning_rate, build_balancer
from taskroute.models.distribution import replica_mean
from taskroute.models.heads.binary import joint_logits
from taskroute.models.interactions import build_interaction
from taskroute.models.layers.embedding import FeatureEmbedding
from taskroute.models.layers.mlp import Mlp
from taskroute.models.layers.trunk import Trunk
from taskroute.models.metrics import LogitAuc
from taskroute.models.schedules import learning_rate
from taskroute.models.task_heads import build_head
from taskroute.models.trunks import build_trunk, routing_learning_rate
from taskroute.schemas.recommender import ModelConfig
from taskroute.schemas.tasks import in_funnel_order

Batch = Mapping[str, tf.Tensor | tf.RaggedTensor]

# Weight decay pulls to 0, which is no neutral value of these weights.
_NOT_DECAYED = ("bias", "alpha_", "query_")


class MultiTaskRanker(tfrs.models.Model):
    """Predicts every task of a row from one embedding, one trunk and a tower for each task.

    Args:
        config: Config of the layers.
        num_ids: Number of ids of each feature with ids, by name.
    """

    def __init__(self, config: ModelConfig, num_ids: Mapping[str, int]):
        super().__init__(name="ranker")
        self.tasks = config.tasks
        self.embedding = FeatureEmbedding(
            config.features, num_ids, config.tables, name="embedding", dtype="float32"
        )
        self.interaction = build_interaction(config.interaction, self.embedding)
        task_names = [task.name for task in config.tasks]
        self.trunk: Trunk = build_trunk(config.trunk, task_names, self.trunk_input_width)
        self.towers = {
            task.name: Mlp(
                config.towers.units, dropout=config.towers.dropout, name=f"tower_{task.name}"
            )
            for task in self.tasks
        }
        self.heads = {task.name: build_head(task) for task in self.tasks}
        self.balancer = build_balancer(config.training.balance, self.tasks)
        self._embedding_l2 = config.training.embedding_l2
        sampling = config.training.negative_sampling
        # Odds among the sampled rows are 1 / keep times the odds among all rows.
        self.logit_shifts = {sampling.task: math.log(sampling.keep)} if sampling else {}
        # Maps of binary tasks from logits to calibrated ones; set after training, if configured.
        self.calibrations: Mapping[str, Callable[[tf.Tensor], tf.Tensor]] = {}
        self.loss_mean = keras.metrics.Mean(name="loss")
        self.task_means = {
            task.name: keras.metrics.Mean(name=f"{task.name}_loss") for task in self.tasks
        }
        self.task_aucs = {
            task.name: LogitAuc(name=f"{task.name}_auc")
            for task in self.tasks
            if task.kind == "binary"
        }

    @property
    def trunk_input_width(self) -> int:
        """Width of the trunk's input."""
        return self.interaction.output_width(self.embedding.output_width)

    def call(self, inputs: Batch, training: bool = False) -> dict[str, tf.Tensor]:
        """Maps transformed features to the float32 logits of each task."""
        return self.predict_logits(self.embedding(inputs), training=training)

    def predict_logits(self, embedded: tf.Tensor, training: bool = False) -> dict[str, tf.Tensor]:
        """Maps the embedded features, (B, D), to the float32 logits of each task."""
        shared = self.trunk(self.interaction(embedded), training=training)
        return self.task_logits(shared, training=training)

    def task_logits(
        self,
        shared: Mapping[str, tf.Tensor],
        training: bool = False,
        towers: Mapping[str, Mlp] | None = None,
    ) -> dict[str, tf.Tensor]:
        """Maps the trunk's outputs to the logits of each task's head.

        A task with a `funnel` gets the logits of the joint probability; its own logits, after the
        funnel task, stand at its `after_funnel`.

        While training, logits are those among the rows that negative sampling keeps; else log(keep)
        is added for its task: King and Zeng, "Logistic Regression in Rare Events Data", 2001, Eq.
        7; as a probability p / (p + (1 - p) / keep), He et al., "Practical Lessons from Predicting
        Clicks on Ads at Facebook", 2014, section 6.3.

        Args:
            shared: Trunk outputs by task, (B, U) each.
            training: Whether the logits are for the loss.
            towers: Replacements of the ranker's own towers, if any.
        """
        logits = {}
        for task in in_funnel_order(self.tasks):
            tower = (towers or self.towers)[task.name](shared[task.name], training=training)
            logits[task.name] = self.heads[task.name](tower)
            if not training and task.name in self.logit_shifts:
                logits[task.name] += self.logit_shifts[task.name]
            if task.funnel is not None and task.after_funnel is not None:
                # The loss of a joint probability is over all rows: weights undo the sampling.
                shift = self.logit_shifts.get(task.funnel, 0.0) if training else 0.0
                logits[task.after_funnel] = logits[task.name]
                logits[task.name] = joint_logits(
                    logits[task.funnel] + shift, logits[task.after_funnel]
                )
        return logits

    def predict_values(self, inputs: Batch) -> dict[str, tf.Tensor]:
        """Maps transformed features to predictions: float32 (B,) an output.

        A binary task predicts a probability, with a funnel also one at its `after_funnel`; a
        regression predicts in the unit of the label's column.
        """
        return self.predictions(self(inputs, training=False))

    def predictions(self, logits: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Maps the tasks' logits to calibrated predictions."""
        calibrated = {name: rise(logits[name]) for name, rise in self.calibrations.items()}
        served = {**logits, **calibrated}
        return {
            name: self.heads[task.name].value(served[name])
            for task in self.tasks
            for name in task.outputs
        }

    def model_weights(self) -> list[tf.Variable]:
        """Weights that predictions need: without metrics and optimizer."""
        layers: tuple[keras.layers.Layer, ...] = (
            self.embedding,
            self.interaction,
            self.trunk,
            *self.towers.values(),
            *self.heads.values(),
        )
        return [weight for layer in layers for weight in layer.weights]

    def compute_loss(self, inputs: Batch, training: bool = False) -> tf.Tensor:
        """Sum of the tasks' masked losses times their `loss_weight`: a float32 scalar."""
        return sum(
            self._task_losses(self(inputs, training=training), inputs, training), tf.zeros([])
        )

    def train_step(self, inputs: Batch) -> dict[str, tf.Tensor]:
        """Takes a step; losses are divided by the number of replicas, which sum gradients."""
        replicas = tf.distribute.get_strategy().num_replicas_in_sync
        variables = self.trainable_variables
        with tf.GradientTape(persistent=self.balancer.takes_many_gradients) as tape:
            embedded = self.embedding(inputs)
            logits = self.predict_logits(embedded, training=True)
            losses = self._task_losses(logits, inputs, training=True)
            sums = [replica_mean(tf.reduce_sum(inputs[t.weight_key])) for t in self.tasks]
            known = [total > 0 for total in sums]
            objective = self.balancer.objective(losses, tf.cast(tf.stack(known), tf.float32))
            penalty = tf.add_n([*self.losses, self._embedding_penalty(embedded)])
            step = Step(
                tape=tape,
                losses=tuple(loss / replicas for loss in losses),
                penalty=penalty / replicas,
                objective=(objective + penalty) / replicas,
                variables=variables,
                shared=[*self.interaction.trainable_weights, *self.trunk.shared_variables],
                last_shared=self.trunk.last_shared_variables,
                below=self.embedding.trainable_variables,
                embedded=embedded,
            )
        gradients = self.balancer.gradients(step)
        self.optimizer.apply_gradients(zip(gradients, variables, strict=True))
        return {metric.name: metric.result() for metric in self.train_metrics}

    def end_epoch(self, logs: Mapping[str, float]) -> dict[str, float]:
        """Passes an epoch's mean losses to the balancer, and returns its values to log."""
        self.balancer.end_epoch({task.name: logs[f"{task.name}_loss"] for task in self.tasks})
        return self.balancer.curves()

    def test_step(self, inputs: Batch) -> dict[str, tf.Tensor]:
        """Validates a batch without regularisers; metrics are means over all rows so far."""
        self.compute_loss(inputs, training=False)
        return {metric.name: metric.result() for metric in self.test_metrics}

    def _task_losses(
        self, logits: Mapping[str, tf.Tensor], inputs: Batch, training: bool
    ) -> list[tf.Tensor]:
        """Masked loss times `loss_weight` of each task, a float32 scalar; also updates metrics."""
        losses = []
        for task in self.tasks:
            labels, weights = inputs[task.label_key], inputs[task.weight_key]
            loss = self.heads[task.name].loss(logits[task.name], labels, weights)
            weight = replica_mean(tf.reduce_sum(weights))
            self.task_means[task.name].update_state(loss, sample_weight=weight)
            if not training and task.kind == "binary":
                self.task_aucs[task.name].update_state(labels, logits[task.name], weights)
            losses.append(task.loss_weight * loss)
        total = sum(losses, tf.zeros([]))
        num_rows = replica_mean(tf.cast(tf.shape(labels)[0], tf.float32))
        self.loss_mean.update_state(total, sample_weight=num_rows)
        return losses

    def _embedding_penalty(self, embedded: tf.Tensor) -> tf.Tensor:
        """Penalty on embeddings: sum of squares of a row's embeddings, averaged over rows."""
        if not self._embedding_l2:
            return tf.zeros([])
        width = self.embedding.output_width - 2 * len(self.embedding.dense)
        read = tf.cast(embedded[:, :width], tf.float32)
        return self._embedding_l2 * tf.reduce_mean(tf.reduce_sum(tf.square(read), axis=1))

    @property
    def train_metrics(self) -> list[keras.metrics.Metric]:
        """Metrics of training steps: mean losses."""
        return [self.loss_mean, *self.task_means.values()]

    @property
    def test_metrics(self) -> list[keras.metrics.Metric]:
        """Metrics of validation steps: mean losses, and AUCs of binary tasks."""
        return [*self.train_metrics, *self.task_aucs.values()]


def make_optimizer(ranker: MultiTaskRanker, config: ModelConfig) -> Any:
    """Makes the optimizers: Adagrad for tables, Adam for dense weights, for routing and balancer.

    Adam updates the moments of every row at every step; Adagrad touches only the rows of the batch.
    Its accumulator starts near zero, because the gradient of a row in a mean over the batch is
    small: with Keras's 0.1 a row would hardly move in its first hundreds of updates. The variables
    must exist: call the ranker once before.
    """
    training = config.training
    tables = list(ranker.embedding.tables.values())
    others = {
        variable.ref()
        for variables in (tables, ranker.trunk.routing_variables, ranker.balancer.trainable_weights)
        for variable in variables
    }

    def dense_variables() -> list[tf.Variable]:
        return [v for v in ranker.trainable_variables if v.ref() not in others]

    adam = keras.optimizers.Adam(
        learning_rate(training.schedule, training.learning_rate),
        weight_decay=training.weight_decay,
        global_clipnorm=training.clip_norm,
    )
    if training.weight_decay is not None:
        adam.exclude_from_weight_decay(var_names=list(_NOT_DECAYED))
    groups = [(adam, dense_variables)]
    if tables:
        adagrad = keras.optimizers.Adagrad(
            learning_rate(training.schedule, training.embedding_learning_rate),
            initial_accumulator_value=1e-5,
        )
        groups.append((adagrad, lambda: tables))
    for rate, variables in (
        (routing_learning_rate(config.trunk), lambda: ranker.trunk.routing_variables),
        (balance_learning_rate(training.balance), lambda: ranker.balancer.trainable_weights),
    ):
        if rate is not None and variables():
            own_adam = keras.optimizers.Adam(learning_rate(training.schedule, rate))
            groups.append((own_adam, variables))
    return tfrs.experimental.optimizers.CompositeOptimizer(groups)
