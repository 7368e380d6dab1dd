"""The digest of the code: what it sees, and what it passes over."""

from pathlib import Path

import pytest

import wellfit
from wellfit.training.record import code_digests, code_sha256
from wellfit.tuning.identity import CODE

CODE_TEXT = '''"""Says what it does."""

RATE = 0.5


class Layer:
    """A layer."""

    def forward(self, x):
        """The output."""
        return x * RATE  # half of it
'''


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the package, of which the digests are taken."""
    (tmp_path / "models" / "deep").mkdir(parents=True)
    (tmp_path / "models" / "deep" / "layer.py").write_text(CODE_TEXT)
    (tmp_path / "loop.py").write_text("")
    monkeypatch.setattr(wellfit, "__file__", str(tmp_path / "__init__.py"))
    return tmp_path


@pytest.mark.parametrize(
    ("old", "new", "is_same"),
    [
        ("  # half of it", "", True),
        ("RATE = 0.5\n", "# half\n\nRATE    =  0.5\n", True),
        ('"""The output."""', '"""What comes out."""', True),
        ('        """The output."""\n', "", True),
        ('"""Says what it does."""\n', "", True),
        ("return x * RATE", "return (\n            x * RATE\n        )", True),
        ("RATE = 0.5", "RATE = 0.6", False),
        ("x * RATE", "RATE * x", False),
    ],
)
def test_comments_docstrings_and_layout_are_no_code(package: Path, old: str, new: str, is_same: bool) -> None:
    before, sha256 = code_digests("models"), code_sha256("models", "loop.py")
    assert old in CODE_TEXT
    (package / "models" / "deep" / "layer.py").write_text(CODE_TEXT.replace(old, new))
    assert (code_digests("models") == before) is is_same
    assert (code_sha256("models", "loop.py") == sha256) is is_same


def test_each_file_has_a_digest_of_its_own(package: Path) -> None:
    assert list(code_digests("models", "loop.py")) == ["loop.py", "models/deep/layer.py"]
    before = code_sha256("models")
    (package / "models" / "other.py").write_text("")
    assert code_sha256("models") != before


def test_what_decides_a_trial_is_there() -> None:
    root = Path(wellfit.__file__).parent
    assert [name for name in CODE if not (root / name).exists()] == []
