"""The page: a local server that reads run folders, and what it shows in a browser."""
