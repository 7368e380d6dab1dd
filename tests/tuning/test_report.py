import csv
import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
from ruamel.yaml import YAML

from wellfit.errors import WellfitError
from wellfit.settings.params import Params, load_params
from wellfit.tuning.record import TrialRecord
from wellfit.tuning.report import Row, chosen, importances, ranked, write_report

PARAMS_FILE = Path(__file__).parents[2] / "params.yaml"
SPACE = {
    "tune.space": "{optim: {lr: {low: 0.001, high: 0.1, log: true}}, model: {hidden: [[8], [8, 4]], dropout: null}}"
}


def params_with(**changes: str) -> Params:
    return load_params(
        PARAMS_FILE, [f"{key}={value}" for key, value in ({"data.name": "moons"} | SPACE | changes).items()]
    )


def made_up(n: int, *, noise: float = 0.0) -> list[Row]:
    """Trials of which the learning rate decides almost all."""
    generator = np.random.default_rng(0)
    rows = []
    for number in range(n):
        lr = float(10 ** generator.uniform(-3, -1))
        hidden = [[8], [8, 4]][number % 2]
        value = (math.log10(lr) + 2) ** 2 + 0.01 * (number % 2) + noise * generator.random()
        rows.append(Row(number, "complete", 10, 7, float(value), {"optim.lr": lr, "model.hidden": hidden}))
    return rows


def table(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text().splitlines()))


def test_a_row_is_what_the_record_says() -> None:
    record = TrialRecord(3, "complete", {"optim.lr": 0.1}, {}, [{"val/loss": 1.0}] * 4, 0.5, 2, "", 0.0, 1.0)
    assert Row.of(record) == Row(3, "complete", 4, 2, 0.5, {"optim.lr": 0.1})
    assert Row.of(dataclasses.replace(record, best=math.inf, best_epoch=0)).value is None


def test_the_best_is_the_first_of_the_best_that_are_complete() -> None:
    rows = [Row(n, state, 1, 1, value, {}) for n, state, value in [(2, "complete", 0.3), (1, "complete", 0.3)]]
    rows += [Row(0, "pruned", 1, 1, 0.1, {}), Row(3, "failed", 1, 0, None, {}), Row(4, "complete", 1, 1, 0.9, {})]
    assert ranked(rows, higher_is_better=False)[0] == rows[1]
    assert ranked(rows, higher_is_better=True)[0] == rows[4]
    assert ranked(rows[2:4], higher_is_better=True) == []


