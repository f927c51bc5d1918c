"""`taskroute tune` on the root of a finished run."""

import json
import subprocess
import sys

import pytest
import yaml
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

TUNING = {
    # The run's own learning rate is too small for its few steps: any of these is better.
    "parameters": {"training.learning_rate": {"min": 0.005, "max": 0.02, "scale": "log"}},
    "trials": 2,
    "finalists": 1,
    "final_seeds": 2,
}


@pytest.fixture(scope="module")
def tuned(world):
    """One trial beside the config's own, as a user calls it, on what the run has finished."""
    path = world.folder / "tune.yaml"
    training = world.config["training"] | {"epochs": 1}
    path.write_text(yaml.safe_dump(world.config | {"training": training, "tuning": TUNING}))
    program = [sys.executable, "-m", "taskroute.pipeline", "tune", path, "--root", world.root]
    ended = subprocess.run(program, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def test_the_stages_of_a_run_are_reused_and_every_training_has_its_line(tuned):
    assert "Transform          reused" in tuned
    for words in ("1/2 ", "2/2 ", "config   seed 3", "trial 2  seed 3", "2 <"):
        assert words in tuned
    assert max(map(len, tuned.splitlines()[:-1])) <= 80


def test_the_config_that_it_wrote_comes_to_what_the_trial_came_to(world, tuned):
    import tensorflow_transform as tft

    from taskroute.models.export import ServedRanker
    from taskroute.models.training import train
    from taskroute.pipeline.experiments.held_out import HeldOutRows
    from taskroute.pipeline.experiments.shared_data import SharedData
    from taskroute.schemas.recommender import ModelConfig, load_config

    lines = (world.root / "tune" / "trials.jsonl").read_text().splitlines()
    second = json.loads(lines[1])
    assert second["seed"] == 1
    config = load_config(world.root / "tune" / "best.yaml")
    model = config.part(ModelConfig)
    assert model.training.learning_rate == second["values"]["training.learning_rate"]
    data = SharedData(
        transform_graph=world.artifact("Transform/transform_graph/*"),
        transformed=world.artifact("Transform/transformed_examples/*"),
        raw=world.artifact("LogExampleGen/examples/*"),
    )
    trained = train(model, data.training, config.serving.calibration)
    transform = tft.TFTransformOutput(str(data.transform_graph))
    served = ServedRanker(trained.ranker, transform, model, config.serving)
    found = HeldOutRows(config, data, "validation").measure(served)
    for task, metrics in second["metrics"].items():
        for name in ("auc", "mae"):
            if metrics.get(name) is not None:
                assert found.metrics[task][name] == pytest.approx(metrics[name], abs=1e-6)


def test_tensorboard_has_the_curves_of_every_training(world, tuned):
    folder = world.root / "tune" / "tensorboard"
    assert sorted(path.name for path in folder.iterdir()) == [
        f"trial-{number:02}-seed-{seed}" for number in (1, 2) for seed in (1, 2, 3)
    ]
    events = EventAccumulator(str(folder / "trial-02-seed-1" / "validation"))
    events.Reload()
    assert [event.step for event in events.Tensors("epoch_click_auc")] == [0]
