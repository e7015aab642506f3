"""The rows of the canon, a file for each letter: what a system must reach, and the recipes that prove it, written or not yet.

A family that is built later registers a recipe under the name that stands here; nothing else has to be said.
"""

from chainrule.recipes.canon import convolutional, data, multilayer, one_layer, sequences, system, unsupervised

ROWS = (*data.ROWS, *one_layer.ROWS, *multilayer.ROWS, *convolutional.ROWS, *sequences.ROWS, *unsupervised.ROWS, *system.ROWS)
