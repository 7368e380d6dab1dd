import gzip
import hashlib
import io
import random
import tarfile
import time
import tracemalloc
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from wellfit.data.download import SourceError
from wellfit.data.raw import Package, RawFile
from wellfit.data.unpack import most_bytes, unpack

BODY = bytes(range(256)) * 40
FILE = RawFile("file", len(BODY), hashlib.sha256(BODY).hexdigest())
PACKAGE = Package("file.gz", "gzip", (FILE,))

MEMBERS = {"first": b"one" * 1000, "second": b"two" * 999}
ARCHIVE = Package(
    "all.tar.gz",
    "tar",
    tuple(RawFile(name, len(body), hashlib.sha256(body).hexdigest()) for name, body in MEMBERS.items()),
    folder="inside",
)


def test_unpack_gives_the_content(tmp_path: Path) -> None:
    (tmp_path / "file.gz").write_bytes(gzip.compress(BODY))
    unpack(tmp_path / "file.gz", tmp_path, PACKAGE)
    assert (tmp_path / "file").read_bytes() == BODY


def test_a_gzip_bomb_stops_one_byte_beyond_the_expected_size(tmp_path: Path) -> None:
    (tmp_path / "file.gz").write_bytes(gzip.compress(bytes(200_000_000), compresslevel=1))
    tracemalloc.start()
    start = time.monotonic()
    with pytest.raises(SourceError, match=f"{len(BODY) + 1} bytes unpacked, not {len(BODY)}"):
        unpack(tmp_path / "file.gz", tmp_path, PACKAGE)
    assert time.monotonic() - start < 1
    assert tracemalloc.get_traced_memory()[1] < 5_000_000
    tracemalloc.stop()
    assert [path.name for path in tmp_path.iterdir()] == ["file.gz"]


def test_unpack_from_a_place_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="not there") as missing:
        unpack(tmp_path / "file.gz", tmp_path, PACKAGE)
    with pytest.raises(SourceError, match="cannot be read: Is a directory") as folder:
        unpack(tmp_path, tmp_path, PACKAGE)
    assert not missing.value.retry
    assert not folder.value.retry


@pytest.mark.parametrize("place", ["header", "middle", "checksum"])
def test_every_bit_of_a_container_counts_or_is_without_meaning(place: str, tmp_path: Path) -> None:
    whole = gzip.compress(BODY, mtime=0)
    start = {"header": 0, "middle": len(whole) // 2, "checksum": len(whole) - 8}[place]
    for position in range(start, start + 8):
        for bit in range(8):
            damaged = bytearray(whole)
            damaged[position] ^= 1 << bit
            (tmp_path / "file.gz").write_bytes(damaged)
            with suppress(SourceError):
                unpack(tmp_path / "file.gz", tmp_path, PACKAGE)
                assert (tmp_path / "file").read_bytes() == BODY


@pytest.mark.parametrize("container", ["plain", "gzip"])
def test_a_file_without_a_container_is_verified_as_it_is(container: str, tmp_path: Path) -> None:
    (tmp_path / "packed").write_bytes(BODY)
    unpack(tmp_path / "packed", tmp_path, Package("file", container, (FILE,)))  # type: ignore[arg-type]
    assert (tmp_path / "file").read_bytes() == BODY


def test_a_plain_file_is_left_as_it_is_though_it_looks_packed(tmp_path: Path) -> None:
    body = gzip.compress(b"x")
    (tmp_path / "packed").write_bytes(body)
    file = RawFile("file", len(body), hashlib.sha256(body).hexdigest())
    unpack(tmp_path / "packed", tmp_path, Package("file", "plain", (file,)))
    assert (tmp_path / "file").read_bytes() == body


Member = tuple[str, bytes, bytes]  # name, content, type


def members(**changes: bytes) -> list[Member]:
    return [(f"inside/{name}", body, tarfile.REGTYPE) for name, body in {**MEMBERS, **changes}.items()]


def tar(entries: list[Member], mode: str = "w:gz") -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode=mode) as archive:  # type: ignore[call-overload]
        for name, body, kind in entries:
            info = tarfile.TarInfo(name)
            info.type, info.size, info.linkname = kind, len(body) if kind == tarfile.REGTYPE else 0, "inside/first"
            archive.addfile(info, io.BytesIO(body))
    return stream.getvalue()


@pytest.fixture
def extract(tmp_path: Path) -> Callable[[bytes], dict[str, bytes]]:
    """Unpacks an archive into a folder and says what then stands there; nothing may stand anywhere else."""

    def run(packed: bytes, package: Package = ARCHIVE) -> dict[str, bytes]:
        source, folder = tmp_path / "all.tar.gz", tmp_path / "a" / "folder"
        source.write_bytes(packed)
        folder.mkdir(parents=True, exist_ok=True)
        try:
            unpack(source, folder, package)
        finally:
            files = {path for path in tmp_path.rglob("*") if not path.is_dir()} - {source}
            assert all(path.parent == folder and path.read_bytes() == MEMBERS[path.name] for path in files)
        return {path.name: path.read_bytes() for path in folder.iterdir()}

    return run


def test_the_wanted_members_and_no_others(extract: Callable[..., dict[str, bytes]]) -> None:
    others = [("inside", b"", tarfile.DIRTYPE), ("inside/readme", b"hi", tarfile.REGTYPE), ("first", b"", b"0")]
    assert extract(tar([*others, *members()])) == MEMBERS


