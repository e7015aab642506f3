"""Pictures, from plain values."""
