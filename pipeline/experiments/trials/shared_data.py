"""What all trainings of a comparison share: one ingestion, one transform, one split."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from taskroute.pipeline.run.paths import RunPaths
from taskroute.schemas.recommender import RecommenderConfig
from taskroute.schemas.source import SPLITS, Source

if TYPE_CHECKING:
    from taskroute.pipeline.dag.local_runner import StageRun

_LAST_STAGE = "Transform"


@dataclass(frozen=True)
class SharedData:
    """Folders that ingestion and transform left.

    Attributes:
        transform_graph: Output of TFX Transform.
        transformed: Examples that rankers read, by split.
        raw: The same rows as they were logged, by split.
    """

    transform_graph: Path
    transformed: Path
    raw: Path

    def files(self, split: str) -> list[str]:
        """File patterns of a split's transformed examples."""
        return [str(self.transformed / f"Split-{split}" / "*")]

    def raw_files(self, split: str) -> list[str]:
        """File patterns of a split's raw examples."""
        return [str(self.raw / f"Split-{split}" / "*")]


def prepare(
    config: RecommenderConfig,
    source: Source,
    fingerprint: str,
    paths: RunPaths,
    console: Console,
) -> tuple[SharedData, dict[str, int]]:
    """Runs the pipeline's stages up to Transform; those that a run has finished are reused.

    Args:
        config: What to learn.
        source: The config's source with absolute paths.
        fingerprint: Changes when the log does.
        paths: Of the pipeline root, which must be locked.
        console: Gets a line a stage.

    Returns:
        The data, and its rows by split.

    Raises:
        UserError: If the log cannot be used.
    """
    with console.status("loading TFX"):
        from taskroute.pipeline.dag.local_runner import run_stages
        from taskroute.pipeline.dag.pipeline import create_pipeline

        pipeline = create_pipeline(config, source, fingerprint, paths, last=_LAST_STAGE)
    status = console.status("")
    rows: dict[str, int] = {}

    def on_start(name: str) -> None:
        status.update(name)
        status.start()

    def on_finish(stage: "StageRun") -> None:
        status.stop()
        if stage.name == "LogExampleGen":
            (examples,) = stage.outputs["examples"]
            rows.update({s: examples.get_int_custom_property(f"num_rows_{s}") for s in SPLITS})
        took = "reused" if stage.cached else f"{stage.seconds:.1f}s"
        console.print(f"  {stage.name:<17}{took:>8}")

    try:
        stages = run_stages(pipeline, on_start, on_finish)
    finally:
        status.stop()

    def folder(stage: str, output: str) -> Path:
        return Path(stages[stage].outputs[output][0].uri)

    data = SharedData(
        transform_graph=folder(_LAST_STAGE, "transform_graph"),
        transformed=folder(_LAST_STAGE, "transformed_examples"),
        raw=folder("LogExampleGen", "examples"),
    )
    return data, rows
