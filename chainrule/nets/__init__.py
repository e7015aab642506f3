"""Floor 1: families, each a plain torch module with shapes and a citation."""
