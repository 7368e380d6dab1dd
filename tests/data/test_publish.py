from contextlib import suppress
from pathlib import Path

import pytest

from wellfit.data.publish import replacing


def tree(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


def test_a_filled_folder_appears_at_the_end(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "result"
    with replacing(folder) as new:
        (new / "a").write_text("1")
        assert not folder.exists()
    assert tree(tmp_path) == {"deep/result/a": "1"}


def test_an_old_folder_is_replaced_as_a_whole(tmp_path: Path) -> None:
    folder = tmp_path / "result"
    folder.mkdir()
    (folder / "old").write_text("0")
    with replacing(folder) as new:
        (new / "a").write_text("1")
        assert tree(folder) == {"old": "0"}
    assert tree(tmp_path) == {"result/a": "1"}


@pytest.mark.parametrize("stop", [RuntimeError, KeyboardInterrupt])
def test_after_an_exception_all_is_as_before(stop: type[BaseException], tmp_path: Path) -> None:
    folder = tmp_path / "result"
    folder.mkdir()
    (folder / "old").write_text("0")
    with suppress(stop), replacing(folder) as new:
        (new / "a").write_text("1")
        raise stop
    assert tree(tmp_path) == {"result/old": "0"}
    assert [path.name for path in tmp_path.iterdir()] == ["result"]


def test_a_rename_that_fails_brings_the_old_folder_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "result"
    folder.mkdir()
    (folder / "old").write_text("0")
    rename = Path.rename

    def fail_on_new(self: Path, target: Path) -> Path:
        if self.name.endswith(".new"):
            raise OSError("no space")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fail_on_new)
    with pytest.raises(OSError, match="no space"), replacing(folder) as new:
        (new / "a").write_text("1")
    assert tree(tmp_path) == {"result/old": "0"}


def test_what_a_killed_process_left_is_put_right(tmp_path: Path) -> None:
    for name, text in ((".result.old", "0"), (".result.new", "half")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a").write_text(text)
    with suppress(RuntimeError), replacing(tmp_path / "result") as new:
        assert list(new.iterdir()) == []
        raise RuntimeError
    assert tree(tmp_path) == {"result/a": "0"}


def test_an_old_folder_that_a_killed_process_left_is_not_in_the_way(tmp_path: Path) -> None:
    for name, text in (("result", "1"), (".result.old", "0")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a").write_text(text)
    with replacing(tmp_path / "result") as new:
        (new / "a").write_text("2")
    assert tree(tmp_path) == {"result/a": "2"}
