"""What scores are called in words, and which of them are shares."""

NAMES = {
    "average_precision": "average precision",
    "balanced_accuracy": "balanced accuracy",
    "ece": "calibration error",
    "f1": "F1",
    "log_loss": "log loss",
    "macro_f1": "macro F1",
    "mae": "MAE",
    "msle": "MSLE",
    "r2": "R²",
    "rmse": "RMSE",
    "roc_auc": "ROC AUC",
    "weighted_f1": "weighted F1",
}
# From 0 to 1; told in per cent, and their differences in points, which are hundredths.
SHARES = frozenset(
    {
        "accuracy",
        "average_precision",
        "balanced_accuracy",
        "ece",
        "f1",
        "macro_f1",
        "precision",
        "recall",
        "roc_auc",
        "weighted_f1",
    }
)


def score_name(key: str) -> str:
    """A score in words, without its split: ``ROC AUC`` for ``test/roc_auc``."""
    score = key.rpartition("/")[2]
    return NAMES.get(score, score.replace("_", " "))


def is_share(key: str) -> bool:
    """Whether a score, with or without its split, lies between 0 and 1."""
    return key.rpartition("/")[2] in SHARES
