"""The search for a share route: its gradient, its bookkeeping, and what it refuses."""

import itertools

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras
from pydantic import ValidationError
from sklearn.metrics import roc_auc_score

from taskroute.models.layers.mtnas_routes import LocalRoute
from taskroute.models.route_policy import RoutePolicy
from taskroute.models.search import _Search, auc, search
from taskroute.models.training import build_ranker
from taskroute.schemas.errors import ConfigError, DataError
from taskroute.schemas.recommender import ModelConfig

ROWS = 512


def make_rows(seed, rows=ROWS):
    random = np.random.default_rng(seed)
    x = random.normal(size=(rows, 2)).astype("float32")
    columns = {"x": x[:, 0], "y": x[:, 1]}
    columns |= {"x_missing": np.zeros(rows, "float32"), "y_missing": np.zeros(rows, "float32")}
    for name, score in (("click", x[:, 0]), ("like", x[:, 1])):
        columns[f"label/{name}"] = (score + random.normal(size=rows) > 0).astype("float32")
        columns[f"weight/{name}"] = np.ones(rows, "float32")
    return columns


def passes(columns, batch_size):
    def make(index):
        order = np.random.default_rng(index).permutation(len(columns["x"]))
        table = {name: values[order] for name, values in columns.items()}
        return tf.data.Dataset.from_tensor_slices(table).batch(batch_size)

    return make


def make_config(tasks=("click", "like"), **settings):
    settings = {
        "epochs": 2,
        "weight_steps": 2,
        "policy_steps": 1,
        "batch_size": 128,
        "checkpoint_steps": 3,
        **settings,
    }
    return ModelConfig.model_validate(
        {
            "features": [
                {"name": name, "kind": "dense", "transform": "none"} for name in ("x", "y")
            ],
            "tasks": [{"name": name, "label": {"column": name + "ed"}} for name in tasks],
            "trunk": {
                "kind": "mtnas",
                "layers": [{"sub_networks": 2, "units": 4}, {"sub_networks": 2, "units": 3}],
                "search": settings,
            },
            "towers": {"units": []},
            "training": {"batch_size": 100},
        }
    )


TRAIN = passes(make_rows(1), 100)
VALIDATION = passes(make_rows(2), 128)(0)


def new_search(config, train=TRAIN, validation=VALIDATION, checkpoint=None):
    keras.utils.set_random_seed(config.training.seed)
    ranker = build_ranker(config, {}, train(0))
    return _Search(ranker, config, train, validation, checkpoint)


def run(config, **kwargs):
    return new_search(config, **kwargs).run()


@pytest.fixture(scope="module")
def finished():
    """An unbroken search, and what it found."""
    found = new_search(make_config())
    return found, found.run()


def without_seconds(result):
    return result.model_dump(exclude={"seconds"})


# The policy.

# Of the routes of two blocks.
REWARDS = np.array([[0.2, 1.0], [0.5, 2.0], [1.5, 0.1]])


def toy_policy():
    policy = RoutePolicy((3, 2), learning_rate=0.1)
    policy.logits[0, :3] = [0.5, -0.3, 0.0]
    policy.logits[1, :2] = [0.2, -0.4]
    return policy


def exact_gradient(policy):
    """Gradient of the expected reward, over all pairs of routes."""
    probabilities = policy.probabilities()
    gradient = np.zeros_like(probabilities)
    for first, second in itertools.product(range(3), range(2)):
        weight = probabilities[0, first] * probabilities[1, second] * REWARDS[first, second]
        for block, chosen in enumerate((first, second)):
            gradient[block] -= weight * probabilities[block]
            gradient[block, chosen] += weight
    return gradient


@pytest.mark.parametrize("baseline", ["none", "others", "constant"])
def test_the_gradient_estimate_is_unbiased(baseline):
    policy, random = toy_policy(), np.random.default_rng(1)
    estimates = []
    for _ in range(4000):
        samples = policy.sample(random, 4)
        rewards = REWARDS[samples[:, 0], samples[:, 1]]
        held_against = {
            "none": 0.0,
            "others": (rewards.sum() - rewards) / (len(rewards) - 1),
            "constant": 0.9,
        }
        advantages = (rewards - held_against[baseline])[:, np.newaxis]
        estimates.append(policy.gradient(samples, np.repeat(advantages, 2, axis=1)))
    errors = np.std(estimates, axis=0) / np.sqrt(len(estimates))
    distance = np.abs(np.mean(estimates, axis=0) - exact_gradient(policy))
    assert np.all(distance <= 3 * errors + 1e-12)
    assert np.any(np.abs(exact_gradient(policy)) > 10 * errors)


def test_routes_are_drawn_as_often_as_they_are_probable():
    policy = toy_policy()
    samples = policy.sample(np.random.default_rng(2), 20_000)
    for block, probabilities in enumerate(policy.probabilities()):
        counts = np.bincount(samples[:, block], minlength=3)
        np.testing.assert_allclose(counts / 20_000, probabilities, atol=0.015)


