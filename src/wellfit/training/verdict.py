"""What the curves of a training say, in words: over- and under-fitting, gradients, learning rate, dead units.

The loss of the training rows is taken during an epoch, with dropout on, of rows that may be augmented or blended by
mixup, so in a healthy training it may lie above that of the validation rows; no rule here takes the one for the other.
"""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from wellfit.training.layers import Layers

# Early stopping lets the validation loss rise a little in every training. With the shipped configuration it ended up to
# 1.4 times its best value on breast_cancer (114 validation rows), so a rise counts from a half on, and only where it
# takes back a visible part of what the training had gained.
RISE_OF_BEST = 0.5
RISE_OF_GAIN = 0.05
LAST_EPOCHS = 3  # whose median is the end of a curve: one epoch may be an outlier
# Scores on a scale where 0 is a constant prediction and 1 a perfect one:
GAP = 0.25  # between the splits; the shipped configuration on diabetes has 0.18, of which much is its 88 rows
HARDLY = 0.15  # who knows no more than this has not learned
WELL = 0.8  # who knows as much as this may be trained as roughly as it pleases
# Speed in the last part over mean speed: 1 on a straight line, 0.66 of a fall like exp(-t) over the training, 0.1 of
# one that has come to rest, like exp(-5t). A rate that goes to zero calms the steps, which looks like speed: it brought
# a well-trained network on Fashion-MNIST to 0.6.
STILL_FALLING = 0.7
LAST_PART = 0.25  # of all that the learning rate allowed the weights to move
# A loss rises by a twentieth of its first value now and then, by chance; in a quarter of the epochs it oscillates.
RISE_OF_FIRST = 0.05
OSCILLATING = 0.25
WORSE_THAN_FIRST = 1.1  # times the loss of the first epoch
SPIKE = 30.0  # times the median so far: mean norms of epochs change by a factor of ten in trainings that go well
BLOWN_UP = 10.0  # times what a constant prediction loses, which is at most about ln(classes), or 1 for a number
VANISHING = 0.01  # gradient of the first layer over that of the last: 0.2 to 4 in trainings that go well
NO_GRADIENT = 1e-6
DEAD = 0.5  # share of a layer's units; a few dead units cost nothing


class Finding(NamedTuple):
    """A warning: its kind, and a sentence of what was seen and which keys to turn."""

    kind: str
    text: str


class Curves:
    """The history of a training, as the rules look at it.

    Args:
        history: metrics of each epoch.
        best_epoch: whose weights are kept, counted from 1.
        classes: how many; 0 for a regression.
    """

    def __init__(self, history: Sequence[Mapping[str, float]], best_epoch: int, classes: int) -> None:
        self.train_loss, self.val_loss, self.grad_norm, self.lr = (
            np.array([epoch[name] for epoch in history]) for name in ("train/loss", "val/loss", "grad_norm", "lr")
        )
        self.best_epoch = best_epoch
        self.score = "balanced_accuracy" if classes else "r2"
        self.constant_score = 1 / classes if classes else 0.0  # of the best constant prediction
        self.constant_loss = max(1.0, math.log(max(1, classes)))
        scores = [history[best_epoch - 1][f"{split}/{self.score}"] for split in ("train", "val")]
        self.scores = f"{self.score} is {scores[0]:.3g} on training rows and {scores[1]:.3g} on validation rows"
        self.train_skill, self.val_skill = ((s - self.constant_score) / (1 - self.constant_score) for s in scores)

    @property
    def are_far_apart(self) -> bool:
        """Whether the kept weights know the training rows much better than others."""
        return self.train_skill - max(0.0, self.val_skill) > GAP

    @property
    def has_learned(self) -> bool:
        """Whether the kept weights know more than a constant, were it by heart. Mixup hides it in the training rows."""
        return self.val_skill >= HARDLY or self.are_far_apart

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


