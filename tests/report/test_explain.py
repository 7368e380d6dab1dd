"""The section on what predictions depend on: its sentences and tables say what was found."""

from pathlib import Path

import numpy as np
import pytest

from wellfit.data.meta import Column
from wellfit.explain.columns import Feature, Place
from wellfit.explain.contributions import Contributions
from wellfit.explain.explanation import Examples, ImageExplanation, TableExplanation
from wellfit.explain.importance import Importance, Worsening
from wellfit.explain.occlusion import Occlusion
from wellfit.explain.related import Pair
from wellfit.report.explain import Explained, explained
from wellfit.report.records import Evaluated

from .conftest import made_up

NAMES = ("age", "size", "colour")


def importance(*means: float) -> Importance:
    mean = np.array(means)
    worse = Worsening(mean, mean - 0.1, mean + 0.1, np.full(3, 0.01))
    return Importance(NAMES, 120, 5, {"log_loss": worse, "accuracy": worse._replace(mean=mean / 10)})


def found(run: Evaluated, *means: float, related: tuple[Pair, ...] = (), mistakes: int = 1) -> TableExplanation:
    """Two examples: row 3, and row 5."""
    features = [Feature(c.name, (Place(c, i),)) for i, c in enumerate(columns())]
    predicted = run.predictions.argmax(axis=1)[[3, 5]]
    contributions = Contributions(
        np.array([[0.1, -0.3, 0.2], [0.0, 0.05, 0.0]]),
        np.full((2, 3), 0.01),
        np.array([0.9, 0.55]),
        np.array([0.9, 0.5]),
    )
    examples = Examples(np.array([3, 5]), mistakes, predicted)
    return TableExplanation(features, importance(*means), [1], [], examples, contributions, 100, related)


def columns() -> list[Column]:
    kinds = [
        {"fill": 1.0, "categories": ()},
        {"fill": 2.0, "categories": ()},
        {"fill": None, "categories": ("red", "blue")},
    ]
    return [Column(name=name, flags_missing=False, **kind) for name, kind in zip(NAMES, kinds, strict=True)]


@pytest.fixture
def run(tmp_path: Path) -> Evaluated:
    return made_up(tmp_path)


def section(run: Evaluated, explanation: TableExplanation | ImageExplanation) -> Explained:
    return explained(explanation, run.test, run.predictions, run.meta)


def test_the_columns_that_clearly_matter_are_named_by_their_rank(run: Evaluated) -> None:
    says = section(run, found(run, 0.2, 0.05, 0.4)).says
    assert says == (
        "Shuffling a column over the rows raises the test log loss, most of all colour (by 0.4000) and age (by "
        "0.2000). 1 of 3 columns matters no more than chance might."
    )


def test_where_none_matters_that_is_said(run: Evaluated) -> None:
    assert section(run, found(run, 0.05, 0.0, -0.3)).says.startswith("No column matters clearly")


def test_columns_that_share_their_importance_are_named(run: Evaluated) -> None:
    without, others = section(run, found(run, 1, 1, 1)).caveats
    assert "Strongly correlated" not in without
    assert "cause" in others
    pairs = tuple(Pair("age", f"x{i}", -0.9) for i in range(6))
    assert (
        section(run, found(run, 1, 1, 1, related=pairs))
        .caveats[0]
        .endswith("here: age and x0 (−0.9); age and x1 (−0.9); age and x2 (−0.9); age and x3 (−0.9) and 2 more pairs.")
    )


def test_tables_have_importance_and_contributions(run: Evaluated) -> None:
    charts = section(run, found(run, 0.2, 0.05, 0.4)).charts
    assert list(charts) == ["importance", "contributions"]  # nothing is drawn of no column
    table = charts["importance"].table
    assert table
    assert [row[:4] for row in table.rows] == [
        ["colour", 0.4, pytest.approx(0.3), 0.5],
        ["age", 0.2, 0.1, pytest.approx(0.3)],
        ["size", 0.05, -0.05, pytest.approx(0.15)],
    ]
    assert table.header[4] == "accuracy, fall"
    table = charts["contributions"].table
    assert table
    ids = run.test.ids
    assert [row[0] for row in table.rows] == [str(ids[3])] * 3 + [str(ids[5])] * 3
    assert [row[2] for row in table.rows[:3]] == ["size", "colour", "age"]
    assert [row[4] for row in table.rows[:3]] == [-0.3, 0.2, 0.1]


