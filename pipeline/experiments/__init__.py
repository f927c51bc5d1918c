"""Many trainings on one log: compare and tune."""
