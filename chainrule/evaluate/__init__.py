"""Floor 2: measures with intervals, and whether a difference is real."""
