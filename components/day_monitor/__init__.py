"""DayMonitor: changes of the newest span, of the test split, and of the served model's predictions.

Read in this order: `tables` (what is counted), `change` (how far two tables are from each other),
`judge` (which changes alert).
"""
