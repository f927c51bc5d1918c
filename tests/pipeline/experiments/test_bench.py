"""Trials are kept, reused, bounded and in order; what is trained is a stand-in."""

import pytest

from taskroute.pipeline.experiments.bench import Bench
from taskroute.pipeline.experiments.trial import Trial, TrialResult
from taskroute.pipeline.experiments.trial_file import TrialFile
from taskroute.schemas.recommender import ModelConfig

CONFIG = ModelConfig.model_validate(
    {
        "features": [{"name": "user", "kind": "categorical", "hash_buckets": 10}],
        "tasks": [{"name": "click", "label": {"column": "clicked"}}],
    }
)


def make_trials(trunks=("a", "b"), seeds=(1, 2), config="x"):
    return [
        Trial(trunk, seed, CONFIG, f"{config}-{trunk}-{seed}") for seed in seeds for trunk in trunks
    ]


class Machine:
    """A clock, and a trainer that takes `seconds` of it by trunk and may die at a trial."""

    def __init__(self, seconds=None, dies_at=None):
        self.now, self.seconds, self.dies_at = 0.0, seconds or {}, dies_at
        self.trained, self.lines = [], []

    def train(self, trial):
        if trial.key == self.dies_at:
            raise KeyboardInterrupt
        self.trained.append(trial.key)
        self.now += self.seconds.get(trial.name, 1.0)
        return TrialResult(
            key=trial.key,
            seed=trial.seed,
            epochs=2,
            best_epoch=1,
            metrics={"click": {"auc": 0.5 + trial.seed / 100, "gauc": None}},
        )

    def run(self, trials, path, **arguments):
        bench = Bench(TrialFile(path, TrialResult), self.train, clock=lambda: self.now, **arguments)
        return bench.run_all(trials, lambda *line: self.lines.append(line))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "new" / "trials.jsonl"


def test_a_finished_trial_is_not_trained_again(path):
    first = Machine().run(make_trials(), path)
    machine = Machine()
    assert machine.run(make_trials(), path) == first
    assert machine.trained == []


def test_killed_trials_go_on_at_the_trial_that_it_was_killed_in(path):
    trials = make_trials()
    with pytest.raises(KeyboardInterrupt):
        Machine(dies_at="x-a-2").run(trials, path)
    machine = Machine()
    results = machine.run(trials, path)
    assert machine.trained == ["x-a-2", "x-b-2"]
    assert [result.key for result in results] == [trial.key for trial in trials]


def test_a_line_that_a_kill_has_cut_short_is_trained_again_and_hurts_no_other(path):
    trials = make_trials()
    Machine().run(trials, path)
    path.write_text(path.read_text()[:-20])
    machine = Machine()
    assert len(machine.run(trials, path)) == 4
    assert machine.trained == ["x-b-2"]
    machine = Machine()
    machine.run(trials, path)
    assert machine.trained == []


def test_another_config_reuses_nothing_and_loses_nothing(path):
    Machine().run(make_trials(config="x"), path)
    machine = Machine()
    machine.run(make_trials(config="y"), path)
    assert len(machine.trained) == 4
    machine = Machine()
    machine.run(make_trials(config="x"), path)
    assert machine.trained == []


def test_more_seeds_train_only_what_is_new(path):
    Machine().run(make_trials(seeds=(1, 2)), path)
    machine = Machine()
    machine.run(make_trials(seeds=(1, 2, 3)), path)
    assert machine.trained == ["x-a-3", "x-b-3"]


def test_a_line_of_another_version_is_no_result(path):
    path.parent.mkdir()
    path.write_text('{"key": "x-a-1", "auc": 0.7}\n["list"]\n')
    machine = Machine()
    machine.run(make_trials(), path)
    assert len(machine.trained) == 4


class TestABudget:
    def test_stops_before_the_trial_that_would_pass_it(self, path):
        machine = Machine(seconds={"a": 10.0, "b": 30.0})
        results = machine.run(make_trials(seeds=(1, 2, 3)), path, ends_at=75.0)
        # 40 s for the first seed, 50 after the second a; another b of 30 s would end at 80.
        assert machine.trained == ["x-a-1", "x-b-1", "x-a-2"]
        assert machine.now <= 75
        assert [result.key for result in results] == machine.trained

    def test_counts_what_was_spent_before(self, path):
        machine = Machine(seconds={"a": 10.0, "b": 10.0})
        machine.now = 1000.0
        results = machine.run(make_trials(), path, ends_at=900.0)
        assert machine.trained == []
        assert results == []

    def test_is_filled_by_the_next_call(self, path):
        Machine(seconds={"a": 10.0, "b": 10.0}).run(make_trials(), path, ends_at=25.0)
        results = Machine().run(make_trials(), path, ends_at=1000.0)
        assert len(results) == 4

    def test_does_not_touch_what_is_already_there(self, path):
        Machine().run(make_trials(), path)
        results = Machine().run(make_trials(), path, ends_at=0.0)
        assert len(results) == 4


def test_time_left_goes_by_the_trials_of_the_same_trunk(path):
    machine = Machine(seconds={"a": 10.0, "b": 30.0})
    machine.run(make_trials(), path)
    # After the first a, the b are expected to take as long; then each by its own.
    assert [seconds_left for _, _, seconds_left in machine.lines] == [30.0, 40.0, 30.0, 0.0]
    assert [number for _, number, _ in machine.lines] == [1, 2, 3, 4]
