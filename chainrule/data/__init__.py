"""Floor 1: readers, encoders, splits and the device-resident feed."""