def test_the_entropy_gradient_is_that_of_the_entropy():
    policy, step = toy_policy(), 1e-6
    gradient = policy.entropy_gradient()
    for place in ((0, 0), (0, 2), (1, 1)):
        moved = toy_policy()
        moved.logits[place] += step
        change = (moved.entropies().sum() - policy.entropies().sum()) / step
        assert gradient[place] == pytest.approx(change, abs=1e-4)


def test_the_policy_finds_the_best_routes_of_the_toy():
    policy, random = RoutePolicy((3, 2), learning_rate=0.1), np.random.default_rng(3)
    for _ in range(400):
        samples = policy.sample(random, 4)
        rewards = REWARDS[samples[:, 0], samples[:, 1]]
        advantages = np.repeat((rewards - REWARDS.mean())[:, np.newaxis], 2, axis=1)
        policy.ascend(policy.gradient(samples, advantages))
    best = np.unravel_index(np.argmax(REWARDS), REWARDS.shape)
    assert tuple(policy.most_probable()) == best
    assert policy.relative_entropy() < 0.2
    assert policy.probabilities()[1, 2] == 0


def test_auc_is_that_of_the_oracle():
    random = np.random.default_rng(4)
    labels, logits = random.integers(0, 2, 300), random.integers(0, 9, 300) / 3
    weights = random.random(300)
    expected = roc_auc_score(labels, logits, sample_weight=weights)
    assert float(auc(*_floats(labels, logits, weights))) == pytest.approx(expected)
    assert np.isnan(auc(*_floats(np.ones(3), np.arange(3), np.ones(3))))


def _floats(*arrays):
    return [tf.constant(array, tf.float32) for array in arrays]


# The search.


def test_a_search_tells_its_route_what_it_cost_and_what_chance_would_have_found(finished):
    _, result = finished
    assert [block.block for block in result.route.blocks] == ["2.1", "2.2", "click", "like"]
    assert result.weight_steps == 3 * 6
    assert result.num_evaluations == 6 * 4
    assert len(result.history) == 6
    assert result.stopped_by == "epochs"
    assert result.control.num_routes == result.num_evaluations
    assert result.control.best_reward >= result.control.mean_reward
    assert 0 < result.derived.macs < result.supernet.macs
    for block in result.probabilities:
        assert sum(block.probabilities) == pytest.approx(1, abs=1e-5)
        assert len(block.choices) == len(block.probabilities)


def test_the_route_is_the_most_probable_one(finished):
    _, result = finished
    for block, route in zip(result.probabilities, result.route.blocks, strict=True):
        assert route == block.choices[int(np.argmax(block.probabilities))]


def test_the_random_policy_keeps_the_best_of_as_many_routes():
    found = new_search(make_config(policy="random"))
    result = found.run()
    assert result.num_evaluations == 6 * 4
    assert result.control is None
    assert not result.history
    np.testing.assert_array_equal(found.policy.probabilities()[0], np.full(4, 0.25))


def test_sampled_routes_trace_nothing_anew(finished):
    found, _ = finished
    assert found.weight_step.experimental_get_tracing_count() == 1
    assert found.judge.experimental_get_tracing_count() == 1


def test_the_same_seed_finds_the_same_route(finished):
    assert without_seconds(run(make_config())) == without_seconds(finished[1])


class KilledError(Exception):
    pass


@pytest.mark.parametrize("batches", [2, 11])
def test_a_killed_search_comes_to_what_it_would_have_come_to(batches, tmp_path, finished):
    config, checkpoint, given = make_config(), str(tmp_path / "search"), []

    def killing(index):
        def rows():
            for batch in TRAIN(index):
                given.append(1)
                # To make the ranker took one batch for its shapes and a pass for the base rates.
                if len(given) > 7 + batches:
                    raise KilledError
                yield batch

        return Iterated(rows, TRAIN(index).element_spec)

    with pytest.raises(KilledError):
        run(config, train=killing, checkpoint=checkpoint)
    resumed = run(config, checkpoint=checkpoint)
    assert without_seconds(resumed) == without_seconds(finished[1])


class Iterated:
    """Dataset as the search needs it, around a generator that may raise."""

    def __init__(self, rows, element_spec):
        self.rows, self.element_spec = rows, element_spec

    def __iter__(self):
        return self.rows()

    def skip(self, count):
        return itertools.islice(self.rows(), count, None)

    def take(self, count):
        return itertools.islice(self.rows(), count)


def test_a_checkpoint_of_another_config_is_left_alone(tmp_path):
    checkpoint = str(tmp_path / "search")
    config = make_config(max_steps=9)
    run(config, checkpoint=checkpoint)
    same, other = (new_search(c, checkpoint=checkpoint) for c in (config, make_config(samples=2)))
    same._resume()
    other._resume()
    assert (same.progress.steps, other.progress.steps) == (9, 0)


