"""The run folder, its recorder, and what opens it again."""
