"""Balancers that combine the tasks' gradients of the weights that tasks share.

Shape letters: T tasks.
"""

import abc
from collections.abc import Sequence

import tensorflow as tf

from taskroute.models.balance.balancer import Balancer, Gradient, Step


class GradientSurgery(Balancer, abc.ABC):
    """Replaces the sum of the tasks' gradients by another combination of them.

    Only in the trunk's dense weights: routing weights, towers, heads and embedding tables get the
    plain sum, the tables because rows of a batch are others than those of the next, and because
    what one table holds is a million weights that no task shares with another row. Regularisers
    are added afterwards.

    A combination of the gradients is T numbers, and all that projections and angles need of them is
    their products, a (T, T) matrix. The way back runs from each task's loss to the trunk's input,
    and once for all from there to the tables.
    """

    takes_many_gradients = True

    @abc.abstractmethod
    def coefficients(self, gram: tf.Tensor) -> tf.Tensor:
        """What each task's gradient is multiplied by: float32 (T,); all ones is the plain sum.

        Args:
            gram: Products of the tasks' gradients; a row of zeros for a task without one.
        """

    def gradients(self, step: Step) -> list[Gradient]:
        below = {variable.ref() for variable in step.below}
        dense = [variable for variable in step.variables if variable.ref() not in below]
        by_task = [step.tape.gradient(loss, [*dense, step.embedded]) for loss in step.losses]
        cotangents = [gradients.pop() for gradients in by_task]
        total = {
            variable.ref(): _add(gradients)
            for variable, gradients in zip(dense, zip(*by_task, strict=True), strict=True)
        }
        total |= self._of_shared(step, dense, by_task)
        cotangent = _add(cotangents)
        if cotangent is not None and step.below:
            of_below = step.tape.gradient(step.embedded, step.below, output_gradients=cotangent)
            total |= {v.ref(): gradient for v, gradient in zip(step.below, of_below, strict=True)}
        of_penalty = step.tape.gradient(step.penalty, step.variables)
        return [
            _add([total.get(variable.ref()), gradient])
            for variable, gradient in zip(step.variables, of_penalty, strict=True)
        ]

    def _of_shared(
        self, step: Step, dense: Sequence[tf.Variable], by_task: Sequence[list[Gradient]]
    ) -> dict[object, Gradient]:
        """By reference of each shared variable, the combination of its tasks' gradients."""
        place = {variable.ref(): index for index, variable in enumerate(dense)}
        places = [place[variable.ref()] for variable in step.shared]
        own = [[gradients[index] for index in places] for gradients in by_task]
        stacks = stacked(own, step.shared)
        replicas = tf.distribute.get_strategy().num_replicas_in_sync
        stacks = [stack / replicas for stack in sum_over_replicas(stacks)]
        coefficients = tf.stop_gradient(self.coefficients(_gram(stacks, len(self.tasks))))
        return {
            variable.ref(): tf.tensordot(coefficients, stack, 1)
            for variable, stack in zip(step.shared, stacks, strict=True)
        }


def gram_matrix(
    by_task: Sequence[Sequence[Gradient]], variables: Sequence[tf.Variable]
) -> tf.Tensor:
    """Products of the tasks' gradients, each taken as one vector over all variables: (T, T).

    Args:
        by_task: For each task, the gradient of each variable; on several replicas, its share.
        variables: What the gradients are of.
    """
    return _gram(sum_over_replicas(stacked(by_task, variables)), len(by_task))


def stacked(
    by_task: Sequence[Sequence[Gradient]], variables: Sequence[tf.Variable]
) -> list[tf.Tensor]:
    """For each variable, its gradients task by task, float32 (T, ...); 0 where there is none."""
    return [
        tf.stack(
            [
                tf.zeros(variable.shape) if gradients[index] is None else gradients[index]
                for gradients in by_task
            ]
        )
        for index, variable in enumerate(variables)
    ]


def sum_over_replicas(tensors: list[tf.Tensor]) -> list[tf.Tensor]:
    """Sums of what the replicas of a distribution strategy hold; alone, the tensors themselves."""
    if tf.distribute.get_strategy().num_replicas_in_sync == 1 or not tensors:
        return tensors
    context = tf.distribute.get_replica_context()
    summed: list[tf.Tensor] = context.all_reduce(tf.distribute.ReduceOp.SUM, tensors)
    return summed


def _gram(stacks: Sequence[tf.Tensor], num_tasks: int) -> tf.Tensor:
    total = tf.zeros([num_tasks, num_tasks])
    for stack in stacks:
        flat = tf.reshape(stack, [num_tasks, -1])
        total += tf.matmul(flat, flat, transpose_b=True)
    return total


def _add(gradients: Sequence[Gradient]) -> Gradient:
    """The sum of those that are there; None where none is."""
    there = [gradient for gradient in gradients if gradient is not None]
    if len(there) < 2:
        return there[0] if there else None
    if all(isinstance(gradient, tf.IndexedSlices) for gradient in there):
        return tf.IndexedSlices(
            tf.concat([gradient.values for gradient in there], axis=0),
            tf.concat([gradient.indices for gradient in there], axis=0),
            there[0].dense_shape,
        )
    return tf.add_n([tf.convert_to_tensor(gradient) for gradient in there])
