"""LogExampleGen: the interface of the component that reads the log."""

import json
from collections.abc import Sequence
from dataclasses import asdict

from tfx import types
from tfx.dsl.components.base import base_beam_component, executor_spec
from tfx.types import standard_artifacts

from taskroute.components.artifact_types import Quarantine
from taskroute.components.interface import make_spec
from taskroute.components.log_example_gen.executor import Executor
from taskroute.schemas.columns import RawColumn
from taskroute.schemas.source import Source
from taskroute.schemas.tasks import Task


class LogExampleGen(base_beam_component.BaseBeamComponent):
    """Reads log files into raw examples, split into train, validation and test.

    Output `examples` is an Examples artifact of Parquet files with the splits `train`,
    `validation` and `test`. Its custom properties `num_rows_<split>` and `num_rows_quarantined`
    count rows, `num_files` and `num_files_without_rows` the files they come from. Of a log in
    spans it has `span`, the last one's number; `first_span` and `last_span`; and `missing_spans`,
    those between them without rows. Columns that the config does not read, and the served version
    does, are named by `served_columns`, in JSON; `absent_columns` are those of them that the log
    lacks. Output `quarantine` holds the rows that could not be used.

    Args:
        source: Place of the log, with absolute paths, and its split. A log in spans without a last
            one is read up to the newest span that is complete when the step runs.
        columns: Columns of an example; see `taskroute.schemas.columns.raw_columns`.
        tasks: Their label columns are all among `columns`. Both classes of a binary task must
            occur in the train split.
        serving: Folder of the model's versions, whose columns are added when the step runs; ""
            where `columns` holds them already.

    Raises:
        ValueError: If a label column is not among the columns.
    """

    SPEC_CLASS = make_spec(
        inputs={},
        outputs={"examples": standard_artifacts.Examples, "quarantine": Quarantine},
        parameters={"source": str, "columns": str, "tasks": str, "serving": str},
    )
    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(Executor)

    def __init__(
        self,
        source: Source,
        columns: Sequence[RawColumn],
        tasks: Sequence[Task],
        serving: str = "",
    ):
        unread = {task.label.column for task in tasks} - {column.name for column in columns}
        if unread:
            raise ValueError(f"`columns` must hold every label column. Received: without {unread}")
        super().__init__(
            self.SPEC_CLASS(
                source=source.model_dump_json(),
                columns=json.dumps([asdict(column) for column in columns]),
                tasks=json.dumps([task.model_dump(mode="json") for task in tasks]),
                serving=serving,
                examples=types.Channel(type=standard_artifacts.Examples),
                quarantine=types.Channel(type=Quarantine),
            )
        )
