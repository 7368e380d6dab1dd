"""Rows as networks take them, and the training batches that are made of them: augmented, encoded, mixed."""

import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from wellfit.data.augment.apply import Augment
from wellfit.data.scratch import forget, joined
from wellfit.models.inputs import Inputs
from wellfit.settings.params import Params
from wellfit.training.ahead import Ahead, moved
from wellfit.training.mix import BatchMixer
from wellfit.training.stream import as_tensor
from wellfit.training.tensors import Tensors

ENCODED_BYTES = 2**28  # of the rows of a split, up to which they are encoded once and not in every batch
MOST_TIMES = 2  # as many bytes as rows take as they are stored: above, to read them costs more than to encode them
PART_BYTES = 2**22  # of encoded rows that are made at a time: meanwhile they take some fifteen times that


class Rows(NamedTuple):
    """Rows of a split.

    Attributes:
        x: (n, ...) as they are stored, or encoded.
        encode: makes encoded rows of them.
        device: that the networks are on.
        forget: gives back the memory of what was read of ``x``, where that is in a file; None: it is in memory.
    """

    x: Tensor
    encode: Callable[[Tensor], Tensor]
    device: torch.device
    forget: Callable[[], None] | None = None

    def at(self, indices: Tensor) -> Tensor:
        """Some of them, on the device.

        Args:
            indices: (m,) on the device.
        """
        if self.x.device == indices.device:
            return self.x.index_select(0, indices)
        return self.x.index_select(0, indices.cpu()).to(indices.device)  # of a file, which is on the host

    def encoded_at(self, indices: Tensor) -> Tensor:
        """Some of them, encoded, as :meth:`encoded` gives a part."""
        return self.encoded(self.at(indices))

    def encoded(self, part: Tensor) -> Tensor:
        """A part of ``x``, encoded on the device, whose memory on the host is given back if it is of a file."""
        found = self.encode(part.to(self.device))
        if self.forget is not None:
            self.forget()  # all parts together may be more than memory holds
        return found


def rows_of(split: Tensors, inputs: Inputs, *, encodes_once: bool) -> Rows:
    """The rows of a split.

    Args:
        split: as it is stored.
        inputs: encodes rows.
        encodes_once: whether all are encoded here, if that does not take too much memory.
    """
    x, row_bytes = split.x, _encoded_bytes(inputs)
    if split.stream is None and encodes_once and row_bytes * len(x) <= ENCODED_BYTES:
        encoded = torch.empty(len(x), *inputs.shape, device=x.device)
        size = max(1, PART_BYTES // row_bytes)
        for part, rows in zip(encoded.split(size), x.split(size), strict=True):
            part.copy_(inputs(rows))
        return Rows(encoded, _unchanged, split.device)
    return Rows(x, inputs, split.device, None if split.stream is None else split.stream.forget)


def kept_encoded(rows: Rows, inputs: Inputs) -> Rows:
    """The same rows, encoded in a scratch file, of which each epoch reads them.

    They stay as they are where they are encoded already, or images, where they would take more than twice as much,
    where a GPU encodes them, and where the disk is full.

    Args:
        rows: as `rows_of` gives them.
        inputs: encodes rows.
    """
    row_bytes = _encoded_bytes(inputs)
    if rows.encode is not inputs or rows.x.ndim != 2 or row_bytes > MOST_TIMES * rows.x[:1].nbytes:
        return rows
    if rows.device.type != "cpu":
        return rows
    parts = (rows.encoded(part).numpy() for part in rows.x.split(max(1, PART_BYTES // row_bytes)))
    with suppress(OSError):
        found = joined(parts, np.empty((0, *inputs.shape), np.float32), len(rows.x), budget=0)
        return Rows(as_tensor(found), _unchanged, rows.device, partial(forget, found))
    return rows


class Batch(NamedTuple):
    """A batch of each of K members; of a plain network without the first dimension.

    Attributes:
        x: (K, B, *input_shape).
        targets: (K, B).
        weights: (K, B) how much each row counts, or None where all count alike.
        partners: (K, B) the row of the batch that each row is mixed with; None where nothing is mixed.
        shares: (K,) of a row's own part in it, 0 to 1.
    """

    x: Tensor
    targets: Tensor
    weights: Tensor | None
    partners: Tensor | None = None
    shares: Tensor | float = 1.0


class Batches:
    """Makes training batches, each member's with random numbers of its own.

    Args:
        train: the training rows.
        rows: the same as the networks take them.
        shape: of a row as the networks take it.
        packed: whether members have a first dimension.
    """

    def __init__(self, train: Tensors, rows: Rows, shape: Sequence[int], *, packed: bool) -> None:
        self._train, self._rows, self._is_packed = train, rows, packed
        self._augments: list[Augment] = []
        self._draws = Ahead(self._draw, train.device)
        self._mixer = BatchMixer(shape, train.device)

    def change(self, kept: Sequence[int], added: Sequence[Params], *, augmented: bool) -> None:
        """Goes on with some members and with new ones behind them.

        Args:
            kept: indices of those that stay.
            added: the configuration of each new one.
            augmented: whether ``data.augment`` is done to batches.
        """
        if augmented:
            augments = [Augment(params.data.augment, params.train.seed) for params in added]
            self._augments = [self._augments[k] for k in kept] + augments
        self._mixer.change(kept, [(params.regularize, params.train.seed) for params in added])

    def begin(self, sizes: Sequence[int]) -> None:
        """Moves to the device what the batches of an epoch need from the host.

        Args:
            sizes: B of each.
        """
        if self._augments:
            self._draws.begin(sizes)
        self._mixer.begin(sizes)

    def _draw(self, sizes: Sequence[int]) -> list[Tensor]:
        """Of each batch (purposes, K * B) random numbers for augmentation."""
        drawn = [np.concatenate([each.draw(size) for each in self._augments], 1) for size in sizes]
        return moved(drawn, self._train.device)

    def drawing(self) -> list[Augment | BatchMixer]:
        """All that has random numbers of its own."""
        return [*self._augments, self._mixer]

    def take(self, rows: Tensor) -> Batch:
        """A batch of each member.

        Args:
            rows: (K, B) indices of training rows, or (B,).
        """
        x = self._rows.at(rows.flatten())
        if self._augments:
            x = self._augments[0](x, self._draws.next(rows.shape[-1]))  # all members have the same operations
        x = self._rows.encode(x)
        x = x.view(*rows.shape, *x.shape[1:])
        batch = Batch(x, *self._train.targets_of(rows))
        if self._mixer.is_idle:
            return batch
        mixed = self._mixer(x if self._is_packed else x[None])
        x, partners, shares = mixed
        if not self._is_packed:
            x, partners = x[0], None if partners is None else partners[0]
            shares = shares[0] if isinstance(shares, Tensor) else shares
        return batch._replace(x=x, partners=partners, shares=shares)


def _encoded_bytes(inputs: Inputs) -> int:
    """Of a row."""
    return 4 * math.prod(inputs.shape)


def _unchanged(rows: Tensor) -> Tensor:
    return rows
