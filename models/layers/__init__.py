"""Keras layers: embeddings, gates, trunks, towers."""