def verdict(
    history: Sequence[Mapping[str, float]],
    layers: Sequence[Layers],
    best_epoch: int,
    epochs: int,
    classes: int,
    *,
    usual_loss: bool = True,
) -> list[Finding]:
    """What is wrong with a training; nothing, where it went well.

    Args:
        history: metrics of each epoch: ``train/loss``, ``val/loss``, ``grad_norm``, ``lr``, and of both splits
            ``balanced_accuracy`` or ``r2``. All of them are finite.
        layers: statistics of each layer and epoch (`wellfit.training.layers`), or nothing where they were not taken.
        best_epoch: whose weights are kept, counted from 1.
        epochs: ``train.epochs``.
        classes: number of classes; 0 for a regression.
        usual_loss: whether it is known what a constant prediction loses: not of a ``msle`` or a weighted ``focal``.
    """
    curves = Curves(history, best_epoch, classes)
    if not usual_loss:
        curves.constant_loss = math.inf
    found = {"exploding gradients": exploding_gradients(curves)}
    if not any(found.values()):
        found["learning rate too high"] = learning_rate_too_high(curves)
    stable = not any(found.values())
    found["vanishing gradients"] = vanishing_gradients(curves, layers)
    found["dead units"] = dead_units(layers, best_epoch)
    found["under-fitting"] = under_fitting(curves, epochs, has_cause=any(found.values()))
    if stable:  # what jumps about shows no trend
        found["over-fitting"] = over_fitting(curves)
    if found.get("over-fitting"):
        del found["under-fitting"]  # whose advice is the opposite
    return [Finding(kind, text) for kind, text in found.items() if text]


def over_fitting(curves: Curves) -> str | None:
    """The validation loss has risen while the training loss fell, or the scores of the two splits are far apart."""
    advice = (
        "raise model.dropout or optim.weight_decay, try data.augment (images), regularize.mixup or optim.l1, or take a "
        "smaller network (model.hidden, model.channels)"
    )
    best = int(curves.val_loss.argmin())
    then, end = float(curves.train_loss[best]), end_of(curves.train_loss)
    if curves.val_has_risen and end < then:
        return (
            f"val/loss rose from {curves.val_loss[best]:.3g} in epoch {best + 1} to {end_of(curves.val_loss):.3g} at "
            f"the end while train/loss fell from {then:.3g} to {end:.3g} (the weights of epoch {curves.best_epoch} are "
            f"kept): {advice}"
        )
    if curves.are_far_apart:
        return f"in epoch {curves.best_epoch}, whose weights are kept, {curves.scores}: {advice}"
    return None


def under_fitting(curves: Curves, epochs: int, *, has_cause: bool) -> str | None:
    """The network has learned hardly anything, or is hampered by noise, or was still learning when it ended.

    Args:
        curves: of the training.
        epochs: ``train.epochs``.
        has_cause: whether another rule has found one.
    """
    if not curves.has_learned:
        advice = (
            "raise optim.lr (pipelines/lr_find.py shows how far), train.epochs or the size of the network "
            "(model.hidden, model.channels), lower model.dropout or optim.weight_decay; or the inputs do not tell"
        )
        return (
            f"{curves.scores}, where a constant prediction has {curves.constant_score:.3g}: "
            f"{'see to what stands above first' if has_cause else advice}"
        )
    if curves.val_skill - curves.train_skill > GAP and curves.val_skill < WELL:
        return (
            f"{curves.scores}, so what is done to the training rows hampers the network: lower model.dropout, "
            "model.input_dropout, data.augment, or regularize.input_noise, mixup or cutmix"
        )
    speed = min(_last_speed(loss, curves.lr) for loss in (curves.train_loss, curves.val_loss))
    if len(curves.lr) == epochs and speed > STILL_FALLING:
        return (
            f"train/loss and val/loss were still falling in epoch {epochs}, the last one, at {100 * speed:.0f} % of "
            "their mean speed for its learning rate, or more: raise train.epochs or optim.lr"
        )
    return None


