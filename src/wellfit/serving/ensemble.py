"""Which models to average: bagged greedy ensemble selection with replacement.

Caruana, Niculescu-Mizil, Crew and Ksikes 2004, Ensemble Selection from Libraries of Models. Greedy selection from all
candidates at once over-fits validation rows where these are few; the mean of selections from a part of them does less.
"""

import math
from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from wellfit.data.meta import Meta, Task
from wellfit.data.store import Split
from wellfit.data.target import standardized
from wellfit.errors import WellfitError
from wellfit.serving.model import CPU, TrainedModel
from wellfit.training.checkpoint import Checkpoint

BAGS, SHARE_OF_BAG, LEAST_OF_BAG = 20, 0.25, 8  # selections, and the candidates that each selects from
FOLDS = 5  # into which the rows are cut to see what was luck
Floats = NDArray[np.float64]


class Selection(NamedTuple):
    """An ensemble that was selected on rows its models had not seen, beside the best single candidate.

    A loss is the log loss of the mean probabilities, or the squared error of the mean prediction, standardized.

    Attributes:
        shares: (M,) of each candidate in the mean; they add up to 1.
        losses: (M,) of each candidate.
        loss: of the ensemble.
        cross_fitted: the same with each fifth of the rows scored by what is selected on the others: what the loss would
            be on rows that select nothing.
        best_cross_fitted: likewise of the one candidate that is best on the others.
    """

    shares: Floats
    losses: Floats
    loss: float
    cross_fitted: float
    best_cross_fitted: float


def candidates_of(checkpoints: Sequence[Checkpoint]) -> list[list[Checkpoint]]:
    """The checkpoints of each candidate: those of its folds, which follow each other, or a single one."""
    return [list(models) for _, models in groupby(checkpoints, key=lambda each: each.info["source"])]


def select_ensemble(
    candidates: Sequence[Sequence[Checkpoint]], folds: Sequence[Split], meta: Meta, size: int
) -> Selection:
    """Selects among trained models by their predictions of rows that they were not trained on.

    Args:
        candidates: M, each with the model of each fold.
        folds: the rows that the model of each fold has not seen; without folds the validation split.
        meta: of the data.
        size: models in the mean, at most.

    Raises:
        WellfitError: a candidate was trained on other data.
    """
    for models in candidates:
        for each in models:
            if each.info["data_sha256"] != meta.sha256:
                raise WellfitError(
                    f"train.ensemble: {each.info['source']} was trained on other data than {meta.name} as it is now: "
                    "run `dvc repro tune`"
                )
    fits = [
        np.concatenate(
            [fit_of_rows(TrainedModel([model], meta), rows, meta) for model, rows in zip(models, folds, strict=True)]
        )
        for models in candidates
    ]
    weights = [rows.weights for rows in folds if rows.weights is not None]
    return select(np.stack(fits), np.concatenate(weights) if weights else None, size, meta.task)


def shared(models: Sequence[Checkpoint], share: float) -> list[Checkpoint]:
    """The models of a candidate, each with its part of how much the candidate counts in a mean."""
    return [Checkpoint(weights, info | {"share": share / len(models)}) for weights, info in models]


def model_of_fold(
    candidates: Sequence[Sequence[Checkpoint]], fold: int, meta: Meta, device: torch.device = CPU
) -> TrainedModel:
    """A mean of candidates for rows of a fold: of those of their models that were not trained on these rows.

    Args:
        candidates: in the mean, as :func:`shared` gives them.
        fold: number of the fold; 0 without folds.
        meta: of the data.
        device: where it is to compute.
    """
    models = [models[fold] for models in candidates]
    total = sum(model.info["share"] for model in models)
    parts = [Checkpoint(weights, info | {"share": info["share"] / total}) for weights, info in models]
    return TrainedModel(parts, meta, device=device)


def fit_of_rows(model: TrainedModel, rows: Split, meta: Meta) -> Floats:
    """What the loss of a mean of models depends on, (n,): probabilities of the true class, or errors, standardized.

    Args:
        model: a model.
        rows: n rows.
        meta: of the data.
    """
    if meta.task == "classification":
        return np.asarray(model.predict(rows.x)[np.arange(len(rows.y)), rows.y], np.float64)
    return np.asarray(model.outputs(rows.x) - standardized(meta, np.asarray(rows.y)), np.float64)


def select(fits: Floats, weights: NDArray[np.float32] | None, size: int, task: Task, seed: int = 0) -> Selection:
    """Adds the candidate that lowers the loss most, again and again, and keeps the best mean on the way.

    This is done with 20 random quarters of the candidates, of 8 or more each; the mean of the 20 means counts, of the
    ``size`` models with the largest shares in it.

    Args:
        fits: (M, n) of each candidate, as :func:`fit_of_rows` gives them.
        weights: (n,) how much each row counts, or None where all count alike.
        size: models in the mean, at most.
        task: classification or regression.
        seed: of the quarters and of the folds.
    """
    rows = fits.shape[1]
    counted = np.ones(rows) if weights is None else np.asarray(weights, np.float64)
    losses = _row_losses(fits, task) @ counted / counted.sum()
    shares = _bagged(fits, counted, size, task, seed)
    # Rows are dealt out like cards, so that each fold has some where there are few.
    fold = np.random.default_rng(seed).permutation(np.arange(rows) % FOLDS)
    held_out, held_out_best = np.zeros(rows), np.zeros(rows)
    for number in range(min(FOLDS, rows)):
        scored = fold == number
        kept = counted * ~scored
        if not kept.any():
            kept = counted
        held_out[scored] = _row_losses(_bagged(fits, kept, size, task, seed) @ fits[:, scored], task)
        held_out_best[scored] = _row_losses(fits[(_row_losses(fits, task) @ kept).argmin(), scored], task)
    return Selection(
        shares,
        losses,
        float(_row_losses(shares @ fits, task) @ counted / counted.sum()),
        float(held_out @ counted / counted.sum()),
        float(held_out_best @ counted / counted.sum()),
    )


def _bagged(fits: Floats, counted: Floats, size: int, task: Task, seed: int) -> Floats:
    random = np.random.default_rng(seed)
    shares: Floats = np.zeros(len(fits))
    candidates = min(len(fits), max(LEAST_OF_BAG, math.ceil(SHARE_OF_BAG * len(fits))))
    for _ in range(1 if candidates == len(fits) else BAGS):
        bag = random.permutation(len(fits))[:candidates]
        shares[bag] += _greedy(fits[bag], counted, size, task)
    shares[np.argsort(-shares, kind="stable")[size:]] = 0
    shares /= shares.sum()
    return shares


def _greedy(fits: Floats, counted: Floats, size: int, task: Task) -> Floats:
    total, counts = np.zeros(fits.shape[1]), np.zeros(len(fits))
    best, shares = np.inf, counts
    for n in range(1, size + 1):
        losses = _row_losses((total + fits) / n, task) @ counted
        added = int(losses.argmin())
        total += fits[added]
        counts[added] += 1
        if losses[added] < best:
            best, shares = losses[added], counts / n
    return shares


def _row_losses(fits: Floats, task: Task) -> Floats:
    losses: Floats = -np.log(np.maximum(fits, np.finfo(np.float64).tiny)) if task == "classification" else fits**2
    return losses
