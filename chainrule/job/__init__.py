"""Options and data made into what the engine runs."""
