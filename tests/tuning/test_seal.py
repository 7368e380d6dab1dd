"""A trial that was changed in a database since it ended does not count."""

import sqlite3
from collections.abc import Iterator
from typing import Any

import pytest
from optuna.distributions import (
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    distribution_to_json,
)
from optuna.trial import create_trial

from wellfit.errors import WellfitError
from wellfit.tuning import seal
from wellfit.tuning.storage import DISTRIBUTIONS, changed_places, end_trial, ended_trials, open_saved

from .servers import postgres
from .test_databases import _closed
from .test_storage import JOURNAL, MINIMIZE, SQLITE, Record, _root, new_study

__all__ = ["_closed", "_root"]


@pytest.fixture(params=[JOURNAL, SQLITE, pytest.param("postgresql", marks=pytest.mark.slow)])
def storage(request: pytest.FixtureRequest) -> Iterator[str]:
    if request.param != "postgresql":
        yield request.param
        return
    with postgres() as server:
        yield server.url()


KINDS: dict[str, tuple[Any, Any]] = {
    "optim.lr": (FloatDistribution(1e-5, 1.0, log=True), 0.1 + 0.2),
    "optim.weight_decay": (FloatDistribution(0.0, 1.0), 0),
    "train.batch_size": (IntDistribution(1, 512), 64),
    "model.norm": (CategoricalDistribution([True, 1.5, None, "[64, 64]"]), "[64, 64]"),
    "model.activation": (CategoricalDistribution(["relu", None]), None),
    "optim.l1": (FloatDistribution(0.0, 1.0), 7.0),  # outside
}


@pytest.mark.parametrize("number", [-0.0, 0.1 + 0.2, float("nan"), float("inf"), -float("inf"), 1e-310])
def test_what_every_storage_gives_back_is_as_it_was_told(storage: str, number: float) -> None:
    saved = open_saved(storage, "study", MINIMIZE)
    saved.set_user_attr(DISTRIBUTIONS, {key: distribution_to_json(kind) for key, (kind, _) in KINDS.items()})
    values = {key: value for key, (_, value) in KINDS.items()} | {"model.norm": [64, 64]}
    history = [{"val/loss": number}, {"val/loss": 1 / 3}]
    state, best = ("failed", None) if number != number else ("complete", number)
    assert end_trial(saved, Record(0, state, values, history, best))
    assert end_trial(saved, Record(1, "failed", values, [], None, 0, "é\n<b>"))
    assert end_trial(saved, Record(2, "pruned", values, history, 0.5))
    again = open_saved(storage, "study")
    assert list(ended_trials(again)) == [0, 1, 2]
    assert changed_places(again) == []


CHANGES = {
    "value": "UPDATE trial_values SET value = 0.0",
    "epoch": "UPDATE trial_intermediate_values SET intermediate_value = 0.0 WHERE step = 1",
    "fewer epochs": "DELETE FROM trial_intermediate_values WHERE step = 2",
    "state": "UPDATE trials SET state = 'FAIL'",
    "param": "UPDATE trial_params SET param_value = 0.5",
    "best": "UPDATE trial_user_attributes SET value_json = '0.0' WHERE key = 'best'",
    "values": "UPDATE trial_user_attributes SET value_json = '{\"optim.lr\": 0.3}' WHERE key = 'values'",
    "sha256": "UPDATE trial_user_attributes SET value_json = 'null' WHERE key = 'sha256'",
    "no sha256": "DELETE FROM trial_user_attributes WHERE key = 'sha256'",
    "text": "UPDATE trial_values SET value = 'x'",
}


def change(statement: str) -> None:
    """Changes trial 1 of a study in SQLite."""
    with sqlite3.connect("studies.db") as database:
        joint = "AND" if "WHERE" in statement else "WHERE"
        assert database.execute(f"{statement} {joint} trial_id = 2").rowcount
    database.close()


@pytest.fixture
def three() -> None:
    saved = new_study(SQLITE)
    for number in range(3):
        end_trial(saved, Record(number))


@pytest.mark.usefixtures("three")
@pytest.mark.parametrize("statement", CHANGES.values(), ids=CHANGES)
def test_a_changed_trial_is_left_out_until_it_is_told_again(statement: str) -> None:
    change(statement)
    saved = open_saved(SQLITE, "study")
    assert (list(ended_trials(saved)), changed_places(saved)) == ([0, 2], [1])
    assert end_trial(saved, Record(1))
    for each in (saved, open_saved(SQLITE, "study")):
        assert (list(ended_trials(each)), changed_places(each)) == ([0, 1, 2], [])
    assert ended_trials(saved)[1].value == 0.25


@pytest.mark.usefixtures("three")
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE trials SET state = 'GONE'",
        "UPDATE trial_params SET distribution_json = '{'",
        "UPDATE trial_user_attributes SET value_json = '{' WHERE key = 'best'",
    ],
)
def test_a_cell_that_cannot_be_read_is_one_line(statement: str) -> None:
    change(statement)
    with pytest.raises(WellfitError, match=r"^the study study cannot be read \(.+\); mend tune\.storage or") as told:
        ended_trials(open_saved(SQLITE, "study"))
    assert "\n" not in str(told.value)


@pytest.mark.usefixtures("three")
def test_attributes_that_cannot_be_read_are_one_line() -> None:
    with sqlite3.connect("studies.db") as database:
        database.execute("UPDATE study_user_attributes SET value_json = '{'")
    database.close()
    with pytest.raises(WellfitError, match=r"^sqlite:///studies\.db cannot be opened \(.+\); mend tune\.storage"):
        open_saved(SQLITE, "study")


def test_what_others_have_added_is_no_trial_of_ours() -> None:
    saved = new_study(SQLITE)
    saved.ask()
    saved.add_trial(create_trial(value=0.0, user_attrs={"place": {"a": 1}}))
    assert (ended_trials(saved), changed_places(saved)) == ({}, [])


@pytest.mark.usefixtures("three")
def test_a_trial_is_verified_once(monkeypatch: pytest.MonkeyPatch) -> None:
    saved = open_saved(SQLITE, "study")
    ended_trials(saved)
    monkeypatch.setattr(seal, "_digest", lambda trial: pytest.fail("again"))
    assert list(ended_trials(saved)) == [0, 1, 2]


def test_studies_that_are_gone_are_forgotten() -> None:
    before = len(seal._verified)
    saved = new_study(SQLITE)
    end_trial(saved, Record())
    assert len(seal._verified) == before + 1
    del saved
    assert len(seal._verified) == before
