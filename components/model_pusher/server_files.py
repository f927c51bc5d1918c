"""Files to start a model server with, beside the versions that it watches.

    <destination>/models.config            for --model_config_file
    <destination>/batching_parameters.txt  for --batching_parameters_file

Their paths are those of a container that mounts the folder at /models/<name>.
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
    """Rewrites both files for a pushed version; the second only if the version has one."""
    destination = Path(destination)
    write_whole(destination / MODELS_FILE, _MODELS.format(name=model_name))
    batching = destination / str(version) / "assets.extra" / BATCHING_FILE
    if batching.is_file():
        write_whole(destination / BATCHING_FILE, batching.read_bytes())
