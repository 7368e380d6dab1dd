import csv
import errno
import io
import json
import math
import os
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from wellfit.errors import WellfitError
from wellfit.files import (
    named_file,
    project_root,
    read_json,
    replacing,
    replacing_file,
    write_bytes,
    write_csv,
    write_json,
    write_text,
    write_yaml,
)

WRITERS = [
    lambda path: write_bytes(path, b"new"),
    lambda path: write_text(path, "new"),
    lambda path: write_json(path, {"a": 1}),
    lambda path: write_yaml(path, {"a": 1}, "new"),
    lambda path: write_csv(path, ["a"], [[1]]),
]
WRITER_NAMES = ["bytes", "text", "json", "yaml", "csv"]


def refuse(*_: Any, **__: Any) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("write", WRITERS, ids=WRITER_NAMES)
def test_a_file_is_replaced_and_its_folder_made(tmp_path: Path, write: Callable[[Path], None]) -> None:
    path = tmp_path / "a" / "b" / "file"
    write(path)
    first = path.read_bytes()
    path.write_text("something longer than what is to come, so that a leftover would show")
    write(path)
    assert path.read_bytes() == first
    assert os.listdir(path.parent) == ["file"]


@pytest.mark.parametrize("broken", ["os.fsync", "pathlib.Path.replace"])
@pytest.mark.parametrize("write", WRITERS, ids=WRITER_NAMES)
def test_a_failed_write_keeps_the_old_file_and_leaves_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Callable[[Path], None], broken: str
) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    monkeypatch.setattr(broken, refuse)
    with pytest.raises(OSError, match="No space left") as raised:
        write(path)
    assert raised.value.filename == str(path)
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize("replaced", [replacing_file, replacing])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_what_there_is_no_room_for_is_named(tmp_path: Path, number: int, replaced: Callable[[Path], Any]) -> None:
    with pytest.raises(OSError, match="no room") as raised, replaced(tmp_path / "new"):
        raise OSError(number, "no room")
    assert raised.value.filename == str(tmp_path / "new")


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "no room", "other"), OSError(errno.ENOTCONN, "away")])
def test_what_the_system_says_of_files_stays(tmp_path: Path, error: OSError) -> None:
    said = str(error)
    with pytest.raises(OSError, match=re.escape(said)) as raised, replacing_file(tmp_path / "new"):
        raise error
    assert str(raised.value) == said


def test_the_bytes_are_on_the_disk_before_the_name_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    seen = []
    monkeypatch.setattr("os.fsync", lambda _: seen.append(sorted(file.read_text() for file in tmp_path.iterdir())))
    write_text(path, "new")
    assert seen == [["new", "old"]]  # flushed to a file of its own, beside the old one
    assert path.read_text() == "new"


def test_content_that_cannot_be_written_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_json(path, {"a": 1})
    with pytest.raises(TypeError):
        write_json(path, {"a": object()})
    with pytest.raises(UnicodeEncodeError):
        write_text(path, "\ud800")
    assert read_json(path) == {"a": 1}
    assert os.listdir(tmp_path) == ["file"]


def test_text_is_utf_8_with_plain_line_ends(tmp_path: Path) -> None:
    write_text(tmp_path / "file", "é\nb\r\n")
    assert (tmp_path / "file").read_bytes() == b"\xc3\xa9\nb\r\n"


@pytest.mark.parametrize("value", [math.nan, -math.inf, np.float64("inf")])
@pytest.mark.parametrize(
    ("place", "expected"),
    [
        (lambda x: {"a": x, "b": 1}, {"a": None, "b": 1}),
        (lambda x: {"a": {"b": {"c": x}}}, {"a": {"b": {"c": None}}}),
        (lambda x: {"a": [1.0, x, {"b": x}]}, {"a": [1.0, None, {"b": None}]}),
        (lambda x: {"a": (x, 2)}, {"a": [None, 2]}),
    ],
    ids=["value", "nested", "list", "tuple"],
)
def test_json_has_null_for_what_is_not_finite(
    tmp_path: Path, place: Callable[[float], dict[str, Any]], expected: dict[str, Any], value: float
) -> None:
    write_json(tmp_path / "x.json", place(value))
    text = (tmp_path / "x.json").read_text()
    assert json.loads(text, parse_constant=pytest.fail) == expected
    assert text.endswith("}\n")


@settings(derandomize=True, deadline=None, max_examples=50)
@given(st.dictionaries(st.text(max_size=5), st.floats() | st.integers() | st.text(max_size=5) | st.none(), max_size=4))
def test_json_reads_back_what_was_written(tmp_path_factory: pytest.TempPathFactory, content: dict[str, Any]) -> None:
    path = tmp_path_factory.mktemp("json") / "x.json"
    write_json(path, content)
    expected = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in content.items()}
    assert read_json(path) == expected
    assert list(read_json(path)) == list(content)  # in the order given


