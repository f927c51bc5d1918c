"""Balancers: from the tasks' losses to one step of the weights."""
