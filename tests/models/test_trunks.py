"""From a trunk's config to its layer: every kind, its size, and the width that matches a size."""

from typing import get_args

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from taskroute.models.trunks import (
    build_trunk,
    match_width,
    parameter_count,
    routing_learning_rate,
)
from taskroute.schemas import trunks

TASKS = ("click", "like", "share")
INPUT = 20
KINDS = [kind.model_fields["kind"] for kind in get_args(get_args(trunks.Trunk)[0])]
NAMES = [get_args(field.annotation)[0] for field in KINDS]
EXPERTS = [{"experts": 3, "units": [7, 6]}, {"experts": 2, "units": 5}]
SUB_NETWORKS = [{"sub_networks": 3, "units": 7}, {"sub_networks": 2, "units": 5}]
# A config of each kind whose sizes all differ, so that no two can be mistaken for one another.
UNEVEN = {
    "single_task": {"units": [7, 5, 3]},
    "shared_bottom": {"units": [7, 5, 3]},
    "cross_stitch": {"units": [7, 5, 3]},
    "mmoe": {"layers": EXPERTS},
    "ple": {
        "levels": [
            {"task_experts": 2, "shared_experts": 1, "units": [7, 6]},
            {"task_experts": 1, "shared_experts": 3, "units": 5},
        ]
    },
    "snr_trans": {"layers": SUB_NETWORKS, "task_units": 4},
    "snr_aver": {"layers": SUB_NETWORKS},
    "gumbel_matrix": {"layers": EXPERTS},
    "mtnas": {"layers": SUB_NETWORKS},
}


def make(kind, **fields):
    return TypeAdapter(trunks.Trunk).validate_python({"kind": kind, **fields})


def build(config, tasks=TASKS):
    trunk = build_trunk(config, tasks, INPUT)
    trunk(np.zeros((2, INPUT), "float32"))
    return trunk


def test_every_kind_has_a_case():
    assert set(UNEVEN) == set(NAMES)


@pytest.mark.parametrize("tasks", [("click",), TASKS], ids=["one_task", "three_tasks"])
@pytest.mark.parametrize("fields", ["default", "uneven"])
@pytest.mark.parametrize("kind", NAMES)
def test_the_counted_parameters_are_those_of_the_built_trunk(kind, fields, tasks):
    config = make(kind, **(UNEVEN[kind] if fields == "uneven" else {}))
    assert parameter_count(config, INPUT, len(tasks)) == build(config, tasks).parameters()


@pytest.mark.parametrize("activation", ["relu", "gelu", "swish", "tanh"])
def test_the_activation_shapes_what_a_task_receives(activation):
    inputs = np.random.default_rng(0).normal(size=(200, INPUT)).astype("float32")
    outputs = build(make("single_task", activation=activation))(inputs)["click"].numpy()
    least = {"relu": 0, "gelu": -0.17, "swish": -0.28, "tanh": -1}[activation]
    assert outputs.min() >= least - 0.01
    assert (outputs.min() < 0) == (activation != "relu")


@pytest.mark.parametrize("target", [3_000, 30_000, 200_000])
@pytest.mark.parametrize("kind", NAMES)
def test_a_matched_trunk_has_nearly_as_many_parameters_as_asked(kind, target):
    config = make(kind, match_parameters=target)
    matched = match_width(config, INPUT, len(TASKS))
    reached = build(config).parameters()
    assert reached == parameter_count(matched, INPUT, len(TASKS))
    # Widths are whole numbers, so small trunks cannot come as near as large ones.
    assert abs(reached - target) / target < (0.15 if target < 10_000 else 0.04)


