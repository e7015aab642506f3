"""What there is to see of a step: a file for each kind of look, found by being here."""
