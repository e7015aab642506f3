"""Families, each a plain torch module with shapes and a citation."""
