"""Runs the probe in a process of its own, and what it reports."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Literal

from pydantic import Field

from taskroute.schemas.base import Config
from taskroute.schemas.recommender import RecommenderConfig
from taskroute.schemas.serving import SCORE, ModelInfo, Serving

REPORT_FILE = "serving_check.json"

# What the child may see of our environment: nothing that leads to our code.
_KEPT_VARIABLES = ("PATH", "HOME", "TMPDIR", "LD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES")
_MAX_SECONDS = 900
_PROBE = Path(__file__).with_name("probe.py")


OutputKind = Literal["binary", "regression", "score"]


class Contract(Config):
    """What a served model must give."""

    outputs: dict[str, OutputKind]
    batch_sizes: tuple[int, ...]
    tolerance: float = Field(1e-5, description="Of warm-up scores, relative to 1 or to the score.")
    xla: bool = Field(False, description="Whether the model may ask for XLA.")
    signatures: tuple[str, ...] = ("serving_default", "raw_features", "transformed_features")
    gpu_signature: str = "transformed_features"


class Check(Config):
    """One thing tried; `detail` says what is wrong where it did not pass."""

    name: str
    passed: bool
    detail: str


class Latency(Config):
    """Percentiles of the time of one call in this machine, one call at a time."""

    signature: str
    batch_size: int
    calls: int
    p50_ms: float
    p95_ms: float
    p99_ms: float


class ServingReport(Config):
    """What `serving_check.json` holds."""

    checks: tuple[Check, ...]
    latency: tuple[Latency, ...] = ()
    facts: dict[str, str | int | float] = {}

    @property
    def passed(self) -> bool:
        return all(check.passed for check in self.checks)

    @property
    def summary(self) -> str:
        """What is wrong, or that nothing is."""
        failed = [f"{check.name}: {check.detail}" for check in self.checks if not check.passed]
        return "; ".join(failed) or "every check passed"


def contract_of(config: RecommenderConfig) -> Contract:
    """What the model of `config` must give."""
    outputs: dict[str, OutputKind] = {
        name: task.kind for task in config.tasks for name in task.outputs
    }
    return _contract(outputs, config.serving)


def contract_of_info(info: ModelInfo) -> Contract:
    """What a model says that it gives."""
    outputs: dict[str, OutputKind] = {
        **dict.fromkeys(info.binary_tasks, "binary"),
        **dict.fromkeys(info.regression_tasks, "regression"),
    }
    return _contract(outputs, info.serving)


def _contract(outputs: dict[str, OutputKind], serving: Serving) -> Contract:
    return Contract(
        outputs={**outputs, SCORE: "score"} if serving.score else outputs,
        batch_sizes=serving.batch_sizes,
        tolerance=serving.tolerance,
        xla=serving.xla,
    )


def check_model(folder: str | Path, contract: Contract) -> ServingReport:
    """Tries the SavedModel in a process that has TensorFlow and none of our code."""
    environment = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
    environment |= {"TF_CPP_MIN_LOG_LEVEL": "2", "TF_FORCE_GPU_ALLOW_GROWTH": "true"}
    with tempfile.TemporaryDirectory() as work_folder:
        contract_file, report_file = Path(work_folder, "contract"), Path(work_folder, "report")
        contract_file.write_text(contract.model_dump_json())
        arguments = (_PROBE, Path(folder).resolve(), contract_file, report_file)
        program = [sys.executable, "-I", *map(str, arguments)]
        try:
            ended = subprocess.run(
                program,
                capture_output=True,
                text=True,
                errors="replace",
                check=False,
                env=environment,
                cwd=work_folder,
                timeout=_MAX_SECONDS,
            )
        except subprocess.TimeoutExpired as error:
            output = error.stdout or b""
            return _interrupted(output.decode(errors="replace"), f"no end in {_MAX_SECONDS} s")
        if ended.returncode:
            return _interrupted(ended.stdout, _cause(ended))
        return ServingReport.model_validate(json.loads(report_file.read_text()))


def read_report(folder: str | Path) -> ServingReport:
    """What a ServingCheck left in its blessing."""
    return ServingReport.model_validate_json(Path(folder, REPORT_FILE).read_bytes())


def _interrupted(output: str, cause: str) -> ServingReport:
    last = (output.split() or ["start"])[-1]
    return ServingReport(checks=(Check(name=last, passed=False, detail=cause),))


def _cause(ended: "subprocess.CompletedProcess[str]") -> str:
    if ended.returncode < 0:
        return f"the process died of {signal.Signals(-ended.returncode).name}"
    return (ended.stderr.strip().splitlines() or ["the process ended with an error"])[-1]
