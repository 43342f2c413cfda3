"""Types only: numpy and the standard library, nothing read, nothing computed."""
