"""What all figures share: one style, one set of colours, how a value axis is scaled, and how PNG and SVG are written.

Figures are made without pyplot, so they belong to no window and no global state. The colours are those of Okabe and
Ito (2008), which colour-blind people tell apart.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any, Literal
from xml.etree import ElementTree

import matplotlib
import numpy as np
from cycler import cycler
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from wellfit.files import write_bytes
from wellfit.interruptions import check

BLUE, ORANGE, GREEN, SKY, RED, PURPLE = "#0072B2", "#E69F00", "#009E73", "#56B4E9", "#D55E00", "#CC79A7"
BLACK, GREY, PALE, WHITE = "#222222", "#8A8A8A", "#E8E8E8", "#FFFFFF"
WIDTH, HEIGHT = 5.0, 3.3  # of a figure with one panel, in inches: a phone shows it as it is
# In an SVG, a colour is a property of the page's style sheet, so that it follows dark mode and print.
PROPERTIES = {
    BLUE: "--blue", ORANGE: "--orange", GREEN: "--green", SKY: "--sky", RED: "--red", PURPLE: "--purple",
    BLACK: "--ink", GREY: "--soft", PALE: "--line", WHITE: "--panel",
}  # fmt: skip
COLOUR = re.compile("|".join(PROPERTIES), re.IGNORECASE)
NUMBER = re.compile(r"-?\d+\.\d+")
SVG, LINK = "{http://www.w3.org/2000/svg}", "{http://www.w3.org/1999/xlink}href"

STYLE: dict[Any, Any] = {
    "figure.dpi": 120,
    "figure.constrained_layout.use": True,
    "figure.constrained_layout.w_pad": 0.1,
    "figure.constrained_layout.h_pad": 0.1,
    "savefig.dpi": "figure",
    "font.size": 10,
    "text.color": BLACK,
    "axes.labelcolor": BLACK,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.titlepad": 10,
    "axes.edgecolor": GREY,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.prop_cycle": cycler(linestyle=["-", "--"]) * cycler(color=[BLUE, ORANGE, GREEN, RED, PURPLE, SKY, BLACK]),
    "grid.color": PALE,
    "xtick.bottom": False,  # the grid shows where numbers stand
    "xtick.color": GREY,
    "xtick.labelcolor": BLACK,
    "ytick.left": False,
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
    with _laid_out(figure):
        FigureCanvasAgg(figure).print_png(png, metadata={"Software": None})  # type: ignore[no-untyped-call]
    write_bytes(path, png.getvalue())


def svg(figure: Figure, name: str) -> str:
    """The figure as an SVG element that can stand in a page; the same figure and name give the same text.

    Colours are those of the page (``PROPERTIES``), the ground that of its panels, and text has the page's font. Nothing
    in it needs a style sheet of its own or a ``style`` attribute, which a content security policy may refuse.

    Args:
        figure: made under :func:`style`.
        name: no other figure of the page may have it, as ``id`` attributes are derived from it.
    """
    written = StringIO()
    with _laid_out(figure), matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        FigureCanvasSVG(figure).print_svg(written, metadata={"Date": None})  # type: ignore[no-untyped-call]
    root = ElementTree.fromstring(written.getvalue())
    for child in [child for child in root if child.tag == f"{SVG}metadata" or child.find(f"{SVG}style") is not None]:
        root.remove(child)
    for element in root.iter():
        _restyle(element)
    _flatten(root)
    width, height = root.attrib["width"], root.attrib["height"]
    root.attrib = {"viewBox": f"0 0 {width.removesuffix('pt')} {height.removesuffix('pt')}", "stroke-linejoin": "round"}
    return ElementTree.tostring(root, encoding="unicode")


@contextmanager
def _laid_out(figure: Figure) -> Iterator[None]:
    """The style, and a figure that is laid out: once, as Matplotlib would do it twice for each file."""
    with style():
        if figure.axes and (engine := figure.get_layout_engine()):
            engine.execute(figure)
            figure.set_layout_engine("none")
        dpi = figure.dpi
        yield
        figure.dpi = dpi  # an SVG sets it to 72


def _restyle(element: ElementTree.Element) -> None:
    """Turns what Matplotlib writes of an element into what a page takes."""
    element.tag, element.tail = element.tag.removeprefix(SVG), None
    if element.tag != "text":
        element.text = None
    if element.tag == "g":
        element.attrib.pop("id", None)  # the same in every figure
    if element.get("transform", "").startswith("rotate(-0 "):
        del element.attrib["transform"]
    if link := element.attrib.pop(LINK, ""):
        element.set("href", link)
    for declaration in filter(None, element.attrib.pop("style", "").split(";")):
        key, value = (part.strip() for part in declaration.split(":"))
        if key != "font-family":
            element.set(key, COLOUR.sub(lambda colour: f"var({PROPERTIES[colour[0].upper()]})", value))
    for key in element.attrib.keys() & {"d", "x", "y", "transform"}:  # a tenth of a point is enough
        element.set(key, " ".join(NUMBER.sub(lambda number: f"{float(number[0]):.1f}", element.attrib[key]).split()))


def _flatten(parent: ElementTree.Element) -> None:
    """Puts the children of groups that say nothing in place of these groups."""
    children: list[ElementTree.Element] = []
    for child in parent:
        _flatten(child)
        children += child if child.tag == "g" and not child.attrib else [child]
    parent[:] = children


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


def in_percent(axis: Axis) -> None:
    """Labels an axis of shares in percent."""
    axis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:.4g} %"))


def _label_logarithm(axis: Axis, span: float) -> None:
    """Plain numbers in place of powers of ten, about as many as fit."""
    axis.set_major_locator(LogLocator(subs=(1, 3) if span < 300 else (1,)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_locator(NullLocator())


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


def legend_below(figure: Figure, handles: Sequence[Artist], title: str | None = None) -> None:
    """A legend at the foot of the figure, in as many columns as its width allows.

    Args:
        figure: whose legend it is.
        handles: what is explained, with labels.
        title: of the legend.
    """
    lengths = [len(str(handle.get_label())) for handle in handles]

    def width(columns: int) -> float:
        """About, in points."""
        return sum(5.4 * float(max(part)) + 44 for part in np.array_split(lengths, columns))

    fitting = (columns for columns in range(len(handles), 1, -1) if width(columns) <= 72 * figure.get_figwidth())
    columns = next(fitting, 1)
    figure.legend(handles=handles, title=title, alignment="left", loc="outside lower left", ncols=columns)


def panels(number: int, columns: int = 2, height: float = HEIGHT) -> tuple[Figure, list[Axes]]:
    """A figure with so many panels; a single one is as wide as a phone, several are narrower and side by side.

    Args:
        number: of panels.
        columns: the most that stand in a row.
        height: of each, in inches.
    """
    columns = min(number, columns)
    width = WIDTH if columns <= 2 else 3.6
    figure = Figure(figsize=(width * columns, height * -(-number // columns)))
    return figure, panel_grid(figure, number, columns)


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
