"""How good a method is, and how its probabilities become decisions."""
