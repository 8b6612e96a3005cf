"""Whether the instance may serve: the state machine, what drives it, and what everyone else reads of it."""
