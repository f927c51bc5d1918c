"""Machines and services of a run: they decide how fast it is, never its results."""

from typing import Literal

from pydantic import Field, field_validator

from taskroute.schemas.base import Config
from taskroute.schemas.infra_validation import InfraValidation
from taskroute.schemas.kubeflow import Kubeflow
from taskroute.schemas.metadata import Metadata, SqliteMetadata

_RUNNERS = {
    "direct": "FnApiRunner",
    "flink": "FlinkRunner",
    "spark": "SparkRunner",
    "dataflow": "DataflowRunner",
}


class BeamRuntime(Config):
    """Runner of the Beam stages: ingestion, statistics, transform, evaluation.

    `direct` is this process; the others are clusters, and everything that a stage reads or writes
    must lie where their workers see it. docs/scale.md says how to run each.
    """

    runner: Literal["direct", "flink", "spark", "dataflow"] = Field(
        "direct", description="Runner: this process (direct), or a cluster."
    )
    args: tuple[str, ...] = Field(
        (), description="Options of the runner, e.g. `--flink_master=host:8081`."
    )

    @field_validator("args")
    @classmethod
    def _are_options(cls, args: tuple[str, ...]) -> tuple[str, ...]:
        for arg in args:
            if not arg.startswith("--"):
                raise ValueError(f"'{arg}' is no option; write --NAME=VALUE")
            if arg.startswith("--runner"):
                raise ValueError("`--runner` is `runtime.beam.runner`")
        return args

    def pipeline_args(self) -> list[str]:
        """Options of Beam's pipelines.

        Without an image TFX would pack itself up for every stage, to send it to workers.
        """
        image = ["--sdk_container_image=local"]
        if any(arg.startswith("--sdk_container_image") for arg in self.args):
            image = []
        return [f"--runner={_RUNNERS[self.runner]}", *image, *self.args]


class Runtime(Config):
    """Machines and services of a run."""

    beam: BeamRuntime = BeamRuntime()
    metadata: Metadata = Field(
        SqliteMetadata(), description="Store of the record of stages and artifacts."
    )
    kubeflow: Kubeflow = Kubeflow()
    infra_validator: InfraValidation | None = None
