"""A data set before it is split: how its raw files are obtained and read, and what they hold."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from wellfit.data.meta import Kind, Source, SplitName, Task
from wellfit.errors import WellfitError
from wellfit.manifest import file_sha256

if TYPE_CHECKING:
    from wellfit.data.frame import Frame
    from wellfit.data.settings import DataConfig

FETCH_AGAIN = "`dvc repro --force fetch` gets it anew"


class RawFile(NamedTuple):
    """A file in ``data/raw/<data set>/``: unpacked, since containers differ from mirror to mirror.

    Attributes:
        name: without a folder.
        size: bytes.
        sha256: of the content, in hexadecimal digits.
    """

    name: str
    size: int
    sha256: str


class Package(NamedTuple):
    """What is downloaded at once: one raw file, packed or not, or an archive with one or more in it.

    Attributes:
        name: of the published file, which is also its name in a mirror and in the cache.
        container: how the raw files stand in it: as they are, packed with gzip, or as members of a tar archive (which
            may itself be packed with gzip).
        files: the raw files in it.
        addresses: where its publishers have it, asked in turn.
        folder: of the members in a tar archive.
    """

    name: str
    container: Literal["plain", "gzip", "tar"]
    files: tuple[RawFile, ...]
    addresses: tuple[str, ...] = ()
    folder: str = ""


class FileRows(NamedTuple):
    """Where the rows of a file begin.

    Attributes:
        path: of the file.
        first_row: number of its first row, as people count.
        start: index of that row in the table, which may have rows of several files.
    """

    path: Path
    first_row: int
    start: int = 0


def row_in_file(files: Sequence[FileRows], index: int) -> str:
    """Where the row of an index is, for messages.

    Args:
        files: by ``start``; at least one.
        index: of the row in the table.
    """
    file = next(file for file in reversed(files) if file.start <= index)
    return f"{file.path} row {file.first_row + int(index) - file.start}"


class Unlabelled(NamedTuple):
    """Images without a class, which are predicted and not scored.

    Attributes:
        x: uint8 (m, channels, height, width).
        ids: (m,) paths, as text.
    """

    x: NDArray[np.uint8]
    ids: NDArray[np.str_]


class RawData(NamedTuple):
    """A whole data set, n rows.

    Attributes:
        x: uint8 (n, channels, height, width) images; or a table of n rows, whose columns are float64 numbers (NaN where
            missing) or categoricals of texts (none where missing). Either may be on disk.
        y: int64 (n,) class indices, or float32 or float64 (n,) targets.
        class_names: by class index; empty for a regression.
        target_name: what y means.
        splits: (n,) the split of each row, where the publisher or the user's folders give one, else None.
        ids: (n,) identifier of each row, int64, uint64 or text; None: its number.
        weights: float32 (n,) not negative; None: all rows have weight 1.
        groups: int64 (n,) rows of one group stay in one split; None: no groups.
        times: float64 (n,) time of each row; None: no times.
        warnings: what the user should know, one sentence each.
        sources: of the user's own table: its columns, each of which is one of x. Dates and text, of which numbers are
            yet to be made, are categoricals.
        left_out: columns of the user's own table that are not among them and could be, such as constant ones.
        files: of the user's own table.
        unlabelled: of the user's own images, those without a class, where there are some.
        bad_files: of the user's own images, what cannot be read and is left out: its name, and what is wrong with it.
    """

    x: NDArray[Any] | Frame
    y: NDArray[Any]
    class_names: tuple[str, ...]
    target_name: str
    splits: NDArray[np.str_] | None = None
    ids: NDArray[Any] | None = None
    weights: NDArray[np.float32] | None = None
    groups: NDArray[np.int64] | None = None
    times: NDArray[np.float64] | None = None
    warnings: tuple[str, ...] = ()
    sources: tuple[Source, ...] = ()
    left_out: tuple[str, ...] = ()
    files: tuple[FileRows, ...] = ()
    unlabelled: Unlabelled | None = None
    bad_files: tuple[tuple[str, str], ...] = ()


class Arrays(NamedTuple):
    """A data set that scikit-learn ships or generates, in memory.

    Attributes:
        x: uint8 (n, 1, 8, 8) images, or float64 (n, features).
        y: int64 (n,) class indices, or float64 (n,) targets.
        feature_names: one per column; empty for images.
        class_names: by class index; empty for a regression.
    """

    x: NDArray[Any]
    y: NDArray[Any]
    feature_names: list[str]
    class_names: list[str]


class Entry(NamedTuple):
    """All that is known of a data set before it is fetched. It has exactly one of packages, load and describe.

    Attributes:
        kind: images or table.
        task: classification or regression; None where the data themselves must tell.
        target_name: what is to be predicted.
        source: who made the data, and where they are described.
        licence: under which it may be used.
        read: makes a `RawData` of the entry, the folder of its raw files, and the section ``data``.
        class_names: by class index, where the data themselves do not say them.
        binary_class_names: of the lower and the upper half of the classes, where ``data.task`` may be binary.
        packages: what is downloaded.
        load: gives what scikit-learn ships or generates.
        describe: checks that the user's own data are at ``data.path``, and says what ``source.json`` keeps of them.
    """

    kind: Kind
    task: Task | None
    target_name: str
    source: str
    licence: str
    read: Callable[[Entry, Path, DataConfig], RawData]
    class_names: tuple[str, ...] = ()
    binary_class_names: tuple[str, ...] = ()
    packages: tuple[Package, ...] = ()
    load: Callable[[DataConfig], Arrays] | None = None
    describe: Callable[[DataConfig], dict[str, Any]] | None = None

    @property
    def files(self) -> tuple[RawFile, ...]:
        """The raw files that are downloaded, in the order of the packages."""
        return tuple(file for package in self.packages for file in package.files)

    @property
    def is_own(self) -> bool:
        """Whether these are the user's own data, at ``data.path``."""
        return self.describe is not None

    @property
    def is_own_table(self) -> bool:
        """Whether the user names the columns."""
        return self.is_own and self.kind == "table"


def published_splits(train: int, test: int) -> NDArray[np.str_]:
    """The ``splits`` of data whose publisher's test rows follow the train rows."""
    names: tuple[SplitName, SplitName] = ("train", "test")
    return np.repeat(names, [train, test])


def verify(path: Path, sha256: str) -> None:
    """Checks the content of a raw file.

    Raises:
        WellfitError: the file is missing, or has another content.
    """
    try:
        intact = file_sha256(path) == sha256
    except (FileNotFoundError, NotADirectoryError):
        raise WellfitError(f"{path} not found; `dvc repro fetch` makes it") from None
    if not intact:
        raise WellfitError(f"{path} is damaged (its digest is not the one it was fetched with); {FETCH_AGAIN}")


def class_indices(y: NDArray[Any], class_names: tuple[str, ...], folder: Path) -> NDArray[np.int64]:
    """Raw labels as int64, each of which has a name.

    Raises:
        WellfitError: a label has none; the message names the folder and the row.
    """
    wrong = np.flatnonzero((y < 0) | (y >= len(class_names)))
    if wrong.size:
        raise WellfitError(
            f"{folder} row {wrong[0]}: class must be 0 to {len(class_names) - 1}, got {y[wrong[0]]}; {FETCH_AGAIN}"
        )
    return y.astype(np.int64)
