"""Solvers: optimizers that ask for more than a direction."""
