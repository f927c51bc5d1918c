"""What a model server is started with, beside the versions that it watches.

    <destination>/models.config            for --model_config_file
    <destination>/batching_parameters.txt  for --batching_parameters_file

Both speak of the folder as a container sees it that has it at /models/<name>.
"""

import os
import uuid
from pathlib import Path

MODELS_FILE = "models.config"
BATCHING_FILE = "batching_parameters.txt"

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
    _replace(destination / MODELS_FILE, _MODELS.format(name=model_name))
    brought = destination / str(version) / "assets.extra" / BATCHING_FILE
    if brought.is_file():
        _replace(destination / BATCHING_FILE, brought.read_text(encoding="utf-8"))


def _replace(path: Path, text: str) -> None:
    incoming = path.with_name(f".incoming-{uuid.uuid4().hex}")
    incoming.write_text(text, encoding="utf-8")
    os.replace(incoming, path)
