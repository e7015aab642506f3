"""Floor 4: recipes, each one published experiment: net, rule, data and budget, and the figure with its source."""
