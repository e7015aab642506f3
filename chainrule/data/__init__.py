"""Data: readers, encoders, splits, storage and the feed."""
