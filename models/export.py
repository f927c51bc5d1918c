"""The SavedModel: stock TensorFlow operations, named signatures, nothing of our code needed."""

from collections.abc import Mapping

import tensorflow as tf
import tensorflow_transform as tft
from tensorflow_transform.tf_metadata import schema_utils

from taskroute.models.dataset import feature_spec
from taskroute.models.layers.compaction import compact
from taskroute.models.quantization import Int8Tables, parts_in_precision, to_precision
from taskroute.models.ranker import Batch, MultiTaskRanker
from taskroute.schemas.columns import request_columns
from taskroute.schemas.features import ColumnKind
from taskroute.schemas.input_names import input_names
from taskroute.schemas.log_schema import make_request_schema
from taskroute.schemas.recommender import ModelConfig
from taskroute.schemas.serving import SCORE, Serving

SERVING_DEFAULT, RAW_FEATURES, TRANSFORMED_FEATURES = SIGNATURES = (
    "serving_default",
    "raw_features",
    "transformed_features",
)


class ServedRanker(tf.Module):
    """Ranker with its trunk compacted, behind its transform graph.

    Signatures give one float32 (B,) tensor a task, by its name, and `score` where it is configured:

    * `serving_default`: `examples`, serialized tf.Example, string (B,).
    * `raw_features`: a tensor a column, by its name or, where TensorFlow has no such name for an
      argument, its safe one (`taskroute.schemas.input_names`): text is string (B,) with "" for
      missing, texts string (B, values) filled up with "" at any place, a number float32 (B,) with
      NaN for missing.
    * `transformed_features`: a tensor a transformed feature, by its name: ids are int64 (B,), those
      of a list int64 (B, values), with 0 for missing; numbers and missing flags are float32 (B,).
      An id that the feature has not is missing. Nothing in it is text, sparse or looked up among
      terms, so that all of it may run on a GPU.
    """

    def __init__(
        self,
        ranker: MultiTaskRanker,
        transform: tft.TFTransformOutput,
        config: ModelConfig,
        serving: Serving,
    ):
        super().__init__(name="served_ranker")
        self.trunk = trunk = compact(ranker.trunk)
        towers, precision = ranker.towers, serving.precision
        as_trained = precision == ranker.trunk.compute_dtype == "float32"
        if not as_trained:
            trunk, towers = parts_in_precision(ranker, trunk, config, precision)
        tables = Int8Tables(ranker.embedding.tables) if serving.embeddings == "int8" else None
        self.saved_bytes = tables.saved_bytes if tables else 0
        # Whether it computes what the ranker does, up to rounding.
        self.is_exact = as_trained and tables is None
        parts = (ranker.embedding, ranker.interaction, trunk)
        layers = (*parts, *towers.values(), *ranker.heads.values())
        # Only what is an attribute is saved: the weights and the vocabularies' tables, but neither
        # the optimizer's moments nor Keras's own record of the layers. So the ranker is none.
        weights = [weight for layer in layers for weight in layer.weights]
        if tables:
            replaced = {table.ref() for table in ranker.embedding.tables.values()}
            weights = [weight for weight in weights if weight.ref() not in replaced]
            weights += tables.weights
        self.model_weights = weights
        self.transform = transform.transform_features_layer()

        def dense(embedded: tf.Tensor) -> dict[str, tf.Tensor]:
            read = to_precision(ranker.interaction(embedded), precision)
            shared = trunk(read, training=False)
            return ranker.task_logits(shared, towers=towers)

        if serving.xla:
            dense = tf.function(dense, jit_compile=True, autograph=False)

        def predict(features: Batch) -> dict[str, tf.Tensor]:
            logits = dense(ranker.embedding(features, lookup=tables))
            return with_score(ranker.predictions(logits), serving)

        self._predict = predict
        self._config = config
        self._num_ids = dict(ranker.embedding.num_ids)
        self._feature_spec = feature_spec(config)
        self._request_spec = schema_utils.schema_as_feature_spec(
            make_request_schema(config)
        ).feature_spec
        self._columns = request_columns(config)
        self._feature_inputs = input_names(self._feature_spec)

    def features(self, columns: Mapping[str, tf.SparseTensor]) -> dict[str, tf.Tensor]:
        """Maps raw columns to the features that the ranker reads."""
        # Text and vocabularies have no GPU kernels.
        with tf.device("/CPU:0"):
            transformed = self.transform(dict(columns))
        return {
            name: tf.RaggedTensor.from_sparse(transformed[name])
            if isinstance(spec, tf.io.RaggedFeature)
            else transformed[name]
            for name, spec in self._feature_spec.items()
        }

    def score(self, columns: Mapping[str, tf.SparseTensor]) -> dict[str, tf.Tensor]:
        """Maps raw columns to served scores."""
        return self._predict(self.features(columns))

    def signatures(self) -> dict[str, tf.types.experimental.ConcreteFunction]:
        """Concrete functions to save, by signature name."""

        specs = input_specs(self._config)

        @tf.function(input_signature=list(specs[SERVING_DEFAULT].values()))
        def serving_default(examples: tf.Tensor) -> dict[str, tf.Tensor]:
            return self.score(self.columns(examples))

        @tf.function(input_signature=[specs[RAW_FEATURES]])
        def raw_features(columns: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
            return self.score(
                {column.name: _present(columns[column.input]) for column in self._columns}
            )

        @tf.function(input_signature=[specs[TRANSFORMED_FEATURES]])
        def transformed_features(features: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
            return self._predict(
                {name: self._known(name, features[i]) for name, i in self._feature_inputs.items()}
            )

        functions = (serving_default, raw_features, transformed_features)
        return {
            name: function.get_concrete_function()
            for name, function in zip(SIGNATURES, functions, strict=True)
        }

    def column_specs(self) -> dict[str, tf.SparseTensorSpec]:
        """Raw columns that `score` takes."""
        return {
            name: tf.SparseTensorSpec([None, None], feature.dtype)
            for name, feature in self._request_spec.items()
        }

    def columns(self, examples: tf.Tensor) -> dict[str, tf.SparseTensor]:
        """Parses serialized examples (B,) into raw columns."""
        parsed: dict[str, tf.SparseTensor] = tf.io.parse_example(examples, self._request_spec)
        return parsed

    def requests(
        self, columns: Mapping[str, tf.SparseTensor], examples: tf.Tensor
    ) -> dict[str, dict[str, tf.Tensor]]:
        """Inputs of each signature, by their names, for `examples` (B,) and their columns."""
        raw = {column.input: _dense(columns[column.name], column.kind) for column in self._columns}
        transformed = {
            self._feature_inputs[name]: values.to_tensor()
            if isinstance(values, tf.RaggedTensor)
            else values
            for name, values in self.features(columns).items()
        }
        return {
            SERVING_DEFAULT: {"examples": examples},
            RAW_FEATURES: raw,
            TRANSFORMED_FEATURES: transformed,
        }

    def _known(self, name: str, values: tf.Tensor) -> tf.Tensor:
        """Ids outside the feature's own would be rows of another feature in the same table."""
        if values.dtype != tf.int64:
            return values
        is_known = (values >= 0) & (values < self._num_ids[name])
        return tf.where(is_known, values, tf.zeros_like(values))


def export(
    ranker: MultiTaskRanker,
    transform: tft.TFTransformOutput,
    config: ModelConfig,
    path: str,
    serving: Serving | None = None,
) -> ServedRanker:
    """Writes the SavedModel to `path` and returns the ranker that it holds."""
    served = ServedRanker(ranker, transform, config, serving or Serving())
    tf.saved_model.save(served, path, signatures=served.signatures())
    return served


def input_specs(config: ModelConfig) -> dict[str, dict[str, tf.TensorSpec]]:
    """Inputs of each signature by their names."""
    features = feature_spec(config)
    inputs = input_names(features)
    return {
        SERVING_DEFAULT: {"examples": tf.TensorSpec([None], tf.string, name="examples")},
        RAW_FEATURES: {
            column.input: _raw_spec(column.input, column.kind) for column in request_columns(config)
        },
        TRANSFORMED_FEATURES: {
            inputs[name]: _transformed_spec(inputs[name], spec) for name, spec in features.items()
        },
    }


def with_score(predictions: Mapping[str, tf.Tensor], serving: Serving) -> dict[str, tf.Tensor]:
    """Adds the fused score, where it is configured, to the tasks' predictions."""
    if not serving.score:
        return dict(predictions)
    terms = [weight * predictions[task] for task, weight in serving.score.items()]
    return {**predictions, SCORE: tf.add_n(terms)}


def _raw_spec(name: str, kind: ColumnKind) -> tf.TensorSpec:
    match kind:
        case "text":
            return tf.TensorSpec([None], tf.string, name=name)
        case "texts":
            return tf.TensorSpec([None, None], tf.string, name=name)
        case "number":
            return tf.TensorSpec([None], tf.float32, name=name)


def _transformed_spec(
    name: str, spec: tf.io.FixedLenFeature | tf.io.RaggedFeature
) -> tf.TensorSpec:
    shape = [None, None] if isinstance(spec, tf.io.RaggedFeature) else [None]
    return tf.TensorSpec(shape, spec.dtype, name=name)


def _present(values: tf.Tensor) -> tf.SparseTensor:
    """Sparse (B, values) of what is not missing, not "" and not NaN, moved to the front."""
    if values.shape.rank == 1:
        values = values[:, tf.newaxis]
    if values.dtype == tf.string:
        present = tf.not_equal(values, "")
    else:
        present = tf.logical_not(tf.math.is_nan(values))
    return tf.ragged.boolean_mask(values, present).to_sparse()


def _dense(values: tf.SparseTensor, kind: ColumnKind) -> tf.Tensor:
    """Inverse of `_present`."""
    dense = tf.sparse.to_dense(values, _missing(kind))
    if kind == "texts":
        return dense
    # No row may have a value: then there is no column to take.
    padding = tf.fill([tf.shape(dense)[0], 1], tf.constant(_missing(kind), dense.dtype))
    return tf.concat([dense, padding], axis=1)[:, 0]


def _missing(kind: ColumnKind) -> str | float:
    return float("nan") if kind == "number" else ""
