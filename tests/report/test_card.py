"""The card of a model: its scores, data and limits, whatever its columns are called."""

from pathlib import Path

import pytest

from wellfit.metrics.decision import Decision
from wellfit.report.card import card
from wellfit.report.decision import Decided

from .conftest import made_up, with_baselines

ATTACK = "<img src=x onerror=alert(1)>|`#`"


@pytest.mark.parametrize("classes", [("no", "yes"), ()])
def test_it_says_what_it_predicts_how_well_and_from_what(tmp_path: Path, classes: tuple[str, ...]) -> None:
    run = with_baselines(made_up(tmp_path, classes=classes, warnings=["column 'a' is odd"]))
    run = run._replace(decided=Decided(Decision(coverage=0.9, notes=("logits are divided by 2",))))
    text = card(run)
    assert text.startswith("# csv: mlp\n")
    for heading in (
        "How good it is",
        "What it was trained on",
        "What it takes",
        "Where to be careful",
        "How to use it",
    ):
        assert f"## {heading}\n" in text
    score, unit = ("accuracy", "one of 2 classes") if classes else ("RMSE", "a number")
    assert f"| {score} | " in text
    assert f"Predicts `{run.meta.target_name}`, {unit}, from a row of 3 columns." in text
    assert "the network" in text.split("Beside what one would use instead: ")[1].splitlines()[0]
    assert "120 rows; 120 more chose epochs, settings and members. From `own`." in text
    assert "| `colour` | categories (2 known) |" in text
    assert "Logits are divided by 2." in text
    assert "- Column 'a' is odd." in text
    assert ("| `yes` | 60 |" in text) == bool(classes)
    assert ("predict_proba" in text) == bool(classes)


def test_images_have_a_size_and_no_columns(tmp_path: Path) -> None:
    text = card(made_up(tmp_path, images=True))
    assert "from an image of 8 x 8 grey pixels" in text
    assert "## What it takes" not in text


def test_names_are_neither_html_nor_markdown(tmp_path: Path) -> None:
    run = made_up(tmp_path, classes=(ATTACK, "b"), columns=(ATTACK, "c"), warnings=[ATTACK])
    lines = card(run).splitlines()
    outside_code = "".join("".join(line.split("`")[::2]) for line in lines)
    assert "<img" not in outside_code
    table = [line for line in lines if line.startswith("| `<img")]
    assert len(table) == 2
    for line in table:
        assert line.replace("\\|", "").count("|") == 3


def test_a_constant_has_the_decimals_of_the_score_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = with_baselines(made_up(tmp_path, classes=()))
    monkeypatch.setattr("wellfit.report.card.base_rate", lambda _: {"r2": -1e-5})
    (line,) = (line for line in card(run).splitlines() if line.startswith("| R² |"))
    assert line.endswith(" | 0.0000 |")
