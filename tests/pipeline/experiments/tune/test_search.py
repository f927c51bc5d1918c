"""The search finds a planted best, goes on where it was killed, and keeps to its bounds."""

import json
import math

import pytest

from taskroute.pipeline.experiments.bench import Bench
from taskroute.pipeline.experiments.trial_file import TrialFile
from taskroute.pipeline.experiments.tune.finals import choose, finalists, judge, run_finals
from taskroute.pipeline.experiments.tune.record import findings, metric_records
from taskroute.pipeline.experiments.tune.search import EXHAUSTED, Search
from taskroute.pipeline.experiments.tune.trials import TuneResult, keeping_failures
from taskroute.schemas.errors import DataError
from taskroute.schemas.recommender import ModelConfig, RecommenderConfig
from taskroute.schemas.tuning import with_values

CONFIG = {
    "name": "shop",
    "source": {"path": "log.csv", "format": "csv", "split": {"by": "hash", "key": "user"}},
    "features": [{"name": "user", "kind": "categorical", "hash_buckets": 100}],
    "tasks": [
        {"name": "click", "label": {"column": "clicked"}},
        {"name": "like", "label": {"column": "liked"}},
    ],
    "trunk": {"kind": "mmoe", "layers": [{"experts": 2, "units": 8}]},
    "tuning": {
        "parameters": {
            "training.learning_rate": {"min": 0.0001, "max": 0.1, "scale": "log"},
            "towers.dropout": {"min": 0.0, "max": 0.6},
            "trunk.layers[0].experts": {"min": 1, "max": 8},
        },
    },
}

BEST_RATE, BEST_DROPOUT, BEST_EXPERTS = 0.02, 0.2, 6
EXAMPLES = 100


def quality(config):
    """0 at the planted best, less everywhere else."""
    rate = math.log10(config.training.learning_rate / BEST_RATE)
    dropout = config.towers.dropout - BEST_DROPOUT
    experts = (config.trunk.layers[0].experts - BEST_EXPERTS) / 8
    return -(0.05 * rate**2 + 0.4 * dropout**2 + 0.1 * experts**2)


class Machine:
    """A clock and a training that takes a second of it.

    Args:
        noise: Spread of a result between seeds.
        fails: Numbers of the trials that raise.
        dies_at: Calls after which the process is killed.
        change: Makes of a result what a test wants.
    """

    def __init__(self, *, noise=0.0, fails=(), dies_at=None, change=lambda trial, metrics: metrics):
        self.now, self.noise, self.fails, self.dies_at = 0.0, noise, fails, dies_at
        self.change, self.trained = change, []

    def train(self, trial):
        if len(self.trained) == self.dies_at:
            raise KeyboardInterrupt
        self.trained.append((trial.number, trial.seed, dict(trial.values)))
        self.now += 1.0
        if trial.number in self.fails:
            raise MemoryError("no room\nat all")
        luck = self.noise * math.sin(1e4 * quality(trial.config) + 37.0 * trial.seed)
        auc = 0.9 + quality(trial.config) + luck
        metrics = {"click": {"auc": auc, "log_loss": 1 - auc}, "like": {"auc": auc - 0.1}}
        return TuneResult(
            key=trial.key,
            seed=trial.seed,
            values=dict(trial.values),
            epochs=2,
            best_epoch=1,
            examples=EXAMPLES,
            metrics=self.change(trial, metrics),
        )


class Shop:
    """Parts that one call of the command works with.

    Args:
        folder: Where results are kept.
        machine: Trains.
        max_examples: For all trainings.
        ends_at: On the machine's clock.
        trunk: In the place of the config's.
        tuning: Changes of the config's.
    """

    def __init__(
        self, folder, machine=None, *, max_examples=None, ends_at=None, trunk=None, **tuning
    ):
        content = CONFIG | {"tuning": CONFIG["tuning"] | tuning, "trunk": trunk or CONFIG["trunk"]}
        self.config = RecommenderConfig.model_validate(content)
        self.machine = machine or Machine()
        self.bench = Bench(
            TrialFile(folder / "trials.jsonl", TuneResult),
            keeping_failures(self.machine.train),
            max_examples=max_examples,
            ends_at=ends_at,
            clock=lambda: self.machine.now,
        )
        self.search = Search(
            self.config, self.config.tuning, {"data": "d", "code": "c"}, self.bench
        )
        self.reused = []

    def run(self, num_finals=0):
        return self.search.run(lambda _, reused: self.reused.append(reused), num_finals)


