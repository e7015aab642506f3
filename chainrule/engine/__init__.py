"""Training: plans, the loop, checkpoints."""
