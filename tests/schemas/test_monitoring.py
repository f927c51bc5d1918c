"""Limits of changes, and what they may be of."""

import pytest
import yaml

from taskroute.schemas.errors import ConfigError
from taskroute.schemas.monitoring import Limit, Monitoring
from taskroute.schemas.recommender import ModelConfig, load_config

CONFIG = {
    "name": "shop",
    "source": {"path": "log.csv", "format": "csv", "split": {"by": "hash", "key": "user"}},
    "features": [
        {"name": "user", "kind": "categorical", "hash_buckets": 10},
        {"name": "item", "kind": "categorical", "vocabulary": {}},
        {"name": "seen", "kind": "sequence", "shares": "item"},
        {"name": "price", "kind": "dense"},
    ],
    "tasks": [{"name": "click", "label": {"column": "clicked"}, "weight": "importance"}],
}


def load(folder, monitoring):
    path = folder / "shop.yaml"
    path.write_text(yaml.safe_dump({**CONFIG, "monitoring": monitoring}))
    return load_config(path).monitoring


def test_every_signal_has_a_threshold_by_default(tmp_path):
    found = load(tmp_path, {})
    assert found == Monitoring()
    signals = set(Monitoring.model_fields) - {"columns", "tasks", "split_shift"}
    assert all(found.limit(signal, "any").threshold > 0 for signal in signals)
    # Newer rows are other rows: a split by time is compared where that is asked for.
    assert found.limit("split_shift", "any") is None


def test_a_column_and_a_task_may_have_thresholds_of_their_own(tmp_path):
    found = load(
        tmp_path,
        {
            "drift": 0.1,
            "calibration": None,
            "columns": {
                "item": {"drift": 0.3},
                "seen": {"oov": 0.4},
                "clicked": {"label_delay": 1},
            },
            "tasks": {"click": {"calibration": 0.5}},
        },
    )
    assert (found.limit("drift", "item").threshold, found.limit("drift", "user").threshold) == (
        0.3,
        0.1,
    )
    assert (found.limit("oov", "seen").threshold, found.limit("oov", "item").threshold) == (
        0.4,
        0.1,
    )
    assert found.limit("label_delay", "clicked").threshold == 1
    assert found.limit("calibration", "click").threshold == 0.5
    assert found.limit("calibration", "like") is None


def test_a_task_named_like_a_column_keeps_its_own():
    both = Monitoring(columns={"click": {"missing": 0.2}}, tasks={"click": {"label_rate": 0.3}})
    assert both.limit("missing", "click").threshold == 0.2
    assert both.limit("label_rate", "click").threshold == 0.3
    assert both.limit("drift", "click") == both.drift


def test_a_number_is_a_limit_that_does_not_stop():
    own = {"item": {"drift": {"threshold": 0.1, "stop": True}}}
    found = Monitoring(drift=0.3, columns=own)
    assert found.drift == Limit(threshold=0.3, stop=False)
    assert found.limit("drift", "item") == Limit(threshold=0.1, stop=True)
    assert list(found.stopping()) == [("monitoring.columns.item.drift", "drift")]
    assert list(Monitoring().stopping()) == []


def test_a_general_limit_and_one_of_a_task_may_stop():
    stop = {"threshold": 0.1, "stop": True}
    found = Monitoring(split_shift=stop, tasks={"click": {"calibration": stop}})
    assert list(found.stopping()) == [
        ("monitoring.split_shift", "split_shift"),
        ("monitoring.tasks.click.calibration", "calibration"),
    ]


@pytest.mark.parametrize(
    ("monitoring", "path"),
    [
        ({"drift": {"threshold": 0.1, "stop": True}}, "monitoring.drift.stop"),
        (
            {"columns": {"item": {"oov": {"threshold": 0.1, "stop": True}}}},
            "monitoring.columns.item.oov.stop",
        ),
    ],
)
def test_a_stop_that_could_never_come_is_refused(tmp_path, monitoring, path):
    with pytest.raises(ConfigError, match=r"`source.window_days` at least 2") as error:
        load(tmp_path, monitoring)
    assert f"{path}: compares the newest span" in str(error.value)


@pytest.mark.parametrize("signal", ["split_shift", "skew", "missing"])
def test_a_stop_that_needs_no_spans_is_taken(tmp_path, signal):
    assert load(tmp_path, {signal: {"threshold": 0.1, "stop": True}}).limit(signal, "item").stop


@pytest.mark.parametrize(
    ("place", "limits", "words"),
    [
        (
            3,
            {"max_skew": 0.1},
            "features[3].max_skew: is a limit of `monitoring` now; write `monitoring: {columns: "
            "{price: {split_shift: {threshold: 0.1, stop: true}}}}`",
        ),
        (
            1,
            {"max_drift": 0.3, "column": "item_id"},
            "features[1].max_drift: is a limit of `monitoring` now; write `monitoring: {columns: "
            "{item_id: {drift: {threshold: 0.02, stop: true}}}}`",
        ),
    ],
)
def test_a_limit_of_version_0_1_0_is_told_its_new_place(tmp_path, place, limits, words):
    features = [dict(feature) for feature in CONFIG["features"]]
    features[place] |= limits
    path = tmp_path / "shop.yaml"
    path.write_text(yaml.safe_dump({**CONFIG, "features": features}))
    with pytest.raises(ConfigError) as error:
        load_config(path)
    assert words in str(error.value)
    assert "\n" not in str(error.value)


def test_a_model_of_version_0_1_0_keeps_its_features():
    def config(**limits):
        features = [{**feature, **limits} for feature in CONFIG["features"]]
        return ModelConfig.model_validate({"features": features, "tasks": CONFIG["tasks"]})

    assert config(max_skew=None, max_drift=0.1) == config()


def test_thresholds_go_to_json_and_back():
    given = Monitoring(drift=None, columns={"item": {"oov": 0.5}}, tasks={"click": {}})
    assert Monitoring.model_validate_json(given.model_dump_json()) == given


@pytest.mark.parametrize(
    ("monitoring", "words"),
    [
        ({"drfit": 0.1}, ["monitoring.drfit", "did you mean 'drift'"]),
        ({"drift": 0}, ["monitoring.drift", "greater than 0"]),
        ({"columns": {"device": {"drift": 0.1}}}, ["monitoring.columns.device", "no feature"]),
        ({"columns": {"user": {"oov": 0.1}}}, ["columns.user.oov", "no feature with a vocabulary"]),
        ({"columns": {"price": {"oov": 0.1}}}, ["columns.price.oov", "with a vocabulary"]),
        ({"columns": {"clicked": {"drift": 0.1}}}, ["columns.clicked.drift", "no feature"]),
        ({"columns": {"user": {"label_delay": 0.1}}}, ["user.label_delay", "no label or weight"]),
        ({"columns": {"user": {"drfit": 0.1}}}, ["monitoring.columns.user.drfit", "'drift'"]),
        ({"columns": {"user": {"label_rate": 0.1}}}, ["columns.user.label_rate", "'drift'"]),
        ({"tasks": {"like": {"label_rate": 0.1}}}, ["monitoring.tasks.like", "no such task"]),
        ({"tasks": {"click": {"label_rate": -1}}}, ["tasks.click.label_rate", "greater than 0"]),
    ],
)
def test_a_wrong_threshold_is_named_in_one_sentence(tmp_path, monitoring, words):
    with pytest.raises(ConfigError) as error:
        load(tmp_path, monitoring)
    message = str(error.value)
    assert "\n" not in message
    for word in words:
        assert word in message, message
