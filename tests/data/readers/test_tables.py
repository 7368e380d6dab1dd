import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from wellfit.data.raw import FileRows, row_in_file
from wellfit.data.readers.csv_shape import Wanted
from wellfit.data.readers.tables import find_files, read_table
from wellfit.errors import WellfitError

PARTS = {"b.csv": "a,y\n1,0\n2,1\n", "a.csv": "y,a\n5,6\n", "c.tsv": "# x\na\ty\n7\t8\n"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "own"
    folder.mkdir()
    for name, text in PARTS.items():
        (folder / name).write_text(text)
    for name in (".hidden.csv", "about.txt", "readme.md", "d.parquet"):
        (folder / name).write_text("no table")
    return folder


def test_a_folder_is_one_table_whose_columns_go_by_their_names(folder: Path) -> None:
    whole = read_table(folder, "csv", Wanted())
    assert whole.table.to_pydict() == {"y": ["5", "0", "1", "8"], "a": ["6", "1", "2", "7"]}
    rows = [row_in_file(whole.files, i) for i in range(4)]
    names = ["a.csv row 2", "b.csv row 2", "b.csv row 3", "c.tsv row 3"]
    assert rows == [str(folder / name) for name in names]
    *guessed, others = whole.notes
    assert [note.partition(": ")[2][:15] for note in guessed] == ["read with data.", "1 line of comme"]
    assert others == f"files of {folder} that are passed over: 3, the first is about.txt"


def test_files_are_found_by_name(folder: Path) -> None:
    def names(path: Path, kind: str = "csv") -> list[str]:
        return [each.name for each in find_files(path, kind, Wanted())]

    assert names(folder) == ["a.csv", "b.csv", "c.tsv"]
    assert names(folder, "parquet") == ["d.parquet"]
    assert names(folder / "*.csv") == ["a.csv", "b.csv"]
    assert names(folder.parent / "**" / "[bc].*") == ["b.csv", "c.tsv"]
    (folder / "x[1].csv").write_text("a,y\n")
    assert names(folder / "x[1].csv") == ["x[1].csv"]
    texts = folder / "texts"
    texts.mkdir()
    (texts / "rows.txt").write_text("a,y\n1,2\n")
    assert names(texts) == ["rows.txt"]


@pytest.mark.parametrize(
    ("path", "fault"),
    [
        ("gone.csv", r"data\.path .*gone\.csv not found in .* \(params\.yaml\)"),
        ("*.json", r"data\.path .*\*\.json fits no file in "),
        ("empty", r"data\.path .*empty is a folder without csv files, which end in \.csv, \.tsv, "),
    ],
)
def test_nothing_there_is_one_line(path: str, fault: str, folder: Path) -> None:
    (folder / "empty").mkdir()
    with pytest.raises(WellfitError, match=fault):
        find_files(folder / path, "csv", Wanted())


@pytest.mark.parametrize(("name", "shown"), [(b"caf\xe9.csv", r"own/caf\\xe9\.csv"), (b"a\nb.csv", r"own/a\\nb\.csv")])
def test_a_name_that_cannot_be_written_is_refused(name: bytes, shown: str, folder: Path) -> None:
    file = Path(os.fsdecode(os.fsencode(folder) + b"/" + name))
    try:
        file.touch()
    except OSError:
        pytest.skip("the file system takes UTF-8 only")
    for path in (folder, file):
        with pytest.raises(WellfitError, match=f"{shown}: its name has control characters or bytes that are not UTF-8"):
            find_files(path, "csv", Wanted())


def test_files_of_one_table_have_the_same_columns(folder: Path) -> None:
    (folder / "b.csv").write_text("a,y,z\n1,0,0\n")
    with pytest.raises(WellfitError, match=r"own/a\.csv has no column 'z', which .*own/b\.csv has"):
        read_table(folder, "csv", Wanted())


def test_types_of_parquet_files_are_united(tmp_path: Path) -> None:
    frame = pd.DataFrame({"n": [1, 2], "c": pd.Categorical(["a", "b"]), "gap": [None, None]})
    frame.to_parquet(tmp_path / "1.parquet")
    frame.assign(n=[0.5, 1.5], c=pd.Categorical(["c", "b"]), gap=[1, 2]).to_parquet(tmp_path / "2.parquet")
    table = read_table(tmp_path, "parquet", Wanted()).table
    assert table.column("n").to_pylist() == [1, 2, 0.5, 1.5]
    assert table.column("c").to_pylist() == ["a", "b", "c", "b"]
    assert table.column("gap").to_pylist() == [None, None, 1, 2]
    frame.assign(n=["x", "y"]).to_parquet(tmp_path / "3.parquet")
    with pytest.raises(WellfitError, match=r"column 'n' is int64 in .*1\.parquet, but .*string in .*3\.parquet"):
        read_table(tmp_path, "parquet", Wanted())


def test_rows_of_files_are_counted_from_their_own_beginning() -> None:
    files = [FileRows(Path("a"), 2), FileRows(Path("b"), 1, 10), FileRows(Path("c"), 1, 10), FileRows(Path("d"), 3, 11)]
    assert [row_in_file(files, np.int64(i)) for i in (0, 9, 10, 11)] == ["a row 2", "a row 11", "c row 1", "d row 3"]


def test_what_was_guessed_of_several_files_is_told_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for i in range(3):
        Path(f"{i}.csv").write_bytes(("a;y\n" + "b;1\n" * i + "é;0\n").encode("latin-1"))
    assert read_table(Path("*.csv"), "csv", Wanted()).notes == (
        "0.csv line 2 and 2 more: not UTF-8; read as Windows-1252 (data.encoding may say another)",
        "0.csv and 2 more: read with data.separator semicolon, which its header and rows have",
    )
