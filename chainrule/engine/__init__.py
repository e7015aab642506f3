"""Floor 2: execution plans, the training generator and what survives a kill."""
