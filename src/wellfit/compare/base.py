"""What all comparisons have in common: ``params.yaml``, over it ``comparisons/base.yaml``, and the code that trains.

``python -m wellfit.compare.base`` writes it to one file, on which each stage of ``comparisons/dvc.yaml`` depends.
"""

import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from wellfit.errors import WellfitError
from wellfit.files import write_yaml
from wellfit.settings.params import Params, flatten, load_params
from wellfit.settings.parse import read_yaml
from wellfit.training.record import code_sha256, resolved_config

BASE_FILE = Path("comparisons/base.yaml")
COMMON_FILE = Path("data/comparisons/common.yaml")
CODE = (
    *("charts", "compare", "data", "files.py", "manifest.py", "metrics", "models", "training"),
    *("stages/compare.py", "stages/download.py"),
)


def load_base(given: Mapping[str, Any] = MappingProxyType({})) -> Params:
    """The configuration that comparisons change, in which nothing is searched.

    Args:
        given: dotted key to value, on top of the file.

    Raises:
        WellfitError: one line for the first mistake found.
    """
    changes = flatten(read_yaml(BASE_FILE)) | dict(given)
    sources = dict.fromkeys(changes, str(BASE_FILE)) | dict.fromkeys(given, "--set")
    no_study = {"tune.enabled": False, "tune.space": {}}
    return load_params().replace(no_study | changes, dict.fromkeys(no_study, str(BASE_FILE)) | sources)


def write_common() -> None:
    """Writes the settings of :func:`load_base`, and the digest of the code that results of comparisons come from."""
    content = {"code_sha256": code_sha256(*CODE), "settings": resolved_config(load_base())}
    write_yaml(COMMON_FILE, content, "What all comparisons have in common: each stage depends on it.")


if __name__ == "__main__":
    try:
        write_common()
    except WellfitError as error:
        sys.exit(f"comparisons: {error}")
