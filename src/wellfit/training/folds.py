"""The rows that each model of a cross-validation is trained on, and those that it validates."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from wellfit.training.tensors import Tensors


class Folds(NamedTuple):
    """The folds of all rows but the test rows.

    Attributes:
        pool: the n rows: those of the train split, then those of the validation split, which is fold 0.
        fold: (n,) int64 which fold validates each, -1 for none: a row that is older than those of all folds.
    """

    pool: Tensors
    fold: Tensor

    @property
    def n_folds(self) -> int:
        """K."""
        return int(self.fold.max()) + 1

    def training(self, fold: int) -> Tensor:
        """Rising indices of the rows that the model of a fold is trained on: of fold 0 those of the train split.

        They are the rows of the other folds. Where rows are cut by time, they are those that are older.
        """
        if self.fold.min() < 0:
            return torch.nonzero((self.fold > fold) | (self.fold < 0)).flatten()
        return torch.nonzero(self.fold != fold).flatten()

    def validation(self, fold: int) -> Tensor:
        """Rising indices of the rows that it validates: of fold 0 those of the validation split."""
        return torch.nonzero(self.fold == fold).flatten()

    def validated(self, fold: int) -> Tensors:
        """The rows that it validates."""
        rows = self.validation(fold)
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
