"""The root config: data, model, training, evaluation and serving of one ranker in one file."""

from collections import Counter
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Self, TypeVar

import yaml
from pydantic import Field, PositiveInt, ValidationError, model_validator

from taskroute.schemas.base import Config, Name
from taskroute.schemas.embedding_tables import EmbeddingTable, embedded_width
from taskroute.schemas.errors import ConfigError
from taskroute.schemas.evaluation import BETTER, METRICS, Evaluation, Metric, terms_slice
from taskroute.schemas.features import (
    MOVED_LIMITS,
    CategoricalFeature,
    DenseFeature,
    Feature,
    IdFeature,
    ids_owner,
    missing_key,
)
from taskroute.schemas.interactions import DotInteraction, Interaction
from taskroute.schemas.monitoring import Monitoring, check_limits
from taskroute.schemas.push import Push
from taskroute.schemas.routes import load_route
from taskroute.schemas.runtime import Runtime
from taskroute.schemas.serving import SCORE, Serving
from taskroute.schemas.source import Source
from taskroute.schemas.tasks import Task, check_conditions
from taskroute.schemas.training import Training as Training
from taskroute.schemas.trunks import MtnasTrunk, SharedBottomTrunk, Trunk
from taskroute.schemas.tuning import Tuning, check_parameters

PartT = TypeVar("PartT", bound=Config)


class Towers(Config):
    """Layers of each task alone, between the trunk and its head."""

    units: tuple[PositiveInt, ...] = Field(
        (32,), description="Widths of the layers, bottom up; none: the head reads the trunk."
    )
    dropout: float = Field(0.0, ge=0, lt=1, description="Share of units dropped after each layer.")