def test_titles_tell_mistakes_from_usual_rows(run: Evaluated) -> None:
    y = run.test.y.copy()
    predicted = run.predictions.argmax(axis=1)
    y[3], y[5] = 1 - predicted[3], predicted[5]
    test = run.test._replace(y=y)
    chart = explained(found(run, 1, 1, 1), test, run.predictions, run.meta).charts["contributions"]
    first, second = [text.get_text() for axes in chart.figure.axes for text in axes.texts]
    names = run.meta.class_names
    assert first.startswith(
        f"Row {test.ids[3]}: {names[predicted[3]]} 90.0\N{NO-BREAK SPACE}%, actually {names[y[3]]}\n"
    )
    assert second.startswith(f"Row {test.ids[5]}: {names[predicted[5]]} 55.0\N{NO-BREAK SPACE}%\n")
    assert "The first row is the most confident mistake, the others are usual ones." in chart.says


def test_bars_are_named_by_column_and_value(run: Evaluated) -> None:
    explanation = found(run, 1, 1, 1)
    age = Column(name="age", fill=1.0, flags_missing=True, categories=())
    both = Feature("sold", (*explanation.features[0].places, *explanation.features[1].places))
    x = np.array(run.test.x)
    x[3] = x[5] = (20, 1, 1, 0)
    features = [Feature("age", (Place(age, 0, 1),)), both, Feature("colour", (Place(columns()[2], 2),))]
    chart = explained(
        explanation._replace(features=features), run.test._replace(x=x), run.predictions, run.meta
    ).charts["contributions"]
    names = [label.get_text() for label in chart.figure.axes[0].get_yticklabels()]
    assert names == ["sold", "colour = blue", "age is missing"]


def test_images_stand_beside_their_heat(tmp_path: Path) -> None:
    run = made_up(tmp_path, classes=("cat", "dog"), images=True)
    y, predicted = run.test.y.copy(), run.predictions.argmax(axis=1)
    y[:2] = 1 - predicted[0], predicted[1]
    examples = Examples(np.array([0, 1]), 1, predicted[:2])
    occlusion = Occlusion(np.random.default_rng(0).normal(size=(2, 8, 8)), np.array([0.25, 0.5]))
    test = run.test._replace(y=y)
    chart = explained(ImageExplanation(examples, occlusion), test, run.predictions, run.meta).charts["heat_maps"]
    first, second = [text.get_text().split("\n") for text in chart.figure.axes[0].texts]
    names = run.meta.class_names
    assert first[0] == f"{names[y[0]]} taken for {names[predicted[0]]}"
    assert first[1].endswith("part hidden 25.0\N{NO-BREAK SPACE}%")
    assert second[0] == names[y[1]]
    assert "The first is a mistake, the others are usual." in chart.says


def test_what_was_not_asked_for_is_said_and_not_drawn(run: Evaluated) -> None:
    assert run.explained.charts == {}
    assert "explain.enabled is false" in run.explained.says


def test_a_real_explanation_of_each_kind_is_drawn(tmp_path: Path) -> None:
    of_numbers = made_up(tmp_path / "a", classes=(), explains=True).explained
    of_classes = made_up(tmp_path / "b", classes=tuple("abcdefg"), explains=True).explained
    assert list(of_numbers.charts) == list(of_classes.charts) == ["importance", "dependence", "contributions"]
    assert "the mean of price in dollars if" in of_numbers.charts["dependence"].says
    assert "the mean of the probability of the 5 most frequent classes if" in of_classes.charts["dependence"].says
    table = of_classes.charts["dependence"].table
    assert table
    assert table.header[-1] == "class"
    assert len(table.rows) == 3 * 5
