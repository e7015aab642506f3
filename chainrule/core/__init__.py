"""Floor 0: the nouns every other floor speaks in; imports torch and the standard library only."""
