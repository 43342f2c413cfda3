"""What is wrong with the data before any model is asked."""