def exploding_gradients(curves: Curves) -> str | None:
    """A loss far above that of a constant, or a gradient norm that shot up and took the loss with it."""
    advice = "lower optim.lr, set optim.clip_norm, or use model.norm and another model.init"
    worst = int(curves.train_loss.argmax())
    if curves.train_loss[worst] > BLOWN_UP * curves.constant_loss:
        return (
            f"train/loss was {curves.train_loss[worst]:.3g} in epoch {worst + 1}, with a gradient norm of "
            f"{curves.grad_norm[worst]:.3g}, where a constant prediction loses {curves.constant_loss:.2g} or less: "
            f"{advice}"
        )
    for epoch in curves.rises:
        usual, norm = np.median(curves.grad_norm[: epoch - 1]), curves.grad_norm[epoch - 1]
        if norm > SPIKE * usual:
            return (
                f"grad_norm was {norm:.3g} in epoch {epoch}, where its median until then was {usual:.3g}, and "
                f"train/loss rose to {curves.train_loss[epoch - 1]:.3g}: {advice}"
            )
    return None


def learning_rate_too_high(curves: Curves) -> str | None:
    """A training loss that goes up and down or ends above where it began, and a validation loss that suffers from it.

    Steps that are too long leap over the minimum. Where the rate falls in time nothing is lost, and nothing is said.
    """
    if curves.has_learned and not curves.val_has_risen:
        return None
    losses, rises = curves.train_loss, curves.rises
    if end_of(losses) > WORSE_THAN_FIRST * losses[0]:
        seen = f"train/loss went from {losses[0]:.3g} in the first epoch up to {end_of(losses):.3g} at the end"
    elif len(rises) >= max(2, OSCILLATING * (len(losses) - 1)):
        seen = (
            f"train/loss rose in {len(rises)} of {len(losses) - 1} epochs, the first time in epoch {rises[0]}, though "
            "the learning rate did not"
        )
    else:
        return None
    return f"{seen}: lower optim.lr (pipelines/lr_find.py shows how far) or raise train.batch_size"


def vanishing_gradients(curves: Curves, layers: Sequence[Layers]) -> str | None:
    """What reaches the first layer is a hundredth of what reaches the last, or nothing moves though much is wrong."""
    names = list(layers[0]) if layers else []
    if len(names) > 1:
        norms = np.array([[epoch[name]["grad_norm"] for name in (names[0], names[-1])] for epoch in layers])
        first, last = np.median(norms, axis=0)
        if first <= VANISHING * last:
            return (
                f"the gradient norm of {names[0]}, the first layer, is {first:.2g}, that of {names[-1]}, the last, "
                f"{last:.2g} (medians over the epochs): use model.activation relu, model.norm batch, model.residual, "
                "another model.init or fewer layers"
            )
    norm = float(np.median(curves.grad_norm))
    if norm < NO_GRADIENT and not curves.has_learned:
        return (
            f"grad_norm is {norm:.2g} (median over the epochs) though hardly anything has been learned: use another "
            "model.init, model.activation or loss.name"
        )
    return None


def dead_units(layers: Sequence[Layers], best_epoch: int) -> str | None:
    """Most units of a layer are switched off, or saturated, for every row of the sample."""
    shares = {name: values["dead_share"] for name, values in layers[best_epoch - 1].items()} if layers else {}
    dead = [f"{100 * share:.0f} % in {name}" for name, share in shares.items() if share > DEAD]
    if not dead:
        return None
    return (
        f"units whose activation passes on no gradient, whatever the row: {', '.join(dead)} (epoch {best_epoch}): "
        "lower optim.lr, use model.norm batch, model.activation leaky_relu or gelu, or another model.init"
    )


def end_of(values: np.ndarray) -> float:
    """What a curve comes to."""
    return float(np.median(values[-LAST_EPOCHS:]))


def _last_speed(losses: np.ndarray, lr: np.ndarray) -> float:
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
