"""What stages need is what the libraries they call need."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from ..compare.conftest import SHIPPED, SMALL, Write, root, write
from ..conftest import undrawn
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


@pytest.fixture
def drawn() -> None:
    """For tests that are about charts, too."""


@pytest.fixture(autouse=True)
def _undrawn(request: pytest.FixtureRequest) -> Iterator[None]:
    if "drawn" in request.fixturenames:
        yield
    else:
        with undrawn():
            yield
