"""Augmenting whole batches against torchvision's transforms of one PIL image after the other.

Both do the same operations with the same ranges, bilinearly where they resample, and give batches of float32. Theirs
start from PIL images that are there already, ours from the uint8 tensor that training reads its batches from. They
alternate in one process, on one thread; the ratio is the median of the ratios of the rounds.

    python benchmarks/augment.py
"""

import json
import platform
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
import torchvision
from PIL import Image
from pydantic import TypeAdapter
from torch import Tensor
from torchvision import transforms
from torchvision.transforms import InterpolationMode

from wellfit.data.augment.apply import Augment
from wellfit.data.augment.settings import Augmentation

ROUNDS = 7
IMAGES = 1024  # in each round
BATCH_SIZES = (64, 256)
RESULTS = Path(__file__).parent / "results" / "augment.json"


@dataclass(frozen=True)
class Case:
    """The same operations twice: as data.augment has them, and as torchvision's transforms."""

    name: str
    shape: tuple[int, int, int]
    ours: list[dict[str, Any]]
    theirs: list[Callable[[Any], Any]]


OUR_AFFINE = [{"rotate": 15}, {"shift": 0.1}, {"zoom": [0.9, 1.1]}, {"shear": 10}]
THEIR_AFFINE = transforms.RandomAffine(15, (0.1, 0.1), (0.9, 1.1), 10, interpolation=InterpolationMode.BILINEAR)
OUR_FLIP_AND_CROP: list[dict[str, Any]] = [{"flip_horizontal": 0.5}, {"crop": 4}]
THEIR_FLIP_AND_CROP = [transforms.RandomHorizontalFlip(0.5), transforms.RandomCrop(32, padding=4)]
CASES = [
    Case(
        "affine, erase",
        (1, 28, 28),
        [*OUR_AFFINE, {"erase": {"probability": 0.5, "area": [0.02, 0.2]}}],
        [THEIR_AFFINE, transforms.ToTensor(), transforms.RandomErasing(0.5, (0.02, 0.2))],
    ),
    Case("flip, crop", (3, 32, 32), OUR_FLIP_AND_CROP, [*THEIR_FLIP_AND_CROP, transforms.ToTensor()]),
    Case(
        "flip, crop, affine, colour",
        (3, 32, 32),
        [
            *OUR_FLIP_AND_CROP,
            *OUR_AFFINE,
            {"colour": {"brightness": 0.2, "contrast": 0.2, "saturation": 0.2, "hue": 0.05}},
        ],
        [*THEIR_FLIP_AND_CROP, THEIR_AFFINE, transforms.ColorJitter(0.2, 0.2, 0.2, 0.05), transforms.ToTensor()],
    ),
]


def main() -> None:
    torch.set_num_threads(1)
    results = [measure(case, batch_size) for case in CASES for batch_size in BATCH_SIZES]
    machine = {
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
        "machine": platform.machine(),
        "rounds": ROUNDS,
    }
    RESULTS.write_text(json.dumps({"machine": machine, "cases": results}, indent=2) + "\n")
    print(f"written to {RESULTS}")


def measure(case: Case, batch_size: int) -> dict[str, object]:
    """Images per second of both in alternating rounds, after one round of each that does not count."""
    torch.manual_seed(0)
    images = torch.randint(0, 256, (IMAGES, *case.shape), dtype=torch.uint8)
    pictures = [Image.fromarray(image.permute(1, 2, 0).squeeze(2).numpy()) for image in images]
    batches = images.split(batch_size)
    augment = Augment(TypeAdapter(Augmentation).validate_python(case.ours), seed=0)
    transform = transforms.Compose(case.theirs)
    ours, theirs = [], []
    for round_number in range(ROUNDS + 1):
        slow = images_per_second(lambda: transform_each(transform, pictures, batch_size))
        fast = images_per_second(lambda: [augment(batch) for batch in batches])
        if round_number:
            theirs.append(slow)
            ours.append(fast)
    ratios = sorted(fast / slow for fast, slow in zip(ours, theirs, strict=True))
    channels, height, width = case.shape
    print(
        f"{case.name} of {channels} x {height} x {width}, batch {batch_size}: torchvision "
        f"{statistics.median(theirs):,.0f} images/s, ours {statistics.median(ours):,.0f} images/s, "
        f"ratio {statistics.median(ratios):.1f} ({ratios[0]:.1f} to {ratios[-1]:.1f} over {ROUNDS} rounds)"
    )
    return {
        "operations": case.name,
        "shape": case.shape,
        "batch_size": batch_size,
        "torchvision_images_per_second": [round(rate) for rate in theirs],
        "our_images_per_second": [round(rate) for rate in ours],
        "ratio_median": round(statistics.median(ratios), 2),
        "ratio_range": [round(ratios[0], 2), round(ratios[-1], 2)],
    }


def images_per_second(work: Callable[[], object]) -> float:
    started = perf_counter()
    work()
    return IMAGES / (perf_counter() - started)


def transform_each(transform: Callable[[Any], Tensor], pictures: list[Image.Image], batch_size: int) -> list[Tensor]:
    starts = range(0, len(pictures), batch_size)
    return [torch.stack([transform(each) for each in pictures[start : start + batch_size]]) for start in starts]


if __name__ == "__main__":
    main()
