"""Runs the probe of a served model in a process of its own."""

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from taskroute.schemas.recommender import RecommenderConfig
from taskroute.schemas.serving import SCORE, ModelInfo, Serving
from taskroute.schemas.serving_check import Check, Contract, OutputKind, ServingReport

# Variables that the child inherits: none leads to our code.
_KEPT_VARIABLES = ("PATH", "HOME", "TMPDIR", "LD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES")
_MAX_SECONDS = 900
_PROBE = Path(__file__).with_name("probe.py")


def contract_of(config: RecommenderConfig) -> Contract:
    """Contract of a config's model."""
    outputs: dict[str, OutputKind] = {
        name: task.kind for task in config.tasks for name in task.outputs
    }
    return _contract(outputs, config.serving)


def contract_of_info(info: ModelInfo) -> Contract:
    """Contract of an exported model, from its own description."""
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
    """Checks the SavedModel in a process that has TensorFlow and none of our code."""
    environment = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
    environment |= {"TF_CPP_MIN_LOG_LEVEL": "2", "TF_FORCE_GPU_ALLOW_GROWTH": "true"}
    with tempfile.TemporaryDirectory() as work_folder:
        contract_file, report_file = Path(work_folder, "contract"), Path(work_folder, "report")
        contract_file.write_text(contract.model_dump_json())
        arguments = (_PROBE, Path(folder).resolve(), contract_file, report_file)
        program = [sys.executable, "-I", *map(str, arguments)]
        try:
            process = subprocess.run(
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
        if process.returncode:
            return _interrupted(process.stdout, _cause(process))
        return ServingReport.model_validate_json(report_file.read_bytes())


def _interrupted(output: str, cause: str) -> ServingReport:
    last = (output.split() or ["start"])[-1]
    return ServingReport(checks=(Check(name=last, passed=False, detail=cause),))


def _cause(process: "subprocess.CompletedProcess[str]") -> str:
    if process.returncode < 0:
        return f"the process died of {signal.Signals(-process.returncode).name}"
    return (process.stderr.strip().splitlines() or ["the process ended with an error"])[-1]
