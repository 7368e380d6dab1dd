"""What stages need is what the libraries they call need."""

from pathlib import Path

from ..compare.conftest import SHIPPED, SMALL, Write, root, write
from ..training.conftest import _torch_as_it_was, make_params, processed
from ..tuning.conftest import _one_process, clerk_here

__all__ = [
    "PARAMS_FILE",
    "SHIPPED",
    "SMALL",
    "Write",
    "_one_process",
    "_torch_as_it_was",
    "clerk_here",
    "make_params",
    "processed",
    "root",
    "write",
]

PARAMS_FILE = Path(__file__).parents[2] / "params.yaml"
