"""The SavedModel: stock TensorFlow operations, named signatures, nothing of our code needed."""

from collections.abc import Mapping

import tensorflow as tf
import tensorflow_transform as tft
from tensorflow_transform.tf_metadata import schema_utils

from taskroute.models.ranker import MultiTaskRanker
from taskroute.schemas.columns import ColumnKind, feature_columns
from taskroute.schemas.features import MultivalentFeature
from taskroute.schemas.log_schema import make_request_schema
from taskroute.schemas.recommender import ModelConfig


class ServedRanker(tf.Module):
    """The ranker behind its transform graph.

    Signatures give one float32 (B,) tensor a task, by its name:

    * `serving_default`: `examples`, serialized tf.Example, string (B,).
    * `raw_features`: a tensor a column, by its name: text is string (B,) with "" for missing, texts
      string (B, values) filled up with "", a number float32 (B,) with NaN for missing.
    """

    def __init__(
        self, ranker: MultiTaskRanker, transform: tft.TFTransformOutput, config: ModelConfig
    ):
        super().__init__(name="served_ranker")
        self._predict = ranker.predict_values
        # Only what is an attribute is saved: the weights and the vocabularies' tables, but neither
        # the optimizer's moments nor Keras's own record of the layers.
        self.model_weights = ranker.model_weights()
        self.transform = transform.transform_features_layer()
        self._ragged = [f.name for f in config.features if isinstance(f, MultivalentFeature)]
        self._features = [feature.name for feature in config.features]
        self._request_spec = schema_utils.schema_as_feature_spec(
            make_request_schema(config)
        ).feature_spec
        self._kinds: dict[str, ColumnKind] = {
            column.name: column.kind for column in feature_columns(config)
        }

    def score(self, columns: Mapping[str, tf.SparseTensor]) -> dict[str, tf.Tensor]:
        """Maps raw columns to what is served."""
        features = dict(self.transform(dict(columns)))
        for name in self._ragged:
            features[name] = tf.RaggedTensor.from_sparse(features[name])
        return self._predict(features)

    def signatures(self) -> dict[str, tf.types.experimental.ConcreteFunction]:
        """The concrete functions to save, by signature name."""

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
        def serving_default(examples: tf.Tensor) -> dict[str, tf.Tensor]:
            return self.score(tf.io.parse_example(examples, self._request_spec))

        specs = {name: _raw_spec(name, kind) for name, kind in self._kinds.items()}

        @tf.function(input_signature=[specs])
        def raw_features(columns: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
            return self.score({name: _present(values) for name, values in columns.items()})

        return {
            "serving_default": serving_default.get_concrete_function(),
            "raw_features": raw_features.get_concrete_function(),
        }


def export(
    ranker: MultiTaskRanker,
    transform: tft.TFTransformOutput,
    config: ModelConfig,
    path: str,
) -> None:
    """Writes the SavedModel to `path`."""
    served = ServedRanker(ranker, transform, config)
    tf.saved_model.save(served, path, signatures=served.signatures())


def _raw_spec(name: str, kind: ColumnKind) -> tf.TensorSpec:
    match kind:
        case "text":
            return tf.TensorSpec([None], tf.string, name=name)
        case "texts":
            return tf.TensorSpec([None, None], tf.string, name=name)
        case "number":
            return tf.TensorSpec([None], tf.float32, name=name)


def _present(values: tf.Tensor) -> tf.SparseTensor:
    """Sparse (B, values) of what is not missing: not "" and not NaN."""
    if values.shape.rank == 1:
        values = values[:, tf.newaxis]
    if values.dtype == tf.string:
        present = tf.not_equal(values, "")
    else:
        present = tf.logical_not(tf.math.is_nan(values))
    indices = tf.where(present)
    shape = tf.shape(values, out_type=tf.int64)
    return tf.SparseTensor(indices, tf.gather_nd(values, indices), shape)
