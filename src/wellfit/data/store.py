"""Processed data on disk: memory-mapped arrays and ``meta.json``.

A folder ``data/processed/<name>/`` holds ``x_<split>.npy``, ``y_<split>.npy`` and ``id_<split>.npy`` for each of train,
val and test, ``weight_<split>.npy`` where rows have weights, ``fold_train.npy`` where there are folds,
``x_unlabelled.npy`` and ``id_unlabelled.npy`` where images have no class, and ``meta.json``, which names every one of
them with its sha256. Whatever is read back is checked first.
"""

import hashlib
import json
import os
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Self, get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError, computed_field

from wellfit.data.target import TargetTransform
from wellfit.errors import WellfitError
from wellfit.files import write_text

Kind = Literal["images", "table"]
Task = Literal["classification", "regression"]
SplitName = Literal["train", "val", "test"]
LeakKind = Literal["alone", "date", "filled", "sum", "product", "difference", "ratio"]
SPLIT_NAMES: tuple[SplitName, ...] = get_args(SplitName)
FourDigits = Annotated[float, AfterValidator(lambda value: float(f"{value:.4g}"))]  # the same on all computers
META_FILE = "meta.json"
_ANEW = "`dvc repro --force preprocess` makes it anew"


class Split(NamedTuple):
    """The rows of one split, memory-mapped and read-only.

    Attributes:
        x: uint8 (n, channels, height, width) for images; float32 (n, columns) for tables: numbers in raw units, then
            the code of each category, -1 for one that is not told apart (see :attr:`Meta.columns`).
        y: int64 (n,) class indices, or float32 or float64 (n,) targets in their own unit.
        ids: (n,) int64 row numbers in the raw data, ascending; the publisher's test rows go on after the train rows. Or
            what the user's own data call their rows, int64, uint64 or text.
        weights: float32 (n,) how much each row counts, or None where all count alike.
        folds: int64 (n,) of training rows, the fold of a cross-validation that each validates, from 1, and -1 for none;
            fold 0 is the validation split. None where there are no folds, and of the other splits.
    """

    x: NDArray[Any]
    y: NDArray[Any]
    ids: NDArray[Any]
    weights: NDArray[np.float32] | None = None
    folds: NDArray[np.int64] | None = None


FILES = {"x": "x", "y": "y", "ids": "id", "weights": "weight", "folds": "fold"}  # how a file of a `Split` is called
OPTIONAL = ("weights", "folds")
UNLABELLED = ("x_unlabelled.npy", "id_unlabelled.npy")


class Column(BaseModel):
    """An input column of a table, as the training rows have it.

    Attributes:
        name: in the raw data.
        fill: the median of a column of numbers, which stands in for missing ones; None for categories.
        flags_missing: whether a column of its own, 1.0 or 0.0, says where a number is missing.
        categories: what is told apart in a column of categories, by code; empty for numbers.
    """

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    name: str
    fill: float | None
    flags_missing: bool
    categories: tuple[str, ...]


