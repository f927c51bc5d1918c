"""TFX's InfraValidator: the candidate in the model server's own image."""

from tfx import types
from tfx.components import InfraValidator
from tfx.proto import infra_validator_pb2

from taskroute.schemas.infra_validation import InfraValidation


def make_infra_validator(
    model: types.BaseChannel, model_name: str, settings: InfraValidation
) -> InfraValidator:
    """Makes the stage that starts the server and blesses a model that loads, warm-up included.

    Args:
        model: `Model`, the candidate.
        model_name: Name of the model in the server.
        settings: Image of the server, and platform that runs it.
    """
    repository, _, tag = settings.image.rpartition(":")
    server = infra_validator_pb2.TensorFlowServing(image_name=repository, tags=[tag])
    spec = infra_validator_pb2.ServingSpec(tensorflow_serving=server, model_name=model_name)
    if settings.platform == "docker":
        spec.local_docker.SetInParent()
    else:
        spec.kubernetes.SetInParent()
    return InfraValidator(
        model=model,
        serving_spec=spec,
        validation_spec=infra_validator_pb2.ValidationSpec(
            max_loading_time_seconds=settings.max_loading_seconds
        ),
    )
