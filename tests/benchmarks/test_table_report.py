from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

Load = Callable[[str], ModuleType]


def run(table: str, arm: str, seed: int, value: float, score: str = "accuracy", settings: tuple[str, ...] = ()) -> Any:
    names = [score] if score == "rmse" else [score, "roc_auc", "log_loss"]
    scores = {name: [value, value - 0.1, value + 0.1] for name in names}
    return {
        **{"table": table, "seed": seed, "arm": arm, "settings": list(settings), "main_score": score},
        **{"scores": scores, "seconds": 2.0 + seed},
    }


RUNS = [
    *(
        run("letter", arm, seed, 0.5 + seed / 10 + gain)
        for seed in (0, 1, 2)
        for arm, gain in (("wellfit", 0.1), ("hgb", 0))
    ),
    *(run("abalone", arm, seed, 2 + gain, "rmse") for seed in (0, 1) for arm, gain in (("hgb", 0), ("wellfit", 0.2))),
]


def row(text: str, heading: str, table: str) -> list[str]:
    part = text[text.index(f"**{heading}") :].split("\n\n")[1]
    return next(line for line in part.splitlines() if line.startswith(f"| {table}")).strip("| ").split(" | ")


def test_medians_over_seeds_stand_below_their_arms(load: Load) -> None:
    text = load("table_report").markdown(RUNS)
    assert "| table | main score | wellfit | HistGradientBoosting |" in text
    assert row(text, "Main score", "letter") == ["letter (held out)", "accuracy", "0.7", "0.6"]
    assert row(text, "Main score", "abalone") == ["abalone", "RMSE", "2.2", "2"]
    assert row(text, "The same", "letter")[2] == "0.7 [0.6, 0.8]"
    assert row(text, "Seconds", "letter")[1:] == ["3.0", "3.0"]


def test_seconds_are_those_of_the_runs_that_were_timed(load: Load) -> None:
    untimed = {"seconds": None}
    runs = [*RUNS, run("letter", "hgb", 9, 0.5) | untimed, run("wine", "hgb", 0, 0.5) | untimed]
    text = load("table_report").markdown(runs)
    assert row(text, "Seconds", "letter")[1:] == ["3.0", "3.0"]
    assert "\n| wine |  |  |" in text
    assert load("table_report").line(runs[-1]) == "hgb: accuracy 0.5 [0.4, 0.6]"


def test_better_is_above_zero_whichever_way_the_score_goes(load: Load) -> None:
    text = load("table_report").markdown(RUNS)
    assert row(text, "Better than HistGradientBoosting", "letter")[2] == "+0.1 [+0.1, +0.1]"
    assert row(text, "Better than HistGradientBoosting", "abalone")[2] == "-0.2 [-0.2, -0.2]"


def test_differences_pair_the_runs_of_one_seed(load: Load) -> None:
    runs = [
        run("wine", "hgb", 1, 0.5),
        run("wine", "hgb", 0, 0.9),
        run("wine", "linear", 0, 0.8),
        run("wine", "linear", 1, 0.7),
    ]
    text = load("table_report").markdown(runs)
    assert row(text, "Better than", "wine")[2].startswith("+0.05 [")
    alone = load("table_report").markdown([*runs, run("wine", "linear", 2, 0.1)])  # no reference of that seed
    assert row(alone, "Better than", "wine")[2] == row(text, "Better than", "wine")[2]


def test_log_loss_and_roc_auc_are_of_classes_alone(load: Load) -> None:
    text = load("table_report").markdown(RUNS)
    assert row(text, "Log loss", "letter")
    with pytest.raises(StopIteration):
        row(text, "ROC AUC", "abalone")


def test_a_curve_has_a_column_for_each_number_of_trials(load: Load) -> None:
    curve = [run("wine", "wellfit", 0, 0.5 + n / 100, settings=(f"tune.n_trials={n}",)) for n in (16, 4)]
    text = load("table_report").markdown([*RUNS, *curve, run("wine", "hgb", 0, 0.7), run("wine", "linear", 0, 0.7)])
    assert "| table | main score | wellfit 4 trials | wellfit 16 trials | HistGradientBoosting |" in text
    assert row(text, "Trials", "wine")[2:] == ["0.54 after 2.0 s", "0.66 after 2.0 s", "0.7 after 2.0 s"]
    assert row(text, "Main score", "wine")[2] == ""
    assert "letter" not in text[text.index("**Trials") :]
