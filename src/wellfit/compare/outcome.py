"""What one training of a comparison brought."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Outcome:
    """One variant trained with one seed.

    Attributes:
        variant: its name.
        seed: of initial weights, batch order and dropout.
        history: metrics of each epoch. ``train/...`` are those of the network as it predicts, without dropout, noise,
            mixing or augmentation, on training rows, so that the gap to ``val/...`` is none of their making;
            ``gap/...`` is what the training rows fare better by, positive where the network over-fits; ``lr`` and
            ``grad_norm`` explain it.
        scores: of the weights that the comparison keeps, on all splits: ``train/accuracy``, ``val/accuracy``,
            ``test/accuracy``, ``gap/accuracy``, ...; those of numbers in the target's own unit, but ``loss``.
        best_epoch: with the best ``train.monitor``, from 1; 0 where there is none.
        seconds: of its training; in a pack, its share of the pack's.
        failure: what went wrong; empty where nothing did. Then ``scores`` is empty.
    """

    variant: str
    seed: int
    history: Sequence[Mapping[str, float]]
    scores: Mapping[str, float]
    best_epoch: int
    seconds: float
    failure: str = ""
