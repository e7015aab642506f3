"""Benchmarks: one work a file, both sides in turns in one process tree; `python -m chainrule.bench NAME` runs one.

`--record` keeps its figures.
"""
