"""Writes the TFMD schema of the log as a Schema artifact, made from the config."""

from pathlib import Path

from google.protobuf import text_format
from tfx.dsl.component.experimental.annotations import OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.types.standard_artifacts import Schema

from taskroute.schemas.log_schema import make_schema
from taskroute.schemas.recommender import DataConfig


@component
def LogSchemaGen(  # noqa: N802 - a component is named like a class
    data: Parameter[str], schema: OutputArtifact[Schema]
) -> None:
    """Makes the schema that the log must keep.

    Args:
        data: A `DataConfig` as JSON.
        schema: Receives `schema.pbtxt`.
    """
    content = text_format.MessageToString(make_schema(DataConfig.model_validate_json(data)))
    folder = Path(schema.uri)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "schema.pbtxt").write_text(content, encoding="utf-8")