class Source(BaseModel):
    """A column of the user's table, and how inputs are made of it: of these rows, and of new ones alike.

    Attributes:
        name: in the file.
        kind: numbers and categories are inputs as they stand; numbers are made of dates and text.
        note: how its cells are read, where that is not as they stand; for people.
        gaps: numbers and dates: words that stand for missing values in this column, besides ``data.missing``.
        decimal: numbers: point or comma, where they are written in another way than computers write them.
        unit: numbers: what stands after each of them, such as %.
        currency: numbers: a sign that may stand before or after each of them.
        multiples: numbers: the table of `wellfit.data.readers.numerals` whose words, such as k, multiply them.
        words: categories: the spellings of 'no' and 'yes' that stand for all others, such as NO and y.
        formats: dates: of `pandas.to_datetime`, of which the first that fits a cell is taken.
        origin: dates: the first day of the training rows, from which days are counted.
        parts: dates: what is made of them, such as year.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    kind: Literal["numbers", "categories", "dates", "text"]
    note: str = ""
    gaps: tuple[str, ...] = ()
    decimal: Literal["point", "comma"] | None = None
    unit: str = ""
    currency: str = ""
    multiples: str = ""
    words: tuple[str, ...] = ()
    formats: tuple[str, ...] = ()
    origin: str = ""
    parts: tuple[str, ...] = ()


class Leak(BaseModel):
    """Columns that tell the target, and may not be known where predictions are wanted.

    Attributes:
        kind: a column alone, by what it holds (date: one of dates) or by whether it is filled; or a formula of several.
        columns: of the user's table.
        weights: sum: what each column is multiplied by; product: its power; else empty.
        score_name: of cross-fitted predictions of training rows, as in `wellfit.metrics.names`.
        score: its value.
    """

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    kind: LeakKind
    columns: tuple[str, ...]
    weights: tuple[FourDigits, ...] = ()
    score_name: Literal["balanced_accuracy", "r2"]
    score: FourDigits


class Unread(NamedTuple):
    """Cells of a column that are not as those of the training rows: how many, and the first one, or its number."""

    column: str
    cells: int
    example: str | float


class Meta(BaseModel):
    """What ``meta.json`` says of a processed data set. All statistics are of the train split alone.

    With folds, they are of the rows that the model of fold 0 is trained on, for the models of the other folds as well:
    one encoding for all. Those of the inputs know of no target; mean and deviation of the target are a unit.

    Attributes:
        name: of the data set, as in ``data.name``.
        kind: images or table.
        task: classification or regression.
        columns: of a table, numbers first, then categories; empty for images.
        sources: of the user's own table: the columns of the file that these are made of.
        left_out: of the user's own table: the columns that were left out, such as constant ones.
        class_names: by class index; empty for a regression.
        target_name: what y means.
        input_shape: of x without its row axis: (channels, height, width) or (features,).
        split_sizes: rows of each split.
        mean: per column of numbers in x, or per channel in raw pixel units.
        std: likewise (population, not sample); 1.0 where a column is constant, of a flag at least 0.1.
        quantiles: of each column of numbers, 257 from the smallest to the largest; empty for images.
        target_mean: of y, transformed where it is; None for classes.
        target_std: likewise, 1.0 where it is constant; None for classes.
        target_transform: of y before it is standardized; None for none.
        target_note: what ``data.target_transform`` came to; empty for none.
        class_counts: rows of each class; empty for a regression.
        warnings: what a user should know of this data, one sentence each.
        leakage: of the user's own table: what tells the target; its sentences stand among the warnings.
        settings: of the section ``data``, what the user's own data were prepared with; empty for data with a name.
        manifest: file name to sha256 of its bytes.
    """

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    name: str
    kind: Kind
    task: Task
    columns: tuple[Column, ...]
    class_names: tuple[str, ...]
    target_name: str
    input_shape: tuple[int, ...]
    split_sizes: dict[SplitName, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    quantiles: tuple[tuple[float, ...], ...] = ()
    target_mean: float | None
    target_std: float | None
    class_counts: tuple[int, ...]
    warnings: tuple[str, ...]
    leakage: tuple[Leak, ...] = ()
    target_transform: TargetTransform | None = None
    target_note: str = ""
    settings: dict[str, Any] = {}
    sources: tuple[Source, ...] = ()
    left_out: tuple[str, ...] = ()
    manifest: dict[str, str]

    @computed_field  # type: ignore[prop-decorator]
    @property
    def sha256(self) -> str:
        """One hash for the whole data set: of all that is said here, the manifest included."""
        return hashlib.sha256(_json(self.model_dump(exclude={"sha256"})).encode()).hexdigest()

    @property
    def title(self) -> str:
        """What people call the data: the name of the data set, or of their own file or folder."""
        return data_title(self.settings["path"]) if "path" in self.settings else self.name

    @property
    def inputs(self) -> tuple[Source, ...]:
        """The columns of a table from which the inputs are made, also of data that are known by name."""
        if self.sources:
            return self.sources
        kinds = {True: "categories", False: "numbers"}
        return tuple(Source.model_validate({"name": c.name, "kind": kinds[c.fill is None]}) for c in self.columns)

    @property
    def category_counts(self) -> tuple[int, ...]:
        """How many categories are told apart in each of the last columns of x; the first ones are numbers."""
        return tuple(len(column.categories) for column in self.columns if column.fill is None)

    def to_json(self) -> str:
        """The text of ``meta.json``: the same fields give the same bytes."""
        return _json(self.model_dump())

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The reverse of `to_json`.

        Raises:
            ValueError: the text is not, to the letter, what `to_json` wrote.
        """
        meta = cls.model_validate_json(text)
        if meta.to_json() != text:
            raise ValueError("its sha256 does not fit its content")
        return meta


def data_title(path: str) -> str:
    """What people call data: the name of their file or folder without its ending; of a pattern, that of its folder."""
    parts = [part for part in Path(path).parts if "*" not in part]
    return Path(*parts).stem or path


