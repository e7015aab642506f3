"""Encoders of columns, features, targets and symbols, fitted on the training part."""
