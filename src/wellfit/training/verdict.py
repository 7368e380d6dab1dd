"""What the curves of a training say, in words: over- and under-fitting, gradients, learning rate, dead units.

The loss of the training rows is taken during an epoch, with dropout on, of rows that may be augmented or blended by
mixup, so in a healthy training it may lie above that of the validation rows; no rule here takes the one for the other.
"""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from wellfit.training.advice import Settings, advise
from wellfit.training.curves import GAP, HARDLY, Classes, Constant, Curves, end_of, last_speed
from wellfit.training.layers import Layers

WELL = 0.8  # who knows as much as this, on the scale from a constant to a perfect prediction, may be trained roughly
# Speed in the last part over mean speed: 1 on a straight line, 0.66 of a fall like exp(-t) over the training, 0.1 of
# one that has come to rest, like exp(-5t). A rate that goes to zero calms the steps, which looks like speed: it brought
# a well-trained network on Fashion-MNIST to 0.6.
STILL_FALLING = 0.7
OSCILLATING = 0.25  # share of the epochs in which the loss rises
WORSE_THAN_FIRST = 1.1  # times the loss of the first epoch
SPIKE = 30.0  # times the median so far: mean norms of epochs change by a factor of ten in trainings that go well
BLOWN_UP = 10.0  # times what a constant prediction loses, which is at most about ln(classes), or 1 for a number
VANISHING = 0.01  # gradient of the first layer over that of the last: 0.2 to 4 in trainings that go well
NO_GRADIENT = 1e-6
DEAD = 0.5  # share of a layer's units; a few dead units cost nothing
FEW = 5  # validation rows besides those of the most frequent class, below which scores and losses vary by chance


class Finding(NamedTuple):
    """A warning: its kind, and a sentence of what was seen and which keys to turn."""

    kind: str
    text: str


class Seen(NamedTuple):
    """What was seen, the fault in `wellfit.training.advice.AGAINST` that it is a sign of, and what else may be said."""

    what: str
    fault: str = ""
    rest: str = ""

    def text(self, settings: Settings | None) -> str:
        """A sentence, with the advice that is left."""
        left = advise(self.fault, settings) if self.fault else ""
        return f"{self.what}{': ' if left else ''}{left}{self.rest}"


def verdict(
    history: Sequence[Mapping[str, float]],
    layers: Sequence[Layers],
    best_epoch: int,
    epochs: int,
    classes: int,
    *,
    usual_loss: bool = True,
    counts: Classes | None = None,
    constant: Constant | None = None,
    settings: Settings | None = None,
) -> list[Finding]:
    """What is wrong with a training; nothing, where it went well.

    Args:
        history: metrics of each epoch: ``train/loss``, ``val/loss``, ``grad_norm``, ``lr``, and of both splits
            ``balanced_accuracy`` or ``r2``, and ``roc_auc`` where there are two classes. All of them are finite.
        layers: statistics of each layer and epoch (`wellfit.training.layers`), or nothing where they were not taken.
        best_epoch: whose weights are kept, counted from 1.
        epochs: ``train.epochs``.
        classes: number of classes; 0 for a regression.
        usual_loss: whether it is known what a constant prediction loses: not of a ``msle`` or a weighted ``focal``.
        counts: of the classes; None: they count as equal.
        constant: what a constant loses; None: it is not compared.
        settings: that may be turned, with their present values; None: all of them.
    """
    unequal = counts if counts and counts.are_unequal else None
    curves = Curves(history, best_epoch, classes, unequal, constant)
    if not usual_loss:
        curves.constant_loss = math.inf
    found = {"exploding gradients": exploding_gradients(curves)}
    if not any(found.values()):
        found["learning rate too high"] = learning_rate_too_high(curves)
    stable = not any(found.values())
    found["vanishing gradients"] = vanishing_gradients(curves, layers)
    found["dead units"] = dead_units(layers, best_epoch)
    if not any(found.values()):
        found["no signal"] = no_signal(curves)
    if not found.get("no signal"):
        found["under-fitting"] = under_fitting(curves, epochs, has_cause=any(found.values()))
    if unequal:
        found["rare class"] = rarely_predicted(curves, unequal, settings)
        found["few rows to validate"] = few_rows_to_validate(unequal)
    if stable and not found.get("few rows to validate"):  # what jumps about shows no trend
        found["over-fitting"] = over_fitting(curves)
    if found.get("over-fitting"):
        for other in ("under-fitting", "no signal"):  # the advice of the one is the opposite, the other has none
            found.pop(other, None)
    if constant:
        found["worse than a constant"] = worse_than_a_constant(curves, constant, has_cause=any(found.values()))
    return [Finding(kind, seen.text(settings)) for kind, seen in found.items() if seen]


