"""Tasks: what is asked of a net."""
