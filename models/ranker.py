"""The multi-task ranker: embed, share through a trunk, and predict one value a task."""

from collections.abc import Mapping
from typing import Any

import tensorflow as tf
import tensorflow_recommenders as tfrs
import tf_keras as keras

from taskroute.models.layers.embedding import FeatureEmbedding
from taskroute.models.layers.mlp import Mlp
from taskroute.models.layers.trunk import Trunk
from taskroute.models.losses import task_loss
from taskroute.models.metrics import LogitAuc
from taskroute.models.trunks import build_trunk, routing_learning_rate
from taskroute.schemas.recommender import ModelConfig
from taskroute.schemas.tasks import Task

Batch = Mapping[str, tf.Tensor | tf.RaggedTensor]


class MultiTaskRanker(tfrs.models.Model):
    """Predicts every task of a row from one embedding, one trunk and a tower for each task.

    Args:
        config: Decides the layers.
        num_ids: Number of ids of each feature that has any, by name.
    """

    def __init__(self, config: ModelConfig, num_ids: Mapping[str, int]):
        super().__init__(name="ranker")
        self.tasks = config.tasks
        self.embedding = FeatureEmbedding(config.features, num_ids, name="embedding")
        task_names = [task.name for task in config.tasks]
        self.trunk: Trunk = build_trunk(config.trunk, task_names, self.embedding.output_width)
        self.towers = {
            task.name: Mlp(config.towers.units, name=f"tower_{task.name}") for task in self.tasks
        }
        self.heads = {
            task.name: keras.layers.Dense(1, dtype="float32", name=f"head_{task.name}")
            for task in self.tasks
        }
        self.loss_mean = keras.metrics.Mean(name="loss")
        self.task_means = {
            task.name: keras.metrics.Mean(name=f"{task.name}_loss") for task in self.tasks
        }
        self.task_aucs = {
            task.name: LogitAuc(name=f"{task.name}_auc")
            for task in self.tasks
            if task.kind == "binary"
        }

    def call(self, inputs: Batch, training: bool = False) -> dict[str, tf.Tensor]:
        """Maps transformed features to one float32 (B,) tensor of logits a task."""
        return self.predict_logits(self.embedding(inputs), training=training)

    def predict_logits(self, embedded: tf.Tensor, training: bool = False) -> dict[str, tf.Tensor]:
        """Maps what the trunk reads, (B, D), to one float32 (B,) tensor of logits a task."""
        return self.task_logits(self.trunk(embedded, training=training), training=training)

    def task_logits(
        self, shared: Mapping[str, tf.Tensor], training: bool = False
    ) -> dict[str, tf.Tensor]:
        """Maps what each task receives from the trunk to its float32 (B,) logits."""
        logits = {}
        for task in self.tasks:
            tower = self.towers[task.name](shared[task.name], training=training)
            logits[task.name] = tf.squeeze(self.heads[task.name](tower), axis=1)
        return logits

    def predict_values(self, inputs: Batch) -> dict[str, tf.Tensor]:
        """Maps transformed features to what is served: float32 (B,) a task.

        A probability for a binary task; the label column's own unit for a regression.
        """
        return self.predictions(self(inputs, training=False))

    def predictions(self, logits: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Maps the tasks' logits to what is served."""
        return {task.name: prediction(task, logits[task.name]) for task in self.tasks}

    def model_weights(self) -> list[tf.Variable]:
        """The weights that predictions need: without metrics and optimizer."""
        layers = (self.embedding, self.trunk, *self.towers.values(), *self.heads.values())
        return [weight for layer in layers for weight in layer.weights]

    def compute_loss(self, inputs: Batch, training: bool = False) -> tf.Tensor:
        """The sum of the tasks' masked losses by their weights: a float32 scalar."""
        logits = self(inputs, training=training)
        total = tf.zeros([])
        for task in self.tasks:
            labels, weights = inputs[task.label_key], inputs[task.weight_key]
            loss = task_loss(task, logits[task.name], labels, weights)
            self.task_means[task.name].update_state(loss, sample_weight=tf.reduce_sum(weights))
            if not training and task.kind == "binary":
                self.task_aucs[task.name].update_state(labels, logits[task.name], weights)
            total += task.loss_weight * loss
        self.loss_mean.update_state(total, sample_weight=tf.shape(inputs[labels_key(self)])[0])
        return total

    def train_step(self, inputs: Batch) -> dict[str, tf.Tensor]:
        """One step; losses are divided by the number of replicas, whose gradients are summed."""
        with tf.GradientTape() as tape:
            loss = self.compute_loss(inputs, training=True)
            total = loss + tf.add_n([*self.losses, tf.zeros([])])
            total /= tf.distribute.get_strategy().num_replicas_in_sync
        gradients = tape.gradient(total, self.trainable_variables)
        self.optimizer.apply_gradients(zip(gradients, self.trainable_variables, strict=True))
        return {metric.name: metric.result() for metric in self._loss_metrics()}

    def test_step(self, inputs: Batch) -> dict[str, tf.Tensor]:
        """Validation without regularisers: means over all rows, not the last batch's."""
        self.compute_loss(inputs, training=False)
        aucs = self.task_aucs.values()
        return {metric.name: metric.result() for metric in (*self._loss_metrics(), *aucs)}

    def _loss_metrics(self) -> list[keras.metrics.Metric]:
        return [self.loss_mean, *self.task_means.values()]


def labels_key(ranker: MultiTaskRanker) -> str:
    return ranker.tasks[0].label_key


def prediction(task: Task, logits: tf.Tensor) -> tf.Tensor:
    """From logits to what is served for `task`."""
    if task.kind == "binary":
        return tf.sigmoid(logits)
    if task.label.transform == "log1p":
        return tf.math.expm1(tf.clip_by_value(logits, 0.0, 60.0))
    return logits


def make_optimizer(ranker: MultiTaskRanker, config: ModelConfig) -> Any:
    """Adagrad for tables, Adam for dense weights, Adam of its own for routing.

    Adam keeps moments of every row and updates them all at every step; Adagrad touches the rows of
    the batch only. Its accumulator starts near zero, because the gradient of a row in a mean over
    the batch is small: Keras's 0.1 would hold a row still for its first hundreds of updates. The
    variables must exist: call the ranker once before.
    """
    routing = {variable.ref() for variable in ranker.trunk.routing_variables}
    tables = {variable.ref() for variable in ranker.embedding.trainable_variables}

    def dense_variables() -> list[tf.Variable]:
        return [v for v in ranker.trainable_variables if v.ref() not in routing | tables]

    groups = [(keras.optimizers.Adam(config.training.learning_rate), dense_variables)]
    if tables:
        adagrad = keras.optimizers.Adagrad(
            config.training.embedding_learning_rate, initial_accumulator_value=1e-5
        )
        groups.append((adagrad, lambda: ranker.embedding.trainable_variables))
    if routing:
        adam = keras.optimizers.Adam(routing_learning_rate(config.trunk))
        groups.append((adam, lambda: ranker.trunk.routing_variables))
    return tfrs.experimental.optimizers.CompositeOptimizer(groups)
