"""The history of a training, and what it comes to beside a constant prediction."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

# Early stopping lets the validation loss rise a little in every training. With the shipped configuration it ended up to
# 1.4 times its best value on breast_cancer (114 validation rows), so a rise counts from a half on, and only where it
# takes back a visible part of what the training had gained.
RISE_OF_BEST = 0.5
RISE_OF_GAIN = 0.05
LAST_EPOCHS = 3  # whose median is the end of a curve: one epoch may be an outlier
# Scores on a scale where 0 is a constant prediction and 1 a perfect one:
GAP = 0.25  # between the splits; the shipped configuration on diabetes has 0.18, of which much is its 88 rows
HARDLY = 0.15  # who knows no more than this has not learned
LAST_PART = 0.25  # of all that the learning rate allowed the weights to move
RISE_OF_FIRST = 0.05  # of its first value, by which a loss rises now and then, by chance
RARE = 0.4  # times an equal share: of two classes one has less than a fifth of the rows


class Classes(NamedTuple):
    """The classes, and how many training and validation rows each of them has."""

    names: Sequence[str]
    train: Sequence[int]
    val: Sequence[int]

    @property
    def are_unequal(self) -> bool:
        """Whether one is so rare that hardly any row is predicted to be of it, though rows are told apart well."""
        return min(self.train) * len(self.train) < RARE * sum(self.train)

    @property
    def most_frequent(self) -> int:
        """The class with the most training rows."""
        return int(np.argmax(self.train))

    @property
    def n_validating(self) -> int:
        """Validation rows besides those of the most frequent class."""
        return sum(self.val) - self.val[self.most_frequent]


class Constant(NamedTuple):
    """The losses of a constant prediction on training and validation rows."""

    train: float
    val: float


class Curves:
    """The history of a training, as the rules look at it.

    Args:
        history: metrics of each epoch.
        best_epoch: whose weights are kept, counted from 1.
        classes: how many; 0 for a regression.
        unequal: the classes, where they are unequal: the order of the rows is judged then, or else the loss, for
            balanced_accuracy hangs on the threshold.
        constant: what a constant loses.
    """

    def __init__(
        self,
        history: Sequence[Mapping[str, float]],
        best_epoch: int,
        classes: int,
        unequal: Classes | None = None,
        constant: Constant | None = None,
    ) -> None:
        self.train_loss, self.val_loss, self.grad_norm, self.lr = (
            np.array([epoch[name] for epoch in history]) for name in ("train/loss", "val/loss", "grad_norm", "lr")
        )
        self.best_epoch = best_epoch
        self.best, self.noise = history[best_epoch - 1], 0.0
        self.score = "balanced_accuracy" if classes else "r2"
        self.constant_score, perfect = 1 / classes if classes else 0.0, 1.0  # of the best constant prediction
        self.constant_loss = max(1.0, math.log(max(1, classes)))
        if unequal and {"train/roc_auc", "val/roc_auc"} <= self.best.keys():
            self.score, self.constant_score = "roc_auc", 0.5
            spread = self.best["val/roc_auc"] * (1 - self.best["val/roc_auc"]) / unequal.n_validating
            self.noise = 4 * math.sqrt(spread)  # two standard errors, at most (Birnbaum and Klose 1957), on the scale
        elif unequal and constant:
            self.score, self.constant_score, perfect = "loss", constant.val, 0.0
        scores = [self.best[f"{split}/{self.score}"] for split in ("train", "val")]
        self.scores = f"{self.score} is {scores[0]:.3g} on training rows and {scores[1]:.3g} on validation rows"
        self.train_skill, self.val_skill = (
            (score - self.constant_score) / (perfect - self.constant_score) for score in scores
        )

    @property
    def are_far_apart(self) -> bool:
        """Whether the kept weights know the training rows much better than others."""
        return self.train_skill - max(0.0, self.val_skill) > GAP + self.noise

    @property
    def has_learned(self) -> bool:
        """Whether the kept weights know more than a constant, were it by heart. Mixup hides it in the training rows."""
        return self.val_skill >= HARDLY or self.are_far_apart

    @property
    def helps_on_training_rows_only(self) -> bool:
        """Whether something is learned of the training rows, and validation rows are predicted no better for it."""
        is_gap = self.train_skill - max(0.0, self.val_skill) > GAP
        falls = end_of(self.train_loss) < (1 - RISE_OF_FIRST) * self.train_loss[0]
        return self.val_skill < HARDLY and (is_gap or (falls and end_of(self.val_loss) >= self.val_loss[0]))

    @property
    def val_has_risen(self) -> bool:
        """Whether the validation loss ended far above its best."""
        lowest = float(self.val_loss.min())
        gained = float(max(self.train_loss[0], self.val_loss[0])) - lowest
        return end_of(self.val_loss) - lowest > max(RISE_OF_BEST * lowest, RISE_OF_GAIN * gained)

    @property
    def rises(self) -> np.ndarray:
        """Epochs, counted from 1, in which the training loss rose visibly though the learning rate did not."""
        up = np.diff(self.train_loss) > RISE_OF_FIRST * self.train_loss[0]
        return np.flatnonzero(up & (np.diff(self.lr) <= 0)) + 2


def end_of(values: np.ndarray) -> float:
    """What a curve comes to."""
    return float(np.median(values[-LAST_EPOCHS:]))


def last_speed(losses: np.ndarray, lr: np.ndarray) -> float:
    """How fast a loss fell at the end, as a share of its mean speed, both by what the learning rate allowed.

    A loss rests at the end of a schedule that goes to zero, however far it is from its minimum; a fall by unit of
    learning rate does not.
    """
    fallen = losses[0] - losses[-1]
    if len(losses) < LAST_EPOCHS or fallen <= 0:
        return 0.0
    moved = np.concatenate([[0.0], np.cumsum(lr[1:]) / lr[1:].sum()])  # 0 to 1, when each epoch has ended
    start = int(np.flatnonzero(moved <= 1 - LAST_PART)[-1])
    if start == 0 and losses[-1] >= losses[-2]:  # of a few epochs, the last part is all
        return 0.0
    return float((losses[start] - losses[-1]) / fallen / (1 - moved[start]))
