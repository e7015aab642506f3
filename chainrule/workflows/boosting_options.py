"""What boosting does where the user leaves it open; imports nothing, so that the command line can show it at once."""

ROUNDS_AT_MOST, BY, SHRINKAGE = 10, "samme", 0.5
