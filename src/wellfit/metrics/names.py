"""What scores are called, which of them are shares, and which are to rise."""

from typing import NamedTuple


class ScoreName(NamedTuple):
    """What is known of a score by its key.

    Attributes:
        words: its name in print.
        is_share: whether it lies between 0 and 1. It is printed in percent, its differences in points (hundredths).
        higher_is_better: whether it is to rise.
    """

    words: str
    is_share: bool = True
    higher_is_better: bool = True


SCORES = {
    "accuracy": ScoreName("accuracy"),
    "average_precision": ScoreName("average precision"),
    "balanced_accuracy": ScoreName("balanced accuracy"),
    "ece": ScoreName("calibration error", higher_is_better=False),
    "f1": ScoreName("F1"),
    "log_loss": ScoreName("log loss", is_share=False, higher_is_better=False),
    "loss": ScoreName("loss", is_share=False, higher_is_better=False),
    "macro_f1": ScoreName("macro F1"),
    "mae": ScoreName("MAE", is_share=False, higher_is_better=False),
    "msle": ScoreName("MSLE", is_share=False, higher_is_better=False),
    "precision": ScoreName("precision"),
    "r2": ScoreName("R²", is_share=False),
    "recall": ScoreName("recall"),
    "rmse": ScoreName("RMSE", is_share=False, higher_is_better=False),
    "roc_auc": ScoreName("ROC AUC"),
    "weighted_f1": ScoreName("weighted F1"),
}


def _named(key: str) -> ScoreName:
    score = key.rpartition("/")[2]
    return SCORES.get(score, ScoreName(score.replace("_", " "), is_share=False, higher_is_better=False))


def score_name(key: str) -> str:
    """A score in words, without its split: ``ROC AUC`` for ``test/roc_auc``."""
    return _named(key).words


def is_share(key: str) -> bool:
    """Whether a score, with or without its split, lies between 0 and 1."""
    return _named(key).is_share


def is_higher_better(key: str) -> bool:
    """Whether a score, such as ``val/accuracy``, is to rise."""
    return _named(key).higher_is_better
