"""Evaluation: scores, intervals, pictures."""
