"""Rows that all trainings of an experiment share: one ingestion, one transform, one split."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from taskroute.models.training import TrainingData


@dataclass(frozen=True)
class SharedData:
    """Output folders of ingestion and Transform.

    Attributes:
        transform_graph: Output of TFX Transform.
        transformed: Examples that rankers read, by split.
        raw: The same rows as they were logged, by split.
        code_digest: Changes with the code of the stages that made them; "" where it is not asked.
    """

    transform_graph: Path
    transformed: Path
    raw: Path
    code_digest: str = ""

    def files(self, split: str) -> list[str]:
        """File patterns of a split's transformed examples."""
        return [str(self.transformed / f"Split-{split}" / "*")]

    def raw_files(self, split: str) -> list[str]:
        """File patterns of a split's raw examples."""
        return [str(self.raw / f"Split-{split}" / "*")]

    @property
    def training(self) -> "TrainingData":
        """Rows that the training recipe reads: none of the test split."""
        from taskroute.models.training import TrainingData

        return TrainingData(
            str(self.transform_graph), self.files("train"), self.files("validation")
        )
