"""What a run was made with, and how to make it again."""

from pathlib import Path
from unittest.mock import patch

import pytest

from wellfit.report import origin
from wellfit.report.records import Evaluated, read_tuning


def test_settings_say_whose_choice_they_were(complete: Evaluated, reports: Path) -> None:
    tuning = read_tuning(reports / "tune")
    assert tuning
    tuned = tuning._replace(best={"optim.lr": 0.003, "model.dropout": 0.2})
    params = complete.params.replace({"optim.lr": 0.5, "optim.weight_decay": 0.5})
    found = origin.configuration(complete._replace(params=params), tuned)
    assert found["changed"]
    assert found["changed"].rows == [
        ["optim.lr", "0.003", "0.5", "chosen by tune"],
        ["optim.weight_decay", "0.01", "0.5", "given to train"],
    ]
    assert found["all"]
    assert ["model.dropout", "0.2", "params.yaml"] in found["all"].rows


@pytest.mark.parametrize(
    ("experiment", "changes", "commands", "says"),
    [
        ("", [], ["git checkout abc", "make repro"], ""),
        ("", ["src/a.py"], ["git checkout abc", "make repro"], "do not bring back what was changed"),
        ("dry-run", ["a"], ["git checkout abc", "make setup", ".venv/bin/dvc exp apply dry-run", "make repro"], ""),
    ],
)
def test_the_commands_make_the_environment_before_they_use_it(
    complete: Evaluated, experiment: str, changes: list[str], commands: list[str], says: str
) -> None:
    with patch.multiple(origin, git_commit=lambda: "abc", changed_files=lambda: changes, experiment=lambda: experiment):
        found = origin.reproduction(complete)
    assert found["commands"].splitlines() == commands
    assert says in found["says"]
    assert bool(found["says"]) == bool(says)
