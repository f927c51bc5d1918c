"""Everything in the TensorFlow graph: preprocessing, layers, trunks, ranker, training, export."""

from taskroute.schemas import environment

environment.prepare()