def over_fitting(curves: Curves) -> Seen | None:
    """The validation loss has risen while the training loss fell, or the scores of the two splits are far apart."""
    best = int(curves.val_loss.argmin())
    then, end = float(curves.train_loss[best]), end_of(curves.train_loss)
    if curves.val_has_risen and end < then:
        return Seen(
            f"val/loss rose from {curves.val_loss[best]:.3g} in epoch {best + 1} to {end_of(curves.val_loss):.3g} at "
            f"the end while train/loss fell from {then:.3g} to {end:.3g} (the weights of epoch {curves.best_epoch} are "
            "kept)",
            "over-fitting",
        )
    if curves.are_far_apart:
        return Seen(f"in epoch {curves.best_epoch}, whose weights are kept, {curves.scores}", "over-fitting")
    return None


def no_signal(curves: Curves) -> Seen | None:
    """What is learned of the training rows helps on them alone, from the first epoch on: there is nothing to keep."""
    if curves.has_learned or not curves.helps_on_training_rows_only:
        return None
    return Seen(
        f"{curves.scores}, where a constant prediction has {curves.constant_score:.3g}: what is learned of the "
        "training rows does not help on others, so the inputs may not tell the target, or the rows may be too few"
    )


def under_fitting(curves: Curves, epochs: int, *, has_cause: bool) -> Seen | None:
    """The network has learned hardly anything, or is hampered by noise, or was still learning when it ended.

    Args:
        curves: of the training.
        epochs: ``train.epochs``.
        has_cause: whether another rule has found one.
    """
    if not curves.has_learned:
        seen = f"{curves.scores}, where a constant prediction has {curves.constant_score:.3g}"
        if has_cause:
            return Seen(f"{seen}: see to what stands above first")
        return Seen(seen, "under-fitting", "; or the inputs do not tell")
    if curves.val_skill - curves.train_skill > GAP + curves.noise and curves.val_skill < WELL:
        return Seen(f"{curves.scores}, so what is done to the training rows hampers the network", "too much noise")
    speed = min(last_speed(loss, curves.lr) for loss in (curves.train_loss, curves.val_loss))
    if len(curves.lr) == epochs and speed > STILL_FALLING:
        return Seen(
            f"train/loss and val/loss were still falling in epoch {epochs}, the last one, at {100 * speed:.0f} % of "
            "their mean speed for its learning rate, or more",
            "an early end",
        )
    return None


def rarely_predicted(curves: Curves, classes: Classes, settings: Settings | None) -> Seen | None:
    """Rows of two classes are told apart, but next to none is predicted to be of the rare one."""
    skill = 2 * curves.best["val/balanced_accuracy"] - 1
    has_threshold = settings is not None and settings.get("evaluate.threshold", 0.5) != 0.5
    if curves.score != "roc_auc" or not curves.has_learned or skill >= HARDLY or has_threshold:
        return None
    rare = int(np.argmin(classes.train))
    return Seen(
        f"class {classes.names[rare]!r} has {100 * classes.train[rare] / sum(classes.train):.2g} % of the training "
        "rows and is hardly ever predicted: on validation rows balanced_accuracy is "
        f"{curves.best['val/balanced_accuracy']:.3g}, though roc_auc is {curves.best['val/roc_auc']:.3g}",
        "rare class" if rare == 1 else "rare first class",
    )


