"""What stages need is what the libraries they call need."""

from pathlib import Path

from ..compare.conftest import SHIPPED, SMALL, Write, root, write
from ..training.conftest import _torch_as_it_was, make_params, processed
from ..tuning.conftest import publisher_here

__all__ = [
    "PARAMS_FILE",
    "SHIPPED",
    "SMALL",
    "Write",
    "_torch_as_it_was",
    "make_params",
    "processed",
    "publisher_here",
    "root",
    "write",
]

PARAMS_FILE = Path(__file__).parents[2] / "params.yaml"
