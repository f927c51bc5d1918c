"""Transform against TFT's own analyzers and materialization, on untidy data."""

import json
import tempfile
from collections import Counter

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
import tensorflow_transform as tft
import tensorflow_transform.beam as tft_beam
from google.protobuf import text_format
from stock_preprocessing import preprocessing_fn as stock_preprocessing_fn
from tensorflow_metadata.proto.v0 import schema_pb2
from tensorflow_transform.tf_metadata import dataset_metadata
from tfx.types import standard_artifacts

from taskroute.components.logs.examples import shard_name
from taskroute.components.transform import analysis
from taskroute.components.transform.executor import Executor
from taskroute.models.dataset import make_dataset
from taskroute.schemas.log_schema import make_schema
from taskroute.schemas.recommender import DataConfig

pytestmark = pytest.mark.slow

DATA = DataConfig.model_validate(
    {
        "features": [
            {"name": "user", "kind": "categorical", "hash_buckets": 20},
            {"name": "item", "kind": "categorical", "vocabulary": {"min_count": 2}},
            {
                "name": "item_top",
                "column": "item",
                "kind": "categorical",
                "vocabulary": {"max_size": 5, "oov_buckets": 7},
            },
            {"name": "tags", "kind": "multivalent", "vocabulary": {"oov_buckets": 3}},
            {
                "name": "rare",
                "kind": "categorical",
                "vocabulary": {"min_count": 1000, "oov_buckets": 2},
            },
            {"name": "empty", "kind": "multivalent", "vocabulary": {"max_size": 3}},
            {"name": "history", "kind": "sequence", "shares": "item", "max_length": 3},
            {"name": "liked", "kind": "categorical", "shares": "tags"},
            {"name": "friends", "kind": "sequence", "shares": "user", "max_length": 2},
            {"name": "any_item", "column": "item", "kind": "categorical", "table": "ids"},
            {
                "name": "known_item",
                "column": "item",
                "kind": "categorical",
                "table": "ids",
                "vocabulary": {"min_count": 2, "oov_buckets": 3},
            },
            {"name": "known_history", "column": "history", "kind": "sequence", "table": "ids"},
            {"name": "hour", "kind": "bucket", "boundaries": [6, 12]},
            {"name": "price_band", "column": "price", "kind": "bucket", "num_quantiles": 7},
            {"name": "age", "kind": "dense"},
            {"name": "price", "kind": "dense", "transform": "log1p"},
            {"name": "rank", "kind": "dense", "transform": "quantile"},
            {"name": "share", "kind": "dense", "transform": "none"},
            {"name": "constant", "kind": "dense"},
            {"name": "nowhere", "kind": "dense"},
        ],
        "tasks": [
            {"name": "click", "label": {"column": "clicked"}},
            {
                "name": "long_view",
                "label": {"column": "seconds", "at_least": 30},
                "trained_where": "click",
            },
            {
                "name": "watch_time",
                "kind": "regression",
                "label": {"column": "seconds", "transform": "log1p"},
                "trained_where": "click",
            },
        ],
    }
)
SPLITS = {"train": 1_500, "validation": 300, "test": 200}
VOCABULARIES = ("item", "item_top", "tags", "rare", "empty", "known_item")
# Ties by the dozen; terms that differ in case, in a space, in a byte that UTF-8 has not, in length.
TERMS = [
    *(f"i{number}".encode() for number in range(30)),
    *("ü ñ 漢字 😀".encode(), "Ü".encode(), b" i1 ", b"I1", b"\xff\xfe", b"i" * 3_000),
    *(b"", b"a\nb", b"\r", b"49d0cd50", b"0", b"-1"),
]


