"""Axes and marks."""

import math
from xml.etree.ElementTree import Element, fromstring

import pytest

from wellfit.report.svg import Axis, Plot


def marks(plot: Plot, name: str, style: str) -> list[Element]:
    """The elements of a name inside, or of, those of a class."""
    root = fromstring(str(plot))
    groups = [element for element in root.iter() if style in element.get("class", "").split()]
    return [mark for group in groups for mark in group.iter(name)]


@pytest.mark.parametrize(
    ("values", "log", "ends"),
    [
        ([1.0, 3.0], None, (0.9, 3.1)),
        ([1.0, math.nan, math.inf, 3.0], None, (0.9, 3.1)),
        ([2.0, 2.0], None, (1.5, 2.5)),
        ([], None, (0.5, 1.5)),
        ([0.01, 1.0], None, (0.01 / 100**0.05, 100**0.05)),
        ([0.01, 1.0], False, (0.01 - 0.0495, 1.0495)),
        ([-1.0, 0.0, 1.0, 10.0], True, (1 / 10**0.05, 10 * 10**0.05)),
    ],
)
def test_an_axis_holds_its_values_with_some_room(
    values: list[float], log: bool | None, ends: tuple[float, float]
) -> None:
    axis = Axis.over("x", values, log=log)
    assert (axis.low, axis.high) == pytest.approx(ends)


def test_values_that_crowd_go_on_a_logarithmic_axis() -> None:
    assert not Axis.over("x", [1.0, 15.0]).log
    assert Axis.over("x", [1.0, 15.1]).log
    assert not Axis.over("x", [0.0, 100.0]).log


@pytest.mark.parametrize(
    ("axis", "at_most", "words"),
    [
        (Axis("x", 0, 1), 5, ["0", "0.2", "0.4", "0.6", "0.8", "1"]),
        (Axis("x", 0.05, 0.95), 3, ["0.5"]),
        (Axis("x", 0.5, 3.5, whole=True), 9, ["1", "2", "3"]),
        (Axis("x", 0, 1, percent=True), 2, ["0 %", "50 %", "100 %"]),
        (Axis("x", -2000, 2000), 4, ["−2,000", "−1,000", "0", "1,000", "2,000"]),
        (Axis("x", 0.0009, 1.1, log=True), 4, ["0.001", "0.01", "0.1", "1"]),
        (Axis("x", 0.9, 11, log=True), 9, ["1", "2", "5", "10"]),
        (Axis("x", 0.9e-9, 1.1e9, log=True), 4, ["1e-09", "0.0001", "10", "1e+06"]),
        (Axis.of_names("x", ["a", "b", "c"]), 9, ["a", "b", "c"]),
        (Axis.of_names("x", ["a", "b", "c"]), 2, ["a", "c"]),
    ],
)
def test_ticks_are_round_and_fit(axis: Axis, at_most: int, words: list[str]) -> None:
    assert [text for _, text in axis.ticks(at_most)] == words


@pytest.mark.parametrize(
    ("axis", "value", "place"),
    [
        (Axis("x", 1, 3), 2, 0.5),
        (Axis("x", 1, 100, log=True), 10, 0.5),
        (Axis.of_names("x", ["a", "b"]), 0, 0.25),
        (Axis.of_names("x", ["a", "b"], backwards=True), 0, 0.75),
    ],
)
def test_a_value_has_its_place(axis: Axis, value: float, place: float) -> None:
    assert axis.place(value) == pytest.approx(place)


@pytest.mark.parametrize("value", [math.nan, math.inf, 0.0, -1.0])
def test_what_a_logarithm_does_not_have_has_no_place(value: float) -> None:
    assert math.isnan(Axis("x", 1, 100, log=True).place(value))


