import io
import os
import re
import subprocess
import sys
from xml.etree import ElementTree

import matplotlib
import pytest
from matplotlib.figure import Figure
from PIL import Image

from wellfit.charts.style import (
    PROPERTIES,
    RED,
    WIDTH,
    at_foot,
    legend_below,
    panel_grid,
    panels,
    plain,
    save,
    spread_keys,
    spread_values,
    style,
    svg,
)
from wellfit.interruptions import deferred


@style()
def line():
    figure = Figure()
    figure.subplots().plot([1, 2, 3])
    return figure


def test_save_makes_the_folder_and_leaves_nothing_beside(tmp_path):
    path = tmp_path / "plots" / "line.png"
    save(line(), path)
    assert os.listdir(path.parent) == ["line.png"]
    with Image.open(path) as image:
        assert image.format == "PNG"
        assert "Software" not in image.info


def test_what_stands_beside_a_panel_lies_within_the_figure(tmp_path):
    figure = line()
    figure.axes[0].set_ylabel("in\nfour\nlines\nof text")
    save(figure, tmp_path / "line.png")
    left, _, right, _ = figure.axes[0].get_tightbbox().extents / figure.bbox.width
    assert left > 0
    assert right < 1


def test_an_interruption_comes_before_a_figure_is_drawn(tmp_path, ctrl_c):
    with pytest.raises(KeyboardInterrupt), deferred():
        save(ctrl_c() or line(), tmp_path / "line.png")
    assert os.listdir(tmp_path) == []


def test_the_bytes_do_not_depend_on_the_users_matplotlibrc(tmp_path):
    save(line(), tmp_path / "a.png")
    with matplotlib.rc_context({"font.size": 20, "figure.dpi": 50, "savefig.facecolor": "red", "lines.linewidth": 9}):
        save(line(), tmp_path / "b.png")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_the_style_ends_with_the_function():
    before = dict(matplotlib.rcParams)
    line()
    assert dict(matplotlib.rcParams) == before


@style()
def all_kinds():
    figure, (left, right) = panels(2)
    left.plot([1, 2, 3], "o--", color=RED, label="a < b & 'c'")
    left.scatter([1, 2], [3, 4], alpha=0.5)
    left.fill_between([0, 1], [0, 1], alpha=0.2)
    left.text(1, 1, "words", rotation=45)
    right.bar(["x", "y"], [1, 2])
    right.imshow([[0, 1], [2, 3]], extent=(0, 1, 0, 1))
    legend_below(figure, left.get_legend_handles_labels()[0])
    return figure


def test_an_svg_needs_no_style_and_follows_the_colours_of_the_page():
    text = svg(all_kinds(), "a")
    root = ElementTree.fromstring(text)
    assert (root.tag, root.get("viewBox")) == ("svg", f"0 0 {2 * 72 * WIDTH:g} {72 * 3.3:g}")
    names = {element.tag for element in root.iter()} | {key for element in root.iter() for key in element.attrib}
    assert not names & {"style", "metadata", "script", "{http://www.w3.org/1999/xlink}href"}
    assert set(re.findall(r"#[0-9a-fA-F]{6}", text)) == set()
    used = set(re.findall(r"var\((--\w+)\)", text))
    assert {"--red", "--blue", "--ink", "--soft", "--line"} <= used <= set(PROPERTIES.values())
    assert "a < b & 'c'" in [element.text for element in root.iter("text")]
    assert not [element for element in root.iter("g") if not element.attrib]


def test_what_an_svg_refers_to_is_in_it_and_no_other_svg_has_it():
    texts = [svg(all_kinds(), name) for name in ("a", "b")]
    found = [set(re.findall(r' id="([^"]*)"', text)) for text in texts]
    for text, ids in zip(texts, found, strict=True):
        assert set(re.findall(r'(?:url\(#|href="#)([^")]*)', text)) <= ids
        assert len(ids) == text.count(' id="')
    assert not found[0] & found[1]


def test_the_same_figure_and_name_give_the_same_svg():
    with matplotlib.rc_context({"font.size": 20, "svg.fonttype": "path", "lines.linewidth": 9}):
        assert svg(all_kinds(), "a") == svg(all_kinds(), "a")
        other = svg(all_kinds(), "a")
    assert other == svg(all_kinds(), "a")