@pytest.fixture
def shop(tmp_path):
    """Makes one; all that a test makes share their results."""
    return lambda *arguments, **tuning: Shop(tmp_path / "tune", *arguments, **tuning)


def best_of(searched):
    return max(searched.trials, key=lambda each: each.score or -1)


def test_a_planted_best_is_found(shop):
    best = best_of(shop(trials=24).run())
    assert best.score == pytest.approx(0.85, abs=0.002)
    assert best.values["training.learning_rate"] == pytest.approx(BEST_RATE, rel=0.6)
    assert best.values["towers.dropout"] == pytest.approx(BEST_DROPOUT, abs=0.08)
    assert best.values["trunk.layers[0].experts"] in (5, 6, 7)


def test_what_is_learned_from_results_finds_more_than_chance(shop):
    """The mean quality of what is tried after the first draws, against that of the draws."""
    made = shop(trials=20)
    tried = made.run().trials
    config = made.config.part(ModelConfig)
    found = [quality(with_values(config, each.values)) for each in tried]
    assert sum(found[10:]) / 10 > sum(found[1:5]) / 4 + 0.01


def test_the_config_as_it_is_comes_first(shop):
    made = shop(trials=3)
    made.run()
    assert made.machine.trained[0] == (1, 1, {})
    assert [number for number, _, _ in made.machine.trained] == [1, 2, 3]


def test_a_killed_search_goes_on_to_the_same_trials(shop, tmp_path):
    whole = shop(trials=12)
    expected = [(each.values, each.score) for each in whole.run().trials]
    (tmp_path / "tune" / "trials.jsonl").unlink()
    with pytest.raises(KeyboardInterrupt):
        shop(Machine(dies_at=8), trials=12).run()
    with (tmp_path / "tune" / "trials.jsonl").open("a") as file:
        file.write('{"key": "cut sh')
    second = shop(trials=12)
    assert [(each.values, each.score) for each in second.run().trials] == expected
    assert [number for number, _, _ in second.machine.trained] == [9, 10, 11, 12]
    assert second.reused == [True] * 8 + [False] * 4


def test_more_trials_begin_with_the_same(shop):
    few = [each.values for each in shop(trials=6).run().trials]
    more = shop(trials=9)
    assert [each.values for each in more.run().trials][:6] == few
    assert len(more.machine.trained) == 3


def test_another_seed_tries_others(shop):
    one, other = (shop(trials=4, seed=seed).run() for seed in (1, 2))
    assert one.trials[0].values == other.trials[0].values
    assert one.trials[1].values != other.trials[1].values


def test_a_trial_that_fails_is_kept_and_the_search_goes_on(shop, tmp_path):
    searched = shop(Machine(fails=(2, 3, 6)), trials=8).run()
    failed = [each for each in searched.trials if each.against_it]
    assert [each.number for each in failed] == [2, 3, 6]
    assert failed[0].against_it == ("MemoryError: no room",)
    assert best_of(searched).number not in (2, 3, 6)
    lines = (tmp_path / "tune" / "trials.jsonl").read_text().splitlines()
    assert [bool(json.loads(line)["problem"]) for line in lines].count(True) == 3


def test_where_the_config_itself_fails_nothing_is_tuned(shop):
    with pytest.raises(MemoryError):
        shop(Machine(fails=(1,)), trials=3).run()


def without_auc(trial, metrics):
    return metrics | {"like": {"auc": None}}


def test_where_the_objective_is_undefined_for_the_config_the_log_is_blamed(shop):
    with pytest.raises(DataError, match="cannot be judged"):
        shop(Machine(change=without_auc), trials=3).run()


def test_a_trial_without_an_objective_is_never_the_best(shop):
    machine = Machine(change=lambda t, m: without_auc(t, m) if t.number == 4 else m)
    fourth = shop(machine, trials=5).run().trials[3]
    assert fourth.score is None
    assert fourth.against_it == ("the objective is undefined",)


