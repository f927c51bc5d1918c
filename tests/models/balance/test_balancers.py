"""Each balancer on losses whose answers are known by hand: quadratics over shared weights."""

from dataclasses import dataclass, field
from typing import get_args

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras
from pydantic import TypeAdapter

from taskroute.models.balance.balancer import Balancer, Step
from taskroute.models.balance.cagrad import CaGrad
from taskroute.models.balancers import build_balancer
from taskroute.schemas import balance
from taskroute.schemas.tasks import Task

KINDS = [
    get_args(kind.model_fields["kind"].annotation)[0]
    for kind in get_args(get_args(balance.Balance)[0])
]
BINARY = Task(name="click", label={"column": "c"})
REGRESSION = Task(name="watch", kind="regression", label={"column": "w"})


def make(kind, tasks=(BINARY, REGRESSION), **options) -> Balancer:
    keras.utils.set_random_seed(options.pop("seed", 1))
    config = TypeAdapter(balance.Balance).validate_python({"kind": kind, **options})
    return build_balancer(config, tasks)


@dataclass
class World:
    """Weights that two tasks share, a table under them, and a tower of each task.

    The loss of task t is `scale_t / 2 |shared + table - goal_t|^2 + tower_t`.
    """

    goals: np.ndarray
    scales: tuple[float, ...] = (1.0, 1.0)
    dtype: str = "float32"
    shared: tf.Variable = field(init=False)

    def __post_init__(self):
        width = np.shape(self.goals)[1]
        self.shared = tf.Variable(tf.zeros([width]))
        self.table = tf.Variable(tf.zeros([4, width]))
        self.towers = [tf.Variable(0.0) for _ in self.goals]

    def losses(self, embedded):
        x = tf.cast(self.shared, self.dtype) + tf.cast(embedded, self.dtype)
        return [
            scale / 2 * tf.reduce_sum(tf.square(tf.cast(x, tf.float32) - goal)) + tower
            for scale, goal, tower in zip(self.scales, self.goals, self.towers, strict=True)
        ]

    def gradients(self, *arguments, **options):
        """Weights of the trunk, table, then towers, and at last the balancer's own variables."""
        gradients = self.gradients_of(*arguments, **options)
        return [None if g is None else tf.convert_to_tensor(g).numpy() for g in gradients]

    def gradients_of(self, balancer, known=(1.0, 1.0), penalty=0.0):
        own = balancer.trainable_variables
        with tf.GradientTape(persistent=balancer.takes_many_gradients) as tape:
            embedded = tf.reduce_sum(tf.gather(self.table, [1, 1]), axis=0) / 2
            losses = [
                loss * task.loss_weight if is_known else tf.zeros([])
                for loss, task, is_known in zip(
                    self.losses(embedded), balancer.tasks, known, strict=True
                )
            ]
            objective = balancer.objective(losses, tf.constant(known))
            penalty = penalty * tf.reduce_sum(self.shared)
            step = Step(
                tape=tape,
                losses=tuple(losses),
                penalty=penalty,
                objective=objective + penalty,
                variables=[self.shared, self.table, *self.towers, *own],
                shared=[self.shared],
                last_shared=[self.shared],
                below=[self.table],
                embedded=embedded,
            )
        return balancer.gradients(step)


CONFLICT = np.array([[1.0, 0.0], [-1.0, 1.0]], np.float32)  # gradients at 0: (-1, 0), (1, -1)
ACCORD = np.array([[1.0, 0.0], [1.0, 1.0]], np.float32)


def test_fixed_is_the_plain_sum_by_loss_weight():
    heavy = Task(name="watch", kind="regression", label={"column": "w"}, loss_weight=3.0)
    gradients = World(CONFLICT).gradients(make("fixed", (BINARY, heavy)))
    np.testing.assert_array_equal(gradients[0], [-1 + 3, -3])
    assert gradients[2:] == [1.0, 3.0]


@pytest.mark.parametrize("task", [BINARY, REGRESSION], ids=lambda task: task.kind)
def test_uncertainty_settles_where_each_loss_weighs_one_over_twice_itself(task):
    balancer = make("uncertainty", (task, task))
    losses = [tf.constant(0.2), tf.constant(7.0)]
    optimizer = keras.optimizers.Adam(0.1)
    for _ in range(400):
        with tf.GradientTape() as tape:
            objective = balancer.objective(losses, tf.ones(2))
        variables = balancer.trainable_variables
        optimizer.apply_gradients(zip(tape.gradient(objective, variables), variables, strict=True))
    np.testing.assert_allclose(balancer.task_weights(), [1 / 0.4, 1 / 14], rtol=1e-3)
    with tf.GradientTape() as tape:
        tape.watch(losses)
        objective = balancer.objective(losses, tf.ones(2))
    np.testing.assert_allclose(tape.gradient(objective, losses), [1 / 0.4, 1 / 14], rtol=1e-3)


