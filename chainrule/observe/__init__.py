"""Floor 2: looking at networks without touching them."""
