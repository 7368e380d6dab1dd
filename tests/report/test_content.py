"""How numbers are written, and images as addresses."""

import base64
import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from wellfit.report.content import cell, is_number, number, percent, png


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"), (1.0, "1"), (0.98328, "0.9833"), (12.3456, "12.35"), (-1234.56, "-1,235"), (1234567.0, "1,234,567"),
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
    ],
)
def test_a_share_has_more_digits_near_the_ends(share: float, text: str) -> None:
    assert percent(share) == text


@pytest.mark.parametrize("channels", [1, 3])
def test_an_image_comes_back_as_it_was(channels: int) -> None:
    image = np.random.default_rng(0).integers(0, 256, (channels, 5, 7)).astype(np.uint8)
    address = png(image)
    kind, _, data = address.partition(",")
    assert kind == "data:image/png;base64"
    found = np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))
    assert np.array_equal(found, image[0] if channels == 1 else image.transpose(1, 2, 0))


def test_a_large_image_is_made_smaller() -> None:
    address = png(np.zeros((3, 300, 600), np.uint8), largest=96)
    assert Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2]))).size == (96, 48)
