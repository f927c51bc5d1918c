"""Heads: from a tower's units to one task's logits, loss and prediction."""
