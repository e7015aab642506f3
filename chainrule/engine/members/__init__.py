"""Many nets trained side by side."""
