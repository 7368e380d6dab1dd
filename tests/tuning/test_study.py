"""The study: the first trial, going on after an interruption, the journal."""

from pathlib import Path

import pytest
from optuna.trial import TrialState

from wellfit.errors import WellfitError
from wellfit.params import load_params
from wellfit.tuning.config import TuneConfig
from wellfit.tuning.study import Study

CURRENT = {"optim.lr": 0.003, "optim.weight_decay": 0.01, "model.dropout": 0.2}


@pytest.fixture
def config() -> TuneConfig:
    return load_params(Path(__file__).parents[2] / "params.yaml").tune


def open_study(journal: Path, config: TuneConfig, current: dict[str, float] | None = None) -> Study:
    return Study(journal, config, current or CURRENT, higher_is_better=False)


def run_trials(study: Study, count: int) -> None:
    for _ in range(count):
        trial, values = study.ask()
        loss = (values["optim.lr"] - 0.01) ** 2 + values["model.dropout"]
        study.tell(trial, TrialState.COMPLETE, loss, {"values": values})


def values_of(study: Study) -> list[dict[str, float]]:
    return [trial.user_attrs["values"] for trial in study.trials]


def test_the_first_trial_has_the_current_values(tmp_path: Path, config: TuneConfig) -> None:
    _, values = open_study(tmp_path / "study.log", config).ask()
    assert values == CURRENT


def test_a_current_value_outside_its_interval_is_tried_all_the_same(tmp_path: Path, config: TuneConfig) -> None:
    study = open_study(tmp_path / "study.log", config, CURRENT | {"optim.weight_decay": 0.0})
    trial, values = study.ask()
    assert values["optim.weight_decay"] == 0.0
    assert set(trial.params) == {"optim.lr", "model.dropout"}
    study.tell(trial, TrialState.COMPLETE, 1.0, {"values": values})
    run_trials(study, 15)  # the sampler copes with a trial that lacks a key, past its random phase too


def test_later_trials_stay_inside_their_intervals_and_differ(tmp_path: Path, config: TuneConfig) -> None:
    study = open_study(tmp_path / "study.log", config)
    run_trials(study, 15)
    for values in values_of(study):
        assert all(config.ranges[key].low <= value <= config.ranges[key].high for key, value in values.items())
    assert len({values["optim.lr"] for values in values_of(study)}) == 15


def test_a_study_that_is_taken_up_again_equals_an_uninterrupted_one(tmp_path: Path, config: TuneConfig) -> None:
    whole = open_study(tmp_path / "whole.log", config)
    run_trials(whole, 14)
    for count in (3, 9, 2):
        study = open_study(tmp_path / "parts.log", config)
        run_trials(study, count)
        study.ask()  # a trial that never ends: the process dies here
    assert values_of(open_study(tmp_path / "parts.log", config)) == values_of(whole)


def test_the_seed_decides_the_values(tmp_path: Path, config: TuneConfig) -> None:
    studies = [
        open_study(tmp_path / f"{i}.log", config.model_copy(update={"seed": seed})) for i, seed in enumerate((0, 0, 1))
    ]
    for study in studies:
        run_trials(study, 3)
    assert values_of(studies[0]) == values_of(studies[1])
    assert values_of(studies[0])[1:] != values_of(studies[2])[1:]


def test_a_torn_last_line_is_cut_off(tmp_path: Path, config: TuneConfig) -> None:
    journal = tmp_path / "study.log"
    run_trials(open_study(journal, config), 3)
    whole = journal.read_bytes()
    journal.write_bytes(whole + b'{"op_code":4,"worker_id":"a')
    run_trials(open_study(journal, config), 1)
    assert journal.read_bytes().startswith(whole)
    assert len(open_study(journal, config).trials) == 4


def test_a_journal_that_is_none_is_refused_in_one_line(tmp_path: Path, config: TuneConfig) -> None:
    journal = tmp_path / "study.log"
    journal.write_bytes(b"not a journal\n{}\n")
    with pytest.raises(WellfitError, match=r"study\.log cannot be read .* move it away") as caught:
        open_study(journal, config)
    assert "\n" not in str(caught.value)
    assert journal.read_bytes() == b"not a journal\n{}\n"


def test_the_best_trial_is_the_best_complete_one(tmp_path: Path, config: TuneConfig) -> None:
    study = open_study(tmp_path / "study.log", config)
    assert study.best is None
    for state, value in [(TrialState.FAIL, 0.0), (TrialState.COMPLETE, 3.0), (TrialState.PRUNED, 1.0)]:
        trial, values = study.ask()
        study.tell(trial, state, value, {"values": values})
    assert study.best is not None
    assert (study.best.number, study.best.value) == (1, 3.0)
    reopened = open_study(tmp_path / "study.log", config).best
    assert reopened is not None
    assert reopened.number == 1


def test_direction(tmp_path: Path, config: TuneConfig) -> None:
    study = Study(tmp_path / "study.log", config, CURRENT, higher_is_better=True)
    for value in (0.5, 0.9, 0.7):
        trial, values = study.ask()
        study.tell(trial, TrialState.COMPLETE, value, {"values": values})
    assert study.best is not None
    assert study.best.value == 0.9


@pytest.mark.parametrize(("pruner", "pruned"), [("median", True), ("none", False)])
def test_a_trial_below_the_median_is_pruned(tmp_path: Path, config: TuneConfig, pruner: str, pruned: bool) -> None:
    config = config.model_copy(update={"pruner": pruner, "pruner_startup_trials": 2, "pruner_warmup_epochs": 2})
    study = open_study(tmp_path / "study.log", config)
    for _ in range(3):
        trial, values = study.ask()
        for epoch in (1, 2, 3):
            trial.report(1.0, epoch)
        study.tell(trial, TrialState.COMPLETE, 1.0, {"values": values})
    study = open_study(tmp_path / "study.log", config)  # what the pruner compares with survives
    trial, _ = study.ask()
    trial.report(5.0, 1)
    assert not trial.should_prune()  # warm-up
    trial.report(5.0, 2)
    assert bool(trial.should_prune()) is pruned