def few_rows_to_validate(classes: Classes) -> Seen | None:
    """So few validation rows are of other classes than the most frequent one that no curve tells over-fitting."""
    if classes.n_validating >= FEW:
        return None
    return Seen(
        f"only {classes.n_validating} of {sum(classes.val)} validation rows are of another class than "
        f"{classes.names[classes.most_frequent]!r}, so their loss and scores vary by chance",
        "few rows to validate",
    )


def worse_than_a_constant(curves: Curves, constant: Constant, *, has_cause: bool) -> Seen | None:
    """The validation loss of the kept weights is above that of a prediction that is the same for all rows."""
    loss = float(curves.val_loss[curves.best_epoch - 1])
    if loss <= constant.val:
        return None
    what = "the mean of the targets" if curves.score == "r2" else "the shares of the classes"
    return Seen(
        f"val/loss is {loss:.3g} in epoch {curves.best_epoch}, whose weights are kept, where {what} as a prediction "
        f"for every row would have {constant.val:.3g}",
        "" if has_cause else "worse than a constant",
    )


def exploding_gradients(curves: Curves) -> Seen | None:
    """A loss far above that of a constant, or a gradient norm that shot up and took the loss with it."""
    worst = int(curves.train_loss.argmax())
    if curves.train_loss[worst] > BLOWN_UP * curves.constant_loss:
        return Seen(
            f"train/loss was {curves.train_loss[worst]:.3g} in epoch {worst + 1}, with a gradient norm of "
            f"{curves.grad_norm[worst]:.3g}, where a constant prediction loses {curves.constant_loss:.2g} or less",
            "exploding gradients",
        )
    for epoch in curves.rises:
        usual, norm = np.median(curves.grad_norm[: epoch - 1]), curves.grad_norm[epoch - 1]
        if norm > SPIKE * usual:
            return Seen(
                f"grad_norm was {norm:.3g} in epoch {epoch}, where its median until then was {usual:.3g}, and "
                f"train/loss rose to {curves.train_loss[epoch - 1]:.3g}",
                "exploding gradients",
            )
    return None


def learning_rate_too_high(curves: Curves) -> Seen | None:
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
    return Seen(seen, "learning rate too high")


def vanishing_gradients(curves: Curves, layers: Sequence[Layers]) -> Seen | None:
    """What reaches the first layer is a hundredth of what reaches the last, or nothing moves though much is wrong."""
    names = list(layers[0]) if layers else []
    if len(names) > 1:
        norms = np.array([[epoch[name]["grad_norm"] for name in (names[0], names[-1])] for epoch in layers])
        first, last = np.median(norms, axis=0)
        if first <= VANISHING * last:
            return Seen(
                f"the gradient norm of {names[0]}, the first layer, is {first:.2g}, that of {names[-1]}, the last, "
                f"{last:.2g} (medians over the epochs)",
                "vanishing gradients",
            )
    norm = float(np.median(curves.grad_norm))
    if norm < NO_GRADIENT and not curves.has_learned:
        return Seen(
            f"grad_norm is {norm:.2g} (median over the epochs) though hardly anything has been learned", "no gradients"
        )
    return None


def dead_units(layers: Sequence[Layers], best_epoch: int) -> Seen | None:
    """Most units of a layer are switched off, or saturated, for every row of the sample."""
    shares = {name: values["dead_share"] for name, values in layers[best_epoch - 1].items()} if layers else {}
    dead = [f"{100 * share:.0f} % in {name}" for name, share in shares.items() if share > DEAD]
    if not dead:
        return None
    return Seen(
        f"units whose activation passes on no gradient, whatever the row: {', '.join(dead)} (epoch {best_epoch})",
        "dead units",
    )
