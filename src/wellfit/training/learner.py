"""K networks that learn in step.

A step of a small network is mostly overhead. Learning rate, dropout, weight decay and the like do not change shapes, so
the steps of K trainings can be one step of stacked networks, with one kernel for a layer of all of them. Each member is
what it would be alone: its initial weights, the order of its batches and its dropout come from its own seed, and no
number of one member reaches another.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from wellfit.data.meta import Meta
from wellfit.models import build_model
from wellfit.models.dropout import start_epoch, streams
from wellfit.models.inputs import inputs_of
from wellfit.models.kept import Kept
from wellfit.models.packed import PackedNetwork, change_members, member_state, packed
from wellfit.models.predict import multiply_adds, predict, predict_own
from wellfit.settings.params import Params
from wellfit.training.average import WeightAverage
from wellfit.training.batch_norm import synchronize
from wellfit.training.batches import Batches, kept_encoded, rows_of
from wellfit.training.distributed import Ranks
from wellfit.training.folds import Folds
from wellfit.training.layers import LayerStatistics
from wellfit.training.loop import batch_sizes
from wellfit.training.loss import head_width
from wellfit.training.mean_loss import MeanLoss
from wellfit.training.metrics import scores
from wellfit.training.optimizer import Optimizer
from wellfit.training.runtime import autocast, choose_precision, compiled
from wellfit.training.tensors import Tensors


class Learner:
    """K members with their optimizers, and the rows they learn from.

    The members of a pack are one network (`wellfit.models.packed`), whose tensors have a first dimension K. Any other
    network is a single member. Its tensors have no such dimension: rows of a batch are (B,) and its loss is ().

    Args:
        members: the configuration of each, of one `wellfit.training.pack.pack_key`. ``train.seed`` decides initial
            weights, dropout and whatever else is random.
        meta: what is known of the data.
        train: training rows on the device.
        val: validation rows on the device.
        folds: of a cross-validation, whose rows take the place of ``train`` and ``val``: each member validates the fold
            ``train.fold``. None: there are none.
        body: weights that the body of the network begins with, by name. None: random ones.
        packed: whether the network is packed, be it of one member.
        ranks: the processes that train a single network together, each of which takes its share of the rows of a step;
            None: this one trains alone.

    Attributes:
        inputs: encodes stored rows for the network.
        model: the network.
        precision: ``fp32`` or ``bf16``, in which forward passes compute; chosen by a member's work, not by the pack's.
        multiply_adds: of a forward pass over a batch of each member.
        layers: takes in the gradients of each step of a plain network, where somebody wants to know.

    Raises:
        ValueError: several members of a network that is not packed.
        WellfitError: a setting that does not fit the data or the device.
    """

    layers: LayerStatistics | None = None

    def __init__(
        self,
        members: Sequence[Params],
        meta: Meta,
        train: Tensors,
        val: Tensors,
        folds: Folds | None = None,
        body: Mapping[str, Tensor] | None = None,
        *,
        packed: bool,
        ranks: Ranks | None = None,
    ) -> None:
        if not packed and len(members) != 1:
            raise ValueError(f"a network that is not packed has 1 member, got {len(members)}")
        first, device = members[0], train.device
        self.is_packed, self._ranks = packed, ranks
        if folds is not None:
            train, val = folds.pool, folds.validated(first.train.fold)
        self.train, self.val, self._meta, self._body, self._folds = train, val, meta, body, folds
        self._own_rows: tuple[Tensor, Tensor | None] | None = None  # that members validate, and how much each counts
        self.inputs = inputs_of(first.model, meta, device)
        self.model = self._build(members)
        if ranks:
            synchronize(self.model, ranks)
        self._is_augmented = first.data.augment != "none" and meta.kind == "images"  # copies of features are rows
        # Images of a plain network stay bytes: its step costs far more than to encode a batch of them.
        encodes_once = packed or train.x.ndim == 2
        self._train_rows = rows_of(train, self.inputs, encodes_once=encodes_once and not self._is_augmented)
        self._val_rows = rows_of(val, self.inputs, encodes_once=encodes_once)
        self._batches = Batches(train, self._train_rows, self.inputs.shape, packed=packed)
        self._per_batch = first.train.rows_per_batch(meta)
        self.multiply_adds = self._per_batch * multiply_adds(self.model, self.inputs, train.x[:1].to(device))
        self.precision = choose_precision(first.train.precision, device, self.multiply_adds / len(members))
        self._forward: Callable[[Tensor], Tensor] = compiled(self.model) if first.train.compile else self.model
        self._params: list[Params] = []
        self._set_members([], members)
        self._loss.check(train.y)
        self._loss.check(val.y)
        self._optimizer = Optimizer([params.optim for params in members], self.model, packed=packed)
        if ranks:
            for tensor in (self._optimizer.values, *self.model.buffers()):
                ranks.broadcast(tensor)
        self._average = self._averages(members)
        self._forget_steps()

    @property
    def size(self) -> int:
        """K."""
        return len(self._params)

    def _build(self, members: Sequence[Params]) -> nn.Module:
        models, width = [], head_width(members[0].loss.name, self._meta)
        for params in members:
            torch.manual_seed(params.train.seed)
            models.append(build_model(params.model, self.inputs.shape, width, self.inputs.columns))
            if self._body is not None:
                body = models[-1].get_submodule("body")  # which may be a part of the whole one
                body.load_state_dict({name: self._body[name] for name in body.state_dict()})
        return (packed(models) if self.is_packed else models[0]).to(self.train.device)

    def _set_members(self, kept: Sequence[int], added: Sequence[Params]) -> None:
        """Settings, random numbers and loss of those that stay and of new ones behind them."""
        self._params = [self._params[k] for k in kept] + list(added)
        self._batches.change(kept, added, augmented=self._is_augmented)
        self._loss = MeanLoss([params.loss for params in self._params], self._meta, self.train.device)
        if self._folds is not None and self.is_packed:
            self._own_rows = self._folds.validated_by([params.train.fold for params in self._params])

    def _averages(self, members: Sequence[Params]) -> WeightAverage:
        configs, epochs = [params.regularize for params in members], [params.train.epochs for params in members]
        return WeightAverage(configs, epochs, self.model, self._optimizer.values, packed=self.is_packed)

    def _forget_steps(self) -> None:
        # Kept, not reduced: an epoch is scored once, from all its outputs, with no wait for the device in between.
        self._outputs: list[Tensor] = []
        self._kept = Kept()
        self._rows: list[Tensor] = []
        self._grad_norms: list[Tensor] = []

    def change(self, kept: Sequence[int], added: Sequence[Params] = ()) -> None:
        """Goes on with some of the members of a pack, between two epochs, and with new ones behind them.

        Args:
            kept: indices of those that stay, rising.
            added: the configuration of each new one, of the pack's `wellfit.training.pack.pack_key`.
        """
        change_members(self.model, kept, self._build(added) if added else None)
        self._set_members(kept, added)
        self._optimizer.change(self.model, kept, [params.optim for params in added])
        self._average.change(self.model, self._optimizer.values, kept, self._averages(added) if added else None)

    def state_dict(self) -> dict[str, Any]:
        """Weights, averages and statistics of layers; between two epochs."""
        return {
            "precision": self.precision,
            "optimizer": self._optimizer.state_dict(),
            "average": self._average.state_dict(),
            "buffers": dict(self.model.named_buffers()),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes over what :meth:`state_dict` said of a learner of the same members."""
        self.precision = state["precision"]  # what `auto` chose, be it on another machine
        self._optimizer.load_state_dict(state["optimizer"])
        self._average.load_state_dict(state["average"])
        for name, buffer in self.model.named_buffers():
            buffer.copy_(state["buffers"][name])

    def random_state(self) -> list[Any]:
        """Where all random numbers are; between two epochs."""
        return [each.state_dict() for each in (*self._batches.drawing(), *streams(self.model))]

    def load_random_state(self, state: Sequence[Any]) -> None:
        """Takes over what :meth:`random_state` said of a learner of the same members."""
        drawing = [*self._batches.drawing(), *streams(self.model)]
        for each, remembered in zip(drawing, state, strict=True):
            each.load_state_dict(remembered)

    def begin_epoch(self, sizes: Sequence[int], lrs: np.ndarray) -> None:
        """Moves to the device what steps need from the host, so that none of them waits for it.

        Args:
            sizes: rows of each step.
            lrs: (steps, K) learning rates.
        """
        self._optimizer.begin(lrs)
        self._average.begin(len(sizes))
        batches = [rows for size in sizes for rows in batch_sizes(size, self._per_batch)]
        self._batches.begin([self._ranks.rows_of(rows) for rows in batches] if self._ranks else batches)

    def step(self, rows: Tensor, lr: np.ndarray) -> None:
        """One optimizer step of each member, from the gradients of one batch or of ``train.accumulate`` of them.

        Args:
            rows: (K, B) indices of training rows.
            lr: (K,) learning rates.
        """
        rows = rows if self.is_packed else rows[0]
        self._optimizer.zero_grad()
        if self._params[0].train.accumulate == 1 and self._ranks is None:
            self._backward(rows)
        else:
            weight_sum = self._loss.weight_sum(*self.train.targets_of(rows))
            for batch in rows.split(batch_sizes(rows.shape[-1], self._per_batch), dim=-1):
                self._backward(batch, weight_sum)
        if self._ranks is not None:
            self._ranks.sum(self._optimizer.gradients)
        if self.layers is not None:
            self.layers.after_backward()
        self._grad_norms.append(self._kept.copy_of(self._optimizer.step(lr)))
        self._average.after_step()

    def _backward(self, batch: Tensor, weight_sum: Tensor | float | None = None) -> None:
        """Adds the gradients of a batch of each member, or of this process's share of it.

        Args:
            batch: (K, B) indices of training rows; of a plain network without K, as all that follows.
            weight_sum: (K,) of all rows of the step (`MeanLoss.weight_sum`), where the batch is a part of them.
        """
        rows = batch if self._ranks is None else self._ranks.share(batch)
        x, targets, weights, partners, shares = self._batches.take(rows)  # x (K, B, *input_shape)
        with autocast(self.precision, x.device):
            outputs = self._forward(x).float()  # (K, B, C); losses and scores are in float32
        losses = self._loss(outputs, targets, weights)
        if partners is not None:
            others = None if weights is None else weights.gather(-1, partners)
            losses = shares * losses + (1 - shares) * self._loss(outputs, targets.gather(-1, partners), others)
        if weight_sum is not None:
            losses = losses * (self._loss.weight_sum(targets, weights) / weight_sum)
        losses.backward(torch.ones_like(losses))  # of sums, not means: gradients do not depend on how many members
        outputs = outputs.detach()
        outputs = outputs if self._ranks is None else self._ranks.spread(outputs, len(batch))
        self._outputs.append(self._kept.copy_of(outputs))
        self._rows.append(batch)

    def finish_epoch(self, numbers: np.ndarray) -> dict[str, np.ndarray]:
        """``train/...`` metrics over the rows of the epoch's steps, as they were seen (dropout on), each (K,).

        Mixed rows are scored against their own targets, not their partners'.

        Args:
            numbers: (K,) of the epoch of each member, counted from 1.
        """
        outputs = torch.cat(self._outputs, dim=-2)
        if self._ranks is not None:
            self._ranks.sum(outputs)
        outputs = outputs.view(self.size, *outputs.shape[-2:])
        targets, weights = self.train.targets_of(torch.cat(self._rows, dim=-1).view(self.size, -1))
        # Along rows: down columns, torch adds up in an order that depends on how many there are.
        norms = torch.stack(self._grad_norms, 1).mean(1).cpu().numpy()
        self._forget_steps()
        start_epoch(self.model)
        self._average.after_epoch(numbers)
        # To rank the training rows of many classes would take a tenth of an epoch; the validation rows are few.
        found = scores(self._meta, self._loss, outputs, targets, weights, ranked=outputs.shape[-1] <= 2)
        return {f"train/{name}": values for name, values in found.items()} | {"grad_norm": norms}

    def score(self, rows: Tensors, *, ranked: bool) -> dict[str, np.ndarray]:
        """Loss and scores of rows as the networks predict them, each (K,), in the precision of the training.

        That is without dropout, noise, mixing or augmentation, and with averaged weights where there are any.

        Args:
            rows: n rows of any split, on the device.
            ranked: whether they are sorted for the scores that look at their order.
        """
        stored = rows_of(rows, self.inputs, encodes_once=False)
        if rows is self.val:  # encoded here and not before: to measure the size of packs, nothing is scored
            stored = self._val_rows = kept_encoded(self._val_rows, self.inputs)
        with self._average.in_place(), autocast(self.precision, stored.device):
            own = stored.x if self._ranks is None else self._ranks.share(stored.x)
            outputs = predict(self.model, stored.encoded, own).float()
        if self._ranks is not None:
            outputs = self._ranks.sum(self._ranks.spread(outputs, len(stored.x)))
        shape = self.size, len(rows.y)
        weights = None if rows.weights is None else rows.weights.expand(shape)
        return scores(self._meta, self._loss, outputs.view(*shape, -1), rows.y.expand(shape), weights, ranked=ranked)

    def validate(self) -> dict[str, np.ndarray]:
        """``val/...`` metrics of the validation split, or of each member's own fold, each (K,)."""
        found = self._score_own(*self._own_rows) if self._own_rows else self.score(self.val, ranked=True)
        return {f"val/{name}": values for name, values in found.items()}

    def _score_own(self, rows: Tensor, weights: Tensor | None) -> dict[str, np.ndarray]:
        """Loss and scores as of :meth:`score`, of other rows for each member, (K, n)."""
        with self._average.in_place(), autocast(self.precision, rows.device):
            model, shape = cast(PackedNetwork, self.model), self.inputs.shape
            outputs = predict_own(model, self._train_rows.encoded_at, rows, shape).float()
        return scores(self._meta, self._loss, outputs, self.train.targets_of(rows)[0], weights, ranked=True)

    def weights(self, member: int) -> dict[str, Tensor]:
        """A copy of the member's weights and buffers, or of their average, as they were validated."""
        with self._average.in_place():
            if self.is_packed:
                return member_state(self.model, member)
            return {name: tensor.detach().clone() for name, tensor in self.model.state_dict().items()}
