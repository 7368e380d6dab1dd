"""Opens a file, packed or not, as a stream of bytes; what it is follows from its first bytes, not from its name."""

from __future__ import annotations

import re
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from wellfit.errors import WellfitError

if TYPE_CHECKING:
    import pyarrow as pa

LONGEST_MAGIC = 40  # bytes that tell the format
PACKED = {b"\x1f\x8b": "gzip", b"BZh": "bz2", b"\x28\xb5\x2f\xfd": "zstd"}
ZIP = b"PK\x03\x04"
# What the file is, and what to do with it.
OTHER_FORMATS = {
    b"PAR1": "a Parquet file: set data.name to parquet",
    b"\xd0\xcf\x11\xe0": "an old Excel file: save it as CSV UTF-8",
    b"ARROW1": "a Feather file: save it as Parquet",
    b"ORC": "an ORC file: save it as Parquet",
    b"\x89HDF": "an HDF5 file: save the table as Parquet or CSV",
    b"SQLite format 3": "an SQLite database: export the table as CSV",
    b"\x93NUMPY": "a NumPy array: save it as CSV, with a header",
    b"\xfd7zXZ": "packed with xz: unpack it, or pack it with gzip or zstd",
    b"7z\xbc\xaf": "packed with 7-Zip: unpack it, or pack it with gzip or zstd",
    b"Rar!": "packed with RAR: unpack it, or pack it with gzip or zstd",
    b"\x89PNG": "an image: set data.name to images, and data.path to the folder",
    b"\xff\xd8\xff": "an image: set data.name to images, and data.path to the folder",
    b"%PDF": "a PDF document: save its table as CSV",
    b"\x80\x04": "a pickle, which is never read: save it as Parquet or CSV",
    b"\x80\x05": "a pickle, which is never read: save it as Parquet or CSV",
    b"{\\rtf": "a text document: save its table as CSV",
    b"version https://git-lfs": "a pointer of Git LFS: `git lfs pull` gets the file",
}
OTHER_TEXTS = {
    rb"\{\s*[\"}]|\[\s*[\[{]": "a JSON file: save it as CSV (`pandas.read_json`, then `to_csv`)",
    rb"(?i)<(!doctype|html|head|body|\?xml)": "a web page or XML, not a table: download the file itself",
    rb"(?i)@relation\b": "an ARFF file: save it as CSV",
}


@contextmanager
def open_bytes(path: Path) -> Iterator[pa.NativeFile]:
    """Gives the content of a file, unpacked from gzip, bz2, zstd, or a zip archive of one file.

    Raises:
        WellfitError: it is packed otherwise, of another format than CSV, damaged, or too large.
    """
    import pyarrow as pa

    with path.open("rb") as file:
        begin = file.read(LONGEST_MAGIC)
    kind = next((kind for magic, kind in PACKED.items() if begin.startswith(magic)), None)
    try:
        if begin.startswith(ZIP):
            with zipfile.ZipFile(path) as archive, archive.open(_only_member(archive, path)) as member:
                yield pa.PythonFile(member, "r")
        elif kind:
            with pa.OSFile(str(path)) as file, pa.CompressedInputStream(file, kind) as stream:
                yield stream
        else:
            _refuse_other_formats(path, begin)
            with pa.OSFile(str(path)) as file:
                yield file
    except MemoryError:
        raise WellfitError(f"{path}, unpacked, does not fit into memory: give the rows in fewer bytes") from None
    except (OSError, EOFError, zipfile.BadZipFile, zlib.error, RuntimeError) as error:
        packing = kind or ("zip" if begin.startswith(ZIP) else "")
        raise WellfitError(f"{path} is not a whole {packing} file: {' '.join(str(error).split())[:200]}") from None


def _refuse_other_formats(path: Path, begin: bytes) -> None:
    text = begin.removeprefix(b"\xef\xbb\xbf").lstrip()
    kind = next((what for magic, what in OTHER_FORMATS.items() if begin.startswith(magic)), None)
    kind = kind or next((what for pattern, what in OTHER_TEXTS.items() if re.match(pattern, text)), None)
    if kind:
        raise WellfitError(f"{path} is {kind}")


def _only_member(archive: zipfile.ZipFile, path: Path) -> zipfile.ZipInfo:
    members = [each for each in archive.infolist() if not each.is_dir()]
    names = [each.filename for each in members]
    if "[Content_Types].xml" in names:
        raise WellfitError(f"{path} is an Excel file: save its sheet as CSV UTF-8")
    if "mimetype" in names:
        raise WellfitError(f"{path} is a spreadsheet: save its sheet as CSV in UTF-8")
    # A Mac adds hidden files of its own.
    tables = [each for each in members if not Path(each.filename).name.startswith(".")]
    if len(tables) != 1:
        listed = ", ".join(each.filename for each in tables[:5]) or "none"
        raise WellfitError(f"{path} must hold one file, but holds {len(tables)} ({listed}); unpack the one to read")
    return tables[0]
