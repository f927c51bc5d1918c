"""When is a routing trunk worth it? Trunks of equal size on tasks of known relatedness.

    python research/task_relatedness.py             the map of regimes; about 45 minutes
    python research/task_relatedness.py --quick     four cells of it, in minutes
    python research/task_relatedness.py --gates     variations of the gates' constants
    python research/task_relatedness.py --routes    do related tasks share more routes?
    python research/task_relatedness.py --report    tables and plot of what was measured so far

Every finished cell is a line of `--results`; a run that was stopped goes on after the last one.

A whole training, evaluations and early stopping included, is one function that XLA compiles:
nothing returns to Python between steps. Worlds, rows, starts and mini-batches are the same for all
trunks; XLA draws the noise of gates and dropout without a seed: a repetition differs by it.
"""

import gc
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from lab import options, report

import numpy as np
from relatedness_results import (
    BASELINES,
    Results,
    Setting,
    gate_table,
    map_plot,
    map_tables,
    mean_and_error,
    pair_similarities,
    route_table,
)
from relatedness_training import MAX_EVALUATIONS, Training, draw_data, total_parameters
from synthetic_tasks import TaskFamily

from taskroute.models.trunks import match_width, parameter_count
from taskroute.schemas import trunks

import tensorflow as tf  # isort: skip
import tf_keras as keras  # isort: skip

TUNING_SEEDS = range(1000, 1004)

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
_FIXED = replace(SCARCE, relatedness=(1.0,), learning_rates=(0.003,), dropouts=(0.0,))
QUICK = (replace(SCARCE, name="quick", relatedness=ENDS),)
SMALLEST = replace(
    _FIXED, name="smallest", num_tasks=2, num_groups=1, num_rows=200, parameters=1_000
)


def map_trunks(layers: int) -> dict[str, trunks.Trunk]:
    """Trunks by name, with any widths of the right proportions."""
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
    """Trunk whose own parameters and those of the towers above it come nearest to `total`."""

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


def measure_map(
    settings: Sequence[Setting],
    variations: Sequence[tuple[str, dict[str, Any]]],
    results: Results,
    seeds: Sequence[int],
) -> None:
    """Fills every missing cell of `settings` x relatedness x `variations` (trunk, constants)."""
    for shape in _by_shape(settings):
        family = shape[0].family(0.0)
        max_rows = max(setting.num_rows for setting in shape)
        for kind, constants in variations:
            name = variation_name(kind, constants)
            config = map_trunks(shape[0].layers)[kind].model_copy(update=constants)
            config = with_parameters(config, family, shape[0].parameters)
            trainings = _Trainings(config, family, max_rows)
            for setting in shape:
                _measure_setting(setting, name, trainings, results, seeds)
            del trainings
            keras.backend.clear_session()
            gc.collect()


class _Trainings(dict[float, Training]):
    """A trunk's compiled training by dropout, made when first asked for."""

    def __init__(self, config: trunks.Trunk, family: TaskFamily, max_rows: int):
        super().__init__()
        self.config, self.arguments = config, (family, max_rows)

    def __missing__(self, dropout: float) -> Training:
        config = self.config.model_copy(update={"dropout": dropout})
        self[dropout] = Training(config, *self.arguments)
        return self[dropout]


def _by_shape(settings: Sequence[Setting]) -> Iterable[list[Setting]]:
    """Settings that one compiled program serves, together."""
    shapes: dict[tuple[int, ...], list[Setting]] = {}
    for setting in settings:
        shape = (setting.num_tasks, setting.layers, setting.parameters)
        shapes.setdefault(shape, []).append(setting)
    return shapes.values()


def variation_name(kind: str, constants: dict[str, Any]) -> str:
    return " ".join([kind, *(f"{name}={value:g}" for name, value in constants.items())])


def _measure_setting(
    setting: Setting, name: str, trainings: _Trainings, results: Results, seeds: Sequence[int]
) -> None:
    key = f"{setting.name} | {name}"
    missing = [p for p in setting.relatedness if f"{key} | {p:g}" not in results.records]
    if not missing:
        return
    tuned = results.records.get(f"{key} | tuned")
    if tuned is None:
        tuned = results.add(f"{key} | tuned", _tune(setting, trainings))
    for p in missing:
        start = time.process_time()
        training = trainings[tuned["dropout"]]
        outcomes = [
            training.run(
                draw_data(setting.family(p), setting.num_rows, seed),
                seed=seed,
                learning_rate=tuned["learning_rate"],
            )
            for seed in seeds
        ]
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
            "parameters": total_parameters(training.config, setting.family(p)),
            "macs": training.trunk.macs(),
            "cpu_seconds": round(time.process_time() - start, 1),
        }
        results.add(f"{key} | {p:g}", record)
        print(f"{key:45s} p = {p:<4g} error {mean_and_error(errors)}", flush=True)


