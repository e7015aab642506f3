"""Answering rows in the fastest measured way."""
