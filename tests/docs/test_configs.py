"""Every piece of a config in the docs is valid within a whole config."""

import pytest
import yaml

from taskroute.schemas.recommender import RecommenderConfig


@pytest.fixture(scope="module")
def whole(repository):
    """The demo's config, of a log by day, without the parts that name its tasks."""
    config = yaml.safe_load((repository / "examples" / "demo.yaml").read_text())
    config["source"] |= {"path": "logs/{YYYY}-{MM}-{DD}/*.parquet", "window_days": 7}
    del config["evaluation"]
    return config


def test_every_block_of_yaml_is_valid_in_a_config(page, whole):
    for block in page.blocks("yaml"):
        part = yaml.safe_load(block)
        if "source" in part and "format" not in part["source"]:
            part["source"] = whole["source"] | part["source"]
        RecommenderConfig.model_validate(whole | part)


def test_the_example_to_fill_in_is_valid_with_every_line_that_is_commented_out(repository):
    text = (repository / "examples" / "starter.yaml").read_text()
    plain = yaml.safe_load(text)
    RecommenderConfig.model_validate(plain)
    lines = text.replace("  # - {", "  - {").replace("  #    loss", "     loss").splitlines()
    config = yaml.safe_load("\n".join(lines))
    assert len(config["features"]) == len(plain["features"]) + 1
    assert len(config["tasks"]) == len(plain["tasks"]) + 1
    config["tasks"][-1]["label"] = {"column": "watch_seconds", "minimum": 0}
    RecommenderConfig.model_validate(config)
