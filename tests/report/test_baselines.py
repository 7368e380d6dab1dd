"""What the page says of the network beside baselines."""

from pathlib import Path

import pytest

from wellfit.baselines.comparison import conclusion
from wellfit.metrics.names import score_name
from wellfit.report.baselines import baselines
from wellfit.report.content import in_print, percent, with_interval
from wellfit.report.sections import cards, results

from .conftest import made_up, read, with_baselines


@pytest.mark.parametrize("classes", [("no", "yes"), ("a", "b", "c"), ()])
def test_a_table_for_each_main_score(tmp_path: Path, classes: tuple[str, ...]) -> None:
    run = with_baselines(made_up(tmp_path, classes=classes))
    found = baselines(run)
    assert found is not None
    assert found["conclusion"].lower() == f"{in_print(conclusion(run.baselines))}.".lower()
    names = ["accuracy", "log_loss"] if classes else ["rmse", "mae"]
    for name, table in zip(names, found["tables"], strict=True):
        network, linear, constant = table.rows
        assert network[:3] == ["the network (mlp)", *with_interval(run.metrics, name)]
        assert linear[:3] == ["a linear model", *with_interval(run.baselines[0].scores, name)]
        assert linear[-1] == "l2 10"
        assert constant[0] == "a constant"
        assert not constant[3].startswith("\N{MINUS SIGN}")
        assert score_name(name) in table.header


def test_it_is_told_that_a_constant_is_better(tmp_path: Path) -> None:
    run = with_baselines(made_up(tmp_path, classes=()))
    found = baselines(run._replace(metrics=run.metrics | {"r2": -0.5}))
    assert found is not None
    assert found["conclusion"].endswith(". The network is worse than a constant: R² is −0.5, below 0.")


def test_the_constant_stands_beside_every_score(tmp_path: Path) -> None:
    run = with_baselines(made_up(tmp_path, classes=("a", "b", "c")))
    table = results(run)["scores"]
    assert list(table.header) == ["score", "value", "95 % interval", "constant", "meaning"]
    assert table.rows[0][0] == "accuracy"
    assert table.rows[0][3] == percent(1 / 3)
    assert f"; constant {percent(1 / 3)}" in cards(run, None)[0][2]


@pytest.mark.usefixtures("undrawn")
def test_without_baselines_the_page_is_silent(tmp_path: Path, reports: Path) -> None:
    run = made_up(tmp_path)
    assert baselines(run) is None
    page = read(run, reports)
    assert (2, "Beside baselines") not in page.headings
    assert "constant" not in page.words


def test_negative_numbers_have_a_minus_sign() -> None:
    assert in_print("by -0.3 points [-1.9, 1.4]: early-stopped") == "by −0.3 points [−1.9, 1.4]: early-stopped"
    assert percent(-0.25) == "−25.0\N{NO-BREAK SPACE}%"
