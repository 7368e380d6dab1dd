"""Unpacks published files into verified raw files."""

import gzip
import hashlib
import os
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, cast

from wellfit.data.download import NotThereError, SourceError
from wellfit.data.raw import Package, RawFile

CHUNK = 1 << 16  # bytes
GZIP_MAGIC = b"\x1f\x8b"
DAMAGED = (gzip.BadGzipFile, tarfile.TarError, EOFError, zlib.error, ValueError, OverflowError)
ORDINARY_TYPES = (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.DIRTYPE)


def most_bytes(package: Package) -> int:
    """Upper limit of the size of a package: its content, and room for what gzip, tar and a readme add."""
    content = sum(file.size for file in package.files)
    return content + content // 100 + (4096 if package.container == "gzip" else 1 << 18)


def unpack(packed: Path, folder: Path, package: Package) -> None:
    """Writes the raw files of a package, verified.

    Some servers declare gzip as a transfer encoding, which is undone on the way; so a file that arrives without its
    container is verified as it is.

    Args:
        packed: the file as published.
        folder: where to write; exists.
        package: what must be in it.

    Raises:
        SourceError: the file is missing, cannot be read or unpacked, or holds something else.
    """
    try:
        source = packed.open("rb")
    except FileNotFoundError:
        raise NotThereError("not there") from None
    except OSError as error:
        raise SourceError(f"cannot be read: {error.strerror}", retry=False) from None
    with source:
        is_zipped = source.peek(len(GZIP_MAGIC)).startswith(GZIP_MAGIC) and package.container != "plain"
        stream = cast(IO[bytes], gzip.GzipFile(fileobj=source)) if is_zipped else source
        if package.container == "tar":
            _unpack_members(stream, folder, package)
        else:
            with _damage_as_source_error():
                _write(stream, folder, package.files[0])


class _Bounded:
    """A stream that raises beyond its limit, as a guard against archive bombs."""

    def __init__(self, stream: IO[bytes], limit: int) -> None:
        self.stream, self.left, self.limit = stream, limit, limit

    def read(self, size: int) -> bytes:
        data = self.stream.read(min(size, self.left + 1))
        self.left -= len(data)
        if self.left < 0:
            raise SourceError(f"wrong content: more than {self.limit} bytes unpacked", retry=True)
        return data


def _unpack_members(stream: IO[bytes], folder: Path, package: Package) -> None:
    """Reads an archive from front to end and writes the wanted members only.

    `tarfile` writes nothing here: no name, type, mode or owner of a member reaches the disk.
    """
    wanted = {f"{package.folder}/{file.name}": file for file in package.files}
    bounded = cast(IO[bytes], _Bounded(stream, most_bytes(package)))
    with _damage_as_source_error(), tarfile.open(fileobj=bounded, mode="r|", errorlevel=2) as archive:
        for member in archive:
            _refuse_strange(member)
            if file := wanted.pop(member.name, None):
                content = archive.extractfile(member)
                if content is None or member.issparse():
                    raise SourceError(f"wrong content: {file.name} is no regular file in it", retry=True)
                _write(content, folder, file)
    if wanted:
        raise SourceError(f"wrong content: no {next(iter(wanted))} in it", retry=True)


def _refuse_strange(member: tarfile.TarInfo) -> None:
    path = PurePosixPath(member.name)
    if path.is_absolute() or ".." in path.parts or member.type not in ORDINARY_TYPES:
        raise SourceError(f"wrong content: {member.name!r} in it is no file or folder below it", retry=True)


def _write(source: IO[bytes], folder: Path, file: RawFile) -> None:
    """Copies at most one byte more than the size, as a guard against gzip bombs, and verifies."""
    digest, size, part = hashlib.sha256(), 0, folder / f".{file.name}.part"
    try:
        with part.open("wb") as out:
            while chunk := source.read(min(CHUNK, file.size + 1 - size)):
                out.write(chunk)
                digest.update(chunk)
                size += len(chunk)
            out.flush()
            os.fsync(out.fileno())
        if size != file.size:
            raise SourceError(f"wrong content: {size} bytes unpacked, not {file.size}", retry=True)
        if digest.hexdigest() != file.sha256:
            reason = f"wrong content: sha256 {digest.hexdigest()[:12]}..., not {file.sha256[:12]}..."
            raise SourceError(reason, retry=True)
        part.replace(folder / file.name)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def _damage_as_source_error() -> Iterator[None]:
    try:
        yield
    except DAMAGED as error:
        raise SourceError(f"damaged: {error}", retry=True) from None