@pytest.mark.parametrize("mode", ["w", "w:gz"])
@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_every_common_form_of_archive(
    mode: str, form: int, monkeypatch: pytest.MonkeyPatch, extract: Callable[..., dict[str, bytes]]
) -> None:
    monkeypatch.setattr(tarfile.TarFile, "format", form)
    assert extract(tar(members(), mode)) == MEMBERS


def test_the_first_member_of_a_name_counts(extract: Callable[..., dict[str, bytes]]) -> None:
    assert extract(tar([*members(), *members(first=b"another")])) == MEMBERS


def test_the_order_of_the_members_does_not_matter(extract: Callable[..., dict[str, bytes]]) -> None:
    assert extract(tar(members()[::-1])) == MEMBERS


@pytest.mark.parametrize(
    ("extra", "fault"),
    [
        (("../first", b"x", tarfile.REGTYPE), "'../first' in it is no file or folder below it"),
        (("inside/../../x", b"x", tarfile.REGTYPE), "is no file or folder below it"),
        (("/tmp/x", b"x", tarfile.REGTYPE), "'/tmp/x' in it is no file or folder below it"),
        (("inside/third", b"", tarfile.SYMTYPE), "'inside/third' in it is no file or folder below it"),
        (("inside/third", b"", tarfile.LNKTYPE), "is no file or folder below it"),
        (("inside/third", b"", tarfile.CHRTYPE), "is no file or folder below it"),
        (("inside/third", b"", tarfile.BLKTYPE), "is no file or folder below it"),
        (("inside/third", b"", tarfile.FIFOTYPE), "is no file or folder below it"),
        (("inside/third", b"", tarfile.CONTTYPE), "is no file or folder below it"),
        (("inside/third", b"", b"Z"), "is no file or folder below it"),
    ],
)
def test_an_archive_with_anything_strange_in_it_is_refused(
    extra: Member, fault: str, extract: Callable[..., dict[str, bytes]]
) -> None:
    with pytest.raises(SourceError, match=fault) as raised:
        extract(tar([extra, *members()]))
    assert raised.value.retry
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE])
def test_a_wanted_member_that_is_no_file(kind: bytes, extract: Callable[..., dict[str, bytes]]) -> None:
    with pytest.raises(SourceError, match=r"wrong content: .*first.* in it"):
        extract(tar([("inside/first", b"", kind), *members()[1:]]))


@pytest.mark.parametrize(
    ("entries", "fault"),
    [
        (members()[1:], "no inside/first in it"),
        ([], "no inside/first in it"),
        ([("other/first", MEMBERS["first"], b"0"), *members()[1:]], "no inside/first in it"),
        ([("./inside/first", MEMBERS["first"], b"0"), *members()[1:]], "no inside/first in it"),
        (members(first=b""), "0 bytes unpacked, not 3000"),
        (members(first=b"one" * 999), "2997 bytes unpacked, not 3000"),
        (members(first=b"one" * 1001), "3001 bytes unpacked, not 3000"),
        (members(first=b"ONE" * 1000), "sha256 [0-9a-f]{12}..., not "),
        ([("inside/zeros", bytes(300_000), b"0"), *members()], "more than 268200 bytes unpacked"),
    ],
)
def test_wrong_members(entries: list[Member], fault: str, extract: Callable[..., dict[str, bytes]]) -> None:
    with pytest.raises(SourceError, match=fault) as raised:
        extract(tar(entries))
    assert raised.value.retry


def test_an_archive_that_is_a_bomb_stops_early(extract: Callable[..., dict[str, bytes]]) -> None:
    packed = tar([("inside/zeros", bytes(200_000_000), b"0"), *members()])
    tracemalloc.start()
    start = time.monotonic()
    with pytest.raises(SourceError, match="more than"):
        extract(packed)
    assert time.monotonic() - start < 1
    assert tracemalloc.get_traced_memory()[1] < 5_000_000
    tracemalloc.stop()


def test_every_cut_and_flipped_byte_is_one_line_or_without_meaning(extract: Callable[..., dict[str, bytes]]) -> None:
    rng = random.Random(0)
    for whole in (tar(members()), tar(members(), "w")):
        for position in rng.choices(range(len(whole)), k=150):
            damaged = bytearray(whole)
            damaged[position] ^= 1 << rng.randrange(8)
            for body in (whole[:position], bytes(damaged)):
                with suppress(SourceError):
                    assert extract(body) == MEMBERS


@pytest.mark.parametrize(
    "body", [b"", b"no archive", bytes(20_000), gzip.compress(b"no archive", mtime=0), b"\x1f\x8bnonsense"]
)
def test_what_is_no_archive(body: bytes, extract: Callable[..., dict[str, bytes]]) -> None:
    with pytest.raises(SourceError, match=r"damaged|no inside/first in it"):
        extract(body)


def test_the_bound_is_above_what_containers_add() -> None:
    body = random.Random(0).randbytes(1_000_000)
    package = Package("x", "gzip", (RawFile("x", len(body), ""),))
    assert len(gzip.compress(body)) < most_bytes(package) < 1.02 * len(body)
    archive = Package("x", "tar", (RawFile("x", len(body), ""),))
    assert len(tar([("inside/x", body, b"0")])) < most_bytes(archive) < 1.3 * len(body)
