"""Rows that stay on disk: packed, read as they are needed."""
