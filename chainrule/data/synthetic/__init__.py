"""Sets that are drawn rather than collected: each a function of its options and a seed."""