def test_a_trial_that_breaks_a_constraint_is_kept_and_said(shop):
    constraints = [{"task": "click", "metric": "log_loss", "at_most": 0.14}]
    searched = shop(trials=12, constraints=constraints).run()
    broken = [each for each in searched.trials if each.against_it]
    assert broken
    assert len(broken) < 12
    for each in broken:
        assert each.result.metrics["click"]["log_loss"] > 0.14
        assert each.against_it[0].startswith("click log_loss 0.")
        assert each.against_it[0].endswith("is above 0.14")


def test_a_loss_is_against_the_config_as_it_is(shop):
    constraints = [{"task": "like", "metric": "auc", "may_lose": 0.0}]
    searched = shop(trials=12, constraints=constraints).run()
    own = searched.trials[0]
    assert not own.against_it
    assert any(each.against_it for each in searched.trials)
    for each in searched.trials:
        assert bool(each.against_it) == (each.score < own.score)


def test_values_that_are_impossible_together_are_counted_and_not_trained(shop):
    made = shop(
        trunk={"kind": "gumbel_matrix", "temperature_start": 16.0, "temperature_end": 1.5},
        parameters={
            "trunk.temperature_start": {"min": 2.0, "max": 20.0},
            "trunk.temperature_end": {"min": 1.0, "max": 15.0},
        },
        trials=12,
    )
    impossible = [each for each in made.run().trials if each.result is None]
    assert impossible
    assert impossible[0].against_it[0].startswith("impossible: `temperature_end`")
    assert len(made.machine.trained) == 12 - len(impossible)


def test_a_space_that_holds_no_more_ends_the_search(shop):
    parameters = {"towers.units": {"values": [[32], [16], [8]]}}
    searched = shop(trials=9, parameters=parameters).run()
    assert searched.ended_by == EXHAUSTED
    units = [each.values.get("towers.units") for each in searched.trials]
    assert units[0] is None  # [32], the config's own: not tried again
    assert sorted(units[1:]) == [[8], [16]]


class TestABudget:
    def test_of_examples_is_not_passed(self, shop):
        made = shop(trials=12, max_examples=5 * EXAMPLES)
        searched = made.run()
        assert (len(searched.trials), searched.ended_by) == (5, "examples")
        assert made.bench.examples == 5 * EXAMPLES

    def test_of_examples_keeps_back_what_the_finals_need(self, shop):
        made = shop(trials=12, max_examples=9 * EXAMPLES)
        assert len(made.run(num_finals=4).trials) == 5

    def test_of_examples_counts_what_was_trained_before(self, shop):
        shop(trials=4).run()
        made = shop(trials=12, max_examples=5 * EXAMPLES)
        assert len(made.run().trials) == 5
        assert len(made.machine.trained) == 1

    def test_of_minutes_begins_nothing_that_would_end_later(self, shop):
        made = shop(trials=12, ends_at=3.5)
        searched = made.run()
        assert (len(searched.trials), searched.ended_by) == (3, "minutes")
        assert len(shop(trials=12).run().trials) == 12


def run_all(made, num_seeds=4, count=3):
    searched = made.run()
    entered = [searched.trials[0], *finalists(searched.trials, count)]
    lines = []

    def on_result(trial, result, reused):
        lines.append((trial.number, trial.seed))

    seeds = range(2, 2 + num_seeds)
    found, spent = run_finals(made.search, made.bench, entered, seeds, on_result)
    return searched, entered, found, spent, lines


def judged(made, found):
    return judge(made.search, found, made.config.tuning.constraints, 0.95)


