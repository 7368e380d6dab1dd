"""Charts as SVG: axes, marks, and what is said of a mark that is pointed at.

Colours, line styles and fonts are classes of the page's style sheet, so that a chart follows dark mode and print. What
is said of a mark stands in its attribute ``data-tip``, which the page's script shows.
"""

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from xml.etree.ElementTree import Element, SubElement, tostring

import numpy as np

from wellfit.charts.style import LOG_SPAN, shortened
from wellfit.report.content import minus

WIDTH, HEIGHT = 360.0, 235.0  # a phone shows them as they are
LETTER, LINE = 6.2, 13.0  # width of a letter and height of a line, in the units of the picture
MARGIN = 14.0
LONGEST_NAME = 18  # letters of a name along an axis
CROSS = 2.8  # half the side of a cross


@dataclass(frozen=True)
class Axis:
    """What stands along a side of a chart.

    Attributes:
        label: what it measures.
        low: value at its beginning; above ``high`` where the axis runs backwards.
        high: value at its end.
        log: whether it is logarithmic; then both ends are above 0.
        names: of what stands at 0, 1, 2, ... where it measures nothing.
        percent: whether values are shares to be shown in percent.
        whole: whether values are whole numbers.
    """

    label: str
    low: float
    high: float
    log: bool = False
    names: tuple[str, ...] = ()
    percent: bool = False
    whole: bool = False

    @classmethod
    def over(
        cls,
        label: str,
        values: Iterable[float],
        *,
        log: bool | None = None,
        percent: bool = False,
        whole: bool = False,
    ) -> "Axis":
        """An axis that holds all values, with some room around.

        Args:
            label: what it measures.
            values: those that are not finite are passed over.
            log: whether it is logarithmic; None: where the values, all positive, would crowd at one end otherwise.
            percent: whether values are shares to be shown in percent; then the axis is not logarithmic.
            whole: whether values are whole numbers.
        """
        finite = [float(value) for value in values if math.isfinite(value)]
        if log is None and not percent:
            log = bool(finite) and min(finite) > 0 and max(finite) > LOG_SPAN * min(finite)
        finite = [value for value in finite if value > 0 or not log] or [1.0]
        low, high = min(finite), max(finite)
        if log:
            room = max(1.05, (high / low) ** 0.05)
            return cls(label, low / room, high * room, log=True)
        room = 0.05 * (high - low) or 0.5
        return cls(label, low - room, high + room, percent=percent, whole=whole)

    @classmethod
    def of_names(cls, label: str, names: Sequence[str], *, backwards: bool = False) -> "Axis":
        """An axis of names; backwards: the first one at the end, as the first row of a table is above."""
        ends = (-0.5, len(names) - 0.5)
        low, high = ends[::-1] if backwards else ends
        return cls(label, low, high, names=tuple(shortened(name, LONGEST_NAME) for name in names))

    def place(self, value: float) -> float:
        """Where a value stands, 0 at the beginning and 1 at the end; NaN where it has no place."""
        if not math.isfinite(value) or (self.log and value <= 0):
            return math.nan
        if self.log:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)

    def ticks(self, at_most: int) -> list[tuple[float, str]]:
        """Values to mark, and their words."""
        if self.names:
            step = -(-len(self.names) // max(1, at_most))
            return [(float(i), name) for i, name in enumerate(self.names) if i % step == 0]
        if self.log:
            return [(value, f"{value:.4g}") for value in _log_ticks(self.low, self.high, at_most)]
        values = _even_ticks(min(self.low, self.high), max(self.low, self.high), at_most, whole=self.whole)
        return [(value, f"{100 * value:.4g} %" if self.percent else minus(f"{value:,.7g}")) for value in values]


def _even_ticks(low: float, high: float, at_most: int, *, whole: bool) -> list[float]:
    """Multiples of 1, 2 or 5 times a power of ten."""
    rough = (high - low) / max(1, at_most)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * (1 - 1e-9))
    step = max(1.0, step) if whole else step
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [float(f"{number * step:.12g}") + 0.0 for number in range(first, last + 1)]


