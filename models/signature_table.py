"""Inputs and outputs of a served model, as Markdown tables."""

from taskroute.models.dataset import feature_spec
from taskroute.models.export import (
    RAW_FEATURES,
    SERVING_DEFAULT,
    TRANSFORMED_FEATURES,
    input_specs,
)
from taskroute.schemas.columns import request_columns
from taskroute.schemas.input_names import input_names
from taskroute.schemas.recommender import ModelConfig
from taskroute.schemas.serving import SCORE, Serving


def signature_table(config: ModelConfig, serving: Serving) -> str:
    """Makes Markdown tables with a line for each input of each signature and each output."""
    columns = {column.input: column.name for column in request_columns(config)}
    features = {name: feature for feature, name in input_names(feature_spec(config)).items()}
    sources = {RAW_FEATURES: columns, TRANSFORMED_FEATURES: features}
    lines = ["| signature | input | type | shape |", "|---|---|---|---|"]
    for signature, specs in input_specs(config).items():
        for name, spec in specs.items():
            shape = "(rows, values)" if spec.shape.rank == 2 else "(rows,)"
            source = sources.get(signature, {}).get(name, name)
            origin = "" if source == name else f" ({source})".replace("|", r"\|")
            lines.append(f"| `{signature}` | `{name}`{origin} | {spec.dtype.name} | {shape} |")
    of_example = ", ".join(f"`{name}`" for name in columns.values())
    lines += [
        "",
        f"A tf.Example of `{SERVING_DEFAULT}` holds {of_example}.",
        "",
        "| output of every signature | type | shape | is |",
        "|---|---|---|---|",
    ]
    for task in config.tasks:
        meaning = "probability" if task.kind == "binary" else f"`{task.label.column}`"
        lines += [f"| `{name}` | float32 | (rows,) | {meaning} |" for name in task.outputs]
    if serving.score:
        terms = " + ".join(f"{weight:g} {task}" for task, weight in serving.score.items())
        lines.append(f"| `{SCORE}` | float32 | (rows,) | {terms} |")
    return "\n".join(lines) + "\n"
