"""What ``meta.json`` says of a processed data set: its columns, splits, statistics and warnings."""

import hashlib
import json
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Self, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError, computed_field

from wellfit.data.target import TargetTransform
from wellfit.files import from_json
from wellfit.manifest import OTHER_VERSION

# Of images, features are what a frozen network puts out, maps what its frozen stages do.
Kind = Literal["images", "table", "features", "maps"]
HEAVY: tuple[Kind, ...] = ("images", "maps")  # whose networks take long
Task = Literal["classification", "regression"]
SplitName = Literal["train", "val", "test"]
LeakKind = Literal["alone", "date", "filled", "sum", "product", "difference", "ratio"]
SPLIT_NAMES: tuple[SplitName, ...] = get_args(SplitName)
FourDigits = Annotated[float, AfterValidator(lambda value: float(f"{value:.4g}"))]  # the same on all computers


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
        kind: images or table; features or maps of images.
        task: classification or regression.
        columns: of a table, numbers first, then categories; empty for images.
        sources: of the user's own table: the columns of the file that these are made of.
        left_out: of the user's own table: the columns that were left out, such as constant ones.
        class_names: by class index; empty for a regression.
        target_name: what y means.
        input_shape: of x without its row axis: (channels, height, width) or (features,); of maps what the network has.
        split_sizes: rows of each split.
        mean: per column of numbers in x, or per channel in raw pixel units; empty for features and maps.
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
            ValueError: the text is not, to the letter, what `to_json` wrote; it says whether another version did.
        """
        with suppress(ValidationError):
            meta = cls.model_validate_json(text)
            if meta.to_json() == text:
                return meta
        said = from_json(text)
        sha256 = said.pop("sha256", None) if isinstance(said, dict) else None
        if sha256 and hashlib.sha256(_json(said).encode()).hexdigest() == sha256:
            raise ValueError(OTHER_VERSION)
        raise ValueError("its sha256 does not fit its content")


def data_title(path: str) -> str:
    """What people call data: the name of their file or folder without its ending; of a pattern, that of its folder."""
    parts = [part for part in Path(path).parts if "*" not in part]
    return Path(*parts).stem or path


def _json(tree: dict[str, Any]) -> str:
    return json.dumps(tree, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
