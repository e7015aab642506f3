"""Faulty and healthy programs, running them, and what is counted over the runs."""
