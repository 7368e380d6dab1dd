"""What scores are called."""

import pytest

from wellfit.metrics.names import SCORES, is_higher_better, is_share, score_name


@pytest.mark.parametrize(
    ("key", "name", "share"),
    [
        ("test/roc_auc", "ROC AUC", True),
        ("balanced_accuracy", "balanced accuracy", True),
        ("val/rmse", "RMSE", False),
        ("r2", "R²", False),
        ("val/new_score", "new score", False),
    ],
)
def test_a_score_has_a_name_and_may_be_a_share(key: str, name: str, share: bool) -> None:
    assert (score_name(key), is_share(key)) == (name, share)


def test_what_is_better_is_known_of_each_score() -> None:
    lower = {name for name in SCORES if not is_higher_better(f"val/{name}")}
    assert lower == {"loss", "log_loss", "ece", "rmse", "mae", "msle"}
    assert not is_higher_better("gap")
