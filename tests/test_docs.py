"""The documentation: its links lead somewhere, what it says is printed is, and the site of `make docs` is whole."""

import re
import shutil
import subprocess
import sys
from itertools import cycle, islice
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from wellfit.data.meta import Meta
from wellfit.data.prepare import describe, prepare
from wellfit.errors import WellfitError
from wellfit.settings.params import load_params

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("docs")
    shutil.copytree(ROOT / "docs", root / "docs")
    shutil.copy(ROOT / "mkdocs.yml", root)
    build = [Path(sys.executable).with_name("zensical"), "build", "--config-file", "mkdocs.yml"]
    done = subprocess.run(build, cwd=root, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stdout + done.stderr  # in strict mode a broken link is an error
    return root / "site"


def test_each_page_is_in_the_site(site: Path) -> None:
    pages = {path.stem for path in (ROOT / "docs").glob("*.md")} - {"index"}
    assert pages <= {path.parent.name for path in site.glob("*/index.html")}


def test_a_page_loads_nothing_from_elsewhere(site: Path) -> None:
    for page in site.rglob("*.html"):
        loaded = re.findall(r'<(?:script|img|link|iframe)\b[^>]*\b(?:src|href)="?(https?://[^">\s]+)', page.read_text())
        assert not loaded, page


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "data/own/README.md"])
def test_links_to_files_and_headings_lead_somewhere(name: str) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", (ROOT / name).read_text(encoding="utf-8")):
        if target.startswith("https://"):
            continue
        file, _, anchor = target.partition("#")
        path = (ROOT / name).parent / file
        assert path.is_file(), target
        headings = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.M) if anchor else []
        anchors = [re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings]
        assert not anchor or anchor in anchors, target


N_ROWS = 120  # of which each third has a cell of its own, as docs/data.md has three cells


def columns_of_docs(heading: str) -> list[tuple[list[str], str]]:
    """Cells of a column and the line that is printed of it, from the table under a heading of docs/data.md."""
    text = (ROOT / "docs/data.md").read_text(encoding="utf-8").split(heading)[1]
    rows = re.findall(r"^\| (`.+`) \| `(.+)` \|$", text.split("\n#")[0], re.M)
    return [(re.findall(r"`([^`]+)`", cells), line) for cells, line in rows]


def prepare_columns(columns: dict[str, list[str]], folder: Path) -> Meta:
    """Prepares a table in which the given cells recur, beside a column of numbers and a target."""
    table = pd.DataFrame({name: list(islice(cycle(cells), N_ROWS)) for name, cells in columns.items()})
    random = np.random.default_rng(0)
    table.assign(x=random.normal(size=N_ROWS), y=random.choice(["a", "b"], N_ROWS)).to_csv(
        folder / "t.csv", index=False
    )
    changes = ["data.name=csv", f"data.path={folder / 't.csv'}", "data.target=y"]
    return prepare(load_params(ROOT / "params.yaml", changes).data, folder / "raw", folder / "processed")


def test_cells_are_recognised_as_the_page_on_data_says(tmp_path: Path) -> None:
    said = columns_of_docs("### What is recognised")
    recognised = [(cells, line) for cells, line in said if not line.startswith("column ")]
    assert len(recognised) > 15
    meta = prepare_columns({line.split(": ")[0]: cells for cells, line in recognised}, tmp_path)
    printed = [line.strip() for line in describe(meta)]
    assert [line for _, line in recognised if not any(each.startswith(line) for each in printed)] == []


@pytest.mark.parametrize(
    ("cells", "line"), [each for each in columns_of_docs("### What is recognised") if each[1].startswith("column ")]
)
def test_cells_are_refused_as_the_page_on_data_says(cells: list[str], line: str, tmp_path: Path) -> None:
    name, varied = line.split("'")[1], cells
    if "pending" in cells:  # few numbers would be categories
        varied = [cell for i in range(N_ROWS // 3) for cell in (f"{i}.5", f"{i}.25", "pending")]
    elif "kg" in cells[0]:
        varied = [cell for i in range(N_ROWS // 2) for cell in ([*cells] if i == 0 else [f"{i + 9} kg", f"{i + 9} lb"])]
    with pytest.raises(WellfitError) as refusal:
        prepare_columns({name: varied}, tmp_path)
    assert line in str(refusal.value)
