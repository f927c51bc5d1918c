"""TaskEvaluator: the interface of the component."""

from collections.abc import Sequence

from tfx import types
from tfx.dsl.components.base import base_beam_component, executor_spec
from tfx.types import standard_artifacts

from taskroute.components.interface import make_spec
from taskroute.components.task_evaluator import executor
from taskroute.schemas.evaluation import Evaluation
from taskroute.schemas.features import Feature
from taskroute.schemas.tasks import Task


class TaskEvaluator(base_beam_component.BaseBeamComponent):
    """Measures a model per task and slice on the test split and blesses it if every gate passes.

    Candidate and baseline are scored in one pass on the same rows, through `raw_features`; labels
    and weights come from the transform graph. A candidate whose `serving_default` gives the first
    10,000 rows other scores is refused with exit code 5. `evaluation` holds metrics.json,
    verdict.json and TFMA's files, `blessing` what TFX's Evaluator would put there.
    """

    SPEC_CLASS = make_spec(
        inputs={
            "examples": standard_artifacts.Examples,
            "model": standard_artifacts.Model,
            "transform_graph": standard_artifacts.TransformGraph,
        },
        outputs={
            "evaluation": standard_artifacts.ModelEvaluation,
            "blessing": standard_artifacts.ModelBlessing,
        },
        parameters={"tasks": str, "features": str, "settings": str, "serving": str},
    )
    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(executor.Executor)

    def __init__(
        self,
        examples: types.BaseChannel,
        model: types.BaseChannel,
        transform_graph: types.BaseChannel,
        tasks: Sequence[Task],
        evaluation: Evaluation,
        serving: str = "",
        features: Sequence[Feature] = (),
    ):
        """Constructs the component.

        Args:
            examples: Raw `Examples` with a `test` split.
            model: `Model` whose SavedModel has one output per task in `raw_features` and
                `serving_default`.
            transform_graph: `TransformGraph` that makes the labels and the weights.
            tasks: Tasks of the model.
            evaluation: Slices, groups and gates. Without any gate every model is blessed.
            serving: Folder of the model's versions: what its pointer names when the step runs is
                the baseline. "" where there is nothing to compare with.
            features: Features of the model: columns with a vocabulary get slices of the rows with
                new and with known terms.

        Raises:
            ValueError: If there is no task, or a gate is on none of the tasks.
        """
        if not tasks:
            raise ValueError("`tasks` must hold at least one task. Received: tasks=()")
        names = {task.name for task in tasks}
        for gate in evaluation.gates:
            if gate.task not in names:
                raise ValueError(f"`gates` must be on the tasks. Received: task={gate.task!r}")
        super().__init__(
            spec=self.SPEC_CLASS(
                examples=examples,
                model=model,
                transform_graph=transform_graph,
                tasks=executor.TASKS.dump_json(tuple(tasks)).decode(),
                features=executor.FEATURES.dump_json(tuple(features)).decode(),
                settings=evaluation.model_dump_json(),
                serving=serving,
                evaluation=types.Channel(type=standard_artifacts.ModelEvaluation),
                blessing=types.Channel(type=standard_artifacts.ModelBlessing),
            )
        )
