from pathlib import Path

import pytest

from wellfit.data.readers import encodings
from wellfit.data.readers.encodings import Note, find_encoding
from wellfit.errors import WellfitError

WESTERN = 'city,price\nKöln,"5 €"\nOrléans,“7”\n'


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "t.csv"


@pytest.mark.parametrize(
    ("encoding", "found"),
    [
        ("utf-8", "utf-8"),
        ("utf-8-sig", "utf-8-sig"),
        ("utf-16", "utf-16"),
        ("utf-16-le", "utf-16-le"),
        ("utf-16-be", "utf-16-be"),
        ("utf-32", "utf-32"),
        ("cp1252", "cp1252"),
    ],
)
def test_what_is_found_decodes_to_the_same_text(encoding: str, found: str, path: Path) -> None:
    text = WESTERN + "a,1\n" * 100
    path.write_bytes(text.encode(encoding))
    assert find_encoding(path, None).name == found
    assert path.read_bytes().decode(found) == text


def test_a_guess_is_told_with_its_line(path: Path) -> None:
    path.write_bytes(WESTERN.encode("cp1252"))
    text = "not UTF-8; read as Windows-1252 (data.encoding may say another)"
    assert find_encoding(path, None).note == Note(text, 2)
    path.write_bytes(WESTERN.encode())
    assert find_encoding(path, None).note is None


@pytest.mark.parametrize(
    ("text", "encoding"),
    [("дли,y\nжил,1\n", "cp1251"), ("都市,y\n東京,1\n", "shift_jis"), ("都市,y\n北京,1\n", "gb18030")],
)
def test_other_alphabets_are_asked_for(text: str, encoding: str, path: Path) -> None:
    path.write_bytes(text.encode(encoding))
    with pytest.raises(WellfitError, match=r"t\.csv line 1: not UTF-8; set data\.encoding to what it is, such as cp"):
        find_encoding(path, None)
    assert find_encoding(path, encoding).name == encoding
    path.write_bytes(text.encode())
    assert find_encoding(path, encoding).name == "utf-8"


@pytest.mark.parametrize(
    ("content", "otherwise", "fault"),
    [
        ("é,1\n".encode() * 20 + "ü,1\n".encode("latin-1"), None, r"line 21: not UTF-8, as the rest of the file is"),
        ("Köln,Zürich,Ålesund\n".encode("mac_roman"), None, r"line 1: not UTF-8; set data\.encoding to .* mac_roman"),
        (b"a,b\n1,\x00\n", None, r"line 2: has a NUL byte"),
        ("a,b\n".encode("utf-16") + b"\x00", None, r"not UTF-16, as which the file begins"),
        ("a\n東\n".encode("shift_jis"), "ascii", r"line 2: neither UTF-8 nor ascii, which is data\.encoding"),
    ],
)
def test_text_in_no_encoding_is_one_line(content: bytes, otherwise: str | None, fault: str, path: Path) -> None:
    path.write_bytes(content)
    with pytest.raises(WellfitError, match=rf"t\.csv.*{fault}"):
        find_encoding(path, otherwise)


def test_blocks_make_no_difference(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encodings, "BLOCK", 5)
    path.write_text("größe,ü\n" * 9 + '"', encoding="utf-8")
    assert find_encoding(path, None) == encodings.Encoding("utf-8", True, True)
    path.write_bytes(("a,b\n" * 9 + "ö\n").encode("latin-1"))
    note = find_encoding(path, None).note
    assert note is not None
    assert note.line == 10
