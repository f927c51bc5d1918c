"""How the tasks' losses become one step of the weights."""
