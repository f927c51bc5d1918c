"""Library that reads a log: formats, conversions, time stamps, spans, splits, labels."""
