"""Library of the report: a run's page, its tables and its figures."""
