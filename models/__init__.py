"""Everything inside the TensorFlow graph: preprocessing, layers, trunks, the ranker, its training and export."""

from taskroute.schemas import environment

environment.prepare()
