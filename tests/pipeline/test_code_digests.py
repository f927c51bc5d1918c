"""TFX's cache sees an edit of any module that a stage runs."""

import ast
import re
import shutil
from importlib.util import find_spec
from pathlib import Path

import pytest

from taskroute.pipeline import pipeline as wiring
from taskroute.pipeline.digest import code_digest
from taskroute.pipeline.paths import RunPaths, absolute_source
from taskroute.schemas.recommender import RecommenderConfig

CONFIG = {
    "name": "shop",
    "source": {
        "path": "log.csv",
        "format": "csv",
        "split": {"by": "hash", "key": "user", "validation": 0.2, "test": 0.2},
    },
    "features": [{"name": "user", "kind": "categorical", "hash_buckets": 10}],
    "tasks": [
        {"name": "click", "label": {"column": "clicked"}},
        {"name": "like", "label": {"column": "liked"}},
    ],
    "trunk": {"kind": "mtnas", "layers": [{"sub_networks": 2, "units": 4}]},
}
# Of TFX itself, whose version is part of what the cache sees.
NOT_OURS = {"ExampleValidator"}


@pytest.fixture(scope="module")
def stages(tmp_path_factory):
    """By stage: the modules that its digest covers, and those that it runs."""
    with pytest.MonkeyPatch.context() as patched:
        # In the place of a digest, what it would be of.
        patched.setattr(wiring, "code_digest", lambda *names: f"<{' '.join(names)}>")
        folder = tmp_path_factory.mktemp("root")
        config = RecommenderConfig.model_validate(CONFIG)
        made = wiring.create_stages(
            config, absolute_source(config, folder), "", RunPaths(folder, "shop")
        )
    found = {}
    for stage in made:
        properties = {key: str(value) for key, value in stage.exec_properties.items()}
        text = " ".join(properties.values())
        covered = " ".join(re.findall(r"<(taskroute[^>]*)>", text)).split()
        entry = [stage.executor_spec.executor_class.__module__]
        for key in ("run_fn", "search_fn", "preprocessing_fn"):
            if key in properties:
                entry.append(properties[key].rpartition(".")[0])
        found[stage.id] = covered, {name for name in entry if name.startswith("taskroute.")}
    return found


def tree_of(name):
    return ast.parse(Path(find_spec(name).origin).read_text(encoding="utf-8"))


def imported(name):
    """Our modules that a module imports itself, wherever in it."""
    names = set()
    for node in ast.walk(tree_of(name)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("taskroute."):
            names.add(node.module)
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names if alias.name.startswith("taskroute.")}
    return {other for other in names if is_module(other)}


def is_module(name):
    try:
        spec = find_spec(name)
    except ModuleNotFoundError:
        return False
    return spec is not None and spec.origin is not None


def closure(names):
    reached, waiting = set(), set(names)
    while waiting:
        name = waiting.pop()
        reached.add(name)
        waiting |= imported(name) - reached
    return reached


def test_the_digest_of_every_stage_covers_all_that_it_runs(stages):
    left_out = {}
    for stage, (covered, entry) in stages.items():
        if stage in NOT_OURS:
            continue
        prefixes = tuple(f"{name}." for name in covered)
        missing = {
            name
            for name in closure(entry)
            if not f"{name}.".startswith(prefixes) and len(tree_of(name).body) > 1
        }
        if missing:
            left_out[stage] = sorted(missing)
    assert not left_out


def test_every_stage_of_ours_has_a_digest(stages):
    assert set(stages) > NOT_OURS
    for stage, (covered, _) in stages.items():
        assert bool(covered) != (stage in NOT_OURS), stage
        assert all(is_module(name) for name in covered), stage


@pytest.mark.parametrize(
    "edited", ["models/layers/gates.py", "models/balance/pcgrad.py", "models/trainer.py"]
)
def test_an_edit_anywhere_in_a_package_changes_its_digest(tmp_path, monkeypatch, edited):
    root = Path(find_spec("taskroute.models").origin).parents[1]
    shutil.copytree(root / "models", tmp_path / "copied_for_a_test")
    monkeypatch.syspath_prepend(str(tmp_path))
    before = code_digest("copied_for_a_test")
    path = tmp_path / "copied_for_a_test" / Path(edited).relative_to("models")
    path.write_text(path.read_text() + "\n# Edited.\n")
    assert code_digest("copied_for_a_test") != before
