"""Floor 3: consumers of events."""
