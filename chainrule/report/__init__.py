"""Pages about runs, from plain values."""
