"""The interface of Transform."""

import pytest
from tfx import types
from tfx.types import standard_artifacts

from taskroute.components.transform.component import Transform
from taskroute.schemas.recommender import DataConfig

DATA = DataConfig.model_validate(
    {
        "features": [{"name": "age", "kind": "dense"}],
        "tasks": [{"name": "click", "label": {"column": "clicked"}}],
    }
)


def make(**changed):
    arguments = {
        "examples": types.Channel(type=standard_artifacts.Examples),
        "schema": types.Channel(type=standard_artifacts.Schema),
        "preprocessing_fn": "package.module.preprocess",
        "data": DATA,
    }
    return Transform(**arguments | changed)


def test_it_gives_what_tfxs_transform_gives():
    outputs = make().outputs
    assert outputs["transform_graph"].type is standard_artifacts.TransformGraph
    assert outputs["transformed_examples"].type is standard_artifacts.Examples


def test_a_change_of_the_data_config_is_a_change_of_the_step():
    assert DataConfig.model_validate_json(make().spec.exec_properties["data"]) == DATA


def test_a_function_that_is_no_dotted_path_is_refused():
    with pytest.raises(ValueError, match="Received"):
        make(preprocessing_fn="preprocess")
