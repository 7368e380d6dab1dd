from pathlib import Path

import pytest

import wellfit
from wellfit.training.record import code_sha256


def test_the_digest_of_a_folder_of_code_covers_the_files_at_any_depth(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wellfit, "__file__", str(tmp_path / "__init__.py"))
    deep = tmp_path / "data" / "readers" / "deep.py"
    deep.parent.mkdir(parents=True)
    deep.write_text("x = 1\n")
    before = code_sha256("data")
    deep.write_text("x = 2\n")
    assert code_sha256("data") != before
