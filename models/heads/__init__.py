"""A tower's last layer: from its units to one task's logits, and what these mean."""
