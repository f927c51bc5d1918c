"""Balancers that combine the tasks' gradients of the weights that tasks share.

Shape letters: T tasks.
"""

import abc
from collections.abc import Sequence

import tensorflow as tf

from taskroute.models.balance.balancer import Balancer, Gradient, Step


class GradientSurgery(Balancer, abc.ABC):
    """Replaces the sum of the tasks' gradients by another combination of them.

    The combination applies to the trunk's dense weights. Routing weights, towers, heads and
    embedding tables get the plain sum; the tables because each batch reads other rows. Regularisers
    are added afterwards.

    Projections and angles depend only on the products of the gradients, a (T, T) matrix, and the
    combination is T numbers. Backpropagation runs from each task's loss to the trunk's input, and
    once for all tasks from there to the tables.
    """

    takes_many_gradients = True

    @abc.abstractmethod
    def coefficients(self, gram: tf.Tensor) -> tf.Tensor:
        """Factors of the tasks' gradients: float32 (T,); all ones is the plain sum.

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
        total |= self._shared_gradients(step, dense, by_task)
        cotangent = _add(cotangents)
        if cotangent is not None and step.below:
            tables = step.tape.gradient(step.embedded, step.below, output_gradients=cotangent)
            total |= {v.ref(): gradient for v, gradient in zip(step.below, tables, strict=True)}
        penalties = step.tape.gradient(step.penalty, step.variables)
        return [
            _add([total.get(variable.ref()), gradient])
            for variable, gradient in zip(step.variables, penalties, strict=True)
        ]

    def _shared_gradients(
        self, step: Step, dense: Sequence[tf.Variable], by_task: Sequence[list[Gradient]]
    ) -> dict[object, Gradient]:
        """Combined gradient of each shared variable, by its reference."""
        place = {variable.ref(): index for index, variable in enumerate(dense)}
        places = [place[variable.ref()] for variable in step.shared]
        own = [[gradients[index] for index in places] for gradients in by_task]
        stacks = stack_gradients(own, step.shared)
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
        by_task: Gradients by task, then by variable; on several replicas, their shares.
        variables: Variables of the gradients.
    """
    return _gram(sum_over_replicas(stack_gradients(by_task, variables)), len(by_task))


def stack_gradients(
    by_task: Sequence[Sequence[Gradient]], variables: Sequence[tf.Variable]
) -> list[tf.Tensor]:
    """Stacks the tasks' gradients of each variable, float32 (T, ...); 0 where there is none."""
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
    """Sums tensors over the replicas of a distribution strategy."""
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
    """Sums gradients, leaving out None; None where all are."""
    terms = [gradient for gradient in gradients if gradient is not None]
    if len(terms) < 2:
        return terms[0] if terms else None
    if all(isinstance(gradient, tf.IndexedSlices) for gradient in terms):
        return tf.IndexedSlices(
            tf.concat([gradient.values for gradient in terms], axis=0),
            tf.concat([gradient.indices for gradient in terms], axis=0),
            terms[0].dense_shape,
        )
    return tf.add_n([tf.convert_to_tensor(gradient) for gradient in terms])