class DataConfig(Config):
    """Inputs and labels of the model: all that Transform needs to know."""

    features: tuple[Feature, ...] = Field(
        min_length=1, description="Inputs of the model, known before the row's outcome."
    )
    tasks: tuple[Task, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        _refuse_repeats("features", (feature.name for feature in self.features))
        _refuse_repeats("tasks", (task.name for task in self.tasks))
        flags = {missing_key(f) for f in self.features if isinstance(f, DenseFeature)}
        for index, feature in enumerate(self.features):
            if feature.name in flags:
                raise ValueError(
                    f"features[{index}].name: '{feature.name}' is the name of another feature's "
                    "missing flag; choose another"
                )
        return self

    @model_validator(mode="after")
    def _columns_have_one_meaning(self) -> Self:
        labels = {task.label.column for task in self.tasks}
        weights = {task.weight for task in self.tasks}
        kinds: dict[str, tuple[str, str]] = {}
        for index, feature in enumerate(self.features):
            if feature.column in labels:
                raise ValueError(
                    f"features[{index}]: column '{feature.column}' is a label; a feature must be "
                    "known before the row's outcome"
                )
            if feature.column in weights:
                raise ValueError(
                    f"features[{index}]: column '{feature.column}' is a task's weight; give one of "
                    "them a column of its own"
                )
            kind = "number" if feature.column_kind == "number" else feature.kind
            first_kind, first_name = kinds.setdefault(feature.column, (kind, feature.name))
            if kind != first_kind:
                raise ValueError(
                    f"features[{index}]: column '{feature.column}' is read as {kind} here and as "
                    f"{first_kind} by '{first_name}'"
                )
        return self

    @model_validator(mode="after")
    def _shared_features_have_ids(self) -> Self:
        features = {feature.name: feature for feature in self.features}
        for index, feature in enumerate(self.features):
            if not isinstance(feature, IdFeature) or feature.shares is None:
                continue
            where, other = f"features[{index}].shares", features.get(feature.shares)
            if other is None or other is feature:
                raise ValueError(f"{where}: '{feature.shares}' is not another feature's name")
            if not isinstance(other, IdFeature):
                raise ValueError(
                    f"{where}: '{other.name}' is a {other.kind} feature, whose values are no terms"
                )
            if other.shares is not None:
                raise ValueError(
                    f"{where}: '{other.name}' has the ids of '{other.shares}' itself; share those"
                )
        return self

    @model_validator(mode="after")
    def _label_columns_have_one_kind(self) -> Self:
        numbers = {task.label.column for task in self.tasks if not task.label.texts}
        numbers |= {task.weight for task in self.tasks if task.weight is not None}
        for index, task in enumerate(self.tasks):
            if task.label.texts and task.label.column in numbers:
                raise ValueError(
                    f"tasks[{index}].label: column '{task.label.column}' is read as a number by "
                    "another task; write its values in quotes, or without them, everywhere"
                )
        return self

    @model_validator(mode="after")
    def _conditions_are_binary_tasks(self) -> Self:
        check_conditions(self.tasks)
        return self


class ModelConfig(DataConfig):
    """Everything that decides the weights beside the data: all that Trainer needs to know."""

    tables: tuple[EmbeddingTable, ...] = Field(
        (), description="Tables that several features share, or that have fewer rows than terms."
    )
    interaction: Interaction | None = Field(
        None, description="Products of features, between the embeddings and the trunk."
    )
    trunk: Trunk = Field(SharedBottomTrunk(), description="Layers between embeddings and towers.")
    towers: Towers = Towers()
    training: Training = Training()

    @model_validator(mode="after")
    def _tables_fit_features(self) -> Self:
        _refuse_repeats("tables", (table.name for table in self.tables))
        tables = {table.name for table in self.tables}
        used = {feature.table for feature in self.features if isinstance(feature, IdFeature)}
        for index, feature in enumerate(self.features):
            if isinstance(feature, IdFeature) and feature.table not in (None, *tables):
                raise ValueError(
                    f"features[{index}].table: '{feature.table}' is not the name of one of `tables`"
                )
        for index, table in enumerate(self.tables):
            if table.name not in used:
                raise ValueError(
                    f"tables[{index}]: no feature has `table: {table.name}`; give it one or leave "
                    "the table out"
                )
        return self

    @model_validator(mode="after")
    def _dot_products_have_one_width(self) -> Self:
        if not isinstance(self.interaction, DotInteraction):
            return self
        widths = {
            feature.name: embedded_width(feature, self.features, self.tables)
            for feature in self.features
            if not isinstance(feature, DenseFeature)
        }
        if len(widths) < 2:
            raise ValueError(
                "interaction.kind: dot multiplies embeddings with one another and needs at least "
                "two features that have one"
            )
        first = next(iter(widths))
        for name, width in widths.items():
            if width != widths[first]:
                raise ValueError(
                    "interaction.kind: dot needs one `embedding_dim` for all features that have "
                    f"embeddings; that of '{first}' is {widths[first]} and that of '{name}' {width}"
                )
        return self

    @model_validator(mode="after")
    def _sampled_task_is_binary(self) -> Self:
        sampling = self.training.negative_sampling
        sampled = [task for task in self.tasks if sampling and task.name == sampling.task]
        if sampling is not None and (not sampled or sampled[0].kind != "binary"):
            raise ValueError(
                f"training.negative_sampling.task: '{sampling.task}' is no binary task of this "
                "config"
            )
        if sampled and sampled[0].funnel is not None:
            raise ValueError(
                f"training.negative_sampling.task: '{sampled[0].name}' has a funnel; give the task "
                "at its start"
            )
        return self

    @model_validator(mode="after")
    def _routes_fit_tasks(self) -> Self:
        if not isinstance(self.trunk, MtnasTrunk):
            return self
        names = tuple(task.name for task in self.tasks)
        if self.trunk.route is not None:
            if self.trunk.route.tasks != names:
                raise ValueError(
                    f"trunk.route: is for the tasks {', '.join(self.trunk.route.tasks)}; this "
                    f"config has {', '.join(names)}"
                )
            return self
        if len(names) < 2:
            raise ValueError(
                "trunk.kind: mtnas searches what tasks share and needs at least two of them; add a "
                "task or choose another trunk"
            )
        binary = any(task.kind == "binary" for task in self.tasks)
        if self.trunk.search.reward == "auc" and not binary:
            raise ValueError("trunk.search.reward: auc needs a binary task; choose `loss`")
        return self


class RecommenderConfig(ModelConfig):
    """Everything about one ranker, and the machines that do its work."""

    name: Name = Field(
        description="Name of the ranker, its runs, its folders and its served model."
    )
    source: Source
    evaluation: Evaluation = Evaluation()
    monitoring: Monitoring = Monitoring()
    push: Push = Push()
    serving: Serving = Serving()
    runtime: Runtime = Runtime()
    tuning: Tuning | None = Field(None, description="Search space of `taskroute tune`.")

    @model_validator(mode="after")
    def _gates_fit_tasks(self) -> Self:
        by_terms = [
            terms_slice(feature.column)
            for feature in self.features
            if isinstance(feature, CategoricalFeature)
            and ids_owner(feature, self.features).vocabulary is not None
        ]
        for index, gate in enumerate(self.evaluation.gates):
            self._check_metric(f"evaluation.gates[{index}]", gate.task, gate.metric)
            if gate.slice_column not in (None, *self.evaluation.slices, *by_terms):
                raise ValueError(
                    f"evaluation.gates[{index}].slice: '{gate.slice_column}' is not among "
                    "`evaluation.slices`"
                )
        return self

    @model_validator(mode="after")
    def _limits_are_of_what_is_there(self) -> Self:
        check_limits(self.monitoring, self.features, self.tasks, self.source.window_days)
        return self

    @model_validator(mode="after")
    def _evaluation_columns_are_features(self) -> Self:
        kinds = {feature.column: feature.column_kind for feature in self.features}
        for place, column in (
            *((f"slices[{index}]", column) for index, column in enumerate(self.evaluation.slices)),
            ("group_key", self.evaluation.group_key),
        ):
            if column is None:
                continue
            if column not in kinds:
                raise ValueError(
                    f"evaluation.{place}: no feature reads the column '{column}', so examples do "
                    "not hold it"
                )
            if kinds[column] == "texts":
                raise ValueError(
                    f"evaluation.{place}: '{column}' holds many values a row; give a column of one"
                )
        return self

    @model_validator(mode="after")
    def _score_weighs_tasks(self) -> Self:
        names = {task.name for task in self.tasks}
        for name in self.serving.score:
            if name not in names:
                raise ValueError(f"serving.score: there is no task '{name}'")
        if self.serving.score and SCORE in names:
            raise ValueError(
                f"serving.score: the output '{SCORE}' is a task's already; give the task another "
                "name"
            )
        return self

    @model_validator(mode="after")
    def _calibrated_tasks_are_binary(self) -> Self:
        binary = {task.name for task in self.tasks if task.kind == "binary"}
        for name in self.serving.calibration.tasks:
            if name not in binary:
                raise ValueError(
                    f"serving.calibration.tasks: '{name}' is no binary task of this config"
                )
        return self

    @model_validator(mode="after")
    def _tuning_fits(self) -> Self:
        if self.tuning is None:
            return self
        check_parameters(self.tuning.parameters, self.part(ModelConfig))
        for index, bound in enumerate(self.tuning.constraints):
            self._check_metric(f"tuning.constraints[{index}]", bound.task, bound.metric)
        for index, aim in enumerate(self.tuning.objective):
            where = f"tuning.objective[{index}]"
            self._check_metric(where, aim.task, aim.metric)
            if aim.metric is not None and aim.metric not in BETTER:
                raise ValueError(
                    f"{where}.metric: neither more nor less of {aim.metric} is better; choose "
                    f"among {', '.join(BETTER)}"
                )
        return self

    def _check_metric(self, where: str, task: str, metric: Metric | None) -> None:
        """Refuses a missing task, and a metric that the task does not have."""
        kinds = {each.name: each.kind for each in self.tasks}
        if task not in kinds:
            raise ValueError(f"{where}.task: there is no task '{task}'")
        if metric is not None and metric not in METRICS[kinds[task]]:
            raise ValueError(
                f"{where}.metric: '{metric}' does not exist for the {kinds[task]} task '{task}'"
            )
        if metric == "gauc" and self.evaluation.group_key is None:
            raise ValueError(f"{where}.metric: gauc needs `evaluation.group_key`")

    def part(self, kind: type[PartT]) -> PartT:
        """Part of the config that a stage needs, so that other fields keep its cache valid."""
        return kind(**{name: getattr(self, name) for name in kind.model_fields})


def _refuse_repeats(where: str, names: Iterable[str]) -> None:
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise ValueError(f"{where}: the name '{repeated[0]}' is used more than once")


def load_config(path: str | Path) -> RecommenderConfig:
    """Reads a config from a YAML file.

    Raises:
        ConfigError: If the file cannot be read, or with the path of the first wrong field.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: is not UTF-8 text") from None
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "cannot be parsed"
        raise ConfigError(f"{path}{line}: is not valid YAML: {problem}") from None
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: must hold a mapping of fields, such as `name: demo`")
    _refuse_moved_limits(path, content)
    try:
        return RecommenderConfig.model_validate(_with_route(content, Path(path).parent))
    except ValidationError as error:
        first = error.errors()[0]
        place = _field_path(content, first["loc"])
        more = error.error_count() - 1
        tail = f" (and {more} more)" if more else ""
        message = first["msg"].removeprefix("Value error, ")
        if first["type"] == "extra_forbidden":
            message = _no_such_field(str(first["loc"][-1]))
        raise ConfigError(f"{path}: {place}{': ' if place else ''}{message}{tail}") from None


def _refuse_moved_limits(path: str | Path, content: Mapping[str, Any]) -> None:
    """Names the limit of `monitoring` that takes the place of `max_skew` and `max_drift`."""
    features = content.get("features")
    for index, feature in enumerate(features if isinstance(features, list) else ()):
        for old, signal in MOVED_LIMITS.items():
            limit = feature.get(old) if isinstance(feature, dict) else None
            if limit is None:
                continue
            column = feature.get("column", feature.get("name"))
            threshold = limit if feature.get("kind") in ("dense", "bucket") else 0.02
            raise ConfigError(
                f"{path}: features[{index}].{old}: is a limit of `monitoring` now; write "
                f"`monitoring: {{columns: {{{column}: {{{signal}: {{threshold: {threshold}, stop: "
                "true}}}}` (of text, too, it is now a Jensen-Shannon divergence)"
            )


def _no_such_field(name: str) -> str:
    """Message for an unknown field, with the closest name anywhere in a config."""
    schema = RecommenderConfig.model_json_schema()
    parts = [schema, *schema["$defs"].values()]
    fields = {field for part in parts for field in part.get("properties", ())}
    close = get_close_matches(name, sorted(fields), n=1)
    return "there is no such field here" + (f"; did you mean '{close[0]}'?" if close else "")


def _with_route(content: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Puts the trunk's route into `content`, in place of the name of its file."""
    trunk = content.get("trunk")
    if not isinstance(trunk, dict) or not isinstance(trunk.get("route"), str):
        return content
    route = load_route(folder / trunk["route"])
    return {**content, "trunk": {**trunk, "route": route.model_dump()}}


def _field_path(content: Any, location: tuple[int | str, ...]) -> str:
    """Turns `("features", 3, "dense", "name")` into `features[3].name`, without union tags."""
    path = ""
    for part in location:
        if isinstance(part, int):
            path += f"[{part}]"
            content = content[part] if isinstance(content, list | tuple) else None
        elif isinstance(content, dict) and part not in content and content.get("kind") == part:
            continue
        else:
            path += f".{part}" if path else str(part)
            content = content.get(part) if isinstance(content, dict) else None
    return path
