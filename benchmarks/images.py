"""How fast is a folder of images read, with one thread and with as many as there are cores?

Folders of generated photographs (JPEG), drawings (RGB PNG) and digits (small grey PNG) are read with one thread and
with all, in alternating rounds of one process. Printed for each: images a second, and the ratio; above 1 the threads
pay.

    python benchmarks/images.py
"""

import json
import statistics
import tempfile
import warnings
from contextlib import redirect_stdout
from pathlib import Path
from time import perf_counter

import numpy as np
import PIL
from PIL import Image

from wellfit.data.readers.images import read_image_folder
from wellfit.machine import core_count

ROUNDS = 3
RESULTS = Path(__file__).parent / "results" / "images.json"
CASES: list[tuple[str, int, tuple[int, ...], tuple[int, int]]] = [
    # extension, number of files, shape of a file, size that is read
    ("jpg", 200, (256, 256, 3), (64, 64)),
    ("jpg", 200, (256, 256, 3), (224, 224)),
    ("png", 200, (256, 256, 3), (64, 64)),
    ("png", 1000, (28, 28), (28, 28)),
]


def main() -> None:
    rows = [measure(*case) for case in CASES]
    cores = core_count()
    for row in rows:
        print(
            f"{row['images']:<32} 1 thread {row['one']:7.0f} images/s  {cores} threads {row['all']:7.0f} images/s  "
            f"ratio {row['ratio']:.2f} ({row['ratio_low']:.2f} to {row['ratio_high']:.2f})"
        )
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps({"pillow": PIL.__version__, "cores": cores, "cases": rows}, indent=2) + "\n")


def measure(extension: str, n: int, shape: tuple[int, ...], image_size: tuple[int, int]) -> dict[str, float | str]:
    speeds: dict[int, list[float]] = {1: [], core_count(): []}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_images(folder, extension, n, shape)
        for number in range(ROUNDS + 1):
            for workers, measured in speeds.items():
                speed = n / seconds(folder, image_size, workers)
                if number:  # the first round warms up
                    measured.append(speed)
    one, many = speeds.values()
    ratios = sorted(b / a for a, b in zip(one, many, strict=True))
    return {
        "images": f"{extension} {'x'.join(map(str, shape))} to {'x'.join(map(str, image_size))}",
        "one": statistics.median(one),
        "all": statistics.median(many),
        "ratio": statistics.median(ratios),
        "ratio_low": ratios[0],
        "ratio_high": ratios[-1],
    }


def write_images(folder: Path, extension: str, n: int, shape: tuple[int, ...]) -> None:
    """Smooth random fields, as a camera sees them: pure noise would take longer to decode than any photograph."""
    rng = np.random.default_rng(0)
    for number in range(n):
        coarse = rng.integers(0, 256, (shape[0] // 4, shape[1] // 4, *shape[2:]), dtype=np.uint8)
        image = Image.fromarray(coarse).resize((shape[1], shape[0]), Image.Resampling.BICUBIC)
        path = folder / f"class {number % 2}" / f"{number}.{extension}"
        path.parent.mkdir(exist_ok=True)
        image.save(path)


def seconds(folder: Path, image_size: tuple[int, int], workers: int) -> float:
    started = perf_counter()
    with redirect_stdout(None):  # without its progress
        read_image_folder(folder, image_size, "auto", workers)
    return perf_counter() - started


if __name__ == "__main__":
    warnings.simplefilter("error")
    main()
