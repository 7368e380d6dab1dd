from pathlib import Path

import pytest

from .pictures import noise, write


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    """Two classes of three RGB images each, 8 × 10 pixels."""
    return write(tmp_path / "pets", **{f"{name}__{i}": noise(8, 10, 3) for name in ("cats", "dogs") for i in range(3)})
