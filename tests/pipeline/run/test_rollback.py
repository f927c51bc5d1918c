"""`taskroute rollback`, and the verdict as a person reads it."""

import uuid

import pytest
import yaml
from click.testing import CliRunner
from rich.console import Console

from taskroute.components.served import registry
from taskroute.pipeline.cli.main import cli
from taskroute.pipeline.run.verdict_table import verdict_lines
from taskroute.schemas.evaluation_record import GateVerdict


@pytest.fixture
def serving(tmp_path):
    """A serving folder of two versions, under the pipeline root `tmp_path / "root"`."""
    source, folder = tmp_path / "model", tmp_path / "root" / "serving" / "shop"
    source.mkdir()
    for _ in range(2):
        (source / "saved_model.pb").write_bytes(uuid.uuid4().bytes)
        registry.push(source, folder, "shop")
    return folder


def _call(name, tmp_path):
    return CliRunner().invoke(cli, ["rollback", str(name), "--root", str(tmp_path / "root")])


@pytest.mark.parametrize("by", ["name", "config"])
def test_a_rollback_says_what_serves(serving, tmp_path, by):
    config = tmp_path / "any.yaml"
    config.write_text(
        yaml.safe_dump(
            {
                "name": "shop",
                "source": {"path": "a", "format": "csv", "split": {"by": "hash", "key": "u"}},
                "features": [{"name": "u", "kind": "categorical", "hash_buckets": 9}],
                "tasks": [{"name": "click", "label": {"column": "clicked"}}],
            }
        )
    )
    result = _call("shop" if by == "name" else config, tmp_path)
    assert result.exit_code == 0, result.output
    assert "version 1 serves again" in result.output
    assert registry.latest(serving).version == 1


def test_a_rollback_with_nothing_to_go_back_to_is_one_sentence(serving, tmp_path):
    assert _call("shop", tmp_path).exit_code == 0
    result = _call("shop", tmp_path)
    assert result.exit_code == 1
    assert "version 1 is the only one left" in result.stderr
    assert result.stderr.count("\n") == 1
    result = _call("nobody", tmp_path)
    assert "nothing was pushed here" in result.stderr


def _gate(**more):
    gate = {"task": "click", "metric": "auc", "slice": None, "value": 0.7733, "baseline": 0.7711,
            "difference": 0.0022, "low": -0.001, "high": 0.0051, "rule": "may lose 0.002",
            "passed": True, "reason": ""}  # fmt: skip
    return GateVerdict.model_validate(gate | more)


def test_the_verdict_names_metric_slice_values_difference_interval_and_rule(capsys):
    gates = [_gate(), _gate(slice="device=[ios]", passed=False), *[_gate(passed=None)] * 20]
    for line in verdict_lines(gates, most=3):
        Console(highlight=False, width=200).print(line)
    header, failed, passed, unjudged, more = capsys.readouterr().out.splitlines()
    assert header.split()[:4] == ["metric", "slice", "candidate", "baseline"]
    assert "device=[ios]" in failed
    assert failed.endswith("failed")
    assert passed.split() == [
        "click", "auc", "0.7733", "0.7711", "+0.0022", "-0.0010", "to", "+0.0051",
        "may", "lose", "0.002", "passed",
    ]  # fmt: skip
    assert unjudged.endswith("not judged")
    assert more == "and 19 more in verdict.json"
    assert verdict_lines([]) == []
