import bz2
import gzip
import zipfile
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from wellfit.data.readers.byte_streams import open_bytes
from wellfit.errors import WellfitError

TEXT = b"a,y\n" + b"1,0\n2,1\n" * 50


def content(path: Path) -> bytes:
    with open_bytes(path) as stream:
        return stream.read()  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    "pack",
    [
        bytes,
        gzip.compress,
        bz2.compress,
        lambda text: pa.compress(text, codec="zstd", asbytes=True),
        lambda text: gzip.compress(text[:50]) + gzip.compress(text[50:]),
    ],
)
@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz", "t.csv.bz2"])
def test_the_bytes_tell_how_a_file_is_packed_and_its_name_does_not(
    pack: Callable[[bytes], bytes], name: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(pack(TEXT))
    assert content(tmp_path / name) == TEXT


def test_a_zip_archive_of_one_file(tmp_path: Path) -> None:
    path = tmp_path / "t.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("folder/t.csv", TEXT)
        archive.writestr("__MACOSX/folder/._t.csv", b"x")
        archive.writestr("folder/.DS_Store", b"x")
    assert content(path) == TEXT
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("u.csv", TEXT)
    with pytest.raises(WellfitError, match=r"must hold one file, but holds 2 \(folder/t\.csv, u\.csv\)"):
        content(path)


@pytest.mark.parametrize(("member", "fault"), [("[Content_Types].xml", "an Excel file"), ("mimetype", "a spreadsheet")])
def test_spreadsheets_are_zip_archives(member: str, fault: str, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "t.xlsx", "w") as archive:
        archive.writestr(member, b"x")
        archive.writestr("content.xml", b"x")
    with pytest.raises(WellfitError, match=rf"t\.xlsx is {fault}: save its sheet as CSV"):
        content(tmp_path / "t.xlsx")


@pytest.mark.parametrize(
    ("begin", "what"),
    [
        (b"PAR1\x15\x04", "a Parquet file: set data.name to parquet"),
        (b'[\n {"a": 1}]', "a JSON file"),
        (b'{"a": 1}\n', "a JSON file"),
        (b"\n<!DOCTYPE html>", "a web page or XML, not a table: download the file itself"),
        (b"@RELATION x", "an ARFF file"),
        (b"\x89PNG\r\n\x1a\n", "an image"),
        (b"version https://git-lfs.github.com/spec/v1", "a pointer of Git LFS: `git lfs pull`"),
    ],
)
def test_other_formats_are_named_with_what_to_do(begin: bytes, what: str, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(begin)
    with pytest.raises(WellfitError, match=rf"t\.csv is {what}"):
        content(tmp_path / "t.csv")


@pytest.mark.parametrize("header", ["<x>,y", "[a],y", "{a},y", "@relations,y"])
def test_names_of_columns_are_no_other_format(header: str, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(header)
    assert content(tmp_path / "t.csv") == header.encode()


def test_a_truncated_file_is_one_line(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "t.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("t.csv", TEXT)
    damaged = (tmp_path / "t.zip").read_bytes().replace(b"PK\x01\x02", b"PK\x01\x03")
    for body, kind in [(gzip.compress(TEXT)[:30], "gzip"), (damaged, "zip")]:
        (tmp_path / "t").write_bytes(body)
        with pytest.raises(WellfitError, match=rf"t is not a whole {kind} file: ") as raised:
            content(tmp_path / "t")
        assert "\n" not in str(raised.value)


def test_what_unpacks_to_more_than_memory_holds_is_named(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(gzip.compress(TEXT))
    with (
        pytest.raises(WellfitError, match=r"t\.csv, unpacked, does not fit into memory"),
        open_bytes(tmp_path / "t.csv"),
    ):
        bytes(1 << 62)
