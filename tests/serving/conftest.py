"""What a model needs is what training needs."""

from ..training.conftest import _torch_as_it_was, make_params, processed

__all__ = ["_torch_as_it_was", "make_params", "processed"]
