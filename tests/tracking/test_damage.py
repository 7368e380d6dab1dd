"""A store whose file is damaged: one line that names it and the way out, and the file stays as it was."""

import re
from pathlib import Path

import pytest

from wellfit import tracking
from wellfit.data.meta import Meta
from wellfit.errors import WellfitError
from wellfit.tracking.damage import damage_of
from wellfit.tracking.store import open_client, write_ahead

from ..damage import cut, fill_with_garbage

TOLD = r"mlflow\.db, MLflow's store, is damaged \(.*(not a database|malformed)\): move the file away"


@pytest.mark.parametrize("damage", [cut, fill_with_garbage])
def test_a_damaged_store_is_named(project: Path, meta: Meta, damage: object) -> None:
    assert callable(damage)
    file = project / "mlflow.db"
    damage(file)
    before = file.read_bytes()
    with write_ahead(), pytest.raises(WellfitError, match=TOLD) as told:
        open_client()
    assert "\n" not in str(told.value)
    assert file.read_bytes() == before
    file.rename(project / "away.db")
    open_client.cache_clear()
    with tracking.start_run("train", "a run", meta) as run:
        pass
    assert tracking.reopen_run(run.id)


def test_a_store_that_is_damaged_while_it_is_open_is_named(
    project: Path, meta: Meta, capsys: pytest.CaptureFixture[str]
) -> None:
    with tracking.start_run("train", "a run", meta) as run:
        fill_with_garbage(project / "mlflow.db")
        run.tag("key", "value")
    (warning,) = capsys.readouterr().err.splitlines()
    assert re.search(TOLD, warning)


def test_other_errors_are_no_damage() -> None:
    assert damage_of(OSError("malformed")) is None
