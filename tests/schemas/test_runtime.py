"""Where the work is done."""

import pytest
from pydantic import ValidationError

from taskroute.schemas.runtime import BeamRuntime


def test_the_direct_runner_is_the_default():
    assert BeamRuntime().pipeline_args() == ["--runner=FnApiRunner", "--sdk_container_image=local"]


def test_options_follow_the_runner():
    beam = BeamRuntime(runner="flink", args=["--flink_master=host:8081", "--parallelism=4"])
    assert beam.pipeline_args() == [
        "--runner=FlinkRunner",
        "--sdk_container_image=local",
        "--flink_master=host:8081",
        "--parallelism=4",
    ]


def test_an_image_of_ones_own_takes_the_place_of_none():
    beam = BeamRuntime(runner="dataflow", args=["--sdk_container_image=host/taskroute:1"])
    assert beam.pipeline_args() == [
        "--runner=DataflowRunner",
        "--sdk_container_image=host/taskroute:1",
    ]


@pytest.mark.parametrize("arg", ["parallelism=4", "--runner=FlinkRunner"])
def test_what_is_no_option_is_refused(arg):
    with pytest.raises(ValidationError, match=r"runner|no option"):
        BeamRuntime(args=[arg])
