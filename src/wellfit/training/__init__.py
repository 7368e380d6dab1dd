"""Training: the loop and all that it needs."""
