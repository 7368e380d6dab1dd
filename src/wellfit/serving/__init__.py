"""A trained model as what takes rows and gives predictions."""
