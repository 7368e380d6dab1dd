"""What all figures share: one style, one set of colours, how a value axis is scaled, and how a PNG is written.

Figures are made without pyplot, so they belong to no window and no global state. The colours are those of Okabe and
Ito (2008), which colour-blind people tell apart.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any, Literal

import matplotlib
import numpy as np
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from wellfit.files import write_bytes
from wellfit.interruptions import check

BLUE, ORANGE, GREEN, SKY, RED, PURPLE = "#0072B2", "#E69F00", "#009E73", "#56B4E9", "#D55E00", "#CC79A7"
BLACK, GREY, PALE = "#222222", "#8A8A8A", "#E8E8E8"

STYLE: dict[Any, Any] = {
    "figure.dpi": 120,
    "figure.constrained_layout.use": True,
    "figure.constrained_layout.w_pad": 0.1,
    "figure.constrained_layout.h_pad": 0.1,
    "savefig.dpi": "figure",
    "font.size": 10,
    "text.color": BLACK,
    "axes.labelcolor": BLACK,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "axes.titlepad": 10,
    "axes.edgecolor": GREY,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.prop_cycle": cycler(linestyle=["-", "--"]) * cycler(color=[BLUE, ORANGE, GREEN, RED, PURPLE, SKY, BLACK]),
    "grid.color": PALE,
    "xtick.color": GREY,
    "xtick.labelcolor": BLACK,
    "ytick.color": GREY,
    "ytick.labelcolor": BLACK,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "lines.linewidth": 1.8,
}

LOG_SPAN = 15.0  # positive values that span more than this factor go on a logarithmic axis


@contextmanager
def style() -> Iterator[None]:
    """The style, in place of whatever ``matplotlibrc`` the user has; a context and a decorator."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(STYLE)
        yield


def save(figure: Figure, path: Path) -> None:
    """Writes a PNG, as a whole or not at all; the same figure gives the same bytes.

    Args:
        figure: made under :func:`style`.
        path: the file to make or replace; the folder is made.

    Raises:
        OSError: the file cannot be written.
    """
    check()
    png = BytesIO()
    with style():
        figure.savefig(png, format="png", metadata={"Software": None})
    write_bytes(path, png.getvalue())


def spread_values(axes: Axes, values: Iterable[float]) -> None:
    """Makes the y axis logarithmic where the values, all positive, would crowd at one end of a linear one."""
    finite = np.array([value for value in values if np.isfinite(value)])
    if len(finite) and finite.min() > 0 and finite.max() > LOG_SPAN * finite.min():
        axes.set_yscale("log")
        _label_logarithm(axes.yaxis, finite.max() / finite.min())


def spread_keys(axes: Axes, values: Iterable[float], which: Literal["x", "y"] = "x") -> None:
    """Makes the x or y axis logarithmic, for values that are all positive."""
    axes.set(**{f"{which}scale": "log"})
    _label_logarithm(axes.xaxis if which == "x" else axes.yaxis, max(values) / min(values))


def _label_logarithm(axis: Axis, span: float) -> None:
    """Plain numbers in place of powers of ten, about as many as fit."""
    axis.set_major_locator(LogLocator(subs=(1, 3) if span < 300 else (1,)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def plain(text: str, length: int = 22) -> str:
    """A name from the user's data, shortened to a length that fits, and never read as mathematics.

    What the font of all figures has no glyph for becomes ``□``.
    """
    shown = shortened(text, length).replace("$", r"\$")
    return shown if shown.isascii() else "".join(each if ord(each) in _glyphs() else "□" for each in shown)


@cache
def _glyphs() -> frozenset[int]:
    """The characters of the font that comes with Matplotlib, which :func:`style` draws with."""
    return frozenset(get_font(findfont(FontProperties(family="DejaVu Sans"))).get_charmap())


def shortened(text: str, length: int = 22) -> str:
    """A text without its middle, where it is longer than what fits."""
    half = (length - 1) // 2
    return text if len(text) <= length else f"{text[:half]}…{text[-half:]}"


def panel_grid(figure: Figure, number: int, columns: int, *, sharex: bool = False, sharey: bool = False) -> list[Axes]:
    """So many panels, row by row; those at the foot have numbers below them though the last row has gaps."""
    panels: list[Axes] = list(
        figure.subplots(-(-number // columns), columns, sharex=sharex, sharey=sharey, squeeze=False).flat
    )
    for axes in panels[number:]:
        axes.set_visible(False)
    for axes in at_foot(panels[:number], columns):
        axes.tick_params(axis="x", labelbottom=True)
    return panels[:number]


def at_foot(panels: Sequence[Axes], columns: int) -> Sequence[Axes]:
    """The panels of the last row, and where that has gaps, of the row above it."""
    return panels[max(0, len(panels) - columns) // columns * columns :]
