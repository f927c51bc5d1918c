"""When is a routing trunk worth it? Trunks of equal size on tasks of known relatedness.

    python benchmarks/task_relatedness.py             the map of regimes; about 45 minutes
    python benchmarks/task_relatedness.py --quick     four cells of it, in minutes
    python benchmarks/task_relatedness.py --gates     variations of the gates' constants
    python benchmarks/task_relatedness.py --routes    do related tasks share more routes?
    python benchmarks/task_relatedness.py --report    tables and plot of what was measured so far

Every finished cell is a line of `--results`; a run that was stopped goes on after the last one.

A whole training, evaluations and early stopping included, is one function that XLA compiles:
nothing returns to Python between steps. Worlds, rows, starts and mini-batches are the same for all
trunks; XLA draws the noise of gates and dropout without a seed: a repetition differs by it.
"""

import argparse
import gc
import json
import os
import platform
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import line_plot
import numpy as np
from scipy import stats
from synthetic_tasks import Rows, TaskFamily, World

from taskroute.models.layers.experts import Experts
from taskroute.models.trunks import (
    build_trunk,
    match_width,
    parameter_count,
    routing_learning_rate,
)
from taskroute.schemas import trunks

import tensorflow as tf  # isort: skip
import tf_keras as keras  # isort: skip

BATCH_SIZE = 128
STEPS_PER_EVALUATION = 100
MAX_EVALUATIONS = 30
PATIENCE = 6  # evaluations
TOWER_UNITS = 8
NUM_VALIDATION_ROWS, NUM_TEST_ROWS = 1_500, 3_000
LEARNING_RATES, DROPOUTS = (0.003, 0.01), (0.0, 0.2)
TUNING_SEEDS = range(1000, 1004)
MEASURED_SEEDS = range(10)
BASELINES = ("single_task", "shared_bottom")


# ---------------------------------------------------------------------------------------------
# What is compared


@dataclass(frozen=True)
class Setting:
    """A column of the map: everything but the relatedness and the trunk.

    `parameters` counts trunk and towers; every trunk gets the widths that come nearest to it.
    """

    name: str
    num_tasks: int = 8
    num_groups: int = 4
    num_rows: int = 2_000
    layers: int = 2
    parameters: int = 12_000
    relatedness: tuple[float, ...] = (0.0, 0.5, 0.9, 1.0)
    learning_rates: tuple[float, ...] = LEARNING_RATES
    dropouts: tuple[float, ...] = DROPOUTS

    def family(self, relatedness: float) -> TaskFamily:
        return TaskFamily(self.num_tasks, self.num_groups, relatedness)


SCARCE = Setting("scarce")
PLENTIFUL = replace(SCARCE, name="plentiful", num_rows=20_000)
ENDS = (0.0, 1.0)
MAP = (
    SCARCE,
    replace(SCARCE, name="scarce, no dropout", dropouts=(0.0,)),
    PLENTIFUL,
    replace(SCARCE, name="scarce, 2 tasks", num_tasks=2, num_groups=1),
    replace(PLENTIFUL, name="plentiful, 2 tasks", num_tasks=2, num_groups=1),
    replace(SCARCE, name="scarce, 1 layer", layers=1, relatedness=ENDS),
    replace(PLENTIFUL, name="plentiful, 1 layer", layers=1, relatedness=ENDS),
    replace(SCARCE, name="scarce, small", parameters=4_000, relatedness=ENDS),
    replace(PLENTIFUL, name="plentiful, small", parameters=4_000, relatedness=ENDS),
    replace(SCARCE, name="scarce, 2 groups", num_groups=2, relatedness=(0.9, 1.0)),
)
QUICK = (replace(SCARCE, name="quick", relatedness=ENDS),)


