"""Specs of stages, a line for each kind of entry."""

from collections.abc import Collection, Mapping

from tfx.types import Artifact, ComponentSpec
from tfx.types.component_spec import ChannelParameter, ExecutionParameter


def make_spec(
    *,
    inputs: Mapping[str, type[Artifact]],
    outputs: Mapping[str, type[Artifact]],
    parameters: Mapping[str, type],
    optional: Collection[str] = (),
) -> type[ComponentSpec]:
    """Makes the `SPEC_CLASS` of a stage.

    Args:
        inputs: Types of the input artifacts by key.
        outputs: Types of the output artifacts by key.
        parameters: Types of the execution properties by key.
        optional: Keys of inputs that may be left out.
    """
    content = {
        "INPUTS": {
            key: ChannelParameter(type=kind, optional=key in optional)
            for key, kind in inputs.items()
        },
        "OUTPUTS": {key: ChannelParameter(type=kind) for key, kind in outputs.items()},
        "PARAMETERS": {key: ExecutionParameter(type=kind) for key, kind in parameters.items()},
    }
    return type("StageSpec", (ComponentSpec,), content)
