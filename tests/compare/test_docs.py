from pathlib import Path

import pytest
from PIL import Image

from wellfit.compare.comparison import NamedComparison
from wellfit.compare.docs import write_docs
from wellfit.compare.outcome import Outcome
from wellfit.compare.report import write_report
from wellfit.files import write_yaml

from .conftest import Write, base_params, compare, describe


@pytest.fixture
def written(root: Path, write: Write, two_variants: list[Outcome]) -> Path:
    """Docs of two comparisons, of which one was run."""
    write("small", variants={"none": {"model.dropout": 0.0}, "dropout 0.4": {"model.dropout": 0.4}})
    write("clothes", base={"data.name": "fashion_mnist"}, question="Does *it* help?")
    write("mine")  # of which DVC knows nothing
    write_yaml(root / "comparisons/dvc.yaml", {"stages": {"small": {}, "clothes": {}}}, "stages")
    comparison = compare({"none": {"model.dropout": 0.0}, "dropout 0.4": {"model.dropout": 0.4}})
    named = NamedComparison("small", comparison, base_params(), {}, {})
    write_report(root / "reports/small", named, describe(), two_variants, None)
    write_docs(root / "docs", root / "reports")
    return root / "docs"


def test_a_page_has_the_finding_and_pictures_that_are_there(written: Path, root: Path) -> None:
    page = (written / "small.md").read_text()
    finding = (root / "reports/small/finding.txt").read_text().strip()
    assert f"**Finding.** {finding}" in page
    assert "](small-curves.png)" in page
    assert "plots/" not in page
    shown = sorted(path.name for path in written.glob("*.png"))
    assert shown == ["small-curves.png"], "traces and the forest are in the report only"
    assert "What explains them" not in page


def test_pictures_are_small_and_look_the_same(written: Path, root: Path) -> None:
    small, large = written / "small-curves.png", root / "reports/small/plots/curves.png"
    assert small.stat().st_size < 0.5 * large.stat().st_size
    with Image.open(small) as few, Image.open(large) as many:
        assert few.size == many.size
        pairs = zip(few.convert("RGB").tobytes(), many.convert("RGB").tobytes(), strict=True)
        assert sum(abs(a - b) for a, b in pairs) / (3 * few.width * few.height) < 2


def test_what_was_not_run_says_what_it_needs_and_keeps_a_page_of_before(written: Path, root: Path) -> None:
    page = written / "clothes.md"
    assert "Not measured yet: it needs fashion_mnist" in page.read_text()
    assert r"Does \*it\* help?" in page.read_text()
    page.write_text("# Clothes\n\n**Finding.** It helps.\n")
    write_docs(written, root / "reports")
    assert page.read_text() == "# Clothes\n\n**Finding.** It helps.\n"
    passed_over = root / "reports/clothes/README.md"
    passed_over.parent.mkdir()
    passed_over.write_text("# Clothes\n\nNot run.\n")
    write_docs(written, root / "reports")
    assert page.read_text() == "# Clothes\n\n**Finding.** It helps.\n"


def test_the_list_has_all(written: Path, root: Path) -> None:
    lines = [line for line in (written / "README.md").read_text().splitlines() if line.startswith("| [")]
    finding = (root / "reports/small/finding.txt").read_text().strip()
    assert lines == [
        r"| [clothes](clothes.md) | Does \*it\* help? | not measured yet |",
        f"| [small](small.md) | Does it run? | {finding} |",
    ]