def map_trunks(layers: int) -> dict[str, trunks.Trunk]:
    """The trunks by name, with any widths of the right proportions."""
    sub_networks = (trunks.SubNetworkLayer(sub_networks=4, units=16),) * layers
    experts = (trunks.ExpertLayer(experts=4, units=(16,)),) * layers
    level = trunks.PleLevel(task_experts=1, shared_experts=1, units=(16,))
    configs: tuple[trunks.Trunk, ...] = (
        trunks.SingleTaskTrunk(kind="single_task", units=(16,) * layers),
        trunks.SharedBottomTrunk(units=(64,) * layers),
        trunks.SnrTransTrunk(kind="snr_trans", layers=sub_networks, **SNR),
        trunks.SnrAverTrunk(kind="snr_aver", layers=sub_networks, **SNR),
        trunks.GumbelMatrixTrunk(kind="gumbel_matrix", layers=experts, **GUMBEL),
        trunks.MmoeTrunk(kind="mmoe", layers=experts),
        trunks.PleTrunk(kind="ple", levels=(level,) * layers),
        trunks.CrossStitchTrunk(kind="cross_stitch", units=(16,) * layers),
    )
    return {config.kind: config for config in configs}


# The constants of the gates, the same in every cell of the map.
SNR: dict[str, Any] = {}
GUMBEL: dict[str, Any] = {}

_FIXED = replace(SCARCE, relatedness=(1.0,), learning_rates=(0.003,), dropouts=(0.0,))
GATE_SETTINGS = (
    replace(_FIXED, name="gates, scarce"),
    replace(_FIXED, name="gates, scarce, dropout 0.2", dropouts=(0.2,)),
    replace(_FIXED, name="gates, plentiful", num_rows=20_000),
)
_START, _RATE, _PENALTY = "log_alpha_start", "gate_learning_rate", "l0_penalty"
GATE_VARIATIONS: dict[str, tuple[dict[str, Any], ...]] = {
    "snr_trans": (
        {},
        {_START: 0.0},
        {_START: 1.0},
        {_START: 3.0},
        {_RATE: 0.002},
        {_RATE: 0.05},
        {_PENALTY: 0.0},
        {_PENALTY: 0.5},
        {_PENALTY: 5.0},
        {"temperature": 0.5},
        {"temperature": 0.9},
    ),
    "gumbel_matrix": (
        {},
        {_RATE: 0.002},
        {_RATE: 0.05},
        {"temperature_start": 5.0},
        {"temperature_end": 0.1},
        {"start_probability": 0.8},
        {"start_probability": 0.97},
        {"budget": 0.5},
    ),
}


def with_parameters(config: trunks.Trunk, family: TaskFamily, total: int) -> trunks.Trunk:
    """The trunk whose own parameters and those of the towers above it come nearest to `total`."""

    def matched(own: int) -> trunks.Trunk:
        target = config.model_copy(update={"match_parameters": own})
        return match_width(target, family.width, family.num_tasks)

    low, high = 1, total
    while high - low > 1:
        middle = (low + high) // 2
        below = total_parameters(matched(middle), family) < total
        low, high = (middle, high) if below else (low, middle)
    return min(
        map(matched, (low, high)), key=lambda each: abs(total_parameters(each, family) - total)
    )


def total_parameters(config: trunks.Trunk, family: TaskFamily) -> int:
    """Trained scalars of a trunk and of the towers above it."""
    units = getattr(config, "units", None)
    if units is None:
        last = config.levels[-1] if config.kind == "ple" else config.layers[-1]
        units = last.units if isinstance(last.units, tuple) else (last.units,)
    tower = (units[-1] + 1) * TOWER_UNITS + TOWER_UNITS + 1
    return parameter_count(config, family.width, family.num_tasks) + family.num_tasks * tower


# ---------------------------------------------------------------------------------------------
# One training


@dataclass(frozen=True)
class Data:
    """float32 arrays that one training reads."""

    train: Rows
    validation: Rows
    test: Rows


