"""Files of an evaluation: strict JSON, and TFMA reads and confirms them."""

import json

import pyarrow.parquet as pq
import pytest
import tensorflow as tf
from evaluated_model import DEVICES, NUM_ROWS, Ranker, export, file_names, make_rows, make_table

from taskroute.components.logs.example_tensors import tf_examples
from taskroute.schemas.evaluation import Gate
from taskroute.schemas.evaluation_record import (
    Measurements,
    Verdict,
)


def test_a_model_that_predicts_nan_is_not_blessed_and_the_files_stay_strict_json(
    evaluate, tmp_path
):
    export(Ranker(float("nan")), tmp_path / "nan")
    gates = (Gate(task="watch_time", metric="mae", at_most=1e9),)
    blessing, (measurements, verdict) = evaluate(*gates, model=tmp_path / "nan")
    assert not verdict.blessed
    assert verdict.gates[0].value is None
    assert measurements.tasks["watch_time"].num_invalid == NUM_ROWS
    assert file_names(blessing.uri) == ["NOT_BLESSED"]
    for name in (Measurements.FILE, Verdict.FILE):
        json.loads((tmp_path / "evaluation" / name).read_text(), parse_constant=pytest.fail)


def test_tfma_loads_the_results(evaluate, model_folder, tmp_path):
    import tensorflow_model_analysis as tfma

    _, (measurements, _) = evaluate(
        Gate(task="click", may_lose=0.1), baseline=model_folder, slices=("device",)
    )
    loaded = tfma.load_eval_result(str(tmp_path / "evaluation"), model_name="candidate")
    by_slice = dict(loaded.slicing_metrics)
    assert set(by_slice) == {(), *((("device", device),) for device in DEVICES)}
    auc = by_slice[()]["click"][""]["auc"]["boundedValue"]
    expected = measurements.tasks["click"]
    assert auc["value"] == expected.values["auc"]
    assert auc["lowerBound"] == expected.intervals["auc"].low
    assert by_slice[()]["click"][""]["auc_diff"]["boundedValue"]["value"] == 0.0
    assert loaded.config.model_specs[1].name == "baseline"
    assert tfma.load_validation_result(str(tmp_path / "evaluation")).validation_ok


def test_aucs_are_those_of_tfma_on_the_same_model(
    evaluate, model_folder, tmp_path, examples_folder
):
    import tensorflow_model_analysis as tfma
    from google.protobuf import text_format
    from tensorflow_model_analysis.proto import config_pb2

    # TFMA knows no missing label here: it sees the rows that have one.
    folder = examples_folder / "Split-test"
    for path in folder.iterdir():
        path.unlink()
    columns = make_rows(NUM_ROWS)
    columns[3][:] = True
    table = make_table(*columns)
    pq.write_table(table, folder / "labelled.parquet")
    file = tmp_path / "labelled.gz"
    with tf.io.TFRecordWriter(str(file), "GZIP") as writer:
        for example in tf_examples(table.to_batches()[0]).numpy():
            writer.write(example)
    _, (measurements, _) = evaluate(slices=("device",))
    config = text_format.Parse(
        """
        model_specs {
          model_type: "tf_generic" signature_name: "serving_default"
          label_keys { key: "click" value: "clicked" }
        }
        slicing_specs {} slicing_specs { feature_keys: "device" }
        metrics_specs { output_names: "click" metrics { class_name: "AUC" } }
        """,
        config_pb2.EvalConfig(),
    )
    shared = tfma.default_eval_shared_model(
        str(model_folder / "Format-Serving"), eval_config=config
    )
    result = tfma.run_model_analysis(
        shared, config, data_location=str(file), output_path=str(tmp_path / "tfma")
    )
    theirs = {key: metrics["click"][""]["auc"]["doubleValue"] for key, metrics in
              result.slicing_metrics}  # fmt: skip
    assert measurements.tasks["click"].values["auc"] == pytest.approx(theirs[()], abs=1e-4)
    for device in ("ios", "android"):
        (found,) = (one for one in measurements.slices if one.value == device)
        auc = found.tasks["click"].candidate.values["auc"]
        assert auc == pytest.approx(theirs[(("device", device),)], abs=1e-4)
