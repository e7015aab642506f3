"""chainrule: every network of the neural-network canon on your own data, fast, visibly and honestly."""

__version__ = "0.1.0"
