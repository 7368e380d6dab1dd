"""What a GPU brings: packs against the usual script, a large pack on California Housing, and CIFAR-10.

For whatever GPU there is, within eight minutes in all:

- 64 networks of a study as one pack against the usual script, which trains one after the other: a loop over a
  DataLoader that copies each batch to the device and calls ``.item()`` in each step. A few networks take that way, and
  their time counts for all. Neither side logs anything.
- 64 networks of three layers of 384 units on California Housing in bf16, batches of 256, until none has got better for
  16 epochs, each with a learning rate, weight decay and dropout of its own. It is what TabPack trains (Gorishniy et al.
  2026; about 40 s on an A100), but for networks of different depth, Muon and the ensemble.
- ResNet-18 on CIFAR-10 in bf16, until its last epoch or the eight minutes are over.

    python benchmarks/gpu.py                        # writes results/gpu.json
    python benchmarks/gpu.py --device cpu --quick   # all of it small, on other data: whether the script runs
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from math import exp
from math import log as logarithm
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch
from study_arms import CASES, SPACE, Batches, Case, Usual, Values, prepare_case
from torch import Tensor

from wellfit.data.fetch import fetch
from wellfit.data.prepare import prepare
from wellfit.errors import WellfitError
from wellfit.settings.params import Params, load_params
from wellfit.training.runtime import choose_device
from wellfit.training.setup import TrainingData, begin, load_training_data

MINUTES, MEMBERS, SAMPLE = 8, 64, 2
QUICK_MEMBERS = 4
RESULTS = Path(__file__).parent / "results" / "gpu.json"
PLAIN = {"schedule.name": "constant", "schedule.warmup_epochs": 0, "model.embedding": "none"}
CALIFORNIA = PLAIN | {
    "data.name": "california_housing",
    "model.hidden": [384, 384, 384],
    "model.norm": "none",
    "train.batch_size": 256,
    "train.epochs": 400,
    "train.patience": 16,
    "train.monitor": "val/rmse",
    "train.precision": "bf16",
}
CALIFORNIA_SPACE = {
    "optim.lr": {"low": 1e-4, "high": 5e-3, "log": True},
    "optim.weight_decay": {"low": 1e-3, "high": 1.0, "log": True},
    "model.dropout": {"low": 0.0, "high": 0.5, "log": False},
}
CIFAR = {
    "data.name": "cifar10",
    "data.val_fraction": 0.1,
    "data.augment": [{"flip_horizontal": 0.5}, {"crop": 4}],
    "model.name": "resnet18",
    "model.dropout": 0.0,
    "optim.name": "sgd",
    "optim.lr": 0.4,
    "optim.nesterov": True,
    "optim.weight_decay": 5e-4,
    "optim.decay": "coupled",
    "schedule.name": "one_cycle",
    "schedule.warmup_epochs": 0,
    "loss.label_smoothing": 0.1,
    "train.batch_size": 512,
    "train.epochs": 30,
    "train.patience": None,
    "train.monitor": "val/accuracy",
    "train.precision": "bf16",
}
QUICK_CALIFORNIA = {
    "data.name": "regression",
    "data.n_samples": 200,
    "model.hidden": [16, 16],
    "train.batch_size": 32,
    "train.patience": 1,
    "train.epochs": 20,
}
QUICK_CIFAR = {
    "data.name": "digits",
    "data.augment": [{"crop": 1}],
    "model.name": "cnn",
    "model.channels": [8],
    "train.epochs": 1,
}

Result = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=["cuda", "mps", "cpu"], default="cuda")
    parser.add_argument("--quick", action="store_true", help="all of it small, on other data; nothing is written")
    options = parser.parse_args()
    try:
        device = choose_device(options.device)
    except WellfitError as error:
        sys.exit(f"{error}; try the script with --device cpu --quick")
    is_quick, deadline = options.quick, perf_counter() + 60 * MINUTES
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    print(f"{name}, torch {torch.__version__}", flush=True)
    results: Result = {"device": name, "torch": torch.__version__}
    with tempfile.TemporaryDirectory() as named:
        folder = Path(named)
        parts: dict[str, Callable[[], Result]] = {
            case.dataset: lambda case=case: pack_against_usual(case, folder, device, quick=is_quick)
            for case in CASES[: 2 if is_quick else 3]
        }
        parts["california_housing"] = lambda: california(folder, device, deadline, quick=is_quick)
        parts["cifar10"] = lambda: cifar(folder, device, deadline, quick=is_quick)
        for part, run in parts.items():
            try:
                results[part] = run()
            except WellfitError as error:  # data that cannot be had, precisions that the device lacks
                print(f"{part}: skipped, {error}", file=sys.stderr)
    if not is_quick:
        RESULTS.write_text(json.dumps(results, indent=2) + "\n")
        print(f"written to {RESULTS}")


class OnDevice:
    """The batches of a DataLoader, each copied to a device when it is needed."""

    def __init__(self, loader: Batches, device: torch.device) -> None:
        self.dataset, self._loader, self._device = loader.dataset, loader, device

    def __iter__(self) -> Iterator[list[Tensor]]:
        return ([tensor.to(self._device) for tensor in batch] for batch in self._loader)


def pack_against_usual(case: Case, folder: Path, device: torch.device, *, quick: bool) -> Result:
    """Seconds of all networks of a study as one pack, and by the usual script."""
    size, sample = (QUICK_MEMBERS, 1) if quick else (MEMBERS, SAMPLE)
    problem = prepare_case(case, folder, epochs=1 if quick else None)
    params = problem.params.replace({"train.device": device.type})
    data = load_training_data(params, problem.processed)
    loaders = [OnDevice(loader, device) for loader in problem.loaders]
    values, epochs = drawn(SPACE, size), params.train.epochs

    def usual(trials: list[Values], epochs: int) -> None:
        torch.use_deterministic_algorithms(False)  # a pack turns it on
        for each in trials:
            network = Usual(problem._replace(loaders=loaders), each)
            network.model.to(device)
            for _ in range(epochs):
                network.train_epoch()
                network.validate()

    def pack(epochs: int) -> None:
        members = [params.replace(each | {"train.epochs": epochs}) for each in values]
        for epoch in begin(members, data, packed=True).epochs:
            assert np.isfinite(epoch.metrics["val/loss"]).all()

    usual(values[:1], 1)  # warms up, as does the next line
    pack(1)
    of_usual = size / sample * timed(lambda: usual(values[:sample], epochs))
    of_pack = timed(lambda: pack(epochs))
    print(
        f"{case}: {size} networks, {epochs} epochs: usual script {of_usual:.1f} s (from {sample} of them), "
        f"pack {of_pack:.2f} s, {of_usual / of_pack:.1f} times as fast",
        flush=True,
    )
    return {"network": str(case), "members": size, "epochs": epochs, "usual": of_usual, "pack": of_pack}


def california(folder: Path, device: torch.device, deadline: float, *, quick: bool) -> Result:
    """Seconds until the last network of a pack has stopped, and the best validation RMSE."""
    params, data = prepared(CALIFORNIA | (QUICK_CALIFORNIA if quick else {}), folder, device)
    values = drawn(CALIFORNIA_SPACE, QUICK_MEMBERS if quick else MEMBERS)
    members = [params.replace(each | {"train.seed": seed}) for seed, each in enumerate(values)]
    begun, best, steps = perf_counter(), np.inf, 0
    training = begin(members, data, packed=True)
    for _ in training.epochs:
        best, steps = min(best, float(training.members.best.min())), steps + training.order.steps
        active = np.flatnonzero(training.members.active).tolist()
        if 0 < len(active) <= training.learner.size // 2:  # those that have stopped leave
            training.change(active)
        if perf_counter() > deadline:
            break
    seconds = perf_counter() - begun
    print(
        f"{params.data.name} {params.model.hidden}, {len(members)} networks in {training.learner.precision}: "
        f"{seconds:.1f} s, {steps} steps, {len(active)} still in training, best val/rmse {best:.4f}",
        flush=True,
    )
    return {"members": len(members), "seconds": seconds, "steps": steps, "active": len(active), "rmse": best}


def cifar(folder: Path, device: torch.device, deadline: float, *, quick: bool) -> Result:
    """Validation accuracy after so many epochs and seconds."""
    params, data = prepared(CIFAR | (QUICK_CIFAR if quick else {}), folder, device)
    begun, accuracies = perf_counter(), list[float]()
    training = begin([params], data, packed=False)
    for epoch in training.epochs:
        accuracies.append(float(epoch.metrics["val/accuracy"][0]))
        if perf_counter() > deadline:
            break
    seconds = perf_counter() - begun
    print(
        f"{params.data.name} {params.model.name} in {training.learner.precision}: {seconds:.1f} s, "
        f"{len(accuracies)} of {params.train.epochs} epochs, val/accuracy {accuracies[-1]:.4f}",
        flush=True,
    )
    return {"seconds": seconds, "epochs": params.train.epochs, "accuracies": accuracies}


def prepared(settings: Values, folder: Path, device: torch.device) -> tuple[Params, TrainingData]:
    """A configuration and its data, on the device."""
    params = load_params().replace(settings | {"train.device": device.type})
    fetch(params.data, params.fetch, folder / "raw")
    prepare(params.data, folder / "raw", folder / "processed")
    return params, load_training_data(params, folder / "processed" / params.data.name)


def drawn(space: dict[str, dict[str, Any]], count: int) -> list[Values]:
    """So many values of each key, drawn from its interval."""
    random = np.random.default_rng(0)

    def draw(low: float, high: float, *, log: bool) -> float:
        return exp(random.uniform(*map(logarithm, (low, high)))) if log else float(random.uniform(low, high))

    return [{key: draw(**interval) for key, interval in space.items()} for _ in range(count)]


def timed(work: Callable[[], None]) -> float:
    """Seconds; each side ends with a number that it has read off the device."""
    started = perf_counter()
    work()
    return perf_counter() - started


if __name__ == "__main__":
    main()
