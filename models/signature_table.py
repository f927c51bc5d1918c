"""Inputs and outputs of a served model, as Markdown tables."""

from taskroute.models.export import SERVING_DEFAULT, input_specs
from taskroute.schemas.columns import feature_columns
from taskroute.schemas.recommender import ModelConfig
from taskroute.schemas.serving import SCORE, Serving


def signature_table(config: ModelConfig, serving: Serving) -> str:
    """Makes Markdown tables with a line for each input of each signature and each output."""
    lines = ["| signature | input | type | shape |", "|---|---|---|---|"]
    for signature, specs in input_specs(config).items():
        for name, spec in specs.items():
            shape = "(rows, values)" if spec.shape.rank == 2 else "(rows,)"
            lines.append(f"| `{signature}` | `{name}` | {spec.dtype.name} | {shape} |")
    columns = ", ".join(f"`{column.name}`" for column in feature_columns(config))
    lines += [
        "",
        f"A tf.Example of `{SERVING_DEFAULT}` holds {columns}.",
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
