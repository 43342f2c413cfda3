"""Types, and the few plain helpers that every layer shares: numpy and the standard library only."""