def make_rows(split):
    random = np.random.default_rng(list(SPLITS).index(split))
    for _ in range(SPLITS[split]):
        clicked = float(random.random() < 0.3)
        row = {
            "user": [b"u%d" % random.integers(50)],
            # Each term as often as its neighbour, so that only the bytes can order the two.
            "item": [TERMS[int(random.beta(1, 2) * len(TERMS)) // 2 * 2 + random.integers(2)]],
            "tags": [TERMS[number] for number in random.integers(len(TERMS), size=4)],
            "rare": [b"r%d" % random.integers(9)],
            # Of these terms, half are never an item.
            "history": [b"i%d" % number for number in random.integers(60, size=6)],
            "liked": [b"i%d" % random.integers(40)],
            "friends": [b"u%d" % number for number in random.integers(50, size=3)],
            "hour": [float(random.integers(24))],
            "price": [float(random.lognormal() * random.choice([-1, 1]))],
            "age": [float(random.normal(30, 5))],
            "rank": [float(random.integers(40))],
            "share": [float(random.random())],
            "constant": [7.0],
            "clicked": [clicked],
            "seconds": [clicked * float(random.lognormal(3))],
        }
        row["tags"] = row["tags"][: random.integers(5)]
        row["history"] = row["history"][: random.integers(7)]
        yield {name: values for name, values in row.items() if random.random() > 0.1}


@pytest.fixture(scope="module")
def rows():
    return {split: list(make_rows(split)) for split in SPLITS}


@pytest.fixture(scope="module")
def inputs(rows, tmp_path_factory):
    """Raw examples, three shards of train, and the schema."""
    folder = tmp_path_factory.mktemp("inputs")
    examples, schema = standard_artifacts.Examples(), standard_artifacts.Schema()
    examples.uri, schema.uri = str(folder / "examples"), str(folder / "schema")
    examples.split_names = json.dumps(list(SPLITS))
    kinds = {schema_pb2.BYTES: pa.binary(), schema_pb2.FLOAT: pa.float32()}
    columns = pa.schema(
        [(feature.name, pa.list_(kinds[feature.type])) for feature in make_schema(DATA).feature]
    )
    for split, some in rows.items():
        (folder / "examples" / f"Split-{split}").mkdir(parents=True)
        shards = np.array_split(np.arange(len(some)), 3 if split == "train" else 1)
        for index, shard in enumerate(shards):
            path = folder / "examples" / f"Split-{split}" / shard_name(index, len(shards))
            lists = [{n: v or None for n, v in some[number].items()} for number in shard]
            pq.write_table(pa.Table.from_pylist(lists, columns), path)
    (folder / "schema").mkdir()
    (folder / "schema" / "schema.pbtxt").write_text(text_format.MessageToString(make_schema(DATA)))
    return {"examples": [examples], "schema": [schema]}


def run(inputs, folder, *beam_args):
    graph, transformed = standard_artifacts.TransformGraph(), standard_artifacts.Examples()
    graph.uri, transformed.uri = str(folder / "graph"), str(folder / "transformed")
    arguments = ["--runner=FnApiRunner", *beam_args]
    Executor(Executor.Context(beam_pipeline_args=arguments)).Do(
        inputs,
        {"transform_graph": [graph], "transformed_examples": [transformed]},
        {
            "preprocessing_fn": "taskroute.models.preprocessing.preprocessing_fn",
            "data": DATA.model_dump_json(),
        },
    )
    assert json.loads(transformed.split_names) == list(SPLITS)
    return folder


@pytest.fixture(scope="module")
def ours(inputs, tmp_path_factory):
    return run(inputs, tmp_path_factory.mktemp("ours"))


@pytest.fixture(scope="module")
def theirs(rows, tmp_path_factory):
    """The folder of TFT's transform graph, and what it makes of each split."""
    folder = tmp_path_factory.mktemp("theirs")
    schema = make_schema(DATA)
    names = [feature.name for feature in schema.feature]
    metadata = dataset_metadata.DatasetMetadata(schema)
    instances = {
        split: [{name: row.get(name, []) for name in names} for row in some]
        for split, some in rows.items()
    }
    config = {"data": DATA.model_dump_json()}
    with tft_beam.Context(temp_dir=tempfile.mkdtemp(dir=folder)):
        transform_fn = (instances["train"], metadata) | tft_beam.AnalyzeDataset(
            lambda columns: stock_preprocessing_fn(columns, config)
        )
        transformed = {
            split: (((some, metadata), transform_fn) | tft_beam.TransformDataset())[0]
            for split, some in instances.items()
        }
        transform_fn | tft_beam.WriteTransformFn(str(folder / "graph"))
    return folder, transformed


def read(folder, split):
    (batch,) = make_dataset(
        [str(folder / "transformed" / f"Split-{split}" / "*")], DATA, batch_size=SPLITS[split]
    )
    return batch


@pytest.mark.parametrize("feature", VOCABULARIES)
def test_a_vocabulary_is_tfts_to_the_byte(ours, theirs, feature):
    place = f"graph/transform_fn/assets/vocabulary_{feature}"
    content = (ours / place).read_bytes()
    assert content == (theirs[0] / place).read_bytes()
    assert content


def test_the_data_holds_what_could_break_a_vocabulary(ours):
    """Or the test above shows little: cut off by count and by size, ties, and none at all."""
    lines = {
        name: (ours / f"graph/transform_fn/assets/vocabulary_{name}").read_bytes().split(b"\n")[:-1]
        for name in VOCABULARIES
    }
    assert len(lines["item_top"]) == 5
    assert lines["rare"] == lines["empty"] == [b"49d0cd50-04bb-48c0-bc6f-5b575dce351a"]
    assert {b" i1 ", b"\xff\xfe", "ü ñ 漢字 😀".encode()} <= set(lines["tags"])
    assert not {b"", b"a\nb", b"\r"} & set(lines["tags"])


def test_the_trainer_finds_the_size_of_every_vocabulary(ours, theirs):
    for name in VOCABULARIES:
        mine, stock = (
            tft.TFTransformOutput(str(folder / "graph")).vocabulary_size_by_name(
                f"vocabulary_{name}"
            )
            for folder in (ours, theirs[0])
        )
        assert mine == stock


@pytest.mark.parametrize("split", SPLITS)
def test_every_transformed_value_of_every_row_is_tfts(ours, theirs, split):
    mine, stock = read(ours, split), theirs[1][split]
    assert len(stock) == SPLITS[split]
    assert set(mine) == set(stock[0])
    for name, values in mine.items():
        expected = [row[name] for row in stock]
        if isinstance(values, tf.RaggedTensor):
            assert values.to_list() == [list(row) for row in expected], name
        elif values.dtype == tf.int64:
            np.testing.assert_array_equal(values, expected, name)
        else:
            np.testing.assert_allclose(values, expected, rtol=1e-5, atol=1e-6, err_msg=name)


def test_a_term_has_one_id_in_the_features_that_share_it(ours, rows):
    lines = (ours / "graph/transform_fn/assets/vocabulary_item").read_bytes().split(b"\n")[:-1]
    mine = read(ours, "test")
    for row, item, history in zip(rows["test"], mine["item"], mine["history"], strict=True):
        kept = row.get("history", [])[-3:]
        assert len(kept) == len(history)
        pairs = [
            *zip(kept, history.numpy(), strict=True),
            *((t, int(item)) for t in row.get("item", ())),
        ]
        for term, number in pairs:
            if term in lines:
                assert number == 1 + lines.index(term)
            else:
                assert number > len(lines)
    # Terms of either column are in it, and some are in both.
    assert {b"i59", "ü ñ 漢字 😀".encode(), b"i1"} <= set(lines)


def test_a_shared_vocabulary_counts_the_terms_that_are_kept_in_both_columns(ours, rows):
    terms = Counter()
    for row in rows["train"]:
        terms.update([*row.get("item", []), *row.get("history", [])[-3:]])
    lines = (ours / "graph/transform_fn/assets/vocabulary_item").read_bytes().split(b"\n")[:-1]
    frequent = {term for term, count in terms.items() if count >= 2}
    assert set(lines) == {term for term in frequent if term and not {*term} & {*b"\r\n"}}
    assert [terms[line] for line in lines] == sorted((terms[t] for t in lines), reverse=True)


def test_the_serving_graph_needs_no_file_but_its_own(ours, tmp_path):
    moved = tmp_path / "moved"
    (ours / "graph" / "analysis").rename(moved)
    try:
        layer = tft.TFTransformOutput(str(ours / "graph")).transform_features_layer()
        some = {
            feature.name: tf.sparse.from_dense(
                [[0.0]] if feature.type == 3 else tf.constant([["i1"]])
            )
            for feature in make_schema(DATA).feature
        }
        assert layer(some)["item"].numpy()[0] > 0
    finally:
        moved.rename(ours / "graph" / "analysis")


def test_threads_in_any_order_write_the_same_bytes(inputs, ours, tmp_path):
    again = run(inputs, tmp_path, "--direct_num_workers=2", "--direct_running_mode=multi_threading")
    files = [path.relative_to(ours) for path in sorted(ours.rglob("*")) if path.is_file()]
    same = [file for file in files if file.suffix == ".parquet" or file.parent.name == "analysis"]
    assert len(same) == 5 + 1 + len(VOCABULARIES)
    for file in same:
        assert (again / file).read_bytes() == (ours / file).read_bytes(), file


def test_groups_of_shards_change_nothing(inputs, ours, tmp_path, monkeypatch):
    monkeypatch.setattr(analysis, "_SHARDS_OF_GROUP", 1)
    monkeypatch.setattr(analysis, "_NUM_PARTS", 1)
    again = run(inputs, tmp_path)
    for name in ("analysis.json", *(f"vocabulary_{name}" for name in VOCABULARIES)):
        place = f"graph/analysis/{name}"
        assert (again / place).read_bytes() == (ours / place).read_bytes()
