"""Stage that writes the log's schema, made from the config."""
