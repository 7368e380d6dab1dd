"""The training loop against the plain tutorial loop, step for step the same work.

The tutorial loop draws batches from a DataLoader (over a TensorDataset, or over torchvision's FashionMNIST with
transforms), trains with Adam and calls ``.item()`` on loss and hits in every step. Ours is the loop that ``train``
runs, with all that it does besides: gradient norms, train and validation scores. Both train the same network on the
same rows, with the same optimizer, batch size, thread count and number of epochs, and both score the validation rows
after each epoch. They alternate in one process; the ratio is the median of the ratios of the rounds.

    python benchmarks/loop.py                      # digits and moons; fashion_mnist too where it can be had
    python benchmarks/loop.py --only digits
"""

import argparse
import json
import platform
import statistics
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

from wellfit.data.fetch import fetch
from wellfit.data.prepare import prepare
from wellfit.errors import WellfitError
from wellfit.models import build_model
from wellfit.models.inputs import Inputs
from wellfit.settings.params import Params, load_params
from wellfit.training.loss import head_width
from wellfit.training.setup import TrainingData, begin, load_training_data

ROUNDS = 5
RESULTS = Path(__file__).parent / "results" / "loop.json"


@dataclass(frozen=True)
class Case:
    """A network on a data set, as in the published comparisons of small networks."""

    dataset: str
    hidden: list[int]
    batch_size: int
    epochs: int
    threads: int


CASES = [
    Case("moons", [64, 64], batch_size=32, epochs=10, threads=1),
    Case("digits", [128, 64], batch_size=64, epochs=10, threads=1),
    Case("fashion_mnist", [512, 512], batch_size=100, epochs=1, threads=2),
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=[case.dataset for case in CASES], help="one data set")
    wanted = parser.parse_args().only
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        for case in CASES:
            if wanted in (None, case.dataset):
                try:
                    results[case.dataset] = measure(case, Path(folder))
                except WellfitError as error:
                    print(f"{case.dataset}: skipped, {error}", file=sys.stderr)
    if wanted is None:
        machine = {"torch": torch.__version__, "machine": platform.machine(), "rounds": ROUNDS}
        RESULTS.write_text(json.dumps({"machine": machine, "cases": results}, indent=2) + "\n")
        print(f"written to {RESULTS}")


def measure(case: Case, folder: Path) -> dict[str, object]:
    """Seconds of both loops in alternating rounds, after one round of each that does not count."""
    params = load_params().replace(
        {
            "data.name": case.dataset,
            "model.hidden": case.hidden,
            "model.norm": "none",
            "model.dropout": 0.0,
            "optim.name": "adam",
            "optim.weight_decay": 0.0,
            "optim.lr": 1e-3,
            "schedule.name": "constant",
            "schedule.warmup_epochs": 0,
            "train.epochs": case.epochs,
            "train.batch_size": case.batch_size,
            "train.patience": None,
            "train.threads": case.threads,
            "train.device": "cpu",
        }
    )
    fetch(params.data, params.fetch, folder / "raw")
    prepare(params.data, folder / "raw", folder / "processed")
    data = load_training_data(params, folder / "processed" / case.dataset)
    loaders = tutorial_loaders(case, folder, data)
    ours, theirs = [], []
    for round_number in range(ROUNDS + 1):
        tutorial = timed(lambda: tutorial_loop(params, data, *loaders))
        loop = timed(lambda: our_loop(params, data))
        if round_number:
            theirs.append(tutorial)
            ours.append(loop)
    ratios = sorted(slow / fast for slow, fast in zip(theirs, ours, strict=True))
    print(
        f"{case.dataset} {'-'.join(map(str, case.hidden))}, batch {case.batch_size}, {case.threads} thread(s): "
        f"tutorial {statistics.median(theirs):.3f} s, ours {statistics.median(ours):.3f} s, "
        f"ratio {statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f} over {ROUNDS} rounds)"
    )
    return {
        "hidden": case.hidden,
        "batch_size": case.batch_size,
        "epochs": case.epochs,
        "threads": case.threads,
        "tutorial_seconds": [round(seconds, 4) for seconds in theirs],
        "our_seconds": [round(seconds, 4) for seconds in ours],
        "ratio_median": round(statistics.median(ratios), 3),
        "ratio_range": [round(ratios[0], 3), round(ratios[-1], 3)],
    }


def timed(work: Callable[[], object]) -> float:
    started = perf_counter()
    work()
    return perf_counter() - started


def our_loop(params: Params, data: TrainingData) -> None:
    for epoch in begin([params], data, packed=False).epochs:
        assert np.isfinite(epoch.metrics["val/loss"]).all()


def tutorial_loaders(case: Case, folder: Path, data: TrainingData) -> tuple[DataLoader, DataLoader]:
    inputs = Inputs(data.meta, "standard", torch.device("cpu"))
    train: Dataset = TensorDataset(inputs(data.train.x), data.train.y)
    val: Dataset = TensorDataset(inputs(data.val.x), data.val.y)
    if case.dataset == "fashion_mnist":
        train, val = fashion_mnist(folder, len(data.train.y), len(data.val.y))
    return DataLoader(train, batch_size=case.batch_size, shuffle=True), DataLoader(val, batch_size=1000)


def fashion_mnist(folder: Path, *sizes: int) -> tuple[Dataset, ...]:
    """torchvision's data set with ToTensor and Normalize, split into the same numbers of rows."""
    from torchvision import transforms
    from torchvision.datasets import FashionMNIST

    root = folder / "torchvision"
    raw = root / "FashionMNIST" / "raw"
    raw.parent.mkdir(parents=True)
    raw.symlink_to(folder / "raw" / "fashion_mnist")
    transform = transforms.Compose([transforms.ToTensor(), transforms.Normalize((0.286,), (0.353,))])
    everything = FashionMNIST(root, train=True, transform=transform)
    return tuple(torch.utils.data.random_split(everything, sizes))


def tutorial_loop(params: Params, data: TrainingData, train: DataLoader, val: DataLoader) -> None:
    torch.manual_seed(params.train.seed)
    torch.set_num_threads(params.train.threads or 1)
    torch.use_deterministic_algorithms(False)  # ours turns it on
    model = build_model(params.model, data.meta.input_shape, head_width("auto", data.meta))
    optimizer = torch.optim.Adam(model.parameters(), lr=params.optim.lr)
    criterion = nn.CrossEntropyLoss()
    for _ in range(params.train.epochs):
        model.train()
        running_loss, correct = 0.0, 0
        for x, y in train:
            optimizer.zero_grad()
            outputs = model(x)
            loss = criterion(outputs, y)
            loss.backward()
            optimizer.step()
            running_loss += loss.item()
            correct += (outputs.argmax(1) == y).sum().item()
        model.eval()
        with torch.no_grad():
            for x, y in val:
                running_loss += criterion(model(x), y).item()


if __name__ == "__main__":
    main()
