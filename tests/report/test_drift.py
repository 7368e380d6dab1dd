"""The page on whether rows have changed: what it shows, and what cannot get into it."""

from pathlib import Path

import numpy as np
import pytest

from wellfit.data.meta import Meta
from wellfit.report.drift import MOST_CHARTS, few_rows_in_words, write_drift_page
from wellfit.serving.drift import Comparison, drift_of
from wellfit.serving.profile import Bins

from .conftest import Page, made_up
from .test_page import ATTACK, check_it_loads_nothing

SAME, OTHER = [100, 100, 0, 0], [10, 180, 0, 10]


def compared(columns: dict[str, list[int]], predictions: list[int], label: str = "a") -> Comparison:
    """Columns of two categories that were equally frequent, by name and new rows in each bin."""
    columns = columns | {"result": predictions}
    bins = {
        name: Bins(name=name, kind="categories", categories=(label, "b"), counts=(500, 500, 0, 0)) for name in columns
    }
    *drifts, last = (drift_of(bins[name], np.array(counts), 0.01) for name, counts in columns.items())
    return Comparison(sum(predictions), 1000, drifts, last)


@pytest.fixture(scope="module")
def meta(tmp_path_factory: pytest.TempPathFactory) -> Meta:
    return made_up(tmp_path_factory.mktemp("made"), rows=20).meta


def written(folder: Path, meta: Meta, found: Comparison, notes: list[str]) -> Page:
    write_drift_page(folder / "page.html", meta, "new.csv", found, notes)
    return Page((folder / "page.html").read_text(encoding="utf-8"))


def test_what_moved_is_shown(tmp_path: Path, meta: Meta) -> None:
    found = compared({"city": OTHER, "size": SAME}, OTHER)
    page = written(tmp_path, meta, found, ["column 'city' is odd"])
    assert page.headings == [
        (1, "csv: have the rows changed?"),
        (2, "What moved"),
        (3, "city"),
        (3, "Predicted result"),
        (2, "What is odd about the rows"),
        (2, "How to read it"),
    ]
    assert "1 of 2 columns and the predictions moved: 200 rows of new.csv beside 1,000 training rows." in page.words
    assert "Column 'city' is odd." in page.words
    assert "Look at how the file came about" in page.words
    assert f"city {found.columns[0].psi:.4g} 0.1 much 'a' has 5.0 % of the rows" in page.words
    assert "validation rows" in page.text
    check_it_loads_nothing(page)


def test_where_nothing_moved_the_worst_two_are_shown(tmp_path: Path, meta: Meta) -> None:
    page = written(tmp_path, meta, compared({f"c{i}": SAME for i in range(9)}, SAME), [])
    assert [text for level, text in page.headings if level == 3] == ["c0", "c1", "Predicted result"]
    assert "0 of 9 columns moved: 200 rows" in page.words
    assert "Look at how" not in page.words
    assert "odd" not in page.words


def test_not_more_charts_than_people_look_at(tmp_path: Path, meta: Meta) -> None:
    page = written(tmp_path, meta, compared({f"c{i}": OTHER for i in range(9)}, SAME), [])
    assert len(page.all("figure")) == MOST_CHARTS + 1
    bins = Bins(
        name="x", kind="categories", categories=tuple(f"k{i:02}" for i in range(40)), counts=(50,) * 40 + (0, 0)
    )
    drift = drift_of(bins, np.array([50] * 30 + [500] * 10 + [0, 0]), 0.01)
    page = written(tmp_path, meta, Comparison(6500, 2000, [drift], drift), [])
    assert "The 12 bins that differ most; 28 more are left out." in page.words
    assert all(f"k{i}" in page.words for i in range(30, 40))


def test_what_comes_from_the_data_is_text_and_ids_are_unique(tmp_path: Path, meta: Meta) -> None:
    found = compared({ATTACK: OTHER, "a b": OTHER, "a-b": OTHER, "Predicted result": OTHER}, OTHER, label=ATTACK)
    page = written(tmp_path, meta, found, [f"column {ATTACK!r} is odd"])
    assert len(page.all("script")) == 1
    assert ATTACK not in page.text
    assert page.words.count(ATTACK) > 5
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    check_it_loads_nothing(page)


def test_few_rows_are_told(tmp_path: Path, meta: Meta) -> None:
    page = written(tmp_path, meta, compared({"city": [10, 12, 0, 0]}, [10, 12, 0, 0]), [])
    assert "22 rows are few to compare: below 100 only gross changes stand out from chance." in page.words
    assert few_rows_in_words(1).startswith("1 row is few to compare")
    assert few_rows_in_words(100) == ""
