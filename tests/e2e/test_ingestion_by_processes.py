"""LogExampleGen in two worker processes gives what it gives in one."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest
from tfx.types import standard_artifacts

from taskroute.components.artifact_types import Quarantine
from taskroute.components.log_example_gen.executor import Executor
from taskroute.schemas.columns import RawColumn
from taskroute.schemas.source import Source, Split
from taskroute.schemas.tasks import Label, Task

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

ARGS = ["--runner=FnApiRunner", "--sdk_container_image=local"]
TWO_PROCESSES = ["--direct_running_mode=multi_processing", "--direct_num_workers=2"]


def _contents(log: Path, target: Path, beam_args: list[str]) -> dict[str, bytes]:
    examples, quarantine = standard_artifacts.Examples(), Quarantine()
    examples.uri, quarantine.uri = str(target / "examples"), str(target / "quarantine")
    source = Source(
        path=str(log / "*.csv"),
        format="csv",
        split=Split(by="hash", key="user"),
        max_bad_fraction=0.1,
    )
    columns = [RawColumn("user", "text"), RawColumn("clicked", "number")]
    properties = {
        "source": source.model_dump_json(),
        "columns": json.dumps([asdict(column) for column in columns]),
        "tasks": json.dumps([Task(name="click", label=Label(column="clicked")).model_dump()]),
    }
    executor = Executor(Executor.Context(beam_pipeline_args=beam_args))
    executor.Do({}, {"examples": [examples], "quarantine": [quarantine]}, properties)
    files = [file for file in target.rglob("*") if file.is_file()]
    return {str(file.relative_to(target)): file.read_bytes() for file in files}


def test_two_processes_give_the_same_bytes(tmp_path):
    log = tmp_path / "log"
    log.mkdir()
    for index in range(3):
        rows = [f"u{row % 50},{'x' if row == 9 else row % 2}" for row in range(400)]
        (log / f"{index}.csv").write_text("\n".join(["user,clicked", *rows]))
    one = _contents(log, tmp_path / "one", ARGS)
    two = _contents(log, tmp_path / "two", [*ARGS, *TWO_PROCESSES])
    assert len(one) == 14
    assert {"quarantine/splits.json", "quarantine/findings.json"} <= one.keys()
    assert one == two
