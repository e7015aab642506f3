"""The verbs, over runs."""
