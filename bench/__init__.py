"""Benchmarks: one work a file, both sides in turns in one process tree; `python -m bench NAME` runs one, `--record` keeps what it found."""
