"""What may befall a file between two stages."""

import re
from collections.abc import Callable
from pathlib import Path

Damage = Callable[[Path], object]


def flip_digit(file: Path) -> None:
    """Changes one digit in the middle of a file; of a file without digits, a bit."""
    data = bytearray(file.read_bytes())
    places = [found.start() for found in re.finditer(rb"[0-9]", data)] or [len(data) - 1]
    data[places[len(places) // 2]] ^= 1
    file.write_bytes(data)


def cut(file: Path) -> None:
    """Leaves the first half."""
    data = file.read_bytes()
    file.write_bytes(data[: len(data) // 2])


def fill_with_garbage(file: Path) -> None:
    """Puts bytes in place of it that are no text."""
    file.write_bytes(bytes(range(256)) * 8)


DAMAGES: dict[str, Damage] = {"digit": flip_digit, "half": cut, "garbage": fill_with_garbage, "gone": Path.unlink}
