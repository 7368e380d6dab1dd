"""wellfit: train PyTorch models that are neither over- nor under-fitted."""

from __future__ import annotations

from os import PathLike
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wellfit.serving.predictor import Predictor

__version__ = "0.1.0"


def load(folder: str | PathLike[str]) -> Predictor:
    """A trained model that takes new rows.

    Args:
        folder: ``models/<name>``, as ``evaluate`` wrote it, wherever it lies now.

    Raises:
        wellfit.errors.WellfitError: there is no model, or it is damaged or of another version.
    """
    from pathlib import Path  # here, as importing wellfit is to cost nothing

    from wellfit.serving.folder import load_model_folder

    return load_model_folder(Path(folder))
