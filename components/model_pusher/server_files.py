"""What a model server is started with, beside the versions that it watches.

    <destination>/models.config            for --model_config_file
    <destination>/batching_parameters.txt  for --batching_parameters_file

Both speak of the folder as a container sees it that has it at /models/<name>.
"""

from pathlib import Path

from taskroute.schemas.serving import BATCHING_FILE
from taskroute.schemas.whole_files import write_whole

MODELS_FILE = "models.config"

_MODELS = """\
model_config_list {{
  config {{
    name: "{name}"
    base_path: "/models/{name}"
    model_platform: "tensorflow"
    model_version_policy {{ latest {{ num_versions: 1 }} }}
  }}
}}
"""


def write_server_files(destination: str | Path, model_name: str, version: int) -> None:
    """Writes both files anew for a version that was pushed; the second only if it brings one."""
    destination = Path(destination)
    write_whole(destination / MODELS_FILE, _MODELS.format(name=model_name))
    brought = destination / str(version) / "assets.extra" / BATCHING_FILE
    if brought.is_file():
        write_whole(destination / BATCHING_FILE, brought.read_bytes())
