"""How a config says what is served."""

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
