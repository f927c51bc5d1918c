"""Library of metrics: tasks of each kind, ranking, intervals, scoring, change."""
