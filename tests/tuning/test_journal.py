"""A journal that was changed since it was written: what is left of it counts, and nothing else."""

import re
from pathlib import Path

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.study import StudyDirection
from optuna.trial import create_trial

from wellfit.errors import WellfitError
from wellfit.tuning.beginning import begin
from wellfit.tuning.storage import ATTRIBUTES, open_saved

from ..damage import DAMAGES, Damage, cut, fill_with_garbage

STUDIES = ".wellfit/studies"
BEGUN = {"wellfit_records": "abc", "wellfit_distributions": {}, "wellfit_identity": {"optim.lr": 1}}


@pytest.fixture
def journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Of a study of four trials, opened once more after it was begun."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    begin(open_saved(STUDIES, "study", StudyDirection.MINIMIZE), BEGUN)
    saved = open_saved(STUDIES, "study")
    for number in range(4):
        saved.add_trial(create_trial(value=number / 10, user_attrs={"place": number}))
    return tmp_path / STUDIES / "study.log"


def values() -> list[float | None]:
    return [trial.value for trial in open_saved(STUDIES, "study").trials]


def change_value(file: Path) -> None:
    """Makes the third trial the best."""
    text = file.read_text()
    assert text.count('"value":0.2') == 1
    file.write_text(text.replace('"value":0.2', '"value":0.0'))


def spoil_line(file: Path) -> None:
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join([*lines[:-2], b"\x80\xff\n{\n", *lines[-2:]]))


def test_an_intact_journal_stays_as_it_is(journal: Path, capfd: pytest.CaptureFixture[str]) -> None:
    before = journal.read_bytes()
    assert values() == [0.0, 0.1, 0.2, 0.3]
    assert journal.read_bytes() == before
    assert sorted(path.name for path in journal.parent.iterdir()) == ["study.head", "study.log"]
    theirs = JournalStorage(JournalFileBackend(str(journal), JournalFileOpenLock(str(journal))))
    optuna.load_study(study_name="study", storage=theirs).set_user_attr("note", "of a dashboard")
    assert open_saved(STUDIES, "study").user_attrs["note"] == "of a dashboard"
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("damage", "left"), [(change_value, [0.0, 0.1, 0.3]), (spoil_line, [0.0, 0.1, 0.2, 0.3]), (fill_with_garbage, [])]
)
def test_what_was_changed_does_not_count(
    journal: Path, capfd: pytest.CaptureFixture[str], damage: Damage, left: list[float]
) -> None:
    damage(journal)
    changed = journal.read_bytes()
    assert values() == left
    err = capfd.readouterr().err
    assert re.fullmatch(r"warning: .*study\.log was damaged: .*the records of the trials.*study\.log\.damaged\n", err)
    assert journal.with_name("study.log.damaged").read_bytes() == changed
    assert {key: open_saved(STUDIES, "study").user_attrs[key] for key in ATTRIBUTES} == BEGUN
    assert capfd.readouterr().err == "", "told once"


@pytest.mark.parametrize("text", [b"", b"no line", b"\x00" * 4096])
def test_a_journal_without_a_line_is_rebuilt(journal: Path, capfd: pytest.CaptureFixture[str], text: bytes) -> None:
    journal.write_bytes(text)
    assert values() == []
    assert "study.log was damaged" in capfd.readouterr().err


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_without_its_first_lines_a_journal_is_refused(journal: Path, damage: Damage) -> None:
    damage(journal.with_suffix(".head"))
    fill_with_garbage(journal)
    before = journal.read_bytes()
    with pytest.raises(WellfitError, match=r"study\.log is damaged from its first lines on; move it away") as told:
        values()
    assert "\n" not in str(told.value)
    assert journal.read_bytes() == before


def test_a_damaged_copy_of_the_first_lines_is_made_anew(journal: Path) -> None:
    copy = journal.with_suffix(".head")
    before = copy.read_bytes()
    cut(copy)
    assert len(values()) == 4
    assert copy.read_bytes() == before


def test_a_study_that_was_moved_away_begins_anew(journal: Path, capfd: pytest.CaptureFixture[str]) -> None:
    journal.unlink()
    assert open_saved(STUDIES, "study", StudyDirection.MINIMIZE).user_attrs == {}
    assert capfd.readouterr().err == ""