def test_a_limit_ends_the_search():
    result = run(make_config(max_steps=9))
    assert result.weight_steps == 9
    assert result.stopped_by == "max_steps"


def test_a_budget_takes_from_the_reward_by_what_is_over_it():
    free, tight = new_search(make_config()), new_search(make_config(macs_budget=28))
    rows = next(iter(VALIDATION))
    route = np.zeros(4, int)
    routes = np.stack([route, route])
    routes[1, 0] = len(free.supernet.choices()[0]) - 1
    lost = free._rewards(routes, rows) - tight._rewards(routes, rows)
    over = free._cost(routes[1]).macs / 28 - 1
    assert over > 0
    np.testing.assert_allclose(lost, [[0, 0, 0], [0, 0, 0.1 * over]], atol=1e-6)


def test_minus_the_loss_may_be_the_reward():
    assert run(make_config(reward="loss")).reward < 0


# The credit of a block.


def test_a_block_serves_the_tasks_that_reach_it(finished):
    supernet = finished[0].supernet
    single = [blocks.routes.index(LocalRoute((0,), "input")) for blocks in supernet.blocks]
    both = [blocks.routes.index(LocalRoute((0, 1), "input")) for blocks in supernet.blocks]
    routes = np.array([[0, 0, single[1], both[1]], [0, 0, single[1], single[1]]])
    served = supernet.served_tasks(routes)
    assert served.tolist() == [
        [[True, True], [False, True], [True, False], [False, True]],
        [[True, True], [False, False], [True, False], [False, True]],
    ]


@pytest.mark.parametrize("baseline", ["batch", "moving_average"])
def test_crediting_blocks_with_what_they_reach_keeps_the_gradient_unbiased(baseline, finished):
    # Rewards of a task depend on the blocks that serve it only, as with fixed weights.
    supernet, random = finished[0].supernet, np.random.default_rng(5)
    found = new_search(make_config(baseline=baseline))
    found.progress.baseline = [0.3, -0.2, 0.1]
    policy = found.policy
    policy.logits += random.normal(size=policy.logits.shape)
    routes = np.array(list(itertools.product(*map(range, supernet.num_routes))))
    values = random.normal(size=(*policy.logits.shape, 2))  # of a block's choice for a task

    def rewards_of(routes):
        own = values[np.arange(4), routes] * supernet.served_tasks(routes)
        penalty = np.sum(own, axis=(1, 2), keepdims=True)[:, 0] ** 2
        return np.concatenate([np.prod(1 + own, axis=1), -0.01 * penalty], axis=1)

    probabilities = np.prod(policy.probabilities()[np.arange(4), routes], axis=1)
    totals = rewards_of(routes).sum(axis=1)
    scores = (routes[..., np.newaxis] == np.arange(4)) - policy.probabilities()
    exact = np.einsum("n,nkr->kr", probabilities * totals, scores)
    estimates = []
    for _ in range(4000):
        samples = policy.sample(random, 4)
        estimates.append(policy.gradient(samples, found._credits(samples, rewards_of(samples))))
    errors = np.std(estimates, axis=0) / np.sqrt(len(estimates))
    distance = np.abs(np.mean(estimates, axis=0) - exact)
    assert np.all(distance <= 4 * errors + 1e-12)
    assert np.any(np.abs(exact) > 10 * errors)


# What it refuses.


def test_a_validation_split_smaller_than_its_batch_is_refused():
    with pytest.raises(DataError, match=r"holds 512 rows, fewer than the 1,000 of trunk\.search"):
        run(make_config(batch_size=1000), validation=passes(make_rows(2), 1000)(0))


def test_a_validation_batch_without_a_positive_row_is_refused():
    rows = make_rows(2)
    for name in ("click", "like"):
        rows[f"label/{name}"] = np.zeros(ROWS, "float32")
    with pytest.raises(DataError, match="lack positive or negative rows of every task"):
        run(make_config(), validation=passes(rows, 128)(0))


def test_a_budget_that_no_route_fits_is_refused():
    with pytest.raises(ConfigError, match=r"the smallest route costs 28 .* the budget of 27"):
        run(make_config(macs_budget=27))
    new_search(make_config(macs_budget=28))


def test_a_search_that_ends_before_it_judged_a_route_is_refused():
    with pytest.raises(ConfigError, match="ended after 5 weight steps"):
        run(make_config(max_steps=5))


def test_a_single_task_has_nothing_to_share():
    with pytest.raises(ValidationError, match="needs at least two"):
        make_config(tasks=("click",))


def test_a_ranker_without_a_supernet_is_refused():
    config = make_config()
    plain = config.model_copy(
        update={
            "trunk": type(config)(
                **{**config.model_dump(), "trunk": {"kind": "shared_bottom"}}
            ).trunk
        }
    )
    ranker = build_ranker(plain, {}, TRAIN(0))
    with pytest.raises(ValueError, match="Received"):
        search(ranker, config, TRAIN, VALIDATION)
