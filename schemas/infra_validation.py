"""Trial of a candidate in the model server's own image before it is pushed."""

from typing import Literal

from pydantic import Field, PositiveInt, field_validator

from taskroute.schemas.base import Config


class InfraValidation(Config):
    """TFX's InfraValidator loads the candidate in a container; needs Docker or Kubernetes."""

    image: str = Field("tensorflow/serving:2.20.0", description="Image with its tag.")
    platform: Literal["docker", "kubernetes"] = Field(
        "docker",
        description="Host of the container: this machine, or the cluster of the run's pod.",
    )
    max_loading_seconds: PositiveInt = Field(300, description="Seconds to wait for the model.")

    @field_validator("image")
    @classmethod
    def _has_a_tag(cls, image: str) -> str:
        name, _, tag = image.rpartition(":")
        if not name or "/" in tag:
            raise ValueError(f"'{image}' has no tag; write it as tensorflow/serving:2.20.0")
        return image
