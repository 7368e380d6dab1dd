"""What would have been used instead of a network: models of scikit-learn, on the same rows."""