def load_meta(folder: Path) -> Meta:
    """Reads and checks ``meta.json``.

    Args:
        folder: of one processed data set, such as ``data/processed/digits``.

    Raises:
        WellfitError: the file is missing or was changed after it was written.
    """
    path = folder / META_FILE
    try:
        return Meta.from_json(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise WellfitError(
            f"{path} not found; `dvc repro preprocess` makes it once params.yaml says data.name {folder.name}"
        ) from None
    except ValidationError:
        raise WellfitError(f"{path} is damaged or of another version; {_ANEW}") from None
    except ValueError as error:
        raise WellfitError(f"{path} is damaged: {error}; {_ANEW}") from None


def load_split(folder: Path, meta: Meta, name: SplitName) -> Split:
    """Opens one split after checking its files against the manifest.

    Args:
        folder: the one that ``meta`` was loaded from.
        meta: what `load_meta` returned.
        name: train, val or test.

    Raises:
        WellfitError: a file is missing, or its sha256 is not the one of the manifest.
    """
    files = {field: file for field, file in _files(name).items() if field not in OPTIONAL or file in meta.manifest}
    for file in files.values():
        _check(folder / file, meta.manifest.get(file))
    arrays = {field: np.load(folder / file, mmap_mode="r", allow_pickle=False) for field, file in files.items()}
    return Split(**arrays)


def load_folds(folder: Path, meta: Meta) -> list[Split]:
    """The rows that models are validated with, by fold; without folds the validation split alone.

    Args:
        folder: the one that ``meta`` was loaded from.
        meta: what `load_meta` returned.

    Raises:
        WellfitError: a file is missing, or its sha256 is not the one of the manifest.
    """
    val = load_split(folder, meta, "val")
    if _files("train")["folds"] not in meta.manifest:
        return [val]
    train = load_split(folder, meta, "train")
    assert train.folds is not None
    weights = train.weights
    parts = [np.flatnonzero(train.folds == fold) for fold in range(1, int(train.folds.max()) + 1)]
    return [val] + [
        Split(train.x[rows], train.y[rows], train.ids[rows], None if weights is None else weights[rows])
        for rows in parts
    ]


def save_split(folder: Path, name: SplitName, split: Split) -> dict[str, str]:
    """Writes the files of a split into a folder and returns their part of the manifest."""
    arrays = split._asdict()
    files = {file: arrays[field] for field, file in _files(name).items() if arrays[field] is not None}
    return {file: save_array(folder / file, array) for file, array in files.items()}


def save_unlabelled(folder: Path, x: NDArray[np.uint8], ids: NDArray[np.str_]) -> dict[str, str]:
    """Writes images without a class into a folder and returns their part of the manifest."""
    arrays = dict(zip(UNLABELLED, (x, ids), strict=True))
    return {file: save_array(folder / file, array) for file, array in arrays.items()}


def load_unlabelled(folder: Path, meta: Meta) -> tuple[NDArray[np.uint8], NDArray[np.str_]] | None:
    """The images without a class and their ids, after checking their files; None where there are none.

    Args:
        folder: the one that ``meta`` was loaded from.
        meta: what `load_meta` returned.

    Raises:
        WellfitError: a file is missing, or its sha256 is not the one of the manifest.
    """
    if UNLABELLED[0] not in meta.manifest:
        return None
    for file in UNLABELLED:
        _check(folder / file, meta.manifest.get(file))
    x, ids = (np.load(folder / file, mmap_mode="r", allow_pickle=False) for file in UNLABELLED)
    return x, ids


def save_array(path: Path, array: NDArray[Any]) -> str:
    """Writes a ``.npy`` file, waits until the disk has it, and returns its sha256."""
    with path.open("wb") as stream:
        np.save(stream, array, allow_pickle=False)
        stream.flush()
        os.fsync(stream.fileno())
    return file_sha256(path)


def save_meta(folder: Path, meta: Meta) -> None:
    """Writes ``meta.json`` into a folder."""
    write_text(folder / META_FILE, meta.to_json())


def file_sha256(path: Path) -> str:
    """The sha256 of a file's bytes, in hexadecimal digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _files(name: SplitName) -> dict[str, str]:
    """The file of each field of a `Split`."""
    return {field: f"{file}_{name}.npy" for field, file in FILES.items()}


def _check(path: Path, expected: str | None) -> None:
    try:
        actual = file_sha256(path)
    except FileNotFoundError:
        raise WellfitError(f"{path} not found, though {META_FILE} names it; {_ANEW}") from None
    if actual != expected:
        raise WellfitError(f"{path} is not the file that {META_FILE} describes (its sha256 differs); {_ANEW}")


def _json(tree: dict[str, Any]) -> str:
    return json.dumps(tree, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
