"""ModelPusher: the work of the component."""

from pathlib import Path
from typing import Any

from tfx import types
from tfx.dsl.components.base import base_executor
from tfx.types import artifact_utils
from tfx.utils import path_utils

from taskroute.components.model_pusher.server_files import write_server_files
from taskroute.components.served import registry
from taskroute.schemas.warm_start import WARM_START_FOLDER


class Executor(base_executor.BaseExecutor):
    """Pushes the model if it is blessed."""

    def Do(  # noqa: N802
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Runs the component.

        Args:
            input_dict: `model`, the candidate; `blessing`, pushed only if its property `blessed`
                is 1; `infra_blessing`, obeyed as well where it is given.
            output_dict: `pushed_model`, gets the properties of TFX's Pusher: `pushed`, and where
                it is 1 `pushed_destination` and `pushed_version`. The model is not copied to it.
            exec_properties: `destination`, a local folder; `model_name`; `keep_versions`, how many
                stay there.

        Raises:
            UserError: If the model cannot be pushed.
        """
        pushed_model = artifact_utils.get_single_instance(output_dict["pushed_model"])
        blessings = input_dict.get("blessing", [])
        if not blessings or not _all_bless(blessings + input_dict.get("infra_blessing", [])):
            pushed_model.set_int_custom_property("pushed", 0)
            return
        model = artifact_utils.get_single_instance(input_dict["model"])
        source = path_utils.serving_model_path(model.uri, path_utils.is_old_model_artifact(model))
        destination = Path(exec_properties["destination"]).absolute()
        version = registry.push(
            source,
            destination,
            exec_properties["model_name"],
            exec_properties["keep_versions"],
            Path(model.uri, WARM_START_FOLDER),
        )
        write_server_files(destination, exec_properties["model_name"], version)
        pushed_model.set_int_custom_property("pushed", 1)
        pushed_model.set_string_custom_property(
            "pushed_destination", str(destination / str(version))
        )
        pushed_model.set_string_custom_property("pushed_version", str(version))


def _all_bless(blessings: list[types.Artifact]) -> bool:
    return all(blessing.get_int_custom_property("blessed") == 1 for blessing in blessings)