def _log_ticks(low: float, high: float, at_most: int) -> list[float]:
    """Powers of ten, with 2 and 5 or 3 times each between them, or only some of them, as many as fit."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks: list[float] = []
    for factors in ((1, 2, 5), (1, 3), (1,)):
        ticks = [float(f"{factor}e{decade}") for decade in decades for factor in factors]
        ticks = [tick for tick in ticks if low <= tick <= high]
        if len(ticks) <= at_most:
            return ticks
    return ticks[:: -(-len(ticks) // at_most)]


class Plot:
    """A chart in the making: a frame with two axes, to which marks are added.

    Args:
        x: along the bottom.
        y: along the left, upwards.
        width: of the whole picture, in its own units, of which a letter is about 11 high.
        height: likewise.
        square: whether the frame is as high as it is wide, whatever the height says.
    """

    def __init__(self, x: Axis, y: Axis, width: float = WIDTH, height: float = HEIGHT, *, square: bool = False) -> None:
        self.x, self.y = x, y
        y_ticks = y.ticks(max(2, int(height / (LINE if y.names else 38))))
        self._left = MARGIN + LETTER * max((len(text) for _, text in y_ticks), default=0)
        self._right, self._top = width - MARGIN, LINE + MARGIN * bool(y.label)
        longest = max(map(len, x.names), default=0)
        room = (self._right - self._left) / max(1, len(x.names))
        slanted = longest * LETTER > room
        below = MARGIN + LINE + LINE * bool(x.label) + slanted * 0.7 * LETTER * max(0, longest - 2)
        if square:
            height = self._top + self._right - self._left + below
        self.svg = Element("svg", viewBox=f"0 0 {_short(width)} {_short(height)}")
        self._bottom = height - below
        x_ticks = x.ticks(int((self._right - self._left) / (LINE if x.names else 52)))
        self._frame(x_ticks, y_ticks, slanted=slanted)

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Where a point is in the picture."""
        across, up = self.x.place(x), self.y.place(y)
        return self._left + across * (self._right - self._left), self._bottom - up * (self._bottom - self._top)

    def line(
        self,
        xs: Sequence[float],
        ys: Sequence[float],
        style: str,
        *,
        steps: bool = False,
        tip: str = "",
        strength: float = 1.0,
    ) -> None:
        """A line through points, broken where one has no place.

        Args:
            xs: (n,).
            ys: (n,).
            style: class of the style sheet.
            steps: whether each value holds until the next one.
            tip: what is said of it.
            strength: its opacity, from 0 to 1.
        """
        path: list[str] = []
        broken = True
        points = [self.at(x, y) for x, y in zip(xs, ys, strict=True)]
        for x, y in points:
            if math.isnan(x) or math.isnan(y):
                broken = True
            elif broken:
                path.append(f"M{_short(x)} {_short(y)}")
                broken = False
            else:
                path.append(f"H{_short(x)}V{_short(y)}" if steps else f"L{_short(x)} {_short(y)}")
        mark = self._add("path", style, d="".join(path), fill="none")
        if tip:
            mark.set("data-tip", tip)
        if strength < 1:
            mark.set("opacity", _short(strength, 2))
        if len(points) == 1:  # which is no line
            self.points(xs, ys, style)

    def points(
        self,
        xs: Iterable[float],
        ys: Iterable[float],
        style: str,
        tips: Sequence[str] = (),
        *,
        radius: float = 3.0,
        crosses: bool = False,
        strengths: Sequence[float] = (),
    ) -> None:
        """A mark for each point that has a place.

        Args:
            xs: (n,).
            ys: (n,).
            style: class of the style sheet.
            tips: (n,) what is said of each, or nothing.
            radius: of a circle.
            crosses: in place of circles.
            strengths: (n,) opacity of each, from 0 to 1, or nothing.
        """
        group = self._add("g", style)
        for i, (x, y) in enumerate(self.at(*point) for point in zip(xs, ys, strict=True)):
            if math.isnan(x) or math.isnan(y):
                continue
            if crosses:
                corners = f"M{_short(x - CROSS)} {_short(y - CROSS)}l{2 * CROSS:g} {2 * CROSS:g}m0 {-2 * CROSS:g}"
                mark = SubElement(group, "path", {"d": f"{corners}l{-2 * CROSS:g} {2 * CROSS:g}", "class": "cross"})
            else:
                mark = SubElement(group, "circle", cx=_short(x), cy=_short(y), r=f"{radius:g}")
            _describe(mark, tips, i)
            if len(strengths):
                mark.set("opacity", _short(float(strengths[i]), 2))

    def boxes(
        self,
        corners: Iterable[tuple[float, float, float, float]],
        style: str,
        tips: Sequence[str] = (),
        strengths: Sequence[float] = (),
    ) -> None:
        """Rectangles, such as bars or cells.

        Args:
            corners: of each, two opposite ones: x, y, x, y.
            style: class of the style sheet.
            tips: what is said of each, or nothing.
            strengths: opacity of each, from 0 to 1, or nothing.
        """
        group = self._add("g", style)
        for i, (x0, y0, x1, y1) in enumerate(corners):
            (left, upper), (right, lower) = self.at(x0, y0), self.at(x1, y1)
            left, right, upper, lower = min(left, right), max(left, right), min(upper, lower), max(upper, lower)
            place = {"x": left, "y": upper, "width": right - left, "height": lower - upper}
            mark = SubElement(group, "rect", {name: _short(value) for name, value in place.items()})
            _describe(mark, tips, i)
            if len(strengths):
                mark.set("opacity", _short(float(strengths[i]), 2))

    def bands(self, xs: Sequence[float], tips: Sequence[str]) -> None:
        """Invisible columns, one around each x, that say what stands there.

        Args:
            xs: (n,) rising.
            tips: (n,).
        """
        places = np.array([self.at(x, math.nan)[0] for x in xs])
        between = (places[:-1] + places[1:]) / 2
        edges = [self._left, *between.tolist(), self._right]
        group = self._add("g", "bands")
        for i, (left, right) in enumerate(itertools.pairwise(edges)):
            mark = SubElement(
                group, "rect", x=_short(left), y=_short(self._top), width=_short(right - left),
                height=_short(self._bottom - self._top),
            )  # fmt: skip
            _describe(mark, tips, i)

    def rule(self, style: str, *, x: float | None = None, y: float | None = None) -> None:
        """A line across the chart, upright at an x or level at a y."""
        if x is not None:
            self.segment((x, self.y.low), (x, self.y.high), style)
        if y is not None:
            self.segment((self.x.low, y), (self.x.high, y), style)

    def segment(self, start: tuple[float, float], end: tuple[float, float], style: str) -> None:
        """A straight line between two points."""
        (x1, y1), (x2, y2) = self.at(*start), self.at(*end)
        self._add("line", style, x1=_short(x1), y1=_short(y1), x2=_short(x2), y2=_short(y2))

    def write(self, x: float, y: float, text: str, style: str, *, apart: float = 0.0) -> None:
        """Words at a point.

        Args:
            x: of the point.
            y: of the point.
            text: the words.
            style: class of the style sheet.
            apart: by how much they stand to the right of it, on a ground of their own that hides what is behind;
                0: around it, on what is there.
        """
        across, down = self.at(x, y)
        if apart:
            across += apart
            place = {"x": across - 1.5, "y": down - LINE / 2, "width": LETTER * len(text) + 1.5, "height": LINE}
            self._add("rect", "behind", **{name: _short(value) for name, value in place.items()})
        self._add("text", style, x=_short(across), y=_short(down + 4)).text = text

    def __str__(self) -> str:
        """The SVG."""
        return tostring(self.svg, encoding="unicode")

    def _add(self, name: str, style: str, **attributes: str) -> Element:
        return SubElement(self.svg, name, {"class": style, **attributes})

    def _frame(self, x_ticks: list[tuple[float, str]], y_ticks: list[tuple[float, str]], *, slanted: bool) -> None:
        grid, words = self._add("g", "grid"), self._add("g", "words")
        for value, text in y_ticks:
            _, y = self.at(math.nan, value)
            if not self.y.names:
                SubElement(grid, "path", d=f"M{_short(self._left)} {_short(y)}H{_short(self._right)}")
            mark = SubElement(words, "text", {"x": _short(self._left - 5), "y": _short(y + 4), "class": "end"})
            mark.text = text
        for value, text in x_ticks:
            x, _ = self.at(value, math.nan)
            if not self.x.names:
                SubElement(grid, "path", d=f"M{_short(x)} {_short(self._top)}V{_short(self._bottom)}")
            place = {"x": _short(x), "y": _short(self._bottom + LINE + 2), "class": "middle"}
            if slanted:
                turn = f"rotate(-45 {_short(x)} {_short(self._bottom + 8)})"
                place |= {"y": _short(self._bottom + 10), "class": "end", "transform": turn}
            SubElement(words, "text", place).text = text
        if self.x.label:
            middle, height = (self._left + self._right) / 2, float(self.svg.get("viewBox", "").split()[-1])
            label = SubElement(words, "text", {"x": _short(middle), "y": _short(height - 6), "class": "middle label"})
            label.text = self.x.label
        if self.y.label:
            SubElement(words, "text", {"x": "2", "y": _short(LINE - 1), "class": "label"}).text = self.y.label


def _describe(mark: Element, tips: Sequence[str], i: int) -> None:
    if len(tips):
        mark.set("data-tip", tips[i])


def _short(value: float, digits: int = 1) -> str:
    """A coordinate, to a tenth of a unit: a page holds thousands of them."""
    return f"{round(value, digits) + 0.0:g}"
