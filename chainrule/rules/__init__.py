"""Floor 1: learning rules, each one file."""