def test_points_stand_where_the_axes_say() -> None:
    plot = Plot(Axis("x", 0, 10), Axis("y", 0, 10))
    plot.points([0, 10, math.nan], [0, 10, 5], "s1", ["origin", "end", "nowhere"], strengths=[1, 0.5, 1])
    origin, end = marks(plot, "circle", "s1")
    assert float(origin.get("cx", "")) < float(end.get("cx", ""))
    assert float(origin.get("cy", "")) > float(end.get("cy", ""))  # a picture's y runs downwards
    assert [mark.get("data-tip") for mark in (origin, end)] == ["origin", "end"]
    assert [mark.get("opacity") for mark in (origin, end)] == ["1", "0.5"]
    across, down = plot.at(10, 10)
    assert (float(end.get("cx", "")), float(end.get("cy", ""))) == pytest.approx((across, down), abs=0.05)


def test_a_line_breaks_where_a_value_is_missing() -> None:
    plot = Plot(Axis("x", 0, 4), Axis("y", 0, 1))
    plot.line([0, 1, 2, 3, 4], [0, 1, math.nan, 1, 0], "s1")
    (path,) = marks(plot, "path", "s1")
    assert [letter for letter in path.get("d", "") if letter.isalpha()] == ["M", "L", "M", "L"]


def test_steps_hold_until_the_next_value() -> None:
    plot = Plot(Axis("x", 0, 4), Axis("y", 0, 1))
    plot.line([0, 1], [0, 1], "s1", steps=True)
    (path,) = marks(plot, "path", "s1")
    assert [letter for letter in path.get("d", "") if letter.isalpha()] == ["M", "H", "V"]


def test_a_line_of_a_single_point_is_a_point() -> None:
    plot = Plot(Axis("x", 0, 4), Axis("y", 0, 1))
    plot.line([1], [1], "s1")
    assert len(marks(plot, "circle", "s1")) == 1


def test_boxes_have_a_size_whichever_corners_are_named() -> None:
    plot = Plot(Axis("x", 0, 4), Axis.of_names("y", ["a", "b"], backwards=True))
    plot.boxes([(0, -0.4, 2, 0.4), (2, 0.4, 0, -0.4)], "bar")
    first, second = marks(plot, "rect", "bar")
    assert first.attrib == second.attrib
    assert float(first.get("width", "")) > 0
    assert float(first.get("height", "")) > 0


def test_bands_fill_the_width() -> None:
    plot = Plot(Axis("x", 0, 4), Axis("y", 0, 1))
    plot.bands([1, 2, 3], ["a", "b", "c"])
    bands = marks(plot, "rect", "bands")
    left, _ = plot.at(0, 0)
    right, _ = plot.at(4, 0)
    assert sum(float(band.get("width", "")) for band in bands) == pytest.approx(right - left, abs=0.2)
    assert [band.get("data-tip") for band in bands] == ["a", "b", "c"]


def test_words_are_never_markup() -> None:
    plot = Plot(Axis("<b>&", 0, 1), Axis.of_names("y", ["</svg>"]))
    plot.points([0], [0], "s1", ['"><script>'])
    assert "<script>" not in str(plot)
    assert "<b>" not in str(plot)
    assert str(plot).count("</svg>") == 1


def test_all_words_stand_inside_the_picture() -> None:
    names = [f"a rather long name {i}" for i in range(12)]
    plot = Plot(Axis.of_names("predicted", names), Axis.of_names("true", names, backwards=True))
    root = fromstring(str(plot))
    width, height = (float(part) for part in root.get("viewBox", "").split()[2:])
    for text in root.iter("text"):
        assert 0 <= float(text.get("x", "")) <= width
        assert 0 < float(text.get("y", "")) <= height


def test_words_apart_from_a_point_hide_what_is_behind_them() -> None:
    plot = Plot(Axis("x", 0, 1), Axis("y", 0, 1))
    plot.write(0.5, 0.5, "around", "start")
    assert 'class="behind"' not in str(plot)
    plot.write(0.5, 0.5, "apart", "start", apart=4)
    ground, words = plot.svg[-2:]
    assert (ground.get("class"), words.text) == ("behind", "apart")
    assert float(ground.get("x", "")) < float(words.get("x", "")) == pytest.approx(plot.at(0.5, 0.5)[0] + 4, abs=0.06)
