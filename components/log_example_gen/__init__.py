"""LogExampleGen: reads log files into raw examples, split into train, validation and test."""