def test_a_figure_that_was_written_before_gives_the_same(tmp_path):
    figure = all_kinds()
    figure.axes[1].set(aspect="equal", ylabel="a name for this axis")
    first = svg(figure, "a")
    save(figure, tmp_path / "a.png")
    save(figure, tmp_path / "b.png")
    assert svg(figure, "a") == first
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


@pytest.mark.parametrize("letters", [4, 30, 60])
def test_a_legend_below_is_as_wide_as_the_figure(letters):
    figure, (axes,) = panels(1)
    lines = [axes.plot([0, 1], label=f"{i}" * letters)[0] for i in range(9)]
    legend_below(figure, lines)
    figure.draw_without_rendering()
    extent = figure.legends[0].get_window_extent()
    assert extent.width < figure.bbox.width or letters == 60
    assert figure.legends[0]._ncols == {4: 5, 30: 1, 60: 1}[letters]


def test_a_failed_save_keeps_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "line.png"
    path.write_bytes(b"old")

    def full_disk(descriptor):
        raise OSError("No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OSError, match="No space left"):
        save(line(), path)
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["line.png"]


@pytest.mark.parametrize(
    ("values", "scale"),
    [
        ([0.01, 0.1, 1.0], "log"),
        ([0.1, 1.0], "linear"),
        ([0.0, 0.1, 100.0], "linear"),
        ([-1.0, 100.0], "linear"),
        ([float("nan"), 0.01, 1.0, float("inf")], "log"),
        ([float("nan")], "linear"),
        ([], "linear"),
    ],
)
def test_only_a_wide_span_of_positive_values_gets_a_logarithmic_axis(values, scale):
    axes = Figure().subplots()
    spread_values(axes, values)
    assert axes.get_yscale() == scale


@pytest.mark.parametrize(
    ("low", "high", "labels"),
    [
        (0.0003, 0.03, ["0.001", "0.003", "0.01"]),
        (0.0001, 0.3, ["0.001", "0.01", "0.1"]),
        (0.001, 0.008, ["0.001", "0.003"]),
    ],
)
def test_logarithmic_axes_show_plain_numbers(low, high, labels):
    figure = Figure()
    axes = figure.subplots()
    axes.plot([low, high], [0, 1])
    spread_keys(axes, [low, high])
    figure.savefig(io.BytesIO())
    shown = [label.get_text() for label in axes.get_xticklabels()]
    assert set(labels) <= set(shown)
    assert not any(label.get_text() for label in axes.get_xticklabels(minor=True))
    assert ("0.003" in shown) == (high / low < 300)


def test_either_axis_can_be_made_logarithmic():
    axes = Figure().subplots()
    spread_keys(axes, [0.001, 0.1], "y")
    assert (axes.get_xscale(), axes.get_yscale()) == ("linear", "log")


def test_plain_names_are_short_and_no_mathematics():
    assert plain("Ankle boot") == "Ankle boot"
    assert plain("$x_$") == r"\$x_\$"
    assert plain("first half and second half", 11) == "first… half"
    assert len(plain("x" * 100)) <= 22


@pytest.mark.filterwarnings("error")
def test_what_the_font_cannot_draw_is_a_box(tmp_path):
    assert plain("Größe, ±5 µm … Δ") == "Größe, ±5 µm … Δ"
    assert plain("lr 日本") == "lr □□"
    figure = line()
    figure.axes[0].set_title(plain("日本語 🙂"))
    save(figure, tmp_path / "line.png")


def test_drawing_loads_neither_pyplot_nor_sklearn_nor_torch():
    code = (
        "import sys; from wellfit.charts import comparison_curves, comparison_plots, data, evaluation, training;"
        "from wellfit.charts import tuning;"
        "print([m for m in ('matplotlib.pyplot', 'sklearn', 'torch', 'pandas', 'mlflow') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("number", "numbered"),
    [(3, [True] * 3), (5, [True] * 5), (6, [False] * 3 + [True] * 3), (8, [False] * 3 + [True] * 5)],
)
def test_panels_at_the_foot_have_numbers(number, numbered):
    figure = Figure()
    panels = panel_grid(figure, number, 3, sharex=True, sharey=True)
    assert sum(axes.get_visible() for axes in figure.axes) == len(panels) == number
    figure.savefig(io.BytesIO())
    assert [any(label.get_visible() for label in axes.get_xticklabels()) for axes in panels] == numbered
    assert list(at_foot(panels, 3)) == [axes for axes, has_numbers in zip(panels, numbered, strict=True) if has_numbers]
