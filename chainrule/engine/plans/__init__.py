"""Execution plans: built, tried against eager, chosen by measurement."""
