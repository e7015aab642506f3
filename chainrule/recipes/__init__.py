"""Published experiments: net, rule, data and budget, and the figure with its source."""