def test_uncertainty_starts_at_the_optimum_of_base_rates():
    balancer = make("uncertainty")
    balancer.start({"click": 0.3, "watch": 900.0})
    np.testing.assert_allclose(balancer.task_weights(), [1 / 0.6, 1 / 1800], rtol=1e-5)


def test_uncertainty_keeps_what_it_knows_of_a_task_without_rows():
    balancer = make("uncertainty")
    balancer.start({"click": 0.1, "watch": 0.1})
    *_, own = World(CONFLICT).gradients(balancer, known=(1.0, 0.0))
    assert own[0] != 0
    assert own[1] == 0


def test_loss_weight_multiplies_what_uncertainty_finds():
    double = Task(name="watch", kind="regression", label={"column": "w"}, loss_weight=2.0)
    plain = World(ACCORD).gradients(make("uncertainty"))
    doubled = World(ACCORD).gradients(make("uncertainty", (BINARY, double)))
    np.testing.assert_allclose(doubled[3], 2 * plain[3])
    np.testing.assert_allclose(doubled[4][1], 2 * plain[4][1])


def test_gradnorm_brings_the_gradients_of_unequal_tasks_to_one_norm():
    world = World(np.array([[1.0, 0.0], [0.0, 1.0]], np.float32), scales=(10.0, 0.1))
    balancer = make("gradnorm", alpha=0.0)
    balancer.start({"click": 5.0, "watch": 0.05})
    step = tf.function(lambda: world.gradients_of(balancer)[0])
    for _ in range(300):
        step()
    weights = balancer.task_weights().numpy()
    assert weights.sum() == pytest.approx(2.0)
    # Norms are 10 and 0.1: the weights are 0.02 / 1.01 and 2 / 1.01.
    assert weights[0] * 10 == pytest.approx(weights[1] * 0.1, rel=0.1)
    np.testing.assert_allclose(weights, [0.02 / 1.01, 2 / 1.01], rtol=0.1)


def test_a_step_of_gradnorm_is_what_is_worked_out_by_hand():
    world = World(np.array([[3.0, 0.0], [0.0, 1.0]], np.float32))
    balancer = make("gradnorm", alpha=1.0, learning_rate=0.1)
    balancer.start({"click": 4.5, "watch": 1.0})  # of its first loss is left: 1 and 1/2
    gradients = world.gradients(balancer)
    np.testing.assert_allclose(gradients[0], [-3, -1])  # by the weights before the update
    # Norms 3 and 1, mean 2; rates 4/3 and 2/3; goals 8/3 and 4/3. Too much of one, too little of
    # the other: logarithms fall by 0.1 * 3 / 2 and rise by 0.1 * 1 / 2; the sum is 2 again.
    moved = np.exp([-0.15, 0.05])
    np.testing.assert_allclose(balancer.task_weights(), 2 * moved / moved.sum(), rtol=1e-5)


def test_gradnorm_favours_the_task_that_learns_slowly():
    world = World(np.array([[1.0, 0.0], [0.0, 1.0]], np.float32))
    balancer = make("gradnorm", alpha=1.0)
    balancer.start({"click": 5.0, "watch": 0.5})  # a tenth of one is left, all of the other
    world.gradients(balancer)
    slow, fast = balancer.task_weights().numpy()[::-1]
    assert slow > 1 > fast


def test_gradnorm_does_not_depend_on_the_scale_of_all_losses():
    weights = []
    for scale in (1.0, 1e-4):
        goals = np.array([[1.0, 0.0], [0.0, 1.0]], np.float32)
        world, balancer = World(goals, scales=(3 * scale, scale)), make("gradnorm", alpha=0.0)
        for _ in range(5):
            world.gradients(balancer)
        weights.append(balancer.task_weights().numpy())
    np.testing.assert_allclose(*weights, rtol=1e-5)


