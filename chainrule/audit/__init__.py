"""What is wrong with data: labels, outliers, duplicates, columns, separability."""