def test_the_report_of_a_study(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = made_up(8)
    rows[3] = rows[3]._replace(state="pruned", value=-1.0)
    rows[5] = rows[5]._replace(state="failed", best_epoch=0, value=None)
    params = params_with()
    best = min((row for row in rows if row.state == "complete"), key=lambda row: row.value or 0.0)
    repeated = {best.number: {1: 0.4, 0: 0.2}}
    summary, winner = write_report(tmp_path, rows[::-1], params, "data", repeated, higher_is_better=False)
    assert winner == best
    found = YAML(typ="safe", pure=True).load(tmp_path / "best_params.yaml")
    assert found == {
        "data_sha256": "data",
        "params": {"optim": {"lr": best.values["optim.lr"]}, "model": {"hidden": best.values["model.hidden"]}},
    }
    trials = table(tmp_path / "trials.csv")
    assert [int(trial["trial"]) for trial in trials] == list(range(8))
    assert [trial["state"] for trial in trials] == [row.state for row in rows]
    assert (trials[5]["value"], trials[5]["model.hidden"]) == ("", "[8, 4]")
    complete = [row.value if row.state == "complete" and row.value is not None else math.inf for row in rows]
    assert [float(trial["best_so_far"]) for trial in trials] == np.minimum.accumulate(complete).tolist()
    pictures = {"history.png", "slices.png", "importance.png", "parallel.png", "rank.png"}
    assert {path.name for path in (tmp_path / "plots").iterdir()} == pictures
    repeats = table(tmp_path / "repeats.csv")
    assert [(row["trial"], row["seed"], row["score"]) for row in repeats] == [
        (str(best.number), "0", "0.2"),
        (str(best.number), "1", "0.4"),
    ]
    assert summary["repeats/mean"] == pytest.approx(0.3)
    assert summary["best/val/loss"] == best.value
    assert summary["best_trial"] == best.number
    assert summary["importance/optim.lr"] + summary["importance/model.hidden"] == pytest.approx(1)
    assert summary["repeats/low"] < summary["repeats/mean"] < summary["repeats/high"]
    shares = {row["key"]: float(row["share"]) for row in table(tmp_path / "importance.csv")}
    assert {f"importance/{key}": share for key, share in shares.items()}.items() <= summary.items()
    assert len(shares) == 2
    out = capsys.readouterr().out
    assert f"best of 8 trials: trial {best.number}, val/loss" in out
    assert f"trial {best.number} with 2 other seeds: mean 0.3, 95 % interval" in out

    write_report(tmp_path / "again", rows, params, "data", repeated, higher_is_better=False)
    for file in (path for path in tmp_path.rglob("*.*") if path.is_file() and "again" not in path.parts):
        assert file.read_bytes() == (tmp_path / "again" / file.relative_to(tmp_path)).read_bytes(), file.name
    write_report(tmp_path, rows, params, "data", higher_is_better=False)
    assert table(tmp_path / "repeats.csv") == []


def test_a_choice_by_other_seeds_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = made_up(4)
    first, second, *_ = ranked(rows, higher_is_better=False)
    repeats = {first.number: {7: 3.0, 8: 4.0}, second.number: {7: 1.0, 8: 2.0}}
    summary, _ = write_report(tmp_path, rows, params_with(), "data", repeats, higher_is_better=False)
    assert summary["best_trial"] == second.number
    told = f"best of 4 trials, by other seeds of the leading ones: trial {second.number}, val/loss {second.value:.6g}"
    assert f"{told}: optim.lr" in capsys.readouterr().out
    assert (tmp_path / "best_params.yaml").read_text().startswith(f"# {told}")


def test_the_trial_whose_other_seeds_are_best_is_chosen(tmp_path: Path) -> None:
    rows = [Row(n, "complete", 1, 1, value, {"optim.lr": 0.1 * n}) for n, value in enumerate((0.3, 0.1, 0.2))]
    repeats = {1: {7: 0.5, 8: 0.3}, 2: {7: 0.25, 8: 0.35}, 0: {}}
    assert chosen(rows, repeats, higher_is_better=False) == rows[2]
    assert chosen(rows, repeats, higher_is_better=True) == rows[1]
    assert chosen(rows, {}, higher_is_better=False) == rows[1]
    assert chosen([], {}, higher_is_better=False) is None
    assert [row.number for row in ranked(rows, higher_is_better=True)] == [0, 2, 1]


def test_not_one_good_trial_is_an_error(tmp_path: Path) -> None:
    rows = [made_up(1)[0]._replace(state="failed", value=None)]
    with pytest.raises(WellfitError, match="none of 1 trials ended well"):
        write_report(tmp_path, rows, params_with(), "data", higher_is_better=False)
    assert not list(tmp_path.iterdir())


def test_importance_finds_what_decides() -> None:
    found = importances(made_up(24), params_with())
    assert list(found) == ["optim.lr", "model.hidden"]
    assert found["optim.lr"] > 0.9
    assert sum(found.values()) == pytest.approx(1)


@pytest.mark.parametrize(("trials", "told"), [(3, False), (4, True)])
def test_importance_needs_four_completed_trials(trials: int, told: bool) -> None:
    rows = [*made_up(trials), *(row._replace(state="pruned") for row in made_up(5))]
    assert bool(importances(rows, params_with())) == told


def test_importance_leaves_out_what_it_cannot_use() -> None:
    params = params_with()
    rows = made_up(6)
    assert importances([row._replace(value=0.5) for row in rows], params) == {}  # nothing to explain
    outside = rows[0]._replace(value=99.0, values={"optim.lr": 0.5, "model.hidden": [99]})
    assert importances([outside, *rows], params) == importances(rows, params)
    single = params_with(**{"tune.space": "{optim: {lr: {low: 0.001, high: 0.1, log: true}}}"})
    alone = [row._replace(values={"optim.lr": row.values["optim.lr"]}) for row in rows]
    assert importances(alone, single) == {"optim.lr": 1.0}
