"""DayMonitor: what changed in the newest span of the log, and in what the served model makes of it.

Read in this order: `tables` (what is counted), `change` (how far two tables are from each other),
`judge` (which changes are told).
"""
