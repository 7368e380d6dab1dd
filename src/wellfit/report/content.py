"""What a section of the page is made of: charts, tables, pictures, and how numbers are written."""

import base64
import io
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from wellfit.charts.style import WIDTH
from wellfit.metrics.names import is_share

MISSING = "–"
LARGEST = 96  # pixels of the longer side of an image: a larger one is made smaller


class Share(float):
    """A number from 0 to 1 that a table has in percent."""


class Raw(float):
    """A number of the user's data: it may be a year or a code, so that commas between thousands would mislead."""


class Table(NamedTuple):
    """A table of numbers and words; the first cell of a row is its heading.

    Attributes:
        caption: what it shows.
        header: one name for each column.
        rows: cells, which :func:`cell` writes.
    """

    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[Any]]


class Chart(NamedTuple):
    """A figure with its title, what is to be seen in it, and the numbers behind it.

    Attributes:
        title: a few words.
        says: what is to be seen, in a sentence or two: it stands in for the figure where it cannot be seen.
        figure: made under :func:`wellfit.charts.style.style`.
        table: the numbers, where they are not too many.
    """

    title: str
    says: str
    figure: Figure
    table: Table | None = None

    @property
    def least(self) -> int:
        """Width in pixels below which the figure is moved sideways rather than made smaller; 0 for a narrow one."""
        width = float(self.figure.get_figwidth())
        return int(0.85 * 72 * width) if width > WIDTH else 0


class Picture(NamedTuple):
    """An image of the data set.

    Attributes:
        source: a ``data:`` address.
        alt: what it is, for who does not see it.
        caption: the words below it.
    """

    source: str
    alt: str
    caption: str


def number(value: float | None) -> str:
    """A number to four digits, with commas between thousands."""
    if value is None or not math.isfinite(value):
        return MISSING
    if value and not 1e-4 <= abs(value) < 1e7:
        return _minus(f"{value:.4g}")
    return _minus(f"{value:,.0f}" if len(f"{abs(value):.0f}") >= 4 else f"{value:.4g}")


def _minus(text: str) -> str:
    """A number with the sign that a negative one has in print; none before zero."""
    if not text.startswith("-"):
        return text
    return f"\N{MINUS SIGN}{text[1:]}" if text.strip("-0.,") else text[1:]


def in_print(text: str) -> str:
    """A sentence with the sign that negative numbers have in print."""
    return re.sub(r"-(?=\d)", "\N{MINUS SIGN}", text)


def score(name: str, value: float | None) -> str:
    """The value of a score, with or without its split: in percent where it is a share."""
    return percent(value) if value is not None and math.isfinite(value) and is_share(name) else number(value)


def score_cell(name: str, value: float | None) -> float | None:
    """The value of a score as a table has it."""
    return Share(value) if value is not None and is_share(name) else value


def scores(name: str, values: Sequence[float | None]) -> list[str]:
    """Values of a score that stand beside each other, such as the ends of its interval: all with the same decimals."""
    finite = [None if value is None or not math.isfinite(value) else value for value in values]
    known = [value for value in finite if value is not None]
    if is_share(name):
        decimals = max(map(_percent_decimals, known), default=1)
        return [MISSING if value is None else percent(value, decimals) for value in finite]
    largest = max(map(abs, known), default=0.0)
    if not 1e-4 <= largest < 1e7:
        return [number(value) for value in finite]
    decimals = max(0, 3 - math.floor(math.log10(largest)))
    return [MISSING if value is None else _minus(f"{round(value, decimals) + 0.0:,.{decimals}f}") for value in finite]


def with_interval(found: Mapping[str, float | None], name: str) -> tuple[str, str]:
    """A score and its interval, from ``NAME``, ``NAME_low`` and ``NAME_high``."""
    value, low, high = scores(name, [found[f"{name}{end}"] for end in ("", "_low", "_high")])
    return value, MISSING if MISSING in (low, high) else f"{low} to {high}"


def cell(value: Any) -> str:
    """A cell of a table: numbers to four digits, whole ones with all of theirs, nothing as a dash."""
    if value is None or value == "":
        return MISSING
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, int | np.integer):
        return _minus(f"{value:,}")
    if isinstance(value, Share):
        return percent(value) if math.isfinite(value) else MISSING
    if isinstance(value, Raw):
        return number(value).replace(",", "")
    if isinstance(value, float | np.floating):
        return number(float(value))
    return str(value)


def raw(value: Any) -> Any:
    """A cell of the user's data for a table: `Raw` where it is a number."""
    return Raw(value) if isinstance(value, float) else value


def is_number(value: Any) -> bool:
    """Whether a cell is set flush right."""
    return isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)


def percent(share: float, decimals: int | None = None) -> str:
    """A share in percent; with more digits near 0 and 100 %, unless it is said how many."""
    text = f"{100 * share:.{_percent_decimals(share) if decimals is None else decimals}f}"
    return f"{_minus(text)}\N{NO-BREAK SPACE}%"


def _percent_decimals(share: float) -> int:
    return 1 if 0.001 <= abs(share) <= 0.999 or share in (0, 1) else 2


def rows_in_words(count: int) -> str:
    """A number of rows, such as ``1 row``."""
    return f"{count:,} row{'' if count == 1 else 's'}"


def png(image: NDArray[Any]) -> str:
    """An image as a ``data:`` address.

    Args:
        image: uint8 (C, H, W): red, green and blue where C is 3, else its first channel in grey.
    """
    from PIL import Image

    picture = Image.fromarray(image.transpose(1, 2, 0) if len(image) == 3 else image[0])
    picture.thumbnail((LARGEST, LARGEST))
    stream = io.BytesIO()
    picture.save(stream, format="PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode()
