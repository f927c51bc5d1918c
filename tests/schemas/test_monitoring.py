"""The thresholds of alerts, and what they may be of."""

import pytest
import yaml

from taskroute.schemas.errors import ConfigError
from taskroute.schemas.monitoring import Monitoring
from taskroute.schemas.recommender import load_config

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
    signals = set(Monitoring.model_fields) - {"columns", "tasks"}
    assert all(found.threshold(signal, "any") > 0 for signal in signals)


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
    assert (found.threshold("drift", "item"), found.threshold("drift", "user")) == (0.3, 0.1)
    assert (found.threshold("oov", "seen"), found.threshold("oov", "item")) == (0.4, 0.1)
    assert found.threshold("label_delay", "clicked") == 1
    assert found.threshold("calibration", "click") == 0.5
    assert found.threshold("calibration", "like") is None


def test_a_task_named_like_a_column_keeps_its_own():
    both = Monitoring(columns={"click": {"missing": 0.2}}, tasks={"click": {"label_rate": 0.3}})
    assert both.threshold("missing", "click") == 0.2
    assert both.threshold("label_rate", "click") == 0.3
    assert both.threshold("drift", "click") == both.drift


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
