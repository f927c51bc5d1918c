"""Training of the ranker's parts together: balancers, funnels, watch time and regularisation."""

from typing import get_args

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras
from pydantic import ValidationError

from taskroute.models.training import build_ranker, finish_heads
from taskroute.schemas import balance
from taskroute.schemas.recommender import ModelConfig

KINDS = [
    get_args(kind.model_fields["kind"].annotation)[0]
    for kind in get_args(get_args(balance.Balance)[0])
]
ROWS, USERS = 512, 20
WATCH = {"name": "watch", "kind": "regression", "label": {"column": "w", "transform": "log1p"}}
TASKS = [{"name": "click", "label": {"column": "c"}}, WATCH]


def make_config(tasks=TASKS, trunk=None, towers=None, **training):
    return ModelConfig.model_validate(
        {
            "features": [
                {"name": "user", "kind": "categorical", "hash_buckets": USERS, "embedding_dim": 4},
                {"name": "age", "kind": "dense"},
            ],
            "tasks": tasks,
            "trunk": trunk or {"kind": "shared_bottom", "units": [8]},
            "towers": {"units": [8], **(towers or {})},
            "training": training,
        }
    )


def columns(config, rows=ROWS, seed=0):
    """Users click and buy as they like; watch time is log-normal where they click."""
    random = np.random.default_rng(seed)
    taste = np.random.default_rng(7).normal(size=USERS + 1)
    user = random.integers(1, USERS + 1, rows)
    click = random.random(rows) < 1 / (1 + np.exp(-taste[user]))
    after = {"click": click, "watch": np.log1p(click * random.lognormal(2, 1, rows))}
    data = {"user": user, "age": random.normal(size=rows), "age_missing": np.zeros(rows)}
    for task in config.tasks:
        data[task.label_key] = after.get(task.name, click & (random.random(rows) < 0.3))
        data[task.weight_key] = np.ones(rows)
    return {
        name: values if name == "user" else np.asarray(values, np.float32)
        for name, values in data.items()
    }


def make_ranker(config, data, batch=64):
    keras.utils.set_random_seed(1)
    dataset = tf.data.Dataset.from_tensor_slices(data).batch(batch)
    return build_ranker(config, {"user": USERS + 1}, dataset), dataset


def test_fixed_balance_trains_to_the_same_bits_as_the_sum_of_the_losses():
    config = make_config(
        trunk={"kind": "snr_trans"}, tasks=[TASKS[0], {**WATCH, "loss_weight": 0.3}]
    )
    data = columns(config)
    by_balancer, dataset = make_ranker(config, data)
    by_hand, _ = make_ranker(config, data)

    @tf.function
    def step(batch):
        with tf.GradientTape() as tape:
            total = by_hand.compute_loss(batch, training=True)
            total += tf.add_n([*by_hand.losses, tf.zeros([])])
        variables = by_hand.trainable_variables
        by_hand.optimizer.apply_gradients(
            zip(tape.gradient(total, variables), variables, strict=True)
        )

    keras.utils.set_random_seed(2)
    by_balancer.fit(dataset, epochs=1, verbose=0, shuffle=False)
    keras.utils.set_random_seed(2)
    for batch in dataset:
        step(batch)
    for one, other in zip(by_balancer.weights, by_hand.weights, strict=True):
        if "step" not in one.name:
            np.testing.assert_array_equal(one.numpy(), other.numpy(), err_msg=one.name)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "fixed"])
def test_every_balancer_trains_a_routed_ranker_with_masks_and_a_funnel(kind):
    buy = {"name": "buy", "label": {"column": "b"}, "funnel": "click"}
    trunk = {"kind": "snr_trans"} if kind == "gradnorm" else None
    config = make_config([*TASKS, buy], trunk, balance={"kind": kind})
    data = columns(config)
    data["weight/watch"] = data["label/click"]
    data["weight/watch"][:64] = 0  # a first batch without a row of this task
    ranker, dataset = make_ranker(config, data)
    before = [weight.numpy() for weight in ranker.trainable_variables]
    first = ranker.evaluate(dataset, verbose=0, return_dict=True)["loss"]
    for _ in range(2):
        logs = ranker.fit(dataset, epochs=1, verbose=0).history
        curves = ranker.end_epoch({name: values[-1] for name, values in logs.items()})
    assert ranker.evaluate(dataset, verbose=0, return_dict=True)["loss"] < first
    for weight, old in zip(ranker.trainable_variables, before, strict=True):
        assert np.any(weight.numpy() != old), weight.name
    assert set(curves) in (set(), {f"balance/{task.name}" for task in config.tasks})
    if kind in ("gradnorm", "dwa"):
        assert sum(curves.values()) == pytest.approx(3, rel=1e-5)


