"""Serving in a config."""

import pytest
from pydantic import ValidationError

from taskroute.schemas.recommender import RecommenderConfig
from taskroute.schemas.serving import Serving

CONFIG = {
    "name": "shop",
    "source": {"path": "log.csv", "format": "csv", "split": {"by": "hash", "key": "user"}},
    "features": [{"name": "user", "kind": "categorical", "hash_buckets": 9}],
    "tasks": [
        {"name": "click", "label": {"column": "clicked"}},
        {"name": "score", "kind": "regression", "label": {"column": "points"}},
    ],
}


def test_there_is_no_fused_score_unless_it_is_asked_for():
    assert RecommenderConfig.model_validate(CONFIG).serving == Serving()
    assert Serving().score == {}


@pytest.mark.parametrize("sizes", [(), (0, 4), (4, 1), (4, 4)])
def test_batch_sizes_are_positive_and_rise(sizes):
    with pytest.raises(ValidationError):
        Serving(batch_sizes=sizes)


@pytest.mark.parametrize(
    ("score", "complaint"),
    [({"like": 1.0}, "there is no task 'like'"), ({"click": 1.0}, "is a task's already")],
)
def test_a_score_is_of_tasks_and_has_a_name_of_its_own(score, complaint):
    with pytest.raises(ValidationError, match=complaint):
        RecommenderConfig.model_validate({**CONFIG, "serving": {"score": score}})


def test_calibration_is_one_word_for_all_tasks_or_names_some():
    assert Serving().calibration.method_of("click") == "platt"
    assert Serving.model_validate({"calibration": "none"}).calibration.method_of("click") == "none"
    some = {"calibration": {"tasks": {"click": "isotonic"}}}
    serving = RecommenderConfig.model_validate({**CONFIG, "serving": some}).serving
    assert serving.calibration.method_of("click") == "isotonic"
    assert Serving.model_validate_json(serving.model_dump_json()) == serving


@pytest.mark.parametrize("name", ["score", "like"])
def test_only_binary_tasks_are_calibrated(name):
    serving = {"calibration": {"tasks": {name: "platt"}}}
    with pytest.raises(ValidationError, match=f"'{name}' is no binary task"):
        RecommenderConfig.model_validate({**CONFIG, "serving": serving})


def test_fewer_bits_allow_larger_differences():
    tolerances = [Serving(precision=x).tolerance for x in ("float32", "float16", "bfloat16")]
    assert tolerances == sorted(tolerances)
    assert tolerances[0] == 1e-5
