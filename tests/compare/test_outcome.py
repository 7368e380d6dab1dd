import math
from pathlib import Path

import pytest
import torch

from wellfit.compare.outcome import Outcome, kept_outcome, kept_weights, outcome_folder, write_outcome
from wellfit.settings.params import Params

from ..damage import DAMAGES, Damage
from .conftest import base_params

OUTCOME = Outcome(
    variant="dropout 0.4",
    seed=3,
    history=[{"train/loss": 0.5, "lr": 0.1}, {"train/loss": 0.25, "lr": 0.1}],
    scores={"test/loss": 0.1, "gap/loss": 0.05},
    best_epoch=2,
    seconds=0.5,
    config={"model": {"hidden": [8]}},
    started=100.25,
    ended=101.5,
)
WEIGHTS = {"layer.weight": torch.arange(6.0).reshape(2, 3)}


def base(*changes: str) -> Params:
    return base_params(*changes)


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    write_outcome(tmp_path / "3", OUTCOME, WEIGHTS, "data")
    assert kept_outcome(tmp_path / "3", "dropout 0.4") == OUTCOME
    torch.testing.assert_close(kept_weights(tmp_path / "3"), WEIGHTS)
    renamed = kept_outcome(tmp_path / "3", "new name")
    assert renamed is not None
    assert renamed.variant == "new name"


def test_a_failure_is_kept_without_weights(tmp_path: Path) -> None:
    failed = Outcome("v", 0, [{"train/loss": math.nan}], {}, 0, 0.5, "train/loss is nan in epoch 1")
    write_outcome(tmp_path / "0", failed, None, "data")
    found = kept_outcome(tmp_path / "0", "v")
    assert found is not None
    assert math.isnan(found.history[0]["train/loss"])
    assert (found.failure, found.scores) == (failed.failure, {})


@pytest.mark.parametrize("file", ["outcome.json", "history.jsonl", "best.safetensors"])
@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_what_is_damaged_is_trained_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], file: str, damage: Damage
) -> None:
    write_outcome(tmp_path / "3-abc", OUTCOME, WEIGHTS, "data")
    damage(tmp_path / "3-abc" / file)
    assert kept_outcome(tmp_path / "3-abc", "v") is None
    assert capsys.readouterr().out.startswith("v, seed 3: trained again, for ")


def test_what_is_not_there_is_no_news(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert kept_outcome(tmp_path / "3", "v") is None
    assert capsys.readouterr().out == ""


def test_a_folder_is_of_all_that_decides_a_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    first = outcome_folder("small", base(), "data", "best")
    assert first == outcome_folder("small", base(), "data", "best")
    assert first.parent == tmp_path / ".wellfit" / "comparisons" / "small"
    assert first == outcome_folder("small", base("data.n_samples=50", "fetch.retries=1"), "data", "best")  # in the data
    others = [
        outcome_folder("other", base(), "data", "best"),
        outcome_folder("small", base("optim.lr=0.5"), "data", "best"),
        outcome_folder("small", base("train.seed=1"), "data", "best"),
        outcome_folder("small", base(), "other", "best"),
        outcome_folder("small", base(), "data", "last"),
    ]
    monkeypatch.setattr("wellfit.compare.outcome.code_sha256", lambda *names: "other code")
    others.append(outcome_folder("small", base(), "data", "best"))
    assert len({first, *others}) == 7