def test_surgery_leaves_gates_towers_and_tables_the_plain_sum():
    """One step of plain gradient descent moves all but the shared weights as `fixed` does."""
    moved = {}
    for name in ("fixed", "pcgrad"):
        config = make_config(trunk={"kind": "snr_trans"}, balance={"kind": name})
        data = columns(config)
        data["label/watch"] = (3 - data["label/watch"]).astype("float32")  # against the click
        ranker, dataset = make_ranker(config, data, batch=ROWS)
        ranker.compile(optimizer=keras.optimizers.SGD(1.0))
        before = [weight.numpy() for weight in ranker.trainable_variables]
        keras.utils.set_random_seed(3)
        ranker.fit(dataset, epochs=1, verbose=0)
        after = [weight.numpy() for weight in ranker.trainable_variables]
        moved[name] = [new - old for new, old in zip(after, before, strict=True)]
    shared = {weight.ref() for weight in ranker.trunk.shared_variables}
    routing = {weight.ref() for weight in ranker.trunk.routing_variables}
    assert shared
    assert routing
    assert not shared & routing
    differs = {
        weight.ref()
        for weight, one, other in zip(ranker.trainable_variables, *moved.values(), strict=True)
        if not np.allclose(one, other, rtol=1e-4, atol=1e-6)
    }
    assert differs
    assert differs <= shared


def test_mixed_precision_trains_with_a_balancer_of_many_gradients():
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        config = make_config(balance={"kind": "pcgrad"})
        ranker, dataset = make_ranker(config, columns(config))
        assert ranker.trunk.compute_dtype == "bfloat16"
        history = ranker.fit(dataset, epochs=2, verbose=0).history["loss"]
    finally:
        keras.mixed_precision.set_global_policy("float32")
    assert np.isfinite(history).all()
    assert history[-1] < history[0]
    assert ranker.balancer.task_weights().dtype == tf.float32


def test_a_funnel_finds_the_conversion_rate_of_all_rows_where_few_are_clicked():
    """One kind of user clicks ten times as often as the other and buys six times as rarely."""
    random = np.random.default_rng(0)
    rows = 40_000
    user = random.integers(1, 3, rows)
    age = random.normal(size=rows).astype("float32")
    rate = np.where(user == 1, 0.05, 0.5) / (1 + np.exp(-2 * age))
    click = random.random(rows) < rate
    conversion = np.where(user == 1, 0.6, 0.1)
    buy = click & (random.random(rows) < conversion)
    tasks = [TASKS[0], {"name": "buy", "label": {"column": "b"}, "funnel": "click"}]
    config = make_config(tasks, learning_rate=0.01)
    data = {"user": user, "age": age, "age_missing": np.zeros(rows, "float32")}
    for name, label in (("click", click), ("buy", buy)):
        data[f"label/{name}"] = label.astype("float32")
        data[f"weight/{name}"] = np.ones(rows, "float32")
    ranker, dataset = make_ranker(config, data, batch=1000)
    rate = float(tf.sigmoid(ranker.heads["buy"].bias)[0])
    assert rate == pytest.approx(buy.sum() / click.sum(), rel=0.01)
    ranker.fit(dataset, epochs=4, verbose=0)
    (rows_of_all,) = tf.data.Dataset.from_tensor_slices(data).batch(rows)
    values = {name: v.numpy() for name, v in ranker.predict_values(rows_of_all).items()}
    assert list(values) == ["click", "buy", "buy_after_click"]
    np.testing.assert_allclose(values["buy"], values["click"] * values["buy_after_click"], 1e-4)
    for kind, expected in ((1, 0.6), (2, 0.1)):
        assert values["buy_after_click"][user == kind].mean() == pytest.approx(expected, abs=0.06)
    assert values["buy"].mean() == pytest.approx(buy.mean(), rel=0.2)


def test_smearing_brings_the_mean_of_predictions_to_that_of_the_labels():
    config = make_config([TASKS[0], {**WATCH, "smearing": True}], learning_rate=0.01)
    data = columns(config, rows=4096)
    ranker, dataset = make_ranker(config, data)
    ranker.fit(dataset, epochs=3, verbose=0)
    (rows,) = tf.data.Dataset.from_tensor_slices(data).batch(4096)
    seconds = np.expm1(data["label/watch"]).mean()
    assert ranker.predict_values(rows)["watch"].numpy().mean() < 0.7 * seconds
    finish_heads(ranker, dataset)
    assert ranker.predict_values(rows)["watch"].numpy().mean() == pytest.approx(seconds, rel=0.02)


