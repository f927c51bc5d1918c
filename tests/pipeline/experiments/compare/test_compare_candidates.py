"""From names to trunks, of equal size; and what the command refuses."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from taskroute.models.describe import describe
from taskroute.models.ranker import MultiTaskRanker
from taskroute.pipeline.cli.main import cli
from taskroute.pipeline.experiments.compare.candidates import choose
from taskroute.pipeline.experiments.compare.command import make_trials
from taskroute.pipeline.experiments.compare.matching import matched, size
from taskroute.pipeline.experiments.shared_data import SharedData
from taskroute.schemas.errors import ConfigError
from taskroute.schemas.recommender import ModelConfig, RecommenderConfig, load_config
from taskroute.schemas.trunks import MmoeTrunk

KINDS = (
    "single_task",
    "shared_bottom",
    "cross_stitch",
    "mmoe",
    "ple",
    "snr_trans",
    "snr_aver",
    "gumbel_matrix",
)


@pytest.fixture(scope="module")
def demo():
    return load_config("examples/demo.yaml")


def with_trunk(config: RecommenderConfig, **trunk) -> RecommenderConfig:
    return RecommenderConfig.model_validate(config.model_dump() | {"trunk": trunk})


def test_the_config_s_own_trunk_is_as_configured_and_others_have_their_defaults(demo):
    config = with_trunk(demo, kind="shared_bottom", units=(7,), dropout=0.25, activation="gelu")
    chosen = choose(config, ["mmoe", "shared_bottom"])
    assert list(chosen) == ["mmoe", "shared_bottom"]
    assert chosen["shared_bottom"] == config.trunk
    assert chosen["mmoe"] == MmoeTrunk(kind="mmoe", dropout=0.25, activation="gelu")


def test_the_references_and_the_config_s_own_trunk_are_the_default(demo):
    assert list(choose(demo, [])) == ["single_task", "shared_bottom", "snr_trans"]


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["snr_trns", "mmoe"], "did you mean 'snr_trans'?"),
        (["zzz", "mmoe"], "choose among single_task, shared_bottom"),
        (["mmoe"], "nothing to be compared with"),
        (["mmoe", "mmoe"], "named twice"),
        (["mtnas", "mmoe"], "trunk.route"),
    ],
)
def test_names_that_cannot_be_compared_are_refused(demo, names, words):
    with pytest.raises(ConfigError) as error:
        choose(demo, names)
    assert words in str(error.value)


def keys(config, digests=None):
    chosen = choose(config, ["snr_trans", "mmoe"])
    data = SharedData(Path("graph"), Path("transformed"), Path("raw"))
    digests = digests or {"data": "d", "code": "c"}
    trials = make_trials(config, chosen, data, 2, "none", digests)
    assert [(trial.name, trial.seed) for trial in trials] == [
        ("snr_trans", 1),
        ("mmoe", 1),
        ("snr_trans", 2),
        ("mmoe", 2),
    ]
    return {(trial.name, trial.seed): trial.key for trial in trials}


class TestAKey:
    def test_is_the_same_for_the_same_and_another_for_every_trial(self, demo):
        assert keys(demo) == keys(demo)
        assert len(set(keys(demo).values())) == 4

    @pytest.mark.parametrize(
        "change",
        [
            {"towers": {"units": [9]}},
            {"training": {"epochs": 3}},
            {"serving": {"score": {"click": 1.0}}},
            {"evaluation": {"group_key": "item_id"}},
        ],
    )
    def test_changes_with_all_that_decides_a_result(self, demo, change):
        changed = RecommenderConfig.model_validate(demo.model_dump() | change)
        assert not set(keys(demo).values()) & set(keys(changed).values())

    def test_changes_with_the_log_and_the_code(self, demo):
        known = set(keys(demo).values())
        assert not known & set(keys(demo, {"data": "other", "code": "c"}).values())
        assert not known & set(keys(demo, {"data": "d", "code": "other"}).values())

    def test_of_one_trunk_does_not_change_with_another(self, demo):
        changed = with_trunk(demo, kind="snr_trans", l0_penalty=0.1)
        before, after = keys(demo), keys(changed)
        assert before["mmoe", 1] == after["mmoe", 1]
        assert before["snr_trans", 1] != after["snr_trans", 1]


@pytest.mark.parametrize(
    "arguments",
    [("--trunks", "snr_trns,mmoe"), ("--trunks", "mtnas,mmoe"), ("--seeds", "1")],
)
def test_the_command_refuses_in_one_sentence_with_exit_code_2(tmp_path, arguments):
    called = ["compare", "examples/demo.yaml", "--root", str(tmp_path / "root"), *arguments]
    result = CliRunner().invoke(cli, called)
    assert result.exit_code == 2, result.output
    assert result.stderr.startswith("taskroute: --")
    assert result.stderr.count("\n") == 1
    assert not (tmp_path / "root").exists()


def test_matched_trunks_and_their_towers_are_of_the_size_of_the_config_s(demo):
    config, width = demo.part(ModelConfig), 120
    target = size(config.trunk, config, width)
    found = matched(choose(demo, KINDS), config, width)
    assert found["snr_trans"] == config.trunk
    for name, trunk in found.items():
        assert size(trunk, config, width) == pytest.approx(target, rel=0.03), name


def test_the_size_is_that_of_the_ranker_that_is_built():
    config = ModelConfig.model_validate(
        {
            "features": [
                {"name": "age", "kind": "dense"},
                {"name": "user", "kind": "categorical", "hash_buckets": 9, "embedding_dim": 6},
            ],
            "tasks": [
                {"name": name, "label": {"column": name}} for name in ("click", "like", "buy")
            ],
            "trunk": {"kind": "snr_trans", "task_units": 5},
            "towers": {"units": [4, 3]},
        }
    )
    ranker = MultiTaskRanker(config, {"user": 10})
    width = ranker.embedding.output_width
    import tensorflow as tf

    ranker.predict_logits(tf.zeros([1, width]))
    parts = {part.part: part.parameters for part in describe(ranker)}
    assert size(config.trunk, config, width) == parts["total"] - parts["embedding"]
