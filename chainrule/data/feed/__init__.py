"""Feeds: parts handed out in batches, in an order that follows from seed and epoch."""