def test_towers_drop_units_while_training_only():
    config = make_config(towers={"dropout": 0.5})
    ranker, dataset = make_ranker(config, columns(config))
    batch = next(iter(dataset))
    twice = [ranker(batch, training=True)["click"].numpy() for _ in range(2)]
    assert np.any(twice[0] != twice[1])
    np.testing.assert_array_equal(ranker(batch)["click"], ranker(batch)["click"])


def test_l2_of_embeddings_makes_the_rows_that_are_read_smaller_and_leaves_the_rest():
    tables = []
    for penalty in (0.0, 5.0):
        config = make_config(embedding_l2=penalty)
        ranker, dataset = make_ranker(config, columns(config))
        ranker.fit(dataset, epochs=1, verbose=0)
        tables.append(ranker.embedding.tables["4"].numpy())
    assert np.square(tables[1][1:]).sum() < 0.7 * np.square(tables[0][1:]).sum()
    np.testing.assert_array_equal(tables[1][0], tables[0][0])  # of a missing value: no row has it


def moved_by_one_step(gradient, **training):
    """Movement of the weights of a tower and a table by a step of equal gradients."""
    config = make_config(**training)
    ranker, _ = make_ranker(config, columns(config, rows=64))
    variables = ranker.trainable_variables
    for variable in variables:
        variable.assign(tf.ones_like(variable))
    ranker.optimizer.apply_gradients((gradient * tf.ones_like(v), v) for v in variables)
    kernel, bias = (1 - weight.numpy() for weight in ranker.towers["click"].weights)
    return kernel.mean(), bias.mean(), (1 - ranker.embedding.tables["4"].numpy()).mean()


def test_weight_decay_makes_kernels_smaller_and_leaves_biases_and_tables_alone():
    assert moved_by_one_step(0.0) == (0, 0, 0)
    kernel, bias, table = moved_by_one_step(0.0, weight_decay=5.0, learning_rate=0.01)
    assert kernel == pytest.approx(0.05, rel=1e-3)
    assert bias == table == 0


def test_the_gradients_of_dense_weights_are_cut_to_a_norm():
    plain = moved_by_one_step(1.0)
    cut = moved_by_one_step(1.0, clip_norm=1e-9)  # below Adam's epsilon of 1e-7
    assert max(cut[:2]) < 0.02 * min(plain[:2])
    assert cut[2] == plain[2]


def test_a_schedule_multiplies_the_rates_of_dense_weights_and_tables():
    plain = moved_by_one_step(1.0)
    warmed = moved_by_one_step(1.0, schedule={"kind": "constant", "warmup_steps": 10})
    np.testing.assert_allclose(warmed, np.array(plain) / 10, rtol=1e-2)


@pytest.mark.parametrize(
    ("tasks", "words"),
    [
        ([{**WATCH, "funnel": "click"}], "`funnel` is for binary tasks"),
        ([{**TASKS[0], "name": "buy", "funnel": "watch"}, WATCH], "tasks[0].funnel: 'watch'"),
        (
            [
                {"name": "a", "label": {"column": "a"}, "funnel": "b"},
                {"name": "b", "label": {"column": "b"}, "funnel": "a"},
            ],
            "tasks[0].funnel: 'a' comes before itself",
        ),
        (
            [TASKS[0], {**TASKS[0], "name": "b", "funnel": "click", "trained_where": "click"}],
            "leave out `trained_where`",
        ),
        (
            [
                TASKS[0],
                {**TASKS[0], "name": "b", "funnel": "click"},
                {**TASKS[0], "name": "b_after_click"},
            ],
            "give that task another name",
        ),
        ([{**WATCH, "loss": "buckets"}], "leave out `label.transform`"),
        (
            [{**WATCH, "loss": "weighted_logistic", "label": {"column": "w"}}],
            "give `label.minimum: 0`",
        ),
        ([{**TASKS[0], "loss": "huber"}], "a binary task has cross entropy"),
        ([{**WATCH, "label": {"column": "w"}, "smearing": True}], "`smearing` is for"),
        ([{**TASKS[0], "weight": "age"}], "features[1]: column 'age' is a task's weight"),
    ],
)
def test_a_task_that_cannot_be_is_refused_with_what_to_do(tasks, words):
    with pytest.raises(ValidationError) as error:
        make_config(tasks)
    assert words in str(error.value)
