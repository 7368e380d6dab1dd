"""wellfit: train PyTorch models that are neither over- nor under-fitted."""

__version__ = "0.1.0"
