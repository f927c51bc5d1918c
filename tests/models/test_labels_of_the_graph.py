"""Labels and weights of the transform graph, and the roles that rows are counted by, agree."""

import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf

from taskroute.components.logs.example_tensors import sparse_columns
from taskroute.components.logs.labels import read_labels
from taskroute.components.logs.log_batch import LogBatch, RowCheck
from taskroute.models.preprocessing import preprocessing_fn
from taskroute.schemas.analysis import ANALYSIS_FILE, Analysis
from taskroute.schemas.columns import raw_columns
from taskroute.schemas.recommender import DataConfig

DATA = DataConfig.model_validate(
    {
        "features": [{"name": "age", "kind": "dense", "transform": "none"}],
        "tasks": [
            {"name": "view", "label": {"column": "event", "in": ["view", "buy"]}},
            {"name": "buy", "label": {"column": "event", "equals": "buy"}},
            {"name": "click", "label": {"column": "click"}},
            {"name": "pay", "label": {"column": "pay"}, "funnel": "order", "weight": "weight"},
            {"name": "order", "label": {"column": "order"}, "funnel": "click"},
            {"name": "low", "label": {"column": "stars", "at_most": 2}, "trained_where": "order"},
            {"name": "middle", "label": {"column": "stars", "between": [2, 4]}},
            {"name": "odd", "label": {"column": "stars", "in": [1, 3, 5]}, "weight": "weight"},
            {
                "name": "rating",
                "kind": "regression",
                "label": {"column": "stars"},
                "trained_where": "pay",
            },
        ],
    }
)


@pytest.fixture(scope="module")
def batch():
    random = np.random.default_rng(0)

    def draw(*values):
        return pa.array([values[i] for i in random.integers(0, len(values), 4000)])

    return pa.record_batch(
        {
            "age": draw(1.0, None),
            "event": draw("view", "buy", "cart", "", None),
            "click": draw(0, 1, None),
            "order": draw(0, 1, None, None),
            "pay": draw(0, 1, None, None),
            "stars": draw(1, 2, 3, 4, 5, None),
            "weight": draw(0.0, 0.5, 2.0, None),
        }
    )


def test_a_row_counts_in_training_where_it_is_counted(batch, tmp_path):
    check = RowCheck(LogBatch("log", np.arange(4000), batch))
    converted = check.convert(raw_columns(DATA))
    roles = read_labels(check, converted, DATA.tasks)
    assert not check.bad_rows
    (tmp_path / ANALYSIS_FILE).write_text(Analysis().model_dump_json())
    specs = {
        name: tf.SparseTensorSpec([None, None], tf.string if name == "event" else tf.float32)
        for name in converted.schema.names
    }
    config = {"data": DATA.model_dump_json(), "analysis": str(tmp_path)}
    made = preprocessing_fn(sparse_columns(converted, specs), config)
    for task in DATA.tasks:
        label, weight = made[task.label_key].numpy(), made[task.weight_key].numpy()
        role = roles[task.name]
        np.testing.assert_array_equal(weight > 0, role >= 0, task.name)
        assert len(np.unique(role)) >= 3
        if task.kind == "binary":
            is_1 = (role == 1) | (role == 3)
            np.testing.assert_array_equal(label[weight > 0] == 1, is_1[weight > 0], task.name)
