"""The page in a real browser."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from wellfit.report.page import write_page
from wellfit.report.records import read_records

from .browser import PROGRAMS, Browser
from .conftest import leave_training, leave_tuning, made_up, with_baselines

PROGRAM = next((found for name in PROGRAMS if (found := shutil.which(name))), None)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(PROGRAM is None, reason=f"none of {', '.join(PROGRAMS)} is on the PATH"),
]

# Text whose contrast with what is behind it is below 4.5, by the formula of WCAG 2.2.
TOO_PALE = """
(() => {
  const parts = (text) => text.match(/[\\d.]+/g).map(Number);
  const linear = (v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
  const bright = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
  const behind = (node) => {
    for (; node; node = node.parentElement) {
      const color = parts(getComputedStyle(node).backgroundColor);
      if (color[3] !== 0) return color;
    }
    return [255, 255, 255];
  };
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const element = node.parentElement;
    if (!node.textContent.trim() || element.closest("script, style, [fill='var(--panel)']")) continue;
    const style = getComputedStyle(element);
    const [a, b] = [bright(parts(element instanceof SVGElement ? style.fill : style.color)), bright(behind(element))];
    const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (contrast < 4.5) found.push(`${contrast.toFixed(2)} ${node.textContent.trim()}`);
  }
  return found;
})()
"""


# The size in pixels of the smallest number or word in a chart.
SMALLEST = """
Math.min(...[...document.querySelectorAll(".picture svg")].flatMap((svg) => {
  const scale = svg.getBoundingClientRect().width / svg.viewBox.baseVal.width;
  return [...svg.querySelectorAll("text")].map((text) => scale * parseFloat(getComputedStyle(text).fontSize));
}))
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    assert PROGRAM
    with Browser(PROGRAM) as browser:
        yield browser


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Pages of runs that differ in all that changes what is drawn."""
    kinds: dict[str, dict[str, Any]] = {
        "two classes": {"warnings": ["mind this"], "explains": True},
        "regression": {
            "classes": (),
            "explains": True,
            "columns": [f"a rather long name of a column {i}" for i in range(50)],
        },
        "ten classes, images": {
            "classes": [f"a long class name {i}" for i in range(10)],
            "images": True,
            "explains": True,
        },
        "hundred classes": {"classes": [f"class {i}" for i in range(100)], "rows": 400},
    }
    found = {}
    for name, kind in kinds.items():
        folder = tmp_path_factory.mktemp("run")
        run = with_baselines(made_up(folder, **kind))
        leave_tuning(folder / "reports", run.params, run.meta.sha256)
        leave_training(
            folder / "reports", score="accuracy" if run.meta.class_names else "rmse", warnings=[("over", "x")]
        )
        write_page(folder / "report.html", run, read_records(folder / "reports", run.checkpoint))
        found[name] = folder / "report.html"
    return found


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["two classes", "regression", "ten classes, images", "hundred classes"])
def test_the_page_is_whole_on_a_desk_and_a_phone(
    browser: Browser, pages: dict[str, Path], name: str, scheme: str
) -> None:
    browser.complaints.clear()
    browser.requests.clear()
    for width in (1280, 360):
        browser.open(pages[name], width, scheme=scheme)
        assert browser.evaluate("document.documentElement.scrollWidth") <= width
        assert browser.evaluate("[...document.images].every((image) => image.naturalWidth > 0)")
        dark = browser.evaluate("getComputedStyle(document.body).backgroundColor") != "rgb(255, 255, 255)"
        assert dark == (scheme == "dark")
        assert browser.evaluate(TOO_PALE) == []
        assert browser.evaluate(SMALLEST) > 7
    assert browser.complaints == []
    assert {address for address in browser.requests if not address.startswith("data:")} == {pages[name].as_uri()}


@pytest.mark.parametrize("width", [500, 360])
def test_no_score_is_cut_off_where_room_is_narrow(browser: Browser, pages: dict[str, Path], width: int) -> None:
    browser.open(pages["two classes"], width)
    overhang = "(box => box.scrollWidth - box.clientWidth)(document.querySelector('.scroll:has(.stack)'))"
    assert browser.evaluate(overhang) == 0


def test_a_shadow_says_where_a_table_goes_on(browser: Browser, pages: dict[str, Path]) -> None:
    browser.open(pages["regression"], 1280)
    wide = "[...document.querySelectorAll('.scroll')].filter((box) => box.scrollWidth > box.clientWidth)"
    assert browser.evaluate(f"{wide}.length") > 0
    shadow = "getComputedStyle(box).backgroundImage.split('linear-gradient').length"
    assert browser.evaluate(f"{wide}.every((box) => {shadow} === 5)")


def test_what_the_policy_forbids_is_refused_and_would_be_seen(browser: Browser, pages: dict[str, Path]) -> None:
    browser.open(pages["two classes"])
    browser.complaints.clear()
    browser.evaluate("document.body.insertAdjacentHTML('beforeend', '<img src=\"http://127.0.0.1:9/x.png\">')")
    browser.evaluate("new Promise((done) => setTimeout(done, 200))")
    assert any("Content Security Policy" in text for text in browser.complaints)
    browser.complaints.clear()


def test_it_prints_in_light_colours(browser: Browser, pages: dict[str, Path], tmp_path: Path) -> None:
    browser.open(pages["two classes"], scheme="dark")
    browser.call(
        "Emulation.setEmulatedMedia", media="print", features=[{"name": "prefers-color-scheme", "value": "dark"}]
    )
    assert browser.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert browser.evaluate(TOO_PALE) == []
    browser.print(tmp_path / "page.pdf")
    assert (tmp_path / "page.pdf").read_bytes().startswith(b"%PDF")
    browser.call("Emulation.setEmulatedMedia", media="")
