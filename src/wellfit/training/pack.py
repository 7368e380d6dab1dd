"""K models of one architecture that train as one: what sets wellfit's tuning apart.

A small network's step is mostly overhead. Learning rate, dropout, weight decay and the like do not change the shapes,
so the steps of K trials can be one step of stacked networks, with one kernel for a layer of all of them. Each member is
what it would be alone: its initial weights, the order of its batches and its dropout come from its own seed, and no
number of one member reaches another.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from wellfit.data.augment.apply import Augment
from wellfit.data.store import Meta
from wellfit.models import build_model
from wellfit.models.dropout import start_epoch
from wellfit.models.head import head_width
from wellfit.models.inputs import Inputs
from wellfit.models.packed import change_members, member_state, packed
from wellfit.settings.params import Params
from wellfit.training.average import WeightAverage
from wellfit.training.loop import batch_sizes
from wellfit.training.loss import Loss
from wellfit.training.mix import BatchMixer
from wellfit.training.optimizer import Optimizer
from wellfit.training.record import resolved_config
from wellfit.training.schedule import ScheduleConfig
from wellfit.training.scores import Scores
from wellfit.training.tensors import Tensors

# What each member of a pack has of its own. In all other settings its members agree.
VECTORS = {
    "model": ("dropout", "input_dropout", "init", "init_std"),
    "loss": ("label_smoothing", "focal_gamma", "delta"),
    "regularize": ("input_noise", "mixup", "cutmix", "ema_decay", "swa_start"),
    "optim": (
        *("lr", "weight_decay", "l1", "clip_norm", "clip_value", "max_norm"),
        *("momentum", "nesterov", "beta1", "beta2", "alpha", "eps"),
    ),
    "schedule": tuple(ScheduleConfig.model_fields),
    "train": ("seed", "epochs", "patience", "min_delta"),
}
ENCODED_BYTES = 2**28  # up to which the rows are encoded once and not in each batch
ROWS_AT_ONCE = 2**15  # of all members together in a forward pass without gradients


def pack_key(params: Params) -> str:
    """What two members have to share to train in one pack, as text."""
    config = resolved_config(params)
    return str({name: {k: v for k, v in config[name].items() if k not in VECTORS.get(name, ())} for name in config})


def can_pack(params: Params) -> bool:
    """Whether the network and its training are made for packs: multilayer perceptrons in full precision."""
    return params.model.entry.packs and params.train.precision == "fp32" and not params.train.compile


class Pack:
    """K networks with their optimizers, and the data they learn from.

    Args:
        members: the configuration of each, of one :func:`pack_key`.
        meta: what is known of the data.
        train: training rows on the device.
        val: validation rows on the device.
    """

    def __init__(self, members: Sequence[Params], meta: Meta, train: Tensors, val: Tensors) -> None:
        self._params = list(members)
        self._meta, self.train, self.val = meta, train, val
        self.inputs = Inputs(meta, train.x.device)
        self._rows = train.x
        self._is_encoded = members[0].data.augment == "none" and 4 * train.x.numel() <= ENCODED_BYTES
        if self._is_encoded:
            self._rows = self.inputs(train.x)
        self._val_rows = self.inputs(val.x).flatten(1)
        self.model = packed([self._build(params) for params in members]).to(train.x.device)
        self._optimizer = Optimizer([params.optim for params in members], self.model, packed=True)
        self._average = self._averages(members)
        self._augments, self._mixers = self._disturbances(members)
        self._set_loss()
        self._loss.check(train.y)
        self._loss.check(val.y)
        self._start_epoch()

    @property
    def size(self) -> int:
        """K."""
        return len(self._params)

    def _build(self, params: Params) -> torch.nn.Module:
        torch.manual_seed(params.train.seed)
        return build_model(params.model, self.inputs.shape, head_width(params.loss.name, self._meta))

    def _averages(self, members: Sequence[Params]) -> WeightAverage:
        configs, epochs = [params.regularize for params in members], [params.train.epochs for params in members]
        return WeightAverage(configs, epochs, self.model, self._optimizer.values, packed=True)

    def _disturbances(self, members: Sequence[Params]) -> tuple[list[Augment], list[BatchMixer]]:
        device = self.train.x.device
        mixers = [BatchMixer(params.regularize, params.train.seed, device) for params in members]
        if members and members[0].data.augment == "none":
            return [], mixers
        return [Augment(params.data.augment, params.train.seed) for params in members], mixers

    def _set_loss(self) -> None:
        self._loss = Loss([params.loss for params in self._params], self._meta, self.train.x.device)
        self._scores = Scores(self._meta, self._loss)
        self._mixes = not all(mixer.is_idle for mixer in self._mixers)

    def _start_epoch(self) -> None:
        self._outputs: list[Tensor] = []
        self._seen: list[Tensor] = []
        self._grad_norms: list[Tensor] = []

    def change(self, kept: Sequence[int], added: Sequence[Params] = ()) -> None:
        """Goes on with some of the members, between two epochs, and with new ones behind them.

        Args:
            kept: indices of those that stay, rising.
            added: the configuration of each new one, of the pack's :func:`pack_key`.
        """
        new = packed([self._build(params) for params in added]).to(self.train.x.device) if added else None
        change_members(self.model, kept, new)
        self._params = [self._params[k] for k in kept] + list(added)
        self._optimizer.change(self.model, kept, [params.optim for params in added])
        fresh = self._averages(added) if added else None
        self._average.change(self.model, self._optimizer.values, kept, fresh)
        augments, mixers = self._disturbances(added)
        self._augments = [self._augments[k] for k in kept if self._augments] + augments
        self._mixers = [self._mixers[k] for k in kept] + mixers
        self._set_loss()

    def step(self, rows: Tensor, lr: np.ndarray) -> None:
        """One optimizer step of each member.

        Args:
            rows: (K, B) indices of training rows.
            lr: (K,) learning rates.
        """
        config = self._params[0].train
        self._optimizer.zero_grad()
        if config.accumulate == 1:
            self._backward(rows)
        else:
            mass = self._loss.mass(*self.train.targets_of(rows))
            for batch in rows.split(batch_sizes(rows.shape[1], config.batch_size), dim=1):
                self._backward(batch, mass)
        self._grad_norms.append(self._optimizer.step(lr))
        self._average.after_step()

    def _backward(self, rows: Tensor, mass: Tensor | None = None) -> None:
        """Adds the gradients of a batch of each member.

        Args:
            rows: (K, B) indices of training rows.
            mass: (K,) of all rows of the step, of which the batch is a part; None: it is all of them.
        """
        targets, weights = self.train.targets_of(rows)
        x = self._rows.index_select(0, rows.flatten())
        if self._augments:
            parts = zip(self._augments, x.split(rows.shape[1]), strict=True)
            x = torch.cat([augment(part) for augment, part in parts])
        if not self._is_encoded:
            x = self.inputs(x)
        x = x.view(*rows.shape, *x.shape[1:])
        if self._mixes:
            mixed = [mixer(part) for mixer, part in zip(self._mixers, x, strict=True)]
            x = torch.stack([each.x for each in mixed])
        outputs = self.model(x)
        losses = self._loss(outputs, targets, weights)
        if self._mixes:
            unmixed = torch.arange(rows.shape[1], device=rows.device)
            partners = torch.stack([unmixed if each.partner is None else each.partner for each in mixed])
            shares = torch.tensor([each.share for each in mixed], device=rows.device)
            others = None if weights is None else weights.gather(1, partners)
            losses = shares * losses + (1 - shares) * self._loss(outputs, targets.gather(1, partners), others)
        if mass is not None:
            losses = losses * (self._loss.mass(targets, weights) / mass)
        losses.sum().backward()  # of sums, not means: a member's gradients know nothing of how many there are
        self._outputs.append(outputs.detach())
        self._seen.append(rows)

    def finish_epoch(self, numbers: np.ndarray) -> dict[str, np.ndarray]:
        """``train/...`` metrics over the rows of the epoch's steps, as they were seen (dropout on), each (K,).

        Args:
            numbers: (K,) of the epoch of each member, counted from 1.
        """
        outputs = torch.cat(self._outputs, dim=1)
        targets, weights = self.train.targets_of(torch.cat(self._seen, dim=1))
        # Along rows: down columns, torch adds up in an order that depends on how many there are.
        norms = torch.stack(self._grad_norms, 1).mean(1).cpu().numpy()
        self._start_epoch()
        start_epoch(self.model)
        self._average.after_epoch(numbers)
        scores = self._scores(outputs, targets, weights, ranked=outputs.shape[-1] <= 2)
        return {f"train/{name}": values for name, values in scores.items()} | {"grad_norm": norms}

    @torch.inference_mode()
    def score(self, rows: Tensors, *, ranked: bool) -> dict[str, np.ndarray]:
        """Loss and scores of rows as the networks predict them, each (K,).

        That is without dropout, noise or mixing, and with averaged weights where there are any.

        Args:
            rows: of any split, on the device.
            ranked: whether they are sorted for the scores that look at their order.
        """
        encoded = self._val_rows if rows is self.val else self.inputs(rows.x).flatten(1)
        self.model.eval()
        with self._average.in_place():
            chunks = encoded.split(max(1, ROWS_AT_ONCE // self.size))
            outputs = torch.cat([self.model(chunk.expand(self.size, -1, -1)) for chunk in chunks], dim=1)
        self.model.train()
        shape = outputs.shape[:2]
        weights = None if rows.weights is None else rows.weights.expand(shape)
        return self._scores(outputs, rows.y.expand(shape), weights, ranked=ranked)

    def validate(self) -> dict[str, np.ndarray]:
        """``val/...`` metrics of the validation split, each (K,)."""
        return {f"val/{name}": values for name, values in self.score(self.val, ranked=True).items()}

    def weights(self, member: int) -> dict[str, Tensor]:
        """A copy of the member's weights and buffers, or of their average, as they were validated."""
        with self._average.in_place():
            return member_state(self.model, member)
