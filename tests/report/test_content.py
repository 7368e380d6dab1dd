"""How numbers are written, and images as addresses."""

import base64
import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from wellfit.report.content import Raw, Share, cell, is_number, number, percent, png, score, scores


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"), (1.0, "1"), (0.98328, "0.9833"), (12.3456, "12.35"), (-1234.56, "−1,235"), (1234567.0, "1,234,567"),
        (12345678.0, "1.235e+07"), (0.00012345, "0.0001234"), (1.5e-8, "1.5e-08"), (float("nan"), "–"),
        (float("inf"), "–"), (None, "–"),
    ],
)  # fmt: skip
def test_numbers_have_four_digits(value: float | None, text: str) -> None:
    assert number(value) == text


@pytest.mark.parametrize(
    ("value", "text", "numeric"),
    [
        (1234, "1,234", True), (np.int64(7), "7", True), (0.5, "0.5", True), (np.float32(0.5), "0.5", True),
        (-1234, "−1,234", True), (Share(0.5), "50.0\u00a0%", True), (Share("nan"), "–", True),
        (Raw(2011.0), "2011", True), (Raw(-20111.5), "−20112", True), (Raw(0.5), "0.5", True),
        (True, "yes", False), ("a", "a", False), ("", "–", False), (None, "–", False), ([8, 4], "[8, 4]", False),
    ],
)  # fmt: skip
def test_a_cell_is_written_as_what_it_is(value: Any, text: str, numeric: bool) -> None:
    assert cell(value) == text
    assert is_number(value) == numeric


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0, "0.0\u00a0%"),
        (0.5, "50.0\u00a0%"),
        (1, "100.0\u00a0%"),
        (0.995, "99.5\u00a0%"),
        (0.9991, "99.91\u00a0%"),
        (0.0009, "0.09\u00a0%"),
        (-0.00001, "0.00\u00a0%"),
        (-0.02, "\u22122.0\u00a0%"),
    ],
)
def test_a_share_has_more_digits_near_the_ends(share: float, text: str) -> None:
    assert percent(share) == text


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("test/roc_auc", 0.75, "75.0\u00a0%"),
        ("f1", 0.75, "75.0\u00a0%"),
        ("rmse", 0.75, "0.75"),
        ("r2", -0.5, "−0.5"),
        ("accuracy", None, "–"),
        ("accuracy", float("nan"), "–"),
    ],
)
def test_a_score_that_is_a_share_is_told_in_percent(name: str, value: float | None, text: str) -> None:
    assert score(name, value) == text


@pytest.mark.parametrize(
    ("name", "values", "texts"),
    [
        ("roc_auc", [0.985, 0.9997, 1.0], ["98.50\u00a0%", "99.97\u00a0%", "100.00\u00a0%"]),
        ("accuracy", [0.5, 0.25, 0.75], ["50.0\u00a0%", "25.0\u00a0%", "75.0\u00a0%"]),
        ("rmse", [53.0, 47.912, 58.1234], ["53.00", "47.91", "58.12"]),
        ("r2", [0.4, -0.00001, 0.51239], ["0.4000", "0.0000", "0.5124"]),
        ("rmse", [54321.4, 50000.0, None], ["54,321", "50,000", "–"]),
        ("log_loss", [1.5e-9, 0.0, 2e-9], ["1.5e-09", "0", "2e-09"]),
        ("accuracy", [None, None, None], ["–", "–", "–"]),
    ],
)
def test_a_score_and_its_interval_have_the_same_decimals(
    name: str, values: list[float | None], texts: list[str]
) -> None:
    assert scores(name, values) == texts


@pytest.mark.parametrize("channels", [1, 3])
def test_an_image_comes_back_as_it_was(channels: int) -> None:
    image = np.random.default_rng(0).integers(0, 256, (channels, 5, 7)).astype(np.uint8)
    address = png(image)
    kind, _, data = address.partition(",")
    assert kind == "data:image/png;base64"
    found = np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))
    assert np.array_equal(found, image[0] if channels == 1 else image.transpose(1, 2, 0))


def test_a_large_image_is_made_smaller() -> None:
    address = png(np.zeros((3, 300, 600), np.uint8))
    assert Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2]))).size == (96, 48)
