"""The rows that each model of a cross-validation is trained on, and those that it validates."""

from collections.abc import Sequence
from itertools import chain
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from wellfit.data.meta import Meta
from wellfit.data.scratch import chosen_blocks, joined, row_blocks
from wellfit.data.store import Split
from wellfit.training.tensors import Tensors, to_tensors


class Folds(NamedTuple):
    """The folds of all rows but the test rows.

    Attributes:
        pool: the n rows: those of the train split, then those of the validation split, which is fold 0. On disk, those
            of each fold stand together.
        fold: (n,) int64 which fold validates each, -1 for none: a row that is older than those of all folds.
    """

    pool: Tensors
    fold: Tensor

    @property
    def n_folds(self) -> int:
        """K."""
        return int(self.fold.max()) + 1

    def trains(self, fold: int) -> Tensor:
        """(n,) whether the model of a fold is trained on each row: that of fold 0 on those of the train split.

        They are the rows of the other folds. Where rows are cut by time, they are those that are older.
        """
        if self.fold.min() < 0:
            return (self.fold > fold) | (self.fold < 0)
        return self.fold != fold

    def validation(self, fold: int) -> Tensor:
        """Rising indices of the rows that it validates: of fold 0 those of the validation split."""
        return torch.nonzero(self.fold == fold).flatten()

    def validated(self, fold: int) -> Tensors:
        """The rows that it validates."""
        rows = self.validation(fold)
        if self.pool.stream is not None:
            return self.pool.between(int(rows[0]), int(rows[-1]) + 1)
        weights = None if self.pool.weights is None else self.pool.weights[rows]
        return Tensors(self.pool.x[rows], self.pool.y[rows], weights)

    def validated_by(self, folds: Sequence[int]) -> tuple[Tensor, Tensor | None]:
        """The rows that several models validate, as many for each.

        Args:
            folds: of each of K models.

        Returns:
            (K, n) their indices; a model with fewer rows than another has its last one again. And (K, n) how much each
            row counts, 0 where it stands there again; None where all count alike.
        """
        own = [self.validation(fold) for fold in folds]
        longest = max(map(len, own))
        rows = torch.stack([torch.cat([each, each[-1:].expand(longest - len(each))]) for each in own])
        lengths = torch.tensor([len(each) for each in own], device=rows.device)[:, None]
        is_own = torch.arange(longest, device=rows.device) < lengths
        weights = self.pool.targets_of(rows)[1]
        if is_own.all():
            return rows, weights
        return rows, is_own.float() if weights is None else weights * is_own


def pooled(train: Split, val: Split, meta: Meta, device: torch.device, budget: int) -> Folds:
    """The rows of both splits, on the device, or on disk.

    Args:
        train: the train split, with its folds.
        val: the validation split.
        meta: what is known of the data.
        device: where to.
        budget: bytes; inputs that take more together are copied to a file, where the rows of a fold can be read alone.
    """
    assert train.folds is not None
    order = np.arange(len(train.y))
    if train.x.nbytes + val.x.nbytes > budget:
        order = np.argsort(train.folds, kind="stable")
    n_rows = len(train.y) + len(val.y)
    x = joined(chain(chosen_blocks(train.x, order), row_blocks(val.x)), train.x, n_rows, budget)
    both = [] if train.weights is None or val.weights is None else [train.weights[order], val.weights]
    y = np.concatenate([train.y[order], val.y])
    ids = np.concatenate([train.ids[order], val.ids])
    fold = np.concatenate([train.folds[order], np.zeros(len(val.y), np.int64)])
    split = Split(x, y, ids, np.concatenate(both) if both else None, fold)
    return Folds(to_tensors(split, meta, device, budget), torch.from_numpy(fold).to(device))