def _tune(setting: Setting, trainings: _Trainings) -> dict[str, Any]:
    """Chooses learning rate and dropout by validation error in worlds that are not measured."""
    start = time.process_time()
    if len(setting.dropouts) == len(setting.learning_rates) == 1:
        return {"learning_rate": setting.learning_rates[0], "dropout": setting.dropouts[0]}
    trials = []
    for dropout in setting.dropouts:
        for rate in setting.learning_rates:
            errors = []
            for index, seed in enumerate(TUNING_SEEDS):
                p = setting.relatedness[index % len(setting.relatedness)]
                data = draw_data(setting.family(p), setting.num_rows, seed)
                outcome = trainings[dropout].run(data, seed=seed, learning_rate=rate)
                errors.append(outcome.validation)
            trials.append((float(np.mean(errors)), rate, dropout))
    _, rate, dropout = min(trials)
    seconds = round(time.process_time() - start, 1)
    return {"learning_rate": rate, "dropout": dropout, "tried": trials, "cpu_seconds": seconds}


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
        "snr_trans, 1 layer, l0_penalty 2": snr("snr_trans", 1, l0_penalty=2.0),
        "snr_trans, 2 layers, l0_penalty 1": snr("snr_trans", 2, l0_penalty=1.0),
        "snr_aver, 1 layer": snr("snr_aver", 1),
        "snr_aver, 1 layer, l0_penalty 2": snr("snr_aver", 1, l0_penalty=2.0),
    }


def measure_routes(results: Results, seeds: Sequence[int]) -> None:
    """Similarity of the tasks' routes, of pairs and of strangers."""
    for name, config in route_trunks().items():
        training = None
        for p in (1.0, 0.9, 0.5, 0.0):
            key = f"routes | {name} | {p:g}"
            if key in results.records:
                continue
            training = training or Training(config, ROUTE_FAMILY, ROUTE_ROWS)
            family, similarities, errors, shares = replace(ROUTE_FAMILY, relatedness=p), [], [], []
            for seed in seeds:
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
    """Parts that each task uses directly, 0 or 1: (tasks, parts)."""
    matrices = routing if config.kind == "gumbel_matrix" else routing[-1:]
    return np.concatenate([matrix > 0 for matrix in matrices], axis=1).astype(float)


def main() -> None:
    parser = options(
        __doc__,
        results=("build/task_relatedness.jsonl", "task_relatedness.jsonl"),
        # Trunks of the map.
        trunks=(",".join(map_trunks(1)), ""),
        # Worlds, 0 and on, that each cell is measured in.
        seeds=(10, 2),
    )
    parser.add_argument("--plot", type=Path, help="with --report, where to write the SVG")
    group = parser.add_mutually_exclusive_group()
    for mode in ("quick", "gates", "routes", "report"):
        group.add_argument(f"--{mode}", action="store_true")
    arguments = parser.parse_args()
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    results = Results(Path(arguments.results))
    seeds = range(arguments.seeds)
    start = time.process_time()
    if arguments.report:
        lines = [
            *map_tables(results, MAP),
            "",
            *gate_table(results, GATE_SETTINGS),
            "",
            *route_table(results),
        ]
        print("\n".join(lines))
        if arguments.plot:
            arguments.plot.write_text(map_plot(results, [*MAP[:1], *MAP[2:5]]))
        return
    if arguments.smallest:
        measure_map([SMALLEST], [("single_task", {}), ("shared_bottom", {})], results, seeds)
        print("\n".join(map_tables(results, [SMALLEST])))
    elif arguments.routes:
        measure_routes(results, seeds)
        print("\n".join(route_table(results)))
    elif arguments.gates:
        variations = [(kind, each) for kind, many in GATE_VARIATIONS.items() for each in many]
        measure_map(GATE_SETTINGS, variations, results, seeds)
        print("\n".join(gate_table(results, GATE_SETTINGS)))
    elif arguments.quick:
        quick = (*BASELINES, "snr_trans", "gumbel_matrix")
        measure_map(QUICK, [(kind, {}) for kind in quick], results, seeds)
        print("\n".join(map_tables(results, QUICK)))
    else:
        kinds = arguments.trunks.split(",")
        measure_map(MAP, [(kind, {}) for kind in kinds], results, seeds)
        print("\n".join(map_tables(results, MAP)))
    report(
        "trunks of equal size on tasks of known relatedness",
        cells=len(results.records),
        cpu_seconds=round(time.process_time() - start),
    )


if __name__ == "__main__":
    main()
