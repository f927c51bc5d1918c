"""ServingCheck: the work of the component."""

from pathlib import Path
from typing import Any

from tfx import types
from tfx.dsl.components.base import base_executor
from tfx.types import artifact_utils
from tfx.utils import path_utils

from taskroute.components.served.check import check_model
from taskroute.schemas.serving_check import Contract

# Where TFX's own components look for an InfraBlessing.
_BLESSED_PROPERTY = "blessed"
_BLESSED_FILE = {True: "INFRA_BLESSED", False: "INFRA_NOT_BLESSED"}


class Executor(base_executor.BaseExecutor):
    """Checks the model and writes the blessing."""

    def Do(  # noqa: N802
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Runs the component. A model that fails is no error: it is not blessed.

        Args:
            input_dict: `model`, the candidate.
            output_dict: `blessing`, gets `serving_check.json` and the property `blessed`.
            exec_properties: `contract`, JSON of `Contract`.
        """
        model = artifact_utils.get_single_instance(input_dict["model"])
        folder = path_utils.serving_model_path(model.uri, path_utils.is_old_model_artifact(model))
        report = check_model(folder, Contract.model_validate_json(exec_properties["contract"]))
        blessing = artifact_utils.get_single_instance(output_dict["blessing"])
        target = Path(blessing.uri)
        report.write(target)
        (target / _BLESSED_FILE[report.passed]).touch()
        blessing.set_int_custom_property(_BLESSED_PROPERTY, int(report.passed))