@cache
def draw_data(family: TaskFamily, num_rows: int, seed: int) -> Data:
    world = World(family, seed)
    counts = (num_rows, NUM_VALIDATION_ROWS, NUM_TEST_ROWS)
    return Data(*(world.draw(count, part=part) for part, count in enumerate(counts)))


@dataclass(frozen=True)
class Outcome:
    """What a training left at the evaluation with the lowest validation error.

    `error` is the squared error against the truth, the mean over tasks; a constant prediction has
    1. `validation` is against noisy labels. `routing` holds the trunk's matrices.
    """

    error: float
    validation: float
    steps: int
    routing: tuple[np.ndarray, ...]


class Training:
    """A trunk, the tasks' towers and their whole training as one compiled function.

    Args:
        config: The trunk, its widths as they are.
        family: Gives the number of tasks and the width of the input.
        max_rows: Inputs are padded to so many, so that one program serves them all.
    """

    def __init__(self, config: trunks.Trunk, family: TaskFamily, max_rows: int):
        self.config, self.max_rows = config, max_rows
        self.task_names = [f"task_{index}" for index in range(family.num_tasks)]
        self.width = family.width
        self.layers = self._new_layers()
        self.trunk, self.towers, self.heads = self.layers
        self.starts: dict[int, list[np.ndarray]] = {}
        routing = self.trunk.routing_variables
        self.variables = [v for layer in self.layers for v in layer.trainable_weights]
        self.is_routing = [any(v is other for other in routing) for v in self.variables]
        self.optimizer = self._new_optimizer(routing=False)
        self.gate_optimizer = self._new_optimizer(routing=True) if routing else None
        self.program = tf.function(self._train, jit_compile=True)

    def run(
        self, data: Data, *, seed: int, learning_rate: float, patience: int = PATIENCE
    ) -> Outcome:
        """Trains from the start that `seed` names."""
        self._restart(seed, learning_rate)
        count = len(data.train.inputs)
        padding = [(0, self.max_rows - count), (0, 0)]
        validation, test, matrices, evaluations = self.program(
            np.pad(data.train.inputs, padding),
            np.pad(data.train.labels, padding),
            data.validation.inputs,
            data.validation.labels,
            data.test.inputs,
            data.test.truth,
            tf.constant(count),
            tf.constant(seed),
            tf.constant(patience),
        )
        best = int(np.argmin(validation[: int(evaluations)]))
        return Outcome(
            error=float(test[best]),
            validation=float(validation[best]),
            steps=(best + 1) * STEPS_PER_EVALUATION,
            routing=tuple(matrix[best].numpy() for matrix in matrices),
        )

    def _new_layers(self) -> tuple[Any, Any, Any]:
        tasks = len(self.task_names)
        arguments: dict[str, Any] = {"num_inputs": tasks, "experts_first": True}
        layers = (
            build_trunk(self.config, self.task_names, self.width),
            Experts(tasks, (TOWER_UNITS,), **arguments),
            Experts(tasks, (1,), activation="linear", **arguments),
        )
        _predict(layers, tf.zeros([1, self.width]), training=False)
        return layers

    def _new_optimizer(self, *, routing: bool) -> keras.optimizers.Optimizer:
        optimizer = keras.optimizers.Adam(routing_learning_rate(self.config) or 0.0)
        optimizer.build(self._select(self.variables, routing))
        return optimizer

    def _select(self, values: Sequence[Any], routing: bool) -> list[Any]:
        return [v for v, is_it in zip(values, self.is_routing, strict=True) if is_it == routing]

    def _restart(self, seed: int, learning_rate: float) -> None:
        if seed not in self.starts:
            keras.utils.set_random_seed(seed)
            layers = self._new_layers()
            self.starts[seed] = [w.numpy() for layer in layers for w in layer.weights]
        weights = [weight for layer in self.layers for weight in layer.weights]
        for weight, start in zip(weights, self.starts[seed], strict=True):
            weight.assign(start)
        for optimizer in filter(None, (self.optimizer, self.gate_optimizer)):
            rate = float(optimizer.learning_rate)
            for variable in optimizer.variables:
                variable.assign(tf.zeros_like(variable))
            optimizer.learning_rate = rate
        self.optimizer.learning_rate = learning_rate

    def _train(
        self,
        inputs: tf.Tensor,
        labels: tf.Tensor,
        validation_inputs: tf.Tensor,
        validation_labels: tf.Tensor,
        test_inputs: tf.Tensor,
        test_truth: tf.Tensor,
        count: tf.Tensor,
        seed: tf.Tensor,
        patience: tf.Tensor,
    ) -> tuple[tf.Tensor, tf.Tensor, list[tf.Tensor], tf.Tensor]:
        """Errors and routing at each evaluation, and how many evaluations there were."""
        validation, test = tf.zeros([MAX_EVALUATIONS]), tf.zeros([MAX_EVALUATIONS])
        shapes = [matrix.values.shape for matrix in self.trunk.routing()]
        matrices = [tf.zeros([MAX_EVALUATIONS, *shape]) for shape in shapes]
        index, best_index, best = tf.constant(0), tf.constant(0), tf.constant(np.inf, tf.float32)
        while index < MAX_EVALUATIONS and index - best_index <= patience:
            for step in tf.range(index * STEPS_PER_EVALUATION, (index + 1) * STEPS_PER_EVALUATION):
                chosen = tf.random.stateless_uniform(
                    [BATCH_SIZE], tf.stack([seed, step]), 0, count, tf.int32
                )
                self._step(tf.gather(inputs, chosen), tf.gather(labels, chosen))
            error = self._error(validation_inputs, validation_labels)
            validation = _put(validation, index, error)
            test = _put(test, index, self._error(test_inputs, test_truth))
            routing = [matrix.values for matrix in self.trunk.routing()]
            matrices = [_put(m, index, now) for m, now in zip(matrices, routing, strict=True)]
            best_index = tf.where(error < best, index, best_index)
            best = tf.minimum(best, error)
            index += 1
        return validation, test, matrices, index

    def _step(self, inputs: tf.Tensor, labels: tf.Tensor) -> None:
        with tf.GradientTape() as tape:
            errors = (_predict(self.layers, inputs, training=True) - labels) ** 2
            # As the ranker does: the sum over tasks of means over examples.
            loss = tf.reduce_sum(tf.reduce_mean(errors, axis=0))
            loss += tf.add_n([*self.trunk.losses, tf.zeros([])])
        gradients = list(zip(tape.gradient(loss, self.variables), self.variables, strict=True))
        self.optimizer.apply_gradients(self._select(gradients, False))
        if self.gate_optimizer is not None:
            self.gate_optimizer.apply_gradients(self._select(gradients, True))

    def _error(self, inputs: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        return tf.reduce_mean((_predict(self.layers, inputs, training=False) - labels) ** 2)


def _predict(layers: tuple[Any, Any, Any], inputs: tf.Tensor, *, training: bool) -> tf.Tensor:
    trunk, towers, heads = layers
    features = tf.stack(list(trunk(inputs, training=training).values()))
    outputs = heads(towers(features, training=training), training=training)
    return tf.transpose(tf.squeeze(outputs, axis=2))


def _put(values: tf.Tensor, index: tf.Tensor, value: tf.Tensor) -> tf.Tensor:
    return tf.tensor_scatter_nd_update(values, [[index]], [value])


# ---------------------------------------------------------------------------------------------
# Cells of the map


class Results:
    """JSON lines, one a finished cell, found again by its `key`."""

    def __init__(self, path: Path):
        self.path = path
        self.records: dict[str, dict[str, Any]] = {}
        if path.exists():
            for line in path.read_text().splitlines():
                record = json.loads(line)
                self.records[record["key"]] = record

    def add(self, key: str, record: dict[str, Any]) -> dict[str, Any]:
        record = {"key": key, **record}
        self.records[key] = record
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a") as file:
            file.write(json.dumps(record) + "\n")
        return record


def measure_map(
    settings: Sequence[Setting], variations: Sequence[tuple[str, dict[str, Any]]], results: Results
) -> None:
    """Fills every missing cell of `settings` x relatedness x `variations` (trunk, constants)."""
    for shape in _by_shape(settings):
        family = shape[0].family(0.0)
        max_rows = max(setting.num_rows for setting in shape)
        for kind, constants in variations:
            name = variation_name(kind, constants)
            config = map_trunks(shape[0].layers)[kind].model_copy(update=constants)
            config = with_parameters(config, family, shape[0].parameters)
            trainings: dict[float, Training] = {}

            def training(dropout: float, config=config, trainings=trainings) -> Training:
                if dropout not in trainings:
                    dropped = config.model_copy(update={"dropout": dropout})
                    trainings[dropout] = Training(dropped, family, max_rows)  # noqa: B023
                return trainings[dropout]

            for setting in shape:
                _measure_setting(setting, name, training, results)
            del training, trainings
            keras.backend.clear_session()
            gc.collect()


def _by_shape(settings: Sequence[Setting]) -> Iterable[list[Setting]]:
    """Settings that one compiled program serves, together."""
    shapes: dict[tuple[int, ...], list[Setting]] = {}
    for setting in settings:
        shape = (setting.num_tasks, setting.layers, setting.parameters)
        shapes.setdefault(shape, []).append(setting)
    return shapes.values()


def variation_name(kind: str, constants: dict[str, Any]) -> str:
    return " ".join([kind, *(f"{name}={value:g}" for name, value in constants.items())])


def _measure_setting(setting: Setting, name: str, training: Any, results: Results) -> None:
    key = f"{setting.name} | {name}"
    missing = [p for p in setting.relatedness if f"{key} | {p:g}" not in results.records]
    if not missing:
        return
    tuned = results.records.get(f"{key} | tuned")
    if tuned is None:
        tuned = results.add(f"{key} | tuned", _tune(setting, training))
    for p in missing:
        start = time.process_time()
        outcomes = [
            training(tuned["dropout"]).run(
                draw_data(setting.family(p), setting.num_rows, seed),
                seed=seed,
                learning_rate=tuned["learning_rate"],
            )
            for seed in MEASURED_SEEDS
        ]
        trunk = training(tuned["dropout"]).trunk
        errors = [outcome.error for outcome in outcomes]
        record = {
            "setting": asdict(setting),
            "trunk": name,
            "relatedness": p,
            "learning_rate": tuned["learning_rate"],
            "dropout": tuned["dropout"],
            "errors": errors,
            "steps": [outcome.steps for outcome in outcomes],
            "open": [
                float(np.mean([np.mean(matrix > 0) for matrix in matrices]))
                for matrices in zip(*(outcome.routing for outcome in outcomes), strict=True)
            ],
            "parameters": total_parameters(training(tuned["dropout"]).config, setting.family(p)),
            "macs": trunk.macs(),
            "cpu_seconds": round(time.process_time() - start, 1),
        }
        results.add(f"{key} | {p:g}", record)
        print(f"{key:45s} p = {p:<4g} error {mean_and_error(errors)}", flush=True)


def _tune(setting: Setting, training: Any) -> dict[str, Any]:
    """Chooses learning rate and dropout by validation error in worlds that are not measured."""
    start = time.process_time()
    if len(setting.dropouts) == len(setting.learning_rates) == 1:
        return {"learning_rate": setting.learning_rates[0], "dropout": setting.dropouts[0]}
    tried = []
    for dropout in setting.dropouts:
        for rate in setting.learning_rates:
            errors = []
            for index, seed in enumerate(TUNING_SEEDS):
                p = setting.relatedness[index % len(setting.relatedness)]
                data = draw_data(setting.family(p), setting.num_rows, seed)
                outcome = training(dropout).run(data, seed=seed, learning_rate=rate)
                errors.append(outcome.validation)
            tried.append((float(np.mean(errors)), rate, dropout))
    _, rate, dropout = min(tried)
    seconds = round(time.process_time() - start, 1)
    return {"learning_rate": rate, "dropout": dropout, "tried": tried, "cpu_seconds": seconds}


# ---------------------------------------------------------------------------------------------
# Routes of related and of unrelated tasks


ROUTE_FAMILY = TaskFamily(num_tasks=4, num_groups=2, width=20, noise=0.1)
ROUTE_ROWS = 10_000
ROUTE_RATE = 0.003


def route_trunks() -> dict[str, trunks.Trunk]:
    experts = trunks.ExpertLayer(experts=8, units=(8,))
    sub_networks = trunks.SubNetworkLayer(sub_networks=8, units=8)

    def gumbel(layers: int, **constants: Any) -> trunks.Trunk:
        arguments = {**GUMBEL, **constants}
        return trunks.GumbelMatrixTrunk(
            kind="gumbel_matrix", layers=(experts,) * layers, **arguments
        )

    def snr(kind: str, layers: int, **constants: Any) -> trunks.Trunk:
        make = {"snr_trans": trunks.SnrTransTrunk, "snr_aver": trunks.SnrAverTrunk}[kind]
        return make(kind=kind, layers=(sub_networks,) * layers, **{**SNR, **constants})

    return {
        "gumbel_matrix, 1 layer": gumbel(1),
        "gumbel_matrix, 1 layer, budget 0.25": gumbel(1, budget=0.25),
        "gumbel_matrix, 2 layers": gumbel(2),
        "gumbel_matrix, 2 layers, budget 0.25": gumbel(2, budget=0.25),
        "snr_trans, 1 layer": snr("snr_trans", 1),
        "snr_trans, 1 layer, l0_penalty 1": snr("snr_trans", 1, l0_penalty=1.0),
        "snr_trans, 2 layers, l0_penalty 1": snr("snr_trans", 2, l0_penalty=1.0),
        "snr_aver, 1 layer, l0_penalty 0.3": snr("snr_aver", 1, l0_penalty=0.3),
    }


def measure_routes(results: Results) -> None:
    """Similarity of the tasks' routes, of pairs and of strangers."""
    for name, config in route_trunks().items():
        training = None
        for p in (1.0, 0.9, 0.5, 0.0):
            key = f"routes | {name} | {p:g}"
            if key in results.records:
                continue
            training = training or Training(config, ROUTE_FAMILY, ROUTE_ROWS)
            family, similarities, errors, shares = replace(ROUTE_FAMILY, relatedness=p), [], [], []
            for seed in MEASURED_SEEDS:
                data = draw_data(family, ROUTE_ROWS, seed)
                outcome = training.run(
                    data, seed=seed, learning_rate=ROUTE_RATE, patience=MAX_EVALUATIONS
                )
                used = task_routes(outcome.routing, config)
                similarities.append(pair_similarities(used))
                errors.append(outcome.error)
                shares.append(float(used.mean()))
            within, across = np.transpose(similarities).tolist()
            record = {
                "trunk": name,
                "relatedness": p,
                "within": within,
                "across": across,
                "errors": errors,
                "open": shares,
                "parameters": parameter_count(config, family.width, family.num_tasks),
            }
            results.add(key, record)
            print(
                f"{key:60s} within {np.mean(within):.2f} across {np.mean(across):.2f}", flush=True
            )


def task_routes(routing: Sequence[np.ndarray], config: trunks.Trunk) -> np.ndarray:
    """Which parts each task uses directly, 0 or 1: (tasks, parts)."""
    matrices = routing if config.kind == "gumbel_matrix" else routing[-1:]
    return np.concatenate([matrix > 0 for matrix in matrices], axis=1).astype(float)


def pair_similarities(used: np.ndarray) -> tuple[float, float]:
    """Mean cosine of two tasks' routes, within pairs of neighbours and across them."""
    norms = np.linalg.norm(used, axis=1)
    cosines = used @ used.T / np.outer(norms, norms)
    pair = np.arange(len(used)) // 2
    within = (pair[:, None] == pair) & ~np.eye(len(used), dtype=bool)
    return float(cosines[within].mean()), float(cosines[pair[:, None] != pair].mean())


# ---------------------------------------------------------------------------------------------
# Report


def mean_and_error(values: Sequence[float]) -> str:
    """Mean and standard error, as in `.193 ± .041`."""
    error = np.std(values, ddof=1) / np.sqrt(len(values))
    return f"{_short(np.mean(values))} ± {_short(error)}"


def _short(value: float) -> str:
    return f"{value:.3f}".removeprefix("0")


def _difference(errors: Sequence[float], others: Sequence[float]) -> tuple[float, float]:
    """Mean paired difference and its standard error."""
    differences = np.subtract(errors, others)
    return float(differences.mean()), float(differences.std(ddof=1) / np.sqrt(len(differences)))


def _cells(results: Results, setting: Setting) -> dict[str, dict[float, dict[str, Any]]]:
    """Finished records by trunk and relatedness, in the order they were measured."""
    cells: dict[str, dict[float, dict[str, Any]]] = {}
    for record in results.records.values():
        if record.get("setting", {}).get("name") == setting.name:
            cells.setdefault(record["trunk"], {})[record["relatedness"]] = record
    return cells


def verdict(errors: Sequence[float], baselines: Sequence[Sequence[float]]) -> str:
    """+ below every baseline by two standard errors, - above one by as much, else nothing."""
    pairs = [_difference(errors, other) for other in baselines]
    if all(mean < -2 * error for mean, error in pairs):
        return " **+**"
    return " **-**" if any(mean > 2 * error for mean, error in pairs) else ""


def map_tables(results: Results, settings: Sequence[Setting]) -> Iterator[str]:
    """Markdown lines: errors, then paired differences from each baseline."""
    for setting in settings:
        cells = _cells(results, setting)
        columns = [p for p in setting.relatedness if all(p in cells.get(b, {}) for b in BASELINES)]
        if not columns:
            continue
        yield f"\n**{setting.name}**\n"
        yield _row("trunk", "rate, dropout", *(f"p = {p:g}" for p in columns), "open routes")
        yield "|---" * (len(columns) + 3) + "|"
        for name, by_p in cells.items():
            values = []
            for p in columns:
                if p not in by_p:
                    values.append("")
                    continue
                baselines = [cells[baseline][p]["errors"] for baseline in BASELINES]
                errors = by_p[p]["errors"]
                mark = "" if name in BASELINES else verdict(errors, baselines)
                values.append(mean_and_error(errors) + mark)
            last = by_p[max(by_p)]
            routes = " / ".join(f"{share:.2f}" for share in last["open"])
            chosen = f"{last['learning_rate']:g}, {last['dropout']:g}"
            yield _row(name, chosen, *values, routes)
        yield ""
        yield _row("difference from single_task; shared_bottom", *(f"p = {p:g}" for p in columns))
        yield "|---" * (len(columns) + 1) + "|"
        for name, by_p in cells.items():
            if name not in BASELINES:
                values = [
                    "; ".join(
                        _signed(*_difference(by_p[p]["errors"], cells[baseline][p]["errors"]))
                        for baseline in BASELINES
                    )
                    for p in columns
                    if p in by_p
                ]
                yield _row(name, *values)


def gate_table(results: Results) -> Iterator[str]:
    cells = [_cells(results, setting) for setting in GATE_SETTINGS]
    yield _row("constants", *(setting.name for setting in GATE_SETTINGS))
    yield "|---" * (len(cells) + 1) + "|"
    for kind, variations in GATE_VARIATIONS.items():
        for constants in variations:
            name = variation_name(kind, constants)
            values = []
            for by_name in cells:
                if name not in by_name or kind not in by_name:
                    values.append("")
                    continue
                errors, defaults = (by_name[each][1.0]["errors"] for each in (name, kind))
                text = _short(np.mean(errors))
                values.append(
                    f"{text} ({_signed(*_difference(errors, defaults))})" if constants else text
                )
            yield _row(name, *values)


def route_table(results: Results) -> Iterator[str]:
    yield _row("trunk", "p", "within pairs", "across", "difference", "t-test", "used", "error")
    yield "|---" * 8 + "|"
    for key, record in results.records.items():
        if key.startswith("routes | "):
            difference = _difference(record["within"], record["across"])
            probability = stats.ttest_rel(record["within"], record["across"]).pvalue
            yield _row(
                record["trunk"],
                f"{record['relatedness']:g}",
                f"{np.mean(record['within']):.2f}",
                f"{np.mean(record['across']):.2f}",
                _signed(*difference),
                f"{probability:.1g}",
                f"{np.mean(record['open']):.2f}",
                _short(np.mean(record["errors"])),
            )


def _signed(mean: float, error: float) -> str:
    sign = "-" if mean < 0 else "+"
    return f"{sign}{_short(abs(mean))} ± {_short(error)}"


def _row(*values: str) -> str:
    return "| " + " | ".join(values) + " |"


def map_plot(results: Results, settings: Sequence[Setting]) -> str:
    """SVG: each trunk's error as a share of single_task's, by relatedness; bars are one s.e."""
    panels = []
    for setting in settings:
        cells = _cells(results, setting)
        lines = {}
        for name, by_p in cells.items():
            points = []
            for index, p in enumerate(setting.relatedness):
                if p in by_p and p in cells.get("single_task", {}):
                    base = cells["single_task"][p]["errors"]
                    mean, error = _difference(by_p[p]["errors"], base)
                    points.append((index, 1 + mean / np.mean(base), error / np.mean(base)))
            lines[name] = points
        ticks = [f"{p:g}" for p in setting.relatedness]
        panels.append(line_plot.Panel(setting.name, ticks, lines))
    return line_plot.draw(panels, "relatedness p", "error / error of single_task")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--results", type=Path, default=Path("build/task_relatedness.jsonl"))
    parser.add_argument("--plot", type=Path, help="with --report, where to write the SVG")
    group = parser.add_mutually_exclusive_group()
    for mode in ("quick", "gates", "routes", "report"):
        group.add_argument(f"--{mode}", action="store_true")
    arguments = parser.parse_args()
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    results = Results(arguments.results)
    start = time.process_time()
    kinds = list(map_trunks(1))
    if arguments.report:
        lines = [*map_tables(results, MAP), "", *gate_table(results), "", *route_table(results)]
        print("\n".join(lines))
        if arguments.plot:
            arguments.plot.write_text(map_plot(results, [*MAP[:1], *MAP[2:5]]))
        return
    if arguments.routes:
        measure_routes(results)
        print("\n".join(route_table(results)))
    elif arguments.gates:
        variations = [(kind, each) for kind, many in GATE_VARIATIONS.items() for each in many]
        measure_map(GATE_SETTINGS, variations, results)
        print("\n".join(gate_table(results)))
    elif arguments.quick:
        quick = (*BASELINES, "snr_trans", "gumbel_matrix")
        measure_map(QUICK, [(kind, {}) for kind in quick], results)
        print("\n".join(map_tables(results, QUICK)))
    else:
        measure_map(MAP, [(kind, {}) for kind in kinds], results)
        print("\n".join(map_tables(results, MAP)))
    machine = f"{platform.machine()}, {os.cpu_count()} cores"
    seconds = round(time.process_time() - start)
    print(json.dumps({"cells": len(results.records), "cpu_seconds": seconds, "machine": machine}))


if __name__ == "__main__":
    sys.exit(main())
