"""Training; torch is imported from here on."""