@pytest.mark.parametrize("content", ["", "{", "nan", "{'a': 1}", "[" * 100_000])
def test_a_damaged_json_file_is_one_line(tmp_path: Path, content: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(content)
    with pytest.raises(WellfitError, match=r"x\.json is not JSON .*again$") as caught:
        read_json(path)
    assert "\n" not in str(caught.value)


def test_a_json_file_that_is_not_utf_8_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(b'{"a": "\xff"}')
    with pytest.raises(WellfitError, match="is not JSON"):
        read_json(path)


WORDS = st.text(st.characters(categories=["L", "N", "P", "S", "Zs"]), min_size=1, max_size=8)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False) | st.integers()
SCALARS = NUMBERS | WORDS | st.booleans() | st.none()


@settings(derandomize=True, deadline=None, max_examples=50)
@given(st.dictionaries(WORDS, SCALARS | st.lists(SCALARS, max_size=3), max_size=3))
def test_yaml_reads_back_what_was_written(tmp_path_factory: pytest.TempPathFactory, content: dict[str, Any]) -> None:
    path = tmp_path_factory.mktemp("yaml") / "x.yaml"
    write_yaml(path, {"section": content}, "What this is.")
    assert path.read_text(encoding="utf-8").startswith("# What this is.\n")
    back = YAML(typ="safe", pure=True).load(path)["section"]
    assert back == content
    assert {k: type(v) for k, v in back.items()} == {k: type(v) for k, v in content.items()}


@pytest.mark.parametrize("value", ["1e-3", "on", "null", "0.1", "~", "- a", "2024-01-01", "true", "# x"])
def test_text_that_looks_like_something_else_stays_text_in_yaml(tmp_path: Path, value: str) -> None:
    write_yaml(tmp_path / "x.yaml", {"a": value}, "c")
    assert YAML(typ="safe", pure=True).load(tmp_path / "x.yaml") == {"a": value}


def test_csv_keeps_all_digits_and_leaves_out_what_is_not_there(tmp_path: Path) -> None:
    numbers = [0.1 + 0.2, 1 / 3, 1e-300, -0.0]
    rows = [numbers, [math.nan, None, math.inf, np.float64("nan")], ["a,b", 'c"d', "e\nf", 3]]
    write_csv(tmp_path / "x.csv", ["p", "q", "r", "s"], rows)
    text = (tmp_path / "x.csv").read_bytes().decode()
    header, first, second, third = csv.reader(io.StringIO(text))
    assert header == ["p", "q", "r", "s"]
    assert [float(cell) for cell in first] == numbers
    assert second == ["", "", "", ""]
    assert third == ["a,b", 'c"d', "e\nf", "3"]
    assert "\r" not in text


def test_a_table_whose_rows_end_in_an_error_leaves_what_was_there(tmp_path: Path) -> None:
    def rows() -> Iterator[list[int]]:
        yield from ([i] for i in range(10_000))
        raise ValueError("no more")

    write_csv(tmp_path / "x.csv", ["p"], [[1]])
    with pytest.raises(ValueError, match="no more"):
        write_csv(tmp_path / "x.csv", ["p"], rows())
    assert [path.name for path in tmp_path.iterdir()] == ["x.csv"]
    assert (tmp_path / "x.csv").read_text() == "p\n1\n"


def test_a_file_that_a_user_names_may_be_a_link_or_a_pipe_and_no_folder(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with named_file(tmp_path / "link") as file:
        file.write(b"written")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_bytes() == b"written"

    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    with named_file(tmp_path / "pipe") as file:
        file.write(b"through")
    assert os.read(reader, 100) == b"through"
    os.close(reader)
    assert (tmp_path / "pipe").is_fifo()

    (tmp_path / "folder").mkdir()
    with pytest.raises(WellfitError, match="folder is a folder: name a file"), named_file(tmp_path / "folder"):
        pass
    assert sorted(each.name for each in tmp_path.iterdir()) == ["folder", "link", "pipe", "real"]


def test_the_same_content_is_the_same_bytes(tmp_path: Path) -> None:
    for write in WRITERS:
        write(tmp_path / "one")
        write(tmp_path / "two")
        assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_the_project_root_is_where_dvc_was_called(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    assert project_root() == tmp_path.resolve()
    monkeypatch.setenv("DVC_ROOT", str(tmp_path / "real" / ".." / "root"))
    assert project_root() == (tmp_path / "root").resolve()


def test_a_folder_is_there_as_a_whole_or_as_it_was(tmp_path: Path) -> None:
    folder = tmp_path / "made" / "here"

    def make(name: str, error: BaseException | None = None) -> None:
        with replacing(folder, durable=False) as unfinished:
            (unfinished / name).touch()
            assert not (folder / name).exists()
            if error:
                raise error

    make("a")
    assert [path.name for path in folder.iterdir()] == ["a"]
    with pytest.raises(KeyboardInterrupt):
        make("b", KeyboardInterrupt())
    assert [path.name for path in folder.iterdir()] == ["a"]
    make("c")
    assert [path.name for path in folder.iterdir()] == ["c"]
    assert list(folder.parent.iterdir()) == [folder]


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


def test_processes_may_make_one_folder_at_once_where_it_need_not_be_durable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with replacing(tmp_path / "result", durable=False) as first:
        (first / "a").write_text("1")
        monkeypatch.setattr("os.getpid", lambda: 0)
        with replacing(tmp_path / "result", durable=False) as second:
            (second / "a").write_text("2")
        assert tree(tmp_path / "result") == {"a": "2"}
    assert tree(tmp_path) == {"result/a": "1"}
