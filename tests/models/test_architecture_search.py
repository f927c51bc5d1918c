"""From transformed examples to a route, and from the route's JSON to weights."""

import json

import numpy as np
import pytest
import tf_keras as keras

from taskroute.models import architecture_search, training
from taskroute.models.dataset import make_dataset
from taskroute.models.layers.mtnas import MtnasDerived
from taskroute.models.trainer import with_found_route
from taskroute.models.training import build_ranker
from taskroute.schemas.recommender import ModelConfig
from taskroute.schemas.routes import SearchResult, load_route

CONFIG = ModelConfig.model_validate(
    {
        "features": [
            {"name": "user", "kind": "categorical", "hash_buckets": 49, "embedding_dim": 4},
            {"name": "age", "kind": "dense"},
        ],
        "tasks": [
            {"name": "click", "label": {"column": "c"}},
            {"name": "like", "label": {"column": "l"}, "trained_where": "click"},
        ],
        "trunk": {
            "kind": "mtnas",
            "layers": [{"sub_networks": 3, "units": 8}, {"sub_networks": 2, "units": 6}],
            "search": {"epochs": 1, "weight_steps": 2, "batch_size": 100},
        },
        "training": {"batch_size": 64, "epochs": 2},
    }
)


@pytest.fixture(scope="module")
def patterns(tmp_path_factory, write_transformed):
    """File patterns of the train and the validation split."""
    folder = tmp_path_factory.mktemp("examples")
    random = np.random.default_rng(0)
    for split, rows in (("train", 400), ("validation", 300)):
        user = random.integers(50, size=rows)
        click = (random.random(rows) < user / 50).astype(float)
        columns = {
            "user": user,
            "age": random.normal(size=rows),
            "age_missing": np.zeros(rows),
            "label/click": click,
            "weight/click": np.ones(rows),
            "label/like": (user % 2).astype(float),
            "weight/like": click,
        }
        write_transformed(folder / f"{split}.parquet", columns)
    return {split: [str(folder / f"{split}*")] for split in ("train", "validation")}


@pytest.fixture(scope="module")
def route_file(patterns, tmp_path_factory):
    folder = tmp_path_factory.mktemp("search")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "num_ids", lambda config, transform: {"user": 50})
        found = architecture_search.search_fn(
            config=CONFIG.model_dump_json(),
            train_files=patterns["train"],
            validation_files=patterns["validation"],
            transform_graph_path=str(folder),
            checkpoint=str(folder / "checkpoint"),
        )
    (folder / "route.json").write_text(found)
    return folder / "route.json"


def trained_weights(config, patterns):
    keras.utils.set_random_seed(config.training.seed)
    train = make_dataset(
        patterns["train"], config, batch_size=64, shuffle_seed=config.training.seed
    )
    ranker = build_ranker(config, {"user": 50}, train)
    ranker.fit(train, epochs=config.training.epochs, verbose=0)
    assert isinstance(ranker.trunk, MtnasDerived)
    return [weight.numpy() for weight in ranker.model_weights()]


@pytest.mark.slow
def test_the_search_reads_files_and_gives_a_result(route_file):
    result = SearchResult.model_validate_json(route_file.read_text())
    assert result.weight_steps == 2 * 7
    assert result.route.tasks == ("click", "like")


@pytest.mark.slow
def test_training_from_the_json_alone_gives_the_same_bits(route_file, patterns):
    found = json.loads(route_file.read_text())
    searched = trained_weights(with_found_route(CONFIG, found), patterns)
    trunk = CONFIG.trunk.model_copy(update={"route": load_route(route_file)})
    fixed = trained_weights(CONFIG.model_copy(update={"trunk": trunk}), patterns)
    for one, other in zip(searched, fixed, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_trunk_that_needs_a_route_is_not_trained_without_one():
    with pytest.raises(ValueError, match="must be searched"):
        with_found_route(CONFIG, None)


def test_a_trunk_that_needs_no_route_gets_none():
    plain = ModelConfig.model_validate({**CONFIG.model_dump(), "trunk": {"kind": "shared_bottom"}})
    assert with_found_route(plain, None) is plain
