"""TFX's Trainer, which also sees the raw examples."""
