"""Scores, what they are called, and how far chance may have moved them."""
