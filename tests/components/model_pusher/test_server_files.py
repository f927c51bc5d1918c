"""Files that a model server is started with."""

from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

from taskroute.components.model_pusher.server_files import write_server_files


def test_the_config_names_the_model_and_serves_its_newest_version(tmp_path):
    write_server_files(tmp_path, "demo", 3)
    text = (tmp_path / "models.config").read_text()
    (config,) = text_format.Parse(
        text, model_server_config_pb2.ModelServerConfig()
    ).model_config_list.config
    assert (config.name, config.base_path) == ("demo", "/models/demo")
    assert config.model_version_policy.latest.num_versions == 1
    assert [path.name for path in tmp_path.iterdir()] == ["models.config"]


def test_the_batching_parameters_are_those_that_the_version_brought(tmp_path):
    for version, text in ((1, "old"), (2, "new")):
        folder = tmp_path / str(version) / "assets.extra"
        folder.mkdir(parents=True)
        (folder / "batching_parameters.txt").write_text(text)
        write_server_files(tmp_path, "demo", version)
        assert (tmp_path / "batching_parameters.txt").read_text() == text
