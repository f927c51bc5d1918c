"""Slices of the rows whose terms the candidate's vocabulary holds, and of those it does not."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from evaluated_model import NUM_ROWS, Ranker, export, make_rows, users_and_devices
from pydantic import TypeAdapter
from sklearn import metrics as oracle

from taskroute.components.logs.hashes import hash_texts
from taskroute.components.measures.vocabularies import is_known
from taskroute.components.task_evaluator.term_slices import vocabularies_to_slice
from taskroute.schemas.evaluation import Evaluation, Gate
from taskroute.schemas.features import Feature

FEATURES = TypeAdapter(tuple[Feature, ...]).validate_python(
    [
        {"name": "who", "column": "user", "kind": "categorical", "vocabulary": {}},
        {"name": "device", "kind": "categorical", "vocabulary": {}},
    ]
)
KNOWN_USERS = {f"u{number}" for number in range(70)}


@pytest.fixture
def model(tmp_path):
    """A model that knows 70 of 90 users and both devices."""
    folder = tmp_path / "with_vocabularies"
    export(Ranker(1.0), folder)
    assets = folder / "Format-Serving" / "assets"
    assets.mkdir(exist_ok=True)
    (assets / "vocabulary_who").write_text("".join(f"{user}\n" for user in KNOWN_USERS))
    (assets / "vocabulary_device").write_text("ios\nandroid\n")
    return folder


def by_name(measurements):
    return {(one.column, one.value): one.tasks for one in measurements.slices}


def test_rows_are_cut_by_whether_the_vocabulary_holds_their_term(evaluate, model):
    _, (measurements, _) = evaluate(model=model, features=FEATURES, group_key="user")
    x, clicked, _, known_label = make_rows(NUM_ROWS)
    is_old = np.isin(users_and_devices(NUM_ROWS)[0], sorted(KNOWN_USERS))
    slices = by_name(measurements)
    # Every device is known, so that there is nothing to tell of it.
    assert slices.keys() == {("terms_of_user", "new"), ("terms_of_user", "known")}
    for value, rows in (("new", ~is_old), ("known", is_old)):
        counted = rows & known_label
        click = slices["terms_of_user", value]["click"].candidate
        assert click.num_examples == counted.sum()
        auc = oracle.roc_auc_score(clicked[counted], x[counted])
        assert click.values["auc"] == pytest.approx(auc, abs=1e-4)
    whole = measurements.tasks["click"].num_examples
    assert sum(tasks["click"].candidate.num_examples for tasks in slices.values()) == whole


def test_rows_without_a_term_are_neither_new_nor_known(evaluate, model):
    (model / "Format-Serving" / "assets" / "vocabulary_device").write_text("ios\n")
    _, (measurements, _) = evaluate(model=model, features=FEATURES[1:])
    devices, known_label = np.array(users_and_devices(NUM_ROWS)[1]), make_rows(NUM_ROWS)[3]
    found = {
        value: tasks["click"].candidate.num_examples
        for (_, value), tasks in by_name(measurements).items()
    }
    assert found == {
        value: (known_label & (devices == device)).sum()
        for value, device in (("new", "android"), ("known", "ios"), ("", ""))
    }


def test_candidate_and_baseline_are_measured_on_the_same_rows(evaluate, model, model_folder):
    _, (measurements, _) = evaluate(model=model, features=FEATURES[:1], baseline=model_folder)
    new = by_name(measurements)["terms_of_user", "new"]["click"]
    assert new.baseline == new.candidate
    assert new.differences["auc"].value == 0.0


def test_a_gate_can_ask_for_new_terms(evaluate, model):
    gates = [Gate(task="click", at_least=bound, slice="terms_of_user=new") for bound in (0.5, 0.99)]
    _, (_, verdict) = evaluate(*gates, model=model, features=FEATURES)
    assert [gate.passed for gate in verdict.gates] == [True, False]
    assert verdict.gates[0].slice == "terms_of_user=new"


def test_gated_columns_come_first_then_the_group_key_then_the_longest_vocabularies(tmp_path):
    sizes = {"a": 9, "b": 7, "c": 3, "d": 2, "e": 1}
    (tmp_path / "assets").mkdir()
    for name, size in sizes.items():
        terms = "".join(f"{number}\n" for number in range(size))
        (tmp_path / "assets" / f"vocabulary_{name}").write_text(terms)
    features = TypeAdapter(tuple[Feature, ...]).validate_python(
        [{"name": name, "kind": "categorical", "vocabulary": {}} for name in sizes]
        + [
            {"name": "hashed", "kind": "categorical", "hash_buckets": 5},
            {"name": "tags", "kind": "multivalent", "shares": "a"},
        ]
    )
    shard = tmp_path / "test-00000.parquet"
    column = pa.array([[b"0"], [], [b""], [b"99"]], pa.list_(pa.binary()))
    pq.write_table(pa.table(dict.fromkeys(sizes, column)), shard)
    gate = Gate(task="click", at_least=0.5, slice="terms_of_e=new")
    for settings, chosen in (
        (Evaluation(), ["a", "b", "c"]),
        (Evaluation(group_key="d"), ["d", "a", "b"]),
        (Evaluation(group_key="d", gates=(gate,)), ["e", "d", "a"]),
    ):
        assert list(vocabularies_to_slice(tmp_path, features, settings, [shard])) == chosen
    # Without a new term only the gate's column stays.
    settings = Evaluation(group_key="d", gates=(gate,))
    assert list(vocabularies_to_slice(tmp_path, features, settings, [])) == ["e"]


def test_an_empty_vocabulary_knows_no_term():
    hashes = hash_texts(pa.array(["a", "b"]))
    assert not is_known(hashes, np.empty(0, np.uint64)).any()
    assert is_known(hashes, np.sort(hashes[:1])).tolist() == [True, False]
