"""Seals and manifests: what was written is taken, and nothing else."""

import json
from pathlib import Path

import pytest

from wellfit.errors import WellfitError
from wellfit.manifest import check_manifest, file_sha256, sealed, unsealed, write_manifest

CONTENT = {"b": [1.5, None, "µ"], "a": {"x": True}}


def test_what_is_sealed_comes_back() -> None:
    text = sealed(CONTENT)
    assert unsealed(text) == CONTENT
    assert text == sealed(dict(reversed(CONTENT.items())))
    assert list(json.loads(text)) == ["a", "b", "sha256"]


@pytest.mark.parametrize(
    "text",
    [
        sealed(CONTENT).replace("1.5", "1.25"),
        sealed(CONTENT).replace("1.5", "NaN"),
        sealed(CONTENT).replace(" ", ""),
        sealed(CONTENT)[:-9],
        json.dumps(CONTENT),
        "[]",
        "{",
        "",
        "[" * 100_000,
    ],
)
def test_what_was_not_sealed_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"sha256|line [19]|not JSON|too deep"):
        unsealed(text)


def test_files_are_checked_by_what_was_written(tmp_path: Path) -> None:
    assert not check_manifest(tmp_path, "train", ["a.csv"])
    for name in ("a.csv", "b.csv", "c.csv"):
        (tmp_path / name).write_text(name)
    with pytest.raises(WellfitError, match=r"manifest\.json not found, by which .*a\.csv is checked"):
        check_manifest(tmp_path, "train", ["a.csv"])
    write_manifest(tmp_path, ["a.csv", "b.csv"])
    first = (tmp_path / "manifest.json").read_bytes()
    assert check_manifest(tmp_path, "train", ["a.csv", "b.csv"])
    (tmp_path / "b.csv").write_text("changed")
    assert check_manifest(tmp_path, "train", ["a.csv"]), "what is not read is not checked"
    with pytest.raises(WellfitError, match=r"b\.csv is not what train wrote .*: run `dvc repro train`, or rest$"):
        check_manifest(tmp_path, "train", ["a.csv", "b.csv"], ", or rest")
    with pytest.raises(WellfitError, match=r"does not name c\.csv, so .* was written by another version of wellfit: "):
        check_manifest(tmp_path, "train", ["c.csv"])
    (tmp_path / "b.csv").write_text("b.csv")
    write_manifest(tmp_path, ["b.csv", "a.csv"])
    assert (tmp_path / "manifest.json").read_bytes() == first


def test_a_digest_is_of_the_bytes(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"abc")
    assert file_sha256(tmp_path / "file") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
