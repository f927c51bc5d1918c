"""docs/config.md is what the schemas say now."""

import re

from taskroute.pipeline.inspection.config_reference import reference
from taskroute.schemas.recommender import RecommenderConfig


def test_the_page_is_made_from_the_schemas_as_they_are(repository):
    page = (repository / "docs" / "config.md").read_text(encoding="utf-8")
    assert page == reference(), "call `make docs`"


def test_every_field_says_what_it_is():
    for line in reference().splitlines():
        assert not line.endswith("|  |"), f"a `description` is missing in schemas/: {line}"


def test_every_part_of_a_config_has_a_section_of_its_own():
    page = reference()
    headings = re.findall(r"^##+ (.*)$", page, re.MULTILINE)
    assert len(headings) == len(set(headings))
    schema = RecommenderConfig.model_json_schema()
    for part in schema["$defs"].values():
        assert part["description"] in page
        for field in part.get("properties", {}):
            assert field == "kind" or f"| `{field}` |" in page
