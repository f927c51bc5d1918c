"""Resources of stages on Kubeflow."""

import pytest
from pydantic import ValidationError

from taskroute.schemas.kubeflow import Kubeflow, Step


def test_a_stage_s_own_fields_go_before_those_of_every_step():
    kubeflow = Kubeflow(
        every_step={"cpu": 1, "memory": "4Gi", "retries": 2},
        steps={"Trainer": {"cpu": 8, "accelerator": {}, "retries": 0}},
    )
    assert kubeflow.step("Transform") == Step(cpu=1, memory="4Gi", retries=2)
    trainer = kubeflow.step("Trainer")
    assert (trainer.cpu, trainer.memory, trainer.retries) == (8, "4Gi", 0)
    assert (trainer.accelerator.type, trainer.accelerator.count) == ("nvidia.com/gpu", 1)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("every_step", {"memory": "16"}),
        ("every_step", {"memory": "16 GB"}),
        ("every_step", {"cpu": 0}),
        ("every_step", {"accelerator": {"count": 0}}),
        ("every_step", {"tolerations": [{"key": "gpu", "operator": "Equal"}]}),
        ("every_step", {"tolerations": [{"key": "gpu", "value": "yes"}]}),
        ("volume", {"claim": ""}),
        ("volume", {"claim": "models", "mount_path": "state"}),
        ("volume", {"claim": "models", "mount_path": "/state/"}),
        ("secrets", [{"name": "store", "variables": {}}]),
        ("secrets", [{"name": "store", "variables": {"A-B": "key"}}]),
    ],
)
def test_what_kubernetes_would_refuse_is_refused(field, value):
    with pytest.raises(ValidationError, match=field):
        Kubeflow(**{field: value})
