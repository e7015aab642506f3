"""The doctor: what is wrong with a training, by its events; each diagnosis is one file that registers itself."""
