"""Measures with intervals, and whether a difference is real."""
