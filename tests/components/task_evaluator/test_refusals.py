"""Components, models, baselines and rows that are refused, each in a sentence."""

import numpy as np
import pytest
import tensorflow as tf
from evaluated_model import NUM_ROWS, TASKS, Ranker, make_rows, make_table, write_shards
from tfx import types
from tfx.types import standard_artifacts

from taskroute.components.measures import scoring
from taskroute.components.task_evaluator import executor
from taskroute.components.task_evaluator.component import TaskEvaluator
from taskroute.schemas.errors import DataError, ServingError, UserError
from taskroute.schemas.evaluation import Evaluation, Gate
from taskroute.schemas.tasks import Label, Task


@pytest.mark.parametrize(
    ("tasks", "gates", "complaint"),
    [
        ((), (), "`tasks` must hold at least one task"),
        (TASKS, (Gate(task="share", at_least=0.6),), "Received: task='share'"),
    ],
)
def test_a_component_that_could_not_run_is_refused(tasks, gates, complaint):
    with pytest.raises(ValueError, match=complaint):
        TaskEvaluator(
            examples=types.Channel(type=standard_artifacts.Examples),
            model=types.Channel(type=standard_artifacts.Model),
            transform_graph=types.Channel(type=standard_artifacts.TransformGraph),
            tasks=tasks,
            evaluation=Evaluation(gates=gates),
        )


def test_a_baseline_that_cannot_be_loaded_is_named_with_the_way_out(evaluate, tmp_path):
    with pytest.raises(UserError, match=r"gone.*the baseline cannot score.*taskroute rollback"):
        evaluate(baseline=tmp_path / "gone")


def test_a_baseline_that_takes_no_columns_is_refused(evaluate, tmp_path):
    ranker = Ranker(1.0)
    tf.saved_model.save(
        ranker, str(tmp_path / "old" / "Format-Serving"), {"serving_default": ranker.serve}
    )
    with pytest.raises(UserError, match=r"cannot score the test split: it has no signature `raw_f"):
        evaluate(baseline=tmp_path / "old")


@pytest.mark.parametrize("scale", [1.0001, float("nan")])
def test_a_model_whose_signatures_disagree_is_refused_with_the_row(evaluate, tmp_path, scale):
    ranker, other = Ranker(1.0), Ranker(scale)
    ranker.other = other
    # All but the row of the largest x are scored alike.
    x = make_rows(NUM_ROWS)[0]
    limit = float(np.sort(x)[-2])

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def serve(examples):
        right, wrong = ranker.serve(examples), other.serve(examples)
        x = tf.reshape(right["watch_time"] - 30.0, [-1])
        watch_time = tf.where(x > limit + 1e-3, wrong["watch_time"], right["watch_time"])
        return {"click": right["click"], "watch_time": watch_time}

    tf.saved_model.save(
        ranker,
        str(tmp_path / "odd" / "Format-Serving"),
        {"serving_default": serve, "raw_features": ranker.score},
    )
    row = int(np.argmax(x))
    expected, found = 30 + x[row], 30 + np.float32(scale) * x[row]
    with pytest.raises(ServingError) as refused:
        evaluate(model=tmp_path / "odd")
    assert refused.value.exit_code == 5
    sentence = str(refused.value)
    assert f"row {row // 2 + 1} of " in sentence
    assert f"data-0000{row % 2}-of-00002.parquet has a watch_time of {found:.6g} by" in sentence
    assert f"and of {expected:.6g} by `raw_features`" in sentence


def test_rows_to_check_are_the_first_of_all_files(examples_folder, monkeypatch):
    files = sorted((examples_folder / "Split-test").iterdir())
    for limit, expected in ((10_000, [500, 500]), (700, [500, 200]), (30, [30, 0])):
        monkeypatch.setattr(executor, "CHECKED_ROWS", limit)
        counted = executor._with_rows_to_check(files)
        assert counted == list(zip(map(str, files), expected, strict=True))


def test_an_empty_test_split_is_refused(evaluate, examples_folder):
    for path in (examples_folder / "Split-test").iterdir():
        path.unlink()
    with pytest.raises(DataError, match="the test split holds no row"):
        evaluate()


def test_a_label_that_is_neither_0_nor_1_is_refused_with_its_column(evaluate, examples_folder):
    write_shards(examples_folder / "more", 1, make_table([0.0], [2.0], [1.0], [True]))
    (examples_folder / "more" / "data-00000-of-00001.parquet").rename(
        examples_folder / "Split-test" / "more.parquet"
    )
    with pytest.raises(DataError, match=r"label column 'clicked' of task 'click'.*Received: 2\.0"):
        evaluate()


def test_a_slice_column_of_too_many_values_is_refused(evaluate, monkeypatch):
    monkeypatch.setattr(scoring, "MAX_SLICES", 40)
    with pytest.raises(DataError, match=r"column 'user': has more than 40 values"):
        evaluate(slices=("user",))


def test_a_model_without_an_output_for_a_task_is_refused(evaluate):
    tasks = (*TASKS, Task(name="share", label=Label(column="shared")))
    with pytest.raises(Exception, match=r"must have an output for every task.*'share'"):
        evaluate(tasks=tasks)