def test_gradnorm_survives_a_loss_that_is_not_finite():
    world, balancer = World(CONFLICT, scales=(float("inf"), 1.0)), make("gradnorm")
    world.gradients(balancer)
    np.testing.assert_array_equal(balancer.task_weights(), [1, 1])


def test_dwa_gives_the_weights_that_are_worked_out_by_hand():
    balancer = make("dwa", temperature=2.0)
    balancer.end_epoch({"click": 0.5, "watch": 8.0})
    np.testing.assert_array_equal(balancer.task_weights(), [1, 1])
    balancer.end_epoch({"click": 0.4, "watch": 2.0})
    shares = np.exp([0.8 / 2, 0.25 / 2])
    np.testing.assert_allclose(balancer.task_weights(), 2 * shares / shares.sum(), rtol=1e-6)
    gradients = World(ACCORD).gradients(balancer)
    np.testing.assert_allclose(gradients[2:], 2 * shares / shares.sum(), rtol=1e-6)


def test_dwa_waits_for_a_task_that_had_no_row_in_an_epoch():
    balancer = make("dwa")
    balancer.end_epoch({"click": 0.5, "watch": 0.0})
    balancer.end_epoch({"click": 0.5, "watch": 3.0})
    np.testing.assert_allclose(balancer.task_weights(), [1, 1])


def test_pcgrad_takes_out_what_goes_against_the_other_task():
    gradients = World(CONFLICT).gradients(make("pcgrad"))
    # a = (-1, 0), b = (1, -1), a.b = -1. a - (-1/2) b = (-1/2, -1/2); b - (-1) a = (0, -1).
    np.testing.assert_allclose(gradients[0], [-0.5, -1.5], rtol=1e-6)


def test_pcgrad_leaves_gradients_that_agree_as_they_are():
    np.testing.assert_allclose(World(ACCORD).gradients(make("pcgrad"))[0], [-2, -1], rtol=1e-6)


@pytest.mark.parametrize("kind", ["pcgrad", "cagrad"])
def test_surgery_is_on_shared_weights_only(kind):
    gradients, plain = (World(CONFLICT).gradients(make(k)) for k in (kind, "fixed"))
    assert not np.allclose(gradients[0], plain[0])
    for of_surgery, of_sum in zip(gradients[1:], plain[1:], strict=True):
        np.testing.assert_allclose(of_surgery, of_sum, rtol=1e-6)
    assert np.any(plain[1] != 0)


@pytest.mark.parametrize("kind", ["pcgrad", "cagrad"])
def test_a_regulariser_is_added_after_the_surgery(kind):
    with_penalty = World(CONFLICT).gradients(make(kind), penalty=0.25)
    without = World(CONFLICT).gradients(make(kind))
    np.testing.assert_allclose(with_penalty[0], without[0] + 0.25, rtol=1e-6)


def test_pcgrad_of_three_tasks_meets_the_others_in_an_order_drawn_by_the_seed():
    tasks = [Task(name=name, label={"column": name}) for name in "abc"]
    goals = np.array([[1.0, 0.0], [-1.0, 0.3], [-0.2, -1.0]], np.float32)
    first, second, other = (
        [World(goals, (1.0,) * 3).gradients(b, (1.0,) * 3)[0] for _ in range(8)]
        for b in (make("pcgrad", tasks, seed=s) for s in (1, 1, 2))
    )
    np.testing.assert_array_equal(first, second)
    assert np.any(np.array(first) != np.array(other))
    by_hand = _pcgrad_by_loops(-goals)
    assert all(any(np.allclose(g, h, atol=1e-5) for h in by_hand) for g in first)


def _pcgrad_by_loops(gradients):
    """Algorithm 1 as it is printed, for every choice of orders."""
    import itertools

    results = []
    others = [[j for j in range(3) if j != i] for i in range(3)]
    for orders in itertools.product(*(itertools.permutations(o) for o in others)):
        total = np.zeros(2)
        for i, order in enumerate(orders):
            mine = gradients[i].astype(float)
            for j in order:
                if mine @ gradients[j] < 0:
                    mine = mine - mine @ gradients[j] / (gradients[j] @ gradients[j]) * gradients[j]
            total += mine
        results.append(total)
    return results


