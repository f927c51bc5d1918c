"""What `compare` and `tune` share: rows, a training on them, what it comes to, and its record."""
