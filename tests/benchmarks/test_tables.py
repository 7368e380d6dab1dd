import json
import sys
from collections.abc import Callable
from math import log
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

Load = Callable[[str], ModuleType]
CONFIG = SimpleNamespace(evaluate=SimpleNamespace(resamples=100, seed=0, calibration_bins=10))


def prepared(y: Any, counts: tuple[int, ...], score: str) -> Any:
    meta = SimpleNamespace(task="classification" if counts else "regression", class_counts=counts, split_sizes={})
    return SimpleNamespace(rows=lambda: {"test": (None, y)}, meta=meta, params=CONFIG, main_score=score)


def test_the_rarer_of_two_classes_is_that_of_average_precision(load: Load) -> None:
    random = np.random.default_rng(0)
    y = (random.random(200) > 0.2).astype(np.int64)  # class 0 is rare
    chance = 0.3 * y + 0.7 * random.random(200)
    scores = load("tables").score(prepared(y, (20, 80), "average_precision"), np.column_stack([1 - chance, chance]))[
        "scores"
    ]
    assert scores["average_precision"][0] == pytest.approx(average_precision_score(1 - y, 1 - chance))
    assert scores["roc_auc"][0] == pytest.approx(roc_auc_score(y, chance))
    assert scores["roc_auc"][1] <= scores["roc_auc"][0] <= scores["roc_auc"][2]


def test_a_probability_of_zero_is_half_of_the_last_digit_that_is_kept(load: Load) -> None:
    sure = np.array([[1.0, 0.0]] * 4)
    found = load("tables").score(prepared(np.array([0, 0, 0, 1]), (3, 1), "accuracy"), sure)
    assert found["scores"]["log_loss"][0] == pytest.approx(-log(5e-7) / 4)
    assert found["scores"]["accuracy"][0] == 0.75


def test_numbers_are_scored_in_their_own_unit(load: Load) -> None:
    found = load("tables").score(prepared(np.array([1.0, 2.0, 4.0]), (), "rmse"), np.array([[1.0], [2.0], [1.0]]))
    assert found["scores"]["rmse"][0] == pytest.approx(3**0.5)
    assert found["scores"]["mae"][0] == pytest.approx(1)


def test_predictions_are_read_from_what_evaluate_writes(load: Load, tmp_path: Path) -> None:
    read = load("tables").read_predictions
    (tmp_path / "classes.csv").write_text("id,actual,predicted,p_a,p_b\n7,a,b,0.25,0.75\n8,b,b,0.1,0.9\n")
    (tmp_path / "numbers.csv").write_text("id,actual,predicted\n7,1.5,2.5\n")
    np.testing.assert_array_equal(read(tmp_path / "classes.csv"), [[0.25, 0.75], [0.1, 0.9]])
    np.testing.assert_array_equal(read(tmp_path / "numbers.csv"), [[2.5]])


@pytest.fixture
def asked(load: Load, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], list[Any]]:
    """What would be run for a command line: (table, seed, arm, settings)."""
    tables = load("tables")
    monkeypatch.setattr(tables, "RESULTS", tmp_path / "tables.json")
    done = {"table": "wine", "seed": 0, "arm": "hgb", "settings": []}
    (tmp_path / "tables.json").write_text(json.dumps({"runs": [done]}))
    found: list[Any] = []
    monkeypatch.setattr(
        tables, "run_all", lambda name, seed, todo, *_, **__: found.extend((name, seed, *each) for each in todo)
    )

    def ask(line: str) -> list[Any]:
        monkeypatch.setattr(sys, "argv", ["tables.py", *line.split()])
        tables.main()
        return found

    return ask


def test_what_is_in_the_results_is_not_run_again(asked: Callable[[str], list[Any]]) -> None:
    expected = [("wine", 0, "linear", []), ("wine", 1, "hgb", []), ("wine", 1, "linear", [])]
    assert asked("--only wine --seeds 0 1 --arms hgb linear") == expected


def test_it_is_run_again_on_request(asked: Callable[[str], list[Any]]) -> None:
    assert asked("--only wine --seeds 0 --arms hgb --again") == [("wine", 0, "hgb", [])]


def test_settings_are_for_wellfit_alone_and_make_another_run(asked: Callable[[str], list[Any]]) -> None:
    found = asked("--only wine --seeds 0 --arms wellfit hgb forest --set tune.n_trials=4")
    assert found == [("wine", 0, "wellfit", ["tune.n_trials=4"]), ("wine", 0, "forest", [])]


def test_peers_outside_the_lock_are_left_out_and_named(
    asked: Callable[[str], list[Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert asked("--only wine --seeds 0 --arms realmlp lightgbm hgb") == []
    assert "left out without --peers-python: lightgbm, realmlp" in capsys.readouterr().err


def test_a_curve_runs_the_stages_with_each_number_of_trials(asked: Callable[[str], list[Any]]) -> None:
    found = asked("--only wine --seeds 1 --curve")
    trials = [("wine", 1, "wellfit", [f"tune.n_trials={n}"]) for n in (4, 8, 16, 32, 64, 128)]
    assert found == [*trials, ("wine", 1, "hgb", [])]


def test_settings_of_data_are_refused(asked: Callable[[str], list[Any]], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        asked("--set data.val_fraction=0.1")
    assert "--set must leave data. alone, but for data.folds" in capsys.readouterr().err
    assert asked("--only wine --seeds 0 --arms wellfit --set data.folds=5") == [
        ("wine", 0, "wellfit", ["data.folds=5"])
    ]


def test_an_arm_that_fails_is_said_and_the_others_are_kept_once(
    load: Load, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tables = load("tables")

    def fail(*_: Any) -> Any:
        raise ValueError("out of luck")

    found = {"main_score": "accuracy", "scores": {"accuracy": [0.5, 0.4, 0.6]}, "seconds": 1.0, "stages": {}}
    monkeypatch.setattr(tables, "RESULTS", tmp_path / "tables.json")
    monkeypatch.setattr(tables, "prepare_table", lambda *_: None)
    monkeypatch.setattr(tables, "run_wellfit", fail)
    monkeypatch.setattr(tables, "run_peer", lambda *_: found)
    for is_timed in (True, False):
        tables.run_all("wine", 0, [("wellfit", []), ("hgb", [])], tmp_path, None, is_timed=is_timed)
        kept = json.loads((tmp_path / "tables.json").read_text())["runs"]
        assert [(run["table"], run["seed"], run["arm"], run["settings"]) for run in kept] == [("wine", 0, "hgb", [])]
        assert kept[0]["seconds"] == (1.0 if is_timed else None)
    assert "wine, seed 0, wellfit: ValueError, out of luck" in capsys.readouterr().err