class TestFinals:
    def test_are_of_the_best_that_may_be_chosen_and_the_config(self, shop):
        constraints = [{"task": "click", "metric": "auc", "at_most": 0.895}]
        searched, entered, *_ = run_all(shop(trials=12, constraints=constraints))
        assert entered[0].number == 1
        allowed = sorted(
            each.score
            for each in searched.trials[1:]
            if each.result.metrics["click"]["auc"] <= 0.895
        )
        assert [each.score for each in entered[1:]] == allowed[:-4:-1]

    def test_go_round_by_round_with_seeds_that_the_search_did_not_use(self, shop):
        _, entered, found, spent, lines = run_all(shop(trials=6), num_seeds=2)
        numbers = [each.number for each in entered]
        assert lines == [(number, seed) for seed in (2, 3) for number in numbers]
        assert all(list(by_seed) == [2, 3] for by_seed in found.values())
        assert spent is None

    def test_choose_by_the_mean_and_not_by_the_one_seed_of_the_search(self, shop):
        # With the search's seed the fifth trial looks best by far, and with no other.
        def lucky(trial, metrics):
            luck = 0.5 * (trial.number == 5 and trial.seed == 1)
            return {task: {"auc": values["auc"] + luck} for task, values in metrics.items()}

        made = shop(Machine(change=lucky), trials=12)
        searched, entered, found, *_ = run_all(made)
        assert best_of(searched).number == entered[1].number == 5
        chosen = choose(judged(made, found))
        assert chosen.number not in (1, 5)
        assert chosen.mean == max(final.mean for final in judged(made, found))

    def test_tell_a_real_difference_from_chance(self, shop):
        made = shop(Machine(noise=0.002), trials=16)
        *_, found, _, _ = run_all(made)
        chosen = choose(judged(made, found))
        assert chosen.against_own.verdict == "better"
        assert chosen.against_own.holds
        assert chosen.against_own.low > 0

    def test_do_not_call_chance_a_difference(self, shop):
        # All come to the same but for the seed.
        def alike(trial, metrics):
            value = 0.9 + 0.01 * math.sin(100.0 * trial.number + trial.seed**2)
            return {task: {"auc": value} for task in metrics}

        made = shop(Machine(change=alike), trials=10)
        *_, found, _, _ = run_all(made)
        finals = judged(made, found)
        assert not any(final.against_own.holds for final in finals[1:])

    def test_keep_the_config_where_nothing_is_better(self, shop):
        def worse(trial, metrics):
            value = 0.9 - 0.01 * (trial.number > 1) + 0.001 * trial.seed
            return {task: {"auc": value} for task in metrics}

        made = shop(Machine(change=worse), trials=5)
        *_, found, _, _ = run_all(made)
        assert choose(judged(made, found)).number == 1

    def test_judge_constraints_by_the_means(self, shop):
        def below(trial, metrics):
            lost = 0.2 * (trial.number > 1 and trial.seed > 1)
            return metrics | {"like": {"auc": metrics["like"]["auc"] - lost}}

        constraints = [{"task": "like", "metric": "auc", "may_lose": 0.001}]
        made = shop(Machine(change=below), trials=12, constraints=constraints)
        *_, found, _, _ = run_all(made)
        finals = judged(made, found)
        assert all("like auc" in final.against_it[0] for final in finals[1:])
        assert choose(finals).number == 1
        (said,) = findings(finals, finals[0], (), {}, None, 0.95)
        assert "config as it is, which is kept; may not be chosen: trial" in said
        assert "like auc" in said

    def test_leave_out_what_fails_with_another_seed(self, shop):
        class Fragile(Machine):
            def train(self, trial):
                self.fails = (trial.number,) if trial.number > 1 and trial.seed == 3 else ()
                return super().train(trial)

        made = shop(Fragile(), trials=8)
        *_, found, _, _ = run_all(made)
        finals = judged(made, found)
        assert finals[1].against_it == ("seed 3: MemoryError: no room",)
        assert choose(finals).number == 1

    def test_cut_off_by_a_budget_are_of_whole_rounds(self, shop):
        made = shop(trials=4, max_examples=(4 + 6) * EXAMPLES)
        *_, found, spent, lines = run_all(made)
        assert spent == "examples"
        assert len(lines) == 6
        assert all(list(by_seed) == [2] for by_seed in found.values())

    def test_go_on_where_they_were_killed(self, shop):
        with pytest.raises(KeyboardInterrupt):
            run_all(shop(Machine(dies_at=7), trials=4))
        made = shop(trials=4)
        *_, found, _, _ = run_all(made)
        assert len(made.machine.trained) == 4 + 16 - 7
        assert all(list(by_seed) == [2, 3, 4, 5] for by_seed in found.values())


def test_more_calibration_is_neither_better_nor_worse():
    own = {seed: {"click": {"auc": 0.8, "calibration": 1.0 + 0.01 * seed}} for seed in range(4)}
    chosen = {
        seed: {"click": {"auc": 0.81 + 0.001 * seed, "calibration": 1.3}} for seed in range(4)
    }
    named = [("click", "auc"), ("click", "calibration")]
    auc, calibration = metric_records("validation", own, chosen, named, 0.95)
    assert auc.against_own.verdict == "better"
    assert calibration.against_own is None
    assert calibration.chosen_by_seed[0] == 1.3
