"""One model as a pack of one: how it takes a step and how it is validated."""

from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from wellfit.data.augment.apply import Augment
from wellfit.data.store import Meta
from wellfit.models import build_model
from wellfit.models.dropout import start_epoch
from wellfit.models.head import head_width
from wellfit.models.inputs import Inputs
from wellfit.models.predict import predict
from wellfit.settings.params import Params
from wellfit.training.average import WeightAverage
from wellfit.training.layers import LayerStatistics
from wellfit.training.loop import batch_sizes
from wellfit.training.loss import Loss
from wellfit.training.mix import BatchMixer
from wellfit.training.optimizer import Optimizer
from wellfit.training.runtime import autocast, choose_precision, compiled
from wellfit.training.scores import Scores
from wellfit.training.tensors import Tensors


class Single:
    """A model with its optimizer, and the data it learns from.

    Args:
        params: the configuration; ``train.seed`` decides initial weights and dropout.
        meta: what is known of the data.
        train: training rows on the device.
        val: validation rows on the device.

    Attributes:
        inputs: encodes stored rows for the model.
        layers: takes in the gradients of each step, where somebody wants to know.
    """

    size = 1
    layers: LayerStatistics | None = None

    def __init__(self, params: Params, meta: Meta, train: Tensors, val: Tensors) -> None:
        torch.manual_seed(params.train.seed)
        self.inputs = Inputs(meta, train.x.device)
        self.model = build_model(params.model, self.inputs.shape, head_width(params.loss.name, meta))
        self.model.to(train.x.device)
        self.train, self.val = train, val
        self._config = params.train
        work = self.multiply_adds(params.train.batch_size)
        self.precision = choose_precision(params.train.precision, train.x.device, work)
        self._forward = compiled(self.model) if params.train.compile else self.model
        self._loss = Loss([params.loss], meta, train.x.device)
        self._loss.check(train.y)
        self._loss.check(val.y)
        self._optimizer = Optimizer([params.optim], self.model)
        # Nothing to do costs nothing.
        self._augment = None if params.data.augment == "none" else Augment(params.data.augment, params.train.seed)
        self._mix = BatchMixer(params.regularize, params.train.seed, train.x.device)
        self._average = WeightAverage([params.regularize], [params.train.epochs], self.model, self._optimizer.values)
        self._scores = Scores(meta, self._loss)
        self._start_epoch()

    def _start_epoch(self) -> None:
        self._outputs: list[Tensor] = []
        self._rows: list[Tensor] = []
        self._grad_norms: list[Tensor] = []

    def step(self, rows: Tensor, lr: np.ndarray) -> None:
        """One optimizer step, from the gradients of one batch or of ``train.accumulate`` of them.

        Args:
            rows: (1, B) indices of training rows.
            lr: (1,) learning rate.
        """
        self._optimizer.zero_grad()
        if self._config.accumulate == 1:
            self._backward(rows[0])
        else:
            mass = self._loss.mass(*self.train.targets_of(rows[0]))
            for batch in rows[0].split(batch_sizes(rows.shape[1], self._config.batch_size)):
                self._backward(batch, mass)
        if self.layers is not None:
            self.layers.after_backward()
        norm = self._optimizer.step(lr)
        self._average.after_step()
        self._grad_norms.append(norm)

    def _backward(self, rows: Tensor, mass: Tensor | None = None) -> None:
        """Adds the gradients of a batch.

        Args:
            rows: (B,) indices of training rows.
            mass: of all rows of the step, of which the batch is a part; None: it is all of them.
        """
        targets, weights = self.train.targets_of(rows)
        x = self.train.x.index_select(0, rows)
        if self._augment:
            x = self._augment(x)
        x, partner, share = self._mix(self.inputs(x))
        with autocast(self.precision, x.device):
            outputs = self._forward(x)
        outputs = outputs.float()  # losses and scores are in float32
        loss = self._loss(outputs, targets, weights)
        if partner is not None:
            others = None if weights is None else weights[partner]
            loss = share * loss + (1 - share) * self._loss(outputs, targets[partner], others)
        if mass is not None:
            loss = loss * (self._loss.mass(targets, weights) / mass)
        loss.backward()
        # Kept, not reduced: an epoch is scored once, from all its outputs, with no wait for the device in between.
        self._outputs.append(outputs.detach())
        self._rows.append(rows)

    def finish_epoch(self, numbers: np.ndarray) -> dict[str, np.ndarray]:
        """``train/...`` metrics over the rows of the epoch's steps, as they were seen (dropout on), each (1,).

        Mixed rows are scored against their own targets, not their partners'.

        Args:
            numbers: (1,) of the epoch, counted from 1.
        """
        outputs = torch.cat(self._outputs)[None]
        targets, weights = self.train.targets_of(torch.cat(self._rows)[None])
        norm = torch.stack(self._grad_norms).mean(0).cpu().numpy()
        self._start_epoch()
        start_epoch(self.model)
        self._average.after_epoch(numbers)
        # To rank the training rows of many classes would take a tenth of an epoch; the validation rows are few.
        scores = self._scores(outputs, targets, weights, ranked=outputs.shape[-1] <= 2)
        return {f"train/{k}": v for k, v in scores.items()} | {"grad_norm": norm}

    def score(self, rows: Tensors, *, ranked: bool) -> dict[str, np.ndarray]:
        """Loss and scores of rows as the network predicts them, each (1,), in the precision of the training.

        That is without dropout, noise, mixing or augmentation, and with averaged weights where there are any.

        Args:
            rows: of any split, on the device.
            ranked: whether they are sorted for the scores that look at their order.
        """
        with self._average.in_place(), autocast(self.precision, rows.x.device):
            outputs = predict(self.model, self.inputs, rows.x).float()[None]
        weights = None if rows.weights is None else rows.weights[None]
        return self._scores(outputs, rows.y[None], weights, ranked=ranked)

    def validate(self) -> dict[str, np.ndarray]:
        """``val/...`` metrics of the validation split, each (1,)."""
        return {f"val/{name}": values for name, values in self.score(self.val, ranked=True).items()}

    def weights(self, member: int) -> dict[str, Tensor]:
        """A copy of the member's weights and buffers, or of their average, as they were validated."""
        with self._average.in_place():
            return {name: tensor.detach().clone() for name, tensor in self.model.state_dict().items()}

    def multiply_adds(self, batch_size: int) -> int:
        """Multiply-adds of linear layers and convolutions in a forward pass over a batch."""
        total = 0

        def count(layer: nn.Module, _: object, output: Tensor) -> None:
            nonlocal total
            positions = output[0, 0].numel()  # 1 for a linear layer, H * W for a convolution
            total += cast(Tensor, layer.weight).numel() * positions

        layers = [m for m in self.model.modules() if isinstance(m, nn.Linear | nn.Conv2d)]
        hooks = [layer.register_forward_hook(count) for layer in layers]
        predict(self.model, self.inputs, self.train.x[:1])
        for hook in hooks:
            hook.remove()
        return total * batch_size