def test_cagrad_of_radius_zero_is_the_plain_sum():
    np.testing.assert_allclose(
        World(CONFLICT).gradients(make("cagrad", radius=0.0))[0], [0, -1], atol=1e-6
    )


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("count", [2, 4])
def test_cagrad_finds_the_step_that_helps_the_worst_task_most(count, seed):
    random = np.random.default_rng(seed)
    gradients = random.normal(size=(count, 3)) * random.uniform(0.3, 3, size=(count, 1))
    tasks = [Task(name=f"t{index}", label={"column": "c"}) for index in range(count)]
    gram = tf.constant(gradients @ gradients.T, tf.float32)
    balancer = CaGrad(balance.CaGradBalance(radius=0.5), tasks)
    step = balancer.coefficients(gram).numpy() @ gradients / count
    mean = gradients.mean(axis=0)
    assert np.linalg.norm(step - mean) == pytest.approx(0.5 * np.linalg.norm(mean), rel=1e-3)
    # No direction of 20,000 on the ball does better for the worst task.
    directions = random.normal(size=(20_000, 3))
    directions *= 0.5 * np.linalg.norm(mean) / np.linalg.norm(directions, axis=1, keepdims=True)
    best = np.min((mean + directions) @ gradients.T, axis=1).max()
    assert np.min(gradients @ step) >= best - 0.02 * np.linalg.norm(mean) ** 2


@pytest.mark.parametrize("kind", KINDS)
class TestEveryBalancer:
    def test_a_task_without_rows_leaves_the_other_alone(self, kind):
        balancer = make(kind)
        gradients = World(CONFLICT).gradients(balancer, known=(1.0, 0.0))
        alone = np.array([-1.0, 0.0]) * gradients[2]
        np.testing.assert_allclose(gradients[0], alone * gradients[0][0] / alone[0], atol=1e-6)
        assert gradients[0][0] < 0
        assert not gradients[3]
        assert np.all(np.isfinite(balancer.task_weights()))

    def test_a_batch_without_any_row_moves_nothing(self, kind):
        balancer = make(kind)
        before = [weight.numpy() for weight in balancer.weights if "noise" not in weight.name]
        gradients = World(CONFLICT).gradients(balancer, known=(0.0, 0.0))
        assert all(g is None or not np.any(g) for g in gradients)
        after = [weight.numpy() for weight in balancer.weights if "noise" not in weight.name]
        for old, new in zip(before, after, strict=True):
            np.testing.assert_allclose(new, old)

    @pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
    def test_half_precision_of_the_layers_changes_little(self, kind, dtype):
        full = World(CONFLICT).gradients(make(kind))
        half = World(CONFLICT, dtype=dtype).gradients(make(kind))
        for one, other in zip(full, half, strict=True):
            np.testing.assert_allclose(other, one, rtol=0.02, atol=0.02)

    def test_it_finds_the_optimum_where_the_tasks_agree_on_it(self, kind):
        world = World(np.array([[1.0, -2.0]] * 2, np.float32), scales=(4.0, 0.2))
        balancer = make(kind)
        step = tf.function(lambda: world.shared.assign_sub(0.1 * world.gradients_of(balancer)[0]))
        for _ in range(200):
            step()
        np.testing.assert_allclose(world.shared, [1, -2], atol=1e-3)

    def test_what_it_remembers_is_in_a_checkpoint(self, kind, tmp_path):
        balancer, other = make(kind), make(kind, seed=5)
        balancer.start({"click": 0.3, "watch": 4.0})
        for epoch in range(3):
            World(CONFLICT).gradients(balancer)
            balancer.end_epoch({"click": 0.5 / (epoch + 1), "watch": 2.0})
        path = tf.train.Checkpoint(weights=list(balancer.weights)).write(str(tmp_path / "one"))
        tf.train.Checkpoint(weights=list(other.weights)).read(path).assert_consumed()
        for weight, restored in zip(balancer.weights, other.weights, strict=True):
            np.testing.assert_array_equal(weight, restored)
        np.testing.assert_array_equal(balancer.task_weights(), other.task_weights())


def test_the_balancers_differ_where_gradients_conflict():
    found = {}
    for kind in KINDS:
        balancer = make(kind)
        balancer.start({"click": 2.0, "watch": 2.0})
        balancer.end_epoch({"click": 1.0, "watch": 1.0})
        balancer.end_epoch({"click": 0.5, "watch": 1.0})
        world = World(CONFLICT, scales=(3.0, 0.5))
        world.gradients(balancer)
        found[kind] = world.gradients(balancer)[0]
    for kind in KINDS:
        for other in KINDS[: KINDS.index(kind)]:
            assert not np.allclose(found[kind], found[other], rtol=1e-3), (kind, other)