@pytest.mark.parametrize("kind", NAMES)
def test_no_other_factor_comes_nearer(kind):
    target = 12_345
    config = make(kind, **UNEVEN[kind], match_parameters=target)
    reached = parameter_count(match_width(config, INPUT, len(TASKS)), INPUT, len(TASKS))
    plain = config.model_copy(update={"match_parameters": None})
    for other in np.linspace(0.2, 20, 100):
        copy = TypeAdapter(trunks.Trunk).validate_python(
            scaled(plain.model_dump(mode="json"), other)
        )
        count = parameter_count(copy, INPUT, len(TASKS))
        assert abs(reached - target) <= abs(count - target)


def scaled(value, factor, name=""):
    if isinstance(value, dict):
        return {key: scaled(each, factor, key) for key, each in value.items()}
    if isinstance(value, list):
        return [scaled(each, factor, name) for each in value]
    width = name in ("units", "task_units") and value is not None
    return max(1, round(value * factor)) if width else value


def test_depth_and_experts_stay_as_they_are():
    config = make("mmoe", layers=EXPERTS, match_parameters=50_000)
    matched = match_width(config, INPUT, 3)
    assert [layer.experts for layer in matched.layers] == [3, 2]
    assert [len(layer.units) for layer in matched.layers] == [2, 1]
    assert matched.match_parameters is None


def test_a_number_below_the_smallest_trunk_gives_the_smallest():
    matched = match_width(make("single_task", match_parameters=1), INPUT, 3)
    assert matched.units == (1, 1)


def test_without_a_number_to_match_nothing_changes():
    config = make("ple")
    assert match_width(config, INPUT, 3) is config


def test_only_trunks_with_routing_weights_have_a_learning_rate_for_them():
    for kind in NAMES:
        config = make(kind)
        assert (routing_learning_rate(config) is not None) == bool(build(config).routing_variables)


def test_a_single_width_may_be_written_as_a_number():
    assert make("single_task", units=32).units == (32,)
    assert make("mmoe", layers=[{"experts": 2, "units": 16}]).layers[0].units == (16,)


@pytest.mark.parametrize(
    "fields",
    [
        {"kind": "single_task", "units": []},
        {"kind": "shared_bottom", "activation": "linear"},
        {"kind": "mmoe", "layers": [{"experts": 0}]},
        {"kind": "ple", "levels": []},
        {"kind": "snr_aver", "task_units": 3},
        {"kind": "snr_trans", "stretch": [0.1, 1.1]},
        {"kind": "gumbel_matrix", "temperature_start": 0.1},
        {"kind": "gumbel_matrix", "budget": 1.5},
        {"kind": "gumbel_matrix", "start_probability": 1.0},
        {"kind": "gumbel_matrix", "start_probability": 0.0},
        {"kind": "gumbel_matrix", "temperature_end": 0.0},
        {"kind": "gumbel_matrix", "budget": 0.0},
        {"kind": "gumbel_matrix", "budget_penalty": 0.0},
        {"kind": "gumbel_matrix", "layers": []},
        {"kind": "mmoe", "layers": []},
        {"kind": "mmoe", "layers": [{"units": []}]},
        {"kind": "ple", "levels": [{"task_experts": 0}]},
        {"kind": "ple", "levels": [{"shared_experts": 0}]},
        {"kind": "ple", "levels": [{"units": []}]},
        {"kind": "cross_stitch", "units": [0]},
        {"kind": "cross_stitch", "own_start": 1.1},
        {"kind": "snr_trans", "layers": []},
        {"kind": "snr_trans", "layers": [{"units": 0}]},
        {"kind": "snr_trans", "l0_penalty": -1.0},
        {"kind": "snr_trans", "l0_warmup_steps": -1},
        {"kind": "snr_aver", "layers": [{"sub_networks": 0}]},
        {"kind": "mtnas", "layers": []},
        {"kind": "mtnas", "layers": [{"sub_networks": 0}]},
        {"kind": "mtnas", "queries": []},
        {"kind": "cross_stitch", "own_start": -0.1},
    ],
)
def test_a_config_out_of_range_is_refused(fields):
    with pytest.raises(ValidationError):
        TypeAdapter(trunks.Trunk).validate_python(fields)
