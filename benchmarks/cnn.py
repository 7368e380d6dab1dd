"""A convolutional network against the plain loop, on one data set in memory, with the same threads.

All train the same network on the same 6,400 images of Fashion-MNIST with Adam and batches of 64, and score 1,000
validation images after each epoch: wellfit as `train` does, a plain loop over a DataLoader as in tutorials, the same in
channels_last, and that with autocast to bfloat16; Lightning and skorch where they are installed. They take turns in one
process; a ratio is the median of the ratios of the rounds.

    WELLFIT_MIRROR=... python benchmarks/cnn.py
"""

import json
import platform
import statistics
import tempfile
import warnings
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from importlib import import_module
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from wellfit.data.fetch import fetch
from wellfit.data.prepare import prepare
from wellfit.machine import core_count
from wellfit.models.inputs import Inputs
from wellfit.settings.params import Params, load_params
from wellfit.training.setup import TrainingData, begin, load_training_data
from wellfit.training.tensors import Tensors

ROUNDS, EPOCHS, BATCH, LR = 5, 1, 64, 1e-3
ROWS, VAL_ROWS = 6_400, 1_000
RESULTS = Path(__file__).parent / "results" / "cnn.json"
SETTINGS = {
    "data.name": "fashion_mnist",
    "model.name": "cnn",
    "model.channels": [32, 64, 128],
    "model.dropout": 0.2,
    "optim.name": "adam",
    "optim.weight_decay": 0.0,
    "optim.lr": LR,
    "schedule.name": "constant",
    "schedule.warmup_epochs": 0,
    "train.epochs": EPOCHS,
    "train.batch_size": BATCH,
    "train.patience": None,
    "train.threads": core_count(),
    "train.device": "cpu",
}


def main() -> None:
    params = load_params().replace(SETTINGS)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        fetch(params.data, params.fetch, folder / "raw")
        prepare(params.data, folder / "raw", folder / "processed")
        data = load_training_data(params, folder / "processed" / "fashion_mnist")
    data = data._replace(train=_first(data.train, ROWS), val=_first(data.val, VAL_ROWS))
    inputs = Inputs(data.meta, "standard", torch.device("cpu"))
    train, val = (TensorDataset(inputs(rows.x), rows.y) for rows in (data.train, data.val))
    sides: dict[str, Callable[[], None]] = {
        "wellfit": lambda: ours(params, data),
        "plain loop": lambda: plain(train, val),
        "plain loop, channels_last": lambda: plain(train, val, channels_last=True),
        "plain loop, channels_last, bf16": lambda: plain(train, val, channels_last=True, bf16=True),
    }
    for module, side in (("lightning", with_lightning), ("skorch", with_skorch)):
        if find_spec(module):
            sides[module] = lambda side=side: side(train, val)
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(ROUNDS + 1):
        for name, side in sides.items():
            torch.manual_seed(0)
            torch.set_num_threads(core_count())
            torch.use_deterministic_algorithms(name == "wellfit", warn_only=True)
            started = perf_counter()
            side()
            if number:  # the first round warms up
                seconds[name].append((perf_counter() - started) / EPOCHS)
    cases = {}
    for name, own in seconds.items():
        ratios = sorted(theirs / mine for theirs, mine in zip(own, seconds["wellfit"], strict=True))
        cases[name] = {"seconds": [round(each, 3) for each in own], "ratio": round(statistics.median(ratios), 3)}
        print(
            f"{name:<32} {statistics.median(own):6.2f} s an epoch, {statistics.median(ratios):.2f} times wellfit's "
            f"({ratios[0]:.2f} to {ratios[-1]:.2f})"
        )
    machine = {"torch": torch.__version__, "machine": platform.machine(), "threads": core_count(), "rounds": ROUNDS}
    machine["bf16 in hardware"] = sorted(k for k, has in torch.cpu.get_capabilities().items() if has and "bf16" in k)
    RESULTS.write_text(json.dumps({"machine": machine, "sides": cases}, indent=2) + "\n")


def _first(rows: Tensors, count: int) -> Tensors:
    return Tensors(rows.x[:count].clone(), rows.y[:count].clone())


def ours(params: Params, data: TrainingData) -> None:
    for epoch in begin([params], data, packed=False).epochs:
        assert np.isfinite(epoch.metrics["val/loss"]).all()


def network(channels: Sequence[int] = (1, 32, 64, 128), outputs: int = 10, dropout: float = 0.2) -> nn.Sequential:
    """The network as tutorials write it.

    Args:
        channels: of the images, and of each block.
        outputs: number of classes.
        dropout: after each block.
    """
    layers: list[nn.Module] = []
    for inside, outside in pairwise(channels):
        layers += [
            nn.Conv2d(inside, outside, 3, padding=1, bias=False),
            nn.BatchNorm2d(outside),
            nn.ReLU(),
            nn.MaxPool2d(2, ceil_mode=True),
            nn.Dropout(dropout),
        ]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels[-1], outputs))


def plain(train: TensorDataset, val: TensorDataset, *, channels_last: bool = False, bf16: bool = False) -> None:
    order = torch.channels_last if channels_last else torch.contiguous_format
    model = network().to(memory_format=order)
    optimizer = torch.optim.Adam(model.parameters(), lr=LR)
    criterion = nn.CrossEntropyLoss()

    def loss_of(x: Tensor, y: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16) if bf16 else nullcontext():
            return criterion(model(x.to(memory_format=order)), y)

    for _ in range(EPOCHS):
        model.train()
        running_loss = 0.0
        for x, y in DataLoader(train, BATCH, shuffle=True):
            optimizer.zero_grad()
            loss = loss_of(x, y)
            loss.backward()
            optimizer.step()
            running_loss += loss.item()
        model.eval()
        with torch.no_grad():
            for x, y in DataLoader(val, 1000):
                running_loss += loss_of(x, y).item()


def with_lightning(train: TensorDataset, val: TensorDataset) -> None:
    lightning = import_module("lightning")

    class Module(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.model, self.criterion = network().to(memory_format=torch.channels_last), nn.CrossEntropyLoss()

        def training_step(self, batch: Any, _: int) -> Tensor:
            return self.criterion(self.model(batch[0].to(memory_format=torch.channels_last)), batch[1])

        def validation_step(self, batch: Any, _: int) -> None:
            self.log("val/loss", self.training_step(batch, 0))

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.Adam(self.parameters(), lr=LR)

    quiet = {
        "logger": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "enable_checkpointing": False,
    }
    with warnings.catch_warnings(action="ignore"):
        trainer = lightning.Trainer(max_epochs=EPOCHS, accelerator="cpu", num_sanity_val_steps=0, **quiet)
        trainer.fit(Module(), DataLoader(train, BATCH, shuffle=True), DataLoader(val, 1000))


def with_skorch(train: TensorDataset, val: TensorDataset) -> None:
    skorch = import_module("skorch")
    predefined_split = import_module("skorch.helper").predefined_split
    net = skorch.NeuralNetClassifier(
        network().to(memory_format=torch.channels_last),
        criterion=nn.CrossEntropyLoss,
        optimizer=torch.optim.Adam,
        lr=LR,
        max_epochs=EPOCHS,
        batch_size=BATCH,
        iterator_train__shuffle=True,
        train_split=predefined_split(val),
        verbose=0,
    )
    net.fit(train, y=None)


if __name__ == "__main__":
    main()
